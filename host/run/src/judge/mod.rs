//! Who says whether an image shows what its prompt asks for: the model itself, asked in one way or
//! another, or somebody independent of it.
//!
//! A run's judge supervises it: its verdicts are what strategies see. What a run is measured by, the
//! Nonunified score, is always the model's own plain verdict ([`OwnVerdict`]), so that runs under
//! different judges compare.

use std::fmt;

use candle_core::Tensor;
use sc_core::answer::parse_answer;
use sc_core::candidate::Verdict;
use sc_model::{Answer, UnifiedModel};
use serde::{Deserialize, Serialize};

use crate::error::RunError;
use crate::task::{Oracle, Questions, Task};

/// What a judge says of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// How sure it is of yes, in 0–1; 0.5 where there is no verdict. Beside a verdict in words it is
    /// measured by itself and may be on the other side of 0.5.
    pub p_yes: f64,
    /// The answer's text; empty where the model answers by the logits of two words, or several
    /// questions were asked.
    pub answer: String,
    /// Questions that were put to the model for it.
    pub questions: u32,
}

impl Judgement {
    /// Accepted where yes is the likelier: an image is rejected when p-yes ≤ 0.5.
    fn by_probability(p_yes: f64, questions: u32) -> Judgement {
        let (verdict, p_yes) = if p_yes.is_nan() {
            (Verdict::Unparsed, 0.5)
        } else if p_yes > 0.5 {
            (Verdict::Accepted, p_yes)
        } else {
            (Verdict::Rejected, p_yes)
        };
        Judgement {
            verdict,
            p_yes,
            answer: String::new(),
            questions,
        }
    }

    /// What an answer of the model says.
    pub fn read(answer: Answer) -> Judgement {
        match answer {
            Answer::YesNo { yes, no } => {
                let p_yes = 1.0 / (1.0 + (f64::from(no) - f64::from(yes)).exp());
                Judgement::by_probability(p_yes, 1)
            }
            Answer::Text { text, score_one } => {
                let certain = Judgement::certain(parse_answer(&text), 1);
                let p_yes = match certain.verdict {
                    Verdict::Unparsed => certain.p_yes,
                    _ => score_one.unwrap_or(certain.p_yes),
                };
                Judgement {
                    answer: text,
                    p_yes,
                    ..certain
                }
            }
        }
    }

    fn certain(verdict: Verdict, questions: u32) -> Judgement {
        Judgement {
            verdict,
            p_yes: match verdict {
                Verdict::Accepted => 1.0,
                Verdict::Rejected => 0.0,
                Verdict::Unparsed => 0.5,
            },
            answer: String::new(),
            questions,
        }
    }
}

/// Who judges images.
pub trait Judge {
    /// What is said of each image (`pixels` \[B, 3, S, S\] in −1..1) and its prompt.
    ///
    /// # Errors
    /// When the model or the oracle fails, or a prompt cannot be asked about.
    fn judge(
        &self,
        model: &dyn UnifiedModel,
        pixels: &Tensor,
        prompts: &[String],
    ) -> Result<Vec<Judgement>, RunError>;
}

/// The judges that a run may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgeName {
    /// The model's own question, yes by its margin over no: p-yes = σ(yes − no).
    #[default]
    Margin,
    /// The same question, but the bare verdict: p-yes is 0 or 1.
    Verdict,
    /// The mean p-yes over the question and its paraphrases.
    Wordings,
    /// The question and its opposite: a verdict only where the answers agree.
    Consistency,
    /// A question a part of the prompt: accepted where all are answered with yes.
    Decomposed,
    /// Somebody independent who knows the truth.
    Oracle,
}

