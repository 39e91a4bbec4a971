//! The contract's large records as scripts see them: values with read-only fields.
//!
//! A round may have hundreds of thousands of candidates. So a script is not given a map for each,
//! but a value that knows where its record stands; a field is made when the script asks for it.

use std::rc::Rc;

use rhai::{Array, Dynamic, FuncRegistration, ImmutableString, Map, Module};

use crate::sc::strategy::types::{self, PromptHistory, Verdict};

/// The records of a call, and the words for them that are made once.
pub struct Records {
    groups: Vec<types::Group>,
    prompts: Vec<types::Prompt>,
    histories: Vec<PromptHistory>,
    accepted: ImmutableString,
    rejected: ImmutableString,
    unparsed: ImmutableString,
}

impl Records {
    fn new(
        groups: Vec<types::Group>,
        prompts: Vec<types::Prompt>,
        histories: Vec<PromptHistory>,
    ) -> Rc<Records> {
        Rc::new(Records {
            groups,
            prompts,
            histories,
            accepted: ACCEPTED.into(),
            rejected: REJECTED.into(),
            unparsed: UNPARSED.into(),
        })
    }
}

const ACCEPTED: &str = "accepted";
const REJECTED: &str = "rejected";
const UNPARSED: &str = "unparsed";

/// The word for a verdict.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => ACCEPTED,
        Verdict::Rejected => REJECTED,
        Verdict::Unparsed => UNPARSED,
    }
}

/// A list of `count` values that know their position.
fn list<T: Clone + 'static>(count: usize, value: impl FnMut(usize) -> T) -> Dynamic {
    (0..count)
        .map(value)
        .map(Dynamic::from)
        .collect::<Array>()
        .into()
}

/// The groups of a call, in order.
pub fn groups(groups: Vec<types::Group>) -> Dynamic {
    let records = Records::new(groups, Vec::new(), Vec::new());
    list(records.groups.len(), |position| Group {
        records: Rc::clone(&records),
        position,
    })
}

/// The table of prompts and what is known of them, in order.
pub fn table(prompts: Vec<types::Prompt>, histories: Vec<PromptHistory>) -> (Dynamic, Dynamic) {
    let records = Records::new(Vec::new(), prompts, histories);
    let prompts = list(records.prompts.len(), |position| {
        Prompt(Rc::clone(&records), Place::Table(position))
    });
    let histories = list(records.histories.len(), |position| {
        History(Rc::clone(&records), Place::Table(position))
    });
    (prompts, histories)
}

/// Where a prompt or a history stands.
#[derive(Clone, Copy)]
enum Place {
    Group(usize),
    Table(usize),
}

#[derive(Clone)]
struct Group {
    records: Rc<Records>,
    position: usize,
}

impl Group {
    fn record(&self) -> &types::Group {
        &self.records.groups[self.position]
    }

    fn candidates(&self) -> Dynamic {
        list(self.record().candidates.len(), |position| Candidate {
            records: Rc::clone(&self.records),
            group: self.position,
            position,
        })
    }
}

#[derive(Clone)]
struct Candidate {
    records: Rc<Records>,
    group: usize,
    position: usize,
}

impl Candidate {
    fn record(&self) -> &types::Candidate {
        &self.records.groups[self.group].candidates[self.position]
    }

    fn verdict(&self) -> ImmutableString {
        match self.record().verdict {
            Verdict::Accepted => &self.records.accepted,
            Verdict::Rejected => &self.records.rejected,
            Verdict::Unparsed => &self.records.unparsed,
        }
        .clone()
    }
}

#[derive(Clone)]
struct Prompt(Rc<Records>, Place);

impl Prompt {
    fn record(&self) -> &types::Prompt {
        match self.1 {
            Place::Group(position) => &self.0.groups[position].prompt,
            Place::Table(position) => &self.0.prompts[position],
        }
    }

    fn tags(&self) -> Map {
        self.record()
            .tags
            .iter()
            .map(|tag| (tag.key.as_str().into(), tag.value.as_str().into()))
            .collect()
    }
}

#[derive(Clone)]
struct History(Rc<Records>, Place);

impl History {
    fn record(&self) -> &PromptHistory {
        match self.1 {
            Place::Group(position) => &self.0.groups[position].history,
            Place::Table(position) => &self.0.histories[position],
        }
    }
}

/// 64 bits as a script's integer: equal bits, equal numbers.
pub fn bits(value: u64) -> i64 {
    value.cast_signed()
}

/// The fields of the records as a module.
pub fn module() -> Module {
    let mut module = Module::new();
    module
        .set_custom_type::<Group>("group")
        .set_custom_type::<Candidate>("candidate")
        .set_custom_type::<Prompt>("prompt")
        .set_custom_type::<History>("history");
    /// Registers the fields of a record: name and value.
    macro_rules! fields {
        ($record:ident { $($name:ident: $value:expr,)* }) => {
            $(FuncRegistration::new_getter(stringify!($name)).set_into_module(
                &mut module,
                |record: &mut $record| {
                    let value: fn(&$record) -> _ = $value;
                    value(record)
                },
            );)*
        };
    }
    fields!(Group {
        index: |group| group.position as i64,
        prompt: |group| Prompt(Rc::clone(&group.records), Place::Group(group.position)),
        history: |group| History(Rc::clone(&group.records), Place::Group(group.position)),
        candidates: |group| group.candidates(),
    });
    fields!(Candidate {
        index: |candidate| i64::from(candidate.record().index),
        p_yes: |candidate| candidate.record().p_yes,
        verdict: |candidate| candidate.verdict(),
        answer: |candidate| text(candidate.record().answer.as_deref()),
        log_prob: |candidate| candidate.record().log_prob,
        image_hash: |candidate| bits(candidate.record().image_hash),
    });
    fields!(Prompt {
        id: |prompt| i64::from(prompt.record().id),
        text: |prompt| ImmutableString::from(prompt.record().text.as_str()),
        category: |prompt| ImmutableString::from(prompt.record().category.as_str()),
        tags: |prompt| prompt.tags(),
    });
    fields!(History {
        attempts: |history| i64::from(history.record().attempts),
        accepted: |history| i64::from(history.record().accepted),
        mean_p_yes: |history| history.record().mean_p_yes,
        best_p_yes: |history| history.record().best_p_yes,
        last_round: |history| {
            let round = history.record().last_round;
            round.map_or(Dynamic::UNIT, |round| i64::from(round).into())
        },
        times_trained: |history| i64::from(history.record().times_trained),
    });
    module
}

/// A text that may be missing: `()` then.
pub fn text(text: Option<&str>) -> Dynamic {
    text.map_or(Dynamic::UNIT, |text| text.into())
}
