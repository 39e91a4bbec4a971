//! What a run measures, and on what.

use std::time::Instant;

use sc_core::co_improvement::CoImprovement;
use sc_core::prompt::Prompt;

use crate::error::RunError;
use crate::evaluation::{EvaluatedImage, EvaluatedOn, Evaluation, EvaluationSet, evaluate};
use crate::event::{Event, Stage};
use crate::fixed::{self, BASE_IMAGES};
use crate::improve::Run;
use crate::pictures::Album;
use crate::round::Round;
use crate::task::LabelledImage;

/// What a model is evaluated on.
#[derive(Default)]
pub(crate) struct Material {
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) labelled: Vec<LabelledImage>,
}

impl Run<'_> {
    /// Evaluates on the large set, and keeps some of the pictures under `name`.
    pub(crate) fn evaluate_thoroughly(&mut self, name: &str) -> Result<Evaluation, RunError> {
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
    pub(crate) fn evaluate_round(&mut self, round: &Round) -> Result<Evaluation, RunError> {
        let steps = round.training.report(self.model.image_tokens()).steps;
        if steps == 0 && self.settings.supervision.perturb.permissive.is_none() {
            self.watcher
                .event(&Event::NothingToTrainOn { round: self.round });
            return Ok(self.current.clone());
        }
        self.evaluate_briefly()
    }

    pub(crate) fn evaluate_briefly(&mut self) -> Result<Evaluation, RunError> {
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
            signals: (on == EvaluatedOn::Round).then(|| self.task.questions()),
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

    /// Draws the fixed images, with the model that the run begins with.
    pub(crate) fn draw_fixed(&mut self) -> Result<(), RunError> {
        let began = Instant::now();
        let count = self.settings.evaluation.fixed;
        self.watcher.begin(Stage::Evaluate, 0, count.into());
        let (watcher, settings) = (&mut *self.watcher, self.settings);
        self.fixed = fixed::draw(self.model, self.task, settings, &mut |n| watcher.advance(n))?;
        self.watcher.done();
        self.store.write_rows(BASE_IMAGES, &self.fixed)?;
        self.time("fixed images", began)
    }

    /// Has the model that the run came to judge the images of the one that it began with.
    pub(crate) fn compare_fixed(&mut self) -> Result<Option<CoImprovement>, RunError> {
        let began = Instant::now();
        let count = self.fixed.len() as u64;
        self.watcher.begin(Stage::Evaluate, self.round, count);
        let watcher = &mut *self.watcher;
        let compared = fixed::compare(self.model, &self.fixed, &mut |n| watcher.advance(n))?;
        self.watcher.done();
        self.time("fixed images", began)?;
        Ok(compared)
    }
}
