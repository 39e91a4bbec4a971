//! Trying a strategy without a run: on golden cases, on generated inputs that are awkward, and
//! against the clock.

mod bench;
mod case;
mod generate;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use sc_core::candidate::Verdict;
use sc_core::role::Role;
use serde::Serialize;

use crate::error::{CallError, CallFailure, LoadError};
use crate::grant::{Grants, Service};
use crate::inspection::inspect;
use crate::parameter::Parameter;
use crate::request::{Requested, StrategyRequest};
use crate::services::{CandidateServices, Image, ModelReply, Question};
use crate::set::StrategySet;
use crate::wasm::Runtime;

pub use bench::{Measurement, bench};
pub use case::{Case, CaseError, CaseFile, load_cases};
pub use generate::{Awkward, awkward};

/// How a trial went.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The answer is valid, the same twice, and as expected where something was expected.
    Passed,
    /// It said that it cannot answer, which is its right.
    Refused {
        /// What it said.
        reason: String,
    },
    /// Its answer is another one than was expected.
    Differs {
        /// The expected answer.
        expected: String,
        /// What came.
        found: String,
    },
    /// The same call gave another answer the second time.
    NotDeterministic,
    /// It failed, or its answer is invalid.
    Failed {
        /// Why.
        error: String,
    },
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// The role.
    pub role: Role,
    /// What it was given, in a few words, or the file of a golden case.
    pub input: String,
    /// How it went.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Trial {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        matches!(self.outcome, Outcome::Passed | Outcome::Refused { .. })
    }
}

/// A strategy with everything that it wants granted, and the roles that it fills. The model that it
/// may ask is a stand-in.
///
/// # Errors
/// When it cannot be loaded.
pub fn load(
    source: &str,
    request: &StrategyRequest,
    runtime: &Runtime,
) -> Result<(StrategySet, Vec<Role>), LoadError> {
    let inspection = inspect(source, runtime)?;
    let mut request = request.clone();
    if request.grants == Grants::default() {
        let wanted = inspection.services.iter().filter(|s| s.needs_grant());
        let grants: Vec<String> = wanted.map(|service| stand_in_grant(*service)).collect();
        request.grants = Grants::parse(&grants)?;
    }
    request.strategies = vec![Requested::named(source)];
    Ok((StrategySet::load(&request, runtime)?, inspection.roles))
}

fn stand_in_grant(service: Service) -> String {
    match service {
        Service::Model => format!("{service}:{}", u32::MAX),
        _ => service.name().to_owned(),
    }
}

/// Tries the strategies of `set` in `roles` on generated inputs that are awkward: nothing, one of a
/// thing, all alike, ties, and very many. `each` is told of every trial.
pub fn try_awkward(set: &StrategySet, roles: &[Role], each: &mut dyn FnMut(&Trial)) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &role in roles {
        for input in awkward(role) {
            let outcome = outcome_of(&input.case, set, None);
            let trial = Trial {
                role,
                input: input.name,
                outcome,
            };
            each(&trial);
            trials.push(trial);
        }
    }
    trials
}

/// Tries a case twice.
pub(crate) fn outcome_of(case: &Case, set: &StrategySet, expected: Option<&Case>) -> Outcome {
    let answers = [0, 1].map(|_| case.answered(set, &mut StandIn));
    match answers {
        [Ok(first), Ok(second)] => match expected {
            _ if first != second => Outcome::NotDeterministic,
            Some(expected) if first.answer_json() != expected.answer_json() => Outcome::Differs {
                expected: expected.answer_json(),
                found: first.answer_json(),
            },
            _ => Outcome::Passed,
        },
        [Err(error), _] | [_, Err(error)] => failed(&error),
    }
}

fn failed(error: &CallError) -> Outcome {
    match &error.failure {
        CallFailure::Refused(reason) => Outcome::Refused {
            reason: reason.clone(),
        },
        _ => Outcome::Failed {
            error: error.to_string(),
        },
    }
}

