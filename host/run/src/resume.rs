//! Going on where a run stood.

use crate::checkpoint::{Checkpoint, Memory, Midway};
use crate::error::RunError;
use crate::fixed;
use crate::improve::Run;
use crate::ledger::{LedgerRow, Outcome};
use crate::round::{Round, Snapshot};
use crate::store::{LEDGER, METRICS};

impl Run<'_> {
    /// Puts everything back to where a run that ended before stood.
    pub(crate) fn go_on_from(&mut self, checkpoint: Checkpoint) -> Result<(), RunError> {
        let Checkpoint {
            memory,
            now,
            midway,
        } = checkpoint;
        self.fixed = fixed::read(self.store.root())?;
        let kept = midway.as_ref().map_or(&now, |midway| &midway.start);
        self.model.parameters().replace(&kept.weights)?;
        self.model.parameters().save(&self.store.path("model"))?;
        self.model.parameters().replace(&now.weights)?;
        self.trainer.restore(&now.optimizer)?;
        self.midway = midway;
        self.histories = memory.histories;
        self.past = memory.past;
        self.states = memory.states.into_iter().collect();
        self.before = memory.before;
        self.current = memory.current;
        self.cost = memory.cost;
        self.rounds_done = memory.round;
        self.rounds_kept = memory.rounds_kept;
        self.store.remove_summary()?;
        self.store.cut(METRICS, memory.metrics_bytes)?;
        let rows: Vec<LedgerRow> = self
            .strategies
            .identities()
            .into_iter()
            .map(|(role, who)| {
                let outcome = Outcome::Resumed {
                    resumed_after: memory.round,
                };
                LedgerRow::new(memory.round + 1, 1, role, who, outcome)
            })
            .collect();
        self.store.append(LEDGER, &rows)
    }

    /// All that is needed to go on, on disk; in the middle of a round with what it came to so far.
    pub(crate) fn save_checkpoint(&self, midway: Option<Midway>) -> Result<(), RunError> {
        let states = self.states.iter();
        Checkpoint {
            memory: Memory {
                round: self.rounds_done,
                rounds_kept: self.rounds_kept,
                seed: self.settings.seed,
                scheme: self.settings.scheme,
                measured_on: self.measured_on.clone(),
                base: self.base.clone(),
                histories: self.histories.clone(),
                past: self.past.clone(),
                states: states
                    .map(|(owner, s)| (owner.clone(), s.clone()))
                    .collect(),
                before: self.before.clone(),
                current: self.current.clone(),
                cost: self.cost,
                metrics_bytes: self.store.size(METRICS)?,
            },
            now: self.snapshot()?,
            midway,
        }
        .save(self.store)
    }

    /// The round as it stands, on disk; its ledger rows so far with it.
    pub(crate) fn save_midway(&mut self, round: &Round, start: &Snapshot) -> Result<(), RunError> {
        self.store
            .append(LEDGER, &std::mem::take(&mut self.ledger))?;
        self.save_checkpoint(Some(Midway {
            round: round.clone(),
            inputs: self.inputs.clone(),
            start: start.clone(),
        }))
    }
}