impl JudgeName {
    /// Every judge.
    pub const ALL: [JudgeName; 6] = [
        JudgeName::Margin,
        JudgeName::Verdict,
        JudgeName::Wordings,
        JudgeName::Consistency,
        JudgeName::Decomposed,
        JudgeName::Oracle,
    ];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            JudgeName::Margin => "margin",
            JudgeName::Verdict => "verdict",
            JudgeName::Wordings => "wordings",
            JudgeName::Consistency => "consistency",
            JudgeName::Decomposed => "decomposed",
            JudgeName::Oracle => "oracle",
        }
    }

    /// What it does, in a sentence.
    pub fn summary(self) -> &'static str {
        match self {
            JudgeName::Margin => "The model's own question; p-yes by the margin of yes over no.",
            JudgeName::Verdict => "The same question, its bare verdict: p-yes is 0 or 1.",
            JudgeName::Wordings => "The mean p-yes over the question and its paraphrases.",
            JudgeName::Consistency => "The question and its opposite; no verdict where they clash.",
            JudgeName::Decomposed => {
                "A question a part of the prompt; all must be answered by yes."
            }
            JudgeName::Oracle => "An independent judge: the world's oracle.",
        }
    }

    /// The judge of that name.
    pub fn from_name(name: &str) -> Option<JudgeName> {
        JudgeName::ALL
            .into_iter()
            .find(|judge| judge.name() == name)
    }

    /// The judge itself, for a task and a model.
    ///
    /// # Errors
    /// When the task has no oracle, or the model does not know the words of the questions.
    pub fn of<'a>(
        self,
        task: &'a dyn Task,
        model: &dyn UnifiedModel,
    ) -> Result<Box<dyn Judge + 'a>, RunError> {
        let questions = task.questions();
        let judge: Box<dyn Judge + 'a> = match self {
            JudgeName::Margin => Box::new(OwnVerdict),
            JudgeName::Verdict => Box::new(Certain(OwnVerdict)),
            JudgeName::Wordings => Box::new(Wordings(questions)),
            JudgeName::Consistency => Box::new(Consistency(questions)),
            JudgeName::Decomposed => Box::new(Decomposed(questions)),
            JudgeName::Oracle => match task.oracle() {
                Some(oracle) => Box::new(Independent(oracle)),
                None => return Err(self.unfit("a judge that the task has; it has no oracle")),
            },
        };
        if let Some(prompt) = task.training_prompts().first() {
            self.check_words(questions, &prompt.text, model)?;
        }
        Ok(judge)
    }

    fn check_words(
        self,
        questions: &dyn Questions,
        prompt: &str,
        model: &dyn UnifiedModel,
    ) -> Result<(), RunError> {
        let asked = match self {
            JudgeName::Wordings => questions.paraphrases(prompt),
            JudgeName::Consistency => vec![questions.contradiction(prompt)],
            JudgeName::Decomposed => {
                let parts = questions.parts(prompt)?.into_iter();
                parts.map(|part| part.text).collect()
            }
            JudgeName::Margin | JudgeName::Verdict | JudgeName::Oracle => Vec::new(),
        };
        for question in asked {
            if let Some(word) = model.unknown_words(&question)?.first() {
                return Err(self.unfit(&format!(
                    "a judge whose questions the model was taught; it does not know `{word}`"
                )));
            }
        }
        Ok(())
    }

    fn unfit(self, expected: &str) -> RunError {
        RunError::Setting {
            field: "judge".into(),
            value: self.name().into(),
            expected: expected.into(),
        }
    }
}

impl fmt::Display for JudgeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The model's own verdict, in the words that it was trained to be asked in. What the Nonunified
/// score counts.
pub struct OwnVerdict;

impl Judge for OwnVerdict {
    fn judge(
        &self,
        model: &dyn UnifiedModel,
        pixels: &Tensor,
        prompts: &[String],
    ) -> Result<Vec<Judgement>, RunError> {
        let answers = model.judge(pixels, prompts)?;
        Ok(answers.into_iter().map(Judgement::read).collect())
    }
}

/// Another judge's verdicts without what it is sure of.
struct Certain<J>(J);

impl<J: Judge> Judge for Certain<J> {
    fn judge(
        &self,
        model: &dyn UnifiedModel,
        pixels: &Tensor,
        prompts: &[String],
    ) -> Result<Vec<Judgement>, RunError> {
        let judgements = self.0.judge(model, pixels, prompts)?.into_iter();
        let certain = judgements.map(|judgement| Judgement {
            answer: judgement.answer,
            ..Judgement::certain(judgement.verdict, judgement.questions)
        });
        Ok(certain.collect())
    }
}

/// Asks each image its question.
fn ask(
    model: &dyn UnifiedModel,
    pixels: &Tensor,
    questions: &[String],
) -> Result<Vec<Judgement>, RunError> {
    let answers = model.ask(pixels, questions)?;
    Ok(answers.into_iter().map(Judgement::read).collect())
}

/// Averages p-yes over those answers to the model's own question and its paraphrases that can be read.
struct Wordings<'a>(&'a dyn Questions);

impl Judge for Wordings<'_> {
    fn judge(
        &self,
        model: &dyn UnifiedModel,
        pixels: &Tensor,
        prompts: &[String],
    ) -> Result<Vec<Judgement>, RunError> {
        let mut of_images: Vec<Vec<Judgement>> = OwnVerdict
            .judge(model, pixels, prompts)?
            .into_iter()
            .map(|own| vec![own])
            .collect();
        let paraphrases: Vec<Vec<String>> = prompts.iter().map(|p| self.0.paraphrases(p)).collect();
        let wordings = paraphrases.iter().map(Vec::len).min().unwrap_or(0);
        for wording in 0..wordings {
            let asked: Vec<String> = paraphrases.iter().map(|p| p[wording].clone()).collect();
            for (of_image, judgement) in of_images.iter_mut().zip(ask(model, pixels, &asked)?) {
                of_image.push(judgement);
            }
        }
        let mean = |of_image: Vec<Judgement>| {
            let questions = of_image.len() as u32;
            let read = of_image.iter().filter(|j| j.verdict != Verdict::Unparsed);
            let read: Vec<f64> = read.map(|judgement| judgement.p_yes).collect();
            // Without an answer that can be read the mean is no number, and there is no verdict.
            let mean = read.iter().sum::<f64>() / read.len() as f64;
            Judgement::by_probability(mean, questions)
        };
        Ok(of_images.into_iter().map(mean).collect())
    }
}

