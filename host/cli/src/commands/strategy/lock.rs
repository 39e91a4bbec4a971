//! `sc-host strategy add`, `update`, `remove` and `prune`: what names of registries stand for, and the cache.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use sc_registry::{Cache, Digest, Entry, Error, Lock, Pulled, Reference};
use sc_strategy::{Limits, Runtime};
use semver::Version;
use serde::Serialize;

use crate::args::{AddArguments, PruneArguments, RemoveArguments, UpdateArguments};
use crate::failure::Mistake;
use crate::report;
use crate::sharing::{self, Sharing, Signed, typed_reference};

/// What a name stands for, and did before.
#[derive(Serialize)]
struct Change {
    r#ref: Reference,
    /// None where the name is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Locked>,
    now: Locked,
    signature: Signed,
}

#[derive(Clone, PartialEq, Eq, Serialize)]
struct Locked {
    digest: Digest,
    version: String,
}

impl Locked {
    fn of(entry: &Entry) -> Locked {
        Locked {
            digest: entry.digest,
            version: entry.version.clone(),
        }
    }
}

pub fn add(arguments: &AddArguments) -> anyhow::Result<ExitCode> {
    let reference = by_tag(&arguments.reference)?;
    let mut runtime = Runtime::new(Limits::default())?;
    let mut sharing = Sharing::here(&arguments.registry, runtime.limits())?;
    let before = sharing.lock.get(&reference).map(Locked::of);
    let pulled = sharing.pull(&reference)?;
    let change = change(&sharing, &mut runtime, reference, before, &pulled)?;
    if !arguments.unsigned {
        check_signature(&sharing, &change)?;
    }
    sharing.lock.set(&[entry(&change)])?;
    told(&sharing, &change, arguments.json)?;
    Ok(ExitCode::SUCCESS)
}

