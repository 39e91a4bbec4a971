//! Golden cases: an input and the answer that is expected to it, as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sc_core::candidate::Group;
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::history::PromptHistory;
use sc_core::metrics::{Metric, RoundMetrics};
use sc_core::plan::{CurriculumDecision, PlanBounds, PlanDefaults};
use sc_core::prompt::Prompt;
use sc_core::role::Role;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::error::CallError;
use crate::role::{CallContext, CurriculumInput, GateInput};
use crate::services::CandidateServices;
use crate::set::StrategySet;

/// What a call is told, and the answer that is expected of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// What every call is told.
    pub context: CaseContext,
    /// Values of parameters that are not the defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// The role, its input, and the expected answer.
    #[serde(flatten)]
    pub body: Body,
}

/// The context of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseContext {
    /// The run's seed.
    pub seed: u64,
    /// The round, from 1.
    pub round: u32,
    /// How many rounds the run has at most.
    pub rounds: u32,
    /// The pass that comes next.
    #[serde(default = "first_epoch")]
    pub epoch: u32,
    /// The state that the strategy has returned before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<u8>,
}

fn first_epoch() -> u32 {
    1
}

/// A role with its input. The expected answer is absent in inputs that are only tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "kebab-case")]
pub enum Body {
    /// For a curriculum.
    Curriculum {
        /// What it decides from.
        input: CurriculumCase,
        /// Its answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<CurriculumDecision>,
    },
    /// For a data filter.
    DataFilter {
        /// What it decides on.
        input: Groups,
        /// Its answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Vec<Vec<FilterDecision>>>,
    },
    /// For a pair selection.
    PairSelection {
        /// What it chooses from.
        input: SelectionCase,
        /// Its answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Vec<Choice>>,
    },
    /// For a quality gate.
    QualityGate {
        /// What it decides from.
        input: GateCase,
        /// Its answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<GateDecision>,
    },
}

/// A curriculum's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurriculumCase {
    /// The table of training prompts.
    pub prompts: Vec<Prompt>,
    /// The past of each.
    pub histories: Vec<PromptHistory>,
    /// The figures of past rounds.
    #[serde(default)]
    pub past: Vec<RoundMetrics>,
    /// What a plan must stay within.
    pub bounds: PlanBounds,
    /// What the run's settings ask for.
    pub defaults: PlanDefaults,
}

/// A data filter's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Groups {
    /// The candidates by prompt.
    pub groups: Vec<Group>,
}

/// A pair selection's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectionCase {
    /// What the filters left.
    pub groups: Vec<Group>,
    /// What is trained with.
    pub objective: Objective,
}

/// A gate's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateCase {
    /// The figures at the round's start.
    pub before: Vec<Metric>,
    /// Those of the trained model.
    pub after: Vec<Metric>,
    /// The figures of past rounds.
    #[serde(default)]
    pub past: Vec<RoundMetrics>,
}

impl CurriculumCase {
    pub(super) fn lent(&self) -> CurriculumInput<'_> {
        CurriculumInput {
            prompts: &self.prompts,
            histories: &self.histories,
            past: &self.past,
            bounds: self.bounds,
            defaults: self.defaults,
        }
    }
}

impl GateCase {
    pub(super) fn lent(&self) -> GateInput<'_> {
        GateInput {
            before: &self.before,
            after: &self.after,
            past: &self.past,
        }
    }
}

impl Case {
    /// What its call is told.
    pub(super) fn told(&self) -> CallContext {
        CallContext {
            seed: self.context.seed,
            round: self.context.round,
            rounds: self.context.rounds,
            epoch: self.context.epoch,
            link: 0,
            state: self.context.state.clone(),
        }
    }

    /// The role that it is for.
    pub fn role(&self) -> Role {
        match self.body {
            Body::Curriculum { .. } => Role::Curriculum,
            Body::DataFilter { .. } => Role::DataFilter,
            Body::PairSelection { .. } => Role::PairSelection,
            Body::QualityGate { .. } => Role::QualityGate,
        }
    }

    /// The same case with the answer that `set` gives.
    pub(crate) fn answered(
        &self,
        set: &StrategySet,
        services: &mut dyn CandidateServices,
    ) -> Result<Case, CallError> {
        let told = self.told();
        let mut answered = self.clone();
        match &mut answered.body {
            Body::Curriculum { input, expected } => {
                let strategy = &set.curriculum.current.strategy;
                *expected = Some(strategy.plan(&told, &input.lent())?.answer);
            }
            Body::DataFilter { input, expected } => {
                let strategy = &set.data_filters[0].current.strategy;
                *expected = Some(strategy.filter(&told, &input.groups, services)?.answer);
            }
            Body::PairSelection { input, expected } => {
                let strategy = &set.pair_selection.current.strategy;
                let reply = strategy.select(&told, &input.groups, input.objective, services)?;
                *expected = Some(reply.answer);
            }
            Body::QualityGate { input, expected } => {
                let strategy = &set.quality_gates[0].current.strategy;
                *expected = Some(strategy.decide(&told, &input.lent())?.answer);
            }
        }
        Ok(answered)
    }

    /// The answer alone, as JSON in one line.
    pub(crate) fn answer_json(&self) -> String {
        let answer = match &self.body {
            Body::Curriculum { expected, .. } => serde_json::to_string(expected),
            Body::DataFilter { expected, .. } => serde_json::to_string(expected),
            Body::PairSelection { expected, .. } => serde_json::to_string(expected),
            Body::QualityGate { expected, .. } => serde_json::to_string(expected),
        };
        answer.unwrap_or_default()
    }

    fn has_expectation(&self) -> bool {
        match &self.body {
            Body::Curriculum { expected, .. } => expected.is_some(),
            Body::DataFilter { expected, .. } => expected.is_some(),
            Body::PairSelection { expected, .. } => expected.is_some(),
            Body::QualityGate { expected, .. } => expected.is_some(),
        }
    }
}

/// A case with the name of its file.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseFile {
    /// The file's name.
    pub name: String,
    /// What is in it.
    pub case: Case,
}

/// A golden case that cannot be read.
#[derive(Debug, Error)]
pub enum CaseError {
    /// A file or folder is absent or unreadable.
    #[error("`{path}` cannot be read: {source}")]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is no case.
    #[error("`{path}` is no case: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// The cases in a JSON file, or in all JSON files of a folder, by name.
///
/// # Errors
/// When one cannot be read, or lacks the expected answer.
pub fn load_cases(path: &Path) -> Result<Vec<CaseFile>, CaseError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| CaseError::Unreadable { path, source }
    };
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(unreadable(path))? {
            let file = entry.map_err(unreadable(path))?.path();
            if file
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                files.push(file);
            }
        }
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    files
        .into_iter()
        .map(|file| {
            let text = fs::read(&file).map_err(unreadable(&file))?;
            let malformed = |problem: String| CaseError::Malformed {
                path: file.clone(),
                problem,
            };
            let case: Case =
                serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
            if !case.has_expectation() {
                return Err(malformed("it has no `expected`".into()));
            }
            let name = file.file_name().unwrap_or_default();
            Ok(CaseFile {
                name: name.to_string_lossy().into_owned(),
                case,
            })
        })
        .collect()
}
