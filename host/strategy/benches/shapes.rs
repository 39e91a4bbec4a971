//! Records or columns: in which form a round's groups should cross to a strategy.
//!
//! `cargo bench --profile release -p sc-strategy --bench shapes` prints the fastest call of each. The
//! contract has records, whose lists and texts are written from where they lie; columns are made of
//! the run's groups first, as the contract's host would have to. `plugins/shapes` is the guest: it
//! takes the same decision from either.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "../tests/strategies/common.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use common::{file, groups};
use sc_core::candidate::{Candidate, Group, Verdict};
use wasmtime::component::{Component, ComponentNamedList, Linker, Lower};
use wasmtime::{Config, Engine, Store};

use types::Pair;

/// The contract's records and the guest's columns, as they are lent.
mod types {
    use wasmtime::component::{ComponentType, Lift, Lower};

    #[derive(Clone, Copy, ComponentType, Lower)]
    #[component(enum)]
    #[repr(u8)]
    pub enum Verdict {
        #[component(name = "accepted")]
        Accepted,
        #[component(name = "rejected")]
        Rejected,
        #[component(name = "unparsed")]
        Unparsed,
    }

    /// Declares records with the contract's names.
    macro_rules! records {
        ($($record:ident$(<$lent:lifetime>)? { $($name:literal $field:ident: $of:ty,)* })*) => {
            $(
                #[derive(Clone, Copy, ComponentType, Lower)]
                #[component(record)]
                pub struct $record$(<$lent>)? {
                    $(#[component(name = $name)] pub $field: $of,)*
                }
            )*
        };
    }

    records! {
        Tag<'a> { "key" key: &'a str, "value" value: &'a str, }
        Prompt<'a> {
            "id" id: u32, "text" text: &'a str, "category" category: &'a str,
            "tags" tags: &'a [Tag<'a>],
        }
        History {
            "attempts" attempts: u32, "accepted" accepted: u32, "mean-p-yes" mean_p_yes: f64,
            "best-p-yes" best_p_yes: f64, "last-round" last_round: Option<u32>,
            "times-trained" times_trained: u32,
        }
        Candidate<'a> {
            "index" index: u32, "p-yes" p_yes: f64, "verdict" verdict: Verdict,
            "answer" answer: Option<&'a str>, "log-prob" log_prob: f64,
            "image-hash" image_hash: u64,
        }
        Group<'a> {
            "prompt" prompt: Prompt<'a>, "history" history: History,
            "candidates" candidates: &'a [Candidate<'a>],
        }
        Columns<'a> {
            "prompt-id" prompt_id: &'a [u32], "texts" texts: &'a str,
            "text-ends" text_ends: &'a [u32], "categories" categories: &'a str,
            "category-ends" category_ends: &'a [u32], "tag-ends" tag_ends: &'a [u32],
            "tags" tags: &'a str, "tag-key-ends" tag_key_ends: &'a [u32],
            "tag-value-ends" tag_value_ends: &'a [u32], "attempts" attempts: &'a [u32],
            "accepted" accepted: &'a [u32], "mean-p-yes" mean_p_yes: &'a [f64],
            "best-p-yes" best_p_yes: &'a [f64], "last-round" last_round: &'a [u32],
            "times-trained" times_trained: &'a [u32], "candidate-ends" candidate_ends: &'a [u32],
            "index" index: &'a [u32], "p-yes" p_yes: &'a [f64], "verdict" verdict: &'a [Verdict],
            "answers" answers: &'a str, "answer-ends" answer_ends: &'a [u32],
            "log-prob" log_prob: &'a [f64], "image-hash" image_hash: &'a [u64],
        }
    }

    #[derive(Clone, Copy, ComponentType, Lift, PartialEq, Eq)]
    #[component(record)]
    pub struct Pair {
        pub group: u32,
        pub chosen: u32,
        pub rejected: u32,
    }
}

/// Texts one after another, and where each ends.
#[derive(Default)]
struct Texts {
    text: String,
    ends: Vec<u32>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
    }
}

/// What [`types::Columns`] lends.
#[derive(Default)]
struct Columns {
    prompt_id: Vec<u32>,
    texts: Texts,
    categories: Texts,
    tag_ends: Vec<u32>,
    tags: String,
    tag_key_ends: Vec<u32>,
    tag_value_ends: Vec<u32>,
    attempts: Vec<u32>,
    accepted: Vec<u32>,
    mean_p_yes: Vec<f64>,
    best_p_yes: Vec<f64>,
    last_round: Vec<u32>,
    times_trained: Vec<u32>,
    candidate_ends: Vec<u32>,
    index: Vec<u32>,
    p_yes: Vec<f64>,
    verdict: Vec<types::Verdict>,
    answers: Texts,
    log_prob: Vec<f64>,
    image_hash: Vec<u64>,
}

impl Columns {
    fn of(groups: &[Group]) -> Columns {
        let mut columns = Columns::default();
        for group in groups {
            columns.push(group);
        }
        columns
    }

    fn push(&mut self, group: &Group) {
        self.prompt_id.push(group.prompt.id);
        self.texts.push(&group.prompt.text);
        self.categories.push(&group.prompt.category);
        for tag in &group.prompt.tags {
            self.tags.push_str(&tag.key);
            self.tag_key_ends.push(self.tags.len() as u32);
            self.tags.push_str(&tag.value);
            self.tag_value_ends.push(self.tags.len() as u32);
        }
        self.tag_ends.push(self.tag_key_ends.len() as u32);
        self.attempts.push(group.history.attempts);
        self.accepted.push(group.history.accepted);
        self.mean_p_yes.push(group.history.mean_p_yes);
        self.best_p_yes.push(group.history.best_p_yes);
        self.last_round.push(group.history.last_round.unwrap_or(0));
        self.times_trained.push(group.history.times_trained);
        for candidate in &group.candidates {
            self.index.push(candidate.index);
            self.p_yes.push(candidate.p_yes);
            self.verdict.push(verdict(candidate.verdict));
            self.answers.push(&candidate.answer);
            self.log_prob.push(candidate.log_prob);
            self.image_hash.push(candidate.image_hash);
        }
        self.candidate_ends.push(self.index.len() as u32);
    }

