//! What it costs to ask a strategy: 1,000 groups of 8 candidates, 80-character prompts.
//!
//! `cargo bench --profile release -p sc-strategy` prints the fastest of each, which other work on the
//! machine disturbs least.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "../tests/strategies/common.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use common::{context, groups, load};
use sc_core::choice::Objective;

fn fastest(name: &str, mut call: impl FnMut()) {
    call();
    let time = (0..51)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed()
        })
        .min()
        .unwrap_or(Duration::ZERO);
    println!("{name:44} {:9.3} ms", time.as_secs_f64() * 1e3);
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
        fastest(&format!("{name}, filter"), || {
            black_box(
                set.data_filters[0]
                    .strategy()
                    .filter(&context, &groups, &mut NoServices)
                    .unwrap(),
            );
        });
        fastest(&format!("{name}, pair selection"), || {
            let select = &set.pair_selection.strategy();
            black_box(
                select
                    .select(&context, &groups, Objective::Dpo, &mut NoServices)
                    .unwrap(),
            );
        });
    }
    // What the sandbox does too: the caller's groups stay the caller's.
    fastest("builtin with a copy of its input, filter", || {
        let copy = groups.clone();
        black_box(
            builtins.data_filters[0]
                .strategy()
                .filter(&context, &copy)
                .unwrap(),
        );
    });
    fastest("builtin with a copy, pair selection", || {
        let copy = groups.clone();
        let select = &builtins.pair_selection.strategy();
        black_box(select.select(&context, &copy, Objective::Dpo).unwrap());
    });
}
