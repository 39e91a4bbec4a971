//! What a run asks of its strategies, before any of them is loaded.

use std::fmt;

use sc_core::role::Role;
use serde::{Deserialize, Serialize};

use crate::error::{LoadError, RequestError, SettingError};
use crate::grant::Grants;
use crate::parameter::closest;

/// What is done when a strategy fails in the middle of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The run stops, and can go on later.
    #[default]
    Stop,
    /// This time it is as if the strategy had not been given: a builtin decides, or the other
    /// strategies of its role do.
    Skip,
    /// The last version of the strategy that answered in this run decides; where there is none, as
    /// `Skip`.
    LastGood,
}

impl OnFailure {
    const ALL: [OnFailure; 3] = [OnFailure::Stop, OnFailure::Skip, OnFailure::LastGood];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            OnFailure::Stop => "stop",
            OnFailure::Skip => "skip",
            OnFailure::LastGood => "last-good",
        }
    }
}

impl fmt::Display for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What each role does when its strategy fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Policies {
    /// For the curriculum.
    pub curriculum: OnFailure,
    /// For each data filter.
    pub data_filter: OnFailure,
    /// For the pair selection.
    pub pair_selection: OnFailure,
    /// For each quality gate.
    pub quality_gate: OnFailure,
}

impl Policies {
    /// The policy of a role.
    pub fn of(&self, role: Role) -> OnFailure {
        match role {
            Role::Curriculum => self.curriculum,
            Role::DataFilter => self.data_filter,
            Role::PairSelection => self.pair_selection,
            Role::QualityGate => self.quality_gate,
        }
    }

    fn of_mut(&mut self, role: Role) -> &mut OnFailure {
        match role {
            Role::Curriculum => &mut self.curriculum,
            Role::DataFilter => &mut self.data_filter,
            Role::PairSelection => &mut self.pair_selection,
            Role::QualityGate => &mut self.quality_gate,
        }
    }

    /// Changes them as `[ROLE=]POLICY` says, in order.
    ///
    /// # Errors
    /// On another role or policy.
    pub fn with(mut self, changes: &[String]) -> Result<Policies, RequestError> {
        for change in changes {
            let wrong = || RequestError::OnFailure {
                given: change.clone(),
            };
            let (role, name) = match change.split_once('=') {
                Some((role, name)) => (Some(Role::from_name(role).ok_or_else(wrong)?), name),
                None => (None, change.as_str()),
            };
            let policy = OnFailure::ALL
                .into_iter()
                .find(|policy| policy.name() == name)
                .ok_or_else(wrong)?;
            match role {
                Some(role) => *self.of_mut(role) = policy,
                None => Role::ALL
                    .into_iter()
                    .for_each(|role| *self.of_mut(role) = policy),
            }
        }
        Ok(self)
    }
}

/// How the answers of several quality gates become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateCombinator {
    /// All are asked, in order; the most cautious answer holds: stop before roll back before keep,
    /// and of equals the first.
    AnyRollBack,
}

impl GateCombinator {
    /// Reads `quality-gate=any-roll-back`.
    ///
    /// # Errors
    /// On anything else.
    pub fn parse(text: &str) -> Result<GateCombinator, RequestError> {
        match text {
            "quality-gate=any-roll-back" => Ok(GateCombinator::AnyRollBack),
            _ => Err(RequestError::Combine {
                given: text.to_owned(),
                expected: "quality-gate=any-roll-back, the only combinator",
            }),
        }
    }
}

/// A strategy that a run asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requested {
    /// `PATH.wasm`, `PATH.rhai` or `builtin:NAME`.
    pub source: String,
    /// The digest that the file must have, as `sha256:HEX`.
    pub digest: Option<String>,
    /// The only role that it is to fill; none: all that it has.
    pub role: Option<Role>,
    /// Values of its parameters in that role, by name, as typed.
    pub parameters: Vec<(String, String)>,
    /// Whether it is left out of roles that another fills which does not give way: a configuration's
    /// strategies give way to those that are typed beside it.
    pub gives_way: bool,
}

impl Requested {
    /// What `--strategy` names.
    pub fn named(source: &str) -> Requested {
        Requested {
            source: source.to_owned(),
            ..Requested::default()
        }
    }
}

