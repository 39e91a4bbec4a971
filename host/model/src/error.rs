//! What can go wrong with a checkpoint or in a model's use.

use std::path::{Path, PathBuf};

use sc_core::text::is_unseen;
use thiserror::Error;

use crate::image::ImageFileError;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Longest part of a message that a file's or user's words may take, in characters.
const SHOWN_CHARS: usize = 400;
/// Characters of a prompt or question in a message.
const EXCERPT_CHARS: usize = 60;

/// An error of this crate. Messages name the file, the field and the value; what files and users
/// wrote stands in them without characters that a terminal would obey.
#[derive(Debug, Error)]
pub enum Error {
    /// A file of the checkpoint is not there.
    #[error("`{}` has no `{}`", printable(checkpoint), printable(file))]
    MissingFile {
        /// The checkpoint.
        checkpoint: String,
        /// The file's name.
        file: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} `{}`: {source}", printable_path(path))]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A directory, pipe or device stands where a file is wanted.
    #[error("`{}` is {kind}, not a file", printable_path(path))]
    NotAFile {
        /// What was to be read.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A file of settings is larger than any such file is.
    #[error(
        "`{}` has {bytes} bytes; expected at most {limit}",
        printable_path(path)
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// What it may have.
        limit: u64,
    },
    /// A folder cannot be written where it is wanted.
    #[error(
        "`{}` {problem}; expected the name of a folder that is absent or empty",
        printable_path(path)
    )]
    OutputFolder {
        /// The folder.
        path: PathBuf,
        /// What stands in the way.
        problem: &'static str,
    },
    /// A disk has too little room for what is to be written.
    #[error(
        "`{}` takes {}, its disk has {} free",
        printable_path(path),
        gigabytes(*needed),
        gigabytes(*free)
    )]
    NoRoom {
        /// What is to be written.
        path: PathBuf,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that there are.
        free: u64,
    },
    /// A JSON file does not parse or lacks a field.
    #[error("`{}`: {}", printable(file), printable(reason))]
    Json {
        /// The file.
        file: String,
        /// The parser's reason, with line and column.
        reason: String,
    },
    /// A field of a configuration has a value that cannot be used.
    #[error(
        "`{}`: `{}` is {}; expected {}",
        printable(file),
        printable(field),
        printable(value),
        printable(expected)
    )]
    Config {
        /// The file.
        file: String,
        /// The field's path in it.
        field: String,
        /// The value found.
        value: String,
        /// What would do.
        expected: String,
    },
    /// A special token is not in the tokenizer.
    #[error("`{}` has no token `{}`", printable(file), printable(token))]
    MissingToken {
        /// The tokenizer's file.
        file: String,
        /// The token's text.
        token: String,
    },
    /// The tokenizer cannot be read or fails on a text.
    #[error("`{}`: {}", printable(file), printable(reason))]
    Tokenizer {
        /// The tokenizer's file.
        file: String,
        /// The tokenizer's reason.
        reason: String,
    },
    /// A weights file is cut or corrupt.
    #[error(
        "`{}` is no whole weights file: {}",
        printable(file),
        printable(reason)
    )]
    Weights {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A weights file holds something that is not read here, and may be whole.
    #[error(
        "cannot take the weights from `{}`: {}",
        printable(file),
        printable(reason)
    )]
    ForeignWeights {
        /// The file.
        file: String,
        /// What it holds.
        reason: String,
    },
    /// Tensors are missing, unknown or of another shape than the configuration says.
    #[error(
        "the weights of `{}` do not match its `config.json`:{}",
        printable(checkpoint),
        list(problems)
    )]
    TensorMismatch {
        /// The checkpoint.
        checkpoint: String,
        /// One line a tensor, all of them.
        problems: Vec<String>,
    },
    /// An adapter's tensors do not fit the model.
    #[error(
        "the adapter `{}` does not fit the model:{}",
        printable(adapter),
        list(problems)
    )]
    AdapterMismatch {
        /// The adapter.
        adapter: String,
        /// One line a tensor, all of them.
        problems: Vec<String>,
    },
    /// Weights are infinite or not a number.
    #[error(
        "the weights of `{}` hold values that are not finite numbers:{}",
        printable(checkpoint),
        list(tensors)
    )]
    NonFiniteWeights {
        /// The checkpoint.
        checkpoint: String,
        /// All tensors that do.
        tensors: Vec<String>,
    },
    /// What the model computed is infinite or not a number.
    #[error("the model's {what} are not finite numbers")]
    NonFiniteOutput {
        /// The values.
        what: &'static str,
    },
    /// A file of expected values holds none.
    #[error(
        "`{}` names no expected value (`out.…` or `grad.…`)",
        printable_path(path)
    )]
    NothingExpected {
        /// The file.
        path: PathBuf,
    },
    /// A text takes more of the model's positions than it has.
    #[error(
        "the text \"{}\" takes {length}; the model has room for {limit} \
         (`max_position_embeddings`)",
        excerpt(text)
    )]
    TextTooLong {
        /// The text.
        text: String,
        /// What it takes, with its unit.
        length: String,
        /// What there is, with its unit.
        limit: String,
    },
    /// A prompt or question holds a special token's text.
    #[error("the text \"{}\" holds the special token `{token}`", excerpt(text))]
    SpecialTokenInText {
        /// The text.
        text: String,
        /// The token.
        token: String,
    },
    /// An argument does not fit the model.
    #[error(
        "`{}` is {}; expected {}",
        printable(name),
        printable(value),
        printable(expected)
    )]
    Argument {
        /// The argument.
        name: String,
        /// Its value.
        value: String,
        /// What would do.
        expected: String,
    },
    /// An image file is not taken.
    #[error(transparent)]
    Image(#[from] ImageFileError),
    /// candle failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Lines of a list in a message: more than a checkpoint has tensors.
const SHOWN_LINES: usize = 5000;

fn list(lines: &[String]) -> String {
    let line = |line: &String| format!("\n  {}", printable(line));
    let mut shown: String = lines.iter().take(SHOWN_LINES).map(line).collect();
    if lines.len() > SHOWN_LINES {
        shown.push_str(&format!("\n  and {} more", lines.len() - SHOWN_LINES));
    }
    shown
}

/// `text` with control and invisible format characters escaped, and not longer than a message
/// bears: what a file says must neither steer the terminal nor fake lines of ours.
pub(crate) fn printable(text: &str) -> String {
    shortened(text, SHOWN_CHARS)
}

fn printable_path(path: &Path) -> String {
    printable(&path.display().to_string())
}

/// Bytes as people read them, such as `4.2 GB`; less than a tenth in MB.
fn gigabytes(bytes: u64) -> String {
    match bytes {
        0..100_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// The start of a prompt or question.
fn excerpt(text: &str) -> String {
    shortened(text, EXCERPT_CHARS)
}

fn shortened(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for (place, c) in text.chars().enumerate() {
        if place == limit {
            shown.push('…');
            break;
        }
        if is_unseen(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::MissingFile { .. } => {
                "a checkpoint is a folder with config.json, tokenizer.json and its weights: \
                 model.safetensors or pytorch_model.bin, or the shards of one of them with their \
                 index"
                    .into()
            }
            Error::Io { .. } => {
                "check that the path is right, that you may use it and that there is room".into()
            }
            Error::NotAFile { .. } => "give the path of a regular file".into(),
            Error::OutputFolder { .. } => "name a new folder, such as `my-model`".into(),
            Error::NoRoom { .. } => "make room, or name a folder on another disk".into(),
            Error::TooLarge { path, .. } => came_with_checkpoint(&path.display().to_string()),
            Error::Json { file, .. }
            | Error::Config { file, .. }
            | Error::MissingToken { file, .. }
            | Error::Tokenizer { file, .. } => came_with_checkpoint(file),
            Error::Weights { .. } => {
                "the file may be cut or damaged: copy or download it again".into()
            }
            Error::ForeignWeights { .. } => {
                "get the checkpoint as safetensors, or read it with torch.load(…, \
                 weights_only=True) and save the dictionary of its contiguous tensors with \
                 safetensors.torch.save_file or torch.save"
                    .into()
            }
            Error::TensorMismatch { .. } => {
                "weights and config.json must come from the same checkpoint".into()
            }
            Error::AdapterMismatch { .. } => {
                "an adapter goes with the model that it was trained on: see \
                 `base_model_name_or_path` in its adapter_config.json"
                    .into()
            }
            Error::NonFiniteWeights { .. } => {
                "the checkpoint is damaged or its training diverged: use another".into()
            }
            Error::NonFiniteOutput { .. } => {
                "its weights are too large to compute with: use another checkpoint, or a lower \
                 learning rate or guidance"
                    .into()
            }
            Error::NothingExpected { .. } => {
                "give a file of a reference implementation's inputs and outputs".into()
            }
            Error::TextTooLong { .. } => {
                "shorten it, or its template in templates.json if that is what is long".into()
            }
            Error::SpecialTokenInText { .. } => {
                "prompts and questions are plain words; leave the token out".into()
            }
            Error::Argument { .. } => "give a value that the model can work with".into(),
            Error::Image(error) => error.hint().into(),
            Error::Tensor(_) => {
                "the device may be out of memory: free some, or use a smaller model".into()
            }
        })
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io {
            action,
            path,
            source,
        }
    }

    pub(crate) fn argument(
        name: impl Into<String>,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> Error {
        Error::Argument {
            name: name.into(),
            value: value.to_string(),
            expected: expected.into(),
        }
    }
}

fn came_with_checkpoint(file: &str) -> String {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    format!(
        "{} must be the one that came with the checkpoint",
        printable(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_files_say_cannot_steer_the_terminal() {
        let name = "\u{1b}[31mbad\nerror: fake\u{202e}\u{9b}m";
        let error = Error::TensorMismatch {
            checkpoint: name.into(),
            problems: vec![name.into()],
        };
        let message = error.to_string();
        assert_eq!(message.lines().count(), 2);
        let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!message.contains(hidden), "{message:?}");
        assert!(
            message.contains("\\u{1b}[31mbad\\u{a}error: fake"),
            "{message}"
        );
    }

    #[test]
    fn ordinary_words_stay_and_endless_ones_end() {
        assert_eq!(
            printable("`a\\b` \"ü\" <｜▁pad▁｜>"),
            "`a\\b` \"ü\" <｜▁pad▁｜>"
        );
        assert_eq!(
            excerpt(&"x".repeat(1 << 20)).chars().count(),
            EXCERPT_CHARS + 1
        );
    }
}
