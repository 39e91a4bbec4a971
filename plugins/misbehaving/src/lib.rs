//! A strategy that does what a strategy must not do.
//!
//! `--set ROLE.fault=NAME` chooses the fault. The host's tests check that each ends the call with
//! the error that names it, and that nothing else happens. Without a fault it answers the least
//! that the contract allows.

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package test:misbehaving;
        world all-roles {
            include sc:strategy/imports@0.1.0;
            export sc:strategy/about@0.1.0;
            export sc:strategy/curriculum@0.1.0;
            export sc:strategy/data-filter@0.1.0;
            export sc:strategy/pair-selection@0.1.0;
            export sc:strategy/quality-gate@0.1.0;
        }
    ",
    generate_all,
});

use std::cell::RefCell;
use std::hint::black_box;

use exports::sc::strategy::about::{self, Description, Parameter, Setting};
use exports::sc::strategy::{curriculum, data_filter, pair_selection, quality_gate};
use sc::strategy::types::{Context, Group, Metric, Objective, Value};
use sc::strategy::{log, random};

struct Strategy;

thread_local! {
    static FAULT: RefCell<String> = const { RefCell::new(String::new()) };
}

fn fault() -> String {
    FAULT.with_borrow(String::clone)
}

/// Faults that have nothing to do with an answer.
fn misbehave(context: &Context) -> Result<Vec<u8>, String> {
    match fault().as_str() {
        "trap" => unreachable(),
        "endless" => loop {
            black_box(());
        },
        "endless-host-calls" => loop {
            black_box(random::next());
        },
        "recursion" => {
            black_box(recurse(1));
        }
        "memory" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![1_u8; 1 << 20]);
                black_box(&hoard);
            }
        }
        "log-flood" => {
            for line in 0..1000 {
                log::write(log::Level::Info, &format!("line {line}\n\u{1b}[31mred"));
            }
        }
        "huge-log" => log::write(log::Level::Info, &"x".repeat(8 << 20)),
        "huge-state" => return Ok(vec![7; (1 << 20) + 1]),
        "huge-output" => return Ok(vec![7; 64 << 20]),
        "refuse" => return Err("not today\u{7}".into()),
        _ => {}
    }
    Ok(context.state.clone())
}

fn unreachable() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}

#[expect(unconditional_recursion, reason = "that is the fault")]
fn recurse(depth: u64) -> u64 {
    let kept = black_box([depth; 64]);
    kept[0] + black_box(recurse(depth + 1)) + kept[63]
}

impl about::Guest for Strategy {
    fn describe() -> Description {
        Description {
            name: "misbehaving".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Does what a strategy must not do.".into(),
            parameters: vec![Parameter {
                name: "fault".into(),
                help: "What to do wrong.".into(),
                default: Value::Text("none".into()),
                minimum: None,
                maximum: None,
            }],
        }
    }

    fn configure(settings: Vec<Setting>) -> Result<(), String> {
        for setting in settings {
            if let Value::Text(name) = setting.value {
                FAULT.replace(name);
            }
        }
        match fault().as_str() {
            "refuse-settings" => Err("I will not do that".into()),
            "endless-configure" => loop {
                black_box(());
            },
            _ => Ok(()),
        }
    }
}

impl curriculum::Guest for Strategy {
    fn plan(context: Context, input: curriculum::Input) -> Result<curriculum::Answer, String> {
        let state = misbehave(&context)?;
        let good = curriculum::PlannedPrompt {
            prompt: 0,
            images: 1,
            weight: 1.0,
            replayed: false,
        };
        let mut plan = curriculum::RoundPlan {
            prompts: vec![good],
            sampling: input.defaults.sampling,
            objective: input.defaults.objective,
            epochs: 1,
            learning_rate_scale: 1.0,
        };
        match fault().as_str() {
            "unknown-prompt" => plan.prompts[0].prompt = u32::MAX,
            "prompt-twice" => plan.prompts.push(good),
            "no-prompts" => plan.prompts.clear(),
            "no-images" => plan.prompts[0].images = 0,
            "too-many-images" => plan.prompts[0].images = input.bounds.max_images + 1,
            "weight-nan" => plan.prompts[0].weight = f64::NAN,
            "too-many-epochs" => plan.epochs = input.bounds.max_epochs + 1,
            "rate-infinite" => plan.learning_rate_scale = f64::INFINITY,
            "temperature-negative" => plan.sampling.temperature = -1.0,
            "stop-with-bell" => {
                return Ok(curriculum::Answer {
                    decision: curriculum::Decision::Stop("ding\u{7}".into()),
                    state,
                });
            }
            _ => {}
        }
        Ok(curriculum::Answer {
            decision: curriculum::Decision::Round(plan),
            state,
        })
    }
}

impl data_filter::Guest for Strategy {
    fn filter(context: Context, groups: Vec<Group>) -> Result<data_filter::Answer, String> {
        let state = misbehave(&context)?;
        let mut decisions: Vec<Vec<data_filter::Decision>> = groups
            .iter()
            .map(|group| vec![data_filter::Decision::Keep; group.candidates.len()])
            .collect();
        match fault().as_str() {
            "too-few-groups" => {
                decisions.pop();
            }
            "too-many-decisions" => decisions[0].push(data_filter::Decision::Keep),
            "no-reason" => decisions[0][0] = data_filter::Decision::Drop(String::new()),
            "long-reason" => decisions[0][0] = data_filter::Decision::Drop("x".repeat(201)),
            "full-answer" => {
                // As large as a valid answer can be.
                for decision in decisions.iter_mut().flatten() {
                    *decision = data_filter::Decision::Drop("x".repeat(200));
                }
            }
            _ => {}
        }
        Ok(data_filter::Answer { decisions, state })
    }
}

impl pair_selection::Guest for Strategy {
    fn select(
        context: Context,
        groups: Vec<Group>,
        _objective: Objective,
    ) -> Result<pair_selection::Answer, String> {
        let state = misbehave(&context)?;
        let pair = |group, chosen, rejected, weight| {
            pair_selection::Choice::Pair(pair_selection::Pair {
                group,
                chosen,
                rejected,
                weight,
            })
        };
        let choices = match fault().as_str() {
            "unknown-group" => vec![pair(groups.len() as u32, 0, 1, 1.0)],
            "unknown-candidate" => vec![pair(0, 0, 1000, 1.0)],
            "itself" => vec![pair(0, 1, 1, 1.0)],
            "weight-zero" => vec![pair(0, 0, 1, 0.0)],
            "target-for-dpo" => vec![pair_selection::Choice::Target(pair_selection::Target {
                group: 0,
                candidate: 0,
                weight: 1.0,
            })],
            "too-many-choices" => vec![pair(0, 0, 1, 1.0); 1000],
            _ => Vec::new(),
        };
        Ok(pair_selection::Answer { choices, state })
    }
}

impl quality_gate::Guest for Strategy {
    fn decide(
        context: Context,
        _before: Vec<Metric>,
        _after: Vec<Metric>,
    ) -> Result<quality_gate::Answer, String> {
        let state = misbehave(&context)?;
        let reason = match fault().as_str() {
            "long-reason" => "x".repeat(201),
            "random" => format!("{:016x} {:016x}", random::next(), random::next()),
            _ => "as told".to_owned(),
        };
        Ok(quality_gate::Answer {
            decision: quality_gate::Decision::Keep(reason),
            state,
        })
    }
}

export!(Strategy);
