//! A folder that appears whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The file that marks a folder as one that this program has not finished.
const UNFINISHED: &str = ".unfinished";

/// A folder under way: its files lie beside its place until all are there.
pub(crate) struct NewFolder {
    out: PathBuf,
    partial: PathBuf,
    published: bool,
}

impl NewFolder {
    /// Begins the folder `out`, which must be absent or empty, on a disk that must have room for
    /// `bytes`.
    pub(crate) fn begin(out: &Path, bytes: u64) -> Result<NewFolder> {
        // Without a slash or a dot at the end.
        let out: PathBuf = out.components().collect();
        let refused = |problem| Error::OutputFolder {
            path: out.clone(),
            problem,
        };
        let Some(name) = out.file_name() else {
            return Err(refused("ends in no name"));
        };
        let mut partial_name = name.to_owned();
        partial_name.push(".partial");
        let partial = out.with_file_name(partial_name);
        if out.is_symlink() {
            return Err(refused("is a link"));
        }
        if out.exists() {
            if !out.is_dir() {
                return Err(refused("is a file"));
            }
            let mut entries = fs::read_dir(&out).map_err(Error::io("read", &out))?;
            if entries.next().is_some() {
                return Err(refused("is not empty"));
            }
        }
        check_room(&out, bytes)?;
        let mark = partial.join(UNFINISHED);
        if partial.exists() && !mark.exists() {
            return Err(Error::OutputFolder {
                path: partial,
                problem: "is there, where the files would be until all are written, and may be somebody's",
            });
        }
        remove_if_there(&partial)?;
        fs::create_dir_all(&partial).map_err(Error::io("write", &partial))?;
        fs::write(&mark, "").map_err(Error::io("write", &mark))?;
        Ok(NewFolder {
            out,
            partial,
            published: false,
        })
    }

    /// The path of a file that is written.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.partial.join(name)
    }

    /// Writes files, whose names are added to `written`.
    pub(crate) fn write_all<C: AsRef<[u8]>>(
        &self,
        files: &[(&'static str, C)],
        written: &mut Vec<String>,
    ) -> Result<()> {
        for (name, content) in files {
            let path = self.path(name);
            fs::write(&path, content).map_err(Error::io("write", path))?;
            written.push((*name).to_owned());
        }
        Ok(())
    }

    /// Puts the folder into its place.
    pub(crate) fn publish(mut self) -> Result<()> {
        let mark = self.path(UNFINISHED);
        fs::remove_file(&mark).map_err(Error::io("write", mark))?;
        if self.out.exists() {
            // Empty, or it is not removed. Not every system renames onto it.
            fs::remove_dir(&self.out).map_err(Error::io("write", &self.out))?;
        }
        fs::rename(&self.partial, &self.out).map_err(Error::io("write", &self.out))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.published && remove_if_there(&self.partial).is_err() {
            tracing::warn!(folder = %self.partial.display(), "an unfinished model stays behind");
        }
    }
}

pub(crate) fn remove_if_there(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("write", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Refuses a place whose disk has less room than `bytes`, where the system says what it has.
fn check_room(place: &Path, bytes: u64) -> Result<()> {
    let ancestors = place.ancestors().map(|folder| match folder {
        here if here.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    });
    match ancestors.into_iter().find_map(free_bytes) {
        Some(free) if free < bytes => Err(Error::NoRoom {
            path: place.to_owned(),
            needed: bytes,
            free,
        }),
        _ => Ok(()),
    }
}

/// Bytes that this user may still write to the disk that a folder is on; none where the folder is
/// not there or the system does not say.
#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(folder).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of what is in a folder.
    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.map(|e| e.file_name());
        let names = entries.map(|entry| name(entry).expect("an entry"));
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn what_is_not_published_leaves_nothing() {
        let place = tempfile::tempdir().expect("a folder");
        let out = place.path().join("model");
        let folder = NewFolder::begin(&out, 1).expect("begins");
        fs::write(folder.path("a"), b"a").expect("is written");
        assert_eq!(names(place.path()), ["model.partial"]);
        drop(folder);
        assert!(names(place.path()).is_empty());
    }

    #[test]
    fn absent_and_empty_folders_are_filled_and_what_was_interrupted_is_replaced() {
        let place = tempfile::tempdir().expect("a folder");
        for (name, there) in [("a", false), ("b", true)] {
            let out = place.path().join(name);
            let left = place.path().join(format!("{name}.partial"));
            fs::create_dir(&left).expect("a folder");
            fs::write(left.join("old"), b"old").expect("is written");
            // Not ours, it stays.
            let error = NewFolder::begin(&out, 1).err().expect("is refused");
            assert!(error.to_string().contains(".partial` is there"), "{error}");
            fs::write(left.join(UNFINISHED), b"").expect("is written");
            if there {
                fs::create_dir(&out).expect("a folder");
            }
            let folder = NewFolder::begin(&out.join("."), 1).expect("begins");
            fs::write(folder.path("new"), b"new").expect("is written");
            folder.publish().expect("is published");
            assert_eq!(names(&out), ["new"]);
            assert!(!left.exists());
        }
    }

    #[test]
    fn what_is_taken_or_too_small_is_refused() {
        let place = tempfile::tempdir().expect("a folder");
        let file = place.path().join("file");
        fs::write(&file, b"x").expect("is written");
        for (out, problem) in [
            (place.path().to_owned(), "is not empty"),
            (file, "is a file"),
            (PathBuf::from("/"), "ends in no name"),
        ] {
            let error = NewFolder::begin(&out, 1).err().expect("is refused");
            assert!(error.to_string().contains(problem), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("new folder")));
        }
        if cfg!(unix) {
            let out = place.path().join("absent/too/large");
            let error = NewFolder::begin(&out, u64::MAX).err().expect("is refused");
            let message = error.to_string();
            assert!(message.contains("absent/too/large"), "{message}");
            assert!(message.contains("18446744073.7 GB"), "{message}");
        }
        assert_eq!(names(place.path()), ["file"]);
    }
}
