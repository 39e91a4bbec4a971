//! Training, and going back.

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::Tensor;
use sc_train::{Persuasion, generation_path, persuade};

use super::{Round, Snapshot};
use crate::error::RunError;
use crate::event::{Event, Stage};
use crate::improve::Run;
use crate::ledger::{ChangeRow, LedgerEntry};
use crate::supervision::Change;

impl Run<'_> {
    /// What there is to go back to.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, RunError> {
        let weights = generation_path(self.model.parameters())
            .into_iter()
            .map(|(name, var)| Ok((name, var.as_detached_tensor().copy()?)))
            .collect::<Result<_, RunError>>()?;
        Ok(Snapshot {
            weights,
            optimizer: self.trainer.state()?,
        })
    }

    /// Goes back to the round's start: weights and optimizer are as if it had never been.
    pub(crate) fn put_back(&mut self, start: Snapshot) -> Result<(), RunError> {
        self.model.parameters().replace(&start.weights)?;
        Ok(self.trainer.restore(&start.optimizer)?)
    }

    /// **Train** the generation branch, until `until` of the round's passes are done. On the way
    /// checkpoints are made, if the settings ask for them.
    pub(crate) fn train(
        &mut self,
        round: &mut Round,
        start: &Snapshot,
        until: u32,
    ) -> Result<(), RunError> {
        self.take_reference(round, start)?;
        let every = self.settings.checkpoint_passes;
        while round.training.passes() < until {
            let done = round.training.passes();
            let next = match every {
                0 => until,
                every => ((done / every + 1) * every).min(until),
            };
            self.train_passes(round, next)?;
            if every > 0 && next % every == 0 {
                self.save_midway(round, start)?;
            }
        }
        Ok(())
    }

    fn train_passes(&mut self, round: &mut Round, until: u32) -> Result<(), RunError> {
        let began = Instant::now();
        let before = round.training.report(self.model.image_tokens());
        let mut begun = false;
        let (watcher, number) = (&mut *self.watcher, self.round);
        self.trainer.go_on(
            self.model,
            (&round.examples, &round.reference),
            &mut round.training,
            until,
            &mut |step| {
                if !begun {
                    let left = step.steps - before.steps;
                    watcher.begin(Stage::Train, number, left as u64);
                    begun = true;
                }
                watcher.advance(1);
            },
        )?;
        self.watcher.done();
        let report = round.training.report(self.model.image_tokens());
        self.cost.steps += (report.steps - before.steps) as u64;
        self.cost.tokens += report.tokens - before.tokens;
        self.time("train", began)
    }

    /// What is done to the model after its training: a judge made permissive on purpose, and the
    /// weights brought back part of the way.
    pub(crate) fn after_training(
        &mut self,
        round: &Round,
        start: &Snapshot,
    ) -> Result<(), RunError> {
        if let Some(steps) = self.settings.supervision.perturb.permissive {
            let began = Instant::now();
            let training = &self.settings.training;
            let images: Vec<(&str, &[u32])> = round.images().collect();
            let how = Persuasion {
                seed: self.settings.seed,
                round: self.round,
                steps,
                batch_size: training.batch_size,
                learning_rate: training.learning_rate,
                optimizer: training.optimizer,
            };
            let watcher = &mut *self.watcher;
            watcher.begin(Stage::Train, self.round, steps.into());
            let certainty = persuade(self.model, &images, &how, &mut |_| watcher.advance(1))?;
            watcher.done();
            if let Some(certainty) = certainty {
                self.cost.steps += u64::from(steps);
                self.record_persuasion(steps, certainty);
            }
            self.time("permissive", began)?;
        }
        if let Some(part) = self.settings.interpolation_of_rounds() {
            self.interpolate(&start.weights, part)?;
        }
        Ok(())
    }

    /// Tells of a judge that was made permissive.
    fn record_persuasion(&mut self, steps: u32, p_yes: f64) {
        let round = self.round;
        let change = Change::new("permissive", steps as usize, steps as usize);
        self.ledger.push(LedgerEntry::Change(ChangeRow {
            round,
            epoch: 1,
            change,
        }));
        self.watcher.event(&Event::Persuaded {
            round,
            steps,
            p_yes,
        });
    }

    /// Moves the trained weights to `part` of the way from `from` to where they are.
    pub(crate) fn interpolate(
        &self,
        from: &BTreeMap<String, Tensor>,
        part: f64,
    ) -> Result<(), RunError> {
        let mut between = BTreeMap::new();
        let of_adapter = self.model.parameters().adapter().is_some();
        for (name, var) in generation_path(self.model.parameters()) {
            if of_adapter {
                // B·A goes back to nothing, where a new adapter begins, as B does.
                if name.ends_with("lora_B.weight") {
                    between.insert(name, (var.as_detached_tensor() * part)?);
                }
            } else if let Some(from) = from.get(&name) {
                let way = (var.as_detached_tensor() - from)?;
                between.insert(name, (from + (way * part)?)?);
            }
        }
        Ok(self.model.parameters().replace(&between)?)
    }

    /// What the model of the round's start says of the examples that have joined since the last time.
    fn take_reference(&mut self, round: &mut Round, start: &Snapshot) -> Result<(), RunError> {
        let objective = round.plan.objective;
        let known = round.reference.len();
        if known == round.examples.len()
            || !self.trainer.loss(self.model, objective).needs_reference()
        {
            return Ok(());
        }
        let new = round.examples.tail(known);
        if known == 0 {
            round.reference = self.trainer.reference(self.model, &new, objective)?;
            return Ok(());
        }
        let parameters = self.model.parameters();
        let now = self.snapshot()?;
        parameters.replace(&start.weights)?;
        let reference = self.trainer.reference(self.model, &new, objective);
        parameters.replace(&now.weights)?;
        Ok(round.reference.extend(reference?)?)
    }
}
