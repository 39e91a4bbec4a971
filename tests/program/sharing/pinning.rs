//! `strategies.lock`: what names stand for.

use std::fs;

use serde_json::json;

use super::docker_registry::Registry;
use super::{Person, script};

/// A registry with version 1.0.0 of a strategy, and somebody who has its name in a lock file.
fn pinned() -> (Registry, Person, String, String) {
    let registry = Registry::plain();
    let person = Person::new();
    let name = format!("{}/team/all:1", registry.host());
    person.write("all.rhai", &script("1.0.0"));
    let digest = person.pushes("all.rhai", &name);
    let added = person.json(&["strategy", "add", &name]);
    assert_eq!(added["now"], json!({"digest": digest, "version": "1.0.0"}));
    assert_eq!(added["signature"]["trusted"], false);
    (registry, person, name, digest)
}

fn moves(person: &Person, name: &str, version: &str) -> String {
    person.write("all.rhai", &script(version));
    let moved = person.json(&["strategy", "push", "all.rhai", name, "--move-tag"]);
    moved["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn a_tag_that_moved_is_an_error_until_it_is_updated() {
    let (_registry, person, name, before) = pinned();
    let lock = || fs::read_to_string(person.work().join("strategies.lock")).expect("a lock file");
    let then = lock();
    assert!(then.contains(&format!("digest = \"{before}\"")), "{then}");
    let unchanged = person.types(&["strategy", "update"]).succeeded();
    assert!(
        unchanged.stdout.contains("unchanged"),
        "{}",
        unchanged.stdout
    );

    let now = moves(&person, &name, "1.1.0");
    let source = format!("oci:{name}");
    let update = format!("strategy update {name}");
    let words = ["has moved", before.as_str(), &now, &update];
    for command in [
        vec!["run", "--strategy", &source, "--out", "out"],
        vec!["strategy", "pull", &name],
        vec!["strategy", "add", &name],
        vec!["strategy", "inspect", &source],
        vec!["strategy", "verify", &name, "--key", "own.pub"],
    ] {
        person.fails(&command, &words);
    }
    assert!(!person.work().join("out").exists());
    assert_eq!(lock(), then);
    // What it was is still there by its digest, and without a look at the registry.
    let by_digest = person.json(&["strategy", "inspect", &format!("{source}@{before}")]);
    let offline = person.json(&["strategy", "inspect", "--offline", &source]);
    assert_eq!(
        (&by_digest["version"], &offline["version"]),
        (&json!("1.0.0"), &json!("1.0.0"))
    );

    let updated = person.json(&["strategy", "update", &name]);
    assert_eq!(
        updated["before"],
        json!({"digest": before, "version": "1.0.0"})
    );
    assert_eq!(updated["now"], json!({"digest": now, "version": "1.1.0"}));
    assert_eq!(
        person.json(&["strategy", "inspect", &source])["version"],
        "1.1.0"
    );
}

#[test]
fn an_update_does_not_go_back_unless_it_is_told_to() {
    let (_registry, person, name, before) = pinned();
    let older = moves(&person, &name, "0.9.0");
    person.fails(
        &["strategy", "update"],
        &["version 0.9.0", "older than 1.0.0", "--allow-downgrade"],
    );
    let lock = fs::read_to_string(person.work().join("strategies.lock")).expect("a lock file");
    assert!(lock.contains(&before) && !lock.contains(&older), "{lock}");
    let updated = person.json(&["strategy", "update", "--allow-downgrade"]);
    assert_eq!(updated["now"]["digest"], older);
}

#[test]
fn a_tag_that_is_gone_stays_what_it_was() {
    let (registry, person, name, digest) = pinned();
    registry.removes("team/all", &digest);
    let still = person
        .types(&["strategy", "inspect", &format!("oci:{name}"), "--json"])
        .succeeded();
    assert!(still.stderr.contains("any more"), "{}", still.stderr);
    assert!(still.stdout.contains(&digest), "{}", still.stdout);
    Person::new().fails(&["strategy", "pull", &name], &["has no"]);
}

#[test]
fn what_cannot_be_pinned_is_refused() {
    let (_registry, person, name, digest) = pinned();
    person.fails(
        &["strategy", "update", "localhost:1/other:1"],
        &["no entry", "strategy add"],
    );
    person.fails(
        &["strategy", "add", &format!("{name}@{digest}")],
        &["has a digest"],
    );
    person.fails(&["strategy", "add", &name.replace(":1", ":2")], &["has no"]);
    fs::remove_file(person.work().join("strategies.lock")).expect("removed");
    person.fails(&["strategy", "update"], &["strategies.lock", "no entry"]);
    person.write(
        "strategies.lock",
        "version = 1\n[[strategy]]\nref = \"x\"\n",
    );
    person.fails(&["strategy", "pull", &name], &["strategies.lock", "`x`"]);
}

#[test]
fn the_lock_file_lies_beside_the_configuration() {
    let registry = Registry::plain();
    let person = Person::new();
    let name = format!("{}/team/all:1", registry.host());
    person.write("all.rhai", &script("1.0.0"));
    let digest = person.pushes("all.rhai", &name);
    fs::create_dir(person.work().join("experiment")).expect("a folder");
    person.write(
        "experiment/run.toml",
        &format!(
            "rounds = 1\nprompts_per_round = 20\nallow_unsigned = [\"{}/team/all@{digest}\"]\n\
             [[strategies]]\nsource = \"oci:{name}\"\n",
            registry.host()
        ),
    );
    let run = |out: &str| {
        let arguments = [
            "run",
            "--config",
            "experiment/run.toml",
            "--evaluate",
            "40",
            "--out",
            out,
        ];
        person.types(&arguments)
    };
    let first = run("one").succeeded();
    assert!(first.stderr.contains(&digest), "{}", first.stderr);
    let lock = person.work().join("experiment/strategies.lock");
    let text = fs::read_to_string(&lock).expect("a lock file");
    assert!(!person.work().join("strategies.lock").exists());
    run("two").succeeded();
    assert_eq!(fs::read_to_string(&lock).expect("a lock file"), text);
    // A run that is refused notes nothing.
    fs::remove_file(&lock).expect("removed");
    person.write(
        "experiment/run.toml",
        &format!("[[strategies]]\nsource = \"oci:{name}\"\n"),
    );
    let refused = run("three");
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("may not run"), "{}", refused.stderr);
    assert!(!lock.exists() && !person.work().join("three").exists());
}

