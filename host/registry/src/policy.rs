//! Whom a team trusts: which keys may have signed which strategies, and what registries may do. One file,
//! `trust.toml`, kept with the team's other files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::client::Redirect;
use crate::digest::Digest;
use crate::error::Error;
use crate::keys::PublicKey;
use crate::reference::{Reference, Repository, is_host};
use crate::signature::{Flaw, Signature};

/// The name of the file where nothing else is said.
pub const TRUST_FILE: &str = "trust.toml";
/// Most keys of a rule, and most names of all rules.
const MOST_KEYS: usize = 64;
const MOST_NAMES: usize = 1000;
/// Most bytes of the file.
const MOST_TRUST: u64 = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    #[serde(default)]
    strategies: Vec<RuleEntry>,
    #[serde(default)]
    registries: Vec<RegistryEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    names: Vec<String>,
    keys: Vec<PathBuf>,
    signed_as: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistryEntry {
    host: String,
    redirects: Vec<String>,
}

/// Which keys may have signed the strategies of a name.
#[derive(Clone, Debug)]
struct Rule {
    name: Pattern,
    keys: Arc<[(PathBuf, PublicKey)]>,
    /// What the signature is for, where it is another name: that of the original of a mirror.
    signed_as: Option<Pattern>,
}

impl Rule {
    /// The name that a signature of `name`, which the rule matches, must be for.
    fn signed_name(&self, name: &str) -> String {
        match (&self.name, &self.signed_as) {
            (Pattern::Below(here), Some(Pattern::Below(there))) => {
                format!(
                    "{there}{}",
                    name.strip_prefix(here.as_str()).unwrap_or_default()
                )
            }
            (_, Some(Pattern::One(there))) => there.clone(),
            _ => name.to_owned(),
        }
    }
}

/// `HOST/REPOSITORY`, or all below: `HOST/PART/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    One(String),
    /// With the final `/`.
    Below(String),
}

impl Pattern {
    fn read(text: &str) -> Option<Pattern> {
        let is_repository = |text: &str| {
            let read: Result<Reference, _> = text.parse();
            read.is_ok_and(|read| read.repository().to_string() == text)
        };
        match text.strip_suffix("/*") {
            Some(above) => (is_host(above) || is_repository(above))
                .then(|| Pattern::Below(format!("{above}/").to_ascii_lowercase())),
            None => is_repository(text).then(|| Pattern::One(text.to_owned())),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::One(one) => one == name,
            Pattern::Below(above) => name.starts_with(above.as_str()),
        }
    }

    /// How much of a name it says: of two that match, the one that says more.
    fn precision(&self) -> (usize, bool) {
        match self {
            Pattern::One(one) => (one.len(), true),
            Pattern::Below(above) => (above.len(), false),
        }
    }
}

/// A trust policy.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The file; none where there is none.
    path: Option<PathBuf>,
    rules: Vec<Rule>,
    redirects: Vec<Redirect>,
}

/// On whose word a strategy runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A key of this digest, which the policy names for it, has signed it.
    Signed(Digest),
    /// `--allow-unsigned` names it and its digest.
    AllowedUnsigned,
}

impl Trust {
    /// In a word, as the ledger keeps it.
    pub fn name(self) -> &'static str {
        match self {
            Trust::Signed(_) => "signed",
            Trust::AllowedUnsigned => "allowed-unsigned",
        }
    }

    /// The digest of the key.
    pub fn key(self) -> Option<Digest> {
        match self {
            Trust::Signed(key) => Some(key),
            Trust::AllowedUnsigned => None,
        }
    }
}

/// What a strategy's signatures come to under a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Signed by a key that the policy names for it.
    Signed {
        /// The file of the key.
        file: PathBuf,
        /// The digest of the key.
        key: Digest,
    },
    /// No signature counts.
    NotSigned {
        /// Why, in a clause.
        reason: String,
    },
}

