//! `strategies.lock`: which artifact each strategy of a registry is, so that a run can be repeated and a
//! colleague's is the same.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sc_core::text::is_unseen;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::Error;
use crate::reference::Reference;

/// The name of the file.
pub const LOCK_FILE: &str = "strategies.lock";
const HEADER: &str = "# Which artifact each strategy is that a run names as `oci:REF`. Written by `sc-host`; keep it\n\
    # with your files. `sc-host strategy update` changes it.\n\n";
const VERSION: u32 = 1;
/// Most bytes of the file.
const MOST_LOCK: u64 = 1 << 20;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name: a reference with a tag.
    pub r#ref: Reference,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The version that the strategy says it has.
    pub version: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    #[serde(default, rename = "strategy")]
    strategies: Vec<Entry>,
}

/// A lock file, in memory.
#[derive(Clone, Debug)]
pub struct Lock {
    path: PathBuf,
    entries: Vec<Entry>,
}

impl Lock {
    /// The lock file of a folder; one that is not there has no entries.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(folder: &Path) -> Result<Lock, Error> {
        let path = folder.join(LOCK_FILE);
        let entries = entries(&path)?;
        Ok(Lock { path, entries })
    }

    /// Where it lies, or will lie.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All entries, by name.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What a name stands for.
    pub fn get(&self, reference: &Reference) -> Option<&Entry> {
        let name = reference.unpinned();
        self.entries.iter().find(|entry| entry.r#ref == name)
    }

    /// Removes names from the file.
    ///
    /// # Errors
    /// When it has one of them not, or cannot be written.
    pub fn remove(&mut self, names: &[Reference]) -> Result<(), Error> {
        self.change(|path, entries| {
            for name in names {
                let name = name.unpinned();
                let at = entries.iter().position(|entry| entry.r#ref == name);
                let at = at.ok_or_else(|| Error::NotLocked {
                    reference: Box::new(name),
                    lock: path.to_owned(),
                })?;
                entries.remove(at);
            }
            Ok(())
        })
    }

    /// Gives names what they stand for, in the file as it is by now: what another process has written of
    /// other names meanwhile stays.
    ///
    /// # Errors
    /// When the file cannot be written, or another process has given one of the names another digest since
    /// this was read.
    pub fn set(&mut self, new: &[Entry]) -> Result<(), Error> {
        if new.is_empty() {
            return Ok(());
        }
        let known = self.entries.clone();
        self.change(|path, entries| {
            for entry in new {
                let before = known.iter().find(|old| old.r#ref == entry.r#ref);
                match entries.iter_mut().find(|old| old.r#ref == entry.r#ref) {
                    Some(now) if Some(&*now) != before && *now != *entry => {
                        return Err(Error::Moved {
                            reference: Box::new(entry.r#ref.clone()),
                            lock: path.to_owned(),
                            locked: now.digest,
                            found: entry.digest,
                        });
                    }
                    Some(now) => *now = entry.clone(),
                    None => entries.push(entry.clone()),
                }
            }
            Ok(())
        })
    }

    /// Changes the file as it is by now, with other processes kept out.
    fn change(
        &mut self,
        change: impl FnOnce(&Path, &mut Vec<Entry>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // Where the file is a link, what it leads to is changed.
        let place = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = match place.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let _one_at_a_time = locked(&folder).map_err(Error::io("lock", &folder))?;
        let mut entries = entries(&self.path)?;
        change(&self.path, &mut entries)?;
        entries.sort_by(|a, b| a.r#ref.cmp(&b.r#ref));
        let contents = Contents {
            version: VERSION,
            strategies: entries,
        };
        let text =
            toml::to_string(&contents).map_err(|error| Error::settings(&self.path, error))?;
        let mut file = new_file(&folder).map_err(Error::io("write to", &folder))?;
        file.write_all(format!("{HEADER}{text}").as_bytes())
            .map_err(Error::io("write", &self.path))?;
        file.persist(place)
            .map_err(|error| Error::io("write", &self.path)(error.error))?;
        self.entries = contents.strategies;
        Ok(())
    }
}

/// A file in the making that others may read, as any file that is kept with others.
fn new_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".strategies.lock-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // As far as the user's mask lets it.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Keeps other processes out until it is dropped. What is locked is the folder, since the file itself is
/// replaced; where folders cannot be opened, the last to write wins.
fn locked(folder: &Path) -> io::Result<Option<fs::File>> {
    if cfg!(not(unix)) {
        return Ok(None);
    }
    let folder = fs::File::open(folder)?;
    folder.lock()?;
    Ok(Some(folder))
}

fn entries(path: &Path) -> Result<Vec<Entry>, Error> {
    // A link to nothing is no file that is not there yet.
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    if !metadata.is_file() || metadata.len() > MOST_LOCK {
        return Err(Error::settings(
            path,
            format!("expected a file of at most {MOST_LOCK} bytes"),
        ));
    }
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let contents: Contents = toml::from_str(&text)
        .map_err(|error| Error::settings(path, error.to_string().trim_end()))?;
    if contents.version != VERSION {
        let reason = format!("`version` is {}; expected {VERSION}", contents.version);
        return Err(Error::settings(path, reason));
    }
    for (at, entry) in contents.strategies.iter().enumerate() {
        let name = &entry.r#ref;
        if *name != name.unpinned() || name.digest().is_some() {
            let reason =
                format!("`ref` is `{name}`; expected a name with a tag and without a digest");
            return Err(Error::settings(path, reason));
        }
        if entry.version.len() > 64 || entry.version.chars().any(is_unseen) {
            let reason = format!("`version` of `{name}` is none that can be shown");
            return Err(Error::settings(path, reason));
        }
        if contents.strategies[..at]
            .iter()
            .any(|other| other.r#ref == *name)
        {
            return Err(Error::settings(
                path,
                format!("it has two entries for `{name}`"),
            ));
        }
    }
    Ok(contents.strategies)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn entry(name: &str, content: &str) -> Entry {
        Entry {
            r#ref: name.parse().unwrap(),
            digest: Digest::of(content.as_bytes()),
            version: "0.1.0".into(),
        }
    }

    #[test]
    fn names_are_given_digests_and_keep_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = Lock::read(folder.path()).unwrap();
        let (x, y) = (entry("a.b/x:1", "x"), entry("a.b/y:1", "y"));
        lock.set(std::slice::from_ref(&y)).unwrap();
        lock.set(std::slice::from_ref(&x)).unwrap();
        let mut again = Lock::read(folder.path()).unwrap();
        assert_eq!(again.entries(), [x.clone(), y.clone()]);
        let pinned = x.r#ref.pinned(Digest::of(b"other"));
        assert_eq!(again.get(&pinned), Some(&x));
        let changed = entry("a.b/x:1", "new");
        again.set(std::slice::from_ref(&changed)).unwrap();
        assert_eq!(Lock::read(folder.path()).unwrap().entries(), [changed, y]);
    }

    #[test]
    fn what_another_process_wrote_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ours, mut theirs) = (
            Lock::read(folder.path()).unwrap(),
            Lock::read(folder.path()).unwrap(),
        );
        theirs.set(&[entry("a.b/x:1", "theirs")]).unwrap();
        // Another name is no conflict, the same digest neither.
        ours.set(&[entry("a.b/y:1", "ours")]).unwrap();
        assert_eq!(ours.entries().len(), 2);
        let mut late = Lock {
            path: folder.path().join(LOCK_FILE),
            entries: Vec::new(),
        };
        late.set(&[entry("a.b/x:1", "theirs")]).unwrap();
        let mut late = Lock {
            entries: Vec::new(),
            ..late
        };
        let conflict = late.set(&[entry("a.b/x:1", "ours")]);
        assert!(matches!(conflict, Err(Error::Moved { .. })));
    }

    #[test]
    fn many_processes_write_one_file() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for i in 0..16 {
                let folder = folder.path();
                scope.spawn(move || {
                    let mut lock = Lock::read(folder).unwrap();
                    lock.set(&[entry(&format!("a.b/x{i}:1"), "x")]).unwrap();
                });
            }
        });
        assert_eq!(Lock::read(folder.path()).unwrap().entries().len(), 16);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_and_one_to_nothing_refused() {
        use std::os::unix::fs::symlink;
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let link = here.path().join(LOCK_FILE);
        symlink(there.path().join("kept"), &link).unwrap();
        assert!(matches!(Lock::read(here.path()), Err(Error::Io { .. })));
        let mut lock = Lock::read(there.path()).unwrap();
        lock.set(&[entry("a.b/x:1", "x")]).unwrap();
        fs::rename(lock.path(), there.path().join("kept")).unwrap();
        let mut linked = Lock::read(here.path()).unwrap();
        linked.set(&[entry("a.b/y:1", "y")]).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(Lock::read(here.path()).unwrap().entries().len(), 2);
        assert_eq!(fs::read_dir(there.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_file_is_refused_whole() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"");
        let good =
            format!("[[strategy]]\nref = \"a.b/x:1\"\ndigest = \"{digest}\"\nversion = \"1\"\n");
        for (text, says) in [
            ("".to_owned(), "version"),
            ("version = 2\n".to_owned(), "`version` is 2"),
            ("version = 1\nother = 1\n".to_owned(), "other"),
            (format!("version = 1\n{good}{good}"), "two entries"),
            (format!("version = 1\n{}", good.replace(":1\"", "\"")), ""),
            (
                format!("version = 1\n{}", good.replace("a.b", "ab")),
                "registry",
            ),
            (
                format!("version = 1\n{}", good.replace("sha256:", "sha256:0")),
                "sha256",
            ),
            (
                format!(
                    "version = 1\n{}",
                    good.replace(":1", &format!(":1@{digest}"))
                ),
                "without a digest",
            ),
        ] {
            fs::write(folder.path().join(LOCK_FILE), &text).unwrap();
            let outcome = Lock::read(folder.path());
            if says.is_empty() {
                // A name without a tag is one with the tag `latest`.
                assert!(outcome.is_ok(), "{text}");
                continue;
            }
            let error = outcome.unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(LOCK_FILE), "{error}");
        }
    }
}
