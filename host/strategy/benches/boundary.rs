//! What it costs to ask a strategy, and what it costs to have one: 8 candidates a prompt,
//! 80-character prompts.
//!
//! `cargo bench --profile release -p sc-strategy` prints the fastest of each, which other work on the
//! machine disturbs least. The baseline is the same decision natively with a copy of its input, as the
//! sandbox leaves the caller's groups alone too.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "../tests/strategies/common.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod common;

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{context, decide, file, groups, load, metrics};
use sc_core::candidate::Group;
use sc_core::choice::Objective;
use sc_strategy::{Limits, NoServices, Runtime, StrategySet, inspect};

/// The fastest of `calls`.
fn fastest(calls: u32, mut call: impl FnMut()) -> Duration {
    call();
    let time = |_| {
        let start = Instant::now();
        call();
        start.elapsed()
    };
    (0..calls).map(time).min().unwrap_or(Duration::ZERO)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn select(set: &StrategySet, groups: &[Group]) {
    let selection = set.pair_selection.strategy();
    let reply = selection.select(&context(1), groups, Objective::Dpo, &mut NoServices);
    black_box(reply.unwrap());
}

fn filter(set: &StrategySet, groups: &[Group]) {
    let filter = set.data_filters[0].strategy();
    black_box(filter.filter(&context(1), groups, &mut NoServices).unwrap());
}

/// Asks a set's strategy of one role.
type Ask = fn(&StrategySet, &[Group]);

fn main() {
    // A script takes more fuel for 100,000 prompts than a run grants by default.
    for (count, calls) in [(1_000, 51), (100_000, 3)] {
        let groups = groups(count, 8);
        println!("{count} prompts");
        let roles: [(&str, Ask, [&str; 3]); 2] = [
            (
                "pair selection",
                select,
                [
                    "builtin:best-worst",
                    "plugins/best-worst.wasm",
                    "scripts/pairs.rhai",
                ],
            ),
            (
                "data filter",
                filter,
                [
                    "builtin:verdict",
                    "plugins/duplicates.wasm",
                    "scripts/filter.rhai",
                ],
            ),
        ];
        for (role, ask, [builtin, component, script]) in roles {
            let native = load(&[builtin], &[]);
            let copied = fastest(calls, || ask(&native, &groups.clone()));
            let line = |name: &str, time: Duration| {
                let ratio = time.as_secs_f64() / copied.as_secs_f64();
                println!(
                    "  {role:15} {name:26} {:10.3} ms  {ratio:8.2}",
                    milliseconds(time)
                );
            };
            line(&format!("{builtin} with a copy"), copied);
            let component_set = load(&[component], &[]);
            line(component, fastest(calls, || ask(&component_set, &groups)));
            if count == 1_000 {
                let script_set = load(&[script], &[]);
                line(script, fastest(calls, || ask(&script_set, &groups)));
            }
        }
    }
    let gate = load(&["plugins/score-only.wasm"], &[]);
    let call = fastest(200, || {
        let figures = metrics(300, 500);
        black_box(decide(&gate, &context(1), &figures, &figures).unwrap());
    });
    println!(
        "a gate's call, nearly all of it a fresh instance: {:.3} ms",
        milliseconds(call)
    );
    for strategy in ["plugins/best-worst.wasm", "scripts/gate.rhai"] {
        let from_cache = fastest(20, || {
            // A sandbox of its own has compiled nothing yet.
            let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
            let runtime = Runtime::with_cache_directory(Limits::default(), Some(cache)).unwrap();
            black_box(inspect(&file(strategy), &runtime).unwrap());
        });
        println!(
            "{strategy} loaded from the cache: {:.3} ms",
            milliseconds(from_cache)
        );
    }
}
