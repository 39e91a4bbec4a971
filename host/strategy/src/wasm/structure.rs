//! What a component is made of, counted before any of it is compiled.
//!
//! The time and memory that compiling takes do not follow from a file's size: components in
//! components multiply, and a function costs more than its length once it has many locals, blocks
//! or branches. So each of these is bounded. What `wit-component` makes of a Rust strategy stays
//! far below, and the Rhai interpreter, two megabytes of code, below a third. The bounds are set by
//! whole interpreters of Python and JavaScript (`docs/strategies.md` has the counts), which fit.

use std::fmt;

use wasmparser::{
    BinaryReaderError, BlockType, ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind,
    ComponentTypeRef, FunctionBody, Operator, Parser, Payload,
};

use crate::error::LoadError;
use crate::limits::Limits;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Components around the innermost part, the outermost included.
    Nesting,
    /// Components inside the component.
    Components,
    /// Core modules.
    Modules,
    /// Instances of components and core modules, as written.
    Instances,
    /// Types, imports, exports and aliases of components, and types of core modules.
    Declarations,
    /// Functions.
    Functions,
    /// Bytes of all functions together.
    Code,
    /// Bytes of one function.
    FunctionBytes,
    /// Locals of one function, beside its parameters.
    Locals,
    /// Blocks inside one another in one function.
    BlockNesting,
    /// Blocks and branches of all functions together.
    Blocks,
    /// Blocks and branches of one function.
    FunctionBlocks,
    /// Loops inside one another in one function.
    LoopNesting,
    /// Locals of each function times its blocks: what the register allocator looks at.
    LocalsByBlocks,
    /// Targets of all branches of one function.
    BranchTargets,
    /// Parameters of one type of function.
    Parameters,
    /// Results of one type of function.
    Results,
    /// Blocks of one function that take parameters or give several results.
    TypedBlocks,
    /// Calls in one function.
    Calls,
    /// Operations of one function that become a loop or a long piece of code: indirect calls, and
    /// what fills, copies and grows memories and tables.
    LongOperations,
    /// The same in all functions together.
    AllLongOperations,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Measure::Nesting => "components inside one another",
            Measure::Components => "components in it",
            Measure::Modules => "core modules",
            Measure::Instances => "instances",
            Measure::Declarations => "types, imports, exports and aliases",
            Measure::Functions => "functions",
            Measure::Code => "bytes of code",
            Measure::FunctionBytes => "bytes in one function",
            Measure::Locals => "locals in one function",
            Measure::BlockNesting => "blocks inside one another in one function",
            Measure::Blocks => "blocks and branches",
            Measure::FunctionBlocks => "blocks and branches in one function",
            Measure::LoopNesting => "loops inside one another in one function",
            Measure::LocalsByBlocks => "pairs of a local and a block of its function",
            Measure::BranchTargets => "branch targets in one function",
            Measure::Parameters => "parameters in one type of function",
            Measure::Results => "results in one type of function",
            Measure::TypedBlocks => "blocks with parameters or several results in one function",
            Measure::Calls => "calls in one function",
            Measure::LongOperations => {
                "indirect calls and operations on whole memories and tables in one function"
            }
            Measure::AllLongOperations => {
                "indirect calls and operations on whole memories and tables"
            }
        })
    }
}

impl Measure {
    /// Whether splitting a function helps.
    pub(crate) fn is_of_one_function(self) -> bool {
        matches!(
            self,
            Measure::FunctionBytes
                | Measure::Locals
                | Measure::BlockNesting
                | Measure::FunctionBlocks
                | Measure::LoopNesting
                | Measure::BranchTargets
                | Measure::TypedBlocks
                | Measure::Calls
                | Measure::LongOperations
        )
    }

