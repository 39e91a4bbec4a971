//! A script: compiled, with its constants and the roles that it defines.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use rhai::packages::{Package, StandardPackage};
use rhai::{AST, Dynamic, Engine, EvalAltResult, ParseError, Position, Scope};

use crate::exports::sc::strategy::about::Setting;
use crate::exports::sc::strategy::script::ScriptError;
use crate::helpers;
use crate::parameters::{self, Constant};

/// The roles: their names in the contract, the script's functions, and what these take.
const ROLES: [(&str, &str, &[&str]); 4] = [
    ("curriculum", "curriculum", &["input", "context"]),
    ("data-filter", "data_filter", &["groups", "context"]),
    (
        "pair-selection",
        "pair_selection",
        &["groups", "objective", "context"],
    ),
    (
        "quality-gate",
        "quality_gate",
        &["before", "after", "context"],
    ),
];

/// The variables that no scope holds: the top level's constants, which all functions and closures
/// are to see.
#[derive(Default)]
struct Globals {
    /// Values that settings give to constants, by the constant's name.
    settings: RefCell<BTreeMap<String, Dynamic>>,
    /// All constants, once the top level has run.
    constants: RefCell<BTreeMap<String, Dynamic>>,
    /// Whether the top level is running: there a setting beats what the text says, so that what is
    /// computed from a parameter follows it.
    running_top_level: Cell<bool>,
}

impl Globals {
    /// The value of `name`, whose place in the scope is `index`, 0 when it is not there.
    fn find(&self, name: &str, index: usize) -> Option<Dynamic> {
        if self.running_top_level.get() {
            self.settings.borrow().get(name).cloned()
        } else if index == 0 {
            self.constants.borrow().get(name).cloned()
        } else {
            None
        }
    }
}

pub struct Script {
    ast: AST,
    constants: Vec<Constant>,
    roles: Vec<&'static str>,
    engine: Engine,
    globals: Rc<Globals>,
}

impl Script {
    /// Compiles `source` and runs its top level.
    pub fn load(source: &str) -> Result<Script, ScriptError> {
        let globals = Rc::new(Globals::default());
        let engine = engine(Rc::clone(&globals));
        let ast = engine.compile(source).map_err(parse_error)?;
        let script = Script {
            constants: parameters::constants(&ast, source)?,
            roles: defined_roles(&ast)?,
            ast,
            engine,
            globals,
        };
        script.run_top_level().map_err(|error| {
            let (position, message) = explain(*error);
            script_error(position, message)
        })?;
        Ok(script)
    }

    /// The names of the roles that the script defines.
    pub fn roles(&self) -> Vec<String> {
        self.roles.iter().map(|role| (*role).to_owned()).collect()
    }

    pub fn constants(&self) -> &[Constant] {
        &self.constants
    }

    /// Gives the constants the values of `settings` and runs the top level with them.
    pub fn configure(&mut self, settings: Vec<Setting>) -> Result<(), String> {
        let mut changed = BTreeMap::new();
        for setting in settings {
            let constant = self
                .constants
                .iter()
                .find(|constant| constant.key == setting.name)
                .ok_or_else(|| format!("`{}` is no parameter of this script", setting.name))?;
            changed.insert(constant.name.clone(), parameters::to_dynamic(setting.value));
        }
        self.globals.settings.replace(changed);
        self.run_top_level().map_err(|error| located(*error))
    }

    /// Runs the top level, and makes its constants known to all functions.
    fn run_top_level(&self) -> Result<(), Box<EvalAltResult>> {
        let mut scope = Scope::new();
        self.globals.running_top_level.set(true);
        let run = self.engine.run_ast_with_scope(&mut scope, &self.ast);
        self.globals.running_top_level.set(false);
        run?;
        let mut constants: BTreeMap<String, Dynamic> = scope
            .iter()
            .filter(|(_, is_constant, _)| *is_constant)
            .map(|(name, _, value)| (name.to_owned(), value))
            .collect();
        constants.extend(self.globals.settings.borrow().clone());
        self.globals.constants.replace(constants);
        Ok(())
    }

    /// Calls a role's function.
    pub fn call(&self, name: &str, arguments: Vec<Dynamic>) -> Result<Dynamic, String> {
        let options = rhai::CallFnOptions::new().eval_ast(false);
        self.engine
            .call_fn_with_options(options, &mut Scope::new(), &self.ast, name, arguments)
            .map_err(|error| located(*error))
    }
}

/// An engine with the standard functions and those for strategies.
#[expect(
    deprecated,
    reason = "`on_var` is marked so for being volatile; the version is pinned"
)]
fn engine(globals: Rc<Globals>) -> Engine {
    let mut engine = Engine::new_raw();
    StandardPackage::new().register_into_engine(&mut engine);
    engine.register_global_module(Rc::new(helpers::module()));
    // Text is not code.
    engine.disable_symbol("eval");
    helpers::redirect_output(&mut engine);
    engine.on_var(move |name, index, _| Ok(globals.find(name, index)));
    engine
}

/// The roles whose functions the script defines.
fn defined_roles(ast: &AST) -> Result<Vec<&'static str>, ScriptError> {
    let mut roles = Vec::new();
    for (role, name, parameters) in ROLES {
        let mut arities = ast
            .iter_functions()
            .filter(|function| function.name == name)
            .map(|function| function.params.len())
            .peekable();
        if arities.peek().is_none() {
            continue;
        }
        if !arities.any(|arity| arity == parameters.len()) {
            return Err(script_error(
                Position::NONE,
                format!("`{name}` must be `fn {name}({})`", parameters.join(", ")),
            ));
        }
        roles.push(role);
    }
    Ok(roles)
}

pub fn script_error(position: Position, message: String) -> ScriptError {
    let number = |part: Option<usize>| part.and_then(|p| u32::try_from(p).ok()).unwrap_or(0);
    ScriptError {
        message,
        line: number(position.line()),
        column: number(position.position()),
    }
}

fn parse_error(error: ParseError) -> ScriptError {
    script_error(error.position(), error.err_type().to_string())
}

/// Where the innermost cause lies, and what it is.
fn explain(mut error: EvalAltResult) -> (Position, String) {
    while let EvalAltResult::ErrorInFunctionCall(_, _, inner, _) = error {
        error = *inner;
    }
    let position = error.take_position();
    let message = match &error {
        EvalAltResult::ErrorRuntime(thrown, _) => thrown.to_string(),
        other => other.to_string(),
    };
    (position, message)
}

/// An error with its place, in one line.
fn located(error: EvalAltResult) -> String {
    let (position, message) = explain(error);
    match (position.line(), position.position()) {
        (Some(line), Some(column)) => format!("line {line}, column {column}: {message}"),
        (Some(line), None) => format!("line {line}: {message}"),
        _ => message,
    }
}
