//! A script: compiled, with its constants and the roles that it defines.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use rhai::packages::{Package, StandardPackage};
use rhai::{AST, CallFnOptions, Dynamic, Engine, EvalAltResult, Map, Scope};

use crate::about;
use crate::exports::sc::strategy::about::{Description, Refusal};
use crate::exports::sc::strategy::script::ScriptError;
use crate::parameters::{self, Constant};
use crate::place::{declaration, explain, located, parse_error, script_error};
use crate::sc::strategy::types::{Role, Setting};
use crate::{helpers, numbers, output, records, roles, services};

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
    engine: Engine,
    globals: Rc<Globals>,
    constants: Vec<Constant>,
    description: Description,
    /// Whether it has a function `check`.
    checks: bool,
}

impl Script {
    /// Compiles `source`, runs its top level and lets it describe itself.
    pub fn load(source: &str) -> Result<Script, ScriptError> {
        let globals = Rc::new(Globals::default());
        let engine = engine(Rc::clone(&globals));
        let ast = engine.compile(source).map_err(parse_error)?;
        let constants = parameters::constants(&ast, source)?;
        let roles = roles::defined(&ast, source)?;
        let describes = roles::defines(&ast, source, "about", &[])?;
        let checks = roles::defines(&ast, source, "check", &["settings", "role"])?;
        let mut script = Script {
            ast,
            engine,
            globals,
            constants,
            description: Description {
                name: String::new(),
                version: String::new(),
                summary: String::new(),
                authors: Vec::new(),
                licence: String::new(),
                roles: Vec::new(),
                services: Vec::new(),
                parameters: Vec::new(),
            },
            checks,
        };
        let at_place = |error: Box<EvalAltResult>| {
            let (position, message) = explain(*error);
            script_error(position, message)
        };
        script.run_top_level(BTreeMap::new()).map_err(at_place)?;
        let about = if describes {
            Some(script.evaluate("about", Vec::new()).map_err(at_place)?)
        } else {
            None
        };
        script.description = about::description(about, roles, &script.constants)
            .map_err(|message| script_error(declaration(source, "fn", "about"), message))?;
        services::wanted(&script.description.services);
        Ok(script)
    }

    pub fn describe(&self) -> Description {
        self.description.clone()
    }

    /// Whether the script takes `settings` for `role`.
    pub fn check(&self, role: Role, settings: &[Setting]) -> Result<(), Refusal> {
        match self.checked(role, settings) {
            Ok(None) => Ok(()),
            Ok(Some(refusal)) => Err(refusal),
            Err(message) => Err(Refusal {
                parameter: None,
                message,
            }),
        }
    }

    fn checked(&self, role: Role, settings: &[Setting]) -> Result<Option<Refusal>, String> {
        self.set(settings)?;
        if !self.checks {
            return Ok(None);
        }
        let values: Map = settings
            .iter()
            .map(|setting| {
                let value = parameters::to_dynamic(&setting.value);
                (setting.name.as_str().into(), value)
            })
            .collect();
        let arguments = vec![values.into(), roles::name(role).into()];
        let value = self
            .evaluate("check", arguments)
            .map_err(|error| located(*error))?;
        output::refusal(value, |name| {
            self.constants
                .iter()
                .any(|constant| constant.parameter.name == name)
        })
    }

    /// Calls the function of `role` with `settings`.
    pub fn call(
        &self,
        role: Role,
        settings: &[Setting],
        arguments: Vec<Dynamic>,
    ) -> Result<Dynamic, String> {
        self.set(settings)?;
        helpers::enter_role();
        self.evaluate(roles::function(role), arguments)
            .map_err(|error| located(*error))
    }

    /// Gives the constants the values of `settings`. Where these are not those of the text, the top
    /// level runs once more, so that what is computed from them follows.
    fn set(&self, settings: &[Setting]) -> Result<(), String> {
        let changed = parameters::changed(&self.constants, settings)?;
        if changed.is_empty() {
            return Ok(());
        }
        let changed = changed
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        self.run_top_level(changed).map_err(|error| located(*error))
    }

    /// Runs the top level with the values of `settings`, and makes its constants known to all
    /// functions.
    fn run_top_level(&self, settings: BTreeMap<String, Dynamic>) -> Result<(), Box<EvalAltResult>> {
        self.globals.settings.replace(settings);
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

    fn evaluate(&self, name: &str, arguments: Vec<Dynamic>) -> Result<Dynamic, Box<EvalAltResult>> {
        let options = CallFnOptions::new().eval_ast(false);
        self.engine
            .call_fn_with_options(options, &mut Scope::new(), &self.ast, name, arguments)
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
    for module in [
        helpers::module(),
        services::module(),
        records::module(),
        numbers::module(),
    ] {
        engine.register_global_module(Rc::new(module));
    }
    // The comparisons of `numbers` are to count.
    engine.set_fast_operators(false);
    // Text is not code.
    engine.disable_symbol("eval");
    helpers::redirect_output(&mut engine);
    engine.on_var(move |name, index, _| Ok(globals.find(name, index)));
    engine
}
