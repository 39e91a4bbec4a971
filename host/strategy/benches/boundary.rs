//! What it costs to ask a strategy: 1,000 groups of 8 candidates, 80-character prompts.
//!
//! `cargo bench --profile release -p sc-strategy` prints the median of each.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "../tests/strategies/common.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use common::{context, groups, load};
use sc_core::choice::Objective;

fn median(name: &str, mut call: impl FnMut()) -> Duration {
    call();
    let mut times: Vec<Duration> = (0..31)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("{name:44} {:9.3} ms", times[15].as_secs_f64() * 1e3);
    times[15]
}

fn main() {
    let groups = groups(1000, 8);
    let context = context(1);
    let start = Instant::now();
    let scripts = load(&["scripts/filter.rhai", "scripts/pairs.rhai"], &[]);
    println!(
        "interpreter and two scripts loaded in {:?}",
        start.elapsed()
    );
    let start = Instant::now();
    load(&["scripts/filter.rhai", "scripts/pairs.rhai"], &[]);
    println!("and again in {:?}", start.elapsed());
    let builtins = load(&[], &[]);
    let component = load(&["tests/fixtures/plugins/misbehaving.wasm"], &[]);

    for (name, set) in [
        ("builtin", &builtins),
        ("component", &component),
        ("script", &scripts),
    ] {
        median(&format!("{name}, filter"), || {
            black_box(set.data_filter.strategy.filter(&context, &groups).unwrap());
        });
        median(&format!("{name}, pair selection"), || {
            let select = &set.pair_selection.strategy;
            black_box(select.select(&context, &groups, Objective::Dpo).unwrap());
        });
    }
    median("copy of the input", || {
        black_box(groups.clone());
    });
}
