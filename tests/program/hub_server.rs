//! A small hub on the loopback address: the addresses, headers and answers of the real one.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;

use crate::server::{Asked, Reply, Server, sha256};
use crate::support::in_repository;

/// The commit of [`Repository::of`].
pub const COMMIT: &str = "1111111111111111111111111111111111111111";

/// The repository `org/name` of a hub.
#[derive(Clone)]
pub struct Repository {
    pub files: BTreeMap<String, Vec<u8>>,
    /// What its revisions are.
    pub revisions: BTreeMap<String, String>,
    /// Where large files lie; empty: on the hub itself.
    pub large_files: String,
}

impl Repository {
    /// A folder of this repository as `main`.
    pub fn of(folder: &str) -> Repository {
        let files = crate::support::files(&in_repository(folder));
        let name = |path: std::path::PathBuf| path.display().to_string();
        let files = files.into_iter().map(|(path, bytes)| (name(path), bytes));
        Repository {
            files: files.collect(),
            revisions: BTreeMap::from([("main".into(), COMMIT.into())]),
            large_files: String::new(),
        }
    }

    /// The same, served.
    pub fn serve(self) -> Server {
        Server::start(move |asked| self.answer(asked))
    }

    pub fn answer(&self, asked: &Asked) -> Reply {
        let path = &asked.path;
        if let Some(revision) = path.strip_prefix("/api/models/org/name/revision/") {
            let revision = revision.replace("%2F", "/");
            let is_commit = self.revisions.values().any(|commit| *commit == revision);
            let commit = self
                .revisions
                .get(&revision)
                .or(is_commit.then_some(&revision));
            return match commit {
                Some(commit) => Reply {
                    body: self.info(commit),
                    ..Reply::status(200)
                },
                None => Reply::error(404, "RevisionNotFound"),
            };
        }
        let at_commit = path.strip_prefix("/org/name/resolve/");
        if let Some((commit, file)) = at_commit.and_then(|rest| rest.split_once('/')) {
            let known = self.revisions.values().any(|at| at == commit);
            return match self.files.get(file) {
                Some(bytes) if known => self.file(asked, file, bytes, commit),
                _ => Reply::error(404, "EntryNotFound"),
            };
        }
        let large = path
            .strip_prefix("/large/")
            .and_then(|file| self.files.get(file));
        match large {
            Some(bytes) => ranged(asked, bytes),
            None => Reply::error(401, "RepoNotFound"),
        }
    }

    fn info(&self, commit: &str) -> Vec<u8> {
        let siblings = self.files.keys().map(|name| json!({"rfilename": name}));
        let siblings: Vec<_> = siblings.collect();
        json!({"sha": commit, "siblings": siblings, "id": "org/name"})
            .to_string()
            .into_bytes()
    }

    fn file(&self, asked: &Asked, file: &str, bytes: &[u8], commit: &str) -> Reply {
        if file.ends_with(".safetensors") {
            return Reply::status(302)
                .with("X-Repo-Commit", commit)
                .with("X-Linked-Etag", format!("\"{}\"", sha256(bytes)))
                .with("X-Linked-Size", bytes.len())
                .with("Location", format!("{}/large/{file}", self.large_files));
        }
        // The hub's are git's own; any name that changes with the content does.
        let etag = &sha256(bytes)[..40];
        ranged(asked, bytes)
            .with("X-Repo-Commit", commit)
            .with("ETag", format!("\"{etag}\""))
    }
}

/// All of a file, or what comes from the byte on that was asked for.
pub fn ranged(asked: &Asked, bytes: &[u8]) -> Reply {
    let range = asked.header("range").and_then(|range| {
        let start = range.strip_prefix("bytes=")?.strip_suffix('-')?;
        start.parse::<usize>().ok()
    });
    match range {
        None => Reply {
            body: bytes.to_owned(),
            ..Reply::status(200)
        },
        Some(start) if start < bytes.len() => Reply {
            body: bytes[start..].to_owned(),
            ..Reply::status(206)
        }
        .with(
            "Content-Range",
            format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()),
        ),
        Some(_) => Reply::status(416),
    }
}

/// The bytes of a file in this repository.
pub fn file(path: &str) -> Vec<u8> {
    fs::read(in_repository(path)).expect("a file")
}
