//! What a script costs natively: 1,000 groups of 8 candidates.
//!
//! `cargo bench -p rhai-interpreter` in `plugins` prints the fastest of each, which other work on
//! the machine disturbs least.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use rhai_interpreter::native::{self, types};

/// The fastest of many calls, each with an input of its own that is made beforehand.
fn fastest<T>(name: &str, input: impl Fn() -> T, call: impl Fn(T)) {
    let mut best = Duration::MAX;
    for _ in 0..51 {
        let input = input();
        let start = Instant::now();
        call(input);
        best = best.min(start.elapsed());
    }
    println!("{name:24} {:9.3} ms", best.as_secs_f64() * 1e3);
}

fn context() -> types::Context {
    types::Context {
        seed: 7,
        round: 1,
        rounds: 3,
        epoch: 1,
        settings: Vec::new(),
        state: Vec::new(),
    }
}

/// `count` groups of `size` candidates, with all verdicts, equal images and ties.
fn groups(count: u32, size: u32) -> Vec<types::Group> {
    let mut chance = 3_u64;
    let mut next = move |bound: u64| {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % bound
    };
    (0..count)
        .map(|id| types::Group {
            prompt: types::Prompt {
                id,
                text: format!("a red circle to the left of a small blue square, number {id}"),
                category: "spatial".into(),
                tags: vec![types::Tag {
                    key: "kind".into(),
                    value: format!("kind {}", id % 5),
                }],
            },
            history: types::PromptHistory {
                attempts: 8,
                accepted: 1,
                mean_p_yes: 0.25,
                best_p_yes: 0.75,
                last_round: Some(1),
                times_trained: 0,
            },
            candidates: (0..size)
                .map(|index| {
                    let p_yes = next(21) as f64 / 20.0;
                    types::Candidate {
                        index,
                        p_yes,
                        verdict: match next(10) {
                            0 => types::Verdict::Unparsed,
                            _ if p_yes >= 0.5 => types::Verdict::Accepted,
                            _ => types::Verdict::Rejected,
                        },
                        answer: None,
                        log_prob: -1.5,
                        image_hash: u64::MAX - next(20),
                    }
                })
                .collect(),
        })
        .collect()
}

fn main() {
    let script = |name: &str| {
        let path = format!("{}/../../scripts/{name}.rhai", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let source = script("filter");
    fastest(
        "load filter.rhai",
        || (),
        |()| native::load(&source).unwrap(),
    );
    fastest(
        "filter.rhai",
        || groups(1000, 8),
        |groups| {
            black_box(native::filter(context(), groups).unwrap());
        },
    );
    native::load(&script("pairs")).unwrap();
    for takes in ["pairs", "targets"] {
        let objective = || types::Objective {
            name: takes.into(),
            takes: takes.into(),
        };
        fastest(
            &format!("pairs.rhai, {takes}"),
            || groups(1000, 8),
            |groups| {
                black_box(native::select(context(), groups, objective()).unwrap());
            },
        );
    }
}
