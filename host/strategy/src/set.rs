//! From what the command line asks for to four strategies.

use std::collections::{BTreeMap, BTreeSet};

use sc_core::role::Role;

use crate::builtin::{self, Builtin};
use crate::checked::Checked;
use crate::error::{LoadError, SettingError};
use crate::parameter::{Settings, closest};
use crate::role::{Curriculum, DataFilter, PairSelection, QualityGate};
use crate::wasm::{Configured, Guest, Runtime};

pub(crate) const BUILTIN_PREFIX: &str = "builtin:";

/// Who fills a role, as the run directory records it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Identity {
    /// `builtin:NAME`, or the name that the strategy gives itself (a script: its file's stem).
    pub name: String,
    /// The file's name without its directory; `builtin:NAME` for a builtin.
    pub source: String,
    /// The strategy's version.
    pub version: String,
    /// `sha256:HEX` of the file; none for a builtin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The value of each parameter.
    pub settings: BTreeMap<String, serde_json::Value>,
}

/// A role's strategy.
pub struct Filled<S: ?Sized> {
    /// Who it is.
    pub identity: Identity,
    /// What it does. Its answers are checked.
    pub strategy: Box<S>,
}

/// The four strategies of a run.
pub struct StrategySet {
    /// Plans rounds.
    pub curriculum: Filled<dyn Curriculum>,
    /// Drops unfit candidates.
    pub data_filter: Filled<dyn DataFilter>,
    /// Chooses training examples.
    pub pair_selection: Filled<dyn PairSelection>,
    /// Keeps or rolls back rounds.
    pub quality_gate: Filled<dyn QualityGate>,
}

/// The names of all builtins, as `--strategy` takes them.
pub fn builtin_names() -> Vec<String> {
    Role::ALL
        .into_iter()
        .flat_map(builtin::names)
        .map(|name| format!("{BUILTIN_PREFIX}{name}"))
        .collect()
}

/// A strategy as it was asked for, before it is configured for a role.
enum Loaded {
    Builtin { role: Role, name: &'static str },
    Guest(Guest),
}

/// The settings of each role, by key, as given.
type Given = BTreeMap<Role, Vec<(String, String)>>;

impl StrategySet {
    /// Loads the strategies that `specs` name (`PATH.wasm`, `PATH.rhai`, `builtin:NAME`), fills the
    /// remaining roles with builtins, and applies `settings` (`ROLE.key=value`). Everything is
    /// checked here: after this, only a call itself can fail.
    ///
    /// # Errors
    /// Names the strategy or the setting that cannot be used, and why.
    pub fn load(
        specs: &[String],
        settings: &[String],
        runtime: &Runtime,
    ) -> Result<StrategySet, LoadError> {
        let given = parse_settings(settings)?;
        let mut filling: BTreeMap<Role, (&str, usize)> = BTreeMap::new();
        let mut loaded = Vec::new();
        for spec in specs {
            let strategy = load_one(spec, runtime)?;
            let roles = match &strategy {
                Loaded::Builtin { role, .. } => vec![*role],
                Loaded::Guest(guest) => guest.roles(),
            };
            for role in roles {
                if let Some((first, _)) = filling.insert(role, (spec, loaded.len())) {
                    return Err(LoadError::RoleTaken {
                        role,
                        first: first.to_owned(),
                        second: spec.clone(),
                    });
                }
            }
            loaded.push(strategy);
        }
        let filler = Filler {
            filling: filling
                .into_iter()
                .map(|(role, (_, position))| (role, position))
                .collect(),
            loaded,
            given,
            runtime,
        };
        Ok(StrategySet {
            curriculum: filler.fill(
                Role::Curriculum,
                &builtin::CURRICULA,
                |guest| Box::new(guest),
                |checked| Box::new(checked),
            )?,
            data_filter: filler.fill(
                Role::DataFilter,
                &builtin::DATA_FILTERS,
                |guest| Box::new(guest),
                |checked| Box::new(checked),
            )?,
            pair_selection: filler.fill(
                Role::PairSelection,
                &builtin::PAIR_SELECTIONS,
                |guest| Box::new(guest),
                |checked| Box::new(checked),
            )?,
            quality_gate: filler.fill(
                Role::QualityGate,
                &builtin::QUALITY_GATES,
                |guest| Box::new(guest),
                |checked| Box::new(checked),
            )?,
        })
    }

