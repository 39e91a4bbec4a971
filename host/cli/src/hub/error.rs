//! Why a model of the hub cannot be had, and what to do about it.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::model_reference::HubReference;

/// Why a model of the hub cannot be had. What a server wrote stands in messages cut to a bearable length;
/// whoever prints them escapes what a terminal would obey.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The hub has no such model, or not for this user.
    #[error("{endpoint} has no model `{repository}`, or none that may be seen {}", by(*token))]
    NoRepository {
        endpoint: String,
        repository: String,
        /// Whether a token was sent.
        token: bool,
    },
    /// The model has no such revision.
    #[error("`{}` has no revision `{}`", reference.repository(), reference.revision())]
    NoRevision { reference: HubReference },
    /// The model is given to those alone who accepted its licence.
    #[error("`{repository}` is gated: the hub answers {status} {}", by(*token))]
    Gated {
        repository: String,
        /// Where the licence is accepted.
        page: String,
        status: u16,
        token: bool,
    },
    /// The hub does not let this user have it.
    #[error("the hub answers {status} for `{what}` {}", by(*token))]
    Refused {
        what: String,
        status: u16,
        token: bool,
    },
    /// Any other answer that is no success.
    #[error("{host} answers {status} for `{what}`")]
    Status {
        host: String,
        what: String,
        status: u16,
    },
    /// No connection, or none that answers.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    /// The connection broke in the middle of a file, more often than it is tried again.
    #[error("the connection broke after {bytes} of {total} bytes of `{file}`: {reason}")]
    Cut {
        file: String,
        bytes: u64,
        total: u64,
        reason: String,
    },
    /// An answer that the hub does not give.
    #[error("the answer for `{what}` cannot be used: {reason}")]
    Answer { what: String, reason: String },
    /// What was asked for is not in the cache, and the network may not be used.
    #[error("`{reference}` is not whole in `{}`, and {variable} is set", cache.display())]
    Offline {
        reference: HubReference,
        cache: PathBuf,
        variable: &'static str,
    },
    /// The repository holds something else.
    #[error("`{reference}` is no checkpoint of the Janus family: it has no {missing}")]
    NotJanus {
        reference: HubReference,
        missing: String,
    },
    /// An index names what is no file beside it.
    #[error("`{index}` names the file `{name}`; expected plain file names in the same folder")]
    UnsafeName { index: String, name: String },
    /// A file of settings is larger than any such file is.
    #[error("`{file}` has {bytes} bytes; expected at most {limit}")]
    TooLarge {
        file: String,
        bytes: u64,
        limit: u64,
    },
    /// What came is not what the hub announced.
    #[error("`{file}` has the SHA-256 {found}; the hub announced {expected}")]
    Digest {
        file: String,
        expected: String,
        found: String,
    },
    /// An environment variable cannot be used. Its value is shown only where it is no secret.
    #[error("{variable} is {value}; expected {expected}")]
    Setting {
        variable: &'static str,
        value: String,
        expected: &'static str,
    },
    /// The cache cannot be read or written.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// Who asked.
fn by(token: bool) -> &'static str {
    if token {
        "with the token given"
    } else {
        "without a token"
    }
}

impl HubError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            HubError::NoRepository {
                repository, token, ..
            } => format!(
                "check the name; {}; a folder of that path is not here either, and would be \
                 `./{repository}`",
                if *token {
                    "the owner of the token in HF_TOKEN must be let in"
                } else {
                    "for a private model set HF_TOKEN"
                }
            ),
            HubError::NoRevision { reference } => format!(
                "`{}` alone takes its main branch",
                reference.repository()
            ),
            HubError::Gated { page, token, .. } => format!(
                "accept the licence at {page}, then {}",
                if *token {
                    "use a token of the same account that may read gated models"
                } else {
                    "set HF_TOKEN to a token of the same account"
                }
            ),
            HubError::Refused { .. } => {
                "set HF_TOKEN to a token that may read this model, or put it where `hf auth login` does"
                    .into()
            }
            HubError::Status { .. } => {
                "try again later; HF_ENDPOINT names the server that is asked".into()
            }
            HubError::Unreachable { .. } => {
                "check the connection and HF_ENDPOINT; HF_HUB_OFFLINE=1 takes what is in the cache".into()
            }
            HubError::Cut { .. } => {
                "what has come is kept: the same command goes on from there".into()
            }
            HubError::Answer { .. } => {
                "HF_ENDPOINT must name the Hugging Face Hub or a mirror of it".into()
            }
            HubError::Offline { variable, .. } => {
                format!("unset {variable} to download it, or name a folder")
            }
            HubError::NotJanus { .. } => {
                "a checkpoint has config.json, tokenizer.json and model.safetensors (or its shards with \
                 model.safetensors.index.json) at the top of its repository"
                    .into()
            }
            HubError::UnsafeName { .. } | HubError::TooLarge { .. } => {
                "the repository is damaged or hostile: use another".into()
            }
            HubError::Digest { .. } => {
                "what came is thrown away: the same command downloads it anew".into()
            }
            HubError::Setting { variable, .. } => format!("set {variable} to such a value or unset it"),
            HubError::Io { source, .. } if source.kind() == ErrorKind::StorageFull => {
                "make room, or name a cache on another disk with HF_HUB_CACHE; what has come is kept".into()
            }
            HubError::Io { .. } => {
                "the cache is where HF_HUB_CACHE or HF_HOME says; check that you may use it".into()
            }
        }
    }

    /// Whether the hub is out of reach for now, so that what is in the cache must do.
    pub fn is_passing(&self) -> bool {
        match self {
            HubError::Unreachable { .. } => true,
            HubError::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }

    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> HubError {
        let path = path.into();
        move |source| HubError::Io {
            action,
            path,
            source,
        }
    }

    pub(super) fn answer(what: &str, reason: impl Into<String>) -> HubError {
        HubError::Answer {
            what: what.to_owned(),
            reason: reason.into(),
        }
    }
}
