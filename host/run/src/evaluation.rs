//! The figures of a model: the Nonunified score and what an oracle adds to it.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use sc_core::candidate::Verdict;
use sc_core::metrics::{Metric, Nonunified, Share};
use sc_core::plan::Sampling;
use sc_core::prompt::Prompt;
use sc_core::rng;
use sc_model::UnifiedModel;
use serde::{Deserialize, Serialize};

use crate::error::RunError;
use crate::generation::{JudgedImage, Order, Studio};
use crate::judge::{Judge, Judgement, OwnVerdict};
use crate::signals::{Signals, Witness, diversity};
use crate::task::{LabelledImage, Oracle, Questions, stack};

/// Labelled images judged at a time.
const CHUNK: usize = 512;

/// The figures over a set of own images and of labelled ones. What needs an oracle is absent
/// where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Share of own images that the model rejects.
    pub nonunified: Nonunified,
    /// Share of own images that show what was asked for, by the oracle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_accuracy: Option<Share>,
    /// Share of right verdicts on labelled renders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub understanding_accuracy: Option<Share>,
    /// Of the own images that the model rejects, the share that the oracle rejects too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weak_generation_share: Option<Share>,
}

/// The figures of a model on one evaluation set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Over everything.
    pub overall: Figures,
    /// By the prompts' category.
    pub by_category: BTreeMap<String, Figures>,
    /// What a gate sees beside them, where it was asked for.
    #[serde(default)]
    pub signals: Signals,
}

impl Evaluation {
    /// The figures by name, as strategies see them: `nonunified`, `nonunified/spatial`, …; those
    /// without a trial are left out.
    pub fn metrics(&self) -> Vec<Metric> {
        let named = |suffix: String, figures: &Figures| {
            let mut metrics = vec![Metric::new(
                format!("nonunified{suffix}"),
                figures.nonunified.share,
            )];
            let rest = [
                ("generation_accuracy", figures.generation_accuracy),
                ("understanding_accuracy", figures.understanding_accuracy),
                ("weak_generation_share", figures.weak_generation_share),
            ];
            for (name, share) in rest {
                metrics.extend(share.map(|share| Metric::new(format!("{name}{suffix}"), share)));
            }
            metrics
        };
        let mut metrics = named(String::new(), &self.overall);
        for (category, figures) in &self.by_category {
            metrics.extend(named(format!("/{category}"), figures));
        }
        metrics.extend(self.signals.metrics());
        metrics.retain(|metric| metric.n > 0);
        metrics
    }
}

/// Which set a model is evaluated on. What the gate decides by is not what the result is measured
/// on: otherwise the result would be the best of several tries on the same images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluatedOn {
    /// The set that each round is measured on, and that the gate sees.
    Round,
    /// The larger one that the run's result is measured on, and other commands measure on.
    Whole,
    /// The images of the first model, which it and the last one judge.
    Fixed,
}

impl EvaluatedOn {
    /// The set's own random streams.
    pub fn stream(self, seed: u64, purpose: &str, indices: &[u64]) -> ChaCha8Rng {
        rng::stream(seed, &self.purpose(purpose), indices)
    }

    fn purpose(self, purpose: &str) -> String {
        match self {
            EvaluatedOn::Round => format!("round-evaluation-{purpose}"),
            EvaluatedOn::Whole => format!("evaluation-{purpose}"),
            EvaluatedOn::Fixed => format!("fixed-{purpose}"),
        }
    }

    /// Purpose of the streams that its images are drawn with.
    pub fn draw_purpose(self) -> String {
        self.purpose("draw")
    }
}

/// What a model is evaluated on: the same for every model of a run, so that differences are the
/// models'.
pub struct EvaluationSet<'a> {
    /// Which set it is.
    pub on: EvaluatedOn,
    /// One own image is drawn for each.
    pub prompts: &'a [Prompt],
    /// Labelled images to judge.
    pub labelled: &'a [LabelledImage],
    /// Who knows what the own images show.
    pub oracle: Option<&'a dyn Oracle>,
    /// How to draw.
    pub sampling: Sampling,
    /// The run's seed.
    pub seed: u64,
    /// How the model can be asked otherwise, where [`Signals`] are wanted.
    pub signals: Option<&'a dyn Questions>,
}

/// An own image as it was evaluated.
pub struct EvaluatedImage<'a> {
    /// Position in the set.
    pub position: usize,
    /// The prompt.
    pub prompt: &'a Prompt,
    /// The image and its verdict.
    pub image: &'a JudgedImage,
    /// Whether the oracle accepts it.
    pub truth: Option<bool>,
}

