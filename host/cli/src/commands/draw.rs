//! `sc-host draw`: images on a sheet, each with its prompt and the model's own verdict.

use std::path::Path;
use std::process::ExitCode;

use sc_core::candidate::Verdict;
use sc_core::plan::Sampling;
use sc_core::prompt::Prompt;
use sc_core::text::is_blank;
use sc_model::UnifiedModel;
use sc_run::generation::{Order, Studio};
use sc_run::judge::OwnVerdict;
use sc_run::pictures::{Shown, sheet};
use serde::Serialize;

use crate::args::DrawArguments;
use crate::failure::Mistake;
use crate::{model_choice, new_file, prompts, report, watch};

/// Most images on a sheet: more are no help to the eye.
const MOST_IMAGES: usize = 1000;

#[derive(Serialize)]
struct Sheet<'a> {
    out: String,
    seed: u64,
    guidance: f64,
    images: Vec<DrawnImage<'a>>,
}

#[derive(Serialize)]
struct DrawnImage<'a> {
    prompt: &'a str,
    verdict: Verdict,
    p_yes: f64,
}

pub fn draw(arguments: &DrawArguments) -> anyhow::Result<ExitCode> {
    let prompts = asked_for(&arguments.prompts)?;
    let count = prompts
        .len()
        .saturating_mul(arguments.images_per_prompt as usize);
    if count == 0 || count > MOST_IMAGES {
        return Err(Mistake::error(
            format!("{count} images are asked for; expected 1 to {MOST_IMAGES}"),
            "`--images-per-prompt` times the number of prompts is what goes on the sheet",
        ));
    }
    let given = format!("--out {}", arguments.out.display());
    new_file::check(&given, &arguments.out)?;
    let model = model_choice::load(arguments.basics.model.as_deref(), &arguments.basics.load)?;
    let sampling = Sampling {
        guidance: model_choice::guidance(&model, arguments.guidance.guidance)?,
        ..Sampling::default()
    };
    prompts::check(&model, &prompts)?;
    prompts::warn_of_unknown_words(&model, &prompts)?;
    let orders = Order::several(&prompts, arguments.images_per_prompt);
    let bar = watch::bar("drawing and judging", "images", count as u64);
    let (mut shown, mut images) = (Vec::new(), Vec::new());
    let studio = Studio {
        model: &model,
        judge: &OwnVerdict,
        sampling: &sampling,
        seed: arguments.basics.seed,
        purpose: "draw",
    };
    studio.draw_and_judge(
        &orders,
        &mut |done| bar.inc(done),
        &mut |position, image| {
            let prompt = &orders[position].prompt.text;
            shown.push(Shown::new(&image, model.image_size(), prompt)?);
            images.push(DrawnImage {
                prompt,
                verdict: image.judgement.verdict,
                p_yes: image.judgement.p_yes,
            });
            Ok(())
        },
    )?;
    bar.finish_and_clear();
    new_file::write(&arguments.out, &sheet(&shown)?)?;
    let drawn = Sheet {
        out: arguments.out.display().to_string(),
        seed: arguments.basics.seed,
        guidance: sampling.guidance,
        images,
    };
    if arguments.basics.json {
        report::json_line(&drawn)?;
    } else {
        let lines: String = drawn.images.iter().map(line).collect();
        report::text(&format!("{lines}{}\n", drawn.out))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(image: &DrawnImage<'_>) -> String {
    let verdict = match image.verdict {
        Verdict::Accepted => "accepted",
        Verdict::Rejected => "rejected",
        Verdict::Unparsed => "unparsed",
    };
    format!("{verdict}  p-yes {:.3}  {}\n", image.p_yes, image.prompt)
}

/// Prompts from files where there is something of that name, else the texts themselves.
fn asked_for(given: &[String]) -> anyhow::Result<Vec<Prompt>> {
    let mut all: Vec<Prompt> = Vec::new();
    for text in given {
        if Path::new(text).exists() {
            all.extend(prompts::read("--prompts", Path::new(text))?);
        } else if is_blank(text) {
            return Err(Mistake::error(
                format!("`--prompts {text:?}` holds no prompt"),
                "give a prompt, or a file with one prompt a line",
            ));
        } else {
            all.push(prompts::prompt(text.trim(), 0));
        }
    }
    for (prompt, id) in all.iter_mut().zip(0..) {
        prompt.id = id;
    }
    Ok(all)
}
