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
    /// The prompt's id in the run's table.
    pub prompt: u32,
    /// Images to draw for it, at least 1.
    pub images: u32,
    /// Weight in the loss of every example made from it, above 0.
    pub weight: f64,
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

impl Replay {
    /// What is drawn when its time comes.
    pub fn draw(&self) -> Draw {
        Draw {
            prompt: self.prompt,
            images: self.images,
            weight: self.weight,
        }
    }
}

impl RoundPlan {
    /// Images that are drawn if no replay is left out.
    pub fn images(&self) -> u64 {
        let drawn = self.draws.iter().map(|draw| draw.images);
        let replayed = self.replays.iter().map(|replay| replay.images);
        drawn.chain(replayed).map(u64::from).sum()
    }

    /// The epochs before which something is drawn, in order: 1, and those of later replays.
    pub fn stages(&self) -> Vec<u32> {
        let mut epochs: Vec<u32> = self.replays.iter().map(|replay| replay.epoch).collect();
        epochs.push(1);
        epochs.sort_unstable();
        epochs.dedup();
        epochs
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
