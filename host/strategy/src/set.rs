//! From what a run asks for to its strategies: loaded, configured, checked.

use std::collections::BTreeSet;
use std::sync::Arc;

use sc_core::role::Role;

use crate::builtin::{self, Builtin};
use crate::checked::Checked;
use crate::error::{LoadError, SettingError};
use crate::grant::{Grants, Service};
use crate::parameter::{Parameter, Settings, closest};
use crate::request::{GateCombinator, Requested, Setting, StrategyRequest, parse_settings};
use crate::role::{Curriculum, DataFilter, PairSelection, QualityGate};
use crate::slot::{Filled, Identity, Slot};
use crate::wasm::{Configured, Guest, Runtime};

pub(crate) const BUILTIN_PREFIX: &str = "builtin:";

/// The strategies of a run.
pub struct StrategySet {
    /// Plans rounds.
    pub curriculum: Slot<dyn Curriculum>,
    /// Drop unfit candidates, one after the other.
    pub data_filters: Vec<Slot<dyn DataFilter>>,
    /// Chooses training examples.
    pub pair_selection: Slot<dyn PairSelection>,
    /// Keep or roll back rounds.
    pub quality_gates: Vec<Slot<dyn QualityGate>>,
    pub(crate) sources: Vec<SourceFile>,
    pub(crate) request: StrategyRequest,
}

/// A file that strategies were loaded from.
pub(crate) struct SourceFile {
    pub(crate) path: String,
    /// The digest of what was last looked at, good or not.
    pub(crate) seen: String,
}

/// The names of all builtins, as `--strategy` takes them.
pub fn builtin_names() -> Vec<String> {
    Role::ALL
        .into_iter()
        .flat_map(builtin::names)
        .map(|name| format!("{BUILTIN_PREFIX}{name}"))
        .collect()
}

/// A trait of strategies, as what fills its role.
pub(crate) trait OfRole: 'static {
    const ROLE: Role;
    fn builtins() -> &'static [Builtin<Self>];
    fn of_guest(guest: Configured) -> Box<Self>;
    fn of_checked(checked: Checked<Self>) -> Box<Self>;
}

macro_rules! of_role {
    ($strategy:ident, $builtins:ident) => {
        impl OfRole for dyn $strategy {
            const ROLE: Role = Role::$strategy;
            fn builtins() -> &'static [Builtin<Self>] {
                &builtin::$builtins
            }
            fn of_guest(guest: Configured) -> Box<Self> {
                Box::new(guest)
            }
            fn of_checked(checked: Checked<Self>) -> Box<Self> {
                Box::new(checked)
            }
        }
    };
}

of_role!(Curriculum, CURRICULA);
of_role!(DataFilter, DATA_FILTERS);
of_role!(PairSelection, PAIR_SELECTIONS);
of_role!(QualityGate, QUALITY_GATES);

/// A strategy as it was asked for, before it is configured for a role.
#[derive(Clone)]
pub(crate) enum Loaded {
    Builtin { role: Role, name: &'static str },
    Guest(Arc<Guest>),
}

impl Loaded {
    pub(crate) fn roles(&self) -> Vec<Role> {
        match self {
            Loaded::Builtin { role, .. } => vec![*role],
            Loaded::Guest(guest) => guest.roles().to_vec(),
        }
    }

