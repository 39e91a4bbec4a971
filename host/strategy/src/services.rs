//! What a strategy may find out about a round's candidates beyond their records, and what it was
//! told: `candidate` (the images) and `model` (further questions to the understanding branch).

use sc_core::candidate::Verdict;
use serde::{Deserialize, Serialize};

/// Longest question, in bytes.
pub const MAX_QUESTION_BYTES: usize = 2_000;

/// An image as strategies get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Pixels a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Red, green and blue of each pixel, row by row.
    pub rgb: Vec<u8>,
}

/// A further question about a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Question {
    /// The group's position in the list that the strategy was given.
    pub group: u32,
    /// The candidate's index in it.
    pub index: u32,
    /// The question as the model reads it.
    pub text: String,
}

/// What the model said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelReply {
    /// Probability of yes against no, in 0–1; 0.5 when unparsed.
    pub p_yes: f64,
    /// The verdict that the answer stands for.
    pub verdict: Verdict,
    /// The answer's text; empty where the model answers by the logits of two words.
    pub answer: String,
}

/// The images of the groups that a call is about, and the model behind them. Groups are named by
/// their position in the list that the call was given, candidates by their index.
///
/// What is asked has been checked: the candidate is there, the question is fit, the quota has room.
pub trait CandidateServices {
    /// The image of a candidate.
    ///
    /// # Errors
    /// Says why it cannot be had.
    fn pixels(&mut self, group: u32, index: u32) -> Result<Image, String>;

    /// The image tokens of a candidate.
    ///
    /// # Errors
    /// Says why they cannot be had.
    fn tokens(&mut self, group: u32, index: u32) -> Result<Vec<u32>, String>;

    /// What the understanding branch answers, one a question.
    ///
    /// # Errors
    /// Says why it cannot be asked.
    fn ask(&mut self, questions: &[Question]) -> Result<Vec<ModelReply>, String>;
}

/// There is no model and there are no images.
pub struct NoServices;

impl NoServices {
    const REASON: &'static str = "there is no model here";
}

impl CandidateServices for NoServices {
    fn pixels(&mut self, _: u32, _: u32) -> Result<Image, String> {
        Err(Self::REASON.into())
    }

    fn tokens(&mut self, _: u32, _: u32) -> Result<Vec<u32>, String> {
        Err(Self::REASON.into())
    }

    fn ask(&mut self, _: &[Question]) -> Result<Vec<ModelReply>, String> {
        Err(Self::REASON.into())
    }
}

/// What a call cost, and what it used of the services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Fuel, about one unit an instruction.
    #[serde(skip_serializing_if = "is_zero")]
    pub fuel: u64,
    /// Memory and tables of the instance at its end, in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub memory_bytes: u64,
    /// Lines logged.
    #[serde(skip_serializing_if = "is_zero")]
    pub log_lines: u64,
    /// Lines beyond the cap, which were dropped.
    #[serde(skip_serializing_if = "is_zero")]
    pub log_lines_dropped: u64,
    /// Random numbers drawn.
    #[serde(skip_serializing_if = "is_zero")]
    pub random_numbers: u64,
    /// Images looked at, as pixels or as tokens.
    #[serde(skip_serializing_if = "is_zero")]
    pub images: u64,
    /// Questions answered by the model.
    #[serde(skip_serializing_if = "is_zero")]
    pub questions: u64,
    /// Of these, new ones, which count against the quota.
    #[serde(skip_serializing_if = "is_zero")]
    pub questions_charged: u64,
}

impl Usage {
    /// Whether nothing was used.
    pub fn is_empty(&self) -> bool {
        *self == Usage::default()
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
