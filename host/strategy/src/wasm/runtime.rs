//! The sandbox: an engine and the interpreter, made when they are first needed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};
use wasmtime::Engine;

use super::cache::Cache;
use super::compile::{self, Compiler};
use super::guest::{Guest, Prepared, Program};
use super::inspect;
use crate::error::LoadError;
use crate::limits::Limits;

/// The Rhai interpreter, a component of the same contract; `plugins/rhai` is its source.
const INTERPRETER: &[u8] = include_bytes!("../../../../plugins/rhai.wasm");
/// What messages call it.
const INTERPRETER_NAME: &str = "the Rhai interpreter";

/// What strategies run in. Nothing is started before a component or a script is loaded.
pub struct Runtime {
    limits: Limits,
    cache: Option<Cache>,
    interpreter_bytes: Cow<'static, [u8]>,
    engine: OnceLock<Engine>,
    compiler: Compiler,
    interpreter: OnceLock<Arc<Prepared>>,
    supplied: BTreeMap<String, Supplied>,
}

/// A strategy that does not come from a file.
#[derive(Clone, Debug)]
pub struct Supplied {
    /// What a file with it would be called, with its extension: a script is named by it.
    pub file_name: String,
    /// What would stand in the file.
    pub bytes: Vec<u8>,
}

impl Runtime {
    /// A sandbox with these limits. What is compiled is kept in the user's cache directory where that
    /// can be written.
    ///
    /// # Errors
    /// When the limits contradict themselves.
    pub fn new(limits: Limits) -> Result<Runtime, LoadError> {
        Ok(Runtime::with_cache(limits, Cache::of_user()))
    }

    /// As [`Runtime::new`], with compiled code kept in `directory`, or nowhere.
    ///
    /// # Errors
    /// As [`Runtime::new`].
    pub fn with_cache_directory(
        limits: Limits,
        directory: Option<PathBuf>,
    ) -> Result<Runtime, LoadError> {
        Ok(Runtime::with_cache(
            limits,
            directory.map(Cache::in_directory),
        ))
    }

    fn with_cache(limits: Limits, cache: Option<Cache>) -> Runtime {
        Runtime {
            limits,
            cache,
            interpreter_bytes: Cow::Borrowed(INTERPRETER),
            engine: OnceLock::new(),
            compiler: Compiler::default(),
            interpreter: OnceLock::new(),
            supplied: BTreeMap::new(),
        }
    }

    /// Takes what a strategy's source stands for, where it is no file's path: whoever asks for
    /// `source` from now on gets these bytes.
    pub fn supply(&mut self, source: &str, supplied: Supplied) {
        self.supplied.insert(source.to_owned(), supplied);
    }

    /// Takes another build of the interpreter than the one that the program carries, from
    /// `plugins/rhai` as well: what is wrong with its structure is not looked for.
    pub fn with_interpreter(mut self, component: Vec<u8>) -> Runtime {
        self.interpreter_bytes = Cow::Owned(component);
        self.interpreter = OnceLock::new();
        self
    }

