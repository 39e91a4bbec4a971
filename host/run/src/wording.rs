//! How well a model judges labelled images when it is asked in other words.

use sc_core::candidate::Verdict;
use sc_core::metrics::Share;
use sc_model::{JanusModel, UnifiedModel};
use sc_world::Wording;
use serde::Serialize;

use crate::error::RunError;
use crate::judge::Judgement;
use crate::task::{LabelledImage, stack};

/// Labelled images asked about at a time.
const CHUNK: usize = 512;

/// Right answers to one wording's questions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WordingFigures {
    /// The wording, such as `match` or `contradict`.
    pub wording: &'static str,
    /// Share of right answers where the image shows what is asked about.
    pub on_true: Share,
    /// Share of right answers where it does not.
    pub on_false: Share,
}

/// The figures of every wording of the tiny world whose words the model knows. `progress` is told
/// of every answer.
///
/// # Errors
/// When the model fails.
pub fn by_wording(
    model: &JanusModel,
    labelled: &[LabelledImage],
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<WordingFigures>, RunError> {
    let mut all = Vec::new();
    for wording in Wording::ALL {
        if !model
            .text()
            .unknown_words(&wording.question(""))?
            .is_empty()
        {
            continue;
        }
        // Right answers and questions, by truth.
        let mut counts = [(0, 0); 2];
        for chunk in labelled.chunks(CHUNK) {
            let pixels: Vec<&[f32]> = chunk.iter().map(|image| &*image.pixels).collect();
            let pixels = stack(&pixels, model.image_size(), model.device())?;
            let questions: Vec<String> = chunk
                .iter()
                .map(|image| wording.question(&image.statement))
                .collect();
            for (image, answer) in chunk.iter().zip(model.ask(&pixels, &questions)?) {
                let verdict = Judgement::read(answer).verdict;
                let right = if wording.yes_is_right(image.truth) {
                    Verdict::Accepted
                } else {
                    Verdict::Rejected
                };
                let count = &mut counts[usize::from(image.truth)];
                count.0 += u64::from(verdict == right);
                count.1 += 1;
            }
            progress(chunk.len() as u64);
        }
        let [on_false, on_true] = counts.map(|(right, asked)| Share::of(right, asked));
        all.push(WordingFigures {
            wording: wording.name(),
            on_true,
            on_false,
        });
    }
    Ok(all)
}