impl Policy {
    /// The policy in a file.
    ///
    /// # Errors
    /// When it, or a key that it names, cannot be read, or two of its rules are for the same name.
    pub fn read(path: &Path) -> Result<Policy, Error> {
        let metadata = fs::metadata(path).map_err(Error::io("read", path))?;
        if !metadata.is_file() || metadata.len() > MOST_TRUST {
            let reason = format!("expected a file of at most {MOST_TRUST} bytes");
            return Err(Error::settings(path, reason));
        }
        let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
        let contents: Contents = toml::from_str(&text)
            .map_err(|error| Error::settings(path, error.to_string().trim_end()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut policy = Policy {
            path: Some(path.to_owned()),
            ..Policy::default()
        };
        for entry in contents.strategies {
            policy.add(path, folder, entry)?;
        }
        for entry in contents.registries {
            let all = entry.redirects.iter().chain([&entry.host]);
            let wrong = all.map(String::as_str).find(|host| !is_host(host));
            if let Some(host) = wrong {
                let reason =
                    format!("`{host}` is no host; expected such as `ghcr.io` or `localhost:5000`");
                return Err(Error::settings(path, reason));
            }
            policy
                .redirects
                .extend(entry.redirects.iter().map(|to| Redirect {
                    from: Some(entry.host.to_ascii_lowercase()),
                    to: to.to_ascii_lowercase(),
                }));
        }
        Ok(policy)
    }

    /// The policy in `trust.toml` of a folder; none where there is no such file.
    ///
    /// # Errors
    /// As [`Policy::read`].
    pub fn of_folder(folder: &Path) -> Result<Policy, Error> {
        let path = folder.join(TRUST_FILE);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Policy::default()),
            _ => Policy::read(&path),
        }
    }

    fn add(&mut self, path: &Path, folder: &Path, entry: RuleEntry) -> Result<(), Error> {
        let too_many = |what: &str, n: usize, most: usize| {
            let reason =
                format!("a rule of `strategies` has {n} `{what}`; expected at most {most}");
            Error::settings(path, reason)
        };
        if entry.keys.len() > MOST_KEYS {
            return Err(too_many("keys", entry.keys.len(), MOST_KEYS));
        }
        if self.rules.len() + entry.names.len() > MOST_NAMES {
            return Err(too_many("names", entry.names.len(), MOST_NAMES));
        }
        let mut keys = Vec::new();
        for file in entry.keys {
            let file = folder.join(file);
            let key = PublicKey::read(&file).map_err(|error| {
                Error::settings(path, format!("`keys` has `{}`: {error}", file.display()))
            })?;
            keys.push((file, key));
        }
        if keys.is_empty() || entry.names.is_empty() {
            let reason =
                "a rule of `strategies` has no `names` or no `keys`; expected one of each at least";
            return Err(Error::settings(path, reason));
        }
        let signed_as = entry.signed_as.as_deref().map(|name| {
            Pattern::read(name).ok_or_else(|| {
                let reason = format!(
                    "`signed_as` is `{name}`; expected a repository such as `ghcr.io/team/x`, or `ghcr.io/team/*`"
                );
                Error::settings(path, reason)
            })
        });
        let signed_as = signed_as.transpose()?;
        if matches!(signed_as, Some(Pattern::One(_))) && entry.names.len() > 1 {
            let reason =
                "`signed_as` is one name, and `names` are several; expected a rule for each";
            return Err(Error::settings(path, reason));
        }
        let keys: Arc<[_]> = keys.into();
        for name in entry.names {
            let Some(pattern) = Pattern::read(&name) else {
                let reason = format!(
                    "`names` has `{name}`; expected a repository such as `ghcr.io/team/x`, or `ghcr.io/team/*`"
                );
                return Err(Error::settings(path, reason));
            };
            let is_all = |pattern: &Pattern| matches!(pattern, Pattern::Below(_));
            if let Some(signed_as) = &signed_as
                && is_all(signed_as) != is_all(&pattern)
            {
                let reason = format!(
                    "`names` has `{name}`, and `signed_as` is another kind of name; expected `/*` at the end of \
                     both or of neither"
                );
                return Err(Error::settings(path, reason));
            }
            if self.rules.iter().any(|rule| rule.name == pattern) {
                return Err(Error::settings(path, format!("`names` has `{name}` twice")));
            }
            self.rules.push(Rule {
                name: pattern,
                keys: Arc::clone(&keys),
                signed_as: signed_as.clone(),
            });
        }
        Ok(())
    }

    /// The file that it is from; none where there is none.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether it names keys for a repository.
    pub fn covers(&self, repository: &Repository) -> bool {
        let name = repository.to_string();
        self.rules.iter().any(|rule| rule.name.matches(&name))
    }

    /// Where the policy lets registries point to.
    pub fn redirects(&self) -> &[Redirect] {
        &self.redirects
    }