    /// The limits of every call.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Loads `PATH.wasm` or `PATH.rhai`, or what was supplied for `path`.
    ///
    /// # Errors
    /// When the file is no strategy, or describes itself badly.
    pub(crate) fn load(&self, path: &str) -> Result<Guest, LoadError> {
        let name = self
            .supplied
            .get(path)
            .map_or(path, |supplied| &supplied.file_name);
        let file_name = Path::new(name).file_name().map_or_else(
            || name.to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
        let bytes = self.read(path)?;
        let (size, digest) = (bytes.len(), digest(&bytes));
        let (prepared, script) = match Kind::of(name)? {
            Kind::Component => {
                // A component that is in the cache has passed the check, under limits that were
                // perhaps wider: so it is checked again, which takes little.
                inspect::check_bytes(path, &bytes, &self.limits)?;
                let prepared = self.prepare(path, &bytes)?;
                if prepared.interfaces.script {
                    return Err(LoadError::Interpreter {
                        path: path.to_owned(),
                    });
                }
                (Arc::new(prepared), None)
            }
            Kind::Script => {
                let source =
                    String::from_utf8(bytes).map_err(|error| LoadError::ScriptEncoding {
                        path: path.to_owned(),
                        at: error.utf8_error().valid_up_to(),
                    })?;
                // Some editors put a mark before the text.
                let source = source.strip_prefix('\u{feff}').unwrap_or(&source);
                (self.interpreter()?, Some(source.to_owned()))
            }
        };
        let program = Program {
            path: path.to_owned(),
            prepared,
            script,
            limits: self.limits,
        };
        Guest::new(program, &file_name, digest, size)
    }

    /// The digest of what a strategy's source holds now.
    ///
    /// # Errors
    /// When it cannot be read, or is larger than is loaded.
    pub(crate) fn digest_of(&self, path: &str) -> Result<String, LoadError> {
        Ok(digest(&self.read(path)?))
    }

    /// The whole of a strategy's file, or of what was supplied for it.
    fn read(&self, path: &str) -> Result<Vec<u8>, LoadError> {
        let Some(supplied) = self.supplied.get(path) else {
            return read(path, &self.limits);
        };
        let limit = Kind::of(&supplied.file_name)?.limit(&self.limits);
        let bytes = supplied.bytes.len() as u64;
        if bytes > limit {
            return Err(LoadError::TooLarge {
                path: path.to_owned(),
                bytes,
                limit,
            });
        }
        Ok(supplied.bytes.clone())
    }

    /// Compiles a component that is worth it, or takes what an earlier run has compiled.
    fn prepare(&self, path: &str, bytes: &[u8]) -> Result<Prepared, LoadError> {
        let engine = self.engine()?;
        let cached = self
            .cache
            .as_ref()
            .and_then(|cache| cache.load(engine, bytes));
        let component = match cached {
            Some(component) => component,
            None => {
                let compiled = self.compiler.compile(
                    path,
                    engine,
                    bytes.to_vec(),
                    self.limits.compile_time,
                )?;
                if let Some(cache) = &self.cache {
                    cache.store(engine, bytes, &compiled);
                }
                compiled
            }
        };
        Prepared::new(path, engine, &component)
    }

    fn engine(&self) -> Result<&Engine, LoadError> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = compile::engine(&self.limits)?;
        Ok(self.engine.get_or_init(|| engine))
    }

    fn interpreter(&self) -> Result<Arc<Prepared>, LoadError> {
        if let Some(interpreter) = self.interpreter.get() {
            return Ok(Arc::clone(interpreter));
        }
        let prepared = Arc::new(self.prepare(INTERPRETER_NAME, &self.interpreter_bytes)?);
        Ok(Arc::clone(self.interpreter.get_or_init(|| prepared)))
    }
}

/// What a file is, by its name.
#[derive(Clone, Copy)]
enum Kind {
    Component,
    Script,
}

impl Kind {
    fn of(path: &str) -> Result<Kind, LoadError> {
        match Path::new(path).extension().and_then(|e| e.to_str()) {
            Some("wasm") => Ok(Kind::Component),
            Some("rhai") => Ok(Kind::Script),
            _ if Path::new(path).is_dir() => Err(LoadError::NotAFile {
                path: path.to_owned(),
            }),
            _ => Err(LoadError::UnknownKind {
                spec: path.to_owned(),
            }),
        }
    }

    /// Most bytes of a file of this kind.
    fn limit(self, limits: &Limits) -> u64 {
        match self {
            Kind::Component => limits.component_bytes,
            Kind::Script => limits.script_bytes,
        }
    }
}

/// The whole of a strategy's file, which must not be larger than the limit for its kind.
fn read(path: &str, limits: &Limits) -> Result<Vec<u8>, LoadError> {
    let limit = Kind::of(path)?.limit(limits);
    let unreadable = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => LoadError::Missing {
            path: path.to_owned(),
        },
        _ => LoadError::Unreadable {
            path: path.to_owned(),
            source,
        },
    };
    // Looked at before it is opened: opening a pipe would wait for its other end.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(LoadError::NotAFile {
            path: path.to_owned(),
        });
    }
    let too_large = |bytes| LoadError::TooLarge {
        path: path.to_owned(),
        bytes,
        limit,
    };
    if metadata.len() > limit {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

/// `sha256:HEX`.
fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
