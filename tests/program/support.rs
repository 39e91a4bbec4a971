//! Running the program, and reading what it leaves.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// What a call of the program came to.
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The outcome, if the program succeeded.
    #[track_caller]
    pub fn succeeded(self) -> Outcome {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Every line of stdout, which must all be JSON objects.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let lines: Vec<Value> = self.stdout.lines().map(parse).collect();
        assert!(lines.iter().all(Value::is_object), "{}", self.stdout);
        lines
    }
}

#[track_caller]
fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// A folder to run the program in.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A file of the repository.
pub fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// The same as an argument.
pub fn repository_path(path: &str) -> String {
    in_repository(path).display().to_string()
}

/// A call of the program in `folder`. Compiled strategies are cached beside the test binary.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sc-host"));
    command.args(arguments).current_dir(folder);
    command.env("XDG_CACHE_HOME", cache_of_tests());
    // No test asks the network.
    command.env("HF_HUB_OFFLINE", "1");
    command
}

/// Where compiled strategies are kept from test to test.
pub fn cache_of_tests() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

/// Runs the program in `folder`.
pub fn sc_host(folder: &Path, arguments: &[&str]) -> Outcome {
    outcome(command(folder, arguments))
}

/// What a call comes to.
pub fn outcome(mut command: Command) -> Outcome {
    told(command.output().expect("the program starts"))
}

/// Runs the program in `folder` with something on its standard input.
pub fn sc_host_given(folder: &Path, arguments: &[&str], input: &str) -> Outcome {
    let mut child = command(folder, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).expect("it reads");
    }
    told(child.wait_with_output().expect("it ends"))
}

fn told(output: Output) -> Outcome {
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
    }
}

/// Arguments of a run that takes a second or two.
pub const SMALL: [&str; 10] = [
    "--rounds",
    "2",
    "--prompts",
    "40",
    "--images-per-prompt",
    "3",
    "--epochs",
    "1",
    "--evaluate",
    "60",
];

/// A small run with `--json` in `folder`, to `folder/out`.
pub fn small_run(folder: &Path, arguments: &[&str]) -> Outcome {
    let all = [&["run", "--json", "--out", "out"], &SMALL[..], arguments].concat();
    sc_host(folder, &all)
}

/// The rows of a file of JSON lines.
pub fn rows(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    text.lines().map(parse).collect()
}

/// Rows of a run's ledger for one role.
pub fn ledger(out: &Path, role: &str) -> Vec<Value> {
    let mut rows = rows(&out.join("ledger.jsonl"));
    rows.retain(|row| row["role"] == role);
    rows
}

/// The files of a run that two equal runs have in common, byte by byte.
pub fn lasting(out: &Path) -> Vec<(String, Vec<u8>)> {
    let differs = ["timings.jsonl", "ledger.jsonl", "config"];
    files(out)
        .into_iter()
        .map(|(name, bytes)| (name.display().to_string(), bytes))
        .filter(|(name, _)| differs.iter().all(|start| !name.starts_with(start)))
        .collect()
}

/// Every file below `folder` by its path there.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .strip_prefix(folder)
                    .expect("below the folder")
                    .to_owned();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

/// Copies a checkpoint of the repository to `folder/checkpoint`.
pub fn copy_checkpoint(from: &str, folder: &Path) -> PathBuf {
    let to = folder.join("checkpoint");
    fs::create_dir(&to).expect("a folder");
    for (name, bytes) in files(&in_repository(from)) {
        fs::write(to.join(name), bytes).expect("copied");
    }
    to
}