    fn limit(self, limits: &Limits) -> u64 {
        match self {
            // An interface that is exported is a component in the component; toolchains that compose
            // a strategy with its interpreter add two levels.
            Measure::Nesting => 5,
            Measure::Components => 64,
            Measure::Modules => 64,
            Measure::Instances => 256,
            Measure::Declarations => 10_000,
            Measure::Functions => limits.component_functions.into(),
            Measure::Code => limits.component_code_bytes,
            Measure::FunctionBytes => 512 << 10,
            Measure::Locals => 500,
            Measure::BlockNesting => 1_000,
            Measure::Blocks => 600_000,
            Measure::FunctionBlocks => 12_000,
            Measure::LoopNesting => 24,
            Measure::LocalsByBlocks => 8_000_000,
            Measure::BranchTargets => 20_000,
            // The compiler's memory grows with the square of blocks times values; toolchains make no
            // such blocks, and no function with more than one result.
            Measure::Parameters => 64,
            Measure::Results => 4,
            Measure::TypedBlocks => 100,
            Measure::Calls => 10_000,
            Measure::LongOperations => 500,
            Measure::AllLongOperations => 50_000,
        }
    }
}

/// Why a component is not compiled.
enum Refusal {
    Damaged(BinaryReaderError),
    TooMuch(Measure, u64),
    ComponentReuse,
}

impl From<BinaryReaderError> for Refusal {
    fn from(error: BinaryReaderError) -> Refusal {
        Refusal::Damaged(error)
    }
}

/// What was found so far.
struct Count<'a> {
    limits: &'a Limits,
    depth: u64,
    components: u64,
    modules: u64,
    instances: u64,
    declarations: u64,
    functions: u64,
    code: u64,
    blocks: u64,
    locals_by_blocks: u64,
    long_operations: u64,
}

