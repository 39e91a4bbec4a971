//! `builtin:no-harm`: rolls back a round that made the model significantly worse, and ends a run that
//! does harm again and again.
//!
//! The Nonunified score alone cannot tell improvement from a judge that became permissive (Han et al.,
//! arXiv 2507.16663). So before it come, in this order: an audit of what the round trained on, the
//! labelled probe set, consistency, and diversity. What decided stands first in the reason. The probe set
//! and consistency are held against the figures of the run's beginning as well, so that they cannot
//! sink a little every round.

use sc_core::gate::GateDecision;
use sc_core::metrics::Metric;

use crate::error::CallError;
use crate::parameter::{Parameter, Settings, Value};
use crate::role::{CallContext, GateInput, QualityGate, Reply};

const TOLERANCE: f64 = 0.02;
const MAX_AUDIT_FLIPS: f64 = 0.2;
const MAX_DIVERSITY_LOSS: f64 = 0.5;
const STOP_AFTER: i64 = 3;

/// Keeps a round unless a signal says that it did harm.
pub(crate) struct NoHarm {
    /// How far the intervals of a share may lie apart before the round is rolled back.
    tolerance: f64,
    /// Share of the audited examples that other words may turn round.
    max_audit_flips: f64,
    /// Share of the diversity that may be lost.
    max_diversity_loss: f64,
    /// So many rounds rolled back in a row end the run; 0: none do.
    stop_after: i64,
}

impl NoHarm {
    pub(crate) fn parameters() -> Vec<Parameter> {
        vec![
            Parameter::number(
                "tolerance",
                "How far apart on the wrong side the 95 % intervals before and after may lie.",
                TOLERANCE,
                0.0,
                1.0,
            ),
            Parameter::number(
                "max_audit_flips",
                "Share of what a round trained on that other words may turn round.",
                MAX_AUDIT_FLIPS,
                0.0,
                1.0,
            ),
            Parameter::number(
                "max_diversity_loss",
                "Part of the diversity of a prompt's images that a round may lose.",
                MAX_DIVERSITY_LOSS,
                0.0,
                1.0,
            ),
            Parameter {
                name: "stop_after".into(),
                help: "So many rounds rolled back in a row end the run; 0: none do.".into(),
                default: Value::Integer(STOP_AFTER),
                minimum: Some(0.0),
                maximum: None,
                choices: Vec::new(),
            },
        ]
    }

    pub(crate) fn new(settings: &Settings) -> NoHarm {
        let number = |name, default| settings.number(name).unwrap_or(default);
        NoHarm {
            tolerance: number("tolerance", TOLERANCE),
            max_audit_flips: number("max_audit_flips", MAX_AUDIT_FLIPS),
            max_diversity_loss: number("max_diversity_loss", MAX_DIVERSITY_LOSS),
            stop_after: settings.integer("stop_after").unwrap_or(STOP_AFTER),
        }
    }

    /// The first signal of harm, in words.
    fn harm(&self, input: &GateInput<'_>) -> Option<String> {
        let (before, after) = (input.before, input.after);
        let first = input.past.first().map_or(before, |first| &first.metrics);
        if let Some(flips) = find(after, "audit_flips")
            && flips.low > self.max_audit_flips
        {
            let share = flips.value;
            return Some(format!(
                "audit_flips is {share:.3}: other words turn round what was trained on"
            ));
        }
        let pair = |name| Some((find(before, name)?, find(after, name)?));
        let moved = |name: &str, verb: &str, before: &Metric, after: &Metric| {
            format!(
                "{name} {verb} from {:.3} to {:.3}",
                before.value, after.value
            )
        };
        for name in ["understanding_accuracy", "consistency"] {
            for (since, before) in [("", before), (" at the run's beginning", first)] {
                if let (Some(before), Some(after)) = (find(before, name), find(after, name))
                    && after.high < before.low - self.tolerance
                {
                    return Some(format!(
                        "{name} fell from {:.3}{since} to {:.3}",
                        before.value, after.value
                    ));
                }
            }
        }
        if let Some((before, after)) = pair("diversity")
            && after.high < before.low
            && after.value < before.value * (1.0 - self.max_diversity_loss)
        {
            return Some(moved("diversity", "fell", before, after));
        }
        if let Some((before, after)) = pair("nonunified")
            && after.low > before.high + self.tolerance
        {
            return Some(moved("nonunified", "rose", before, after));
        }
        None
    }

    /// What is done about harm: of several rounds in a row that did some, the last ends the run.
    fn about(&self, harm: String, input: &GateInput<'_>) -> GateDecision {
        let before = input.past.iter().rev().take_while(|round| !round.kept);
        let in_a_row = 1 + before.count() as i64;
        if self.stop_after > 0 && in_a_row >= self.stop_after {
            let reason = format!("{harm}, and {in_a_row} rounds in a row did harm");
            GateDecision::Stop { reason }
        } else {
            GateDecision::RollBack { reason: harm }
        }
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
        let answer = match self.harm(input) {
            Some(harm) => self.about(harm, input),
            None => GateDecision::Keep {
                reason: "no significant harm".into(),
            },
        };
        Ok(Reply::stateless(answer, context))
    }
}
