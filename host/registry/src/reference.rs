//! The names of artifacts: `HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`.
//!
//! The grammar is that of the distribution specification (opencontainers/distribution-spec, "Pulling
//! manifests"; distribution/reference for hosts), with two differences. The host must be
//! written: a strategy whose registry is guessed could be somebody else's. And the only digest is SHA-256.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;

/// The tag that a reference without one has.
const LATEST: &str = "latest";
/// Longest repository, in bytes.
const MOST_REPOSITORY: usize = 255;
/// Longest tag, in bytes.
const MOST_TAG: usize = 128;
/// Longest host with its port, in bytes.
const MOST_HOST: usize = 260;

/// A repository of a registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    host: String,
    name: String,
}

impl Repository {
    /// The registry's host, with its port where one is written.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The name in the registry, such as `team/curriculum`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The last part of its name.
    pub fn last(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// This repository's artifact of that digest.
    pub fn at(&self, digest: Digest) -> Reference {
        Reference {
            repository: self.clone(),
            tag: None,
            digest: Some(digest),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.name)
    }
}

/// What names an artifact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    repository: Repository,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Where it lies.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Its tag, if it is named by one: `latest` where nothing is said.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of its manifest, if it is named by it.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same with the digest of its manifest.
    pub fn pinned(&self, digest: Digest) -> Reference {
        Reference {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// The same by its tag alone, as a lock file names it; a reference by digest alone stays.
    pub fn unpinned(&self) -> Reference {
        Reference {
            digest: self.digest.filter(|_| self.tag.is_none()),
            ..self.clone()
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = self.tag() {
            write!(f, ":{tag}")?;
        }
        match self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// Why a text names no artifact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` names no artifact of a registry: {reason}")]
pub struct NoReference {
    /// What was given.
    pub given: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl FromStr for Reference {
    type Err = NoReference;

    fn from_str(text: &str) -> Result<Reference, NoReference> {
        let wrong = |reason| NoReference {
            given: sc_core::text::printable(text, 300),
            reason,
        };
        if text.contains("://") || text.starts_with('/') {
            return Err(wrong(
                "it is a name and no address: leave what stands before the host out",
            ));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse().map_err(|_| {
                    wrong("after `@` stands sha256: and 64 hexadecimal digits in small letters")
                })?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        let (host, rest) = name
            .split_once('/')
            .ok_or_else(|| wrong("it has no registry before a `/`"))?;
        if !is_host(host) {
            return Err(wrong(
                "it does not begin with a registry's host, which has a dot or a port, or is localhost",
            ));
        }
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if path.len() > MOST_REPOSITORY || !path.split('/').all(is_component) {
            return Err(wrong(
                "a repository has parts of small letters and digits, with single `.`, `_`, `__` or \
                 dashes between them",
            ));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong(
                "a tag has up to 128 letters, digits, `_`, `.` and `-`, and does not begin with a dot or dash",
            ));
        }
        Ok(Reference {
            repository: Repository {
                host: plain_host(host),
                name: path.to_owned(),
            },
            tag: tag
                .or(digest.is_none().then_some(LATEST))
                .map(str::to_owned),
            digest,
        })
    }
}

/// A host in small letters, and Docker's hub by the one of its names that its users write.
fn plain_host(host: &str) -> String {
    match host.to_ascii_lowercase() {
        hub if hub == "index.docker.io" || hub == "registry-1.docker.io" => "docker.io".to_owned(),
        host => host,
    }
}

/// Whether `text` is a host with a port or without, and not the first part of a repository.
pub fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        // An IPv6 address is written between brackets.
        Some(rest) => match rest.split_once(']') {
            Some((host, rest)) if host.parse::<std::net::Ipv6Addr>().is_ok() => {
                let port = rest.strip_prefix(':');
                if port.is_none() && !rest.is_empty() {
                    return false;
                }
                return port.is_none_or(is_port);
            }
            _ => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_name = text.len() <= MOST_HOST && host.split('.').all(label);
    let is_no_folder = host.contains('.') || port.is_some() || host == "localhost";
    is_name && is_no_folder && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_component(text: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends_well = bytes.first().is_some_and(is_word) && bytes.last().is_some_and(is_word);
    let between = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends_well
        && between
            .filter(|separator| !separator.is_empty())
            .all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|byte| byte == b'-'))
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=MOST_TAG).contains(&text.len())
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reference, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str, Option<&str>, bool)>) {
        let read = text.parse::<Reference>();
        let found = read.as_ref().ok().map(|reference| {
            let repository = reference.repository();
            let (host, name) = (repository.host(), repository.name());
            (host, name, reference.tag(), reference.digest().is_some())
        });
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn the_parts_of_a_reference() {
        check(
            "ghcr.io/team/x",
            Some(("ghcr.io", "team/x", Some("latest"), false)),
        );
        check("localhost/x:1", Some(("localhost", "x", Some("1"), false)));
        check(
            "localhost:5000/a/b/c:v1.2-3_4",
            Some(("localhost:5000", "a/b/c", Some("v1.2-3_4"), false)),
        );
        check(
            "index.docker.io/team/x:1",
            Some(("docker.io", "team/x", Some("1"), false)),
        );
        check("GHCR.io/x", Some(("ghcr.io", "x", Some("latest"), false)));
        check(
            "127.0.0.1:80/a__b.c--d",
            Some(("127.0.0.1:80", "a__b.c--d", Some("latest"), false)),
        );
        check(
            "[::1]:5000/x:1",
            Some(("[::1]:5000", "x", Some("1"), false)),
        );
        check(
            &format!("a.b/x@sha256:{HEX}"),
            Some(("a.b", "x", None, true)),
        );
        check(
            &format!("a.b/x:1@sha256:{HEX}"),
            Some(("a.b", "x", Some("1"), true)),
        );
    }

    #[test]
    fn what_could_lead_elsewhere_is_no_reference() {
        for text in [
            "",
            "/",
            "x",
            "x:1",
            "team/x:1",
            "ghcr.io",
            "ghcr.io/",
            "ghcr.io//x",
            "ghcr.io/X",
            "ghcr.io/../x",
            "ghcr.io/a/../x",
            "ghcr.io/./x",
            "ghcr.io/x:",
            "ghcr.io/x:.a",
            "ghcr.io/x:-a",
            "ghcr.io/x:a/b",
            "ghcr.io/x:a:b",
            "ghcr.io/x@",
            "ghcr.io/x@sha256:12",
            "user@ghcr.io/x",
            "ghcr.io:0/x",
            "ghcr.io:65536/x",
            "ghcr.io:+80/x",
            "-a.b/x",
            "a..b/x",
            "ghcr.io/x%2f..",
            "ghcr.io/x?y",
            "ghcr.io/x#y",
            "https://ghcr.io/x",
            "ghcr.io/x\n",
            "ghcr.io/x:日本",
            "ghcr.io/a..b",
            "ghcr.io/a___b",
            "ghcr.io/a._b",
            "[::g]/x",
            "[::1]x/y",
        ] {
            check(text, None);
        }
        check(&format!("ghcr.io/{}", "a".repeat(256)), None);
        check(&format!("ghcr.io/x:{}", "a".repeat(129)), None);
        check(&format!("ghcr.io/x@sha256:{}", HEX.to_uppercase()), None);
    }

    #[test]
    fn pinning_and_back() {
        let reference: Reference = "a.b/x".parse().expect("a reference");
        let digest = Digest::of(b"");
        let pinned = reference.pinned(digest);
        assert_eq!(pinned.to_string(), format!("a.b/x:latest@{digest}"));
        assert_eq!(pinned.unpinned().to_string(), "a.b/x:latest");
        let bare = reference.repository().at(digest);
        assert_eq!(bare.unpinned(), bare);
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_and_read_alike(text in "[a-z.]{1,6}(:[0-9]{1,5})?/[a-z0-9._/-]{1,20}(:[A-Za-z0-9._-]{1,5})?") {
            if let Ok(reference) = text.parse::<Reference>() {
                let again: Reference = reference.to_string().parse().expect("what is written");
                prop_assert_eq!(again.to_string(), reference.to_string());
                let name = reference.repository().name();
                prop_assert!(!name.contains("..") && !name.starts_with('/') && !name.contains("//"));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = text.parse::<Reference>();
        }
    }
}
