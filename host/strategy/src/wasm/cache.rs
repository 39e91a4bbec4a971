//! Compiled components, kept from run to run.
//!
//! Compiled code runs outside of the sandbox once it is loaded, so nothing is loaded from here that
//! the program did not write itself: each file ends in a tag keyed by a random key that only the
//! user may read. A file is named by the digest of the component and all that its compiled form
//! depends on, so that what was compiled for one is never taken for another.
//! A cache that cannot be read or written costs the time to compile, and nothing else.
//!
//! The code is mapped from its file after the tag was compared, since a copy takes longer than all
//! the rest. Who could change the file in between could read the key as well: the folder must be
//! one that only its owner writes to.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use etcetera::BaseStrategy;
use wasmtime::Engine;
use wasmtime::component::Component;

const EXTENSION: &str = "cwasm";
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 32;

/// How much is kept: some hundred Rust strategies, or a dozen that bring a whole interpreter.
const KEPT_BYTES: u64 = 512 << 20;
/// A use is noted in the file's time only when the last one is this far back.
const USE_NOTED_AFTER: Duration = Duration::from_secs(3600);

/// Where compiled code is kept.
pub(crate) struct Cache {
    directory: PathBuf,
    /// Beyond as many bytes, what was not used for longest goes.
    kept_bytes: u64,
}

/// Feeds what [`Hash`] describes to BLAKE3.
struct HashTo(blake3::Hasher);

impl Hasher for HashTo {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

impl Cache {
    /// `$XDG_CACHE_HOME/sc-host` or what stands for it on this system.
    pub(crate) fn of_user() -> Option<Cache> {
        etcetera::choose_base_strategy()
            .ok()
            .map(|base| Cache::in_directory(base.cache_dir().join("sc-host")))
    }

    pub(crate) fn in_directory(directory: PathBuf) -> Cache {
        Cache {
            directory,
            kept_bytes: KEPT_BYTES,
        }
    }

    /// The file for `component`, named by its bytes and all that its compiled form depends on: the
    /// runtime's version, its settings and the machine.
    fn file(&self, engine: &Engine, component: &[u8]) -> PathBuf {
        let mut hasher = HashTo(blake3::Hasher::new());
        hasher.0.update(blake3::hash(component).as_bytes());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let name = hasher.0.finalize().to_hex();
        self.directory.join(format!("{}.{EXTENSION}", &name[..32]))
    }