impl Count<'_> {
    fn within(&self, measure: Measure, found: u64) -> Result<(), Refusal> {
        if found > measure.limit(self.limits) {
            Err(Refusal::TooMuch(measure, found))
        } else {
            Ok(())
        }
    }

    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::ComponentSection { .. } => {
                self.components += 1;
                self.depth += 1;
                self.within(Measure::Nesting, self.depth + 1)?;
                self.within(Measure::Components, self.components)?;
            }
            Payload::ModuleSection { .. } => {
                self.modules += 1;
                self.depth += 1;
                self.within(Measure::Modules, self.modules)?;
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::InstanceSection(section) => self.instances(section.count())?,
            Payload::ComponentInstanceSection(section) => self.instances(section.count())?,
            Payload::TypeSection(section) => {
                self.declarations(section.count())?;
                // Types of garbage collection are refused when the component is compiled.
                for function in section.into_iter_err_on_gc_types() {
                    let Ok(function) = function else { break };
                    self.within(Measure::Parameters, function.params().len() as u64)?;
                    self.within(Measure::Results, function.results().len() as u64)?;
                }
            }
            Payload::ImportSection(section) => self.declarations(section.count())?,
            Payload::CoreTypeSection(section) => self.declarations(section.count())?,
            Payload::ComponentTypeSection(section) => self.declarations(section.count())?,
            Payload::ComponentCanonicalSection(section) => self.declarations(section.count())?,
            Payload::ComponentAliasSection(section) => {
                self.declarations(section.count())?;
                for alias in section {
                    if matches!(
                        alias?,
                        ComponentAlias::InstanceExport {
                            kind: ComponentExternalKind::Component,
                            ..
                        } | ComponentAlias::Outer {
                            kind: ComponentOuterAliasKind::Component,
                            ..
                        }
                    ) {
                        return Err(Refusal::ComponentReuse);
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                self.declarations(section.count())?;
                for import in section {
                    if matches!(import?.ty, ComponentTypeRef::Component(_)) {
                        return Err(Refusal::ComponentReuse);
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                self.declarations(section.count())?;
                for export in section {
                    if export?.kind == ComponentExternalKind::Component {
                        return Err(Refusal::ComponentReuse);
                    }
                }
            }
            Payload::FunctionSection(section) => {
                self.functions += u64::from(section.count());
                self.within(Measure::Functions, self.functions)?;
            }
            Payload::CodeSectionEntry(body) => {
                let bytes = body.as_bytes().len() as u64;
                self.code += bytes;
                self.within(Measure::FunctionBytes, bytes)?;
                self.within(Measure::Code, self.code)?;
                self.function(&body)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn instances(&mut self, count: u32) -> Result<(), Refusal> {
        self.instances += u64::from(count);
        self.within(Measure::Instances, self.instances)
    }

    fn declarations(&mut self, count: u32) -> Result<(), Refusal> {
        self.declarations += u64::from(count);
        self.within(Measure::Declarations, self.declarations)
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(), Refusal> {
        let mut locals = 0_u64;
        for group in body.get_locals_reader()? {
            locals += u64::from(group?.0);
            self.within(Measure::Locals, locals)?;
        }
        // Whether each open block is a loop.
        let mut open = Vec::new();
        let (mut loops, mut blocks, mut targets) = (0_u64, 1_u64, 0_u64);
        let (mut typed_blocks, mut calls, mut long_operations) = (0_u64, 0_u64, 0_u64);
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let operator = operators.read()?;
            match operator {
                Operator::Block { blockty }
                | Operator::Loop { blockty }
                | Operator::If { blockty } => {
                    typed_blocks += u64::from(matches!(blockty, BlockType::FuncType(_)));
                    let is_loop = matches!(operator, Operator::Loop { .. });
                    open.push(is_loop);
                    loops += u64::from(is_loop);
                    blocks += 1;
                    self.within(Measure::BlockNesting, open.len() as u64)?;
                    self.within(Measure::LoopNesting, loops)?;
                }
                Operator::End => loops -= u64::from(open.pop().unwrap_or(false)),
                Operator::Else | Operator::Br { .. } | Operator::BrIf { .. } => {
                    blocks += 1;
                    targets += 1;
                }
                Operator::BrTable { targets: table } => targets += u64::from(table.len()),
                Operator::Call { .. } | Operator::ReturnCall { .. } => calls += 1,
                Operator::CallIndirect { .. }
                | Operator::ReturnCallIndirect { .. }
                | Operator::MemoryGrow { .. }
                | Operator::MemoryFill { .. }
                | Operator::MemoryCopy { .. }
                | Operator::MemoryInit { .. }
                | Operator::TableGet { .. }
                | Operator::TableSet { .. }
                | Operator::TableGrow { .. }
                | Operator::TableFill { .. }
                | Operator::TableCopy { .. }
                | Operator::TableInit { .. } => long_operations += 1,
                _ => {}
            }
        }
        self.within(Measure::BranchTargets, targets)?;
        self.within(Measure::TypedBlocks, typed_blocks)?;
        self.within(Measure::Calls, calls)?;
        self.within(Measure::LongOperations, long_operations)?;
        self.long_operations += long_operations;
        self.within(Measure::AllLongOperations, self.long_operations)?;
        self.blocks += blocks;
        self.within(Measure::FunctionBlocks, blocks)?;
        self.within(Measure::Blocks, self.blocks)?;
        self.locals_by_blocks += locals * blocks;
        self.within(Measure::LocalsByBlocks, self.locals_by_blocks)
    }
}

/// Checks that `bytes` are a whole component that is worth compiling.
///
/// # Errors
/// When they are cut off, damaged, or made of more than is compiled.
pub(crate) fn check(path: &str, bytes: &[u8], limits: &Limits) -> Result<(), LoadError> {
    let mut count = Count {
        limits,
        depth: 0,
        components: 0,
        modules: 0,
        instances: 0,
        declarations: 0,
        functions: 0,
        code: 0,
        blocks: 0,
        locals_by_blocks: 0,
        long_operations: 0,
    };
    Parser::new(0)
        .parse_all(bytes)
        .try_for_each(|payload| count.payload(payload?))
        .map_err(|refusal| match refusal {
            Refusal::Damaged(error) => LoadError::malformed(path, &error),
            Refusal::TooMuch(measure, found) => LoadError::TooMuch {
                path: path.to_owned(),
                measure,
                found,
                limit: measure.limit(limits),
            },
            Refusal::ComponentReuse => LoadError::ComponentReuse {
                path: path.to_owned(),
            },
        })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let bytes = wat::parse_str(text).unwrap();
        let found = check("x.wasm", &bytes, &Limits::default())
            .err()
            .map_or_else(|| "accepted".into(), |error| error.to_string());
        assert!(found.contains(expected), "`{found}` for `{expected}`");
    }

    fn function(body: &str) -> String {
        format!("(component (core module (memory 1) (func {body})))")
    }

    /// What is small as a file and large when it is compiled.
    #[test]
    fn what_multiplies_is_refused() {
        // Ten instances a level.
        let mut levels = "(component $c0)".to_owned();
        for level in 1..9 {
            let again = "(instance (instantiate $p))".repeat(10);
            levels += &format!(
                "(component $c{level} (alias outer 1 $c{} (component $p)) {again})",
                level - 1
            );
        }
        refused(&format!("(component {levels})"), "hands components on");
        refused(
            r#"(component (import "c" (component)))"#,
            "hands components on",
        );
        refused(
            r#"(component (component $c) (export "c" (component $c)))"#,
            "hands components on",
        );
        let deep = "(component ".repeat(100) + &")".repeat(100);
        refused(&deep, "6 components inside one another; at most 5");
        let many = |part: &str, count| format!("(component {})", part.repeat(count));
        refused(&many("(component)", 65), "65 components in it");
        refused(&many("(core module)", 65), "65 core modules");
        let instances = many("(core instance)", 257);
        refused(&instances, "257 instances");
        refused(&many("(type u32)", 10_001), "10001 types");
        refused(
            &many(
                &format!("(core module {})", "(type (func))".repeat(10_001)),
                1,
            ),
            "10001 types",
        );
    }

    #[test]
    fn functions_that_cost_more_than_their_length_are_refused() {
        refused(
            &function(&"(drop (i32.load (i32.const 0)))".repeat(110_000)),
            "bytes in one function; at most 524288",
        );
        refused(
            &function(&format!("(local {})", "i32 ".repeat(501))),
            "501 locals in one function",
        );
        let nested = |block: &str, depth| function(&(block.repeat(depth) + &"end ".repeat(depth)));
        refused(&nested("loop ", 25), "25 loops inside one another");
        refused(&nested("block ", 1001), "1001 blocks inside one another");
        let pairs = format!(
            "(func (local {}) {})",
            "i32 ".repeat(500),
            "(if (local.get 0) (then (local.set 1 (local.get 2))))".repeat(6200)
        );
        refused(
            &format!("(component (core module {}))", pairs.repeat(3)),
            "pairs of a local and a block",
        );
        let values = "i32 ".repeat(65);
        refused(
            &format!("(component (core module (type (func (param {values})))))"),
            "65 parameters in one type of function",
        );
        refused(
            "(component (core module (type (func (result i32 i32 i32 i32 i32)))))",
            "5 results in one type of function",
        );
        refused(
            &function(
                &"(i32.const 0) (if (param i32) (then drop) (else drop)) "
                    .repeat(101)
                    .replace("(if", "(i32.const 1) (if"),
            ),
            "101 blocks with parameters or several results",
        );
        refused(&function(&"(call 0)".repeat(10_001)), "10001 calls");
        let grow = "(drop (memory.grow (i32.const 0)))".repeat(501);
        refused(&function(&grow), "501 indirect calls and operations");
        let blocks = "(block)".repeat(12_001);
        refused(
            &function(&blocks),
            "12002 blocks and branches in one function",
        );
        let blocks = format!("(func {})", "(block)".repeat(10_000)).repeat(60);
        refused(
            &format!("(component (core module {blocks}))"),
            "600060 blocks and branches;",
        );
        let table = format!("(br_table {} (i32.const 1))", "0 ".repeat(5000));
        refused(
            &function(&format!("(block {table}) ").repeat(5)),
            "branch targets in one function",
        );
        let body = "(drop (i32.const 0))".repeat(20_000);
        let limits = Limits {
            component_code_bytes: 100_000,
            ..Limits::default()
        };
        let two = format!("(component (core module (func {body}) (func {body})))");
        let error = check("x.wasm", &wat::parse_str(two).unwrap(), &limits).unwrap_err();
        assert!(
            error.to_string().contains("bytes of code; at most 100000"),
            "{error}"
        );
    }

    #[test]
    fn real_strategies_pass_with_room() {
        let limits = Limits {
            component_code_bytes: Limits::default().component_code_bytes / 2,
            component_functions: Limits::default().component_functions / 2,
            ..Limits::default()
        };
        for file in ["curriculum.wasm", "rhai.wasm"] {
            let path = format!("{}/../../plugins/{file}", env!("CARGO_MANIFEST_DIR"));
            check(file, &std::fs::read(path).unwrap(), &limits).unwrap();
        }
    }
}
