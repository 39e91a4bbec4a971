//! Strategies of registries: what `oci:REF` stands for, by the lock file and the registry, and on whose
//! word it may run.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sc_registry::{
    Access, Cache, Caps, Digest, Entry, Error, Lock, Policy, Pulled, Redirect, Reference,
    Registries, Standing, Trust, is_host,
};
use sc_run::ledger::Admission;
use sc_strategy::{Limits, Runtime, StrategyRequest, StrategySet, Supplied};
use serde::Serialize;

use crate::args::RegistryArguments;
use crate::failure::Mistake;
use crate::terminal::say;
use crate::watch;

/// How the source of a strategy begins that comes from a registry.
pub const PREFIX: &str = "oci:";

/// Names the PEM file with the authorities that alone are trusted, as it does for other programs.
const CERTIFICATES: &str = "SSL_CERT_FILE";

/// Registries with the cache before them, and the files that say what and whom to trust.
pub struct Sharing {
    pub registries: Registries,
    pub policy: Policy,
    pub lock: Lock,
}

impl Sharing {
    /// What the arguments and the files in `folder` say.
    pub fn open(
        arguments: &RegistryArguments,
        folder: &Path,
        limits: &Limits,
    ) -> anyhow::Result<Sharing> {
        let policy = match &arguments.trust {
            Some(file) => Policy::read(file)?,
            None => Policy::of_folder(folder)?,
        };
        for (option, hosts) in [
            ("--plain-http", &arguments.plain_http),
            ("--allow-redirect", &arguments.allow_redirect),
        ] {
            if let Some(host) = hosts.iter().find(|host| !is_host(host)) {
                return Err(Mistake::error(
                    format!(
                        "`{option}` is `{host}`; expected a host, with its port where it has one"
                    ),
                    "for example `registry.example.org` or `10.0.0.7:5000`",
                ));
            }
        }
        let mut access = Access {
            redirects: policy.redirects().to_vec(),
            ..Access::default()
        };
        access.plain_http.extend(
            arguments
                .plain_http
                .iter()
                .map(|host| host.to_ascii_lowercase()),
        );
        access
            .redirects
            .extend(arguments.allow_redirect.iter().map(|host| Redirect {
                from: None,
                to: host.to_ascii_lowercase(),
            }));
        access.certificates = env::var_os(CERTIFICATES)
            .filter(|file: &OsString| !file.is_empty())
            .map(PathBuf::from);
        let caps = Caps {
            component_bytes: limits.component_bytes,
            script_bytes: limits.script_bytes,
        };
        Ok(Sharing {
            registries: Registries::new(Cache::of_user()?, access, caps, arguments.offline),
            policy,
            lock: Lock::read(folder)?,
        })
    }

    /// The same for commands that are not about a configuration: the files are looked for here.
    pub fn here(arguments: &RegistryArguments, limits: &Limits) -> anyhow::Result<Sharing> {
        Sharing::open(arguments, Path::new(""), limits)
    }

