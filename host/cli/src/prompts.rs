//! Prompts that are typed or stand in a file.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

use anyhow::Context;
use sc_core::prompt::Prompt;
use sc_core::text::is_blank;
use sc_model::JanusModel;
use serde::Deserialize;

use crate::failure::Mistake;
use crate::terminal::say;

/// Longest file of prompts, in bytes.
const MOST_BYTES: u64 = 64 << 20;
/// Most prompts in a file.
const MOST_PROMPTS: u32 = 1_000_000;

/// Says on stderr which words the model cannot tell apart, and returns in how many prompts they are.
pub fn warn_of_unknown_words(model: &JanusModel, prompts: &[Prompt]) -> anyhow::Result<usize> {
    let mut count = 0;
    let mut words = BTreeSet::new();
    for prompt in prompts {
        let unknown = model.text().unknown_words(&prompt.text)?;
        count += usize::from(!unknown.is_empty());
        words.extend(unknown);
    }
    if count > 0 {
        let shown: Vec<String> = words
            .iter()
            .take(5)
            .map(|word| format!("{word:?}"))
            .collect();
        say(&format!(
            "warning: {count} of {} prompts hold words that the model does not know, such as {}",
            prompts.len(),
            shown.join(", ")
        ));
    }
    Ok(count)
}

/// Checks that the model can be asked to draw each prompt and to judge by it, before it draws the
/// first.
///
/// # Errors
/// When a prompt holds a special token, or is too long for the model.
pub fn check<'a>(
    model: &JanusModel,
    prompts: impl IntoIterator<Item = &'a Prompt>,
) -> anyhow::Result<()> {
    for prompt in prompts {
        let text = model.text();
        let fits = text
            .draw_ids(&prompt.text)
            .and_then(|_| text.judge_ids(&prompt.text));
        if let Err(error) = fits {
            let hint = error.hint().unwrap_or_default();
            return Err(Mistake::error(
                format!("a prompt cannot be used: {error}"),
                hint,
            ));
        }
    }
    Ok(())
}

/// Prompts from the file that an option names, one a line: the prompt itself, or a JSON object with
/// `prompt` and perhaps `category` or, as GenEval has it, `tag`. Blank lines do not count.
pub fn read(option: &str, file: &Path) -> anyhow::Result<Vec<Prompt>> {
    let given = format!("{option} {}", file.display());
    let bytes = read_bounded(file)
        .with_context(|| format!("cannot read `{given}`"))
        .map_err(|error| {
            Mistake::error(
                format!("{error:#}"),
                "give a text file with one prompt a line",
            )
        })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() + 1;
        Mistake::error(
            format!("`{given}`: line {line} is not UTF-8"),
            "save the file as UTF-8",
        )
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines = (1..).zip(text.lines().map(str::trim));
    let prompts: Vec<Prompt> = lines
        .filter(|(_, line)| !is_blank(line))
        .zip(0..)
        .map(|((number, line), id)| {
            if id >= MOST_PROMPTS {
                return Err(Mistake::error(
                    format!("`{given}`: line {number} is prompt {}", u64::from(id) + 1),
                    format!("at most {MOST_PROMPTS} are read: split the file"),
                ));
            }
            if !line.starts_with('{') {
                return Ok(prompt(line, id));
            }
            structured(line, id).map_err(|error| {
                Mistake::error(
                    format!("`{given}`: line {number}: {error}"),
                    "a line is a prompt, or a JSON object with `prompt` and perhaps `category`",
                )
            })
        })
        .collect::<anyhow::Result<_>>()?;
    if prompts.is_empty() {
        return Err(Mistake::error(
            format!("`{given}` holds no prompt"),
            "write one prompt a line",
        ));
    }
    Ok(prompts)
}

/// The bytes of a regular file; pipes and devices may never end.
pub fn read_bounded(file: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(file)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.len() > MOST_BYTES {
        return Err(io::Error::other(format!(
            "it is {} bytes long; at most {MOST_BYTES} are read",
            metadata.len()
        )));
    }
    fs::read(file)
}

/// The prompt of a JSON object.
fn structured(line: &str, id: u32) -> Result<Prompt, String> {
    #[derive(Deserialize)]
    struct Line {
        prompt: String,
        #[serde(alias = "tag")]
        category: Option<String>,
    }
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if is_blank(&line.prompt) {
        return Err(format!("`prompt` is {:?}; expected words", line.prompt));
    }
    Ok(Prompt {
        category: line.category.unwrap_or_default(),
        ..prompt(line.prompt.trim(), id)
    })
}

/// A prompt of which nothing is known but its words.
pub fn prompt(text: &str, id: u32) -> Prompt {
    Prompt {
        id,
        text: text.to_owned(),
        category: String::new(),
        tags: Vec::new(),
    }
}
