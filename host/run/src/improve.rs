//! The story that a run tells.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Instant;

use candle_core::Tensor;
use sc_core::candidate::Verdict;
use sc_core::gate::GateDecision;
use sc_core::history::PromptHistory;
use sc_core::metrics::{Metric, RoundMetrics};
use sc_core::plan::CurriculumDecision;
use sc_model::UnifiedModel;
use sc_strategy::record::{RoundInputs, RunInputs};
use sc_strategy::{Runtime, StrategySet};
use sc_train::{TrainReport, Trainer};

use crate::ask::StateOwner;
use crate::checkpoint::{self, Checkpoint, MeasuredOn, Midway};
use crate::error::RunError;
use crate::evaluation::{EvaluatedOn, Evaluation};
use crate::event::{Cost, Event, RoundRecord, Summary, Watcher};
use crate::fixed::FixedImage;
use crate::judge::Judge;
use crate::ledger::{Admission, AdmissionRow, LedgerEntry};
use crate::measuring::Material;
use crate::round::{Round, Snapshot};
use crate::settings::RunSettings;
use crate::store::{LEDGER, METRICS, RunStore, SUMMARY, Timing};
use crate::task::{LabelledImage, Task};

/// What a run is made of. Everything is loaded and checked.
pub struct Ingredients<'a> {
    /// The model, which the run changes.
    pub model: &'a dyn UnifiedModel,
    /// What is drawn, and who knows the truth.
    pub task: &'a dyn Task,
    /// Who decides.
    pub strategies: StrategySet,
    /// What strategies run in.
    pub runtime: &'a Runtime,
    /// Those of them that come from registries.
    pub admissions: Vec<Admission>,
    /// Whether strategies whose files are edited take effect from the next round.
    pub watch: bool,
    /// How much and how.
    pub settings: &'a RunSettings,
    /// Where it is kept.
    pub store: &'a RunStore,
    /// Labelled images to measure understanding on, in the place of the task's own.
    pub probe: Option<Vec<LabelledImage>>,
    /// Where it goes on, if it is not a new run.
    pub checkpoint: Option<Checkpoint>,
}

/// Improves a model by its own verdicts: draw, judge, filter, select, train, evaluate, and keep
/// the round or not, as the strategies decide.
///
/// # Errors
/// When the model, a strategy or the disk fails. The rounds before stay in the run directory, and
/// the run can go on from there, or from the last checkpoint in the middle of the round under way. Of
/// what came after, nothing stays but, where a strategy failed, its ledger rows and what it was asked.
pub fn improve(
    ingredients: Ingredients<'_>,
    watcher: &mut dyn Watcher,
) -> Result<Summary, RunError> {
    let mut run = Run::begin(ingredients, watcher)?;
    for number in run.rounds_to_do() {
        let (mut round, start) = match run.begin_round(number)? {
            Some(begun) => begun,
            None => break,
        };
        // Most plans draw at the beginning alone; a replay may come in the middle of training.
        for (pass, until) in round.stages_to_do() {
            run.epoch = pass;
            if !round.has_drawn(pass) {
                let mut drawn = run.draw_and_judge(&round)?;
                let filtered = run.filter(&mut drawn)?;
                run.select(&mut round, drawn, filtered)?;
            }
            run.train(&mut round, &start, until)?;
        }
        run.epoch = 1;
        run.after_training(&round, &start)?;
        let after = run.evaluate_round(&round)?;
        let decision = run.gate(&round, &after)?;
        run.commit(&round, after, &decision, start)?;
        if matches!(decision, GateDecision::Stop { .. }) {
            break;
        }
    }
    run.finish()
}

/// A run under way. The steps of a round are in [`crate::round`].
pub(crate) struct Run<'a> {
    pub(crate) model: &'a dyn UnifiedModel,
    pub(crate) task: &'a dyn Task,
    pub(crate) strategies: StrategySet,
    pub(crate) runtime: &'a Runtime,
    pub(crate) watch: bool,
    pub(crate) settings: &'a RunSettings,
    pub(crate) store: &'a RunStore,
    pub(crate) watcher: &'a mut dyn Watcher,
    pub(crate) trainer: Trainer,
    /// Who judges what is drawn to be trained on.
    pub(crate) judge: Box<dyn Judge + 'a>,
    /// One a training prompt.
    pub(crate) histories: Vec<PromptHistory>,
    /// Figures of the rounds so far, from round 0.
    pub(crate) past: Vec<RoundMetrics>,
    /// What each strategy wants to remember.
    pub(crate) states: BTreeMap<StateOwner, Vec<u8>>,
    /// The round under way; 0 before the first.
    pub(crate) round: u32,
    /// The pass over the round's examples that comes next, from 1.
    pub(crate) epoch: u32,
    /// The round's ledger rows, not yet on disk.
    pub(crate) ledger: Vec<LedgerEntry>,
    /// What the round's strategies were given and answered.
    pub(crate) inputs: RoundInputs,
    /// Figures of the model that the run began with, on the large set.
    pub(crate) before: Evaluation,
    /// Figures of the model as it stands, on the round's evaluation set.
    pub(crate) current: Evaluation,
    pub(crate) cost: Cost,
    /// What its figures are measured on.
    pub(crate) measured_on: MeasuredOn,
    /// Digest of the weights that the run began with.
    pub(crate) base: String,
    pub(crate) round_material: Material,
    pub(crate) whole_material: Material,
    pub(crate) rounds_done: u32,
    pub(crate) rounds_kept: u32,
    /// Images of the model that the run began with.
    pub(crate) fixed: Vec<FixedImage>,
    /// Its weights, where the run's end is to be brought back towards them.
    base_weights: Option<BTreeMap<String, Tensor>>,
    /// A round that had begun when the run was interrupted.
    pub(crate) midway: Option<Midway>,
}