    /// The digest that a reference stands for: its own, that in the lock file, or that which its tag names
    /// now. A tag that names another than the lock file says is an error.
    pub fn digest(&self, reference: &Reference) -> Result<Digest, Error> {
        if reference.digest().is_some() {
            return self.registries.resolve(reference);
        }
        let Some(entry) = self.lock.get(reference) else {
            return self.registries.resolve(reference);
        };
        if self.registries.is_offline() {
            return Ok(entry.digest);
        }
        match self.registries.resolve(reference) {
            Ok(found) if found == entry.digest => {}
            Ok(found) => {
                return Err(Error::Moved {
                    reference: Box::new(entry.r#ref.clone()),
                    lock: self.lock.path().to_owned(),
                    locked: entry.digest,
                    found,
                });
            }
            Err(error @ Error::NotFound { .. }) => say(&format!(
                "{error} any more: `{}` still says what it was",
                self.lock.path().display()
            )),
            Err(error) if error.is_passing() => say(&format!(
                "{error}: taking what `{}` says",
                self.lock.path().display()
            )),
            Err(error) => return Err(error),
        }
        Ok(entry.digest)
    }

    /// The strategy that a reference stands for.
    pub fn pull(&self, reference: &Reference) -> Result<Pulled, Error> {
        self.pull_at(reference, self.digest(reference)?)
    }

    /// The strategy of that digest, with a bar while it comes.
    pub fn pull_at(&self, reference: &Reference, digest: Digest) -> Result<Pulled, Error> {
        let bar = watch::bytes_bar(reference.repository().last(), 0);
        let pulled = self.registries.pull(reference, digest, &mut |come, all| {
            bar.set_length(all);
            bar.set_position(come);
        });
        bar.finish_and_clear();
        pulled
    }

    /// What the signatures of an artifact come to under the policy.
    pub fn standing(&self, reference: &Reference, digest: Digest) -> Result<Standing, Error> {
        let repository = reference.repository();
        let judge = |signatures: &[_]| self.policy.standing(repository, digest, signatures);
        let is_good = |signatures: &[_]| matches!(judge(signatures), Standing::Signed { .. });
        let signatures = self.registries.signatures(reference, digest, is_good)?;
        Ok(judge(&signatures))
    }

    /// The same to be told, where it is no reason to stop: why the signatures cannot be looked at, too.
    pub fn signature(&self, pulled: &Pulled) -> Signed {
        Signed::from(
            self.standing(&pulled.reference, pulled.digest)
                .unwrap_or_else(|error| Standing::NotSigned {
                    reason: format!("its signatures cannot be had: {error}"),
                }),
        )
    }

    /// On whose word a strategy may run; `allowed` are the artifacts that need no signature.
    ///
    /// # Errors
    /// When it may not.
    fn trust(&self, pulled: &Pulled, allowed: &[Reference]) -> Result<Trust, Error> {
        let artifact = pulled.reference.repository().at(pulled.digest);
        match self.standing(&pulled.reference, pulled.digest) {
            Ok(Standing::Signed { key, .. }) => Ok(Trust::Signed(key)),
            _ if allowed.contains(&artifact) => Ok(Trust::AllowedUnsigned),
            Ok(Standing::NotSigned { reason }) => Err(Error::NotTrusted {
                reference: Box::new(pulled.reference.clone()),
                reason,
            }),
            Err(error) => Err(error),
        }
    }
}

/// The reference of a source, if it is one of a registry.
///
/// # Errors
/// When it is one that does not read, or one without [`PREFIX`].
pub fn reference(source: &str) -> anyhow::Result<Option<Reference>> {
    if let Some(text) = source.strip_prefix(PREFIX) {
        return Ok(Some(text.parse().map_err(Error::from)?));
    }
    let is_file = [".wasm", ".rhai"]
        .iter()
        .any(|ending| source.ends_with(ending));
    if !is_file && !Path::new(source).exists() && source.parse::<Reference>().is_ok() {
        return Err(Mistake::error(
            format!(
                "strategy `{source}` is no file; expected `{PREFIX}{source}` for one of a registry"
            ),
            format!("PATH.wasm, PATH.rhai and builtin:NAME have no `{PREFIX}`"),
        ));
    }
    Ok(None)
}

/// The reference that a command is about; the prefix of sources may stand before it.
pub fn typed_reference(text: &str) -> Result<Reference, Error> {
    Ok(text.strip_prefix(PREFIX).unwrap_or(text).parse()?)
}

/// The artifacts, without their tags, that `--allow-unsigned` names.
fn allowances(given: &[String]) -> anyhow::Result<Vec<Reference>> {
    let read = |text: &String| {
        let reference = typed_reference(text)?;
        let digest = reference.digest().ok_or_else(|| {
            Mistake::error(
                format!("`--allow-unsigned` is `{text}`; expected the digest too, as REF@sha256:…"),
                "only what was reviewed is allowed; `sc-host strategy pull REF` says its digest",
            )
        })?;
        Ok(reference.repository().at(digest))
    };
    given.iter().map(read).collect()
}

/// Gives the sandbox the bytes of a strategy that is here; the source that they go by from now on.
pub fn supply(runtime: &mut Runtime, pulled: &Pulled) -> String {
    let source = format!("{PREFIX}{}", pulled.reference);
    let repository = pulled.reference.repository();
    runtime.supply(
        &source,
        Supplied {
            file_name: format!("{}.{}", repository.last(), pulled.kind.extension()),
            bytes: pulled.bytes.clone(),
        },
    );
    source
}

/// Gives the sandbox what `source` stands for, if it is of a registry, to look at it: who has signed it
/// makes no difference. The source that it goes by from now on, and what it is.
pub fn for_review(
    source: &str,
    arguments: &RegistryArguments,
    runtime: &mut Runtime,
) -> anyhow::Result<(String, Option<Reviewed>)> {
    let Some(reference) = reference(source)? else {
        return Ok((source.to_owned(), None));
    };
    let sharing = Sharing::here(arguments, runtime.limits())?;
    let pulled = sharing.pull(&reference)?;
    let reviewed = Reviewed {
        artifact: pulled.reference.clone(),
        signature: sharing.signature(&pulled),
    };
    Ok((supply(runtime, &pulled), Some(reviewed)))
}

/// As [`for_review`], and says which artifact it is.
pub fn told_for_review(
    source: &str,
    arguments: &RegistryArguments,
    runtime: &mut Runtime,
) -> anyhow::Result<String> {
    let (source, reviewed) = for_review(source, arguments, runtime)?;
    if let Some(reviewed) = reviewed {
        say(&format!("{}: {}", reviewed.artifact, reviewed.signature));
    }
    Ok(source)
}

/// An artifact that is looked at.
#[derive(Serialize)]
pub struct Reviewed {
    /// Its name with its digest.
    pub artifact: Reference,
    /// Whether it is signed.
    pub signature: Signed,
}

/// What signatures come to, as it is printed.
#[derive(Clone, Serialize)]
pub struct Signed {
    /// Whether a trusted key has signed.
    pub trusted: bool,
    /// The file of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The digest of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
    /// Why no signature counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl From<Standing> for Signed {
    fn from(standing: Standing) -> Signed {
        match standing {
            Standing::Signed { file, key } => Signed {
                trusted: true,
                file: Some(file),
                key: Some(key),
                reason: None,
            },
            Standing::NotSigned { reason } => Signed {
                trusted: false,
                file: None,
                key: None,
                reason: Some(reason),
            },
        }
    }
}

impl std::fmt::Display for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.file, &self.key) {
            (Some(file), Some(key)) => write!(f, "signed by {}, key {key}", file.display()),
            _ => write!(
                f,
                "NOT TRUSTED: {}",
                self.reason.as_deref().unwrap_or_default()
            ),
        }
    }
}

