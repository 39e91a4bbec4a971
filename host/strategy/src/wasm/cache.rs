//! Compiled components, kept from run to run.
//!
//! Compiled code runs outside of the sandbox once it is loaded, so nothing is loaded from here that
//! the program did not write itself: each file ends in a tag keyed by a random key that only the
//! user may read. A file is named by the digest of the component and all that its compiled form
//! depends on, so that what was compiled for one is never taken for another.
//! A cache that cannot be read or written costs the time to compile, and nothing else.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 32;

/// Where compiled code is kept.
pub(crate) struct Cache {
    directory: PathBuf,
}

/// Feeds what [`Hash`] describes to SHA-256.
struct HashTo(Sha256);

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
        Cache { directory }
    }

    /// The file for `component`, named by its bytes and all that its compiled form depends on: the
    /// runtime's version, its settings and the machine.
    fn file(&self, engine: &Engine, component: &[u8]) -> PathBuf {
        let mut hasher = HashTo(Sha256::new());
        hasher.0.update(Sha256::digest(component));
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let name: String = hasher
            .0
            .finalize()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.directory.join(format!("{name}.cwasm"))
    }

    /// The compiled form of `component`, if this program left it here.
    pub(crate) fn load(&self, engine: &Engine, component: &[u8]) -> Option<Component> {
        let key = self.key().ok()?;
        let file = self.file(engine, component);
        let bytes = read(&file).ok()?;
        let (code, found) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
        if tag(&key, &file, code).verify_slice(found).is_err() {
            tracing::debug!("`{}` is not what was stored there", file.display());
            return None;
        }
        #[expect(
            unsafe_code,
            reason = "the tag shows that this program serialised the code itself"
        )]
        // SAFETY: `code` is what `Component::serialize` gave: the tag over it was made with a key
        // that only this user can read.
        let component = unsafe { Component::deserialize(engine, code) };
        component.ok()
    }

    /// Keeps the compiled form of `component`, if that is possible.
    pub(crate) fn store(&self, engine: &Engine, component: &[u8], compiled: &Component) {
        if let Err(error) = self.try_store(engine, component, compiled) {
            tracing::debug!(
                "compiled code is not kept in `{}`: {error}",
                self.directory.display()
            );
        }
    }

    fn try_store(&self, engine: &Engine, component: &[u8], compiled: &Component) -> io::Result<()> {
        let key = self.key()?;
        let file = self.file(engine, component);
        let code = compiled.serialize().map_err(io::Error::other)?;
        // Readers see the whole file or none of it.
        let mut temporary = tempfile::NamedTempFile::new_in(&self.directory)?;
        temporary.write_all(&code)?;
        temporary.write_all(&tag(&key, &file, &code).finalize().into_bytes())?;
        temporary.persist(file)?;
        Ok(())
    }

    /// The user's key, made when there is none.
    fn key(&self) -> io::Result<[u8; KEY_BYTES]> {
        fs::create_dir_all(&self.directory)?;
        let file = self.directory.join("key");
        match read(&file) {
            Ok(bytes) => {
                only_for_user(&file)?;
                bytes
                    .try_into()
                    .map_err(|_| io::Error::other("the key is damaged"))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut key = [0; KEY_BYTES];
                getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
                // A temporary file is readable for its owner alone, and a key that another run
                // has made in the meantime is not replaced.
                let mut temporary = tempfile::NamedTempFile::new_in(&self.directory)?;
                temporary.write_all(&key)?;
                temporary.persist_noclobber(&file)?;
                Ok(key)
            }
            Err(error) => Err(error),
        }
    }
}

/// The whole of a regular file. (Opening a pipe would wait for its other end.)
fn read(file: &Path) -> io::Result<Vec<u8>> {
    if fs::symlink_metadata(file)?.is_file() {
        fs::read(file)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

/// Refuses a key that others can read or replace.
#[cfg(unix)]
fn only_for_user(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    const OTHERS: u32 = 0o077;
    if fs::symlink_metadata(file)?.mode() & OTHERS == 0 {
        Ok(())
    } else {
        Err(io::Error::other("the key is not for its owner alone"))
    }
}

#[cfg(not(unix))]
fn only_for_user(_file: &Path) -> io::Result<()> {
    Ok(())
}

/// The tag of `code` in `file`, to be made or compared.
fn tag(key: &[u8; KEY_BYTES], file: &Path, code: &[u8]) -> Hmac<Sha256> {
    let name = file.file_name().unwrap_or_default().as_encoded_bytes();
    // A key shorter than a block counts as filled with zeros.
    let mut block = [0; 64];
    block[..KEY_BYTES].copy_from_slice(key);
    // The hash gives the name one length, so that it cannot run into the code.
    <Hmac<Sha256> as KeyInit>::new(&block.into())
        .chain_update(Sha256::digest(name))
        .chain_update(code)
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