    fn lent(&self) -> types::Columns<'_> {
        types::Columns {
            prompt_id: &self.prompt_id,
            texts: &self.texts.text,
            text_ends: &self.texts.ends,
            categories: &self.categories.text,
            category_ends: &self.categories.ends,
            tag_ends: &self.tag_ends,
            tags: &self.tags,
            tag_key_ends: &self.tag_key_ends,
            tag_value_ends: &self.tag_value_ends,
            attempts: &self.attempts,
            accepted: &self.accepted,
            mean_p_yes: &self.mean_p_yes,
            best_p_yes: &self.best_p_yes,
            last_round: &self.last_round,
            times_trained: &self.times_trained,
            candidate_ends: &self.candidate_ends,
            index: &self.index,
            p_yes: &self.p_yes,
            verdict: &self.verdict,
            answers: &self.answers.text,
            answer_ends: &self.answers.ends,
            log_prob: &self.log_prob,
            image_hash: &self.image_hash,
        }
    }
}

fn verdict(verdict: Verdict) -> types::Verdict {
    match verdict {
        Verdict::Accepted => types::Verdict::Accepted,
        Verdict::Rejected => types::Verdict::Rejected,
        Verdict::Unparsed => types::Verdict::Unparsed,
    }
}

fn candidate(candidate: &Candidate) -> types::Candidate<'_> {
    types::Candidate {
        index: candidate.index,
        p_yes: candidate.p_yes,
        verdict: verdict(candidate.verdict),
        answer: Some(candidate.answer.as_str()).filter(|answer| !answer.is_empty()),
        log_prob: candidate.log_prob,
        image_hash: candidate.image_hash,
    }
}

/// Calls `call` with the groups as records, as the contract's host makes them.
fn with_records<T>(groups: &[Group], call: impl FnOnce(&[types::Group<'_>]) -> T) -> T {
    let candidates: Vec<Vec<_>> = groups
        .iter()
        .map(|group| group.candidates.iter().map(candidate).collect())
        .collect();
    let tags: Vec<Vec<_>> = groups
        .iter()
        .map(|group| {
            let tags = group.prompt.tags.iter();
            tags.map(|tag| types::Tag {
                key: &tag.key,
                value: &tag.value,
            })
            .collect()
        })
        .collect();
    let records: Vec<_> = groups
        .iter()
        .zip(candidates.iter().zip(&tags))
        .map(|(group, (candidates, tags))| types::Group {
            prompt: types::Prompt {
                id: group.prompt.id,
                text: &group.prompt.text,
                category: &group.prompt.category,
                tags,
            },
            history: types::History {
                attempts: group.history.attempts,
                accepted: group.history.accepted,
                mean_p_yes: group.history.mean_p_yes,
                best_p_yes: group.history.best_p_yes,
                last_round: group.history.last_round,
                times_trained: group.history.times_trained,
            },
            candidates,
        })
        .collect();
    call(&records)
}

/// Calls a function of the guest in a fresh instance, with the limits of the host's own engine.
fn call<I: ComponentNamedList + Lower>(component: &Component, name: &str, input: I) -> Vec<Pair> {
    let engine = component.engine();
    let mut store = Store::new(engine, ());
    store.set_fuel(u64::MAX).unwrap();
    store.set_epoch_deadline(1);
    store.set_hostcall_fuel(usize::MAX);
    let instance = Linker::new(engine)
        .instantiate(&mut store, component)
        .unwrap();
    let selection = component
        .get_export_index(None, "bench:shapes/selection")
        .unwrap();
    let function = component.get_export_index(Some(&selection), name).unwrap();
    let function = instance.get_typed_func::<I, (Vec<Pair>,)>(&mut store, function);
    function.unwrap().call(&mut store, input).unwrap().0
}

/// The fastest of `calls`, in milliseconds, and what it gave.
fn fastest<T>(calls: u32, call: impl Fn() -> T) -> (f64, T) {
    let mut best = Duration::MAX;
    let mut result = call();
    for _ in 0..calls {
        let start = Instant::now();
        result = black_box(call());
        best = best.min(start.elapsed());
    }
    (best.as_secs_f64() * 1e3, result)
}

fn main() {
    let mut config = Config::new();
    config.consume_fuel(true).epoch_interruption(true);
    let engine = Engine::new(&config).unwrap();
    let component = file("tests/fixtures/plugins/shapes.wasm");
    let component = Component::from_file(&engine, component).unwrap();
    for (count, calls) in [(1_000, 51), (100_000, 5)] {
        let groups = groups(count, 8);
        let (copy, _) = fastest(calls, || groups.clone());
        let (of_records, from_records) = fastest(calls, || {
            with_records(&groups, |records| {
                call(&component, "of-records", (records,))
            })
        });
        let (of_columns, from_columns) = fastest(calls, || {
            let columns = Columns::of(&groups);
            call(&component, "of-columns", (columns.lent(),))
        });
        assert!(
            from_records == from_columns,
            "the two forms lead to other pairs"
        );
        println!(
            "{count} x 8: a copy alone {copy:.3} ms, records {of_records:.3} ms, columns \
             {of_columns:.3} ms"
        );
    }
}
