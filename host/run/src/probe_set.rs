//! A labelled probe set in a file: images with statements that people have called true or false.
//!
//! A JSON object a line: `image` (a PNG, by its path from the file's folder), `statement` and `truth`.
//! Where no renderer knows the truth, this is what understanding is measured by.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sc_world::Picture;
use serde::{Deserialize, Serialize};

use crate::error::RunError;
use crate::task::LabelledImage;

/// Most bytes of a picture's file.
const MOST_BYTES: u64 = 64 << 20;

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeRow {
    /// Path of the PNG from the file's folder.
    pub image: PathBuf,
    /// What is said of it, in a prompt's words.
    pub statement: String,
    /// Whether it is so.
    pub truth: bool,
}

/// The rows of `file`, each with its line from 1; none where there is no such file.
///
/// # Errors
/// When it cannot be read, or a line is no row.
pub fn rows(file: &Path) -> Result<Vec<(usize, ProbeRow)>, RunError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RunError::io("read", file)(error)),
    };
    let numbered = (1..).zip(text.lines());
    numbered
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(line, text)| {
            let row = serde_json::from_str(text);
            let row = row.map_err(|error| unfit(file, line, error.to_string()))?;
            Ok((line, row))
        })
        .collect()
}

/// Adds a row.
///
/// # Errors
/// When it cannot be written.
pub fn append(file: &Path, row: &ProbeRow) -> Result<(), RunError> {
    let add = || {
        let mut line = serde_json::to_vec(row)?;
        line.push(b'\n');
        let mut file = OpenOptions::new().create(true).append(true).open(file)?;
        file.write_all(&line)
    };
    add().map_err(RunError::io("write", file))
}

/// The images of `file`, for a model whose images have `size` pixels a side.
///
/// # Errors
/// When there is none, and when a line is no row or names no PNG of that size.
pub fn read(file: &Path, size: usize) -> Result<Vec<LabelledImage>, RunError> {
    if !file.exists() {
        return Err(unfit(file, 0, "there is no such file".into()));
    }
    let rows = rows(file)?;
    if rows.is_empty() {
        return Err(unfit(file, 1, "there is no row".into()));
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    rows.into_iter()
        .map(|(line, row)| {
            let path = folder.join(&row.image);
            let picture = picture(&path).map_err(|problem| {
                unfit(file, line, format!("`{}`: {problem}", row.image.display()))
            })?;
            if (picture.width(), picture.height()) != (size, size) {
                let (width, height) = (picture.width(), picture.height());
                let found = format!("`{}` has {width}×{height} pixels", row.image.display());
                let expected = format!("{found}; expected {size}×{size}, as the model draws");
                return Err(unfit(file, line, expected));
            }
            Ok(LabelledImage {
                pixels: picture.to_planes(),
                statement: row.statement,
                truth: row.truth,
                category: String::new(),
            })
        })
        .collect()
}

fn picture(path: &Path) -> Result<Picture, String> {
    // Looked at before it is opened: a pipe would wait for ever, a device may never end.
    let about = fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is no regular file".into());
    }
    let size = about.len();
    if size > MOST_BYTES {
        return Err(format!(
            "it is {size} bytes long; at most {MOST_BYTES} are read"
        ));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    Picture::from_png(&bytes).map_err(|error| error.to_string())
}

fn unfit(path: &Path, line: usize, problem: String) -> RunError {
    RunError::ProbeSet {
        path: path.to_owned(),
        line,
        problem,
    }
}
