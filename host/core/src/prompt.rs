//! Prompts: what the model is asked to draw.

use serde::{Deserialize, Serialize};

/// One prompt of a run. `id` is its index in the run's table of training prompts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Index into the table of prompts that this run trains on.
    pub id: u32,
    /// What the model is asked to draw, word for word.
    pub text: String,
    /// The kind of difficulty, such as `colour` or `spatial`; empty when unknown.
    pub category: String,
    /// Further facts about the prompt, such as `kind` = `color2`.
    pub tags: Vec<Tag>,
}

/// A fact about a prompt, as key and value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// What the fact is about.
    pub key: String,
    /// The fact.
    pub value: String,
}

/// Which side of the train / held-out split a prompt is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Prompts that a run may draw for and train on.
    Train,
    /// Prompts that only evaluation sees.
    HeldOut,
}