/// The strategies of registries that a run has taken.
#[derive(Default)]
pub struct Taken {
    lock: Option<Lock>,
    /// Names that the lock file does not have yet, with the sources that they have become.
    new: Vec<(Reference, Digest, String)>,
    /// On whose word they run.
    pub admissions: Vec<Admission>,
    /// The trust policy that let them.
    pub trust: Option<PathBuf>,
}

impl Taken {
    /// Gives the sandbox the strategies of registries that a run asks for, and names them in the request
    /// with their digests. Nothing is written.
    ///
    /// # Errors
    /// When one cannot be had, its tag has moved, or it may not run.
    pub fn take(
        request: &mut StrategyRequest,
        runtime: &mut Runtime,
        arguments: &RegistryArguments,
        folder: &Path,
        allowed: &[String],
    ) -> anyhow::Result<Taken> {
        let allowed = allowances(allowed)?;
        let mut useless = allowed.clone();
        let references: Vec<Option<Reference>> = request
            .strategies
            .iter()
            .map(|one| reference(&one.source))
            .collect::<Result<_, _>>()?;
        if references.iter().all(Option::is_none) {
            return Ok(Taken::default());
        }
        let sharing = Sharing::open(arguments, folder, runtime.limits())?;
        let mut taken = Taken {
            trust: sharing.policy.path().map(Path::to_owned),
            ..Taken::default()
        };
        for (requested, reference) in request.strategies.iter_mut().zip(references) {
            let Some(reference) = reference else {
                continue;
            };
            let pulled = sharing.pull(&reference)?;
            let trust = sharing.trust(&pulled, &allowed)?;
            useless.retain(|artifact| *artifact != pulled.reference.repository().at(pulled.digest));
            requested.source = supply(runtime, &pulled);
            if taken
                .admissions
                .iter()
                .any(|one| one.source == requested.source)
            {
                continue;
            }
            say(&match trust {
                Trust::Signed(key) => format!("{}: signed by key {key}", pulled.reference),
                Trust::AllowedUnsigned => {
                    format!("{}: UNSIGNED, and allowed by its digest", pulled.reference)
                }
            });
            taken.admissions.push(Admission {
                source: requested.source.clone(),
                artifact: pulled.reference.to_string(),
                trust: trust.name(),
                key: trust.key().map(|key| key.to_string()),
            });
            if reference.digest().is_none() && sharing.lock.get(&reference).is_none() {
                taken
                    .new
                    .push((reference, pulled.digest, requested.source.clone()));
            }
        }
        for artifact in useless {
            say(&format!(
                "`--allow-unsigned {artifact}` is about no strategy of this run"
            ));
        }
        taken.lock = Some(sharing.lock);
        Ok(taken)
    }

    /// Notes in the lock file what names stand for that it does not have yet.
    pub fn pin(&mut self, strategies: &StrategySet) -> Result<(), Error> {
        let Some(lock) = &mut self.lock else {
            return Ok(());
        };
        let identities = strategies.identities();
        let version = |source: &str| {
            let who = identities.iter().find(|(_, who)| who.source == source);
            who.map(|(_, who)| who.version.clone()).unwrap_or_default()
        };
        let new: Vec<Entry> = self
            .new
            .drain(..)
            .map(|(reference, digest, source)| Entry {
                r#ref: reference,
                digest,
                version: version(&source),
            })
            .collect();
        lock.set(&new)?;
        for entry in new {
            say(&format!(
                "`{}` has {} as {} {} from now on",
                lock.path().display(),
                entry.r#ref,
                entry.version,
                entry.digest
            ));
        }
        Ok(())
    }
}
