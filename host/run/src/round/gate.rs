//! Whether a round is kept.

use sc_core::gate::GateDecision;
use sc_core::metrics::Metric;
use sc_core::role::Role;
use sc_strategy::GateInput;
use sc_strategy::record::{AnswerRecord, GateRecord};

use super::Round;
use crate::ask::Place;
use crate::error::RunError;
use crate::evaluation::Evaluation;
use crate::event::Event;
use crate::improve::Run;
use crate::ledger::Outcome;

impl Run<'_> {
    /// *Gate*: whether the round is kept. Of several gates the most cautious decides; without an
    /// answer of any the round is not kept.
    pub(crate) fn gate(
        &mut self,
        round: &Round,
        after: &Evaluation,
    ) -> Result<GateDecision, RunError> {
        let (before, mut after) = (self.current.metrics(), after.metrics());
        let flips = round.audit.flips();
        after.extend(flips.map(|flips| Metric::new("audit_flips", flips)));
        let past = self.past.clone();
        let input = GateInput {
            before: &before,
            after: &after,
            past: &past,
        };
        let mut answers: Vec<AnswerRecord<GateDecision>> = Vec::new();
        for link in 0..self.strategies.quality_gates.len() {
            let place = Place {
                role: Role::QualityGate,
                link: link as u32,
                slot: |set, link| &mut set.quality_gates[link as usize],
            };
            let answer = self.ask(
                &place,
                |strategy, context| strategy.decide(context, &input),
                |decision| Outcome::Gate(decision.clone()),
            )?;
            answers.extend(answer);
        }
        let decision = GateDecision::most_cautious(answers.iter().map(|answer| &answer.answer))
            .cloned()
            .unwrap_or(GateDecision::RollBack {
                reason: "no gate answered".into(),
            });
        self.inputs.gate = Some(GateRecord {
            before,
            after,
            answers: answers
                .into_iter()
                .map(|answer| AnswerRecord {
                    answer: (&answer.answer).into(),
                    link: answer.link,
                    strategy: answer.strategy,
                    digest: answer.digest,
                })
                .collect(),
        });
        if let GateDecision::Stop { reason } = &decision {
            self.watcher.event(&Event::Stopped {
                round: self.round,
                role: Role::QualityGate,
                reason,
            });
        }
        Ok(decision)
    }
}
