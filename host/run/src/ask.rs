//! Asking a strategy: its state, what happens when it fails, and the ledger rows.

use std::sync::Arc;
use std::time::Instant;

use sc_core::role::Role;
use sc_strategy::record::AnswerRecord;
use sc_strategy::{CallContext, CallError, Filled, OnFailure, Refreshed, Reply, Slot, StrategySet};

use crate::error::RunError;
use crate::event::Event;
use crate::improve::Run;
use crate::ledger::{LedgerRow, Outcome};
use crate::store::LEDGER;

/// Whose state it is: a strategy gets back only what it has returned itself, in the same place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) struct StateOwner {
    pub(crate) role: Role,
    pub(crate) link: u32,
    pub(crate) strategy: String,
}

/// A place that is asked: the role, and the position among its strategies.
pub(crate) struct Place<S: ?Sized> {
    pub(crate) role: Role,
    pub(crate) link: u32,
    /// Finds it.
    pub(crate) slot: fn(&mut StrategySet, u32) -> &mut Slot<S>,
}

impl<'a> Run<'a> {
    /// Asks the strategy in a place; keeps its state, and writes the ledger row that `outcome` makes
    /// of its answer. Where it fails, the run's policy says who is asked instead; `None` where the
    /// place is left out this time. Each failed call is in the ledger before anything else happens.
    pub(crate) fn ask<S: ?Sized, T>(
        &mut self,
        place: &Place<S>,
        mut call: impl FnMut(&S, &CallContext) -> Result<Reply<T>, CallError>,
        outcome: impl Fn(&T) -> Outcome,
    ) -> Result<Option<AnswerRecord<T>>, RunError> {
        let Place { role, link, slot } = *place;
        let policy = slot(&mut self.strategies, link).on_failure();
        let line_up = slot(&mut self.strategies, link).line_up();
        let mut line = line_up.iter().enumerate().peekable();
        while let Some((position, who)) = line.next() {
            let owner = StateOwner {
                role,
                link,
                strategy: who.identity.name.clone(),
            };
            let context = CallContext {
                seed: self.settings.seed,
                round: self.round,
                rounds: self.settings.rounds,
                epoch: self.epoch,
                link,
                state: self.states.get(&owner).cloned().unwrap_or_default(),
            };
            let began = Instant::now();
            let reply = call(&who.strategy, &context);
            self.time(&format!("strategy/{role}"), began)?;
            match reply {
                Ok(reply) => {
                    let mut row = self.row(role, who, outcome(&reply.answer));
                    row.usage = (!reply.usage.is_empty()).then_some(reply.usage);
                    self.ledger.push(row.into());
                    self.states.insert(owner, reply.state);
                    if position == 0 {
                        slot(&mut self.strategies, link).answered();
                    }
                    return Ok(Some(AnswerRecord {
                        link,
                        strategy: who.identity.name.clone(),
                        digest: who.identity.digest.clone(),
                        answer: reply.answer,
                    }));
                }
                Err(error) => {
                    let next = line.peek().map(|(_, next)| *next);
                    let then = match (policy, next) {
                        (OnFailure::Stop, _) => "the run stops".to_owned(),
                        (_, Some(next)) if next.identity.name == who.identity.name => {
                            "its last good version decides".to_owned()
                        }
                        (_, Some(next)) => format!("`{}` decides", next.identity.name),
                        (_, None) => "it is left out this time".to_owned(),
                    };
                    let row = self.row(
                        role,
                        who,
                        Outcome::Failure {
                            error: error.to_string(),
                            then: then.clone(),
                        },
                    );
                    self.ledger.push(row.into());
                    if policy == OnFailure::Stop {
                        self.leave_ledger()?;
                        return Err(error.into());
                    }
                    self.watcher.event(&Event::StrategyFailed {
                        round: self.round,
                        role,
                        error: &error.to_string(),
                        then: &then,
                    });
                }
            }
        }
        Ok(None)
    }

    /// Looks for strategies whose files have changed, if the run watches them.
    pub(crate) fn refresh_strategies(&mut self) {
        if !self.watch {
            return;
        }
        for refreshed in self.strategies.refresh(self.runtime) {
            let (places, error) = match &refreshed {
                Refreshed::Taken { place, .. } => (std::slice::from_ref(place), None),
                Refreshed::Kept { places, error, .. } => {
                    (places.as_slice(), Some(error.to_string()))
                }
            };
            for (role, who) in places {
                let outcome = match &refreshed {
                    Refreshed::Taken { before, .. } => Outcome::Edited {
                        edit: "taken",
                        before: before.clone(),
                        error: None,
                    },
                    Refreshed::Kept { .. } => Outcome::Edited {
                        edit: "refused",
                        before: who.digest.clone(),
                        error: error.clone(),
                    },
                };
                let row = LedgerRow::new(self.round, self.epoch, *role, who, outcome);
                self.ledger.push(row.into());
                self.watcher.event(&Event::StrategyEdited {
                    round: self.round,
                    role: *role,
                    strategy: &who.name,
                    digest: who.digest.as_deref(),
                    error: error.as_deref(),
                });
            }
        }
    }

    fn row<S: ?Sized>(&self, role: Role, who: &Arc<Filled<S>>, outcome: Outcome) -> LedgerRow {
        LedgerRow::new(self.round, self.epoch, role, &who.identity, outcome)
    }

    /// Puts the rows of a round that cannot go on on disk, and what its strategies were asked.
    fn leave_ledger(&mut self) -> Result<(), RunError> {
        self.store
            .append(LEDGER, &std::mem::take(&mut self.ledger))?;
        self.store.write_inputs(&self.inputs)
    }
}
