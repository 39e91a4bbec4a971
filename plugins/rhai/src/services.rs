//! What scripts may ask the run for: further questions to the model, and the images themselves.

use std::cell::Cell;

use rhai::{Array, Blob, Dynamic, EvalAltResult, FuncRegistration, ImmutableString, Map, Module};

use crate::fields::wrong;
use crate::helpers::only_in_role;
use crate::records::{text, word};
use crate::sc::strategy::{candidate, model};

const MODEL: &str = "model";
const CANDIDATE: &str = "candidate";

/// What `question` makes; indices as the script gave them.
#[derive(Clone)]
struct Question {
    group: i64,
    index: i64,
    text: ImmutableString,
}

thread_local! {
    static WANTS_MODEL: Cell<bool> = const { Cell::new(false) };
    static WANTS_CANDIDATE: Cell<bool> = const { Cell::new(false) };
}

/// Notes which services the script says that it wants.
pub fn wanted(services: &[String]) {
    let wants = |service: &str| services.iter().any(|wanted| wanted == service);
    WANTS_MODEL.set(wants(MODEL));
    WANTS_CANDIDATE.set(wants(CANDIDATE));
}

/// Refuses a service that `about` does not name: the run cannot have granted it.
fn only_if_wanted(function: &str, service: &str, wanted: bool) -> Result<(), Box<EvalAltResult>> {
    only_in_role(function)?;
    if wanted {
        Ok(())
    } else {
        Err(format!(
            "`{function}` needs the service `{service}`: let `about` return \
             `services: [\"{service}\"]`"
        )
        .into())
    }
}

/// An index of the contract.
fn index(what: &str, value: i64) -> Result<u32, Box<EvalAltResult>> {
    u32::try_from(value).map_err(|_| format!("there is no {what} {value}").into())
}

fn ask(questions: Array) -> Result<Array, Box<EvalAltResult>> {
    only_if_wanted("ask", MODEL, WANTS_MODEL.get())?;
    let mut asked = Vec::with_capacity(questions.len());
    for (position, question) in questions.into_iter().enumerate() {
        let question: Question = question.try_cast_result().map_err(|value| {
            let place = format_args!("question {position} of `ask`");
            wrong(place, "question(group, candidate, text)", &value)
        })?;
        asked.push(model::Question {
            group: index("group", question.group)?,
            index: index("candidate", question.index)?,
            text: question.text.into(),
        });
    }
    let replies = model::ask(&asked).map_err(|refusal| match refusal {
        model::Refusal::Quota(left) => format!(
            "`ask` with {} questions was refused: {left} are left in this round",
            asked.len()
        ),
        model::Refusal::Invalid(why) | model::Refusal::Unavailable(why) => {
            format!("`ask` was refused: {why}")
        }
    })?;
    Ok(replies.into_iter().map(reply).collect())
}

fn reply(reply: model::Reply) -> Dynamic {
    Map::from([
        ("p_yes".into(), reply.p_yes.into()),
        ("verdict".into(), word(reply.verdict).into()),
        ("answer".into(), text(reply.answer.as_deref())),
    ])
    .into()
}

fn questions_left() -> Result<i64, Box<EvalAltResult>> {
    only_if_wanted("questions_left", MODEL, WANTS_MODEL.get())?;
    Ok(model::remaining().into())
}

fn pixels(group: i64, candidate: i64) -> Result<Map, Box<EvalAltResult>> {
    only_if_wanted("pixels", CANDIDATE, WANTS_CANDIDATE.get())?;
    let image = candidate::pixels(index("group", group)?, index("candidate", candidate)?)?;
    let rgb: Blob = image.rgb;
    Ok(Map::from([
        ("width".into(), i64::from(image.width).into()),
        ("height".into(), i64::from(image.height).into()),
        ("rgb".into(), Dynamic::from_blob(rgb)),
    ]))
}

fn tokens(group: i64, candidate: i64) -> Result<Array, Box<EvalAltResult>> {
    only_if_wanted("tokens", CANDIDATE, WANTS_CANDIDATE.get())?;
    let tokens = candidate::tokens(index("group", group)?, index("candidate", candidate)?)?;
    Ok(tokens
        .into_iter()
        .map(|token| i64::from(token).into())
        .collect())
}

/// The functions as a module.
pub fn module() -> Module {
    let mut module = Module::new();
    module.set_custom_type::<Question>("question");
    FuncRegistration::new("question").set_into_module(
        &mut module,
        |group: i64, index: i64, text: ImmutableString| Question { group, index, text },
    );
    FuncRegistration::new("ask").set_into_module(&mut module, ask);
    FuncRegistration::new("questions_left").set_into_module(&mut module, questions_left);
    FuncRegistration::new("pixels").set_into_module(&mut module, pixels);
    FuncRegistration::new("tokens").set_into_module(&mut module, tokens);
    module
}
