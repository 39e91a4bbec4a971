//! `builtin:uniform`: random prompts each round, whatever happened before.

use sc_core::plan::CurriculumDecision;
use sc_core::role::Role;

use super::{choose, plan, wanted};
use crate::error::CallError;
use crate::role::{CallContext, Curriculum, CurriculumInput, Reply};

/// Chooses every round's prompts uniformly from the whole table. A prompt that comes up again does
/// so by chance and is not reported as a replay.
pub(crate) struct Uniform;

impl Curriculum for Uniform {
    fn plan(
        &self,
        context: &CallContext,
        input: &CurriculumInput<'_>,
    ) -> Result<Reply<CurriculumDecision>, CallError> {
        let mut pool: Vec<u32> = input.prompts.iter().map(|prompt| prompt.id).collect();
        choose(
            &mut context.random(Role::Curriculum),
            &mut pool,
            wanted(input),
        );
        Ok(Reply::stateless(plan(input, (&[], 1), &pool), context))
    }
}
