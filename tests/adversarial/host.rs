//! All that the suite needs of the library: a sandbox, and a call in each role.

use std::collections::HashMap;
use std::fmt::{Debug, Display};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result};
use sc_core::candidate::{Candidate, Group, Verdict};
use sc_core::choice::Objective;
use sc_core::history::PromptHistory;
use sc_core::metrics::{Metric, RoundMetrics, Share};
use sc_core::plan::{PlanBounds, PlanDefaults, Sampling};
use sc_core::prompt::Prompt;
use sc_core::role::Role;
use sc_strategy::{
    CallContext, CandidateServices, CurriculumInput, GateInput, Grants, Image, Limits, ModelReply,
    Question, Requested, Runtime, StrategyRequest, StrategySet,
};
use tempfile::TempDir;

use crate::build;
use crate::table::{Asked, Row};

/// The good strategy, and the reason that it gives.
const GOOD: (&str, &str) = ("gate-answers", "fine");

/// How an attack ended.
pub enum Outcome {
    /// It was not loaded.
    Refused(String),
    /// It was loaded, and its call failed.
    Failed(String),
    /// It got an answer through.
    Answered(String),
}

/// The host under attack.
pub struct Host {
    directory: PathBuf,
    files: TempDir,
    /// By the limits that a row changes: rows with the same limits share a sandbox.
    runtimes: Mutex<HashMap<Vec<String>, Arc<Runtime>>>,
}

impl Host {
    pub fn new(directory: &Path) -> Result<Host> {
        let files = tempfile::tempdir()?;
        fs::write(
            files.path().join("good.wasm"),
            build::part(directory, GOOD.0)?,
        )?;
        Ok(Host {
            directory: directory.to_owned(),
            files,
            runtimes: Mutex::default(),
        })
    }

    /// Limits that an attack runs into within a second or two.
    fn limits() -> Limits {
        Limits {
            fuel: 300_000_000,
            deadline: Duration::from_secs(2),
            setup_fuel: 300_000_000,
            setup_deadline: Duration::from_secs(2),
            memory_bytes: 128 << 20,
            ..Limits::default()
        }
    }

    fn runtime(&self, changes: Vec<String>) -> Result<Arc<Runtime>> {
        let mut runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = runtimes.get(&changes) {
            return Ok(Arc::clone(runtime));
        }
        let limits = Host::limits().with(&changes)?;
        // The interpreter takes seconds to compile: it is kept from one run of the suite to the next.
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let runtime = Arc::new(Runtime::with_cache_directory(limits, Some(cache))?);
        runtimes.insert(changes, Arc::clone(&runtime));
        Ok(runtime)
    }

    fn path(&self, name: &str) -> String {
        self.files.path().join(name).to_string_lossy().into_owned()
    }

    /// Loads a good strategy in the sandbox that most rows use, and asks it.
    pub fn ask_good(&self) -> Result<()> {
        let runtime = self.runtime(Vec::new())?;
        let request = StrategyRequest {
            strategies: vec![Requested::named(&self.path("good.wasm"))],
            ..StrategyRequest::default()
        };
        let set = StrategySet::load(&request, &runtime).context("a good strategy is not loaded")?;
        match ask(&set, Role::QualityGate, Objective::Sigmoid, 0) {
            Outcome::Answered(answer) if answer.contains(GOOD.1) => Ok(()),
            Outcome::Answered(text) | Outcome::Failed(text) | Outcome::Refused(text) => {
                anyhow::bail!("a good strategy does not answer as it should: {text}")
            }
        }
    }

    /// Does what a row says.
    ///
    /// # Errors
    /// When the row itself is wrong.
    pub fn attack(&self, row: &Row) -> Result<Outcome> {
        let stem = row.file.rsplit_once('.').context("a file's name")?;
        let name = match stem.1 {
            "rhai" => row.file.clone(),
            _ => format!("{}.wasm", stem.0),
        };
        fs::write(self.path(&name), build::bytes(&self.directory, row)?)?;
        let runtime = self.runtime(row.all("limit"))?;
        let request = StrategyRequest {
            strategies: vec![Requested::named(&self.path(&name))],
            settings: row.all("set"),
            grants: Grants::parse(&row.all("grant"))?,
            ..StrategyRequest::default()
        };
        let set = match StrategySet::load(&request, &runtime) {
            Ok(set) => set,
            Err(error) => return Ok(Outcome::Refused(error.to_string())),
        };
        let Asked::Role(role) = row.asked else {
            return Ok(Outcome::Answered("it was loaded".into()));
        };
        let objective = match row.has("objective=sft") {
            true => Objective::Sft,
            false => Objective::Sigmoid,
        };
        let slow = row.number("slow")?.unwrap_or(0);
        Ok(ask(&set, role, objective, slow as u64))
    }
}

