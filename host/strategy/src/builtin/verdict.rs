//! `builtin:verdict`: keeps the images on which the model's verdict is clear.

use std::collections::BTreeSet;

use sc_core::candidate::{self, Group};
use sc_core::choice::FilterDecision;

use crate::error::CallError;
use crate::parameter::{Parameter, Settings};
use crate::role::{CallContext, DataFilter, Reply};
use crate::services::CandidateServices;

const MIN_MARGIN: f64 = 0.2;

/// Drops images whose verdict could not be read or is undecided, and all but the first of equal
/// images of a prompt.
pub(crate) struct Verdict {
    /// Least distance of p-yes from 0.5.
    min_margin: f64,
}

impl Verdict {
    pub(crate) fn parameters() -> Vec<Parameter> {
        vec![Parameter::number(
            "min_margin",
            "Least distance of p-yes from 0.5, at which the model is undecided.",
            MIN_MARGIN,
            0.0,
            0.5,
        )]
    }

    pub(crate) fn new(settings: &Settings) -> Verdict {
        Verdict {
            min_margin: settings.number("min_margin").unwrap_or(MIN_MARGIN),
        }
    }
}

impl DataFilter for Verdict {
    fn filter(
        &self,
        context: &CallContext,
        groups: &[Group],
        _: &mut dyn CandidateServices,
    ) -> Result<Reply<Vec<Vec<FilterDecision>>>, CallError> {
        let drop = |reason: &str| FilterDecision::Drop(reason.to_owned());
        let decisions = groups
            .iter()
            .map(|group| {
                let mut seen = BTreeSet::new();
                group
                    .candidates
                    .iter()
                    .map(|candidate| {
                        if candidate.verdict == candidate::Verdict::Unparsed {
                            drop("unparsed")
                        } else if (candidate.p_yes - 0.5).abs() < self.min_margin {
                            drop("undecided")
                        } else if !seen.insert(candidate.image_hash) {
                            drop("duplicate")
                        } else {
                            FilterDecision::Keep
                        }
                    })
                    .collect()
            })
            .collect();
        Ok(Reply::stateless(decisions, context))
    }
}
