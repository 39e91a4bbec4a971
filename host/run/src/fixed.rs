//! The fixed images of a run: drawn and judged by the model that it began with, and judged again by the
//! model that it came to.

use std::fs;
use std::path::Path;

use sc_core::candidate::Verdict;
use sc_core::co_improvement::{CoImprovement, TwiceJudged};
use sc_model::UnifiedModel;
use serde::{Deserialize, Serialize};

use crate::error::RunError;
use crate::evaluation::EvaluatedOn;
use crate::generation::{Order, Studio};
use crate::judge::{Judge, OwnVerdict};
use crate::settings::RunSettings;
use crate::task::Task;

/// The file that they are kept in.
pub(crate) const BASE_IMAGES: &str = "base-images.jsonl";

/// Images judged at a time.
const CHUNK: usize = 512;

/// An image that the first model drew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FixedImage {
    /// What it was drawn for.
    pub prompt: String,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Whether it shows its prompt; none where nobody knows.
    pub truth: Option<bool>,
    /// p-yes of the model that drew it.
    pub p_yes: f64,
    /// That model's verdict.
    pub verdict: Verdict,
}

/// Draws and judges them.
pub(crate) fn draw(
    model: &dyn UnifiedModel,
    task: &dyn Task,
    settings: &RunSettings,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<FixedImage>, RunError> {
    let count = settings.evaluation.fixed as usize;
    let prompts = task.evaluation_prompts(settings.seed, EvaluatedOn::Fixed, count);
    let studio = Studio {
        model,
        judge: &OwnVerdict,
        sampling: &settings.sampling,
        seed: settings.seed,
        purpose: &EvaluatedOn::Fixed.draw_purpose(),
    };
    let mut images = Vec::with_capacity(count);
    studio.draw_and_judge(&Order::several(&prompts, 1), progress, &mut |at, image| {
        let prompt = prompts[at].text.clone();
        images.push(FixedImage {
            truth: (task.oracle())
                .map(|oracle| oracle.shows(&prompt, &image.pixels))
                .transpose()?,
            prompt,
            tokens: image.tokens,
            p_yes: image.judgement.p_yes,
            verdict: image.judgement.verdict,
        });
        Ok(())
    })?;
    Ok(images)
}

/// Those that a run has kept.
///
/// # Errors
/// When the file cannot be read, or is damaged.
pub fn read(run: &Path) -> Result<Vec<FixedImage>, RunError> {
    let path = run.join(BASE_IMAGES);
    let text = fs::read_to_string(&path).map_err(RunError::io("read", &path))?;
    let rows = text.lines().map(serde_json::from_str);
    rows.collect::<Result<_, _>>()
        .map_err(|error| RunError::Checkpoint {
            path: run.to_owned(),
            problem: format!("`{}` is damaged: {error}", path.display()),
        })
}

/// Has `model` judge them again; none where nobody knows the truth. An image is left out on which one
/// of the two answers could not be read.
pub(crate) fn compare(
    model: &dyn UnifiedModel,
    images: &[FixedImage],
    progress: &mut dyn FnMut(u64),
) -> Result<Option<CoImprovement>, RunError> {
    if images.iter().all(|image| image.truth.is_none()) {
        return Ok(None);
    }
    let mut judged = Vec::with_capacity(images.len());
    for images in images.chunks(CHUNK) {
        let tokens: Vec<Vec<u32>> = images.iter().map(|image| image.tokens.clone()).collect();
        let prompts: Vec<String> = images.iter().map(|image| image.prompt.clone()).collect();
        let judgements = OwnVerdict.judge(model, &model.decode(&tokens)?, &prompts)?;
        for (image, judgement) in images.iter().zip(judgements) {
            let read = ![image.verdict, judgement.verdict].contains(&Verdict::Unparsed);
            if let Some(truth) = image.truth.filter(|_| read) {
                judged.push(TwiceJudged {
                    truth,
                    before: image.p_yes,
                    after: judgement.p_yes,
                });
            }
        }
        progress(images.len() as u64);
    }
    Ok(Some(CoImprovement::of(&judged)))
}