    /// What the signatures of an artifact come to. Of the rules that match its name, the most precise
    /// decides alone.
    pub fn standing(
        &self,
        repository: &Repository,
        digest: Digest,
        signatures: &[Signature],
    ) -> Standing {
        let name = repository.to_string();
        let rules = self.rules.iter().filter(|rule| rule.name.matches(&name));
        let not_signed = |reason: String| Standing::NotSigned { reason };
        let Some(rule) = rules.max_by_key(|rule| rule.name.precision()) else {
            let signed = match signatures.len() {
                0 => "it is not signed",
                _ => "its signer is unknown",
            };
            return not_signed(match &self.path {
                Some(path) => format!("{signed}, and `{}` names no key for it", path.display()),
                None => format!("{signed}, and there is no trust policy ({TRUST_FILE})"),
            });
        };
        let name = rule.signed_name(&name);
        let keys: Vec<&PublicKey> = rule.keys.iter().map(|(_, key)| key).collect();
        match checked(&keys, digest, &name, signatures) {
            Ok(at) => Standing::Signed {
                file: rule.keys[at].0.clone(),
                key: rule.keys[at].1.id(),
            },
            Err(reason) => not_signed(reason),
        }
    }
}

/// Which of `keys` has signed the artifact.
///
/// # Errors
/// Says in a clause why no signature counts.
pub fn checked(
    keys: &[&PublicKey],
    digest: Digest,
    name: &str,
    signatures: &[Signature],
) -> Result<usize, String> {
    if signatures.is_empty() {
        return Err("it is not signed".into());
    }
    let mut flaw = Flaw::OtherKey;
    for signature in signatures {
        for (at, key) in keys.iter().enumerate() {
            match signature.check(key, digest, name) {
                Ok(()) => return Ok(at),
                Err(Flaw::OtherKey) => {}
                Err(other) => flaw = other,
            }
        }
    }
    Err(match flaw {
        Flaw::OtherKey => format!(
            "none of its signatures ({}) is of the right key",
            signatures.len()
        ),
        Flaw::OtherDigest(digest) => format!("its signature is of another digest, {digest}"),
        Flaw::OtherName(name) => format!("its signature is for another name, `{name}`"),
        Flaw::Payload(reason) => format!("what its signature signs does not read: {reason}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_whole_parts() {
        let matches = |pattern: &str, name: &str| {
            Pattern::read(pattern).is_some_and(|pattern| pattern.matches(name))
        };
        assert!(matches("ghcr.io/team/x", "ghcr.io/team/x"));
        assert!(matches("ghcr.io/team/*", "ghcr.io/team/x"));
        assert!(matches("ghcr.io/team/*", "ghcr.io/team/a/b"));
        assert!(matches("ghcr.io/*", "ghcr.io/team/x"));
        assert!(matches("localhost:5000/*", "localhost:5000/x"));
        for (pattern, name) in [
            ("ghcr.io/team/x", "ghcr.io/team/xy"),
            ("ghcr.io/team/*", "ghcr.io/team"),
            ("ghcr.io/team/*", "ghcr.io/teams/x"),
            ("ghcr.io/*", "ghcr.io.evil.example/x"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        for unusable in [
            "*",
            "*/x",
            "ghcr.io/t*",
            "ghcr.io/**",
            "ghcr.io",
            "team/*",
            "",
            "ghcr.io/x:1",
            "/*",
        ] {
            assert_eq!(Pattern::read(unusable), None, "{unusable}");
        }
    }

    #[test]
    fn a_mirror_has_the_signatures_of_its_original() {
        let rule = |name: &str, signed_as: Option<&str>| Rule {
            name: Pattern::read(name).expect("a pattern"),
            keys: Arc::new([]),
            signed_as: signed_as.and_then(Pattern::read),
        };
        let below = rule("mirror.example/team/*", Some("ghcr.io/team/*"));
        assert_eq!(
            below.signed_name("mirror.example/team/a/b"),
            "ghcr.io/team/a/b"
        );
        let one = rule("mirror.example/x", Some("ghcr.io/team/x"));
        assert_eq!(one.signed_name("mirror.example/x"), "ghcr.io/team/x");
        let own = rule("ghcr.io/team/*", None);
        assert_eq!(own.signed_name("ghcr.io/team/x"), "ghcr.io/team/x");
    }

    proptest! {
        #[test]
        fn a_file_of_any_text_is_read_or_refused(text in "(\\[\\[strategies\\]\\]\n)?(names|keys|x) = \\[?\"?[a-z./*]{0,9}\"?\\]?\n\\PC{0,20}") {
            let file = tempfile::NamedTempFile::new().expect("a file");
            fs::write(file.path(), text).expect("written");
            let _ = Policy::read(file.path());
        }
    }
}
