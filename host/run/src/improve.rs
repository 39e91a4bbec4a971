//! The story that a run tells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use sc_core::candidate::{Group, Verdict};
use sc_core::gate::GateDecision;
use sc_core::history::PromptHistory;
use sc_core::metrics::{Metric, RoundMetrics};
use sc_core::plan::CurriculumDecision;
use sc_core::prompt::Prompt;
use sc_core::role::Role;
use sc_model::UnifiedModel;
use sc_strategy::StrategySet;
use sc_train::{TrainReport, Trainer};

use crate::error::RunError;
use crate::evaluation::{EvaluatedImage, EvaluatedOn, Evaluation, EvaluationSet, evaluate};
use crate::event::{Cost, Event, RoundRecord, Stage, Summary, Watcher};
use crate::generation::DrawnGroup;
use crate::pictures::Album;
use crate::round::Snapshot;
use crate::settings::RunSettings;
use crate::store::{LEDGER, LedgerRow, RunStore, Timing};
use crate::task::{LabelledImage, Task};

/// What a run is made of. Everything is loaded and checked.
pub struct Ingredients<'a> {
    /// The model, which the run changes.
    pub model: &'a dyn UnifiedModel,
    /// What is drawn, and who knows the truth.
    pub task: &'a dyn Task,
    /// Who decides.
    pub strategies: &'a StrategySet,
    /// How much and how.
    pub settings: &'a RunSettings,
    /// Where it is kept.
    pub store: &'a RunStore,
}

/// Improves a model by its own verdicts: draw, judge, filter, select, train, evaluate, and keep
/// the round or not, as the strategies decide.
///
/// # Errors
/// When the model, a strategy or the disk fails. The rounds before stay in the run directory; of
/// the round under way nothing stays but, where a strategy failed, its ledger rows.
pub fn improve(
    ingredients: Ingredients<'_>,
    watcher: &mut dyn Watcher,
) -> Result<Summary, RunError> {
    let mut run = Run::begin(ingredients, watcher)?;
    let before = run.evaluate_thoroughly("before")?;
    for round in 1..=run.settings.rounds {
        run.enter(round);
        let plan = match run.plan()? {
            CurriculumDecision::Round(plan) => plan,
            CurriculumDecision::Stop(_) => break,
        };
        let drawn = run.draw_and_judge(&plan)?;
        let filtered = run.filter(&drawn)?;
        let examples = run.select(&plan, &drawn, &filtered)?;
        let start = run.snapshot()?;
        let training = run.train(&plan, &examples)?;
        let after = run.evaluate_round(&training)?;
        let decision = run.gate(&after)?;
        run.commit(&drawn, &filtered, training, after, &decision, start)?;
        if matches!(decision, GateDecision::Stop { .. }) {
            break;
        }
    }
    run.enter(run.rounds_done);
    let after = run.evaluate_thoroughly("after")?;
    run.finish(before, after)
}

/// What a model is evaluated on.
#[derive(Default)]
struct Material {
    prompts: Vec<Prompt>,
    labelled: Vec<LabelledImage>,
}

