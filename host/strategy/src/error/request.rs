//! What can be wrong with what a run asks of its strategies: settings, grants, limits, policies.

use sc_core::role::Role;
use thiserror::Error;

use super::did_you_mean;
use crate::grant::Service;

/// What is wrong with a `--set`.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum SettingError {
    /// Not of the form `ROLE.key=value`.
    #[error("`--set {given}` does not read as ROLE.key=value")]
    Syntax {
        /// What was given.
        given: String,
    },
    /// The part before the dot names no role.
    #[error("`--set {given}`: `{role}` is no role")]
    UnknownRole {
        /// What was given.
        given: String,
        /// Its role.
        role: String,
        /// The role that it was probably meant to be.
        suggestion: Option<String>,
    },
    /// The role is not filled by a strategy of that name.
    #[error("`--set {given}`: no strategy in the role {role} is called `{strategy}`")]
    UnknownStrategy {
        /// What was given.
        given: String,
        /// Its role.
        role: Role,
        /// Its strategy.
        strategy: String,
        /// The strategies that the role has.
        known: Vec<String>,
    },
    /// The same parameter is given twice.
    #[error("`--set {place}` is given twice")]
    Twice {
        /// `ROLE.key`, or `ROLE.STRATEGY.key`.
        place: String,
    },
    /// The role's strategy has no such parameter.
    #[error("`--set {role}.{key}`: strategy `{strategy}` has no parameter `{key}`")]
    UnknownKey {
        /// The role.
        role: Role,
        /// The key.
        key: String,
        /// The strategy that fills the role; several, where it has several.
        strategy: String,
        /// The parameter that it was probably meant to be.
        suggestion: Option<String>,
        /// The parameters that it has.
        known: Vec<String>,
    },
    /// Several strategies of the role have such a parameter.
    #[error("`--set {role}.{key}`: {} have a parameter `{key}`", strategies.join(" and "))]
    Ambiguous {
        /// The role.
        role: Role,
        /// The key.
        key: String,
        /// The strategies.
        strategies: Vec<String>,
    },
    /// The value is of another type or out of range.
    #[error("`--set {role}.{key}={value}`: expected {expected}")]
    Value {
        /// The role.
        role: Role,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is expected.
        expected: String,
        /// What the strategy says that the parameter does, or an example.
        advice: String,
    },
    /// The strategy itself refused its settings.
    #[error(
        "strategy `{strategy}` refused {} as {role}: {message}",
        parameter.as_ref().map_or_else(|| "its settings".to_owned(), |name| format!("`{name}`"))
    )]
    Refused {
        /// The role.
        role: Role,
        /// The strategy.
        strategy: String,
        /// The parameter that is at fault, with its value, if it is one.
        parameter: Option<String>,
        /// What it said.
        message: String,
    },
}

impl SettingError {
    pub(super) fn hint(&self) -> String {
        match self {
            SettingError::Syntax { .. } => "for example `--set data-filter.min_margin=0.3`".into(),
            SettingError::UnknownRole { suggestion, .. } => {
                did_you_mean(suggestion.as_ref(), the_roles)
            }
            SettingError::UnknownStrategy { known, .. } => {
                format!("it has: {}", known.join(", "))
            }
            SettingError::Twice { .. } => "leave one of them out".into(),
            SettingError::UnknownKey {
                suggestion, known, ..
            } => did_you_mean(suggestion.as_ref(), || {
                if known.is_empty() {
                    "it has no parameters".into()
                } else {
                    format!("it has: {}", known.join(", "))
                }
            }),
            SettingError::Ambiguous {
                role,
                key,
                strategies,
            } => format!(
                "say which: `--set {role}.{}.{key}=…`",
                strategies.first().map_or("STRATEGY", String::as_str)
            ),
            SettingError::Value { advice, .. } => advice.clone(),
            SettingError::Refused { .. } => {
                "the reason is the strategy's own: give another value, or none".into()
            }
        }
    }
}

/// What is wrong with a `--grant`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum GrantError {
    /// The part before the dot names no role.
    #[error("`--grant {given}`: `{role}` is no role")]
    UnknownRole {
        /// What was given.
        given: String,
        /// Its role.
        role: String,
        /// The role that it was probably meant to be.
        suggestion: Option<String>,
    },
    /// There is no such service.
    #[error("`--grant {given}`: there is no service `{service}`")]
    UnknownService {
        /// What was given.
        given: String,
        /// Its service.
        service: String,
        /// The service that it was probably meant to be.
        suggestion: Option<String>,
    },
    /// A number is missing, or is none.
    #[error(
        "`--grant {given}`: expected {}",
        match service {
            Service::Random => "no number".to_owned(),
            _ => format!("a number of {} after the colon", service.unit()),
        }
    )]
    Amount {
        /// What was given.
        given: String,
        /// Its service.
        service: Service,
    },
    /// The same service is granted twice.
    #[error("`--grant {given}`: granted before")]
    Twice {
        /// The second grant.
        given: String,
    },
}

impl GrantError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            GrantError::UnknownRole { suggestion, .. } => {
                did_you_mean(suggestion.as_ref(), the_roles)
            }
            GrantError::UnknownService { suggestion, .. } => {
                did_you_mean(suggestion.as_ref(), || {
                    format!(
                        "the services are {}",
                        Service::ALL.map(Service::name).join(", ")
                    )
                })
            }
            GrantError::Amount { service, .. } => format!("for example `{}`", service.example()),
            GrantError::Twice { .. } => "leave one of them out".into(),
        }
    }
}

/// What is wrong with another option about strategies.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// A limit does not read, or is out of range.
    #[error("`--limit {given}`: expected {expected}")]
    Limit {
        /// What was given.
        given: String,
        /// What is expected.
        expected: String,
    },
    /// A policy for failures does not read.
    #[error("`--on-strategy-failure {given}`: expected [ROLE=]stop, skip or last-good")]
    OnFailure {
        /// What was given.
        given: String,
    },
    /// A combinator does not read.
    #[error("`--combine {given}`: expected {expected}")]
    Combine {
        /// What was given.
        given: String,
        /// What is expected.
        expected: &'static str,
    },
}

impl RequestError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            RequestError::Limit { .. } => "`sc-host strategy limits` lists them all".into(),
            RequestError::OnFailure { .. } => {
                "for example `--on-strategy-failure data-filter=skip`".into()
            }
            RequestError::Combine { .. } => {
                "for example `--combine quality-gate=any-roll-back`".into()
            }
        }
    }
}

fn the_roles() -> String {
    format!("the roles are {}", Role::ALL.map(Role::name).join(", "))
}
