//! `sc-host score`: the Nonunified score alone.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use sc_core::metrics::Nonunified;
use sc_core::plan::Sampling;
use sc_core::prompt::Prompt;
use sc_model::{JanusModel, UnifiedModel};
use sc_run::generation::{Order, draw_and_judge};
use sc_run::task::{Task, TinyWorld};
use serde::Serialize;

use crate::args::ScoreArguments;
use crate::failure::Mistake;
use crate::{model_choice, report, watch};

/// Prompts of the tiny world that are drawn when no file is given.
const WORLD_PROMPTS: usize = 1000;

#[derive(Serialize)]
struct Score {
    nonunified: Nonunified,
    prompts: usize,
    images_per_prompt: u32,
    seed: u64,
    guidance: f64,
    /// Prompts with a word that the model's tokenizer does not know.
    prompts_with_unknown_words: usize,
}

pub fn score(arguments: &ScoreArguments) -> anyhow::Result<ExitCode> {
    if arguments.images_per_prompt == 0 {
        return Err(Mistake::error(
            "`--images-per-prompt` is 0; expected at least 1",
            "one image a prompt is what the score is defined on",
        ));
    }
    let prompts = match &arguments.prompts {
        Some(file) => read_prompts(file)?,
        None => TinyWorld::new().evaluation_prompts(arguments.seed, WORLD_PROMPTS),
    };
    let model = model_choice::load(arguments.model.as_deref())?;
    let sampling = Sampling {
        guidance: model_choice::guidance(&model, arguments.guidance)?,
        ..Sampling::default()
    };
    let unknown = warn_of_unknown_words(&model, &prompts)?;
    let orders: Vec<Order<'_>> = prompts
        .iter()
        .zip(0..)
        .flat_map(|(prompt, position)| {
            (0..arguments.images_per_prompt).map(move |image| Order {
                prompt,
                stream: vec![position, u64::from(image)],
            })
        })
        .collect();
    let bar = watch::bar("drawing and judging", "images", orders.len() as u64);
    let mut verdicts = Vec::with_capacity(orders.len());
    draw_and_judge(
        &model as &dyn UnifiedModel,
        &orders,
        &sampling,
        arguments.seed,
        "score-draw",
        &mut |images| bar.inc(images),
        &mut |_, image| {
            verdicts.push(image.verdict);
            Ok(())
        },
    )?;
    bar.finish_and_clear();
    let score = Score {
        nonunified: Nonunified::of(verdicts),
        prompts: prompts.len(),
        images_per_prompt: arguments.images_per_prompt,
        seed: arguments.seed,
        guidance: sampling.guidance,
        prompts_with_unknown_words: unknown,
    };
    if arguments.json {
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

/// Says on stderr which words the model cannot tell apart, and returns in how many prompts they are.
fn warn_of_unknown_words(model: &JanusModel, prompts: &[Prompt]) -> anyhow::Result<usize> {
    let mut count = 0;
    let mut words = BTreeSet::new();
    for prompt in prompts {
        let unknown = model.text().unknown_words(&prompt.text)?;
        count += usize::from(!unknown.is_empty());
        words.extend(unknown);
    }
    if count > 0 {
        let shown: Vec<String> = words
            .iter()
            .take(5)
            .map(|word| format!("{word:?}"))
            .collect();
        eprintln!(
            "warning: {count} of {} prompts hold words that the model does not know, such as {}",
            prompts.len(),
            shown.join(", ")
        );
    }
    Ok(count)
}

/// Prompts from a file, one a line; blank lines do not count.
fn read_prompts(file: &Path) -> anyhow::Result<Vec<Prompt>> {
    let bytes = std::fs::read(file)
        .with_context(|| format!("cannot read `--prompts {}`", file.display()))
        .map_err(|error| {
            Mistake::error(
                format!("{error:#}"),
                "give a text file with one prompt a line",
            )
        })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() + 1;
        Mistake::error(
            format!("`--prompts {}`: line {line} is not UTF-8", file.display()),
            "save the file as UTF-8",
        )
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let prompts: Vec<Prompt> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .zip(0..)
        .map(|(line, id)| Prompt {
            id,
            text: line.to_owned(),
            category: String::new(),
            tags: Vec::new(),
        })
        .collect();
    if prompts.is_empty() {
        return Err(Mistake::error(
            format!("`--prompts {}` holds no prompt", file.display()),
            "write one prompt a line",
        ));
    }
    Ok(prompts)
}
