//! What a strategy is, without a run.

use sc_core::role::Role;
use serde::{Serialize, Serializer};

use crate::builtin;
use crate::error::LoadError;
use crate::grant::Service;
use crate::parameter::Parameter;
use crate::request::Requested;
use crate::set::Loaded;
use crate::wasm::Runtime;

/// What stands behind a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Built into the program.
    Builtin,
    /// A WebAssembly component.
    Component,
    /// A Rhai script.
    Script,
}

impl Kind {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Builtin => "builtin",
            Kind::Component => "component",
            Kind::Script => "script",
        }
    }
}

/// All that can be said of a strategy before it is given a role.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// What was asked for: a path, or `builtin:NAME`.
    pub source: String,
    /// What stands behind it.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in a sentence.
    pub summary: String,
    /// Who wrote it.
    pub authors: Vec<String>,
    /// Such as `MIT`; empty when unknown.
    pub licence: String,
    /// The roles that it fills.
    pub roles: Vec<Role>,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// The services that it imports or asks for.
    #[serde(serialize_with = "names")]
    pub services: Vec<Service>,
    /// The full names of what its component imports; a script imports nothing.
    pub imports: Vec<String>,
    /// The full names of what its component exports; none for a script.
    pub exports: Vec<String>,
    /// The version of the contract; none for a builtin.
    pub contract: Option<String>,
    /// Size of its file.
    pub bytes: Option<usize>,
    /// `sha256:HEX` of its file.
    pub digest: Option<String>,
}

fn names<S: Serializer>(services: &[Service], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(services.iter().map(|service| service.name()))
}

/// Loads the strategy that `source` names and says what it is.
///
/// # Errors
/// When it cannot be loaded.
pub fn inspect(source: &str, runtime: &Runtime) -> Result<Inspection, LoadError> {
    Ok(match Loaded::load(&Requested::named(source), runtime)? {
        Loaded::Builtin { role, name } => {
            let (summary, parameters) = builtin::about(role, name);
            Inspection {
                source: source.to_owned(),
                kind: Kind::Builtin,
                name: source.to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                summary: summary.to_owned(),
                authors: Vec::new(),
                licence: "Apache-2.0 OR MIT".into(),
                roles: vec![role],
                parameters,
                services: Vec::new(),
                imports: Vec::new(),
                exports: Vec::new(),
                contract: None,
                bytes: None,
                digest: None,
            }
        }
        Loaded::Guest(guest) => {
            let description = guest.description().clone();
            let is_script = guest.is_script();
            Inspection {
                source: source.to_owned(),
                kind: if is_script {
                    Kind::Script
                } else {
                    Kind::Component
                },
                name: description.name,
                version: description.version,
                summary: description.summary,
                authors: description.authors,
                licence: description.licence,
                roles: description.roles,
                parameters: description.parameters,
                services: guest.services().to_vec(),
                imports: if is_script {
                    Vec::new()
                } else {
                    guest.imports().to_vec()
                },
                exports: if is_script {
                    Vec::new()
                } else {
                    guest.exports().to_vec()
                },
                contract: Some(guest.contract().to_owned()),
                bytes: Some(guest.bytes()),
                digest: Some(guest.digest().to_owned()),
            }
        }
    })
}
