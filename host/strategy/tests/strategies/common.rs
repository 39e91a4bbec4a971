//! Inputs and files that the tests share.

use std::path::Path;
use std::sync::OnceLock;

use rand::Rng;
use sc_core::candidate::{Candidate, Group, Verdict};
use sc_core::choice::Objective;
use sc_core::gate::GateDecision;
use sc_core::history::PromptHistory;
use sc_core::metrics::{Metric, RoundMetrics, Share};
use sc_core::plan::{PlanBounds, PlanDefaults, Sampling};
use sc_core::prompt::{Prompt, Tag};
use sc_core::rng::stream;
use sc_strategy::{
    CallContext, CallError, GateInput, Limits, Reply, Runtime, StrategyRequest, StrategySet,
};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A file of the repository, as `--strategy` takes it.
pub fn file(path: &str) -> String {
    root().join(path).to_str().unwrap().to_owned()
}

/// A sandbox that all tests of a binary share; the interpreter is compiled once.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        // Enough for every test; an endless loop ends sooner than by default.
        let limits = Limits {
            fuel: 5_000_000_000,
            ..Limits::default()
        };
        Runtime::with_cache_directory(limits, Some(cache)).unwrap()
    })
}

/// Loads strategies of the repository with settings.
pub fn load(specs: &[&str], settings: &[&str]) -> StrategySet {
    let specs: Vec<String> = specs
        .iter()
        .map(|spec| match spec.strip_prefix("builtin:") {
            Some(_) => (*spec).to_owned(),
            None => file(spec),
        })
        .collect();
    let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
    StrategySet::load(&StrategyRequest::of(&specs, &settings), runtime()).unwrap()
}

/// The call of round `round`.
pub fn context(round: u32) -> CallContext {
    CallContext {
        seed: 7,
        round,
        rounds: 10,
        epoch: 1,
        link: 0,
        state: Vec::new(),
    }
}

/// `count` prompts.
pub fn prompts(count: u32) -> Vec<Prompt> {
    (0..count)
        .map(|id| Prompt {
            id,
            text: format!("a red circle to the left of a small blue square, number {id}"),
            category: ["colour", "spatial", "numeracy"][id as usize % 3].to_owned(),
            tags: vec![Tag {
                key: "kind".into(),
                value: format!("kind {}", id % 5),
            }],
        })
        .collect()
}

/// `count` groups of `size` candidates, by chance: all verdicts, equal images, ties.
pub fn groups(count: u32, size: u32) -> Vec<Group> {
    let mut random = stream(3, "test groups", &[]);
    prompts(count)
        .into_iter()
        .zip(histories(count))
        .map(|(prompt, history)| Group {
            prompt,
            history,
            candidates: (0..size)
                .map(|index| {
                    let p_yes = f64::from(random.random_range(0..=20_u32)) / 20.0;
                    Candidate {
                        index,
                        p_yes,
                        verdict: match random.random_range(0..10) {
                            0 => Verdict::Unparsed,
                            _ if p_yes >= 0.5 => Verdict::Accepted,
                            _ => Verdict::Rejected,
                        },
                        answer: String::new(),
                        log_prob: -random.random_range(0.5..3.0),
                        image_hash: u64::MAX - random.random_range(0..20),
                    }
                })
                .collect(),
        })
        .collect()
}

/// Histories of `count` prompts: untouched, failed and accepted ones.
pub fn histories(count: u32) -> Vec<PromptHistory> {
    (0..count)
        .map(|id| match id % 3 {
            0 => PromptHistory::default(),
            kind => PromptHistory {
                attempts: 8,
                accepted: (kind - 1) * 3,
                mean_p_yes: 0.25,
                best_p_yes: 0.75,
                last_round: Some(1),
                times_trained: kind - 1,
            },
        })
        .collect()
}

/// Figures of a round.
pub fn metrics(nonunified: u64, understanding: u64) -> Vec<Metric> {
    vec![
        Metric::new("nonunified", Share::of(nonunified, 600)),
        Metric::new("understanding_accuracy", Share::of(understanding, 600)),
    ]
}

/// What the gate of `set` decides.
pub fn decide(
    set: &StrategySet,
    context: &CallContext,
    before: &[Metric],
    after: &[Metric],
) -> Result<Reply<GateDecision>, CallError> {
    let input = GateInput {
        before,
        after,
        past: &past(),
    };
    set.quality_gates[0].strategy().decide(context, &input)
}

/// One past round.
pub fn past() -> Vec<RoundMetrics> {
    vec![RoundMetrics {
        round: 0,
        kept: true,
        metrics: metrics(300, 500),
    }]
}

/// Bounds and defaults for a table of `count` prompts.
pub fn bounds(count: u32) -> (PlanBounds, PlanDefaults) {
    (
        PlanBounds {
            prompt_count: count,
            max_images: 4096,
            max_epochs: 8,
        },
        PlanDefaults {
            prompts: 64,
            images_per_prompt: 8,
            sampling: Sampling {
                temperature: 1.0,
                guidance: 2.0,
            },
            objective: Objective::Sigmoid,
            epochs: 2,
        },
    )
}
