//! A repository in the cache that all of the hub's tools share: `blobs` holds files by their ETag,
//! `snapshots` a folder a commit with links to them, `refs` the commit that a branch or tag was when it
//! was last asked for, `.no_exist` what a commit does not have.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::error::HubError;
use super::files::{self, Weights};
use crate::model_reference::{HubReference, is_commit};
use crate::terminal::say;

/// One repository's part of the cache.
pub struct Store {
    repository: CacheRepo,
    root: PathBuf,
    locks: PathBuf,
    revision: String,
}

/// The repository as the hub's own crate names it.
pub fn repository(reference: &HubReference) -> Repo {
    Repo::with_revision(
        reference.repository().to_owned(),
        RepoType::Model,
        reference.revision().to_owned(),
    )
}

impl Store {
    pub fn new(cache: &Cache, reference: &HubReference) -> Store {
        let repository = repository(reference);
        let folder = repository.folder_name();
        Store {
            root: cache.path().join(&folder),
            locks: cache.path().join(".locks").join(folder),
            revision: repository.revision().to_owned(),
            repository: cache.repo(repository),
        }
    }

    /// The folder of a commit's files.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.repository.pointer_path(commit)
    }

    /// The commit that the revision was when it was last downloaded.
    pub fn last_commit(&self) -> Option<String> {
        let text = fs::read_to_string(self.root.join("refs").join(&self.revision)).ok()?;
        Some(text.trim().to_owned()).filter(|text| is_commit(text))
    }

    /// Notes what commit the revision is.
    pub fn note_commit(&self, commit: &str) -> Result<(), HubError> {
        if self.last_commit().as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.root.join("refs").join(&self.revision);
        self.repository
            .create_ref(commit)
            .map_err(HubError::io("write", path))
    }

    /// Whether the snapshot holds all that a checkpoint must have, with one form of weights.
    pub fn is_usable(&self, commit: &str) -> bool {
        let snapshot = self.snapshot(commit);
        let has = |file: &str| snapshot.join(file).is_file();
        let whole = |weights: &Weights| match weights {
            Weights::Whole(file) => has(file),
            Weights::Shards(index) => {
                has(index)
                    && files::shards(&snapshot.join(index))
                        .is_ok_and(|shards| shards.iter().all(|shard| has(shard)))
            }
        };
        files::REQUIRED.iter().all(|file| has(file)) && files::WEIGHTS.iter().any(whole)
    }

    /// Whether it holds all that the commit has for a checkpoint. Another tool may have fetched a part, so
    /// that what is not there must be known not to exist.
    pub fn is_whole(&self, commit: &str) -> bool {
        let snapshot = self.snapshot(commit);
        let known = |file: &str| {
            snapshot.join(file).is_file() || self.no_exist(commit).join(file).is_file()
        };
        files::OPTIONAL.iter().all(|file| known(file)) && self.is_usable(commit)
    }

    /// Notes what the commit does not have. It saves a question another time, so that nothing is lost if
    /// it cannot be written.
    pub fn note_absent(&self, commit: &str, file: &str) {
        let folder = self.no_exist(commit);
        let _ = fs::create_dir_all(&folder).and_then(|()| File::create(folder.join(file)));
    }

    fn no_exist(&self, commit: &str) -> PathBuf {
        self.root.join(".no_exist").join(commit)
    }

    /// Where the file of an ETag lies.
    pub fn blob(&self, etag: &str) -> PathBuf {
        self.repository.blob_path(etag)
    }

    /// Keeps other processes, also those of the hub's other tools, from downloading the same file at the
    /// same time, until the returned file is dropped.
    pub fn lock(&self, etag: &str) -> Result<File, HubError> {
        fs::create_dir_all(&self.locks).map_err(HubError::io("write", &self.locks))?;
        let path = self.locks.join(format!("{etag}.lock"));
        let lock = File::create(&path).map_err(HubError::io("write", &path))?;
        let outcome = match lock.try_lock() {
            Ok(()) => Ok(()),
            Err(fs::TryLockError::WouldBlock) => {
                say("another program is downloading the same file; waiting for it");
                lock.lock()
            }
            Err(fs::TryLockError::Error(error)) => Err(error),
        };
        match outcome {
            // Some network file systems have no locks.
            Err(error) if error.kind() != ErrorKind::Unsupported => {
                Err(HubError::io("lock", path)(error))
            }
            _ => Ok(lock),
        }
    }

    /// Makes the file of an ETag a file of the commit's snapshot.
    pub fn link(&self, commit: &str, file: &str, etag: &str) -> Result<(), HubError> {
        let snapshot = self.snapshot(commit);
        let path = snapshot.join(file);
        fs::create_dir_all(&snapshot).map_err(HubError::io("write", &snapshot))?;
        match link(etag, &self.blob(etag), &path) {
            // A link that leads nowhere, or what another process has just made.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::remove_file(&path).and_then(|()| link(etag, &self.blob(etag), &path))
            }
            outcome => outcome,
        }
        .map_err(HubError::io("write", path))
    }
}

/// A link that holds wherever the cache is moved to.
#[cfg(unix)]
fn link(etag: &str, _: &Path, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(Path::new("../../blobs").join(etag), path)
}

/// Symbolic links need a privilege elsewhere.
#[cfg(not(unix))]
fn link(_: &str, blob: &Path, path: &Path) -> std::io::Result<()> {
    fs::hard_link(blob, path)
}