#[derive(Default)]
struct Tally {
    own: Vec<(Verdict, Option<bool>)>,
    /// Right verdicts and labelled images.
    understanding: (u64, u64),
}

impl Tally {
    fn figures(&self) -> Figures {
        let verdicts = self.own.iter().map(|&(verdict, _)| verdict);
        let known: Vec<(Verdict, bool)> = self
            .own
            .iter()
            .filter_map(|&(verdict, truth)| Some((verdict, truth?)))
            .collect();
        let share = |of: &dyn Fn(&(Verdict, bool)) -> bool,
                     hit: &dyn Fn(&(Verdict, bool)) -> bool| {
            let among: Vec<_> = known.iter().filter(|image| of(image)).collect();
            let hits = among.iter().filter(|image| hit(image)).count();
            Share::of(hits as u64, among.len() as u64)
        };
        let has_oracle = !known.is_empty();
        let (right, labelled) = self.understanding;
        Figures {
            nonunified: Nonunified::of(verdicts),
            generation_accuracy: has_oracle.then(|| share(&|_| true, &|&(_, truth)| truth)),
            understanding_accuracy: (labelled > 0).then(|| Share::of(right, labelled)),
            weak_generation_share: has_oracle.then(|| {
                share(
                    &|&(verdict, _)| verdict == Verdict::Rejected,
                    &|&(_, truth)| !truth,
                )
            }),
        }
    }
}

/// Draws one image a prompt, judges all, and counts. `progress` is told of every image drawn or
/// judged, `see` is shown every own image.
///
/// # Errors
/// When the model or the oracle fails.
pub fn evaluate(
    model: &dyn UnifiedModel,
    set: &EvaluationSet<'_>,
    progress: &mut dyn FnMut(u64),
    see: &mut dyn FnMut(&EvaluatedImage<'_>),
) -> Result<Evaluation, RunError> {
    let mut overall = Tally::default();
    let mut by_category: BTreeMap<String, Tally> = BTreeMap::new();
    let orders = Order::several(set.prompts, 1);
    let purpose = set.on.draw_purpose();
    let witness = match set.signals {
        Some(questions) => Witness::new(questions, model)?,
        None => None,
    };
    let judge: &dyn Judge = match &witness {
        Some(witness) => witness,
        None => &OwnVerdict,
    };
    let studio = Studio {
        model,
        judge,
        sampling: &set.sampling,
        seed: set.seed,
        purpose: &purpose,
    };
    studio.draw_and_judge(&orders, progress, &mut |position, image| {
        let prompt = &set.prompts[position];
        let truth = set
            .oracle
            .map(|oracle| oracle.shows(&prompt.text, &image.pixels))
            .transpose()?;
        see(&EvaluatedImage {
            position,
            prompt,
            image: &image,
            truth,
        });
        let own = (image.judgement.verdict, truth);
        overall.own.push(own);
        if !prompt.category.is_empty() {
            let category = by_category.entry(prompt.category.clone()).or_default();
            category.own.push(own);
        }
        Ok(())
    })?;
    let mut signals = Signals {
        consistency: witness.map(|witness| witness.consistency()),
        diversity: None,
    };
    if set.signals.is_some() {
        let streams = (set.seed, &*purpose);
        signals.diversity = diversity(model, set.prompts, &set.sampling, streams)?;
    }
    for labelled in set.labelled.chunks(CHUNK) {
        let pixels: Vec<&[f32]> = labelled.iter().map(|image| &*image.pixels).collect();
        let pixels = stack(&pixels, model.image_size(), model.device())?;
        let statements: Vec<String> = labelled.iter().map(|l| l.statement.clone()).collect();
        let answers = model.judge(&pixels, &statements)?;
        for (labelled, answer) in labelled.iter().zip(answers) {
            let right = match Judgement::read(answer).verdict {
                Verdict::Accepted => labelled.truth,
                Verdict::Rejected => !labelled.truth,
                Verdict::Unparsed => false,
            };
            let count = |tally: &mut Tally| {
                tally.understanding.0 += u64::from(right);
                tally.understanding.1 += 1;
            };
            count(&mut overall);
            if !labelled.category.is_empty() {
                count(by_category.entry(labelled.category.clone()).or_default());
            }
        }
        progress(labelled.len() as u64);
    }
    Ok(Evaluation {
        signals,
        overall: overall.figures(),
        by_category: by_category
            .into_iter()
            .map(|(category, tally)| (category, tally.figures()))
            .collect(),
    })
}
