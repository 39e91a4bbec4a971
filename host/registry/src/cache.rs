//! What was pulled, kept from run to run: files named by the digest of their content, in one folder for
//! all registries.
//!
//! What is read is hashed each time, so that a damaged or changed file is never taken for what it was. What
//! is written appears whole or not at all, so that several processes can share the folder. Signatures lie
//! beside it, by the artifact that they are said to sign; they are checked against keys whenever they are
//! used.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use etcetera::BaseStrategy as _;
use tempfile::NamedTempFile;

use crate::digest::Digest;
use crate::error::Error;
use crate::reference::Reference;

/// Where content lies, by its own digest.
const CONTENT: &str = "sha256";
/// Where the names lie under which artifacts have come, by their digests.
const NAMES: &str = "names";
/// Where signatures lie, by the digest of the name of what they sign.
const SIGNATURES: &str = "signatures";
/// Most bytes of such a name.
const MOST_NAME: u64 = 1 << 10;
/// How names of files in the making begin.
const UNFINISHED: &str = ".new-";
/// A use is noted in a file's time only when the last one is this far back.
const USE_NOTED_AFTER: Duration = Duration::from_secs(3600);
/// Files in the making that are older have been left by a process that was killed.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A cache of artifacts.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// What was removed, and what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pruned {
    /// Files that were removed.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Files that are left.
    pub kept: u64,
    /// Their bytes.
    pub kept_bytes: u64,
}

impl Cache {
    /// `$XDG_CACHE_HOME/sc-host/strategies`, or what stands for it on this system.
    ///
    /// # Errors
    /// When the user has no home.
    pub fn of_user() -> Result<Cache, Error> {
        let base = etcetera::choose_base_strategy().map_err(|error| Error::Io {
            action: "find the folder for",
            path: PathBuf::from("the cache"),
            source: io::Error::other(error),
        })?;
        Ok(Cache::at(
            base.cache_dir().join("sc-host").join("strategies"),
        ))
    }

    /// The cache in `folder`.
    pub fn at(folder: PathBuf) -> Cache {
        Cache { folder }
    }

    /// Content of that digest, if it is here whole; what is damaged is removed.
    pub(crate) fn read(&self, digest: Digest, limit: u64) -> Option<Vec<u8>> {
        let file = self.content(digest);
        let bytes = read(&file, limit)?;
        if Digest::of(&bytes) != digest {
            // What cannot be removed is not read all the same.
            let _ = fs::remove_file(&file);
            return None;
        }
        note_use(&file);
        Some(bytes)
    }

    /// Keeps content of that digest.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub(crate) fn keep(&self, digest: Digest, bytes: &[u8]) -> Result<(), Error> {
        self.put(CONTENT, &self.content(digest), bytes)
    }

    /// Whether an artifact has come from the registry that its name says.
    pub(crate) fn has_come_as(&self, artifact: &Reference) -> bool {
        let (file, name) = (self.name_file(artifact), artifact.to_string());
        let is_it = read(&file, MOST_NAME).is_some_and(|found| found == name.as_bytes());
        if is_it {
            note_use(&file);
        }
        is_it
    }

    /// Notes that an artifact has come from the registry that its name says.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub(crate) fn note_name(&self, artifact: &Reference) -> Result<(), Error> {
        self.put(
            NAMES,
            &self.name_file(artifact),
            artifact.to_string().as_bytes(),
        )
    }

    /// What was last kept of the signatures of an artifact; not checked in any way.
    pub(crate) fn signatures(&self, of: &Reference, limit: u64) -> Option<Vec<u8>> {
        let file = self.signature_file(of);
        let bytes = read(&file, limit)?;
        note_use(&file);
        Some(bytes)
    }

    /// Keeps the signatures of an artifact, in the place of those before.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub(crate) fn keep_signatures(&self, of: &Reference, bytes: &[u8]) -> Result<(), Error> {
        self.put(SIGNATURES, &self.signature_file(of), bytes)
    }

    fn put(&self, folder: &str, file: &Path, bytes: &[u8]) -> Result<(), Error> {
        let mut new = unfinished(&self.folder.join(folder))?;
        new.write_all(bytes)
            .map_err(Error::io("write", new.path()))?;
        finish(new, file)
    }

    /// Removes what was not used for as long as `unused`, and what killed processes have left.
    ///
    /// # Errors
    /// When the cache cannot be read, or a file cannot be removed.
    pub fn prune(&self, unused: Duration) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        for folder in [CONTENT, NAMES, SIGNATURES].map(|name| self.folder.join(name)) {
            // What is no folder of the cache's own is left alone, wherever it leads.
            if fs::symlink_metadata(&folder).is_ok_and(|found| !found.is_dir()) {
                continue;
            }
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("read", &folder)(error)),
            };
            for entry in entries {
                let path = entry.map_err(Error::io("read", &folder))?.path();
                // Another process may have removed it by now.
                let Ok(metadata) = fs::symlink_metadata(&path) else {
                    continue;
                };
                let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                    continue;
                };
                let in_the_making = name.starts_with(UNFINISHED);
                let stem = name.strip_suffix(".json").unwrap_or(name);
                let is_hex = stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
                if metadata.is_dir() || !(in_the_making || is_hex) {
                    continue;
                }
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                let age = used.elapsed().unwrap_or_default();
                let goes = match in_the_making {
                    true => age >= ABANDONED_AFTER,
                    false => age >= unused,
                };
                if !goes {
                    pruned.kept += 1;
                    pruned.kept_bytes += metadata.len();
                    continue;
                }
                match fs::remove_file(&path) {
                    Ok(()) => {
                        pruned.removed += 1;
                        pruned.removed_bytes += metadata.len();
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(Error::io("remove", &path)(error)),
                }
            }
        }
        Ok(pruned)
    }

    /// The folder of the cache.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn content(&self, digest: Digest) -> PathBuf {
        self.folder.join(CONTENT).join(digest.hex())
    }

    fn name_file(&self, of: &Reference) -> PathBuf {
        let name = Digest::of(of.to_string().as_bytes()).hex();
        self.folder.join(NAMES).join(name)
    }

    fn signature_file(&self, of: &Reference) -> PathBuf {
        let name = Digest::of(of.to_string().as_bytes()).hex();
        self.folder.join(SIGNATURES).join(format!("{name}.json"))
    }
}

