//! `sc-host strategy new`: the project of a new strategy.

mod project;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use sc_core::role::Role;
use serde::Serialize;

use self::project::{File, Project};
use crate::args::{Language, NewArguments};
use crate::failure::Mistake;
use crate::report;

/// Longest name, in bytes: as long as a strategy's name may be.
const MAX_NAME_BYTES: usize = 64;

/// What was written, and how it becomes a strategy.
#[derive(Serialize)]
struct Written<'a> {
    /// The project's folder.
    dir: &'a str,
    /// Shell lines that build it, run in `dir`.
    build: Vec<&'static str>,
    /// What they make, in `dir`.
    artifact: String,
}

pub fn new(arguments: &NewArguments) -> anyhow::Result<ExitCode> {
    let name = checked_name(&arguments.name)?;
    let project = Project {
        name,
        language: arguments.lang,
        roles: checked_roles(&arguments.roles)?,
    };
    let folder = Path::new(name);
    check_free(folder)?;
    write(folder, &project.files())?;
    let written = Written {
        dir: name,
        build: match project.language {
            Language::Rhai => Vec::new(),
            Language::Rust | Language::Python => vec!["bash build.sh"],
        },
        artifact: project.artifact(),
    };
    if arguments.json {
        report::json_line(&written)?;
    } else {
        let mut lines = vec![format!("cd {name}")];
        lines.extend(written.build.iter().map(|&line| line.to_owned()));
        for command in ["strategy check", "strategy test", "run --strategy"] {
            lines.push(format!("sc-host {command} {}", written.artifact));
        }
        report::text(&format!(
            "{name} is written; its README.md says what is where. Next:\n\n    {}\n",
            lines.join("\n    ")
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The name names a folder, a package and the strategy itself, so it has what suits all of them.
fn checked_name(name: &str) -> anyhow::Result<&str> {
    let fits = name.len() <= MAX_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
    if fits {
        return Ok(name);
    }
    Err(Mistake::error(
        format!(
            "NAME is `{name}`; expected a lower-case letter, then lower-case letters, digits, `-` \
             or `_`, {MAX_NAME_BYTES} at most"
        ),
        "choose such a name; to write the project elsewhere, go to that folder first",
    ))
}

/// The roles in the order in which a round asks them, each once.
fn checked_roles(given: &[String]) -> anyhow::Result<Vec<Role>> {
    let mut roles = Vec::new();
    for name in given {
        roles.push(Role::from_name(name).ok_or_else(|| {
            let known = Role::ALL.map(Role::name).join(", ");
            Mistake::error(
                format!("--role is `{name}`; expected some of {known}"),
                "several roles are given as `--role data-filter,quality-gate`",
            )
        })?);
    }
    roles.sort_unstable();
    roles.dedup();
    Ok(roles)
}

/// Refuses a place where something is already.
fn check_free(folder: &Path) -> anyhow::Result<()> {
    let taken = |what: &str| {
        Err(Mistake::error(
            format!(
                "NAME is `{}`, which is {what}; expected an absent or empty folder",
                folder.display()
            ),
            "choose another name, or move what is there",
        ))
    };
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| cannot_write(folder)),
        Ok(metadata) if !metadata.is_dir() => return taken("there and is no folder"),
        Ok(_) => {}
    }
    let mut entries = fs::read_dir(folder).with_context(|| cannot_write(folder))?;
    match entries.next() {
        Some(_) => taken("a folder with something in it"),
        None => Ok(()),
    }
}

fn cannot_write(folder: &Path) -> String {
    format!("cannot write the project `{}`", folder.display())
}

/// Writes all files beside the folder first, so that it is there whole or not at all.
fn write(folder: &Path, files: &[File]) -> anyhow::Result<()> {
    let unfinished = Unfinished::beside(folder)?;
    for file in files {
        let path = unfinished.path.join(&file.path);
        write_file(&path, file).with_context(|| cannot_write(folder))?;
    }
    unfinished
        .finish(folder)
        .with_context(|| cannot_write(folder))
}

fn write_file(path: &Path, file: &File) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, &file.text)?;
    #[cfg(unix)]
    if file.path.ends_with(".sh") {
        use std::os::unix::fs::PermissionsExt;
        // Whoever may read it may run it.
        let mode = fs::metadata(path)?.permissions().mode();
        fs::set_permissions(path, fs::Permissions::from_mode(mode | (mode & 0o444) >> 2))?;
    }
    Ok(())
}

/// A folder that goes away again unless it is finished.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    fn beside(folder: &Path) -> anyhow::Result<Unfinished> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let path = folder.with_file_name(format!(".{name}.new-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| cannot_write(folder))?;
        Ok(Unfinished { path })
    }

    fn finish(self, folder: &Path) -> std::io::Result<()> {
        // Not every system lets a folder take the place of an empty one.
        match fs::remove_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(&self.path, folder)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // There is none once it has been renamed; and where it cannot be removed, the error that
        // led here is the one to be told.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_suits_a_folder_and_a_package() {
        for name in ["margin", "my-filter_2"] {
            assert!(checked_name(name).is_ok(), "{name}");
        }
        let long = "a".repeat(65);
        for name in ["", "Margin", "2nd", "-a", "../a", "a b", "été", &long] {
            assert!(checked_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_there_is_left_alone() -> anyhow::Result<()> {
        let place = tempfile::tempdir()?;
        let folder = place.path().join("margin");
        fs::create_dir(&folder)?;
        check_free(&folder)?;
        fs::write(folder.join("mine"), "")?;
        assert!(check_free(&folder).is_err());
        assert!(check_free(&folder.join("mine")).is_err());
        Ok(())
    }

    #[test]
    fn a_project_that_cannot_be_finished_leaves_nothing() -> anyhow::Result<()> {
        let place = tempfile::tempdir()?;
        let folder = place.path().join("margin");
        let file = |path: &str| File {
            path: path.into(),
            text: String::new(),
        };
        assert!(write(&folder, &[file("a"), file("a/b")]).is_err());
        assert_eq!(fs::read_dir(place.path())?.count(), 0);
        write(&folder, &[file("a"), file("b/c")])?;
        assert!(folder.join("b/c").is_file());
        Ok(())
    }
}
