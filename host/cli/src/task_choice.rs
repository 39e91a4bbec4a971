//! What a run draws for: the tiny world, or prompts from files.

use std::path::Path;

use sc_core::prompt::{Prompt, Split};
use sc_run::prompt_file::PromptFile;
use sc_run::settings::RunSettings;
use sc_run::task::{Task, TinyWorld};

use crate::failure::Mistake;
use crate::prompts;
use crate::terminal::say;

/// The tiny world's name in configurations.
pub const TINY_WORLD: &str = "tiny-world";
/// The name of prompts from files.
pub const PROMPTS: &str = "prompts";

/// Images of the first model that are drawn, to be labelled by people, where there is no oracle.
const FIXED_TO_LABEL: usize = 100;

/// What a run draws for.
pub enum TaskChoice {
    /// The tiny world.
    TinyWorld(TinyWorld),
    /// Prompts from files.
    Prompts(PromptFile),
}

impl TaskChoice {
    /// The task of the files that were named; without any, the tiny world.
    ///
    /// # Errors
    /// When a file cannot be read or holds too few prompts.
    pub fn new(training: Option<&Path>, held_out: Option<&Path>) -> anyhow::Result<TaskChoice> {
        let Some(training) = training else {
            if let Some(file) = held_out {
                return Err(Mistake::error(
                    format!(
                        "`--eval-prompts {}` is given without `--prompts FILE`",
                        file.display()
                    ),
                    "the tiny world has held-out prompts of its own; for others give both files",
                ));
            }
            return Ok(TaskChoice::TinyWorld(TinyWorld::new()));
        };
        let prompts = prompts::read("--prompts", training)?;
        let task = match held_out {
            Some(file) => PromptFile::of(prompts, prompts::read("--eval-prompts", file)?),
            None => PromptFile::split(prompts).map_err(|error| {
                Mistake::error(
                    format!("`--prompts {}`: {error}", training.display()),
                    "write more prompts, or give those to measure by with `--eval-prompts FILE`",
                )
            })?,
        };
        let leaked = task.leaked();
        if let Some(first) = leaked.first() {
            say(&format!(
                "warning: {} of the prompts to measure by are trained on too, but for case and final \
                 stops, such as {first:?}",
                leaked.len()
            ));
        }
        Ok(TaskChoice::Prompts(task))
    }

    /// The task itself.
    pub fn task(&self) -> &dyn Task {
        match self {
            TaskChoice::TinyWorld(world) => world,
            TaskChoice::Prompts(prompts) => prompts,
        }
    }

    /// The prompts that were given in files.
    pub fn given(&self) -> impl Iterator<Item = &Prompt> {
        let file = match self {
            TaskChoice::TinyWorld(_) => None,
            TaskChoice::Prompts(prompts) => Some(prompts),
        };
        file.into_iter().flat_map(PromptFile::all)
    }

    /// Brings defaults that are made for the tiny world down to what a file of prompts has.
    pub fn fit(&self, defaults: &mut RunSettings) {
        let TaskChoice::Prompts(prompts) = self else {
            return;
        };
        let count = |side| u32::try_from(prompts.count(side)).unwrap_or(u32::MAX);
        let (training, held_out) = (count(Split::Train), count(Split::HeldOut));
        defaults.prompts_per_round = defaults.prompts_per_round.min(training);
        let evaluation = &mut defaults.evaluation;
        evaluation.prompts = evaluation.prompts.min(held_out);
        evaluation.round_prompts = evaluation.round_prompts.min(held_out);
        evaluation.fixed = evaluation.fixed.min(FIXED_TO_LABEL as u32);
    }
}
