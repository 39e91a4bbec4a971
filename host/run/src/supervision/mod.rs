//! Supervision that is changed on purpose: poor supervision, to see what it does and whether it is
//! caught, and controls, to see how much of a gain comes from what is being tested.
//!
//! Every change is asked for by name, and told in the configuration, the ledger, the metrics, the
//! summary and on the screen. Source: the risks that Han et al. (arXiv 2507.16663) name.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use sc_core::candidate::{Group, Verdict};
use sc_core::choice::{Choice, Objective, Takes};
use serde::{Deserialize, Serialize};

use crate::error::RunError;
use crate::generation::DrawnGroup;
use crate::judge::JudgeName;

/// Who supervises a run, and what is changed about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Supervision {
    /// Who judges what is drawn to be trained on.
    pub judge: JudgeName,
    /// A control arm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// Poor supervision.
    #[serde(skip_serializing_if = "Perturbations::is_empty")]
    pub perturb: Perturbations,
}

/// An arm of a comparison that does all the same but for one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// Where the curriculum redraws prompts that failed, as many are redrawn that had passed: the
    /// control for curriculum replay.
    ReplayPassed,
    /// As many images are trained on, but chosen at random, whatever was said of them
    /// (self-distillation): the control for self-judging.
    RandomAccepts,
}

impl Control {
    /// Every control.
    pub const ALL: [Control; 2] = [Control::ReplayPassed, Control::RandomAccepts];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Control::ReplayPassed => "replay-passed",
            Control::RandomAccepts => "random-accepts",
        }
    }

    /// What it does, in a sentence.
    pub fn summary(self) -> &'static str {
        match self {
            Control::ReplayPassed => {
                "Where prompts that failed are redrawn, as many that had passed are instead."
            }
            Control::RandomAccepts => {
                "Trains on as many images, chosen at random whatever was said of them."
            }
        }
    }
}

/// Poor supervision by name; several may be asked for at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Perturbations {
    /// Share of the pairs whose images change places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swapped_pairs: Option<f64>,
    /// The targets are images that were rejected.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sft_on_rejected: bool,
    /// The verdicts of each stage are dealt out anew at random among its images.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub random_verdicts: bool,
    /// Every verdict is turned round.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub inverted: bool,
    /// After each round's training the judge is trained for so many steps to say yes to the model's
    /// own images, through the layers that drawing and judging share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissive: Option<u32>,
}

/// Most steps of [`Perturbations::permissive`].
const MOST_PERMISSIVE_STEPS: u32 = 100_000;

impl Perturbations {
    /// The names that `--perturb` takes.
    pub const NAMES: [&str; 5] = [
        "swapped-pairs=SHARE",
        "sft-on-rejected",
        "random-verdicts",
        "inverted",
        "permissive=STEPS",
    ];

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        *self == Perturbations::default()
    }

    /// Adds one by name, as `--perturb` takes it.
    ///
    /// # Errors
    /// On an unknown name, and on a value that is missing, not wanted or out of range.
    pub fn add(&mut self, text: &str) -> Result<(), RunError> {
        let unfit = |expected: String| RunError::Setting {
            field: "perturb".into(),
            value: format!("`{text}`"),
            expected,
        };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        match (name, value) {
            ("swapped-pairs", Some(value)) => {
                let share: Option<f64> = value.parse().ok();
                let share = share.filter(|share| *share > 0.0 && *share <= 1.0);
                let expected = || unfit("swapped-pairs=SHARE with a share above 0, up to 1".into());
                self.swapped_pairs = Some(share.ok_or_else(expected)?);
            }
            ("permissive", Some(value)) => {
                let steps: Option<u32> = value.parse().ok();
                let steps = steps.filter(|steps| (1..=MOST_PERMISSIVE_STEPS).contains(steps));
                let expected = || {
                    unfit(format!(
                        "permissive=STEPS with 1 to {MOST_PERMISSIVE_STEPS} steps"
                    ))
                };
                self.permissive = Some(steps.ok_or_else(expected)?);
            }
            ("sft-on-rejected", None) => self.sft_on_rejected = true,
            ("random-verdicts", None) => self.random_verdicts = true,
            ("inverted", None) => self.inverted = true,
            _ => return Err(unfit(format!("one of {}", Perturbations::NAMES.join(", ")))),
        }
        Ok(())
    }

    /// Checks the values, however they came.
    ///
    /// # Errors
    /// Names the first that cannot be used.
    pub fn check(&self) -> Result<(), RunError> {
        let mut again = Perturbations::default();
        self.texts().iter().try_for_each(|text| again.add(text))
    }

    /// Each as `--perturb` takes it.
    pub fn texts(&self) -> Vec<String> {
        let flags = [
            (self.sft_on_rejected, "sft-on-rejected"),
            (self.random_verdicts, "random-verdicts"),
            (self.inverted, "inverted"),
        ];
        let flags = flags.into_iter().filter(|(set, _)| *set);
        let mut texts: Vec<String> = flags.map(|(_, name)| name.to_owned()).collect();
        texts.extend(
            self.swapped_pairs
                .map(|share| format!("swapped-pairs={share}")),
        );
        texts.extend(self.permissive.map(|steps| format!("permissive={steps}")));
        texts
    }
}

impl Supervision {
    /// What is changed about it, each as it is asked for; nothing in an honest run.
    pub fn changes(&self) -> Vec<String> {
        let mut changes = self.perturb.texts();
        changes.extend(self.control.map(|control| control.name().to_owned()));
        changes
    }