    /// Loads what `requested` names.
    pub(crate) fn load(requested: &Requested, runtime: &Runtime) -> Result<Loaded, LoadError> {
        let source = &requested.source;
        let Some(name) = source.strip_prefix(BUILTIN_PREFIX) else {
            let guest = runtime.load(source)?;
            if let Some(expected) = &requested.digest
                && guest.digest() != expected
            {
                return Err(LoadError::Digest {
                    path: source.clone(),
                    found: guest.digest().to_owned(),
                    expected: crate::error::shown(expected),
                });
            }
            return Ok(Loaded::Guest(Arc::new(guest)));
        };
        Role::ALL
            .into_iter()
            .flat_map(|role| {
                builtin::names(role)
                    .into_iter()
                    .map(move |name| (role, name))
            })
            .find(|(_, known)| *known == name)
            .map(|(role, name)| Loaded::Builtin { role, name })
            .ok_or_else(|| {
                let known: Vec<String> = Role::ALL
                    .into_iter()
                    .flat_map(builtin::names)
                    .map(str::to_owned)
                    .collect();
                LoadError::UnknownBuiltin {
                    name: name.to_owned(),
                    suggestion: closest(name, &known)
                        .map(|known| format!("{BUILTIN_PREFIX}{known}")),
                }
            })
    }
}

/// One place in a role, before its settings are known.
struct Place {
    loaded: Loaded,
    /// As it was asked for.
    source: String,
    /// Values that came with the request itself.
    parameters: Vec<(String, String)>,
}

impl StrategySet {
    /// Loads the strategies of `request`, fills the remaining roles with builtins, and applies the
    /// settings. Everything is checked here: after this, only a call itself can fail.
    ///
    /// # Errors
    /// Names the strategy, setting or grant that cannot be used, and why.
    pub fn load(request: &StrategyRequest, runtime: &Runtime) -> Result<StrategySet, LoadError> {
        let settings = parse_settings(&request.settings)?;
        let mut places: [Vec<Place>; 4] = Default::default();
        let mut sources: Vec<SourceFile> = Vec::new();
        // Those that do not give way come first.
        let (yielding, firm): (Vec<_>, Vec<_>) =
            request.strategies.iter().partition(|one| one.gives_way);
        let mut firmly_filled: BTreeSet<Role> = BTreeSet::new();
        for requested in firm.into_iter().chain(yielding) {
            if let Some(role) = requested.role
                && requested.gives_way
                && firmly_filled.contains(&role)
            {
                continue;
            }
            let loaded = Loaded::load(requested, runtime)?;
            if let Loaded::Guest(guest) = &loaded
                && sources.iter().all(|file| file.path != requested.source)
            {
                sources.push(SourceFile {
                    path: requested.source.clone(),
                    seen: guest.digest().to_owned(),
                });
            }
            let roles = match requested.role {
                Some(role) if loaded.roles().contains(&role) => vec![role],
                Some(role) => {
                    return Err(LoadError::OtherRole {
                        path: requested.source.clone(),
                        role,
                    });
                }
                None => loaded.roles(),
            };
            for role in roles {
                if !requested.gives_way {
                    firmly_filled.insert(role);
                } else if firmly_filled.contains(&role) {
                    continue;
                }
                let taken = &mut places[role as usize];
                if let Some(first) = taken.first()
                    && !takes_several(role, request.combine_gates)
                {
                    return Err(LoadError::RoleTaken {
                        role,
                        first: first.source.clone(),
                        second: requested.source.clone(),
                    });
                }
                taken.push(Place {
                    loaded: loaded.clone(),
                    source: requested.source.clone(),
                    parameters: requested.parameters.clone(),
                });
            }
        }
        let [curriculum, data_filter, pair_selection, quality_gate] = places;
        let filler = Filler {
            settings: &settings,
            request,
            runtime,
        };
        Ok(StrategySet {
            curriculum: filler.one(curriculum)?,
            data_filters: filler.all(data_filter)?,
            pair_selection: filler.one(pair_selection)?,
            quality_gates: filler.all(quality_gate)?,
            sources,
            request: request.clone(),
        })
    }

    /// Who fills each place, in the order in which a round asks them.
    pub fn identities(&self) -> Vec<(Role, &Identity)> {
        let curriculum = (Role::Curriculum, self.curriculum.identity());
        let filters = self.data_filters.iter().map(Slot::identity);
        let selection = (Role::PairSelection, self.pair_selection.identity());
        let gates = self.quality_gates.iter().map(Slot::identity);
        [curriculum]
            .into_iter()
            .chain(filters.map(|identity| (Role::DataFilter, identity)))
            .chain([selection])
            .chain(gates.map(|identity| (Role::QualityGate, identity)))
            .collect()
    }
}

fn takes_several(role: Role, combine_gates: Option<GateCombinator>) -> bool {
    match role {
        Role::DataFilter => true,
        Role::QualityGate => combine_gates.is_some(),
        Role::Curriculum | Role::PairSelection => false,
    }
}

/// What is the same for all places of a run.
pub(crate) struct Filler<'a> {
    settings: &'a [Setting],
    request: &'a StrategyRequest,
    runtime: &'a Runtime,
}

impl Filler<'_> {
    /// The one place of a role that takes one strategy.
    fn one<S: OfRole + ?Sized>(&self, places: Vec<Place>) -> Result<Slot<S>, LoadError> {
        let mut slots = self.all(places)?;
        // A role is never left empty, and `load` has refused a second strategy.
        Ok(slots.swap_remove(0))
    }

    fn all<S: OfRole + ?Sized>(&self, mut places: Vec<Place>) -> Result<Vec<Slot<S>>, LoadError> {
        let first = &S::builtins()[0];
        if places.is_empty() {
            places.push(Place {
                loaded: Loaded::Builtin {
                    role: S::ROLE,
                    name: first.name,
                },
                source: format!("{BUILTIN_PREFIX}{}", first.name),
                parameters: Vec::new(),
            });
        }
        let of_others = distribute::<S>(&places, self.settings)?;
        let alone = places.len() == 1;
        let mut slots = Vec::with_capacity(places.len());
        for (place, others) in places.iter().zip(of_others) {
            // What is set for the run goes before what came with the strategy.
            let own = place
                .parameters
                .iter()
                .filter(|(key, _)| others.iter().all(|(other, _)| other != key))
                .cloned();
            let given: Vec<(String, String)> = own.chain(others.iter().cloned()).collect();
            let current = fill::<S>(
                &place.loaded,
                &place.source,
                &given,
                &self.request.grants,
                self.runtime,
            )?;
            slots.push(Slot {
                current: Arc::new(current),
                last_good: None,
                builtin: if alone {
                    let builtin = Loaded::Builtin {
                        role: S::ROLE,
                        name: first.name,
                    };
                    let source = format!("{BUILTIN_PREFIX}{}", first.name);
                    let grants = Grants::default();
                    let filled = fill::<S>(&builtin, &source, &[], &grants, self.runtime)?;
                    Some(Arc::new(filled))
                } else {
                    None
                },
                on_failure: self.request.on_failure.of(S::ROLE),
                given,
                proved: false,
            });
        }
        Ok(slots)
    }
}

