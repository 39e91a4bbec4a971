//! What the strategies of a run were given and what they answered, kept so that other strategies
//! can be tried on it later, without a model.
//!
//! A run directory has `inputs/run.bin` and a file a round. Each is a magic word, a format number
//! and one value in the postcard encoding, which is about a tenth of the same as JSON: 30 bytes a
//! candidate. Nothing stands there twice: what a pair selection was given is what the filters left,
//! and the past of a round is what the rounds before it recorded.

mod difference;
mod replay;

use std::fs;
use std::path::{Path, PathBuf};

use sc_core::candidate::{Candidate, Group};
use sc_core::choice::{Choice, FilterDecision, Objective};
use sc_core::gate::GateDecision;
use sc_core::history::PromptHistory;
use sc_core::metrics::{Metric, RoundMetrics};
use sc_core::plan::{CurriculumDecision, PlanBounds, PlanDefaults};
use sc_core::prompt::Prompt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::services::{ModelReply, Question};

pub use difference::{Agreement, CategoryAgreement, Example, Replay, RoleReplay};
pub use replay::{ReplayError, replay};

const MAGIC: &[u8; 8] = b"scinputs";
const FORMAT: u32 = 1;
const FOLDER: &str = "inputs";

/// What holds for all rounds of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInputs {
    /// The run's seed.
    pub seed: u64,
    /// The table of training prompts.
    pub prompts: Vec<Prompt>,
}

/// What was asked and answered in one round. What did not come about, because the run ended or a
/// strategy failed before, is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoundInputs {
    /// The round, from 1.
    pub round: u32,
    /// How many rounds the run was to have at most; it may have gone on for more later.
    pub rounds: u32,
    /// The figures of the round before it.
    pub last: Option<RoundMetrics>,
    /// The plan.
    pub curriculum: Option<CurriculumRecord>,
    /// What was drawn, filtered and chosen: at the beginning, and where images were drawn again.
    pub stages: Vec<StageRecord>,
    /// The gate.
    pub gate: Option<GateRecord>,
}

/// An answer, and who gave it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerRecord<T> {
    /// The strategy's place among those of its role, from 0.
    pub link: u32,
    /// Its name.
    pub strategy: String,
    /// `sha256:HEX` of its file; none for a builtin.
    pub digest: Option<String>,
    /// What it answered.
    pub answer: T,
}

/// A curriculum's input and answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurriculumRecord {
    /// The past of each prompt.
    pub histories: Vec<PromptHistory>,
    /// What a plan must stay within.
    pub bounds: PlanBounds,
    /// What the run's settings ask for.
    pub defaults: PlanDefaults,
    /// What was decided.
    pub answer: AnswerRecord<CurriculumDecision>,
}

/// The candidates of one prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// The prompt's id.
    pub prompt: u32,
    /// All its candidates, as they were judged.
    pub candidates: Vec<Candidate>,
}

/// What was drawn before an epoch, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The epoch, from 1.
    pub epoch: u32,
    /// What the round trains with.
    pub objective: Objective,
    /// What was drawn.
    pub groups: Vec<GroupRecord>,
    /// What each data filter decided on what the ones before it had left.
    pub filters: Vec<AnswerRecord<Vec<Vec<FilterDecision>>>>,
    /// What was chosen of the rest.
    pub selection: Option<AnswerRecord<Vec<Choice>>>,
    /// What the model said to further questions, about `groups`.
    pub replies: Vec<(Question, ModelReply)>,
}

/// What the gates were given and answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateRecord {
    /// The figures at the round's start.
    pub before: Vec<Metric>,
    /// Those of the trained model.
    pub after: Vec<Metric>,
    /// What each gate decided.
    pub answers: Vec<AnswerRecord<GateAnswer>>,
}

/// A gate's decision, in a form that the encoding can hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GateAnswer {
    /// The round's model becomes the run's.
    Keep(String),
    /// The model of the round's start is restored.
    RollBack(String),
    /// And the run ends.
    Stop(String),
}

