//! `builtin:keep-all`: keeps every round, whatever its figures say; to see what a gate prevents.

use sc_core::gate::GateDecision;

use crate::error::CallError;
use crate::role::{CallContext, GateInput, QualityGate, Reply};

pub(crate) struct KeepAll;

impl QualityGate for KeepAll {
    fn decide(
        &self,
        context: &CallContext,
        _: &GateInput<'_>,
    ) -> Result<Reply<GateDecision>, CallError> {
        let answer = GateDecision::Keep {
            reason: "every round is kept".into(),
        };
        Ok(Reply::stateless(answer, context))
    }
}