#[test]
fn what_was_pulled_is_removed_on_request() {
    let (_registry, person, name, _) = pinned();
    person.types(&["strategy", "pull", &name]).succeeded();
    let kept = person.json(&["strategy", "prune"]);
    assert_eq!((&kept["removed"], &kept["kept"]), (&json!(0), &json!(4)));
    let removed = person.json(&["strategy", "prune", "--unused", "0"]);
    assert_eq!(
        (&removed["removed"], &removed["kept"]),
        (&json!(4), &json!(0))
    );
    person.fails(
        &["strategy", "pull", "--offline", &name],
        &["not in the cache"],
    );
    person.types(&["strategy", "pull", &name]).succeeded();
}

#[test]
fn what_could_not_run_is_not_noted_by_accident() {
    let (registry, person, name, before) = pinned();
    person.trusts_own_key(&registry.host());
    person.signs(&name, "own.key");
    person.types(&["strategy", "update"]).succeeded();
    // Another content under the same version.
    person.write("all.rhai", &format!("{}// Another.\n", script("1.0.0")));
    let moved = person.json(&["strategy", "push", "all.rhai", &name, "--move-tag"]);
    let now = moved["digest"].as_str().expect("a digest");
    person.fails(
        &["strategy", "update"],
        &["could not run", "it is not signed", "--unsigned", now],
    );
    let lock = || fs::read_to_string(person.work().join("strategies.lock")).expect("a lock file");
    assert!(lock().contains(&before), "{}", lock());
    let taken = person
        .types(&["strategy", "update", "--unsigned"])
        .succeeded();
    assert!(
        taken
            .stdout
            .contains("another content under the same version"),
        "{}",
        taken.stdout
    );
    assert!(lock().contains(now), "{}", lock());
    person.types(&["strategy", "remove", &name]).succeeded();
    assert!(!lock().contains(now), "{}", lock());
    person.fails(&["strategy", "remove", &name], &["no entry"]);
    person.fails(&["strategy", "add", &name], &["could not run"]);
}

#[test]
fn a_name_without_its_prefix_is_told_from_a_file() {
    let (_registry, person, name, digest) = pinned();
    let source = format!("expected `oci:{name}`");
    person.fails(&["strategy", "inspect", &name], &[&source]);
    person.fails(&["run", "--strategy", &name], &[&source]);
    person.fails(&["strategy", "push", &name, &name], &["FILE", "PATH.wasm"]);
    person.fails(
        &["strategy", "pull", &format!("oci://{name}")],
        &["no address"],
    );
    person.fails(
        &["strategy", "pull", &name, "--plain-http", "http://10.0.0.7"],
        &["--plain-http", "`http://10.0.0.7`"],
    );
    let artifact = format!("{}@{digest}", name.replace(":1", ""));
    for command in ["check", "test", "bench"] {
        let told = person
            .types(&["strategy", command, &format!("oci:{name}")])
            .succeeded();
        let words = format!("{name}@{digest}: NOT TRUSTED");
        assert!(told.stderr.contains(&words), "{command}: {}", told.stderr);
    }
    person
        .types(&["strategy", "inspect", &format!("oci:{artifact}")])
        .succeeded();
}
