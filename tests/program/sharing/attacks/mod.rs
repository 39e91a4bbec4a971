//! What registries, networks and neighbours could try, and by which error each of it ends. The table is
//! printed.

mod content;
mod names;
mod neighbours;
mod signatures;
mod transport;

use std::fs;
use std::io::Write as _;

use serde_json::Value;

use super::docker_registry::Registry;
use super::hostile_registry::{COMPONENT, Shelf, component, manifest, pull, shelf};
use super::{Person, script};
use crate::support::{Outcome, files};

/// Something that is tried.
struct Attack {
    name: &'static str,
    /// What the error must say.
    says: &'static [&'static str],
    /// Tries it: who was attacked, and what they were told.
    try_it: Box<dyn Fn() -> (Person, Outcome)>,
}

fn attack(
    name: &'static str,
    says: &'static [&'static str],
    try_it: impl Fn() -> (Person, Outcome) + 'static,
) -> Attack {
    Attack {
        name,
        says,
        try_it: Box::new(try_it),
    }
}

/// Pulls from a registry that holds something bad.
fn holding(change: impl Fn(&mut Shelf)) -> (Person, Outcome) {
    let mut shelf = shelf();
    change(&mut shelf);
    pull(&shelf.serve(|_, reply| reply))
}

/// Pulls from a registry whose manifest is bad.
fn with_manifest(change: impl Fn(&mut Value)) -> (Person, Outcome) {
    holding(|shelf| {
        let mut changed = manifest(COMPONENT, &component());
        change(&mut changed);
        shelf.put("1", &changed);
    })
}

/// Somebody who has pulled a signed strategy from a real registry.
fn with_a_cache() -> (Registry, Person, String) {
    let registry = Registry::plain();
    let person = Person::new();
    let name = format!("{}/team/x:1", registry.host());
    person.write("x.rhai", &script("1.0.0"));
    person.pushes("x.rhai", &name);
    person.trusts_own_key(&registry.host());
    person.signs(&name, "own.key");
    person.types(&["strategy", "add", &name]).succeeded();
    fs::remove_file(person.work().join("x.rhai")).expect("removed");
    (registry, person, name)
}

#[test]
fn attacks_are_refused_by_name() {
    let all = [
        ("transport", transport::all()),
        ("content", content::all()),
        ("names", names::all()),
        ("signatures", signatures::all()),
        ("neighbours", neighbours::all()),
    ];
    let (mut table, mut tried, mut missed) = (String::from("\n"), 0, 0);
    for (kind, attacks) in all {
        for attack in attacks {
            tried += 1;
            let (person, outcome) = (attack.try_it)();
            let fault = fault(&attack, &person, &outcome);
            let word = if fault.is_none() { "refused" } else { "MISSED" };
            let told = outcome
                .stderr
                .lines()
                .find(|line| line.starts_with("error: "));
            let told: String = told.unwrap_or_default().chars().take(110).collect();
            table.push_str(&format!("{word:8} {kind:11} {:48} {told}\n", attack.name));
            if let Some(fault) = fault {
                missed += 1;
                table.push_str(&format!("         {fault}\n{}\n", outcome.stderr));
            }
        }
    }
    table.push_str(&format!(
        "{tried} attacks by registries, networks and neighbours, {missed} missed\n"
    ));
    // Past what tests print, so that the table stands in the output of those that pass as well.
    std::io::stdout()
        .write_all(table.as_bytes())
        .expect("printed");
    assert_eq!(missed, 0, "{table}");
}

/// Why an attack did not end as it should.
fn fault(attack: &Attack, person: &Person, outcome: &Outcome) -> Option<String> {
    if outcome.code != Some(1) {
        return Some(format!("it ended with {:?}", outcome.code));
    }
    let says = attack.says.iter().chain(&["error: ", "hint: "]);
    if let Some(word) = says.copied().find(|word| !outcome.stderr.contains(word)) {
        return Some(format!("`{word}` is not said"));
    }
    if let Some(c) = outcome
        .stderr
        .chars()
        .find(|&c| c != '\n' && c.is_control())
    {
        return Some(format!("{c:?} is printed"));
    }
    let made = files(person.work().as_path());
    if let Some(left) = made
        .keys()
        .find(|file| file.starts_with("taken") || file.starts_with("taken.wasm"))
    {
        return Some(format!("`{}` was written", left.display()));
    }
    if person.cache().is_dir() {
        let unfinished = files(&person.cache());
        let left = unfinished
            .keys()
            .find(|file| file.display().to_string().contains(".new-"));
        return left.map(|left| format!("`{}` is left in the cache", left.display()));
    }
    None
}
