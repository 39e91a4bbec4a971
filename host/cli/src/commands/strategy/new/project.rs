//! What a new project is made of: templates, joined by role.

use sc_core::role::Role;

use crate::args::Language;

/// A file of a project; its path is in the project's folder.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

/// A project to be written.
pub(super) struct Project<'a> {
    pub(super) name: &'a str,
    pub(super) language: Language,
    /// At least one, each once, in a round's order.
    pub(super) roles: Vec<Role>,
}

macro_rules! template {
    ($($piece:literal),+) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/", $($piece),+))
    };
}

const CONTRACT: &str = include_str!("../../../../../../wit/0.1.0/strategy.wit");
/// What makes a compiler where rustup cannot download.
const TOOLCHAIN: &str = include_str!("../../../../../../plugins/toolchain.sh");

type Template = (&'static str, &'static str);

const RUST: [Template; 7] = [
    ("README.md", template!("rust/README.md")),
    (".gitignore", template!("rust/gitignore")),
    ("Cargo.toml", template!("rust/Cargo.toml")),
    ("build.sh", template!("rust/build.sh")),
    ("test.sh", template!("rust/test.sh")),
    ("src/lib.rs", template!("rust/src/lib.rs")),
    ("src/guest.rs", template!("rust/src/guest.rs")),
];

const PYTHON: [Template; 7] = [
    ("README.md", template!("python/README.md")),
    (".gitignore", template!("python/gitignore")),
    ("requirements.txt", template!("python/requirements.txt")),
    ("build.sh", template!("python/build.sh")),
    ("test.sh", template!("python/test.sh")),
    ("src/app.py", template!("python/src/app.py")),
    ("src/parameters.py", template!("python/src/parameters.py")),
];

const RHAI: [Template; 2] = [
    ("README.md", template!("rhai/README.md")),
    ("test.sh", template!("rhai/test.sh")),
];

const SCRIPT: &str = template!("rhai/head.rhai");

/// What differs from role to role.
struct Part {
    /// What a strategy does that has this role alone.
    summary: &'static str,
    /// The same in a few words, for one that has several.
    brief: &'static str,
    /// A parameter of the script: name, default, least, most, help.
    parameter: (
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
    ),
    rust: [Template; 2],
    python: [Template; 3],
    rhai: &'static str,
}

/// The templates of a role by its module name.
macro_rules! part {
    ($module:literal, $summary:literal, $brief:literal, $parameter:expr) => {
        Part {
            summary: $summary,
            brief: $brief,
            parameter: $parameter,
            rust: [
                (
                    concat!("src/", $module, ".rs"),
                    template!("rust/src/", $module, ".rs"),
                ),
                (
                    concat!("src/guest/", $module, ".rs"),
                    template!("rust/src/guest/", $module, ".rs"),
                ),
            ],
            python: [
                (
                    concat!("src/decisions/", $module, ".py"),
                    template!("python/src/decisions/", $module, ".py"),
                ),
                (
                    concat!("src/roles/", $module, ".py"),
                    template!("python/src/roles/", $module, ".py"),
                ),
                (
                    concat!("tests/test_", $module, ".py"),
                    template!("python/tests/test_", $module, ".py"),
                ),
            ],
            rhai: template!("rhai/", $module, ".rhai"),
        }
    };
}

fn part(role: Role) -> Part {
    match role {
        Role::Curriculum => part!(
            "curriculum",
            "Draws prompts, each as likely as another.",
            "even draws",
            (
                "share",
                "1.0",
                "0.0",
                "1.0",
                "The part that is drawn of the prompts that the run asks for."
            )
        ),
        Role::DataFilter => part!(
            "data_filter",
            "Keeps the images that the model is sure enough of.",
            "sure images only",
            (
                "min_margin",
                "0.2",
                "0.0",
                "0.5",
                "How far from 0.5 an image's p-yes must lie."
            )
        ),
        Role::PairSelection => part!(
            "pair_selection",
            "Trains on the best image of a prompt, or the best against the worst.",
            "the best against the worst",
            (
                "min_gap",
                "0.2",
                "0.0",
                "1.0",
                "Least difference in p-yes between the two images of a pair."
            )
        ),
        Role::QualityGate => part!(
            "quality_gate",
            "Rolls back a round after which the model understands less.",
            "no loss of understanding",
            (
                "tolerance",
                "0.0",
                "0.0",
                "1.0",
                "How far the intervals must lie apart before a round is rolled back."
            )
        ),
    }
}

/// `data_filter`.
fn module(role: Role) -> String {
    role.name().replace('-', "_")
}

/// `DataFilter`.
fn class(role: Role) -> String {
    let capitalised = |word: &str| word[..1].to_uppercase() + &word[1..];
    role.name().split('-').map(capitalised).collect()
}

