//! Which services a run grants to its strategies.

use std::fmt;

use sc_core::role::Role;

use crate::error::GrantError;
use crate::parameter::closest;

/// Images that a strategy may look at in a round where the grant names no number.
const IMAGES: u32 = 1_000_000;

/// What a strategy can be given beside its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Lines for the run's log.
    Log,
    /// Seeded random numbers.
    Random,
    /// The images of a round's candidates.
    Candidate,
    /// Further questions to the understanding branch.
    Model,
}

impl Service {
    /// All services.
    pub const ALL: [Service; 4] = [
        Service::Log,
        Service::Random,
        Service::Candidate,
        Service::Model,
    ];

    /// The name in the contract and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Service::Log => "log",
            Service::Random => "random",
            Service::Candidate => "candidate",
            Service::Model => "model",
        }
    }

    /// The service of that name.
    pub fn from_name(name: &str) -> Option<Service> {
        Service::ALL
            .into_iter()
            .find(|service| service.name() == name)
    }

    /// Whether a run must say that it grants it.
    pub fn needs_grant(self) -> bool {
        matches!(self, Service::Candidate | Service::Model)
    }

    /// How it is granted, as an example.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Service::Log => "--grant log:100",
            Service::Random => "--grant random",
            Service::Candidate => "--grant candidate",
            Service::Model => "--grant model:500",
        }
    }

    /// What the number of a grant counts.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Service::Log => "lines a call",
            Service::Random => "no number",
            Service::Candidate => "images a round",
            Service::Model => "questions a round",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One `--grant [ROLE.]SERVICE[:N]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grant {
    /// `None`: every role.
    role: Option<Role>,
    service: Service,
    amount: u32,
}

/// What a run grants beyond what every strategy is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(Vec<Grant>);

impl Grants {
    /// Reads `[ROLE.]SERVICE[:N]` grants, such as `model:500` or `data-filter.candidate`.
    ///
    /// # Errors
    /// Names the grant that does not read, and what is wrong with it.
    pub fn parse(texts: &[String]) -> Result<Grants, GrantError> {
        let mut grants: Vec<Grant> = Vec::new();
        for text in texts {
            let grant = parse(text)?;
            let again = |other: &Grant| (other.role, other.service) == (grant.role, grant.service);
            if grants.iter().any(again) {
                return Err(GrantError::Twice {
                    given: text.clone(),
                });
            }
            grants.push(grant);
        }
        Ok(Grants(grants))
    }

    /// How much of `service` a strategy in `role` may use; none where it is not granted. What is
    /// granted to a role alone goes before what is granted to all.
    pub(crate) fn allowance(&self, role: Role, service: Service) -> Option<u32> {
        let find = |wanted: Option<Role>| {
            self.0
                .iter()
                .find(|grant| grant.role == wanted && grant.service == service)
        };
        find(Some(role))
            .or_else(|| find(None))
            .map(|grant| grant.amount)
    }
}

fn parse(text: &str) -> Result<Grant, GrantError> {
    let (place, amount) = match text.split_once(':') {
        Some((place, amount)) => (place, Some(amount)),
        None => (text, None),
    };
    let (role, name) = match place.split_once('.') {
        Some((role, name)) => (Some(role), name),
        None => (None, place),
    };
    let role = role
        .map(|name| {
            Role::from_name(name).ok_or_else(|| GrantError::UnknownRole {
                given: text.to_owned(),
                role: name.to_owned(),
                suggestion: closest(name, &Role::ALL.map(|role| role.name().to_owned())),
            })
        })
        .transpose()?;
    let service = Service::from_name(name).ok_or_else(|| GrantError::UnknownService {
        given: text.to_owned(),
        service: name.to_owned(),
        suggestion: closest(name, &Service::ALL.map(|service| service.name().to_owned())),
    })?;
    let wrong_amount = || GrantError::Amount {
        given: text.to_owned(),
        service,
    };
    let amount = match (amount, service) {
        (None, Service::Random) => u32::MAX,
        (None, Service::Candidate) => IMAGES,
        (None, Service::Log | Service::Model) | (Some(_), Service::Random) => {
            return Err(wrong_amount());
        }
        (Some(amount), _) => amount.parse().map_err(|_| wrong_amount())?,
    };
    Ok(Grant {
        role,
        service,
        amount,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(texts: &[&str], expected: &str) {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        let found =
            Grants::parse(&texts).map_or_else(|error| error.to_string(), |_| "granted".into());
        assert_eq!(found, expected);
    }

    #[test]
    fn grants_read_as_they_are_typed() {
        check(
            &["model:500", "data-filter.candidate", "log:0", "random"],
            "granted",
        );
        check(&["model:500", "data-filter.model:5"], "granted");
        check(
            &["modle:500"],
            "`--grant modle:500`: there is no service `modle`",
        );
        check(
            &["gate.model:5"],
            "`--grant gate.model:5`: `gate` is no role",
        );
        check(&["model:1", "model:2"], "`--grant model:2`: granted before");
        for text in [
            "model",
            "model:",
            "model:-1",
            "model:4294967296",
            "model:many",
        ] {
            check(
                &[text],
                &format!(
                    "`--grant {text}`: expected a number of questions a round after the colon"
                ),
            );
        }
        check(&["random:7"], "`--grant random:7`: expected no number");
    }

    #[test]
    fn a_role_goes_before_all() -> Result<(), GrantError> {
        let grants = Grants::parse(&["model:500".into(), "quality-gate.model:5".into()])?;
        let model = |role| grants.allowance(role, Service::Model);
        assert_eq!(model(Role::QualityGate), Some(5));
        assert_eq!(model(Role::DataFilter), Some(500));
        assert_eq!(grants.allowance(Role::DataFilter, Service::Candidate), None);
        Ok(())
    }
}
