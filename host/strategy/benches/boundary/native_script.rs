//! A script natively: the same interpreter, compiled with the program, without a sandbox.

use rhai_interpreter::native::{self, types};
use sc_core::candidate::{Candidate, Group, Verdict};
use sc_core::prompt::Tag;

/// Loads the script for the calls to come.
pub fn load(path: &str) {
    let source = std::fs::read_to_string(path).unwrap();
    native::load(&source).unwrap();
}

/// A data filter's call with a copy of its input.
pub fn filter(groups: &[Group]) {
    native::filter(context(), copied(groups)).unwrap();
}

/// A pair selection's call with a copy of its input.
pub fn select(groups: &[Group]) {
    let objective = types::Objective {
        name: "dpo".into(),
        takes: "pairs".into(),
    };
    native::select(context(), copied(groups), objective).unwrap();
}

fn context() -> types::Context {
    types::Context {
        seed: 7,
        round: 1,
        rounds: 10,
        epoch: 1,
        settings: Vec::new(),
        state: Vec::new(),
    }
}

fn copied(groups: &[Group]) -> Vec<types::Group> {
    groups.iter().map(group).collect()
}

fn group(group: &Group) -> types::Group {
    let history = &group.history;
    types::Group {
        prompt: types::Prompt {
            id: group.prompt.id,
            text: group.prompt.text.clone(),
            category: group.prompt.category.clone(),
            tags: group.prompt.tags.iter().map(tag).collect(),
        },
        history: types::PromptHistory {
            attempts: history.attempts,
            accepted: history.accepted,
            mean_p_yes: history.mean_p_yes,
            best_p_yes: history.best_p_yes,
            last_round: history.last_round,
            times_trained: history.times_trained,
        },
        candidates: group.candidates.iter().map(candidate).collect(),
    }
}

fn tag(tag: &Tag) -> types::Tag {
    types::Tag {
        key: tag.key.clone(),
        value: tag.value.clone(),
    }
}

fn candidate(candidate: &Candidate) -> types::Candidate {
    types::Candidate {
        index: candidate.index,
        p_yes: candidate.p_yes,
        verdict: match candidate.verdict {
            Verdict::Accepted => types::Verdict::Accepted,
            Verdict::Rejected => types::Verdict::Rejected,
            Verdict::Unparsed => types::Verdict::Unparsed,
        },
        answer: Some(candidate.answer.clone()).filter(|answer| !answer.is_empty()),
        log_prob: candidate.log_prob,
        image_hash: candidate.image_hash,
    }
}
