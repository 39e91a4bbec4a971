//! Strategies that attack their host. Each row of `table.txt` names a file of `cases/`, what it is
//! asked, and the error that it must end in; a row that ends in anything else fails. After every
//! row a good strategy is loaded and asked in the same process.
//!
//! `cargo test --release -p sc-strategy --test adversarial [-- PART-OF-A-FILE'S-NAME]`

mod build;
mod host;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, process, thread};

use anyhow::{Context, Result};

use crate::host::{Host, Outcome};
use crate::table::Row;

/// How long a row may take. It is far longer than its limits allow: what takes longer hangs.
const HANG: Duration = Duration::from_secs(60);
/// Peak memory of the process, compilers and all. A row may have 128 MiB, which is freed after it.
const PEAK_BYTES: u64 = 512 << 20;
/// A table that lost its rows attacks nothing.
const FEWEST_ROWS: usize = 60;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the suite itself failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let directory = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/adversarial"
    ));
    let text = fs::read_to_string(directory.join("table.txt"))?;
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let rows: Vec<Row> = table::parse(&text)?
        .into_iter()
        .filter(|row| wanted.is_empty() || wanted.iter().any(|part| row.file.contains(part)))
        .collect();
    anyhow::ensure!(
        !wanted.is_empty() || rows.len() >= FEWEST_ROWS,
        "the table has {} rows; expected at least {FEWEST_ROWS}",
        rows.len()
    );
    let host: &'static Host = Box::leak(Box::new(Host::new(directory)?));
    host.ask_good().context("before any attack")?;

    let began = Instant::now();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut misses = 0;
    for row in &rows {
        let row_began = Instant::now();
        let outcome = outcome(host, row);
        let problem = problem(row, &outcome)
            .or_else(|| host.ask_good().err().map(|e| format!("then, {e:#}")));
        let seconds = row_began.elapsed().as_secs_f64();
        let title = format!("{} ({}) {}", row.file, row.asked, row.options.join(" "));
        match problem {
            None => println!("ok    {seconds:5.2} s  {title}"),
            Some(problem) => {
                misses += 1;
                println!("MISS  {seconds:5.2} s  {title}\n      {problem}");
            }
        }
        *counts.entry(row.category.clone()).or_default() += 1;
    }
    for (category, count) in &counts {
        println!("{count:4}  {category}");
    }
    let peak = peak_bytes();
    println!(
        "{} attacks, {misses} not stopped as they should be; {:.1} s, peak memory {} MiB",
        rows.len(),
        began.elapsed().as_secs_f64(),
        peak.unwrap_or(0) >> 20
    );
    let within = peak.is_none_or(|peak| peak <= PEAK_BYTES);
    if !within {
        println!("peak memory is above {} MiB", PEAK_BYTES >> 20);
    }
    Ok(misses == 0 && within)
}

/// Runs a row on a thread of its own, so that neither a panic nor a hang goes unnamed.
fn outcome(host: &'static Host, row: &Row) -> Result<Outcome> {
    let (sender, receiver) = mpsc::channel();
    let moved = row.clone();
    let thread = thread::Builder::new()
        .name("row".into())
        // As the main thread of a program has.
        .stack_size(8 << 20)
        .spawn(move || sender.send(host.attack(&moved)))?;
    match receiver.recv_timeout(HANG) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let _ = thread.join();
            anyhow::bail!("the host panicked")
        }
        Err(mpsc::RecvTimeoutError::Timeout) => {
            println!("HANG  {} is not stopped after {HANG:?}", row.file);
            process::abort()
        }
    }
}

/// What is wrong with how a row ended.
fn problem(row: &Row, outcome: &Result<Outcome>) -> Option<String> {
    let (at_load, text) = match outcome {
        Ok(Outcome::Refused(text)) => (true, text),
        Ok(Outcome::Failed(text)) => (false, text),
        Ok(Outcome::Answered(answer)) => return Some(format!("it answered: {answer}")),
        Err(error) => return Some(format!("{error:#}")),
    };
    if at_load != row.asked.is_load() {
        let when = if at_load { "loaded" } else { "called" };
        Some(format!("failed when it was {when}: {text}"))
    } else if !text.contains(&row.expected) {
        Some(format!("expected `{}`, found: {text}", row.expected))
    } else if text.contains(char::is_control) || text.len() > 2_000 {
        Some(format!("not fit to be shown: {text:?}"))
    } else {
        None
    }
}

/// The most memory that this process has had, where the system says so.
fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
