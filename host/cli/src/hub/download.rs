//! One file, from the hub into the cache: what has come is kept, and whoever comes again goes on there.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use ureq::http::StatusCode;
use ureq::http::header::CONTENT_RANGE;

use super::cache::Store;
use super::client::{Announced, Client, shortened};
use super::error::HubError;
use crate::watch;

/// Connections in a row that bring nothing before the download is given up.
const TRIES: u32 = 4;
/// How long to wait before the second of them; twice as long before each later one.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Bytes that are read at a time.
const PIECE: usize = 1 << 18;

/// What has come of a file.
struct Partial {
    path: PathBuf,
    file: File,
    length: u64,
    /// Of all bytes so far, for a file whose digest is known.
    digest: Option<Sha256>,
}

/// Brings a file into the cache, unless it is there.
///
/// # Errors
/// When it cannot be had or kept, or what comes is not what the hub announced.
pub fn download(client: &Client, store: &Store, file: &Announced) -> Result<(), HubError> {
    let blob = store.blob(&file.etag);
    if blob.is_file() {
        return Ok(());
    }
    let _lock = store.lock(&file.etag)?;
    // Whoever held the lock may have brought it.
    if blob.is_file() {
        return Ok(());
    }
    let mut partial = Partial::open(blob.with_extension("incomplete"), file)?;
    let bar = watch::bytes_bar(&file.file, file.size);
    let fetched = fetch(client, file, &mut partial, &bar);
    bar.finish_and_clear();
    fetched?;
    partial.keep(file, blob)
}

/// Fetches what is missing, over as many connections as it takes.
fn fetch(
    client: &Client,
    file: &Announced,
    partial: &mut Partial,
    bar: &ProgressBar,
) -> Result<(), HubError> {
    let mut failures = 0;
    while partial.length < file.size {
        let before = partial.length;
        let Err(error) = transfer(client, file, partial, bar) else {
            continue;
        };
        let passing = error.is_passing() || matches!(error, HubError::Cut { .. });
        if partial.length > before {
            failures = 0;
        }
        failures += 1;
        if !passing || failures == TRIES {
            return Err(error);
        }
        sleep(FIRST_WAIT * (1 << (failures - 1)));
    }
    Ok(())
}

/// Takes what one connection brings.
fn transfer(
    client: &Client,
    file: &Announced,
    partial: &mut Partial,
    bar: &ProgressBar,
) -> Result<(), HubError> {
    let answer = client.open(file, partial.length)?;
    let status = answer.status();
    if status == StatusCode::PARTIAL_CONTENT {
        let range = answer.headers().get(CONTENT_RANGE);
        let begins = format!("bytes {}-", partial.length);
        if !range.is_some_and(|range| range.as_bytes().starts_with(begins.as_bytes())) {
            return Err(HubError::answer(
                &file.file,
                format!(
                    "it has another range than that from byte {} on",
                    partial.length
                ),
            ));
        }
    } else if partial.length > 0 {
        // The server has no ranges, or not this one.
        partial.restart()?;
    }
    bar.set_position(partial.length);
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        return Ok(());
    }
    let mut body = answer.into_body().into_reader();
    let mut piece = vec![0; PIECE];
    loop {
        let cut = |partial: &Partial, reason: &str| HubError::Cut {
            file: file.file.clone(),
            bytes: partial.length,
            total: file.size,
            reason: shortened(reason),
        };
        match body.read(&mut piece) {
            Ok(0) if partial.length < file.size => return Err(cut(partial, "it ended too early")),
            Ok(0) => return Ok(()),
            Ok(n) if n as u64 > file.size - partial.length => {
                partial.restart()?;
                return Err(HubError::answer(
                    &file.file,
                    format!("it has more than the {} bytes announced", file.size),
                ));
            }
            Ok(n) => {
                partial.append(&piece[..n])?;
                bar.set_position(partial.length);
            }
            Err(error) => return Err(cut(partial, &error.to_string())),
        }
    }
}

impl Partial {
    /// What has come so far, if anything has.
    fn open(path: PathBuf, of: &Announced) -> Result<Partial, HubError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(HubError::io("write", folder))?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(HubError::io("write", &path))?;
        let mut partial = Partial {
            path,
            file,
            length: 0,
            digest: of.sha256.as_ref().map(|_| Sha256::new()),
        };
        partial.take_in()?;
        if partial.length > of.size {
            partial.restart()?;
        }
        Ok(partial)
    }

    /// Counts and digests the bytes that are there.
    fn take_in(&mut self) -> Result<(), HubError> {
        let Partial { file, digest, .. } = self;
        self.length = match digest {
            Some(digest) => std::io::copy(file, digest),
            None => file.seek(SeekFrom::End(0)),
        }
        .map_err(HubError::io("read", &self.path))?;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file
            .write_all(bytes)
            .map_err(HubError::io("write", &self.path))?;
        self.length += bytes.len() as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        Ok(())
    }

    /// Throws away what has come.
    fn restart(&mut self) -> Result<(), HubError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(HubError::io("write", &self.path))?;
        self.length = 0;
        self.digest = self.digest.as_ref().map(|_| Sha256::new());
        Ok(())
    }

    /// Keeps the whole file, if it is what was announced.
    fn keep(mut self, of: &Announced, blob: PathBuf) -> Result<(), HubError> {
        if let (Some(digest), Some(expected)) = (&self.digest, &of.sha256) {
            let found: String = digest
                .clone()
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            if found != expected.to_ascii_lowercase() {
                self.restart()?;
                return Err(HubError::Digest {
                    file: of.file.clone(),
                    expected: expected.clone(),
                    found,
                });
            }
        }
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.path, &blob))
            .map_err(HubError::io("write", blob))
    }
}