    /// Who fills each role.
    pub fn identities(&self) -> [(Role, &Identity); 4] {
        [
            (Role::Curriculum, &self.curriculum.identity),
            (Role::DataFilter, &self.data_filter.identity),
            (Role::PairSelection, &self.pair_selection.identity),
            (Role::QualityGate, &self.quality_gate.identity),
        ]
    }
}

/// What fills the roles.
struct Filler<'a> {
    /// The position in `loaded` of the strategy of a role; builtins fill the others.
    filling: BTreeMap<Role, usize>,
    loaded: Vec<Loaded>,
    given: Given,
    runtime: &'a Runtime,
}

impl Filler<'_> {
    /// Configures the strategy of `role`, which is a guest or stands in `table`.
    fn fill<S: ?Sized>(
        &self,
        role: Role,
        table: &[Builtin<S>],
        guest_for_role: fn(Configured) -> Box<S>,
        boxed: fn(Checked<S>) -> Box<S>,
    ) -> Result<Filled<S>, LoadError> {
        let given = self.given.get(&role).map_or(&[][..], Vec::as_slice);
        let loaded = self.filling.get(&role).map(|&at| &self.loaded[at]);
        let (mut identity, settings, strategy) = if let Some(Loaded::Guest(guest)) = loaded {
            let identity = guest.identity();
            let settings = Settings::resolve(role, &identity.name, guest.parameters(), given)?;
            let configured = guest.configure(role, &settings)?;
            (identity, settings, guest_for_role(configured))
        } else {
            let chosen = table
                .iter()
                .find(|builtin| {
                    matches!(loaded, Some(Loaded::Builtin { name, .. }) if *name == builtin.name)
                })
                .unwrap_or(&table[0]);
            let name = format!("{BUILTIN_PREFIX}{}", chosen.name);
            let settings = Settings::resolve(role, &name, &(chosen.parameters)(), given)?;
            let strategy = (chosen.make)(&settings);
            let identity = Identity {
                source: name.clone(),
                name,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                digest: None,
                settings: BTreeMap::new(),
            };
            (identity, settings, strategy)
        };
        identity.settings = settings
            .0
            .iter()
            .map(|(name, value)| (name.clone(), value.to_json()))
            .collect();
        Ok(Filled {
            strategy: boxed(Checked {
                name: identity.name.clone(),
                state_bytes: self.runtime.limits().state_bytes,
                inner: strategy,
            }),
            identity,
        })
    }
}

/// Loads what one `--strategy` names.
fn load_one(spec: &str, runtime: &Runtime) -> Result<Loaded, LoadError> {
    let Some(name) = spec.strip_prefix(BUILTIN_PREFIX) else {
        return runtime.load(spec).map(Loaded::Guest);
    };
    let known: Vec<String> = Role::ALL
        .into_iter()
        .flat_map(builtin::names)
        .map(str::to_owned)
        .collect();
    Role::ALL
        .into_iter()
        .flat_map(|role| {
            builtin::names(role)
                .into_iter()
                .map(move |name| (role, name))
        })
        .find(|(_, known)| *known == name)
        .map(|(role, name)| Loaded::Builtin { role, name })
        .ok_or_else(|| LoadError::UnknownBuiltin {
            name: name.to_owned(),
            suggestion: closest(name, &known).map(|known| format!("{BUILTIN_PREFIX}{known}")),
        })
}

/// Reads `ROLE.key=value` settings.
fn parse_settings(settings: &[String]) -> Result<Given, SettingError> {
    let mut given = Given::new();
    let mut seen = BTreeSet::new();
    for setting in settings {
        let syntax = || SettingError::Syntax {
            given: setting.clone(),
        };
        let (place, value) = setting.split_once('=').ok_or_else(syntax)?;
        let (role, key) = place.split_once('.').ok_or_else(syntax)?;
        if key.is_empty() {
            return Err(syntax());
        }
        let role = Role::from_name(role).ok_or_else(|| SettingError::UnknownRole {
            given: setting.clone(),
            role: role.to_owned(),
            suggestion: closest(role, &Role::ALL.map(|role| role.name().to_owned())),
        })?;
        if !seen.insert((role, key)) {
            return Err(SettingError::Twice {
                role,
                key: key.to_owned(),
            });
        }
        given
            .entry(role)
            .or_default()
            .push((key.to_owned(), value.to_owned()));
    }
    Ok(given)
}
