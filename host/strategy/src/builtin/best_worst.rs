//! `builtin:best-worst`: the most positive image of a prompt against its most negative one.
//!
//! Source: the DPO and SFT data of Han et al. (arXiv 2507.16663).

use sc_core::candidate::{Candidate, Group, Verdict};
use sc_core::choice::{Choice, Objective, Takes};

use crate::error::CallError;
use crate::parameter::{Parameter, Settings};
use crate::role::{CallContext, PairSelection, Reply};
use crate::services::CandidateServices;

const MIN_GAP: f64 = 0.2;
const ACCEPT: f64 = 0.9;

/// Pairs: one from each prompt that has an accepted and a rejected image. Targets: every accepted
/// image that the model is sure of; labelled ones: every rejected image that it is as sure of, too.
pub(crate) struct BestWorst {
    /// Least difference in p-yes between the two images of a pair.
    min_gap: f64,
    /// Least p-yes of an SFT target.
    accept: f64,
}

impl BestWorst {
    pub(crate) fn parameters() -> Vec<Parameter> {
        vec![
            Parameter::number(
                "min_gap",
                "Least difference in p-yes between the two images of a pair (DPO).",
                MIN_GAP,
                0.0,
                1.0,
            ),
            Parameter::number(
                "accept",
                "Least p-yes of an image to imitate (SFT); one to avoid (KTO) has 1 less this at most.",
                ACCEPT,
                0.0,
                1.0,
            ),
        ]
    }

    pub(crate) fn new(settings: &Settings) -> BestWorst {
        BestWorst {
            min_gap: settings.number("min_gap").unwrap_or(MIN_GAP),
            accept: settings.number("accept").unwrap_or(ACCEPT),
        }
    }

    fn pair(&self, position: u32, group: &Group) -> Option<Choice> {
        // Of equals the first: `max_by` keeps the last, so the order is turned round.
        let best = with(group, Verdict::Accepted)
            .rev()
            .max_by(|a, b| a.p_yes.total_cmp(&b.p_yes))?;
        let worst = with(group, Verdict::Rejected).min_by(|a, b| a.p_yes.total_cmp(&b.p_yes))?;
        (best.p_yes - worst.p_yes >= self.min_gap).then_some(Choice::Pair {
            group: position,
            chosen: best.index,
            rejected: worst.index,
            weight: 1.0,
        })
    }
}

fn with(group: &Group, verdict: Verdict) -> impl DoubleEndedIterator<Item = &Candidate> {
    group
        .candidates
        .iter()
        .filter(move |candidate| candidate.verdict == verdict)
}

impl PairSelection for BestWorst {
    fn select(
        &self,
        context: &CallContext,
        groups: &[Group],
        objective: Objective,
        _: &mut dyn CandidateServices,
    ) -> Result<Reply<Vec<Choice>>, CallError> {
        let numbered = (0_u32..).zip(groups);
        let target = |position: u32, candidate: &Candidate, desirable: bool| Choice::Target {
            group: position,
            candidate: candidate.index,
            weight: 1.0,
            desirable,
        };
        let choices = match objective.takes() {
            Takes::Pairs => numbered
                .filter_map(|(position, group)| self.pair(position, group))
                .collect(),
            Takes::Targets => numbered
                .flat_map(|(position, group)| {
                    with(group, Verdict::Accepted)
                        .filter(|candidate| candidate.p_yes >= self.accept)
                        .map(move |candidate| target(position, candidate, true))
                })
                .collect(),
            Takes::LabelledTargets => numbered
                .flat_map(|(position, group)| {
                    let candidates = group.candidates.iter();
                    candidates.filter_map(move |candidate| match candidate.verdict {
                        Verdict::Accepted if candidate.p_yes >= self.accept => {
                            Some(target(position, candidate, true))
                        }
                        Verdict::Rejected if candidate.p_yes <= 1.0 - self.accept => {
                            Some(target(position, candidate, false))
                        }
                        _ => None,
                    })
                })
                .collect(),
        };
        Ok(Reply::stateless(choices, context))
    }
}
