//! What it costs to ask a strategy, and what it costs to have one: 8 candidates a prompt,
//! 80-character prompts.
//!
//! `cargo bench --profile release -p sc-strategy` prints the fastest of each, which other work on the
//! machine disturbs least. The baseline is the same decision natively with a copy of its input, as the
//! sandbox leaves the caller's groups alone too.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "../../tests/strategies/common.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod common;
mod native_script;

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
    let reply = selection.select(&context(1), groups, Objective::Sigmoid, &mut NoServices);
    black_box(reply.unwrap());
}

fn filter(set: &StrategySet, groups: &[Group]) {
    let filter = set.data_filters[0].strategy();
    black_box(filter.filter(&context(1), groups, &mut NoServices).unwrap());
}

/// What is measured of a role.
struct Case {
    role: &'static str,
    ask: fn(&StrategySet, &[Group]),
    builtin: &'static str,
    component: &'static str,
    script: &'static str,
    /// The same script natively.
    script_natively: fn(&[Group]),
}

const CASES: [Case; 2] = [
    Case {
        role: "pair selection",
        ask: select,
        builtin: "builtin:best-worst",
        component: "plugins/best-worst.wasm",
        script: "scripts/pairs.rhai",
        script_natively: native_script::select,
    },
    Case {
        role: "data filter",
        ask: filter,
        builtin: "builtin:verdict",
        component: "plugins/duplicates.wasm",
        script: "scripts/filter.rhai",
        script_natively: native_script::filter,
    },
];

/// Prints a time, and how many times the baseline it is.
fn line(name: &str, time: Duration, baseline: Duration) {
    let ratio = time.as_secs_f64() / baseline.as_secs_f64();
    println!("  {name:40} {:10.3} ms  {ratio:6.2}", milliseconds(time));
}

fn main() {
    // A script takes more fuel for 100,000 prompts than a run grants by default.
    for (count, calls, scripts) in [(1_000, 51, true), (100_000, 3, false)] {
        let groups = groups(count, 8);
        for case in &CASES {
            println!("{}, {count} prompts", case.role);
            let native = load(&[case.builtin], &[]);
            let copied = fastest(calls, || (case.ask)(&native, &groups.clone()));
            line(&format!("{} with a copy", case.builtin), copied, copied);
            let component = load(&[case.component], &[]);
            let called = fastest(calls, || (case.ask)(&component, &groups));
            line(case.component, called, copied);
            if scripts {
                native_script::load(&file(case.script));
                let natively = fastest(calls, || (case.script_natively)(&groups));
                line(&format!("{} natively", case.script), natively, natively);
                let script = load(&[case.script], &[]);
                let called = fastest(calls, || (case.ask)(&script, &groups));
                line(case.script, called, natively);
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
