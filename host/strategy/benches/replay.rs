//! What it costs to try strategies on recorded rounds, by the number of candidates.
//!
//! `cargo bench --profile release -p sc-strategy --bench replay` prints times and the process' peak
//! memory so far. The recorded rounds have 12,500 prompts with 8 candidates each; a data filter and a
//! pair selection are tried: those recorded, components and scripts.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "../tests/strategies/common.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod common;

use std::fs;
use std::path::Path;
use std::time::Instant;

use common::{bounds, context, groups, histories, load, prompts};
use sc_core::choice::Objective;
use sc_core::plan::CurriculumDecision;
use sc_core::role::Role;
use sc_strategy::record::{
    AnswerRecord, CurriculumRecord, GroupRecord, RoundInputs, RunInputs, StageRecord, encode, keep,
    replay, round_file, run_file,
};
use sc_strategy::{NoServices, StrategySet};

const PROMPTS: u32 = 12_500;
const CANDIDATES: u32 = 8;

fn answered<T>(answer: T) -> AnswerRecord<T> {
    AnswerRecord {
        link: 0,
        strategy: "recorded".into(),
        digest: None,
        answer,
    }
}

/// A round's record with what `set` answers.
fn recorded(set: &StrategySet, round: u32, rounds: u32) -> RoundInputs {
    let mut groups = groups(PROMPTS, CANDIDATES);
    let drawn = groups.iter().map(|group| GroupRecord {
        prompt: group.prompt.id,
        candidates: group.candidates.clone(),
    });
    let drawn = drawn.collect();
    let filter = set.data_filters[0].strategy();
    let decisions = filter.filter(&context(round), &groups, &mut NoServices);
    let decisions = decisions.unwrap().answer;
    keep(&mut groups, &decisions);
    let selection = set.pair_selection.strategy();
    let choices = selection.select(
        &context(round),
        &groups,
        Objective::Sigmoid,
        &mut NoServices,
    );
    let (bounds, defaults) = bounds(PROMPTS);
    RoundInputs {
        round,
        rounds,
        curriculum: Some(CurriculumRecord {
            histories: histories(PROMPTS),
            bounds,
            defaults,
            answer: answered(CurriculumDecision::Stop(String::new())),
        }),
        stages: vec![StageRecord {
            epoch: 1,
            objective: Objective::Sigmoid,
            groups: drawn,
            filters: vec![answered(decisions)],
            selection: Some(answered(choices.unwrap().answer)),
            replies: Vec::new(),
        }],
        ..RoundInputs::default()
    }
}

/// Records a run of `rounds` rounds in `run`; gives the bytes of its files.
fn record(run: &Path, set: &StrategySet, rounds: u32) -> usize {
    let write = |name: String, bytes: Vec<u8>| {
        let path = run.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &bytes).unwrap();
        bytes.len()
    };
    let of_run = RunInputs {
        seed: 7,
        prompts: prompts(PROMPTS),
    };
    let mut bytes = write(run_file(), encode(&of_run));
    for round in 1..=rounds {
        bytes += write(round_file(round), encode(&recorded(set, round, rounds)));
    }
    bytes
}

/// The most memory that this process has had so far, in MiB, where the system tells.
fn peak_mebibytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024)
}

fn main() {
    let builtin = load(&[], &[]);
    let components = load(&["plugins/duplicates.wasm", "plugins/best-worst.wasm"], &[]);
    let scripts = load(&["scripts/filter.rhai", "scripts/pairs.rhai"], &[]);
    let roles = [Role::DataFilter, Role::PairSelection];
    for rounds in [1, 10] {
        let run = tempfile::tempdir().unwrap();
        let bytes = record(run.path(), &builtin, rounds);
        for (name, set) in [
            ("the same strategies", &builtin),
            ("components", &components),
            ("scripts", &scripts),
        ] {
            let start = Instant::now();
            let outcome = replay(run.path(), set, &roles, &mut |_, _| {}).unwrap();
            println!(
                "{} candidates ({bytes} bytes), {name}: {:.2} s, {} decisions differ, peak memory {} MiB",
                outcome.candidates,
                start.elapsed().as_secs_f64(),
                outcome.agreement.changed,
                peak_mebibytes().map_or("unknown".to_owned(), |peak| peak.to_string()),
            );
        }
    }
}
