//! The fixed images of a run: drawn and judged by the model that it began with, and judged again by the
//! model that it came to.

use std::fs;

use sc_core::candidate::Verdict;
use sc_core::co_improvement::{CoImprovement, TwiceJudged};
use sc_model::UnifiedModel;
use serde::{Deserialize, Serialize};

use crate::error::RunError;
use crate::evaluation::EvaluatedOn;
use crate::generation::{Order, Studio};
use crate::judge::{Judge, OwnVerdict};
use crate::settings::RunSettings;
use crate::store::RunStore;
use crate::task::Task;

/// The file that they are kept in.
pub(crate) const BASE_IMAGES: &str = "base-images.jsonl";

/// Images judged at a time.
const CHUNK: usize = 512;

/// An image that the first model drew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FixedImage {
    prompt: String,
    tokens: Vec<u32>,
    /// Whether it shows its prompt.
    truth: bool,
    p_yes: f64,
    verdict: Verdict,
}

/// Draws and judges them; none where nobody knows the truth.
pub(crate) fn draw(
    model: &dyn UnifiedModel,
    task: &dyn Task,
    settings: &RunSettings,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<FixedImage>, RunError> {
    let Some(oracle) = task.oracle() else {
        return Ok(Vec::new());
    };
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
            truth: oracle.shows(&prompt, &image.pixels)?,
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
pub(crate) fn read(store: &RunStore) -> Result<Vec<FixedImage>, RunError> {
    let path = store.path(BASE_IMAGES);
    let text = fs::read_to_string(&path).map_err(RunError::io("read", &path))?;
    let rows = text.lines().map(serde_json::from_str);
    rows.collect::<Result<_, _>>()
        .map_err(|error| RunError::Checkpoint {
            path: store.root().to_owned(),
            problem: format!("`{}` is damaged: {error}", path.display()),
        })
}

/// Has `model` judge them again; what one of the two could not be read on is left out.
pub(crate) fn compare(
    model: &dyn UnifiedModel,
    images: &[FixedImage],
    progress: &mut dyn FnMut(u64),
) -> Result<Option<CoImprovement>, RunError> {
    if images.is_empty() {
        return Ok(None);
    }
    let mut judged = Vec::with_capacity(images.len());
    for images in images.chunks(CHUNK) {
        let tokens: Vec<Vec<u32>> = images.iter().map(|image| image.tokens.clone()).collect();
        let prompts: Vec<String> = images.iter().map(|image| image.prompt.clone()).collect();
        let judgements = OwnVerdict.judge(model, &model.decode(&tokens)?, &prompts)?;
        for (image, judgement) in images.iter().zip(judgements) {
            if image.verdict != Verdict::Unparsed && judgement.verdict != Verdict::Unparsed {
                judged.push(TwiceJudged {
                    truth: image.truth,
                    before: image.p_yes,
                    after: judgement.p_yes,
                });
            }
        }
        progress(images.len() as u64);
    }
    Ok(Some(CoImprovement::of(&judged)))
}
