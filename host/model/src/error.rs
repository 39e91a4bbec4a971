//! What can go wrong with a checkpoint or in a model's use.

use std::path::PathBuf;

use thiserror::Error;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate. Messages name the file, the field and the value.
#[derive(Debug, Error)]
pub enum Error {
    /// A file of the checkpoint is not there.
    #[error("`{checkpoint}` has no `{file}`")]
    MissingFile {
        /// The checkpoint.
        checkpoint: String,
        /// The file's name.
        file: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A JSON file does not parse or lacks a field.
    #[error("`{file}`: {reason}")]
    Json {
        /// The file.
        file: String,
        /// The parser's reason, with line and column.
        reason: String,
    },
    /// A field of a configuration has a value that cannot be used.
    #[error("`{file}`: `{field}` is {value}; expected {expected}")]
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
    #[error("`{file}` has no token `{token}`")]
    MissingToken {
        /// The tokenizer's file.
        file: String,
        /// The token's text.
        token: String,
    },
    /// The tokenizer cannot be read or fails on a text.
    #[error("`{file}`: {reason}")]
    Tokenizer {
        /// The tokenizer's file.
        file: String,
        /// The tokenizer's reason.
        reason: String,
    },
    /// A weights file is cut or corrupt.
    #[error("`{file}` is no whole safetensors file: {reason}")]
    Weights {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Tensors are missing, unknown or of another shape than the configuration says.
    #[error(
        "the weights of `{checkpoint}` do not match its `config.json`:{}",
        list(problems)
    )]
    TensorMismatch {
        /// The checkpoint.
        checkpoint: String,
        /// One line a tensor, all of them.
        problems: Vec<String>,
    },
    /// A prompt or question holds a special token's text.
    #[error("the text {text:?} holds the special token `{token}`")]
    SpecialTokenInText {
        /// The text.
        text: String,
        /// The token.
        token: String,
    },
    /// An argument does not fit the model.
    #[error("`{name}` is {value}; expected {expected}")]
    Argument {
        /// The argument.
        name: String,
        /// Its value.
        value: String,
        /// What would do.
        expected: String,
    },
    /// candle failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

fn list(problems: &[String]) -> String {
    problems.iter().map(|line| format!("\n  {line}")).collect()
}

impl Error {
    /// What the user can do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::MissingFile { .. } => Some(
                "a checkpoint is a folder in Hugging Face layout: config.json, tokenizer.json and \
                 model.safetensors (or its shards with model.safetensors.index.json)"
                    .into(),
            ),
            Error::Weights { .. } => {
                Some("the file may be cut or damaged: copy or download it again".into())
            }
            Error::TensorMismatch { .. } => {
                Some("weights and config.json must come from the same checkpoint".into())
            }
            Error::MissingToken { .. } => {
                Some("tokenizer.json must be the one that came with the checkpoint".into())
            }
            Error::SpecialTokenInText { .. } => {
                Some("prompts and questions are plain words; leave the token out".into())
            }
            _ => None,
        }
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
