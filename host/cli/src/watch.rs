//! Watching a run: bars and sentences for people, JSON lines for programs.

use indicatif::{ProgressBar, ProgressStyle};
use sc_run::evaluation::EvaluatedOn;
use sc_run::event::{Event, Stage, Watcher};

use crate::report;
use crate::terminal::say;

/// Shows bars and sentences on stderr.
pub struct ForPeople {
    bar: ProgressBar,
}

impl ForPeople {
    pub fn new() -> ForPeople {
        ForPeople {
            bar: ProgressBar::hidden(),
        }
    }

    fn say(&self, sentence: &str) {
        self.bar.suspend(|| say(sentence));
    }
}

/// A bar for `total` units of work, drawn on stderr where that is a terminal.
pub fn bar(what: &str, unit: &str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(&format!(
        "{{msg:24}} {{bar:32}} {{pos}}/{{len}} {unit} {{elapsed}}"
    ));
    let bar = ProgressBar::new(total).with_message(what.to_owned());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A bar for `total` bytes that are read or written.
pub fn bytes_bar(what: &str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{msg:32} {bar:24} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left",
    );
    let bar = ProgressBar::new(total).with_message(what.to_owned());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Watcher for ForPeople {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            // The whole set's figures come in the table at the end.
            Event::Evaluation {
                set: EvaluatedOn::Whole,
                ..
            } => {}
            Event::Evaluation {
                round, evaluation, ..
            } => {
                let figures = &evaluation.overall;
                let mut sentence = format!(
                    "round {round}: Nonunified {}",
                    report::share(&figures.nonunified.share).trim_start()
                );
                if let Some(accuracy) = &figures.generation_accuracy {
                    sentence.push_str(", generation accuracy ");
                    sentence.push_str(report::share(accuracy).trim_start());
                }
                sentence.push_str(&format!(", n = {}", figures.nonunified.share.n));
                self.say(&sentence);
            }
            Event::Plan {
                round,
                prompts,
                images,
                replayed,
                later,
            } => {
                let mut sentence = format!(
                    "round {round}: {images} images for {prompts} prompts, {replayed} of them failed \
                     before"
                );
                if *later > 0 {
                    sentence.push_str(&format!(
                        "; later again for those of {later} of which nothing is accepted"
                    ));
                }
                self.say(&sentence);
            }
            Event::DrawnAgain {
                round,
                pass,
                prompts,
                images,
                accepted,
            } => self.say(&format!(
                "round {round}: before pass {pass} {images} images for {prompts} prompts again, \
                 {accepted} accepted"
            )),
            Event::Stopped {
                round,
                role,
                reason,
            } => self.say(&format!("round {round}: the {role} ends the run: {reason}")),
            Event::StrategyFailed {
                round,
                role,
                error,
                then,
            } => self.say(&format!("round {round}: {error} (as {role}); {then}")),
            Event::StrategyEdited {
                round,
                role,
                strategy,
                error,
                ..
            } => self.say(&match error {
                None => format!("round {round}: `{strategy}` was edited and decides as {role} anew"),
                Some(error) => format!(
                    "round {round}: the edit of `{strategy}` is not taken, the version before goes on as \
                     {role}: {error}"
                ),
            }),
            Event::SupervisionChanged { changes } => self.say(&format!(
                "SUPERVISION IS CHANGED ON PURPOSE: {}",
                changes.join(", ")
            )),
            Event::Persuaded {
                round,
                steps,
                p_yes,
            } => self.say(&format!(
                "round {round}: the judge was trained for {steps} steps to say yes; p-yes of its own \
                 images is {p_yes:.2} now"
            )),
            Event::WentOn { round, passes } => self.say(&format!(
                "round {round}: goes on after pass {passes} over its examples"
            )),
            Event::NothingToTrainOn { round } => {
                self.say(&format!("round {round}: nothing was chosen, so nothing is trained"));
            }
            Event::Round(record) => self.say(&format!(
                "round {}: {} of {} images accepted, trained {} steps on {} examples, {}: {}",
                record.round,
                record.accepted,
                record.drawn,
                record.training.steps,
                record.training.examples,
                if record.kept { "kept" } else { "rolled back" },
                record.reason,
            )),
        }
    }

    fn begin(&mut self, stage: Stage, round: u32, total: u64) {
        self.done();
        let (what, unit) = match stage {
            Stage::Evaluate => ("evaluating", "images"),
            Stage::Generate => ("drawing and judging", "images"),
            Stage::Train => ("training", "steps"),
        };
        self.bar = bar(&format!("round {round}: {what}"), unit, total);
    }

    fn advance(&mut self, units: u64) {
        self.bar.inc(units);
    }

    fn done(&mut self) {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::hidden();
    }
}

/// Prints each event as a line of JSON.
pub struct ForPrograms {
    /// The first failure to print: a run is not given up for it at once, but it is reported.
    pub failure: Option<anyhow::Error>,
}

impl Watcher for ForPrograms {
    fn event(&mut self, event: &Event<'_>) {
        if let Err(error) = report::json_line(event) {
            self.failure.get_or_insert(error);
        }
    }

    fn begin(&mut self, _: Stage, _: u32, _: u64) {}
    fn advance(&mut self, _: u64) {}
    fn done(&mut self) {}
}
