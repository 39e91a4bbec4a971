//! A data filter that asks the model about each part of a prompt.
//!
//! A model that accepts an image for a long prompt may have overlooked a part of it. So each accepted
//! image is examined once more: is there the first thing, is there the second? An image is dropped
//! when the model denies a part. All questions of a round are asked at once.
//!
//! It needs the service `model`, with as many questions a round as accepted images have parts:
//! `--grant model:5000`. With fewer left, the images that there are no questions for are kept.
//!
//! `scripts/decomposed.rhai` is the same strategy as a script.

mod about;
mod ranged;

wit_bindgen::generate!({
    path: "../../wit/0.1.0",
    world: "asking-data-filter-strategy",
});

use exports::sc::strategy::about::{Description, Guest as About, Parameter, Refusal};
use exports::sc::strategy::data_filter::{Answer, Context, Decision, Group, Guest as DataFilter};
use ranged::Ranged;
use sc::strategy::log;
use sc::strategy::model::{self, Question};
use sc::strategy::types::{Role, Setting, Value, Verdict};

struct Strategy;

const MIN_P_YES: Ranged<f64> = Ranged {
    name: "min_p_yes",
    help: "Least p-yes of each part.",
    default: 0.5,
    minimum: 0.0,
    maximum: 1.0,
};

/// The question about a part.
const TEMPLATE: &str = "template";
const DEFAULT_TEMPLATE: &str = "is there {part} ?";
/// What stands for the part.
const PART: &str = "{part}";

/// The longest question that may be asked.
const MOST_BYTES: usize = 2000;

/// What stands between two parts. Longer ones come first, so that nothing is left of them.
const SEPARATORS: [&str; 7] = [
    " to the left of ",
    " to the right of ",
    " left of ",
    " right of ",
    " above ",
    " below ",
    " and ",
];

impl About for Strategy {
    fn describe() -> Description {
        Description {
            services: vec!["model".into()],
            ..about::description(
                "decomposed",
                "Asks about each part of a prompt, and drops an accepted image if one is denied.",
                Role::DataFilter,
                vec![
                    Parameter {
                        name: TEMPLATE.into(),
                        help: "The question about a part, which {part} stands for.".into(),
                        default: Value::Text(DEFAULT_TEMPLATE.into()),
                        minimum: None,
                        maximum: None,
                        choices: Vec::new(),
                    },
                    MIN_P_YES.parameter(),
                ],
            )
        }
    }

    fn check(_: Role, settings: Vec<Setting>) -> Result<(), Refusal> {
        if template(&settings).contains(PART) {
            Ok(())
        } else {
            Err(Refusal {
                parameter: Some(TEMPLATE.into()),
                message: "it must contain {part}, which stands for the part asked about".into(),
            })
        }
    }
}

fn template(settings: &[Setting]) -> &str {
    match settings.iter().find(|setting| setting.name == TEMPLATE) {
        Some(Setting {
            value: Value::Text(text),
            ..
        }) => text,
        _ => DEFAULT_TEMPLATE,
    }
}

/// A candidate that is asked about, by its position in its group, and where its questions are.
struct Examined {
    group: usize,
    position: usize,
    first_question: usize,
    questions: usize,
}

impl DataFilter for Strategy {
    fn filter(context: Context, groups: Vec<Group>) -> Result<Answer, String> {
        let min_p_yes = MIN_P_YES.of(&context.settings);
        let template = template(&context.settings);
        let room = model::remaining() as usize;
        let mut questions = Vec::new();
        let mut examined = Vec::new();
        let (mut left_out, mut unfit) = (0, 0);
        for (group_position, group) in groups.iter().enumerate() {
            let texts: Vec<String> = parts(&group.prompt.text)
                .iter()
                .map(|part| template.replace(PART, part))
                .collect();
            let fit = texts.iter().all(|text| text.len() <= MOST_BYTES);
            for (position, candidate) in group.candidates.iter().enumerate() {
                if candidate.verdict != Verdict::Accepted {
                    continue;
                }
                if !fit {
                    unfit += 1;
                    continue;
                }
                if questions.len() + texts.len() > room {
                    left_out += 1;
                    continue;
                }
                examined.push(Examined {
                    group: group_position,
                    position,
                    first_question: questions.len(),
                    questions: texts.len(),
                });
                questions.extend(texts.iter().map(|text| Question {
                    group: group_position as u32,
                    index: candidate.index,
                    text: text.clone(),
                }));
            }
        }
        if left_out > 0 {
            log::write(
                log::Level::Warn,
                &format!("no questions left for {left_out} accepted images, which are kept"),
            );
        }
        if unfit > 0 {
            log::write(
                log::Level::Warn,
                &format!(
                    "the questions about {unfit} accepted images are too long; these are kept"
                ),
            );
        }
        let mut decisions: Vec<Vec<Decision>> = groups
            .iter()
            .map(|group| vec![Decision::Keep; group.candidates.len()])
            .collect();
        if !questions.is_empty() {
            let replies = model::ask(&questions).map_err(told)?;
            for candidate in examined {
                let own = &replies[candidate.first_question..][..candidate.questions];
                if own.iter().any(|reply| reply.p_yes < min_p_yes) {
                    decisions[candidate.group][candidate.position] =
                        Decision::Drop("a part is denied".into());
                }
            }
        }
        Ok(Answer {
            decisions,
            state: context.state,
        })
    }
}

/// The parts of a prompt, each once.
fn parts(prompt: &str) -> Vec<String> {
    const BETWEEN: &str = "\n";
    let mut text = prompt.to_owned();
    for separator in SEPARATORS {
        text = text.replace(separator, BETWEEN);
    }
    let mut parts: Vec<String> = Vec::new();
    for part in text.split(BETWEEN).map(str::trim) {
        if !part.is_empty() && !parts.iter().any(|other| other == part) {
            parts.push(part.to_owned());
        }
    }
    parts
}

/// Why the questions were not answered.
fn told(refusal: model::Refusal) -> String {
    match refusal {
        model::Refusal::Quota(left) => format!("only {left} questions are left in this round"),
        model::Refusal::Invalid(why) | model::Refusal::Unavailable(why) => why,
    }
}

export!(Strategy);