impl From<&GateDecision> for GateAnswer {
    fn from(decision: &GateDecision) -> GateAnswer {
        match decision {
            GateDecision::Keep { reason } => GateAnswer::Keep(reason.clone()),
            GateDecision::RollBack { reason } => GateAnswer::RollBack(reason.clone()),
            GateDecision::Stop { reason } => GateAnswer::Stop(reason.clone()),
        }
    }
}

impl From<GateAnswer> for GateDecision {
    fn from(answer: GateAnswer) -> GateDecision {
        match answer {
            GateAnswer::Keep(reason) => GateDecision::Keep { reason },
            GateAnswer::RollBack(reason) => GateDecision::RollBack { reason },
            GateAnswer::Stop(reason) => GateDecision::Stop { reason },
        }
    }
}

impl StageRecord {
    /// The groups as the first filter was given them.
    pub fn drawn(&self, prompts: &[Prompt], histories: &[PromptHistory]) -> Option<Vec<Group>> {
        self.groups
            .iter()
            .map(|group| {
                Some(Group {
                    prompt: prompts.get(group.prompt as usize)?.clone(),
                    history: histories
                        .get(group.prompt as usize)
                        .copied()
                        .unwrap_or_default(),
                    candidates: group.candidates.clone(),
                })
            })
            .collect()
    }
}

/// Leaves of `groups` what `decisions`, of the same shape, keep.
pub fn keep(groups: &mut [Group], decisions: &[Vec<FilterDecision>]) {
    for (group, row) in groups.iter_mut().zip(decisions) {
        let mut row = row.iter();
        group
            .candidates
            .retain(|_| row.next() == Some(&FilterDecision::Keep));
    }
}

/// A record that cannot be read.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The file is absent or unreadable.
    #[error("`{path}` cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no record.
    #[error("`{path}` is {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// Where the inputs of a round are kept, below the run directory.
pub fn round_file(round: u32) -> String {
    format!("{FOLDER}/round-{round:05}.bin")
}

/// Where the inputs of the whole run are kept.
pub fn run_file() -> String {
    format!("{FOLDER}/run.bin")
}

/// The bytes of a record.
pub fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut start = MAGIC.to_vec();
    start.extend(FORMAT.to_le_bytes());
    // The encoding fails only on lists of unknown length, which no record has.
    postcard::to_extend(record, start).unwrap_or_default()
}

/// Reads a record.
///
/// # Errors
/// When the file is absent, no record, of another format, or damaged.
pub fn decode<T: DeserializeOwned>(path: &Path) -> Result<T, RecordError> {
    let unreadable = |source| RecordError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let malformed = |problem: String| RecordError::Malformed {
        path: path.to_owned(),
        problem,
    };
    // Looked at before it is opened: opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(malformed("no file".into()));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let body = bytes
        .strip_prefix(MAGIC)
        .and_then(<[u8]>::split_first_chunk::<4>);
    let Some((format, body)) = body else {
        return Err(malformed("no record of a run's inputs".into()));
    };
    match u32::from_le_bytes(*format) {
        FORMAT => {}
        other => {
            return Err(malformed(format!(
                "of format {other}; this program reads format {FORMAT}"
            )));
        }
    }
    match postcard::take_from_bytes(body) {
        Ok((record, [])) => Ok(record),
        Ok((_, rest)) => Err(malformed(format!("followed by {} more bytes", rest.len()))),
        Err(error) => Err(malformed(format!("cut off or damaged: {error}"))),
    }
}

/// The files of the rounds that `run` has recorded, in order.
///
/// # Errors
/// When the folder cannot be read.
pub fn round_files(run: &Path) -> Result<Vec<PathBuf>, RecordError> {
    let folder = run.join(FOLDER);
    let unreadable = |source| RecordError::Unreadable {
        path: folder.clone(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_round = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("round-"));
        if is_round {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