/// A run under way. The steps of a round are in [`crate::round`].
pub(crate) struct Run<'a> {
    pub(crate) model: &'a dyn UnifiedModel,
    pub(crate) task: &'a dyn Task,
    pub(crate) strategies: &'a StrategySet,
    pub(crate) settings: &'a RunSettings,
    pub(crate) store: &'a RunStore,
    pub(crate) watcher: &'a mut dyn Watcher,
    pub(crate) trainer: Trainer,
    /// One a training prompt.
    pub(crate) histories: Vec<PromptHistory>,
    /// Figures of the rounds so far, from round 0.
    pub(crate) past: Vec<RoundMetrics>,
    /// What each role's strategy wants to remember.
    pub(crate) states: BTreeMap<Role, Vec<u8>>,
    /// The round under way; 0 before the first.
    pub(crate) round: u32,
    /// The round's ledger rows, not yet on disk.
    pub(crate) ledger: Vec<LedgerRow<'a>>,
    /// Figures of the model as it stands, on the round's evaluation set.
    pub(crate) current: Evaluation,
    pub(crate) cost: Cost,
    /// Ids of the prompts that the round trains on.
    pub(crate) chosen_prompts: BTreeSet<u32>,
    round_material: Material,
    whole_material: Material,
    rounds_done: u32,
    rounds_kept: u32,
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
            settings,
            store,
        } = ingredients;
        let sizes = settings.evaluation;
        let material = |on: EvaluatedOn, prompts: u32| Material {
            prompts: task.evaluation_prompts(settings.seed, on, prompts as usize),
            labelled: task.oracle().map_or_else(Vec::new, |oracle| {
                oracle.labelled_images(settings.seed, on, sizes.labelled as usize)
            }),
        };
        let mut run = Run {
            model,
            task,
            strategies,
            settings,
            store,
            watcher,
            trainer: Trainer::new(model, settings.training)?,
            histories: vec![PromptHistory::default(); task.training_prompts().len()],
            past: Vec::new(),
            states: BTreeMap::new(),
            round: 0,
            ledger: Vec::new(),
            current: Evaluation::default(),
            cost: Cost::default(),
            chosen_prompts: BTreeSet::new(),
            round_material: material(EvaluatedOn::Round, sizes.round_prompts),
            whole_material: material(EvaluatedOn::Whole, sizes.prompts),
            rounds_done: 0,
            rounds_kept: 0,
        };
        run.current = run.evaluate_briefly()?;
        let record = RoundRecord {
            round: 0,
            kept: true,
            drawn: 0,
            accepted: 0,
            passed_filter: 0,
            training: TrainReport::default(),
            evaluation: run.current.clone(),
        };
        run.store.append("metrics.jsonl", &[record])?;
        run.remember(true, run.current.metrics());
        run.model.parameters().save(&run.store.path("model"))?;
        Ok(run)
    }

    fn enter(&mut self, round: u32) {
        self.round = round;
    }

    /// Evaluates on the large set, and keeps some of the pictures under `name`.
    fn evaluate_thoroughly(&mut self, name: &str) -> Result<Evaluation, RunError> {
        let material = std::mem::take(&mut self.whole_material);
        let mut album = Album::new(self.model.image_size());
        let evaluation = self.evaluate(name, EvaluatedOn::Whole, &material, &mut |image| {
            album.add(image)
        });
        self.whole_material = material;
        album.save(self.store, name)?;
        evaluation
    }

    /// The figures after a round's training; what was not trained has not changed.
    fn evaluate_round(&mut self, training: &TrainReport) -> Result<Evaluation, RunError> {
        if training.steps == 0 {
            return Ok(self.current.clone());
        }
        self.evaluate_briefly()
    }

    fn evaluate_briefly(&mut self) -> Result<Evaluation, RunError> {
        let material = std::mem::take(&mut self.round_material);
        let evaluation = self.evaluate("evaluate", EvaluatedOn::Round, &material, &mut |_| ());
        self.round_material = material;
        evaluation
    }

    fn evaluate(
        &mut self,
        stage: &str,
        on: EvaluatedOn,
        material: &Material,
        see: &mut dyn FnMut(&EvaluatedImage<'_>),
    ) -> Result<Evaluation, RunError> {
        let began = Instant::now();
        let images = material.prompts.len() + material.labelled.len();
        self.watcher
            .begin(Stage::Evaluate, self.round, images as u64);
        let set = EvaluationSet {
            on,
            prompts: &material.prompts,
            labelled: &material.labelled,
            oracle: self.task.oracle(),
            sampling: self.settings.sampling,
            seed: self.settings.seed,
        };
        let evaluation = evaluate(self.model, &set, &mut |n| self.watcher.advance(n), see)?;
        self.watcher.done();
        self.watcher.event(&Event::Evaluation {
            round: self.round,
            set: on,
            evaluation: &evaluation,
        });
        self.time(stage, began)?;
        Ok(evaluation)
    }

    /// Ends the round: its model becomes the run's, or the model of the round's start is put back.
    fn commit(
        &mut self,
        drawn: &[DrawnGroup],
        filtered: &[Group],
        training: TrainReport,
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
        self.record_histories(drawn, filtered, kept);
        let candidates = || drawn.iter().flat_map(|group| &group.group.candidates);
        let accepted = candidates().filter(|c| c.verdict == Verdict::Accepted);
        let record = RoundRecord {
            round: self.round,
            kept,
            drawn: candidates().count() as u64,
            accepted: accepted.count() as u64,
            passed_filter: filtered.iter().map(|g| g.candidates.len() as u64).sum(),
            training,
            evaluation: after,
        };
        self.store
            .append(LEDGER, &std::mem::take(&mut self.ledger))?;
        self.store
            .append("metrics.jsonl", std::slice::from_ref(&record))?;
        self.remember(kept, record.evaluation.metrics());
        self.rounds_done += 1;
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

    fn finish(mut self, before: Evaluation, after: Evaluation) -> Result<Summary, RunError> {
        // A curriculum that ended the run left a row.
        self.store
            .append(LEDGER, &std::mem::take(&mut self.ledger))?;
        let summary = Summary {
            run: None,
            rounds: self.rounds_done,
            seed: self.settings.seed,
            rounds_kept: self.rounds_kept,
            before: before.overall,
            after: after.overall,
            cost: self.cost,
        };
        self.store.write_json("summary.json", &summary)?;
        Ok(summary)
    }

    pub(crate) fn time(&self, stage: &str, began: Instant) -> Result<(), RunError> {
        let timing = Timing::new(self.round, stage, began.elapsed());
        self.store.append("timings.jsonl", &[timing])
    }
}