/// All that a run asks of its strategies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StrategyRequest {
    /// The strategies, in order. Several data filters form a chain; builtins fill the roles that
    /// are left.
    pub strategies: Vec<Requested>,
    /// `ROLE.key=value` or `ROLE.STRATEGY.key=value`.
    pub settings: Vec<String>,
    /// What they may use.
    pub grants: Grants,
    /// What happens when one fails.
    pub on_failure: Policies,
    /// How several quality gates are combined; none: there may be one only.
    pub combine_gates: Option<GateCombinator>,
}

impl StrategyRequest {
    /// A request for what `--strategy` and `--set` name.
    pub fn of(sources: &[String], settings: &[String]) -> StrategyRequest {
        StrategyRequest {
            strategies: sources
                .iter()
                .map(|source| Requested::named(source))
                .collect(),
            settings: settings.to_vec(),
            ..StrategyRequest::default()
        }
    }
}

/// A `--set`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// As it was given.
    pub(crate) given: String,
    pub(crate) role: Role,
    /// The strategy's name, where it is said.
    pub(crate) strategy: Option<String>,
    pub(crate) key: String,
    pub(crate) value: String,
}

/// Reads `ROLE.key=value` and `ROLE.STRATEGY.key=value`.
///
/// # Errors
/// On anything else, an unknown role, or a place that is given twice.
pub(crate) fn parse_settings(texts: &[String]) -> Result<Vec<Setting>, LoadError> {
    let mut settings: Vec<Setting> = Vec::new();
    for text in texts {
        let setting = parse_setting(text)?;
        let same_place = |other: &Setting| {
            (other.role, &other.strategy, &other.key)
                == (setting.role, &setting.strategy, &setting.key)
        };
        if settings.iter().any(same_place) {
            let place = text
                .split_once('=')
                .map_or(text.as_str(), |(place, _)| place);
            return Err(SettingError::Twice {
                place: place.to_owned(),
            }
            .into());
        }
        settings.push(setting);
    }
    Ok(settings)
}

fn parse_setting(text: &str) -> Result<Setting, SettingError> {
    let syntax = || SettingError::Syntax {
        given: text.to_owned(),
    };
    let (place, value) = text.split_once('=').ok_or_else(syntax)?;
    let (role, rest) = place.split_once('.').ok_or_else(syntax)?;
    // A strategy's name may hold dots itself; a key cannot.
    let (strategy, key) = match rest.rsplit_once('.') {
        Some((strategy, key)) => (Some(strategy.to_owned()), key),
        None => (None, rest),
    };
    if key.is_empty() {
        return Err(syntax());
    }
    let role = Role::from_name(role).ok_or_else(|| SettingError::UnknownRole {
        given: text.to_owned(),
        role: role.to_owned(),
        suggestion: closest(role, &Role::ALL.map(|role| role.name().to_owned())),
    })?;
    Ok(Setting {
        given: text.to_owned(),
        role,
        strategy,
        key: key.to_owned(),
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_given_for_all_or_by_role() {
        let with = |changes: &[&str]| {
            let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
            Policies::default().with(&changes)
        };
        let expected = Policies {
            quality_gate: OnFailure::LastGood,
            curriculum: OnFailure::Skip,
            data_filter: OnFailure::Skip,
            pair_selection: OnFailure::Skip,
        };
        assert_eq!(with(&["skip", "quality-gate=last-good"]), Ok(expected));
        for wrong in ["", "halt", "gate=skip", "quality-gate=", "=skip"] {
            assert!(with(&[wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_setting_may_name_its_strategy() -> Result<(), LoadError> {
        let settings = parse_settings(&[
            "data-filter.margin.min_margin=0.3".into(),
            "data-filter.my.filter.min_margin=a=b".into(),
            "data-filter.min_margin=".into(),
        ])?;
        let found: Vec<_> = settings
            .iter()
            .map(|s| (s.strategy.as_deref(), &*s.key, &*s.value))
            .collect();
        assert_eq!(
            found,
            [
                (Some("margin"), "min_margin", "0.3"),
                (Some("my.filter"), "min_margin", "a=b"),
                (None, "min_margin", ""),
            ]
        );
        Ok(())
    }
}
