//! `sc-host debug`: single steps of the program, to hold them against other implementations.

use std::io::{self, BufRead, Read as _};
use std::process::ExitCode;

use anyhow::Context;
use sc_core::answer::parse_answer;
use sc_core::candidate::Verdict;
use sc_core::text::printable;
use sc_model::image::{Pixels, Placement, SQUARE_SIDES};
use serde::Serialize;
use serde_json::Value;

use crate::args::{DebugCommand, PreprocessArguments, PromptArguments};
use crate::failure::Mistake;
use crate::model_choice::{self, Chosen};
use crate::{new_file, report};

/// Most bytes of a line of answers.
const MOST_LINE: u64 = 1 << 20;
/// Characters of a value in a message.
const SHOWN: usize = 60;

pub fn debug(command: &DebugCommand) -> anyhow::Result<ExitCode> {
    match command {
        DebugCommand::Preprocess(arguments) => preprocess(arguments)?,
        DebugCommand::ParseAnswer => parse_answers(&mut io::stdin().lock())?,
        DebugCommand::Prompt(arguments) => prompt(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What was made of an image, in pixels.
#[derive(Serialize)]
struct Preprocessed {
    out: String,
    size: usize,
    /// Sides of the image when it is upright.
    width: usize,
    height: usize,
    resized_width: usize,
    resized_height: usize,
    left: usize,
    top: usize,
}

fn preprocess(arguments: &PreprocessArguments) -> anyhow::Result<()> {
    let size = arguments.size;
    if !SQUARE_SIDES.contains(&size) {
        let (least, most) = (SQUARE_SIDES.start(), SQUARE_SIDES.end());
        return Err(Mistake::error(
            format!("`--size` is {size}; expected {least} to {most}"),
            "`image_size` of a checkpoint's vision_config is what its eye takes, 384 for Janus-Pro",
        ));
    }
    let out = arguments.out.display().to_string();
    new_file::check(&out, &arguments.out)?;
    let image = Pixels::read(&arguments.image)?;
    let place = Placement::new(image.width(), image.height(), size)?;
    new_file::write(&arguments.out, &image.square(size)?.to_png()?)?;
    let made = Preprocessed {
        out,
        size,
        width: image.width(),
        height: image.height(),
        resized_width: place.width,
        resized_height: place.height,
        left: place.left,
        top: place.top,
    };
    if arguments.json {
        return report::json_line(&made);
    }
    report::text(&format!(
        "{}×{} pixels, resized to {}×{}, at column {} and row {} of {size}×{size}\n{}\n",
        made.width,
        made.height,
        made.resized_width,
        made.resized_height,
        made.left,
        made.top,
        made.out
    ))
}

/// What the model is given.
#[derive(Serialize)]
struct Given {
    text: String,
    ids: Vec<u32>,
}

#[derive(Serialize)]
struct Conversations {
    draw: Given,
    judge: Given,
}

fn prompt(arguments: &PromptArguments) -> anyhow::Result<()> {
    let mut text = Chosen::typed(arguments.model.as_deref())?.text()?;
    if let Some(file) = &arguments.question {
        let question = model_choice::question(file)?;
        model_choice::asked(file, text.set_question(&question))?;
    }
    let prompt = arguments.prompt.as_str();
    let conversations = Conversations {
        draw: Given {
            text: text.draw_text(prompt)?,
            ids: text.draw_ids(prompt)?,
        },
        judge: Given {
            text: text.judge_text(prompt)?,
            ids: text.judge_ids(prompt)?,
        },
    };
    if arguments.json {
        return report::json_line(&conversations);
    }
    for (what, given) in [
        ("to draw", &conversations.draw),
        ("to judge", &conversations.judge),
    ] {
        report::text(&format!(
            "{what}, {} tokens:\n{}\n\n",
            given.ids.len(),
            given.text
        ))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Parsed {
    verdict: Option<u8>,
}

/// Answers each line of `input` before the next is read.
fn parse_answers(input: &mut impl BufRead) -> anyhow::Result<()> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let bytes = input
            .by_ref()
            .take(MOST_LINE + 1)
            .read_until(b'\n', &mut line)
            .context("cannot read standard input")?;
        if bytes == 0 {
            break;
        }
        if bytes as u64 > MOST_LINE && !line.ends_with(b"\n") {
            let found = format!("is longer than {MOST_LINE} bytes");
            return Err(unfit(number, &found));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let verdict = match parse_answer(&answer(number, &line)?) {
            Verdict::Accepted => Some(1),
            Verdict::Rejected => Some(0),
            Verdict::Unparsed => None,
        };
        report::json_line(&Parsed { verdict })?;
    }
    Ok(())
}

/// The text `answer` of the object on a line.
fn answer(number: u64, line: &[u8]) -> anyhow::Result<String> {
    let line = line.trim_ascii();
    let shown = |text: &str| printable(text, SHOWN);
    let as_it_is = || shown(&String::from_utf8_lossy(line));
    let value: Value = serde_json::from_slice(line).map_err(|error| {
        let column = error.column();
        unfit(
            number,
            &format!("is `{}`, no JSON at column {column}", as_it_is()),
        )
    })?;
    match value.get("answer") {
        Some(Value::String(answer)) => Ok(answer.clone()),
        Some(other) => {
            let other = shown(&other.to_string());
            Err(unfit(number, &format!("has the `answer` {other}")))
        }
        None => Err(unfit(number, &format!("is `{}`", as_it_is()))),
    }
}

/// What is wrong with a line.
fn unfit(number: u64, found: &str) -> anyhow::Error {
    Mistake::error(
        format!(
            "line {number} of standard input {found}; expected a JSON object with a text `answer`"
        ),
        r#"give one object a line, such as {"answer": "The score is 1."}"#,
    )
}
