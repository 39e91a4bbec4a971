//! What a curriculum answers: the plan of a round.

use serde::{Deserialize, Serialize};

use crate::choice::Objective;

/// How images are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Softmax temperature; 0 is greedy.
    pub temperature: f64,
    /// Classifier-free guidance: logits are u + w·(c − u). 1 draws from the conditional rows alone.
    pub guidance: f64,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling {
            temperature: 1.0,
            guidance: 1.0,
        }
    }
}

/// A prompt to draw for at the round's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    /// The prompt's id in the run's table.
    pub prompt: u32,
    /// Images to draw for it, at least 1.
    pub images: u32,
    /// Weight in the loss of every example made from it, above 0.
    pub weight: f64,
}

/// A prompt to draw for again because nothing of it was accepted. It is left out if something of it
/// has been accepted, and kept by the filter, when its time comes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// What is drawn.
    #[serde(flatten)]
    pub draw: Draw,
    /// Before which pass over the round's examples, from 1: 1 is the round's beginning.
    pub epoch: u32,
}

/// The plan of one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundPlan {
    /// What to draw; no prompt twice, and none of the replays of epoch 1.
    pub draws: Vec<Draw>,
    /// What to draw again; no prompt twice at the same epoch.
    pub replays: Vec<Replay>,
    /// How to draw it.
    pub sampling: Sampling,
    /// What to train with.
    pub objective: Objective,
    /// Passes over the round's examples.
    pub epochs: u32,
    /// Factor on the run's learning rate.
    pub learning_rate_scale: f64,
}

impl RoundPlan {
    /// Images that are drawn if no replay is left out.
    pub fn images(&self) -> u64 {
        let replayed = self.replays.iter().map(|replay| &replay.draw);
        self.draws
            .iter()
            .chain(replayed)
            .map(|draw| u64::from(draw.images))
            .sum()
    }
}

/// What a curriculum decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CurriculumDecision {
    /// Go on with this round.
    Round(RoundPlan),
    /// End the run before this round, for the reason given.
    Stop(String),
}

/// The bounds that a plan must stay within. They come from the run's settings; a curriculum is
/// told them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanBounds {
    /// Size of the run's table of training prompts: ids are below it.
    pub prompt_count: u32,
    /// Most images that one round may draw, replays included.
    pub max_images: u32,
    /// Most passes over a round's examples.
    pub max_epochs: u32,
}

/// What the run would do without a curriculum's advice; a plan usually starts from it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanDefaults {
    /// Prompts a round.
    pub prompts: u32,
    /// Images a prompt.
    pub images_per_prompt: u32,
    /// How to draw.
    pub sampling: Sampling,
    /// What to train with.
    pub objective: Objective,
    /// Passes over the examples.
    pub epochs: u32,
}
