//! What a file claims to be, found out before any of it is compiled or run.

use sc_core::role::Role;
use wasmparser::Parser;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::contract::{ExportedInterfaces, PACKAGE, VERSIONS, Version};
use super::structure;
use crate::error::{LoadError, shown};
use crate::grant::Service;
use crate::limits::Limits;

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

/// What a component is, by the names of what it imports and exports.
pub(crate) struct Interfaces {
    pub(crate) version: &'static Version,
    pub(crate) exported: ExportedInterfaces,
    /// The services that it imports.
    pub(crate) services: Vec<Service>,
    /// The names of all imports, as they stand in it.
    pub(crate) imports: Vec<String>,
    /// The names of all exports, as they stand in it.
    pub(crate) exports: Vec<String>,
}

/// Reads the imports and exports of `component`.
///
/// # Errors
/// On an import that strategies are not given, another version of the contract or several, no role,
/// or no `about`.
pub(crate) fn check_interfaces(
    path: &str,
    engine: &Engine,
    component: &Component,
) -> Result<Interfaces, LoadError> {
    let path = || path.to_owned();
    let shape = component.component_type();
    let imports: Vec<&str> = shape.imports(engine).map(|(name, _)| name).collect();
    let exports: Vec<&str> = shape.exports(engine).map(|(name, _)| name).collect();

    let mut found: Option<&str> = None;
    for name in imports.iter().chain(&exports) {
        let Some((_, version)) = of_contract(name) else {
            continue;
        };
        match found {
            Some(first) if first != version => {
                return Err(LoadError::MixedVersions {
                    path: path(),
                    first: shown(first),
                    second: shown(version),
                });
            }
            _ => found = Some(version),
        }
    }
    let version = match found {
        None => None,
        Some(number) => Some(
            VERSIONS
                .iter()
                .find(|version| version.number == number)
                .ok_or_else(|| LoadError::UnknownVersion {
                    path: path(),
                    package: PACKAGE,
                    found: shown(number),
                    supported: VERSIONS
                        .iter()
                        .map(|version| version.number)
                        .collect::<Vec<_>>()
                        .join(", "),
                })?,
        ),
    };

    let mut services = Vec::new();
    for name in &imports {
        match of_contract(name).map(|(interface, _)| interface) {
            Some("types") => {}
            Some(interface) if let Some(service) = Service::from_name(interface) => {
                services.push(service);
            }
            _ => {
                return Err(LoadError::UnknownImport {
                    path: path(),
                    import: shown(name),
                });
            }
        }
    }

    let exported = |interface: &str| {
        exports
            .iter()
            .any(|name| of_contract(name).is_some_and(|(found, _)| found == interface))
    };
    let roles: Vec<Role> = Role::ALL
        .into_iter()
        .filter(|role| exported(role.name()))
        .collect();
    let Some(version) = version.filter(|_| !roles.is_empty()) else {
        return Err(LoadError::NoRole { path: path() });
    };
    if !exported("about") {
        return Err(LoadError::NoAbout {
            path: path(),
            interface: format!("{PACKAGE}/about@{}", version.number),
        });
    }
    Ok(Interfaces {
        version,
        exported: ExportedInterfaces {
            roles,
            script: exported("script"),
        },
        services,
        imports: imports.iter().map(|name| shown(name)).collect(),
        exports: exports.iter().map(|name| shown(name)).collect(),
    })
}

/// Interface and version of a name such as `sc:strategy/log@0.1.0`.
fn of_contract(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix(PACKAGE)?.strip_prefix('/')?;
    Some(rest.split_once('@').unwrap_or((rest, "")))
}