/// Which settings of `role` go to which of its places.
fn distribute<S: OfRole + ?Sized>(
    places: &[Place],
    settings: &[Setting],
) -> Result<Vec<Vec<(String, String)>>, LoadError> {
    let known: Vec<(String, Vec<Parameter>)> = places
        .iter()
        .map(|place| (name::<S>(&place.loaded), parameters::<S>(&place.loaded)))
        .collect();
    let mut given = vec![Vec::new(); places.len()];
    for setting in settings.iter().filter(|setting| setting.role == S::ROLE) {
        let named = |name: &str| match &setting.strategy {
            Some(wanted) => name == wanted || name.strip_prefix(BUILTIN_PREFIX) == Some(wanted),
            None => true,
        };
        let among: Vec<usize> = (0..places.len())
            .filter(|&at| named(&known[at].0))
            .collect();
        let names =
            |of: &[usize]| -> Vec<String> { of.iter().map(|&at| known[at].0.clone()).collect() };
        if among.is_empty() {
            return Err(SettingError::UnknownStrategy {
                given: setting.given.clone(),
                role: S::ROLE,
                strategy: setting.strategy.clone().unwrap_or_default(),
                known: known.iter().map(|(name, _)| name.clone()).collect(),
            }
            .into());
        }
        let has_key = |at: &usize| known[*at].1.iter().any(|p| p.name == setting.key);
        let takers: Vec<usize> = among.iter().copied().filter(has_key).collect();
        match takers[..] {
            [taker] => given[taker].push((setting.key.clone(), setting.value.clone())),
            [] => {
                let all = among.iter().flat_map(|&at| &known[at].1);
                let all: Vec<String> = all.map(|parameter| parameter.name.clone()).collect();
                return Err(SettingError::UnknownKey {
                    role: S::ROLE,
                    key: setting.key.clone(),
                    strategy: names(&among).join("`, `"),
                    suggestion: closest(&setting.key, &all),
                    known: all,
                }
                .into());
            }
            _ => {
                return Err(SettingError::Ambiguous {
                    role: S::ROLE,
                    key: setting.key.clone(),
                    strategies: names(&takers),
                }
                .into());
            }
        }
    }
    Ok(given)
}

/// The builtin of that name; the first, which is the role's default, if there is none.
fn builtin_named<S: OfRole + ?Sized>(name: &str) -> &'static Builtin<S> {
    let table = S::builtins();
    table
        .iter()
        .find(|builtin| builtin.name == name)
        .unwrap_or(&table[0])
}

fn name<S: OfRole + ?Sized>(loaded: &Loaded) -> String {
    match loaded {
        Loaded::Builtin { name, .. } => format!("{BUILTIN_PREFIX}{name}"),
        Loaded::Guest(guest) => guest.name().to_owned(),
    }
}

fn parameters<S: OfRole + ?Sized>(loaded: &Loaded) -> Vec<Parameter> {
    match loaded {
        Loaded::Builtin { name, .. } => (builtin_named::<S>(name).parameters)(),
        Loaded::Guest(guest) => guest.parameters().to_vec(),
    }
}

/// Configures a strategy for the role of `S`.
///
/// # Errors
/// When a value does not fit its parameter, a service is not granted, or the strategy refuses.
pub(crate) fn fill<S: OfRole + ?Sized>(
    loaded: &Loaded,
    source: &str,
    given: &[(String, String)],
    grants: &Grants,
    runtime: &Runtime,
) -> Result<Filled<S>, LoadError> {
    let name = name::<S>(loaded);
    let settings = Settings::resolve(S::ROLE, &name, &parameters::<S>(loaded), given)?;
    let (strategy, version, digest) = match loaded {
        Loaded::Builtin { name, .. } => (
            (builtin_named::<S>(name).make)(&settings),
            env!("CARGO_PKG_VERSION").to_owned(),
            None,
        ),
        Loaded::Guest(guest) => {
            check_grants(guest, S::ROLE, grants)?;
            let configured = guest.configure(S::ROLE, &settings, grants)?;
            (
                S::of_guest(configured),
                guest.description().version.clone(),
                Some(guest.digest().to_owned()),
            )
        }
    };
    Ok(Filled {
        strategy: S::of_checked(Checked {
            name: name.clone(),
            state_bytes: runtime.limits().state_bytes,
            inner: strategy,
        }),
        identity: Identity {
            name,
            source: source.to_owned(),
            version,
            digest,
            parameters: settings.to_json(),
        },
    })
}

fn check_grants(guest: &Guest, role: Role, grants: &Grants) -> Result<(), LoadError> {
    let missing =
        |service: &&Service| service.needs_grant() && grants.allowance(role, **service).is_none();
    match guest.services().iter().find(missing) {
        None => Ok(()),
        Some(&service) => Err(LoadError::NotGranted {
            strategy: guest.name().to_owned(),
            service,
            role,
        }),
    }
}