impl Project<'_> {
    /// The file that is the strategy.
    pub(super) fn artifact(&self) -> String {
        let extension = match self.language {
            Language::Rhai => "rhai",
            Language::Rust | Language::Python => "wasm",
        };
        format!("{}.{extension}", self.name)
    }

    /// All files of the project.
    pub(super) fn files(&self) -> Vec<File> {
        let parts: Vec<Part> = self.roles.iter().copied().map(part).collect();
        let mut templates: Vec<Template> = Vec::new();
        match self.language {
            Language::Rust => {
                templates.extend(RUST);
                templates.extend(parts.iter().flat_map(|part| part.rust));
            }
            Language::Python => {
                templates.extend(PYTHON);
                templates.extend(parts.iter().flat_map(|part| part.python));
            }
            Language::Rhai => templates.extend(RHAI),
        }
        let words = self.words(&parts);
        let mut files: Vec<File> = templates
            .into_iter()
            .map(|(path, template)| File {
                path: path.into(),
                text: filled(template, &words),
            })
            .collect();
        let mut add = |path: String, text: String| files.push(File { path, text });
        add("wit/strategy.wit".into(), CONTRACT.into());
        match self.language {
            Language::Rust => add("toolchain.sh".into(), TOOLCHAIN.into()),
            Language::Python => {}
            Language::Rhai => {
                let bodies: String = parts.iter().map(|part| part.rhai).collect();
                add(self.artifact(), filled(SCRIPT, &words) + &bodies);
                return files;
            }
        }
        add("wit/world.wit".into(), self.world());
        files
    }

    /// What stands in the templates as `{{word}}`, and what takes its place.
    fn words(&self, parts: &[Part]) -> Vec<(&'static str, String)> {
        let lines = |line: &dyn Fn(Role) -> String| -> String {
            let lines: Vec<String> = self.roles.iter().copied().map(line).collect();
            lines.join("\n")
        };
        let mut words = vec![
            ("name", self.name.to_owned()),
            ("artifact", self.artifact()),
            ("summary", summary(parts)),
        ];
        match self.language {
            Language::Rust => words.extend([
                (
                    "public_modules",
                    lines(&|role| format!("pub mod {};", module(role))),
                ),
                ("modules", lines(&|role| format!("mod {};", module(role)))),
                (
                    "roles",
                    lines(&|role| format!("                Role::{},", class(role))),
                ),
                (
                    "parameters",
                    lines(&|role| format!("                {}::parameters(),", module(role))),
                ),
                ("checks", self.rust_checks()),
            ]),
            Language::Python => words.extend([
                (
                    "modules",
                    lines(&|role| format!("from roles import {}", module(role))),
                ),
                (
                    "classes",
                    lines(&|role| format!("from roles.{} import {}", module(role), class(role))),
                ),
                (
                    "roles",
                    lines(&|role| {
                        format!(
                            "    Role.{}: {},",
                            module(role).to_uppercase(),
                            module(role)
                        )
                    }),
                ),
            ]),
            Language::Rhai => {
                let constants = parts.iter().map(|part| {
                    let (name, default, ..) = part.parameter;
                    format!("const {} = {default};", name.to_uppercase())
                });
                let about = parts.iter().map(|part| {
                    let (name, _, minimum, maximum, help) = part.parameter;
                    format!(
                        "            {name}: #{{\n                help: \"{help}\",\n                \
                         minimum: {minimum},\n                maximum: {maximum},\n            }},"
                    )
                });
                words.push(("constants", constants.collect::<Vec<_>>().join("\n")));
                words.push(("about", about.collect::<Vec<_>>().join("\n")));
            }
        }
        words
    }

    /// How the settings of each role are checked.
    fn rust_checks(&self) -> String {
        let mut checks: Vec<String> = self
            .roles
            .iter()
            .map(|&role| {
                let (class, module) = (class(role), module(role));
                format!("            Role::{class} => {module}::settings(&settings).map(drop),")
            })
            .collect();
        if self.roles.len() < Role::ALL.len() {
            let other =
                "            other => Err(format!(\"{other:?} is no role of this strategy\")),";
            checks.push(other.into());
        }
        checks.join("\n")
    }

    fn world(&self) -> String {
        let exports: String = self
            .roles
            .iter()
            .map(|role| format!("  export {role};\n"))
            .collect();
        format!(
            "package sc:strategy@0.1.0;\n\n/// What this strategy is. One that asks for the services \
             `candidate` or `model` has\n/// `import model;` here as well.\nworld project {{\n  \
             include imports;\n  export about;\n{exports}}}\n"
        )
    }
}

/// What the strategy does, in a sentence.
fn summary(parts: &[Part]) -> String {
    if let [only] = parts {
        return only.summary.into();
    }
    let brief: Vec<&str> = parts.iter().map(|part| part.brief).collect();
    let joined = brief.join(", ");
    joined[..1].to_uppercase() + &joined[1..] + "."
}

fn filled(template: &str, words: &[(&'static str, String)]) -> String {
    words
        .iter()
        .fold(template.to_owned(), |text, (word, value)| {
            text.replace(&format!("{{{{{word}}}}}"), value)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_gap_is_left_open() {
        let several: [&[Role]; 3] = [
            &[Role::DataFilter],
            &[Role::Curriculum, Role::QualityGate],
            &Role::ALL,
        ];
        for language in [Language::Rust, Language::Rhai, Language::Python] {
            for roles in several {
                let project = Project {
                    name: "tried",
                    language,
                    roles: roles.to_vec(),
                };
                let mut paths = std::collections::BTreeSet::new();
                for File { path, text } in project.files() {
                    assert!(
                        !text.contains("{{"),
                        "{language:?} {roles:?}: {path}\n{text}"
                    );
                    assert!(text.ends_with('\n'), "{path}");
                    assert!(paths.insert(path.clone()), "{path} is there twice");
                }
                assert!(paths.contains("wit/strategy.wit") && paths.contains("README.md"));
            }
        }
    }
}
