//! `sc-host strategy push` and what follows from it: strategies of registries.
//!
//! What is held against a registry as teams have them is held against Docker's own, `docker-registry`, which
//! each such test starts for itself; what no good registry does, against a server that does it.

mod attacks;
mod docker_registry;
mod hostile_registry;
mod pages;
mod pinning;
mod redirects_and_credentials;
mod round_trip;
mod signing;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Outcome, SMALL, cache_of_tests, command, folder, outcome, repository_path, sc_host,
};

/// The password of every key here.
const PASSWORD: &str = "a password";

/// Somebody with a folder to work in and a home, in which the cache lies.
pub struct Person {
    folder: TempDir,
    home: PathBuf,
    variables: Vec<(String, String)>,
}

impl Person {
    pub fn new() -> Person {
        let folder = folder();
        let home = folder.path().join("home");
        fs::create_dir(&home).expect("a folder");
        let work = folder.path().join("work");
        fs::create_dir(&work).expect("a folder");
        share_compiled(&home.join("cache/sc-host"));
        Person {
            folder,
            home,
            variables: Vec::new(),
        }
    }

    /// The same with an environment variable.
    pub fn with(mut self, name: &str, value: &str) -> Person {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where commands are typed.
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where the cache of artifacts lies.
    pub fn cache(&self) -> PathBuf {
        self.home.join("cache/sc-host/strategies")
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.work().join(name);
        fs::write(&file, text).expect("written");
        file
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.work(), arguments);
        for name in [
            "http_proxy",
            "HTTP_PROXY",
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
        ] {
            command.env_remove(name);
        }
        command
            .env("HOME", &self.home)
            .env("XDG_CACHE_HOME", self.home.join("cache"))
            .env_remove("DOCKER_CONFIG")
            .env_remove("SSL_CERT_FILE")
            .env("COSIGN_PASSWORD", PASSWORD)
            .envs(self.variables.iter().cloned());
        command
    }

    pub fn types(&self, arguments: &[&str]) -> Outcome {
        outcome(self.command(arguments))
    }

    /// What a command prints with `--json`, which must succeed.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let outcome = self.types(&[arguments, &["--json"]].concat()).succeeded();
        serde_json::from_str(&outcome.stdout).expect("one JSON object")
    }

    /// Fails with these words and a hint.
    #[track_caller]
    pub fn fails(&self, arguments: &[&str], words: &[&str]) {
        let Outcome { code, stderr, .. } = self.types(arguments);
        assert_eq!(code, Some(1), "{stderr}");
        for word in [&["error: ", "hint: "], words].concat() {
            assert!(stderr.contains(word), "`{word}` is not in {stderr}");
        }
    }

    /// A small run with a strategy, to the folder `out`; its ledger.
    #[track_caller]
    pub fn runs(&self, strategy: &str, out: &str, more: &[&str]) -> String {
        let arguments = [
            &["run", "--strategy", strategy, "--out", out],
            &SMALL[..],
            more,
        ]
        .concat();
        self.types(&arguments).succeeded();
        fs::read_to_string(self.work().join(out).join("ledger.jsonl")).expect("a ledger")
    }

    /// Pushes a file; the digest of its manifest.
    #[track_caller]
    pub fn pushes(&self, file: &str, reference: &str) -> String {
        let pushed = self.json(&["strategy", "push", file, reference]);
        assert_eq!(pushed["ref"], reference);
        pushed["digest"].as_str().expect("a digest").to_owned()
    }

    /// Signs what a name stands for now.
    #[track_caller]
    pub fn signs(&self, name: &str, key: &str) {
        let digest = self.json(&["strategy", "pull", name])["digest"].clone();
        let repository = name.rsplit_once(':').expect("a tag").0;
        let artifact = format!("{repository}@{}", digest.as_str().expect("a digest"));
        self.types(&["strategy", "sign", &artifact, "--key", key])
            .succeeded();
    }

    /// Makes a pair of keys, and trusts it for all that is in a registry's folder `team`.
    pub fn trusts_own_key(&self, host: &str) {
        self.types(&["strategy", "keygen", "own"]).succeeded();
        self.trusts(host, "own.pub");
    }

    pub fn trusts(&self, host: &str, key: &str) {
        self.write(
            "trust.toml",
            &format!("[[strategies]]\nnames = [\"{host}/team/*\"]\nkeys = [\"{key}\"]\n"),
        );
    }
}

/// Gives a new cache what the tests' own has compiled, the interpreter among it: compiling that takes
/// seconds.
fn share_compiled(cache: &Path) {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    let shared = COMPILED.get_or_init(|| {
        let script = repository_path("scripts/margin.rhai");
        sc_host(folder().path(), &["strategy", "check", &script]).succeeded();
        cache_of_tests().join("sc-host")
    });
    fs::create_dir_all(cache).expect("a folder");
    for entry in fs::read_dir(shared).expect("a folder") {
        let file = entry.expect("an entry").path();
        let name = file.file_name().expect("a name");
        let is_compiled = file
            .extension()
            .is_some_and(|extension| extension == "cwasm");
        // Another test may replace it meanwhile, and then it is compiled anew.
        if (is_compiled || name == "key") && fs::hard_link(&file, cache.join(name)).is_err() {
            let _ = fs::copy(&file, cache.join(name));
        }
    }
}

/// A script of that version, which drops nothing.
pub fn script(version: &str) -> String {
    format!(
        "fn about() {{\n    #{{ version: \"{version}\", summary: \"Keeps all.\" }}\n}}\n\n\
         fn data_filter(groups, context) {{\n    groups.map(|group| group.candidates.map(|c| keep()))\n}}\n"
    )
}
