use std::path::PathBuf;

use thiserror::Error;

/// What can end a run before its time.
#[derive(Debug, Error)]
pub enum RunError {
    /// A strategy trapped, overran, refused or answered nonsense.
    #[error(transparent)]
    Strategy(#[from] sc_strategy::CallError),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] sc_model::Error),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] sc_train::TrainError),
    /// A tensor operation failed.
    #[error("a tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// The tiny world failed.
    #[error(transparent)]
    World(#[from] sc_world::WorldError),
    /// A setting has a value that cannot be used.
    #[error("`{field}` is {value}; expected {expected}")]
    Setting {
        /// The setting.
        field: String,
        /// Its value.
        value: String,
        /// What would do.
        expected: String,
    },
    /// The run directory is not absent or empty.
    #[error("`{path}` {problem}; expected a directory that is absent or empty")]
    Occupied {
        /// The directory asked for.
        path: PathBuf,
        /// What is there.
        problem: &'static str,
    },
    /// There is no run to go on with.
    #[error("`{path}` holds no run: it has no ledger.jsonl")]
    NoRun {
        /// The directory.
        path: PathBuf,
    },
    /// Another process writes the run.
    #[error("the run in `{path}` is still going on, in another process")]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// The run cannot go on from what its directory holds.
    #[error("the run in `{path}` cannot go on: {problem}")]
    Checkpoint {
        /// The directory.
        path: PathBuf,
        /// What is missing or wrong.
        problem: String,
    },
    /// A probe set cannot be used.
    #[error("probe set `{path}`{}: {problem}", of_line(*line))]
    ProbeSet {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 where it is the file itself.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A file of the run directory cannot be written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// `write` or `create`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// `, line 3`; nothing for the file itself.
fn of_line(line: usize) -> String {
    match line {
        0 => String::new(),
        line => format!(", line {line}"),
    }
}

impl RunError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            RunError::Strategy(error) => error.hint(),
            RunError::Model(error) => error.hint(),
            RunError::Train(error) => error.hint(),
            RunError::World(error) => error.hint(),
            RunError::Occupied { .. } => {
                Some("give another `--out`, or move what is there away".to_owned())
            }
            RunError::NoRun { .. } => {
                Some("give the directory that a run was written to (`--out`, or runs/N)".to_owned())
            }
            RunError::Busy { .. } => Some("wait until it ends, or end it".to_owned()),
            RunError::Checkpoint { .. } => Some(
                "begin a new run; `sc-host run --config DIR/config.toml` repeats this one"
                    .to_owned(),
            ),
            RunError::Io { .. } => Some(
                "check that the place exists, that you may write there and that it is not full"
                    .to_owned(),
            ),
            RunError::ProbeSet { .. } => Some(
                "a line is {\"image\": \"FILE.png\", \"statement\": \"…\", \"truth\": true}; `sc-host \
                 probe label RUN` makes such a file"
                    .to_owned(),
            ),
            RunError::Setting { .. } | RunError::Tensor(_) => None,
        }
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> RunError {
        let path = path.into();
        move |source| RunError::Io {
            action,
            path,
            source,
        }
    }
}
