use std::path::PathBuf;

use thiserror::Error;

/// What can go wrong while pretraining.
#[derive(Debug, Error)]
pub enum PretrainError {
    /// The model failed, or its checkpoint could not be read or written.
    #[error(transparent)]
    Model(#[from] sc_model::Error),
    /// The optimizer failed, or the loss is no number any more.
    #[error(transparent)]
    Train(#[from] sc_train::TrainError),
    /// A tensor operation failed.
    #[error("a tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// A file or folder could not be read or written.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The place of the result is taken.
    #[error("`{}` is not empty; expected a folder that is absent or empty", path.display())]
    Occupied {
        /// The place.
        path: PathBuf,
    },
    /// Another process is at work on it.
    #[error("`{}` is in use by another pretraining", path.display())]
    Busy {
        /// The folder of the stages.
        path: PathBuf,
    },
    /// What is half done there was begun otherwise.
    #[error("`{}` holds the stages of another pretraining: its `{field}` differs", path.display())]
    OtherPretraining {
        /// The folder of the stages.
        path: PathBuf,
        /// What differs.
        field: &'static str,
    },
    /// The record of what is half done cannot be read.
    #[error("`{}` is damaged: {reason}", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl PretrainError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            PretrainError::Model(error) => error.hint(),
            PretrainError::Train(error) => error.hint(),
            PretrainError::Occupied { .. } => Some("name another folder with `--out`".to_owned()),
            PretrainError::Busy { .. } => {
                Some("wait until it is done, or name another folder with `--out`".to_owned())
            }
            PretrainError::OtherPretraining { path, .. } | PretrainError::Damaged { path, .. } => {
                let folder = if path.is_dir() {
                    path.as_path()
                } else {
                    path.parent().unwrap_or(path)
                };
                Some(format!(
                    "repeat the command that began it, name another `--out`, or remove `{}`",
                    folder.display()
                ))
            }
            PretrainError::Tensor(_) | PretrainError::Io { .. } => None,
        }
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> PretrainError {
        let path = path.into();
        move |source| PretrainError::Io {
            action,
            path,
            source,
        }
    }
}
