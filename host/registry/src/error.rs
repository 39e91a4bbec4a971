//! Why a strategy cannot be shared, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use sc_core::text::printable;

use crate::digest::Digest;
use crate::lock::LOCK_FILE;
use crate::reference::{NoReference, Reference};

/// Most characters of a stranger's words in a message.
const MOST_SHOWN: usize = 200;

/// Most characters of what is wrong with a file.
const MOST_REASON: usize = 600;

/// A failure of this crate. Whatever a registry wrote stands in messages on one line, cut to a bearable
/// length.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text names no artifact.
    #[error(transparent)]
    Reference(#[from] NoReference),
    /// No connection, or none that answers.
    #[error("the registry {host} cannot be reached: {reason}")]
    Unreachable {
        /// The registry, or where it pointed to.
        host: String,
        /// Why.
        reason: String,
    },
    /// The artifact is not in the cache, and the network may not be used.
    #[error("`{reference}` is not in the cache, and `--offline` is given")]
    NotCached {
        /// The artifact.
        reference: Box<Reference>,
    },
    /// Nothing here says what a tag names, and the network may not be used.
    #[error("no entry of {LOCK_FILE} says what `{reference}` stands for, and `--offline` is given")]
    OfflineTag {
        /// The reference.
        reference: Box<Reference>,
    },
    /// Something that only the registry can do, and the network may not be used.
    #[error("the registry is needed for `{reference}`, and `--offline` is given")]
    Offline {
        /// The reference.
        reference: Box<Reference>,
    },
    /// The registry does not know this user, or does not let them.
    #[error("the registry {host} answers {status} for `{what}` {}", who(user.as_deref()))]
    Refused {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// Who asked.
        user: Option<String>,
    },
    /// Docker's configuration or a helper that it names does not give the credentials.
    #[error("the credentials for {host} cannot be had: {reason}")]
    Credentials {
        /// The registry.
        host: String,
        /// Why.
        reason: String,
    },
    /// There is no such repository, tag or digest.
    #[error("the registry has no `{what}`")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// Any other answer that is no success.
    #[error("the registry {host} answers {status} for `{what}`{}", said(words))]
    Status {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        words: String,
    },
    /// An answer that no registry gives.
    #[error("the answer for `{what}` cannot be used: {reason}")]
    Answer {
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry points to another host or scheme.
    #[error("the registry {from} points to {to} for `{what}`, which nobody has allowed")]
    Redirect {
        /// The registry.
        from: String,
        /// Scheme and host of where it points to.
        to: String,
        /// The host, as it can be allowed; none where no say-so helps, since encryption would end.
        host: Option<String>,
        /// What was asked for.
        what: String,
    },
    /// Nobody whom this machine trusts says that the registry is who it says.
    #[error("{host} shows no certificate that is trusted: {reason}")]
    Certificate {
        /// The registry.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry speaks plain HTTP, or points to where it is spoken.
    #[error("{host} speaks no TLS: {reason}")]
    NoTls {
        /// The registry.
        host: String,
        /// What the connection came to.
        reason: String,
    },
    /// The bytes are not those that were asked for.
    #[error("`{what}` has the digest {found}; expected {expected}")]
    Digest {
        /// What was asked for.
        what: String,
        /// The digest of what came.
        found: Digest,
        /// The digest that it must have.
        expected: Digest,
    },
    /// More or fewer bytes than the manifest says.
    #[error("`{what}` has {found} bytes; its manifest says {expected}")]
    Size {
        /// The blob.
        what: String,
        /// How many there are, or so many at least.
        found: String,
        /// How many there should be.
        expected: u64,
    },
    /// The connection ended before all was there.
    #[error("the connection broke after {bytes} bytes of `{what}`: {reason}")]
    Cut {
        /// What was asked for.
        what: String,
        /// What had come.
        bytes: u64,
        /// Why.
        reason: String,
    },
    /// It is larger than anything of its kind may be.
    #[error("`{what}` has {bytes} bytes; at most {limit} are taken")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// Its size, or so many bytes at least.
        bytes: u64,
        /// The cap.
        limit: u64,
    },
    /// A list of manifests, where one manifest is expected.
    #[error("`{reference}` is a list of manifests ({media_type}); expected one manifest")]
    Index {
        /// What was asked for.
        reference: Box<Reference>,
        /// The media type of the list.
        media_type: String,
    },
    /// A manifest of something that is no strategy.
    #[error("`{reference}` is no strategy: {reason}")]
    NoStrategy {
        /// What was asked for.
        reference: Box<Reference>,
        /// What is wrong.
        reason: String,
    },
    /// What a tag names now is not what the lock file says.
    #[error("the tag of `{reference}` has moved: `{}` says {locked}, the registry has {found}", lock.display())]
    Moved {
        /// The reference, without a digest.
        reference: Box<Reference>,
        /// The lock file.
        lock: PathBuf,
        /// The digest there.
        locked: Digest,
        /// The digest that the registry answers.
        found: Digest,
    },
    /// An update would go back to an older version.
    #[error("`{reference}` is version {found} now, older than {locked} in `{}`", lock.display())]
    Older {
        /// The reference.
        reference: Box<Reference>,
        /// The lock file.
        lock: PathBuf,
        /// The version there.
        locked: String,
        /// The version that the registry has.
        found: String,
    },
    /// The lock file has no such entry.
    #[error("`{}` has no entry for `{reference}`", lock.display())]
    NotLocked {
        /// The reference.
        reference: Box<Reference>,
        /// The lock file.
        lock: PathBuf,
    },
    /// The policy does not let it run.
    #[error("`{reference}` may not run: {reason}")]
    NotTrusted {
        /// The reference, with its digest.
        reference: Box<Reference>,
        /// Why.
        reason: String,
    },
    /// No signature of the key that was asked for.
    #[error("no signature of `{reference}` is good: {reason}")]
    NotSigned {
        /// The reference, with its digest.
        reference: Box<Reference>,
        /// What was found instead.
        reason: String,
    },
    /// A key file that cannot be used.
    #[error("the key `{}` cannot be used: {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The password does not open the key.
    #[error("the password does not open the key `{}`", path.display())]
    Password {
        /// The file.
        path: PathBuf,
    },
    /// A file of settings that cannot be used.
    #[error("`{}` cannot be used: {reason}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with field and value.
        reason: String,
    },
    /// A file that cannot be read or written.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

fn who(user: Option<&str>) -> String {
    match user {
        Some(user) => format!("with the credentials of `{user}`"),
        None => "without credentials".to_owned(),
    }
}

fn said(words: &str) -> String {
    if words.is_empty() {
        String::new()
    } else {
        format!(": {words}")
    }
}

/// The start of what a stranger wrote, on one line.
pub(crate) fn shown(text: &str) -> String {
    printable(text, MOST_SHOWN)
}

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Error::Reference(_) => {
                "for example `ghcr.io/team/curriculum:1`, or with `@sha256:…` at its end".into()
            }
            Error::Unreachable { .. } => {
                "check the name and the connection; what was pulled before runs with `--offline`".into()
            }
            Error::NotCached { .. } => "leave `--offline` out once to fetch it".into(),
            Error::OfflineTag { reference } => format!(
                "`sc-host strategy add {reference}` makes one; what is named by its digest needs none"
            ),
            Error::Offline { .. } => "leave `--offline` out".into(),
            Error::Refused { host, user, .. } => match user {
                Some(_) => format!(
                    "the password may be wrong, or another account be let in: `docker login {host}` asks anew"
                ),
                None => format!("`docker login {host}` leaves credentials where they are looked for"),
            },
            Error::Credentials { host, .. } => format!(
                "`docker login {host}` writes them anew; DOCKER_CONFIG names the folder of config.json"
            ),
            Error::NotFound { .. } => {
                "check the name and tag; a private repository may be hidden from who has no credentials"
                    .into()
            }
            Error::Status { .. } => "try again later, or ask who runs the registry".into(),
            Error::Answer { .. } => {
                "the name must be of a registry that speaks the OCI distribution protocol".into()
            }
            Error::Redirect { host: Some(host), .. } => {
                format!("if the registry keeps its files there, say so: `--allow-redirect {host}`")
            }
            Error::Redirect { host: None, .. } => {
                "nothing is fetched without encryption that was asked for with it".into()
            }
            Error::Certificate { .. } => {
                "somebody may stand between; an authority of your own goes to the file that SSL_CERT_FILE names"
                    .into()
            }
            Error::NoTls { host, .. } => {
                format!("for a private network of your own say so: `--plain-http {host}`")
            }
            Error::Digest { .. } | Error::Size { .. } => {
                "what came is thrown away: somebody has changed it, or the registry is damaged".into()
            }
            Error::Cut { .. } => "what came is thrown away: try again".into(),
            Error::TooLarge { .. } | Error::Index { .. } | Error::NoStrategy { .. } => {
                "a strategy is one manifest with one layer, as `sc-host strategy push` or `wkg oci push` \
                 makes it"
                    .into()
            }
            Error::Moved {
                reference, found, ..
            } => format!(
                "`sc-host strategy inspect oci:{}` looks at the new one; `sc-host strategy update \
                 {reference}` takes it",
                reference.repository().at(*found)
            ),
            Error::Older { .. } => {
                "`--allow-downgrade` takes it all the same; an attacker might want the older one back"
                    .into()
            }
            Error::NotLocked { reference, .. } => {
                format!("`sc-host strategy add {reference}` makes one")
            }
            Error::NotTrusted { reference, .. } => format!(
                "review it (docs/strategies/review.md); then name its signer's key in the trust policy, or \
                 give `--allow-unsigned {}`",
                allowance(reference)
            ),
            Error::NotSigned { reference, .. } => format!(
                "the signer's public key may be another; who vouches for it signs it: `sc-host strategy \
                 sign {} --key KEY`",
                allowance(reference)
            ),
            Error::Key { .. } => "`sc-host strategy keygen` makes a pair".into(),
            Error::Password { .. } => {
                "COSIGN_PASSWORD gives the password; without it, it is asked for".into()
            }
            Error::Settings { path, .. } if path.ends_with(LOCK_FILE) => {
                "take it from version control, or remove it and `sc-host strategy add` its names again"
                    .into()
            }
            Error::Settings { .. } => {
                "docs/strategies/share.md shows what may stand there".into()
            }
            Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "make room; `sc-host strategy prune` removes what was not used lately".into()
            }
            Error::Io { .. } => "check that the path is right and that you may use it".into(),
        }
    }

    /// Whether the registry is out of reach for now, so that what is in the cache must do.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::Cut { .. } => true,
            Error::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn answer(what: impl ToString, reason: impl ToString) -> Error {
        Error::Answer {
            what: what.to_string(),
            reason: shown(&reason.to_string()),
        }
    }

    pub(crate) fn settings(path: &Path, reason: impl ToString) -> Error {
        Error::Settings {
            path: path.to_owned(),
            reason: printable(&reason.to_string(), MOST_REASON),
        }
    }

    pub(crate) fn key(path: &Path, reason: impl ToString) -> Error {
        Error::Key {
            path: path.to_owned(),
            reason: printable(&reason.to_string(), MOST_REASON),
        }
    }
}

/// What `--allow-unsigned` takes for an artifact.
fn allowance(reference: &Reference) -> String {
    match reference.digest() {
        Some(digest) => reference.repository().at(digest).to_string(),
        None => reference.to_string(),
    }
}
