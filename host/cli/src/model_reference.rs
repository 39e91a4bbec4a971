//! What `--model` names: a folder here, or a model of the Hugging Face Hub.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use crate::failure::Mistake;

/// Most characters of an organisation's or a model's name on the hub.
const MOST_NAME: usize = 96;
/// Most characters of a revision; git itself has no limit, file names have.
const MOST_REVISION: usize = 200;

/// A model as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelReference {
    /// A checkpoint folder on this machine.
    Folder(PathBuf),
    /// A model of the hub.
    Hub(HubReference),
}

/// A model of the hub: `ORG/NAME` or `ORG/NAME@REVISION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubReference {
    repository: String,
    revision: Option<String>,
}

/// What a text can mean, without a look at the disk.
enum Reading {
    Folder,
    Hub(HubReference),
    /// It has the form of neither, and why it names no model of the hub.
    Neither(&'static str),
}

impl ModelReference {
    /// Reads what was typed. What is there as a path is that path, whatever else it could name.
    ///
    /// # Errors
    /// When nothing has that path and the text has the form of a hub name, but is none.
    pub fn parse(typed: &Path) -> anyhow::Result<ModelReference> {
        let folder = || ModelReference::Folder(typed.to_owned());
        if typed.exists() || typed.is_absolute() {
            return Ok(folder());
        }
        // What is not UTF-8 can only be a path.
        match typed.to_str().map_or(Reading::Folder, read) {
            Reading::Folder => Ok(folder()),
            Reading::Hub(reference) => Ok(ModelReference::Hub(reference)),
            Reading::Neither(reason) => Err(Mistake::error(
                format!(
                    "`{}` is no folder here, and no model of the hub: {reason}",
                    typed.display()
                ),
                "a model of the hub is ORG/NAME or ORG/NAME@REVISION; a path that begins with `./` \
                 is always a folder",
            )),
        }
    }

    /// As a record keeps it: parsed again, it is the same, wherever it is parsed.
    pub fn recorded(&self) -> String {
        match self {
            ModelReference::Hub(reference) => reference.to_string(),
            ModelReference::Folder(folder) => {
                let text = folder.display().to_string();
                match read(&text) {
                    Reading::Folder => text,
                    _ if folder.is_absolute() => text,
                    _ => Path::new(".").join(folder).display().to_string(),
                }
            }
        }
    }

    /// The name without a folder's own folder, so that a record does not depend on where it lies.
    pub fn name(&self) -> String {
        match self {
            ModelReference::Hub(reference) => reference.to_string(),
            ModelReference::Folder(folder) => {
                // `.` and `..` have no name of their own.
                let whole = folder.canonicalize().unwrap_or_else(|_| folder.clone());
                let name = whole.file_name().unwrap_or(whole.as_os_str());
                name.to_string_lossy().into_owned()
            }
        }
    }
}

impl HubReference {
    /// Organisation and model, as `ORG/NAME`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The branch, tag or commit; `main` where none was named.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The revision, if it is a whole commit, which never changes.
    pub fn commit(&self) -> Option<&str> {
        self.revision.as_deref().filter(|text| is_commit(text))
    }

    /// The same model at one commit.
    pub fn at(&self, commit: &str) -> HubReference {
        HubReference {
            repository: self.repository.clone(),
            revision: Some(commit.to_owned()),
        }
    }
}

impl Display for HubReference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.revision {
            Some(revision) => write!(f, "{}@{revision}", self.repository),
            None => f.write_str(&self.repository),
        }
    }
}

/// Whether a text is a whole commit: 40 hexadecimal digits, as git and the hub write them.
pub fn is_commit(text: &str) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 40 && text.bytes().all(digit)
}

fn read(text: &str) -> Reading {
    let (repository, revision) = match text.split_once('@') {
        Some((repository, revision)) => (repository, Some(revision)),
        None => (text, None),
    };
    if text.starts_with(['.', '/', '~']) || text.contains('\\') {
        return Reading::Folder;
    }
    let Some((organisation, name)) = repository.split_once('/') else {
        return Reading::Folder;
    };
    if name.contains('/') {
        return Reading::Folder;
    }
    if !is_name(organisation) || !is_name(name) || name.ends_with(".git") {
        return Reading::Neither(
            "its names have 1 to 96 letters, digits, `-`, `_` and `.`, with neither `--` nor `..`, and \
             `-` or `.` at no end",
        );
    }
    if !revision.is_none_or(is_revision) {
        return Reading::Neither(
            "a revision is a branch, a tag or a commit, of letters, digits, `-`, `_`, `.` and `/`",
        );
    }
    Reading::Hub(HubReference {
        repository: repository.to_owned(),
        revision: revision.map(str::to_owned),
    })
}

