//! A task out of prompts alone: those to train on and those to measure by. Nobody knows the truth
//! about what is drawn for them, so what needs an oracle is not measured.

use std::collections::BTreeSet;

use sc_core::prompt::{Prompt, Split};
use sc_core::text::normalised;
use sc_world::PartQuestion;
use sha2::{Digest, Sha256};

use crate::error::RunError;
use crate::evaluation::EvaluatedOn;
use crate::supervision::shuffle;
use crate::task::{Oracle, Questions, Task};

/// Of prompts that are split, one in so many is held out.
const HELD_OUT_EVERY: usize = 5;

/// How the judging question of the paper asks to be answered.
const FORMAT: &str = "Please answer in the following format: The score is {your score}.";

/// Prompts that came from files.
pub struct PromptFile {
    training: Vec<Prompt>,
    held_out: Vec<Prompt>,
}

impl PromptFile {
    /// Trains on some prompts and measures by others.
    pub fn of(training: Vec<Prompt>, held_out: Vec<Prompt>) -> PromptFile {
        PromptFile {
            training: numbered(training),
            held_out: numbered(held_out),
        }
    }

    /// Holds a fifth of `prompts` out, by a digest of their words; prompts that differ in nothing but
    /// case and final stops are on the same side.
    ///
    /// # Errors
    /// When all prompts are one and the same.
    pub fn split(prompts: Vec<Prompt>) -> Result<PromptFile, RunError> {
        let texts: BTreeSet<String> = prompts.iter().map(|p| normalised(&p.text)).collect();
        if texts.len() < 2 {
            return Err(RunError::Setting {
                field: "prompts".into(),
                value: format!("{} that differ", texts.len()),
                expected: "at least 2, one to train on and one to measure by".into(),
            });
        }
        let mut by_digest: Vec<_> = texts
            .into_iter()
            .map(|text| (Sha256::digest(&text), text))
            .collect();
        by_digest.sort();
        let held_out = by_digest.len().div_ceil(HELD_OUT_EVERY);
        let held_out: BTreeSet<&str> = (by_digest[..held_out].iter())
            .map(|(_, text)| text.as_str())
            .collect();
        let (held_out, training) = prompts
            .into_iter()
            .partition(|prompt| held_out.contains(&*normalised(&prompt.text)));
        Ok(PromptFile::of(training, held_out))
    }

    /// Prompts to measure by that are also trained on, but for case and final stops.
    pub fn leaked(&self) -> Vec<&str> {
        let trained: BTreeSet<String> = self.training.iter().map(|p| normalised(&p.text)).collect();
        let leaked = self.held_out.iter().map(|prompt| prompt.text.as_str());
        leaked
            .filter(|text| trained.contains(&normalised(text)))
            .collect()
    }

    /// All prompts, of both sides.
    pub fn all(&self) -> impl Iterator<Item = &Prompt> {
        self.training.iter().chain(&self.held_out)
    }

    /// How many prompts a side has.
    pub fn count(&self, side: Split) -> usize {
        match side {
            Split::Train => self.training.len(),
            Split::HeldOut => self.held_out.len(),
        }
    }
}

fn numbered(mut prompts: Vec<Prompt>) -> Vec<Prompt> {
    for (prompt, id) in prompts.iter_mut().zip(0..) {
        prompt.id = id;
    }
    prompts
}

impl Task for PromptFile {
    fn name(&self) -> &str {
        "prompts"
    }

    fn training_prompts(&self) -> &[Prompt] {
        &self.training
    }

    /// All once in an order by chance, then again in another.
    fn evaluation_prompts(&self, seed: u64, set: EvaluatedOn, n: usize) -> Vec<Prompt> {
        let mut random = set.stream(seed, "prompts", &[]);
        let mut drawn = Vec::with_capacity(n);
        while drawn.len() < n && !self.held_out.is_empty() {
            let mut pass: Vec<&Prompt> = self.held_out.iter().collect();
            shuffle(&mut pass, &mut random);
            drawn.extend(pass.into_iter().take(n - drawn.len()).cloned());
        }
        numbered(drawn)
    }

    fn oracle(&self) -> Option<&dyn Oracle> {
        None
    }

    fn questions(&self) -> &dyn Questions {
        self
    }
}

impl Questions for PromptFile {
    fn paraphrases(&self, prompt: &str) -> Vec<String> {
        vec![
            format!(
                "Is this a picture of the following: {prompt}? Score 1 if everything in the \
                 description is there, and 0 if anything is missing or different. {FORMAT}"
            ),
            format!(
                "Someone asked for \"{prompt}\". Does the image show it? Score 1 for yes and 0 for \
                 no. {FORMAT}"
            ),
        ]
    }

    fn contradiction(&self, prompt: &str) -> String {
        format!(
            "Does this image fail to describe {prompt}? If it fails, score 1; if it describes the \
             scene fully, score 0. {FORMAT}"
        )
    }

    fn parts(&self, _: &str) -> Result<Vec<PartQuestion>, RunError> {
        Err(RunError::Setting {
            field: "judge".into(),
            value: "decomposed".into(),
            expected:
                "a judge that asks about prompts as a whole; only the tiny world's have parts"
                    .into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(texts: &[&str]) -> Vec<Prompt> {
        let prompt = |text: &&str| Prompt {
            id: 0,
            text: (*text).to_owned(),
            category: String::new(),
            tags: Vec::new(),
        };
        texts.iter().map(prompt).collect()
    }

    #[test]
    fn sides_share_no_prompt_and_none_is_empty() {
        for count in 2..40 {
            let texts: Vec<String> = (0..count).map(|i| format!("a dog and {i} cats")).collect();
            let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let shouted = texts[0].to_uppercase() + ".";
            texts.push(&shouted);
            let task = PromptFile::split(prompts(&texts)).expect("can be split");
            assert!(task.leaked().is_empty());
            assert!(task.count(Split::Train) > 0 && task.count(Split::HeldOut) > 0);
            assert_eq!(
                task.count(Split::Train) + task.count(Split::HeldOut),
                count + 1
            );
        }
        assert!(PromptFile::split(prompts(&["A dog.", "a dog"])).is_err());
    }

    #[test]
    fn leaks_are_found_whatever_their_case_and_stops() {
        let task = PromptFile::of(prompts(&["A dog.", "a cat"]), prompts(&["a DOG", "a bird"]));
        assert_eq!(task.leaked(), ["a DOG"]);
    }

    #[test]
    fn more_images_than_prompts_go_round_again() {
        let task = PromptFile::of(prompts(&["a"]), prompts(&["b", "c", "d"]));
        let seven = task.evaluation_prompts(1, EvaluatedOn::Whole, 7);
        let three = task.evaluation_prompts(1, EvaluatedOn::Whole, 3);
        assert_eq!(seven[..3], three[..]);
        for text in ["b", "c", "d"] {
            assert!(seven[3..6].iter().any(|prompt| prompt.text == text));
        }
    }
}