/// Tries a golden case on a strategy with the parameters that the case names.
///
/// # Errors
/// When the strategy cannot be loaded with them, or does not fill the role.
pub fn try_case(
    file: &CaseFile,
    source: &str,
    request: &StrategyRequest,
    runtime: &Runtime,
) -> Result<Trial, LoadError> {
    let mut request = request.clone();
    let role = file.case.role();
    for (name, value) in &file.case.parameters {
        request
            .settings
            .push(format!("{role}.{name}={}", typed(value)));
    }
    let (set, roles) = load(source, &request, runtime)?;
    if !roles.contains(&role) {
        return Err(LoadError::OtherRole {
            path: source.to_owned(),
            role,
        });
    }
    Ok(Trial {
        role,
        input: file.name.clone(),
        outcome: outcome_of(&file.case, &set, Some(&file.case)),
    })
}

/// The small awkward inputs with the answers that the strategy of `set` with these `parameters` gives
/// in `roles`, as golden cases. Inputs that it fails on or refuses are left out.
pub fn blessed(set: &StrategySet, roles: &[Role], parameters: &[Parameter]) -> Vec<CaseFile> {
    const MOST_BYTES: usize = 64 << 10;
    let mut cases = Vec::new();
    for &role in roles {
        let changed = changed(set, role, parameters);
        for input in awkward(role) {
            let Ok(mut case) = input.case.answered(set, &mut StandIn) else {
                continue;
            };
            case.parameters = changed.clone();
            let small = serde_json::to_vec(&case).is_ok_and(|text| text.len() <= MOST_BYTES);
            if small {
                let words = input.name.split(|c: char| !c.is_alphanumeric());
                let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
                let name = format!("{role}-{}.json", words.join("-").to_lowercase());
                cases.push(CaseFile { name, case });
            }
        }
    }
    cases
}

/// The values that differ from the defaults of `parameters` in `role`.
fn changed(
    set: &StrategySet,
    role: Role,
    parameters: &[Parameter],
) -> BTreeMap<String, serde_json::Value> {
    let is_default = |name: &str, value: &serde_json::Value| {
        let mut known = parameters.iter().filter(|known| known.name == name);
        known.any(|known| serde_json::to_value(&known.default).is_ok_and(|known| known == *value))
    };
    let identities = set.identities().into_iter();
    identities
        .filter(|(of, _)| *of == role)
        .flat_map(|(_, who)| who.parameters.clone())
        .filter(|(name, value)| !is_default(name, value))
        .collect()
}

/// A value as it would be typed.
fn typed(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Something in the place of images and model, which says the same to the same question.
pub struct StandIn;

impl StandIn {
    const SIDE: u32 = 8;

    fn number(of: &impl Hash) -> u64 {
        // Its keys are fixed, so that it gives the same numbers every time.
        let mut hasher = DefaultHasher::new();
        of.hash(&mut hasher);
        hasher.finish()
    }
}

impl CandidateServices for StandIn {
    fn pixels(&mut self, group: u32, index: u32) -> Result<Image, String> {
        let seed = StandIn::number(&(group, index));
        let bytes = (0..StandIn::SIDE * StandIn::SIDE * 3).map(|at| (seed >> (at % 57)) as u8);
        Ok(Image {
            width: StandIn::SIDE,
            height: StandIn::SIDE,
            rgb: bytes.collect(),
        })
    }

    fn tokens(&mut self, group: u32, index: u32) -> Result<Vec<u32>, String> {
        let seed = StandIn::number(&(group, index));
        Ok((0..16).map(|at| (seed >> at) as u32 % 64).collect())
    }

    fn ask(&mut self, questions: &[Question]) -> Result<Vec<ModelReply>, String> {
        let reply = |question: &Question| {
            let p_yes = (StandIn::number(question) % 1001) as f64 / 1000.0;
            ModelReply {
                p_yes,
                verdict: if p_yes > 0.5 {
                    Verdict::Accepted
                } else {
                    Verdict::Rejected
                },
                answer: String::new(),
            }
        };
        Ok(questions.iter().map(reply).collect())
    }
}