pub fn update(arguments: &UpdateArguments) -> anyhow::Result<ExitCode> {
    let mut runtime = Runtime::new(Limits::default())?;
    let mut sharing = Sharing::here(&arguments.registry, runtime.limits())?;
    let mut entries = Vec::new();
    for text in &arguments.references {
        let reference = by_tag(text)?;
        let found = sharing.lock.get(&reference).cloned();
        entries.push(found.ok_or_else(|| Error::NotLocked {
            reference: Box::new(reference),
            lock: sharing.lock.path().to_owned(),
        })?);
    }
    if arguments.references.is_empty() {
        entries = sharing.lock.entries().to_vec();
    }
    if entries.is_empty() {
        return Err(Mistake::error(
            format!("`{}` has no entry to update", sharing.lock.path().display()),
            "`sc-host strategy add REF` makes one",
        ));
    }
    // All or none: what is refused leaves the file as it is.
    let mut changes = Vec::new();
    for old in entries {
        let digest = sharing.registries.resolve(&old.r#ref)?;
        let pulled = sharing.pull_at(&old.r#ref, digest)?;
        let before = Some(Locked::of(&old));
        let change = change(&sharing, &mut runtime, old.r#ref, before, &pulled)?;
        if !arguments.allow_downgrade {
            check_version(&sharing, &change)?;
        }
        if !arguments.unsigned {
            check_signature(&sharing, &change)?;
        }
        changes.push(change);
    }
    let new: Vec<Entry> = changes.iter().map(entry).collect();
    sharing.lock.set(&new)?;
    for change in &changes {
        told(&sharing, change, arguments.json)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A reference that a lock file can have.
fn by_tag(text: &str) -> anyhow::Result<Reference> {
    let reference = typed_reference(text)?;
    if reference.digest().is_some() {
        return Err(Mistake::error(
            format!("`{reference}` has a digest; expected a tag alone"),
            "what has its digest needs no entry: it cannot change",
        ));
    }
    Ok(reference)
}

/// What a name stands for now, by what the strategy says of itself in the sandbox.
fn change(
    sharing: &Sharing,
    runtime: &mut Runtime,
    reference: Reference,
    before: Option<Locked>,
    pulled: &Pulled,
) -> anyhow::Result<Change> {
    let source = sharing::supply(runtime, pulled);
    let inspection = sc_strategy::inspect(&source, runtime)?;
    Ok(Change {
        r#ref: reference,
        before,
        now: Locked {
            digest: pulled.digest,
            version: inspection.version,
        },
        signature: sharing.signature(pulled),
    })
}

/// Refuses to go back to an older version, where both are such that one can tell.
fn check_version(sharing: &Sharing, change: &Change) -> Result<(), Error> {
    let Some(before) = &change.before else {
        return Ok(());
    };
    let version = |text: &str| Version::parse(text).ok();
    if let (Some(old), Some(new)) = (version(&before.version), version(&change.now.version))
        && new < old
    {
        return Err(Error::Older {
            reference: Box::new(change.r#ref.clone()),
            lock: sharing.lock.path().to_owned(),
            locked: before.version.clone(),
            found: change.now.version.clone(),
        });
    }
    Ok(())
}

/// Refuses what could not run: the policy names keys for it, and none of them has signed it.
fn check_signature(sharing: &Sharing, change: &Change) -> anyhow::Result<()> {
    let has_changed = change.before.as_ref() != Some(&change.now);
    if !has_changed || change.signature.trusted || !sharing.policy.covers(change.r#ref.repository())
    {
        return Ok(());
    }
    let reason = change.signature.reason.as_deref().unwrap_or_default();
    Err(Mistake::error(
        format!(
            "`{}` could not run: {reason}",
            change.r#ref.pinned(change.now.digest)
        ),
        "whom the trust policy names for it signs it first; `--unsigned` notes it all the same",
    ))
}

/// What is worth a look about a change, beside versions and digests.
fn remark(change: &Change) -> Option<&'static str> {
    let before = change.before.as_ref()?;
    let are_versions = [&before.version, &change.now.version]
        .iter()
        .all(|version| Version::parse(version).is_ok());
    if before.digest == change.now.digest {
        None
    } else if !are_versions {
        Some("nobody can tell which is newer: they have no versions such as 1.2.3")
    } else if before.version == change.now.version {
        Some("another content under the same version")
    } else {
        None
    }
}

fn entry(change: &Change) -> Entry {
    Entry {
        r#ref: change.r#ref.clone(),
        digest: change.now.digest,
        version: change.now.version.clone(),
    }
}

fn told(sharing: &Sharing, change: &Change, json: bool) -> anyhow::Result<()> {
    if json {
        return report::json_line(change);
    }
    let line = |locked: &Locked| format!("{} {}", locked.version, locked.digest);
    let lines = match &change.before {
        Some(before) if *before == change.now => format!("    unchanged  {}", line(before)),
        Some(before) => format!(
            "    before     {}\n    now        {}",
            line(before),
            line(&change.now)
        ),
        None => format!("    now        {}", line(&change.now)),
    };
    let remark = remark(change).map(|remark| format!("    remark     {remark}\n"));
    report::text(&format!(
        "{} in {}\n{lines}\n{}    signature  {}\n",
        change.r#ref,
        sharing.lock.path().display(),
        remark.unwrap_or_default(),
        change.signature
    ))
}

pub fn remove(arguments: &RemoveArguments) -> anyhow::Result<ExitCode> {
    let references = arguments
        .references
        .iter()
        .map(|text| typed_reference(text));
    let references: Vec<Reference> = references.collect::<Result<_, _>>()?;
    Lock::read(Path::new(""))?.remove(&references)?;
    Ok(ExitCode::SUCCESS)
}

pub fn prune(arguments: &PruneArguments) -> anyhow::Result<ExitCode> {
    let cache = Cache::of_user()?;
    let unused = Duration::from_secs(u64::from(arguments.unused) * 24 * 3600);
    let pruned = cache.prune(unused)?;
    if arguments.json {
        report::json_line(&pruned)?;
    } else {
        report::text(&format!(
            "{} files with {} bytes removed from {}; {} with {} bytes are left\n",
            pruned.removed,
            pruned.removed_bytes,
            cache.folder().display(),
            pruned.kept,
            pruned.kept_bytes
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