/// A regular file of at most `limit` bytes. (Opening a pipe would wait for its other end.)
fn read(file: &Path, limit: u64) -> Option<Vec<u8>> {
    let metadata = fs::symlink_metadata(file).ok()?;
    if !metadata.is_file() || metadata.len() > limit {
        return None;
    }
    fs::read(file).ok()
}

fn unfinished(folder: &Path) -> Result<NamedTempFile, Error> {
    fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
    tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(folder)
        .map_err(Error::io("write to", folder))
}

fn finish(new: NamedTempFile, file: &Path) -> Result<(), Error> {
    new.persist(file)
        .map(drop)
        .map_err(|error| Error::io("write", file)(error.error))
}

/// Gives a file that is used the present time, for [`Cache::prune`].
fn note_use(file: &Path) {
    let noted = || -> io::Result<()> {
        let file = fs::File::options().append(true).open(file)?;
        let age = file.metadata()?.modified()?.elapsed();
        if age.is_ok_and(|age| age >= USE_NOTED_AFTER) {
            file.set_modified(SystemTime::now())?;
        }
        Ok(())
    };
    // A cache that cannot be written is used all the same.
    let _ = noted();
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const LIMIT: u64 = 1000;

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("deep/cache"));
        (folder, cache)
    }

    #[test]
    fn what_is_changed_cut_or_moved_is_not_read() {
        let (_folder, cache) = cache();
        let (bytes, digest) = (b"a strategy".as_slice(), Digest::of(b"a strategy"));
        assert_eq!(cache.read(digest, LIMIT), None);
        cache.keep(digest, bytes).unwrap();
        assert_eq!(cache.read(digest, LIMIT).as_deref(), Some(bytes));
        assert_eq!(cache.read(digest, 3), None);
        for damaged in ["a strategY", "a strateg", "", "a strategy "] {
            fs::write(cache.content(digest), damaged).unwrap();
            assert_eq!(cache.read(digest, LIMIT), None, "{damaged}");
            assert!(!cache.content(digest).exists(), "{damaged}");
        }
        cache.keep(digest, bytes).unwrap();
        let other = Digest::of(b"another");
        fs::rename(cache.content(digest), cache.content(other)).unwrap();
        assert_eq!(cache.read(other, LIMIT), None);
    }

    #[test]
    fn many_at_once_write_and_read_the_same() {
        let (_folder, cache) = cache();
        let bytes = vec![7; 900];
        let digest = Digest::of(&bytes);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        cache.keep(digest, &bytes).unwrap();
                        assert_eq!(cache.read(digest, LIMIT).as_ref(), Some(&bytes));
                    }
                });
            }
        });
    }

    #[test]
    fn what_was_not_used_for_long_goes() {
        let (_folder, cache) = cache();
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        cache.keep(old, b"old").unwrap();
        cache.keep(new, b"new").unwrap();
        let name: Reference = "a.b/x:1".parse().unwrap();
        cache.keep_signatures(&name, b"[]").unwrap();
        let hours_ago = |file: &Path, hours: u64| {
            let file = fs::File::options().append(true).open(file).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600))
                .unwrap();
        };
        let abandoned = cache.folder.join(CONTENT).join(".new-a");
        fs::write(&abandoned, "x").unwrap();
        hours_ago(&abandoned, 25);
        fs::write(cache.folder.join(CONTENT).join(".new-b"), "x").unwrap();
        for file in [cache.content(old), cache.content(new)] {
            hours_ago(&file, 3);
        }
        // Reading it is a use.
        assert!(cache.read(new, LIMIT).is_some());
        let pruned = cache.prune(Duration::from_secs(2 * 3600)).unwrap();
        assert_eq!((pruned.removed, pruned.kept), (2, 3));
        assert!(cache.read(old, LIMIT).is_none() && cache.read(new, LIMIT).is_some());
        let pruned = cache.prune(Duration::ZERO).unwrap();
        assert_eq!((pruned.removed, pruned.kept), (2, 1));
    }
}