/// A model that says yes to everything, after so many milliseconds a question.
struct Model {
    slow: u64,
}

impl CandidateServices for Model {
    fn pixels(&mut self, _: u32, _: u32) -> Result<Image, String> {
        Ok(Image {
            width: 64,
            height: 64,
            rgb: vec![0; 64 * 64 * 3],
        })
    }

    fn tokens(&mut self, _: u32, _: u32) -> Result<Vec<u32>, String> {
        Ok(vec![0; 64])
    }

    fn ask(&mut self, questions: &[Question]) -> Result<Vec<ModelReply>, String> {
        thread::sleep(Duration::from_millis(self.slow * questions.len() as u64));
        let yes = ModelReply {
            p_yes: 1.0,
            verdict: Verdict::Accepted,
            answer: "yes".into(),
        };
        Ok(vec![yes; questions.len()])
    }
}

/// Calls `role`, in round 3 of 10.
fn ask(set: &StrategySet, role: Role, objective: Objective, slow: u64) -> Outcome {
    let context = CallContext {
        seed: 7,
        round: 3,
        rounds: 10,
        epoch: 1,
        link: 0,
        state: Vec::new(),
    };
    let model = &mut Model { slow };
    match role {
        Role::Curriculum => {
            let (prompts, past): (Vec<Prompt>, _) = ((0..9).map(prompt).collect(), past());
            let input = CurriculumInput {
                prompts: &prompts,
                histories: &[PromptHistory::default(); 9],
                past: &past,
                bounds: PlanBounds {
                    prompt_count: 9,
                    max_images: 100,
                    max_epochs: 4,
                },
                defaults: PlanDefaults {
                    prompts: 4,
                    images_per_prompt: 4,
                    sampling: Sampling::default(),
                    objective,
                    epochs: 1,
                },
            };
            let curriculum = &set.curriculum.line_up()[0].strategy;
            outcome(curriculum.plan(&context, &input).map(|reply| reply.answer))
        }
        Role::DataFilter => {
            let filter = &set.data_filters[0].line_up()[0].strategy;
            let reply = filter.filter(&context, &groups(), model);
            outcome(reply.map(|reply| reply.answer))
        }
        Role::PairSelection => {
            let selection = &set.pair_selection.line_up()[0].strategy;
            let reply = selection.select(&context, &groups(), objective, model);
            outcome(reply.map(|reply| reply.answer))
        }
        Role::QualityGate => {
            let gate = &set.quality_gates[0].line_up()[0].strategy;
            let past = past();
            let input = GateInput {
                before: &past[0].metrics,
                after: &past[0].metrics,
                past: &past,
            };
            outcome(gate.decide(&context, &input).map(|reply| reply.answer))
        }
    }
}

fn outcome<T: Debug, E: Display>(result: Result<T, E>) -> Outcome {
    match result {
        Ok(answer) => Outcome::Answered(format!("{answer:?}")),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

fn prompt(id: u32) -> Prompt {
    Prompt {
        id,
        text: format!("a red circle, number {id}"),
        category: "colour".into(),
        tags: Vec::new(),
    }
}

fn past() -> Vec<RoundMetrics> {
    vec![RoundMetrics {
        round: 0,
        kept: true,
        metrics: vec![Metric::new("nonunified", Share::of(300, 600))],
    }]
}

/// Three groups of three candidates: 0 is accepted, 1 rejected, 2 unparsed.
fn groups() -> Vec<Group> {
    let candidate = |group: u32, index: u32, verdict| Candidate {
        index,
        p_yes: 0.5,
        verdict,
        answer: String::new(),
        log_prob: -1.0,
        image_hash: u64::from(group * 3 + index),
    };
    (0..3)
        .map(|group| Group {
            prompt: prompt(group),
            history: PromptHistory::default(),
            candidates: vec![
                candidate(group, 0, Verdict::Accepted),
                candidate(group, 1, Verdict::Rejected),
                candidate(group, 2, Verdict::Unparsed),
            ],
        })
        .collect()
}
