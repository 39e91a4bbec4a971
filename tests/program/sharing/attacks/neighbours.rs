//! What others do to a tag, a lock file or a cache.

use std::fs;
use std::path::Path;

use super::{Attack, attack, with_a_cache};
use crate::sharing::{Person, script};
use crate::support::{Outcome, files};

/// What a neighbour's hand in the cache comes to: files that `is` names are changed.
fn in_the_cache(folder: &str, change: impl Fn(&Path)) -> (Person, Outcome) {
    let (registry, person, name) = with_a_cache();
    drop(registry);
    for file in files(&person.cache().join(folder)).into_keys() {
        change(&person.cache().join(folder).join(file));
    }
    let source = format!("oci:{name}");
    let outcome = person.types(&["run", "--offline", "--strategy", &source, "--out", "taken"]);
    (person, outcome)
}

pub(super) fn all() -> Vec<Attack> {
    vec![
        attack(
            "a tag that moved",
            &["has moved", "strategies.lock", "the registry has"],
            || {
                let (registry, person, name) = with_a_cache();
                let other = Person::new();
                other.write("x.rhai", &script("1.0.1"));
                other
                    .types(&["strategy", "push", "x.rhai", &name, "--move-tag"])
                    .succeeded();
                let source = format!("oci:{name}");
                let outcome = person.types(&["run", "--strategy", &source, "--out", "taken"]);
                drop(registry);
                (person, outcome)
            },
        ),
        attack(
            "an older version in the place of the locked",
            &["older than 1.0.0"],
            || {
                let (registry, person, name) = with_a_cache();
                let other = Person::new();
                other.write("x.rhai", &script("0.1.0"));
                other
                    .types(&["strategy", "push", "x.rhai", &name, "--move-tag"])
                    .succeeded();
                let outcome = person.types(&["strategy", "update"]);
                drop(registry);
                (person, outcome)
            },
        ),
        attack(
            "a digest that was changed in the lock file",
            &["not in the cache"],
            || {
                let (registry, person, name) = with_a_cache();
                drop(registry);
                let lock = person.work().join("strategies.lock");
                let text = fs::read_to_string(&lock).expect("a lock file");
                let at = text.find("sha256:").expect("a digest") + "sha256:".len();
                let flipped = if text[at..].starts_with('0') {
                    "1"
                } else {
                    "0"
                };
                let changed = format!("{}{flipped}{}", &text[..at], &text[at + 1..]);
                fs::write(&lock, changed).expect("written");
                let source = format!("oci:{name}");
                let outcome =
                    person.types(&["run", "--offline", "--strategy", &source, "--out", "taken"]);
                (person, outcome)
            },
        ),
        attack(
            "cached files that were changed",
            &["not in the cache"],
            || {
                in_the_cache("sha256", |file| {
                    let mut bytes = fs::read(file).expect("a file");
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    fs::write(file, bytes).expect("written");
                })
            },
        ),
        attack("cached files that were cut", &["not in the cache"], || {
            in_the_cache("sha256", |file| fs::write(file, "").expect("written"))
        }),
        attack(
            "cached signatures that were changed",
            &["may not run"],
            || {
                in_the_cache("signatures", |file| {
                    let text = fs::read_to_string(file).expect("a file");
                    fs::write(
                        file,
                        text.replacen("\"signature\":\"M", "\"signature\":\"N", 1),
                    )
                    .expect("written");
                })
            },
        ),
        attack(
            "cached signatures that are gone",
            &["may not run", "it is not signed"],
            || in_the_cache("signatures", |file| fs::remove_file(file).expect("removed")),
        ),
        attack(
            "a trust policy that is gone",
            &["may not run", "no trust policy"],
            || {
                let (registry, person, name) = with_a_cache();
                fs::remove_file(person.work().join("trust.toml")).expect("removed");
                let source = format!("oci:{name}");
                let outcome = person.types(&["run", "--strategy", &source, "--out", "taken"]);
                drop(registry);
                (person, outcome)
            },
        ),
    ]
}
