//! `builtin:replay`: a part of each round draws again for prompts that failed so far.
//!
//! Source: the curriculum replay of Han et al. (arXiv 2507.16663): prompts of which nothing was
//! accepted wait in a pool and are drawn for again with the improved model. `plugins/curriculum` is
//! the same strategy as a component. A run of one round, such as that of the static scheme, has no
//! later round: there they are drawn for again before a later pass over the round's examples.

use sc_core::plan::CurriculumDecision;
use sc_core::role::Role;

use super::{affordable, choose, plan, wanted};
use crate::error::CallError;
use crate::parameter::{Parameter, Settings, Value};
use crate::role::{CallContext, Curriculum, CurriculumInput, Reply};

const REPLAY_SHARE: f64 = 0.5;
const FROM_ROUND: i64 = 2;
const EPOCH: i64 = 1;

pub(crate) struct Replay {
    /// The part of a round's prompts that replays failed ones, 0–1.
    replay_share: f64,
    /// The first round that replays.
    from_round: i64,
    /// The pass over the round's examples before which replays are drawn; 1 is the round's beginning,
    /// or half way where the run has one round.
    epoch: i64,
}

impl Replay {
    pub(crate) fn parameters() -> Vec<Parameter> {
        vec![
            Parameter::number(
                "replay_share",
                "Part of a round's prompts that replays failed ones.",
                REPLAY_SHARE,
                0.0,
                1.0,
            ),
            from_one("from_round", "First round that replays.", FROM_ROUND),
            from_one(
                "epoch",
                "Pass over the round's examples before which replays are drawn; 1 is the round's \
                 beginning, or half way where the run has one round.",
                EPOCH,
            ),
        ]
    }

    pub(crate) fn new(settings: &Settings) -> Replay {
        Replay {
            replay_share: settings.number("replay_share").unwrap_or(REPLAY_SHARE),
            from_round: settings.integer("from_round").unwrap_or(FROM_ROUND),
            epoch: settings.integer("epoch").unwrap_or(EPOCH),
        }
    }
}

fn from_one(name: &str, help: &str, default: i64) -> Parameter {
    Parameter {
        name: name.into(),
        help: help.into(),
        default: Value::Integer(default),
        minimum: Some(1.0),
        maximum: None,
        choices: Vec::new(),
    }
}

impl Curriculum for Replay {
    fn plan(
        &self,
        context: &CallContext,
        input: &CurriculumInput<'_>,
    ) -> Result<Reply<CurriculumDecision>, CallError> {
        let wanted = wanted(input);
        let (mut failed, mut others) = (Vec::new(), Vec::new());
        for (history, prompt) in input.histories.iter().zip(input.prompts) {
            let pool = if history.failed_so_far() {
                &mut failed
            } else {
                &mut others
            };
            pool.push(prompt.id);
        }
        let quota = if i64::from(context.round) < self.from_round {
            0
        } else {
            (self.replay_share * wanted as f64).round() as usize
        };
        // Too few of one kind are made up for by the other.
        let replays = quota
            .min(failed.len())
            .max(wanted.saturating_sub(others.len()));
        let mut random = context.random(Role::Curriculum);
        choose(&mut random, &mut failed, replays);
        choose(&mut random, &mut others, wanted - replays);
        let last = input.defaults.epochs;
        let asked = self.epoch.min(i64::from(last)) as u32;
        let epoch = match (others.is_empty(), context.rounds) {
            // A round cannot begin with nothing, whenever the replays are due.
            (true, _) => 1,
            (false, 1) if asked == 1 => (last / 2).max(2).min(last),
            _ => asked,
        };
        if context.rounds == 1 && epoch > 1 {
            // Those of which something has been accepted by then are left out.
            let room = affordable(input) - wanted;
            failed.extend(others.iter().take(room));
        }
        let plan = plan(input, (&failed, epoch), &others);
        Ok(Reply::stateless(plan, context))
    }
}
