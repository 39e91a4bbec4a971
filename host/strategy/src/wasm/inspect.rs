//! What a file claims to be, found out before any of it is compiled or run.

use sc_core::role::Role;
use wasmparser::Parser;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::structure;
use crate::error::{LoadError, shown};
use crate::limits::Limits;

/// The contract's package, without its version.
const PACKAGE: &str = "sc:strategy/";
/// The version of the contract that this program speaks.
const VERSION: &str = "0.1.0";
/// The interfaces of the contract that a strategy may import (`types` holds no functions).
const IMPORTS: [&str; 3] = ["types", "log", "random"];

/// The full name of an interface of the contract.
pub(crate) fn interface(name: &str) -> String {
    format!("{PACKAGE}{name}@{VERSION}")
}

/// Checks that `bytes` are a whole component of a size that is worth compiling.
///
/// # Errors
/// When they are not WebAssembly, a core module, cut off or damaged, or made of more than
/// is compiled.
pub(crate) fn check_bytes(path: &str, bytes: &[u8], limits: &Limits) -> Result<(), LoadError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotWasm { path: path.into() });
    }
    if Parser::is_core_wasm(bytes) {
        return Err(LoadError::CoreModule { path: path.into() });
    }
    structure::check(path, bytes, limits)
}

/// What a component exports of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exports {
    pub(crate) roles: Vec<Role>,
    /// Whether it is an interpreter, which learns its roles from a script.
    pub(crate) script: bool,
}

/// Reads the imports and exports of `component`.
///
/// # Errors
/// On an import that strategies are not given, another version of the contract, no role, or no
/// `about`.
pub(crate) fn check_interfaces(
    path: &str,
    engine: &Engine,
    component: &Component,
) -> Result<Exports, LoadError> {
    let path = || path.to_owned();
    let shape = component.component_type();
    let imports: Vec<&str> = shape.imports(engine).map(|(name, _)| name).collect();
    let exports: Vec<&str> = shape.exports(engine).map(|(name, _)| name).collect();
    for name in imports.iter().chain(&exports) {
        if name.starts_with(PACKAGE) && !name.ends_with(&format!("@{VERSION}")) {
            return Err(LoadError::UnknownVersion {
                path: path(),
                found: shown(name),
                supported: format!("{}@{VERSION}", PACKAGE.trim_end_matches('/')),
            });
        }
    }
    if let Some(import) = imports
        .iter()
        .find(|name| !IMPORTS.iter().any(|known| interface(known) == **name))
    {
        return Err(LoadError::UnknownImport {
            path: path(),
            import: shown(import),
        });
    }
    let exported = |name: &str| exports.iter().any(|export| *export == interface(name));
    let found = Exports {
        roles: Role::ALL
            .into_iter()
            .filter(|role| exported(role.name()))
            .collect(),
        script: exported("script"),
    };
    if found.roles.is_empty() {
        return Err(LoadError::NoRole { path: path() });
    }
    if !exported("about") {
        return Err(LoadError::NoAbout {
            path: path(),
            interface: interface("about"),
        });
    }
    Ok(found)
}