impl<'a> Run<'a> {
    fn begin(
        ingredients: Ingredients<'a>,
        watcher: &'a mut dyn Watcher,
    ) -> Result<Run<'a>, RunError> {
        let Ingredients {
            model,
            task,
            strategies,
            runtime,
            admissions,
            watch,
            settings,
            store,
            probe,
            checkpoint,
        } = ingredients;
        let sizes = settings.evaluation;
        let material = |on: EvaluatedOn, prompts: u32| Material {
            prompts: task.evaluation_prompts(settings.seed, on, prompts as usize),
            labelled: match (&probe, task.oracle()) {
                (Some(probe), _) => probe.clone(),
                (None, Some(oracle)) => {
                    oracle.labelled_images(settings.seed, on, sizes.labelled as usize)
                }
                (None, None) => Vec::new(),
            },
        };
        let mut run = Run {
            model,
            task,
            strategies,
            runtime,
            watch,
            settings,
            store,
            watcher,
            trainer: Trainer::new(model, settings.training)?,
            judge: settings.supervision.judge.of(task, model)?,
            histories: vec![PromptHistory::default(); task.training_prompts().len()],
            past: Vec::new(),
            states: BTreeMap::new(),
            round: 0,
            epoch: 1,
            ledger: Vec::new(),
            inputs: RoundInputs::default(),
            before: Evaluation::default(),
            current: Evaluation::default(),
            cost: Cost::default(),
            measured_on: MeasuredOn::new(settings, probe.as_deref()),
            base: checkpoint::digest(model)?,
            round_material: material(EvaluatedOn::Round, sizes.round_prompts),
            whole_material: material(EvaluatedOn::Whole, sizes.prompts),
            rounds_done: 0,
            rounds_kept: 0,
            fixed: Vec::new(),
            base_weights: None,
            midway: None,
        };
        if settings.interpolation_of_run().is_some() {
            run.base_weights = Some(run.snapshot()?.weights);
        }
        let changes = settings.supervision.changes();
        if !changes.is_empty() {
            run.watcher
                .event(&Event::SupervisionChanged { changes: &changes });
        }
        match checkpoint {
            Some(checkpoint) => run.go_on_from(checkpoint)?,
            None => run.begin_anew()?,
        }
        run.admit(admissions)?;
        Ok(run)
    }

    /// Notes in the ledger on whose word strategies of registries run.
    fn admit(&self, admissions: Vec<Admission>) -> Result<(), RunError> {
        let identities = self.strategies.identities();
        let rows: Vec<LedgerEntry> = admissions
            .into_iter()
            .filter_map(|admission| {
                let of_it = identities
                    .iter()
                    .find(|(_, who)| who.source == admission.source);
                let (_, who) = of_it?;
                Some(LedgerEntry::Admission(AdmissionRow {
                    round: self.rounds_done + 1,
                    strategy: who.name.clone(),
                    version: who.version.clone(),
                    digest: who.digest.clone(),
                    artifact: admission.artifact,
                    trust: admission.trust,
                    key: admission.key,
                }))
            })
            .collect();
        self.store.append(LEDGER, &rows)
    }

    /// Measures the model that the run begins with, and makes the first checkpoint.
    fn begin_anew(&mut self) -> Result<(), RunError> {
        self.store.write_run_inputs(&RunInputs {
            seed: self.settings.seed,
            prompts: self.task.training_prompts().to_vec(),
        })?;
        self.current = self.evaluate_briefly()?;
        let record = RoundRecord {
            round: 0,
            kept: true,
            drawn: 0,
            accepted: 0,
            passed_filter: 0,
            training: TrainReport::default(),
            audit_flips: None,
            reason: "the model that the run began with".into(),
            supervision_changes: Vec::new(),
            evaluation: self.current.clone(),
        };
        self.store.append(METRICS, &[record])?;
        self.remember(true, self.current.metrics());
        self.model.parameters().save(&self.store.path("model"))?;
        self.before = self.evaluate_thoroughly("before")?;
        self.draw_fixed()?;
        self.save_checkpoint(None)
    }

    fn rounds_to_do(&self) -> RangeInclusive<u32> {
        self.rounds_done + 1..=self.settings.rounds
    }

    /// Begins a round, or goes on with one that had begun; none where the curriculum ends the run.
    fn begin_round(&mut self, number: u32) -> Result<Option<(Round, Snapshot)>, RunError> {
        self.enter(number);
        if let Some(midway) = self.midway.take() {
            self.watcher.event(&Event::WentOn {
                round: number,
                passes: midway.round.training.passes(),
            });
            self.inputs = midway.inputs;
            return Ok(Some((midway.round, midway.start)));
        }
        self.refresh_strategies();
        match self.plan()? {
            CurriculumDecision::Round(plan) => {
                let round = Round::new(plan, number, self.settings.seed);
                Ok(Some((round, self.snapshot()?)))
            }
            CurriculumDecision::Stop(_) => Ok(None),
        }
    }

    fn enter(&mut self, round: u32) {
        self.round = round;
        self.epoch = 1;
        self.inputs = RoundInputs {
            round,
            rounds: self.settings.rounds,
            last: self.past.last().cloned(),
            ..RoundInputs::default()
        };
    }

    /// Ends the round: its model becomes the run's, or the model of the round's start is put back.
    fn commit(
        &mut self,
        round: &Round,
        after: Evaluation,
        decision: &GateDecision,
        start: Snapshot,
    ) -> Result<(), RunError> {
        let kept = matches!(decision, GateDecision::Keep { .. });
        if kept {
            self.model.parameters().save(&self.store.path("model"))?;
            self.current = after.clone();
            self.rounds_kept += 1;
        } else {
            self.put_back(start)?;
        }
        self.record_histories(round, kept);
        let candidates = || round.groups().flat_map(|(drawn, _)| &drawn.candidates);
        let accepted = candidates().filter(|c| c.verdict == Verdict::Accepted);
        let passed = round.groups().map(|(_, left)| left.candidates.len() as u64);
        let record = RoundRecord {
            round: self.round,
            kept,
            drawn: candidates().count() as u64,
            accepted: accepted.count() as u64,
            passed_filter: passed.sum(),
            training: round.training.report(self.model.image_tokens()),
            audit_flips: round.audit.flips(),
            reason: decision.reason().to_owned(),
            supervision_changes: self.settings.supervision.changes(),
            evaluation: after,
        };
        self.store
            .append(LEDGER, &std::mem::take(&mut self.ledger))?;
        self.store.write_inputs(&self.inputs)?;
        self.store.append(METRICS, std::slice::from_ref(&record))?;
        self.remember(kept, record.evaluation.metrics());
        self.rounds_done += 1;
        self.save_checkpoint(None)?;
        self.watcher.event(&Event::Round(&record));
        Ok(())
    }

    fn remember(&mut self, kept: bool, metrics: Vec<Metric>) {
        self.past.push(RoundMetrics {
            round: self.round,
            kept,
            metrics,
        });
    }

    /// Measures the model that the run has come to.
    fn finish(mut self) -> Result<Summary, RunError> {
        if self.inputs.curriculum.is_some() && self.inputs.stages.is_empty() {
            // A curriculum that ended the run.
            self.store.write_inputs(&self.inputs)?;
        }
        self.round = self.rounds_done;
        if let (Some(part), Some(base)) = (
            self.settings.interpolation_of_run(),
            self.base_weights.take(),
        ) {
            self.interpolate(&base, part)?;
            self.model.parameters().save(&self.store.path("model"))?;
        }
        let after = self.evaluate_thoroughly("after")?;
        self.store
            .append(LEDGER, &std::mem::take(&mut self.ledger))?;
        let co_improvement = self.compare_fixed()?;
        let summary = Summary {
            run: None,
            scheme: self.settings.scheme,
            supervision_changes: self.settings.supervision.changes(),
            understanding_win_rate: co_improvement.as_ref().map(|co| co.win_rate),
            co_improvement,
            rounds: self.rounds_done,
            seed: self.settings.seed,
            rounds_kept: self.rounds_kept,
            before: self.before.overall,
            after: after.overall,
            cost: self.cost,
        };
        self.store.write_json(SUMMARY, &summary)?;
        Ok(summary)
    }

    pub(crate) fn time(&self, stage: &str, began: Instant) -> Result<(), RunError> {
        let timing = Timing::new(self.round, stage, began.elapsed());
        self.store.append("timings.jsonl", &[timing])
    }
}