/// The hub's rules for names of organisations and models.
fn is_name(name: &str) -> bool {
    (1..=MOST_NAME).contains(&name.len())
        && name.bytes().all(is_plain)
        && !name.contains("--")
        && !name.contains("..")
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
}

/// Git's rules for names of branches and tags, without the characters that are rare in them. The name
/// becomes a path in the cache, so no part of it may lead elsewhere.
fn is_revision(revision: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(is_plain)
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.ends_with(".lock")
            && !part.contains("..")
    };
    revision.len() <= MOST_REVISION && !revision.starts_with('-') && revision.split('/').all(part)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Option<ModelReference> {
        ModelReference::parse(Path::new(text)).ok()
    }

    #[test]
    fn texts_are_folders_or_models_of_the_hub() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for text in [
            "org/name",
            "deepseek-ai/Janus-Pro-1B",
            "org/name@main",
            "org/name@refs/pr/1",
            "org/name@v1.0",
            &format!("org/name@{commit}"),
        ] {
            let Some(ModelReference::Hub(reference)) = parsed(text) else {
                panic!("{text} is of the hub");
            };
            assert_eq!(reference.to_string(), text);
            assert_eq!(reference.commit().is_some(), text.ends_with(commit));
        }
        for text in [
            "checkpoint",
            "tiny",
            "./org/name",
            "../org",
            "/org/name",
            "~/name",
            "a/b/c",
            "org/name/",
            "a\\b/c",
            ".",
            "name@main",
            "",
        ] {
            let folder = ModelReference::Folder(PathBuf::from(text));
            assert_eq!(parsed(text), Some(folder), "{text}");
        }
        for text in [
            "org/",
            "org/na me",
            "org/na--me",
            "org/.name",
            "org/name.git",
            "-org/name",
            "org/name@",
            "org/name@../../x",
            "org/name@a//b",
            "org/name@/a",
            "org/name@a b",
            "org/name@-x",
            "org/name@x.lock",
            "https:/name",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn a_folder_that_is_there_wins() {
        // The tests run in the folder of this crate.
        let folder = ModelReference::Folder(PathBuf::from("src/hub"));
        assert_eq!(parsed("src/hub"), Some(folder.clone()));
        assert_eq!(folder.recorded(), "./src/hub");
        assert_eq!(folder.name(), "hub");
    }

    #[test]
    fn both_readings_stand_in_the_error() {
        let error = ModelReference::parse(Path::new("org/na me")).expect_err("neither");
        let message = error.to_string();
        assert!(
            message.contains("no folder") && message.contains("hub"),
            "{message}"
        );
        let mistake = error.downcast_ref::<Mistake>().expect("a mistake");
        assert!(mistake.hint.contains("`./`"), "{}", mistake.hint);
    }

    proptest! {
        /// Whatever is typed, what it comes to is recorded so that it comes to the same.
        #[test]
        fn any_text_is_read_and_recorded_alike(text in ".{0,40}|[a-z.@/-]{1,12}/[a-z.@/-]{0,12}") {
            if let Some(reference) = parsed(&text) {
                let recorded = reference.recorded();
                let again = parsed(&recorded);
                prop_assert!(again.is_some(), "{recorded}");
                prop_assert_eq!(again.map(|again| again.recorded()), Some(recorded.clone()));
                match reference {
                    ModelReference::Hub(_) => prop_assert_eq!(&recorded, &text),
                    ModelReference::Folder(folder) => prop_assert!(
                        Path::new(&recorded) == folder
                            || Path::new(&recorded) == Path::new(".").join(&folder)
                    ),
                }
            }
        }

        /// Nothing that names a revision leaves the folder of revisions.
        #[test]
        fn revisions_stay_inside(text in "[a-z./-]{0,20}") {
            if is_revision(&text) {
                let plain = |part| matches!(part, std::path::Component::Normal(_));
                prop_assert!(Path::new(&text).components().all(plain));
            }
        }
    }
}
