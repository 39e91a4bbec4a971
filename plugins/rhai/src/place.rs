//! Where a script is wrong.

use rhai::{EvalAltResult, ParseError, Position};

use crate::exports::sc::strategy::script::ScriptError;

pub fn script_error(position: Position, message: String) -> ScriptError {
    let number = |part: Option<usize>| part.and_then(|p| u32::try_from(p).ok()).unwrap_or(0);
    ScriptError {
        message,
        line: number(position.line()),
        column: number(position.position()),
    }
}

pub fn parse_error(error: ParseError) -> ScriptError {
    script_error(error.position(), error.err_type().to_string())
}

/// Where the innermost cause that has a place lies, and what it is.
pub fn explain(mut error: EvalAltResult) -> (Position, String) {
    let mut outer = Position::NONE;
    while let EvalAltResult::ErrorInFunctionCall(_, _, inner, position) = error {
        if !position.is_none() {
            outer = position;
        }
        error = *inner;
    }
    let own = error.take_position();
    let position = if own.is_none() { outer } else { own };
    let message = match &error {
        EvalAltResult::ErrorRuntime(thrown, _) => thrown.to_string(),
        EvalAltResult::ErrorDataRace(..) => DATA_RACE.to_owned(),
        other => other.to_string(),
    };
    (position, message)
}

/// A closure that uses a variable shares it, and a call on that variable locks it.
const DATA_RACE: &str = "a closure uses the variable that it is called on; put what it needs into a \
                         variable of its own first, as in `let text = group.prompt.text;`";

/// An error with its place, in one line.
pub fn located(error: EvalAltResult) -> String {
    let (position, message) = explain(error);
    match (position.line(), position.position()) {
        (Some(line), Some(column)) => format!("line {line}, column {column}: {message}"),
        (Some(line), None) => format!("line {line}: {message}"),
        _ => message,
    }
}

/// The lines of `source` that declare `name` by `keyword`, each with its number from 0.
///
/// The syntax tree does not say where constants and functions stand, so the text is looked at.
fn declarations<'a>(
    source: &'a str,
    keyword: &'a str,
    name: &'a str,
) -> impl Iterator<Item = (usize, &'a str)> {
    source.lines().enumerate().filter(move |(_, line)| {
        line.trim_start()
            .strip_prefix(keyword)
            .filter(|rest| rest.starts_with([' ', '\t']))
            .and_then(|rest| rest.trim_start().strip_prefix(name))
            .is_some_and(|rest| !rest.starts_with(|c: char| c == '_' || c.is_alphanumeric()))
    })
}

/// The number of the line, from 0, that declares `name`, the last where there are several: a later
/// constant stands before an earlier one.
pub fn line_of(source: &str, keyword: &str, name: &str) -> Option<usize> {
    declarations(source, keyword, name)
        .last()
        .map(|(line, _)| line)
}

/// Where `name` is declared; nowhere when the text writes it in an unusual way.
pub fn declaration(source: &str, keyword: &str, name: &str) -> Position {
    let Some((line, text)) = declarations(source, keyword, name).last() else {
        return Position::NONE;
    };
    let column = text.chars().take_while(|c| c.is_whitespace()).count() + 1;
    match (u16::try_from(line + 1), u16::try_from(column)) {
        (Ok(line), Ok(column)) => Position::new(line, column),
        _ => Position::NONE,
    }
}
