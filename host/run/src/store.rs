//! The run directory.
//!
//! ```text
//! config.toml      the resolved configuration, which runs again as it is
//! ledger.jsonl     an object a strategy call, a change of the supervision on purpose, and on whose word a
//!                  strategy of a registry runs
//! metrics.jsonl    an object a round; round 0 is the model that the run began with
//! inputs/          what the strategies were given and answered, for `replay`
//! checkpoints/     all that the next round needs, for a run that goes on later
//! base-images.jsonl  images of the model that the run began with, which it and the last one judge
//! images/          what the model draws for the same prompts, before and after
//! model/           the last kept model, as its base was, or its adapter
//! summary.json     figures before and after
//! timings.jsonl    how long things took: the only file that two equal runs differ in
//! ```
//!
//! A file appears whole or not at all. A round's rows are written when it is over; what a strategy
//! made impossible is recorded before the run ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sc_strategy::record::{self, RoundInputs, RunInputs};
use serde::Serialize;

use crate::error::RunError;

/// The file that every run writes first.
pub(crate) const LEDGER: &str = "ledger.jsonl";
/// The resolved configuration.
pub const CONFIG: &str = "config.toml";
/// An object a round.
pub(crate) const METRICS: &str = "metrics.jsonl";
/// Figures before and after; there is one once a run is over.
pub const SUMMARY: &str = "summary.json";
const NOT_EMPTY: &str = "is not empty";

/// A run's place on disk.
pub struct RunStore {
    root: PathBuf,
    /// The ledger, locked as long as this process writes the run. Where a file system has no locks,
    /// nothing keeps two processes apart that resume the same run.
    _lock: File,
}

/// How long something took.
#[derive(Clone, Debug, Serialize)]
pub struct Timing {
    /// The round; 0 before the first.
    pub round: u32,
    /// Such as `generate`, or `strategy/data-filter`.
    pub stage: String,
    /// Seconds by the wall clock.
    pub seconds: f64,
}

impl Timing {
    /// A duration of a stage.
    pub fn new(round: u32, stage: impl Into<String>, took: Duration) -> Timing {
        Timing {
            round,
            stage: stage.into(),
            seconds: took.as_secs_f64(),
        }
    }
}

impl RunStore {
    /// Takes `root` for a new run, and from every other run.
    ///
    /// # Errors
    /// When something is there already, or it cannot be created.
    pub fn create(root: &Path) -> Result<RunStore, RunError> {
        let occupied = |problem| RunError::Occupied {
            path: root.to_owned(),
            problem,
        };
        match fs::read_dir(root) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(occupied(NOT_EMPTY));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory && root.exists() => {
                return Err(occupied("is not a directory"));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(RunError::io("read", root)(error)),
        }
        fs::create_dir_all(root).map_err(RunError::io("create", root))?;
        // Something must be written before hours of work are spent on it; and of two runs that
        // found the same place empty, one writes it first.
        let ledger = root.join(LEDGER);
        match File::create_new(&ledger) {
            Ok(file) => RunStore::locked(root, file),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(occupied(NOT_EMPTY)),
            Err(error) => Err(RunError::io("create", ledger)(error)),
        }
    }

    fn locked(root: &Path, ledger: File) -> Result<RunStore, RunError> {
        if let Err(TryLockError::WouldBlock) = ledger.try_lock() {
            return Err(RunError::Busy {
                path: root.to_owned(),
            });
        }
        Ok(RunStore {
            root: root.to_owned(),
            _lock: ledger,
        })
    }