    /// Changes the verdicts on what was drawn.
    pub(crate) fn change_verdicts(
        &self,
        groups: &mut [DrawnGroup],
        random: &mut ChaCha8Rng,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let images = groups.iter().map(|group| group.tokens.len()).sum();
        if self.perturb.random_verdicts {
            let candidates = || groups.iter().flat_map(|group| &group.group.candidates);
            let before: Vec<Verdict> = candidates().map(|candidate| candidate.verdict).collect();
            let mut dealt: Vec<_> = candidates().cloned().collect();
            shuffle(&mut dealt, random);
            let mut changed = 0;
            let all = groups
                .iter_mut()
                .flat_map(|group| &mut group.group.candidates);
            for ((candidate, before), dealt) in all.zip(before).zip(dealt) {
                candidate.p_yes = dealt.p_yes;
                candidate.verdict = dealt.verdict;
                candidate.answer = dealt.answer;
                changed += usize::from(candidate.verdict != before);
            }
            changes.push(Change::new("random-verdicts", changed, images));
        }
        if self.perturb.inverted {
            for candidate in groups
                .iter_mut()
                .flat_map(|group| &mut group.group.candidates)
            {
                candidate.p_yes = 1.0 - candidate.p_yes;
                candidate.verdict = match candidate.verdict {
                    Verdict::Accepted => Verdict::Rejected,
                    Verdict::Rejected => Verdict::Accepted,
                    Verdict::Unparsed => Verdict::Unparsed,
                };
            }
            changes.push(Change::new("inverted", images, images));
        }
        changes
    }

    /// Changes what a selection chose, out of what was `drawn` or what the filters `left` of it. A
    /// perturbation that the objective has no use for changes nothing, and says so.
    pub(crate) fn change_choices(
        &self,
        choices: &mut Vec<Choice>,
        (drawn, left): (&[&Group], &[&Group]),
        objective: Objective,
        random: &mut ChaCha8Rng,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let (wanted, takes) = (choices.len(), objective.takes());
        if self.control == Some(Control::RandomAccepts) {
            match takes {
                Takes::Pairs => random_pairs(choices, drawn, random),
                Takes::Targets | Takes::LabelledTargets => {
                    let pool = images(drawn, |_| true);
                    random_targets(choices, pool, random);
                }
            }
            changes.push(Change::new("random-accepts", choices.len(), wanted));
        }
        if self.perturb.sft_on_rejected {
            let mut changed = 0;
            if takes == Takes::Targets {
                let pool = images(left, |verdict| verdict == Verdict::Rejected);
                random_targets(choices, pool, random);
                changed = choices.len();
            }
            changes.push(Change::new("sft-on-rejected", changed, wanted));
        }
        if let Some(share) = self.perturb.swapped_pairs {
            let mut order: Vec<usize> = (0..choices.len()).collect();
            shuffle(&mut order, random);
            order.truncate((share * choices.len() as f64).round() as usize);
            let mut changed = 0;
            for &position in &order {
                if let Choice::Pair {
                    chosen, rejected, ..
                } = &mut choices[position]
                {
                    std::mem::swap(chosen, rejected);
                    changed += 1;
                }
            }
            changes.push(Change::new("swapped-pairs", changed, wanted));
        }
        changes
    }
}

/// A change that was made to the supervision of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The perturbation or control.
    pub change: &'static str,
    /// Verdicts, choices or prompts that were changed.
    pub changed: usize,
    /// Of how many.
    pub of: usize,
}

impl Change {
    pub(crate) fn new(change: &'static str, changed: usize, of: usize) -> Change {
        Change {
            change,
            changed,
            of,
        }
    }
}

/// Group position and candidate index of every image with such a verdict; of equal images of a
/// prompt the first.
fn images(groups: &[&Group], fits: impl Fn(Verdict) -> bool) -> Vec<(u32, u32)> {
    let numbered = (0_u32..).zip(groups);
    numbered
        .flat_map(|(position, group)| {
            let candidates = group.candidates.iter();
            let mut seen = BTreeSet::new();
            let fitting = candidates
                .filter(|candidate| fits(candidate.verdict) && seen.insert(candidate.image_hash));
            fitting
                .map(|candidate| (position, candidate.index))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Puts images out of `pool` in the targets' places, as far as there are so many.
fn random_targets(choices: &mut Vec<Choice>, mut pool: Vec<(u32, u32)>, random: &mut ChaCha8Rng) {
    shuffle(&mut pool, random);
    choices.truncate(pool.len());
    for (choice, (of_group, index)) in choices.iter_mut().zip(pool) {
        if let Choice::Target {
            group, candidate, ..
        } = choice
        {
            (*group, *candidate) = (of_group, index);
        }
    }
}

/// Puts two random images of the same prompt in the place of each pair; of several pairs of a prompt
/// that come out the same, one stays.
fn random_pairs(choices: &mut Vec<Choice>, groups: &[&Group], random: &mut ChaCha8Rng) {
    let mut seen = BTreeSet::new();
    choices.retain_mut(|choice| {
        let Choice::Pair {
            group,
            chosen,
            rejected,
            ..
        } = choice
        else {
            return true;
        };
        let of_group = images(&groups[*group as usize..=*group as usize], |_| true);
        let mut indices: Vec<u32> = of_group.into_iter().map(|(_, index)| index).collect();
        shuffle(&mut indices, random);
        let &[first, second, ..] = &*indices else {
            return false;
        };
        (*chosen, *rejected) = (first, second);
        seen.insert((*group, first, second))
    });
}

/// A Fisher–Yates shuffle.
pub(crate) fn shuffle<T>(items: &mut [T], random: &mut ChaCha8Rng) {
    for position in (1..items.len()).rev() {
        let bound = position as u128 + 1;
        let other = ((u128::from(random.next_u64()) * bound) >> 64) as usize;
        items.swap(position, other);
    }
}

#[cfg(test)]
mod tests;
