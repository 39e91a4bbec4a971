//! The strategies that the program has built in, one file each.

mod best_worst;
mod keep_all;
mod no_harm;
mod replay;
mod uniform;
mod verdict;

use rand::RngCore;
use sc_core::plan::{CurriculumDecision, Draw, Replay as PlannedReplay, RoundPlan};
use sc_core::role::Role;

use crate::parameter::{Parameter, Settings};
use crate::role::{Curriculum, CurriculumInput, DataFilter, PairSelection, QualityGate};

use best_worst::BestWorst;
use keep_all::KeepAll;
use no_harm::NoHarm;
use replay::Replay;
use uniform::Uniform;
use verdict::Verdict;

/// A strategy of the program's own, for the role of `S`.
pub(crate) struct Builtin<S: ?Sized> {
    /// What follows `builtin:`.
    pub(crate) name: &'static str,
    /// What it does, in a sentence.
    pub(crate) summary: &'static str,
    pub(crate) parameters: fn() -> Vec<Parameter>,
    pub(crate) make: fn(&Settings) -> Box<S>,
}

// The first of each table fills the role when nothing else does.

pub(crate) static CURRICULA: [Builtin<dyn Curriculum>; 2] = [
    Builtin {
        name: "uniform",
        summary: "Random prompts each round, whatever happened before.",
        parameters: Vec::new,
        make: |_| Box::new(Uniform),
    },
    Builtin {
        name: "replay",
        summary: "A part of each round draws again for prompts of which nothing was accepted so far.",
        parameters: Replay::parameters,
        make: |settings| Box::new(Replay::new(settings)),
    },
];

pub(crate) static DATA_FILTERS: [Builtin<dyn DataFilter>; 1] = [Builtin {
    name: "verdict",
    summary: "Keeps the images on which the model's verdict is clear, each once.",
    parameters: Verdict::parameters,
    make: |settings| Box::new(Verdict::new(settings)),
}];

pub(crate) static PAIR_SELECTIONS: [Builtin<dyn PairSelection>; 1] = [Builtin {
    name: "best-worst",
    summary: "The most positive image of a prompt against its most negative one.",
    parameters: BestWorst::parameters,
    make: |settings| Box::new(BestWorst::new(settings)),
}];

pub(crate) static QUALITY_GATES: [Builtin<dyn QualityGate>; 2] = [
    Builtin {
        name: "no-harm",
        summary: "Rolls back a round that made the model significantly worse.",
        parameters: NoHarm::parameters,
        make: |settings| Box::new(NoHarm::new(settings)),
    },
    Builtin {
        name: "keep-all",
        summary: "Keeps every round, whatever its figures say.",
        parameters: Vec::new,
        make: |_| Box::new(KeepAll),
    },
];

/// The names of a role's builtins.
pub(crate) fn names(role: Role) -> Vec<&'static str> {
    fn of<S: ?Sized>(table: &[Builtin<S>]) -> Vec<&'static str> {
        table.iter().map(|builtin| builtin.name).collect()
    }
    match role {
        Role::Curriculum => of(&CURRICULA),
        Role::DataFilter => of(&DATA_FILTERS),
        Role::PairSelection => of(&PAIR_SELECTIONS),
        Role::QualityGate => of(&QUALITY_GATES),
    }
}

/// Summary and parameters of the builtin of that name in a role.
pub(crate) fn about(role: Role, name: &str) -> (&'static str, Vec<Parameter>) {
    fn of<S: ?Sized>(table: &[Builtin<S>], name: &str) -> (&'static str, Vec<Parameter>) {
        let found = table.iter().find(|builtin| builtin.name == name);
        found.map_or(("", Vec::new()), |builtin| {
            (builtin.summary, (builtin.parameters)())
        })
    }
    match role {
        Role::Curriculum => of(&CURRICULA, name),
        Role::DataFilter => of(&DATA_FILTERS, name),
        Role::PairSelection => of(&PAIR_SELECTIONS, name),
        Role::QualityGate => of(&QUALITY_GATES, name),
    }
}

/// Leaves `count` of `pool`, chosen at random (a partial Fisher–Yates shuffle). `count` is at most
/// the pool's size.
fn choose(random: &mut impl RngCore, pool: &mut Vec<u32>, count: usize) {
    for position in 0..count {
        let bound = (pool.len() - position) as u128;
        let other = position + ((u128::from(random.next_u64()) * bound) >> 64) as usize;
        pool.swap(position, other);
    }
    pool.truncate(count);
}

/// How many prompts the bounds allow a round to draw for, replays included.
fn affordable(input: &CurriculumInput<'_>) -> usize {
    let prompts = input.bounds.max_images / input.defaults.images_per_prompt.max(1);
    prompts.max(1) as usize
}

/// How many prompts the run's settings ask for, within what the bounds and the table allow.
fn wanted(input: &CurriculumInput<'_>) -> usize {
    (input.defaults.prompts as usize)
        .min(affordable(input))
        .min(input.prompts.len())
}

/// A plan by the run's settings: the `replayed` prompts again before a pass, and the `fresh` ones.
fn plan(
    input: &CurriculumInput<'_>,
    (replayed, epoch): (&[u32], u32),
    fresh: &[u32],
) -> CurriculumDecision {
    let draw = |&prompt: &u32| Draw {
        prompt,
        images: input.defaults.images_per_prompt.max(1),
        weight: 1.0,
    };
    let replay = |&prompt: &u32| PlannedReplay {
        prompt,
        images: input.defaults.images_per_prompt.max(1),
        weight: 1.0,
        epoch,
    };
    CurriculumDecision::Round(RoundPlan {
        draws: fresh.iter().map(draw).collect(),
        replays: replayed.iter().map(replay).collect(),
        sampling: input.defaults.sampling,
        objective: input.defaults.objective,
        epochs: input.defaults.epochs,
        learning_rate_scale: 1.0,
    })
}
