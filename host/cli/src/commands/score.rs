//! `sc-host score`: the Nonunified score alone.

use std::process::ExitCode;

use sc_core::metrics::Nonunified;
use sc_core::plan::Sampling;
use sc_run::evaluation::EvaluatedOn;
use sc_run::generation::{Order, Studio};
use sc_run::judge::JudgeName;
use sc_run::settings::{MOST_IMAGES, MOST_IMAGES_PER_PROMPT};
use sc_run::task::{Task, TinyWorld};
use serde::Serialize;

use crate::args::ScoreArguments;
use crate::failure::Mistake;
use crate::{model_choice, prompts, report, watch};

/// Prompts of the tiny world that are drawn when no file is given.
const WORLD_PROMPTS: usize = 1000;

#[derive(Serialize)]
struct Score {
    /// Whose verdicts are counted.
    judge: JudgeName,
    nonunified: Nonunified,
    prompts: usize,
    images_per_prompt: u32,
    seed: u64,
    guidance: f64,
    /// Prompts with a word that the model's tokenizer does not know.
    prompts_with_unknown_words: usize,
}

pub fn score(arguments: &ScoreArguments) -> anyhow::Result<ExitCode> {
    let per_prompt = u64::from(arguments.images_per_prompt);
    if !(1..=MOST_IMAGES_PER_PROMPT).contains(&per_prompt) {
        return Err(Mistake::error(
            format!(
                "`--images-per-prompt` is {per_prompt}; expected 1 to {MOST_IMAGES_PER_PROMPT}"
            ),
            "one image a prompt is what the score is defined on",
        ));
    }
    let world = TinyWorld::new();
    let prompts = match &arguments.prompts {
        Some(file) => prompts::read("--prompts", file)?,
        None => world.evaluation_prompts(arguments.basics.seed, EvaluatedOn::Whole, WORLD_PROMPTS),
    };
    let count = per_prompt.saturating_mul(prompts.len() as u64);
    if count > MOST_IMAGES {
        return Err(Mistake::error(
            format!("{count} images are asked for; expected at most {MOST_IMAGES}"),
            "`--images-per-prompt` times the number of prompts is what is drawn",
        ));
    }
    let model = model_choice::load(arguments.basics.model.as_deref(), &arguments.basics.load)?;
    let judge = arguments.judge.of(&world, &model)?;
    let sampling = Sampling {
        guidance: model_choice::guidance(&model, arguments.guidance.guidance)?,
        ..Sampling::default()
    };
    prompts::check(&model, &prompts)?;
    let unknown = prompts::warn_of_unknown_words(&model, &prompts)?;
    let orders = Order::several(&prompts, arguments.images_per_prompt);
    let bar = watch::bar("drawing and judging", "images", orders.len() as u64);
    let mut verdicts = Vec::with_capacity(orders.len());
    let studio = Studio {
        model: &model,
        judge: &*judge,
        sampling: &sampling,
        seed: arguments.basics.seed,
        purpose: &EvaluatedOn::Whole.draw_purpose(),
    };
    studio.draw_and_judge(&orders, &mut |images| bar.inc(images), &mut |_, image| {
        verdicts.push(image.judgement.verdict);
        Ok(())
    })?;
    bar.finish_and_clear();
    let score = Score {
        judge: arguments.judge,
        nonunified: Nonunified::of(verdicts),
        prompts: prompts.len(),
        images_per_prompt: arguments.images_per_prompt,
        seed: arguments.basics.seed,
        guidance: sampling.guidance,
        prompts_with_unknown_words: unknown,
    };
    if arguments.basics.json {
        report::json_line(&score)?;
    } else {
        report::text(&format!(
            "Nonunified score {}\n{} images for {} prompts, {} answers could not be read\n",
            report::share(&score.nonunified.share).trim_start(),
            score.nonunified.share.n + score.nonunified.unparsed,
            score.prompts,
            score.nonunified.unparsed
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
