//! A strategy that does what a strategy must not do.
//!
//! `--set ROLE.fault=NAME` chooses the fault. The host's tests check that each ends the call with
//! the error that names it, and that nothing else happens. Without a fault it answers the least
//! that the contract allows.

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
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

use std::hint::black_box;

use exports::sc::strategy::about::{self, Description, Parameter, Refusal};
use exports::sc::strategy::{curriculum, data_filter, pair_selection, quality_gate};
use sc::strategy::types::{Context, Group, Objective, Role, Setting, Value, Verdict};
use sc::strategy::{log, random};

struct Strategy;

/// The name of the fault that is asked for.
fn fault(settings: &[Setting]) -> &str {
    settings
        .iter()
        .find_map(|setting| match &setting.value {
            Value::Text(name) => Some(name.as_str()),
            _ => None,
        })
        .unwrap_or_default()
}

/// Faults that have nothing to do with an answer.
fn misbehave(context: &Context) -> Result<Vec<u8>, String> {
    match fault(&context.settings) {
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
            authors: Vec::new(),
            licence: env!("CARGO_PKG_LICENSE").into(),
            roles: vec![
                Role::Curriculum,
                Role::DataFilter,
                Role::PairSelection,
                Role::QualityGate,
            ],
            services: Vec::new(),
            parameters: vec![Parameter {
                name: "fault".into(),
                help: "What to do wrong.".into(),
                default: Value::Text("none".into()),
                minimum: None,
                maximum: None,
                choices: Vec::new(),
            }],
        }
    }

    fn check(_role: Role, settings: Vec<Setting>) -> Result<(), Refusal> {
        match fault(&settings) {
            "refuse-settings" => Err(Refusal {
                parameter: Some("fault".into()),
                message: "I will not do that".into(),
            }),
            "endless-check" => loop {
                black_box(());
            },
            "panic-in-check" => panic!("as told"),
            _ => Ok(()),
        }
    }
}

impl curriculum::Guest for Strategy {
    fn plan(context: Context, input: curriculum::Input) -> Result<curriculum::Answer, String> {
        let state = misbehave(&context)?;
        let good = curriculum::Draw {
            prompt: 0,
            images: 1,
            weight: 1.0,
        };
        let replay = |prompt, epoch| curriculum::Replay {
            prompt,
            images: 1,
            weight: 1.0,
            epoch,
        };
        let mut plan = curriculum::RoundPlan {
            draws: vec![good],
            replays: Vec::new(),
            sampling: input.defaults.sampling,
            objective: input.defaults.objective,
            epochs: 1,
            learning_rate_scale: 1.0,
        };
        match fault(&context.settings) {
            "unknown-prompt" => plan.draws[0].prompt = u32::MAX,
            "prompt-twice" => plan.draws.push(good),
            "draw-and-replay" => plan.replays.push(replay(good.prompt, 1)),
            "replay-twice" => plan.replays = vec![replay(1, 1), replay(1, 1)],
            "replay-late" => plan.replays.push(replay(1, plan.epochs + 1)),
            "no-prompts" => plan.draws.clear(),
            "no-images" => plan.draws[0].images = 0,
            "too-many-images" => plan.draws[0].images = input.bounds.max_images + 1,
            "weight-nan" => plan.draws[0].weight = f64::NAN,
            "unknown-objective" => plan.objective = "ppo".into(),
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
        match fault(&context.settings) {
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
        let target = |candidate, desirable| {
            pair_selection::Choice::Target(pair_selection::Target {
                group: 0,
                candidate,
                weight: 1.0,
                desirable,
            })
        };
        // An image of the first group whose answer could not be read, and another one.
        let unparsed = || -> Result<(u32, u32), String> {
            let (unparsed, others): (Vec<_>, Vec<_>) = groups[0]
                .candidates
                .iter()
                .partition(|candidate| candidate.verdict == Verdict::Unparsed);
            match (unparsed.first(), others.first()) {
                (Some(unparsed), Some(other)) => Ok((unparsed.index, other.index)),
                _ => Err("the first group has no unparsed image beside another".into()),
            }
        };
        let choices = match fault(&context.settings) {
            "unknown-group" => vec![pair(groups.len() as u32, 0, 1, 1.0)],
            "unknown-candidate" => vec![pair(0, 0, 1000, 1.0)],
            "itself" => vec![pair(0, 1, 1, 1.0)],
            "weight-zero" => vec![pair(0, 0, 1, 0.0)],
            "weight-subnormal" => vec![pair(0, 0, 1, f64::from_bits(1))],
            "weight-negative-zero" => vec![pair(0, 0, 1, -0.0)],
            "pair-twice" => vec![pair(0, 0, 1, 1.0), pair(0, 0, 1, 1.0)],
            "unparsed-chosen" => {
                let (chosen, rejected) = unparsed()?;
                vec![pair(0, chosen, rejected, 1.0)]
            }
            "unparsed-target" => vec![target(unparsed()?.0, true)],
            "undesirable" => vec![target(0, false)],
            "target-for-dpo" => vec![target(0, true)],
            "too-many-choices" => vec![pair(0, 0, 1, 1.0); 1000],
            _ => Vec::new(),
        };
        Ok(pair_selection::Answer { choices, state })
    }
}

impl quality_gate::Guest for Strategy {
    fn decide(
        context: Context,
        _input: quality_gate::Input,
    ) -> Result<quality_gate::Answer, String> {
        let state = misbehave(&context)?;
        let reason = match fault(&context.settings) {
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
