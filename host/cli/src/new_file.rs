//! Files that a command makes, and that must not be there yet.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::Context;

use crate::failure::Mistake;

/// Checks before the work is done that `file` can be made; `given` is how it was typed.
pub fn check(given: &str, file: &Path) -> anyhow::Result<()> {
    // A link to nothing is there, too: what is written would go elsewhere.
    if file.symlink_metadata().is_ok() {
        return Err(Mistake::error(
            format!("`{given}` is there already"),
            "give another name, or move it away",
        ));
    }
    let folder = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(Mistake::error(
            format!("`{given}`: there is no folder `{}`", folder.display()),
            "make the folder first, or name another",
        ));
    }
    Ok(())
}

/// Writes a file that is not there; one that cannot be written whole does not stay.
pub fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let failed = || format!("cannot write `{}`", file.display());
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file)
        .with_context(failed)?;
    new.write_all(bytes).with_context(|| {
        let left = match fs::remove_file(file) {
            Ok(()) => "",
            Err(_) => ", and a part of it stays there",
        };
        format!("{}{left}", failed())
    })
}