    /// The compiled form of `component`, if this program left it here.
    pub(crate) fn load(&self, engine: &Engine, component: &[u8]) -> Option<Component> {
        let key = self.key().ok()?;
        let file = self.file(engine, component);
        let bytes = read(&file, self.kept_bytes).ok()?;
        let (code, found) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
        let found: [u8; TAG_BYTES] = found.try_into().ok()?;
        // This comparison takes the same time wherever the two differ.
        if tag(&key, &file, code) != blake3::Hash::from_bytes(found) {
            tracing::debug!("`{}` is not what was stored there", file.display());
            return None;
        }
        note_use(&file);
        #[expect(
            unsafe_code,
            reason = "the tag shows that this program serialised the code itself"
        )]
        // SAFETY: the file begins with what `Component::serialize` gave: the tag over it was made
        // with a key that only this user can read, and no other user can write where it lies.
        let component = unsafe { Component::deserialize_file(engine, &file) };
        component.ok()
    }

    /// Keeps the compiled form of `component`, if that is possible.
    pub(crate) fn store(&self, engine: &Engine, component: &[u8], compiled: &Component) {
        let stored = self
            .try_store(engine, component, compiled)
            .and_then(|file| self.prune(&file));
        if let Err(error) = stored {
            tracing::debug!(
                "compiled code is not kept in `{}`: {error}",
                self.directory.display()
            );
        }
    }

    fn try_store(
        &self,
        engine: &Engine,
        component: &[u8],
        compiled: &Component,
    ) -> io::Result<PathBuf> {
        let key = self.key()?;
        let file = self.file(engine, component);
        let code = compiled.serialize().map_err(io::Error::other)?;
        // Readers see the whole file or none of it.
        let mut temporary = self.temporary()?;
        temporary.write_all(&code)?;
        temporary.write_all(tag(&key, &file, &code).as_bytes())?;
        temporary.persist(&file)?;
        Ok(file)
    }

    /// A file in the making, named so that [`Self::prune`] finds what a killed run has left.
    fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new()
            .suffix(&format!(".{EXTENSION}"))
            .tempfile_in(&self.directory)
    }

    /// Removes what was not used for longest until no more than [`Self::kept_bytes`] are left, but
    /// never `fresh`. Whoever has removed code mapped goes on with it.
    fn prune(&self, fresh: &Path) -> io::Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension() == Some(EXTENSION.as_ref()) && path != fresh {
                // Another run may have removed it by now.
                if let Ok(metadata) = fs::symlink_metadata(&path) {
                    let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    found.push((used, metadata.len(), path));
                }
            }
        }
        found.sort();
        let mut kept = fs::metadata(fresh)?.len();
        for (_, bytes, path) in found.into_iter().rev() {
            match kept.checked_add(bytes) {
                Some(sum) if sum <= self.kept_bytes => kept = sum,
                // What cannot be removed takes room, and nothing else.
                _ => drop(fs::remove_file(path)),
            }
        }
        Ok(())
    }

    /// The user's key, made when there is none, or only a damaged one.
    fn key(&self) -> io::Result<[u8; KEY_BYTES]> {
        fs::create_dir_all(&self.directory)?;
        permissions::check_directory(&self.directory)?;
        let file = self.directory.join("key");
        match read(&file, KEY_BYTES as u64) {
            Ok(bytes) => {
                permissions::check_key(&file)?;
                match bytes.try_into() {
                    Ok(key) => Ok(key),
                    Err(_) => {
                        let (key, temporary) = self.new_key()?;
                        temporary.persist(&file)?;
                        Ok(key)
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (key, temporary) = self.new_key()?;
                // A key that another run has made in the meantime is not replaced.
                temporary.persist_noclobber(&file)?;
                Ok(key)
            }
            Err(error) => Err(error),
        }
    }

    /// A key in a file that only its owner can read, not in its place yet.
    fn new_key(&self) -> io::Result<([u8; KEY_BYTES], tempfile::NamedTempFile)> {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
        let mut temporary = self.temporary()?;
        temporary.write_all(&key)?;
        Ok((key, temporary))
    }
}

/// The whole of a regular file of at most `most` bytes. (Opening a pipe would wait for its other
/// end.)
fn read(file: &Path, most: u64) -> io::Result<Vec<u8>> {
    let metadata = fs::symlink_metadata(file)?;
    if !metadata.is_file() {
        Err(io::Error::other("not a regular file"))
    } else if metadata.len() > most {
        Err(io::Error::other("larger than anything that is stored"))
    } else {
        fs::read(file)
    }
}

/// Gives a file that is used the present time, for [`Cache::prune`].
fn note_use(file: &Path) {
    let long_ago = |file: &File| -> io::Result<bool> {
        let age = file.metadata()?.modified()?.elapsed();
        Ok(age.is_ok_and(|age| age >= USE_NOTED_AFTER))
    };
    if let Ok(file) = File::options().append(true).open(file)
        && long_ago(&file).unwrap_or(false)
    {
        // A cache that cannot be written is used all the same.
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Refuses a key that others can read or replace, and a folder in which they can replace files; the
/// owner of either can, whatever its mode says.
#[cfg(unix)]
mod permissions {
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::sync::OnceLock;
    use std::{fs, io};

    pub(super) fn check_key(file: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(file)?;
        let open = metadata.mode() & 0o077 != 0;
        refuse_if(open, "the key is not for its owner alone")?;
        refuse_if(Some(metadata.uid()) != user(), "the key is another user's")
    }

    pub(super) fn check_directory(directory: &Path) -> io::Result<()> {
        let metadata = fs::metadata(directory)?;
        let writable = metadata.mode() & 0o022 != 0;
        refuse_if(writable, "others can write there")?;
        refuse_if(
            Some(metadata.uid()) != user(),
            "the folder is another user's",
        )
    }

    /// Whose files this process makes, if it can make any.
    fn user() -> Option<u32> {
        static USER: OnceLock<Option<u32>> = OnceLock::new();
        *USER.get_or_init(|| {
            let file = tempfile::tempfile().ok()?;
            Some(file.metadata().ok()?.uid())
        })
    }

    fn refuse_if(refused: bool, reason: &str) -> io::Result<()> {
        if refused {
            Err(io::Error::other(reason))
        } else {
            Ok(())
        }
    }
}

#[cfg(not(unix))]
mod permissions {
    use std::io;
    use std::path::Path;

    pub(super) fn check_key(_file: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn check_directory(_directory: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// The tag of `code` in `file`.
fn tag(key: &[u8; KEY_BYTES], file: &Path, code: &[u8]) -> blake3::Hash {
    let name = file.file_name().unwrap_or_default().as_encoded_bytes();
    let mut hasher = blake3::Hasher::new_keyed(key);
    // The hash gives the name one length, so that it cannot run into the code.
    hasher.update(blake3::hash(name).as_bytes());
    hasher.update(code);
    hasher.finalize()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const COMPONENT: &str = "(component (core module (func (export \"f\"))))";

    fn stored() -> (tempfile::TempDir, Cache, Engine, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::in_directory(directory.path().join("cache"));
        let engine = Engine::default();
        let bytes = wat::parse_str(COMPONENT).unwrap();
        assert!(cache.load(&engine, &bytes).is_none());
        cache.store(&engine, &bytes, &Component::new(&engine, &bytes).unwrap());
        (directory, cache, engine, bytes)
    }

    #[test]
    fn gives_back_what_was_stored_for_the_same_component_and_engine() {
        let (_directory, cache, engine, bytes) = stored();
        assert!(cache.load(&engine, &bytes).is_some());
        assert!(cache.load(&engine, &bytes[1..]).is_none());
        let mut other = wasmtime::Config::new();
        other.consume_fuel(true);
        assert!(cache.load(&Engine::new(&other).unwrap(), &bytes).is_none());
    }

    #[test]
    fn code_that_is_changed_cut_or_moved_is_not_loaded() {
        let (_directory, cache, engine, bytes) = stored();
        let file = cache.file(&engine, &bytes);
        let whole = fs::read(&file).unwrap();
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        for damaged in [&changed[..], &whole[..whole.len() - 1], &whole[..3], &[]] {
            fs::write(&file, damaged).unwrap();
            assert!(cache.load(&engine, &bytes).is_none());
        }
        // What was stored for one component is not taken for another.
        let other = wat::parse_str("(component)").unwrap();
        fs::write(cache.file(&engine, &other), &whole).unwrap();
        assert!(cache.load(&engine, &other).is_none());
        fs::write(&file, &whole).unwrap();
        assert!(cache.load(&engine, &bytes).is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let (_directory, cache, engine, bytes) = stored();
        let key = cache.directory.join("key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(cache.load(&engine, &bytes).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_can_write_to_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let (_directory, cache, engine, bytes) = stored();
        fs::set_permissions(&cache.directory, fs::Permissions::from_mode(0o775)).unwrap();
        assert!(cache.load(&engine, &bytes).is_none());
        fs::set_permissions(&cache.directory, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(cache.load(&engine, &bytes).is_some());
    }

    #[test]
    fn a_damaged_key_is_replaced() {
        let (_directory, cache, engine, bytes) = stored();
        fs::write(cache.directory.join("key"), "short").unwrap();
        // What the old key vouched for is gone with it.
        assert!(cache.load(&engine, &bytes).is_none());
        cache.store(&engine, &bytes, &Component::new(&engine, &bytes).unwrap());
        assert!(cache.load(&engine, &bytes).is_some());
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let (_directory, mut cache, engine, bytes) = stored();
        let of_hours_ago = |file: &Path, hours: u64| {
            let time = SystemTime::now() - Duration::from_secs(hours * 3600);
            let file = File::options().append(true).open(file).unwrap();
            file.set_modified(time).unwrap();
        };
        let used = cache.file(&engine, &bytes);
        let size = fs::metadata(&used).unwrap().len();
        let unused = cache.directory.join(format!("unused.{EXTENSION}"));
        fs::write(&unused, vec![0; size as usize]).unwrap();
        of_hours_ago(&used, 9);
        of_hours_ago(&unused, 8);
        assert!(cache.load(&engine, &bytes).is_some());

        let other = wat::parse_str("(component)").unwrap();
        cache.kept_bytes = 2 * size;
        cache.store(&engine, &other, &Component::new(&engine, &other).unwrap());
        assert!(cache.load(&engine, &bytes).is_some());
        assert!(cache.load(&engine, &other).is_some());
        assert!(!unused.exists());
        assert!(cache.directory.join("key").exists());
    }

    /// Reading them would wait for somebody to write.
    #[cfg(unix)]
    #[test]
    fn pipes_are_not_read() {
        let (_directory, cache, engine, bytes) = stored();
        for file in [cache.file(&engine, &bytes), cache.directory.join("key")] {
            fs::remove_file(&file).unwrap();
            let made = std::process::Command::new("mkfifo").arg(&file).status();
            assert!(made.unwrap().success());
            assert!(cache.load(&engine, &bytes).is_none());
        }
    }

    #[test]
    fn a_directory_that_cannot_be_made_does_no_harm() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = Cache::in_directory(file.path().join("cache"));
        let engine = Engine::default();
        let bytes = wat::parse_str(COMPONENT).unwrap();
        cache.store(&engine, &bytes, &Component::new(&engine, &bytes).unwrap());
        assert!(cache.load(&engine, &bytes).is_none());
    }
}