/// Asks for the match and for the contradiction: a verdict only where the two answers agree.
struct Consistency<'a>(&'a dyn Questions);

impl Judge for Consistency<'_> {
    fn judge(
        &self,
        model: &dyn UnifiedModel,
        pixels: &Tensor,
        prompts: &[String],
    ) -> Result<Vec<Judgement>, RunError> {
        let opposite: Vec<String> = prompts.iter().map(|p| self.0.contradiction(p)).collect();
        let matches = OwnVerdict.judge(model, pixels, prompts)?;
        let contradictions = ask(model, pixels, &opposite)?;
        let both = matches.into_iter().zip(contradictions);
        Ok(both
            .map(|(says_match, says_contradiction)| {
                if agree(says_match.verdict, says_contradiction.verdict) {
                    let p_yes = (says_match.p_yes + 1.0 - says_contradiction.p_yes) / 2.0;
                    Judgement::by_probability(p_yes, 2)
                } else {
                    Judgement::certain(Verdict::Unparsed, 2)
                }
            })
            .collect())
    }
}

/// Whether the answers to a question and to its opposite fit together.
pub(crate) fn agree(on_match: Verdict, on_contradiction: Verdict) -> bool {
    matches!(
        (on_match, on_contradiction),
        (Verdict::Accepted, Verdict::Rejected) | (Verdict::Rejected, Verdict::Accepted)
    )
}

/// Asks about the parts of a prompt, one after the other; a part that hangs on one that is denied
/// is denied unasked. p-yes is that of the weakest part; where no part is denied, but an answer could not
/// be read, there is no verdict.
struct Decomposed<'a>(&'a dyn Questions);

impl Judge for Decomposed<'_> {
    fn judge(
        &self,
        model: &dyn UnifiedModel,
        pixels: &Tensor,
        prompts: &[String],
    ) -> Result<Vec<Judgement>, RunError> {
        let parts = (prompts.iter())
            .map(|prompt| self.0.parts(prompt))
            .collect::<Result<Vec<_>, _>>()?;
        // By image: p-yes of each part so far; none where the answer could not be read.
        let mut answers: Vec<Vec<Option<f64>>> = vec![Vec::new(); prompts.len()];
        let mut asked = vec![0; prompts.len()];
        for number in 0..parts.iter().map(Vec::len).max().unwrap_or(0) {
            let (mut images, mut questions) = (Vec::new(), Vec::new());
            for (image, parts) in parts.iter().enumerate() {
                let Some(part) = parts.get(number) else {
                    continue;
                };
                let known = &answers[image];
                let weakest = part.depends_on.iter().filter_map(|&on| known[on]);
                let weakest = weakest.fold(1.0, f64::min);
                if weakest > 0.5 {
                    images.push(image as u32);
                    questions.push(part.text.clone());
                } else {
                    answers[image].push(Some(weakest));
                }
            }
            if questions.is_empty() {
                continue;
            }
            let at = Tensor::new(images.as_slice(), pixels.device())?;
            let judgements = ask(model, &pixels.index_select(&at, 0)?, &questions)?;
            for (image, judgement) in images.into_iter().zip(judgements) {
                let read = judgement.verdict != Verdict::Unparsed;
                answers[image as usize].push(read.then_some(judgement.p_yes));
                asked[image as usize] += 1;
            }
        }
        let all = answers.into_iter().zip(asked);
        Ok(all
            .map(|(answers, asked)| {
                let weakest = answers.iter().flatten().copied().fold(1.0, f64::min);
                if weakest > 0.5 && answers.contains(&None) {
                    return Judgement::certain(Verdict::Unparsed, asked);
                }
                Judgement::by_probability(weakest, asked)
            })
            .collect())
    }
}

/// Somebody who is not the model.
struct Independent<'a>(&'a dyn Oracle);

impl Judge for Independent<'_> {
    fn judge(
        &self,
        _: &dyn UnifiedModel,
        pixels: &Tensor,
        prompts: &[String],
    ) -> Result<Vec<Judgement>, RunError> {
        let pixels = pixels.flatten_from(1)?.to_vec2::<f32>()?;
        let images = pixels.iter().zip(prompts);
        images
            .map(|(pixels, prompt)| {
                Ok(Judgement::certain(
                    match self.0.shows(prompt, pixels)? {
                        true => Verdict::Accepted,
                        false => Verdict::Rejected,
                    },
                    0,
                ))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