    /// Takes the first of `folder`/1, `folder`/2, … that is not there.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create_numbered(folder: &Path) -> Result<RunStore, RunError> {
        let mut number = 0_u64;
        loop {
            number += 1;
            let place = folder.join(number.to_string());
            if place.exists() {
                continue;
            }
            match RunStore::create(&place) {
                // Another run has just taken it.
                Err(RunError::Occupied { .. }) => {}
                taken => return taken,
            }
        }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A place in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RunError> {
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(RunError::io("create", folder))?;
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            set_ordinary_permissions(file.as_file())?;
            file.persist(&path).map_err(|error| error.error)
        };
        write().map_err(RunError::io("write", &path))?;
        Ok(())
    }

    /// Writes a file of JSON lines, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_rows<T: Serialize>(&self, name: &str, rows: &[T]) -> Result<(), RunError> {
        let mut lines = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut lines, row)
                .map_err(|error| RunError::io("write", self.path(name))(error.into()))?;
            lines.push(b'\n');
        }
        self.write(name, &lines)
    }

    /// Adds rows to a file of JSON lines.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append<T: Serialize>(&self, name: &str, rows: &[T]) -> Result<(), RunError> {
        let path = self.path(name);
        let mut lines = Vec::new();
        let mut append = || {
            for row in rows {
                serde_json::to_writer(&mut lines, row)?;
                lines.push(b'\n');
            }
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            file.write_all(&lines)
        };
        append().map_err(RunError::io("write", &path))
    }

    /// Opens the directory of a run that is to go on.
    ///
    /// # Errors
    /// When there is no run, or another process writes it.
    pub fn open(root: &Path) -> Result<RunStore, RunError> {
        let ledger = root.join(LEDGER);
        if !ledger.is_file() {
            return Err(RunError::NoRun {
                path: root.to_owned(),
            });
        }
        let file = OpenOptions::new().append(true).open(&ledger);
        RunStore::locked(root, file.map_err(RunError::io("write", ledger))?)
    }

    /// Writes what the strategies of a round were given and answered.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_inputs(&self, inputs: &RoundInputs) -> Result<(), RunError> {
        self.write(&record::round_file(inputs.round), &record::encode(inputs))
    }

    /// Writes what holds for all rounds of the run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_run_inputs(&self, inputs: &RunInputs) -> Result<(), RunError> {
        self.write(&record::run_file(), &record::encode(inputs))
    }

    /// Size of a file, in bytes; 0 where there is none.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn size(&self, name: &str) -> Result<u64, RunError> {
        let path = self.path(name);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(RunError::io("read", path)(error)),
        }
    }

    /// Cuts a file off after `size` bytes, if it is longer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn cut(&self, name: &str, size: u64) -> Result<(), RunError> {
        if self.size(name)? <= size {
            return Ok(());
        }
        let path = self.path(name);
        OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(size))
            .map_err(RunError::io("write", path))
    }

    /// Whether the run can go on from a checkpoint.
    pub fn has_checkpoint(&self) -> bool {
        crate::checkpoint::exists(self)
    }

    /// Keeps the configuration of a run that goes on under another name, since a new one is to
    /// replace it: `config.1.toml` and so on, oldest first.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn keep_configuration(&self) -> Result<(), RunError> {
        let path = self.path(CONFIG);
        let kept = (1_u32..)
            .map(|number| format!("config.{number}.toml"))
            .find(|name| !self.path(name).exists());
        match kept {
            Some(place) => {
                let text = fs::read(&path).map_err(RunError::io("read", path))?;
                self.write(&place, &text)
            }
            None => Ok(()),
        }
    }

    /// Whether the run came to its end, as far as it was to go.
    pub fn is_finished(&self) -> bool {
        self.path(SUMMARY).exists()
    }

    /// Removes what was said of the run's end, since it goes on.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) fn remove_summary(&self) -> Result<(), RunError> {
        let path = self.path(SUMMARY);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(RunError::io("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Writes `value` as a file with one JSON object.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), RunError> {
        let mut text = serde_json::to_vec_pretty(value)
            .map_err(|error| RunError::io("write", self.path(name))(error.into()))?;
        text.push(b'\n');
        self.write(name, &text)
    }
}

/// Temporary files are for their owner alone; a run is for whoever may read the directory.
#[cfg(unix)]
fn set_ordinary_permissions(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_ordinary_permissions(_: &File) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_run_is_written_by_one_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = RunStore::create(folder.path()).expect("a place");
        let second = RunStore::open(folder.path()).map(|_| ());
        assert!(matches!(second, Err(RunError::Busy { .. })));
        drop(store);
        assert!(RunStore::open(folder.path()).is_ok());
    }

    #[test]
    fn takes_only_a_place_that_is_absent_or_empty() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(RunStore::create(folder.path()).is_ok());
        let again = RunStore::create(folder.path()).map(|_| ());
        assert!(matches!(
            again,
            Err(RunError::Occupied {
                problem: "is not empty",
                ..
            })
        ));
        let file = folder.path().join(LEDGER);
        let on_a_file = RunStore::create(&file).map(|_| ());
        assert!(matches!(
            on_a_file,
            Err(RunError::Occupied {
                problem: "is not a directory",
                ..
            })
        ));
    }

    #[test]
    fn runs_that_begin_together_take_places_of_their_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let (numbered, one) = (folder.path().join("runs"), folder.path().join("one"));
        let begin = |_| {
            let own = RunStore::create_numbered(&numbered).expect("a place");
            (own.root, RunStore::create(&one).is_ok())
        };
        let began = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|i| scope.spawn(move || begin(i))).collect();
            let began = threads
                .into_iter()
                .map(|thread| thread.join().expect("ends"));
            began.collect::<Vec<_>>()
        });
        let places: BTreeSet<_> = began.iter().map(|(place, _)| place).collect();
        assert_eq!(places.len(), began.len());
        assert_eq!(began.iter().filter(|(_, taken)| *taken).count(), 1);
    }

    #[test]
    fn rows_are_appended_and_files_replaced_whole() -> Result<(), RunError> {
        let folder = tempfile::tempdir().expect("a folder");
        let store = RunStore::create(&folder.path().join("deep/run"))?;
        store.append(LEDGER, &[1, 2])?;
        store.append(LEDGER, &[3])?;
        store.write("summary.json", b"a")?;
        store.write("summary.json", b"b")?;
        let read = |name| fs::read_to_string(store.path(name)).expect("written");
        assert_eq!(
            (read(LEDGER), read("summary.json")),
            ("1\n2\n3\n".into(), "b".into())
        );
        Ok(())
    }
}
