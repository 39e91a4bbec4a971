//! `builtin:no-harm`: rolls back a round that made the model significantly worse.
//!
//! The Nonunified score alone cannot tell improvement from a judge that became permissive, so
//! understanding is guarded as well (Han et al., arXiv 2507.16663).

use sc_core::gate::GateDecision;
use sc_core::metrics::Metric;

use crate::error::CallError;
use crate::parameter::{Parameter, Settings};
use crate::role::{CallContext, GateInput, QualityGate, Reply};

const TOLERANCE: f64 = 0.0;

/// Keeps a round unless the 95 % intervals of understanding or of the Nonunified score lie apart
/// on the wrong side.
pub(crate) struct NoHarm {
    /// How far the intervals may lie apart before the round is rolled back.
    tolerance: f64,
}

impl NoHarm {
    pub(crate) fn parameters() -> Vec<Parameter> {
        vec![Parameter::number(
            "tolerance",
            "How far apart on the wrong side the 95 % intervals before and after may lie.",
            TOLERANCE,
            0.0,
            1.0,
        )]
    }

    pub(crate) fn new(settings: &Settings) -> NoHarm {
        NoHarm {
            tolerance: settings.number("tolerance").unwrap_or(TOLERANCE),
        }
    }

    fn harm(&self, before: &[Metric], after: &[Metric]) -> Option<String> {
        let pair = |name| Some((find(before, name)?, find(after, name)?));
        let moved = |name: &str, verb: &str, before: &Metric, after: &Metric| {
            format!(
                "{name} {verb} from {:.3} to {:.3}",
                before.value, after.value
            )
        };
        if let Some((before, after)) = pair("understanding_accuracy")
            && after.high < before.low - self.tolerance
        {
            return Some(moved("understanding_accuracy", "fell", before, after));
        }
        if let Some((before, after)) = pair("nonunified")
            && after.low > before.high + self.tolerance
        {
            return Some(moved("nonunified", "rose", before, after));
        }
        None
    }
}

fn find<'a>(metrics: &'a [Metric], name: &str) -> Option<&'a Metric> {
    metrics.iter().find(|metric| metric.name == name)
}

impl QualityGate for NoHarm {
    fn decide(
        &self,
        context: &CallContext,
        input: &GateInput<'_>,
    ) -> Result<Reply<GateDecision>, CallError> {
        let answer = match self.harm(input.before, input.after) {
            Some(reason) => GateDecision::RollBack { reason },
            None => GateDecision::Keep {
                reason: "no significant harm".into(),
            },
        };
        Ok(Reply::stateless(answer, context))
    }
}
