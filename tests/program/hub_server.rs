//! A small hub on the loopback address: the addresses, headers and answers of the real one, a connection a
//! request.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::in_repository;

/// The commit of [`Repository::of`].
pub const COMMIT: &str = "1111111111111111111111111111111111111111";

/// What was asked of a server.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// By names in small letters.
    pub headers: BTreeMap<String, String>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What a server answers.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Breaks the connection after so many bytes of the body.
    pub cut_after: Option<usize>,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply {
            status,
            ..Reply::default()
        }
    }

    pub fn error(status: u16, code: &str) -> Reply {
        Reply::status(status).with("X-Error-Code", code)
    }

    pub fn with(mut self, header: &'static str, value: impl ToString) -> Reply {
        self.headers.push((header, value.to_string()));
        self
    }
}

/// A server, until it is dropped.
pub struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + 'static) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (asked, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (list, stopped) = (Arc::clone(&asked), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // Whoever is asked may hang up: that is the other side's affair.
                let _ = serve(&stream, &list, &answer);
            }
        });
        Server {
            port,
            asked,
            stop,
            thread: Some(thread),
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All that was asked since the last call of this.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().expect("no test has failed"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    mut stream: &TcpStream,
    list: &Mutex<Vec<Asked>>,
    answer: &dyn Fn(&Asked) -> Reply,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next(), words.next());
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let asked = Asked {
        method: method.unwrap_or_default(),
        path: path.unwrap_or_default(),
        headers,
    };
    list.lock().expect("no test has failed").push(asked.clone());
    let reply = answer(&asked);
    let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if reply
        .headers
        .iter()
        .all(|(name, _)| *name != "Content-Length")
    {
        head.push_str(&format!("Content-Length: {}\r\n", reply.body.len()));
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    if asked.method != "HEAD" {
        let sent = reply.cut_after.unwrap_or(reply.body.len());
        stream.write_all(&reply.body[..sent.min(reply.body.len())])?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    // Until the other side has read it all: a closed socket would throw away what is on the way.
    let _ = stream.take(1 << 16).read_to_end(&mut Vec::new());
    Ok(())
}

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

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
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
