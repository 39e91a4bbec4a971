//! To a registry and back.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::docker_registry::{Registry, USER};
use super::{Person, script};
use crate::support::{in_repository, repository_path};

#[test]
fn pushed_from_one_cache_pulled_in_another_and_run_by_the_lock_also_offline() {
    let registry = Registry::plain();
    let name = format!("{}/team/margin:0.1.0", registry.host());
    let source = format!("oci:{name}");
    let (author, colleague) = (Person::new(), Person::new());
    let digest = author.pushes(&repository_path("plugins/margin.wasm"), &name);
    author.trusts_own_key(&registry.host());
    let signed = format!("{}@{digest}", name.replace(":0.1.0", ""));
    let key = author.json(&["strategy", "sign", &signed, "--key", "own.key"])["key"].clone();
    let ledger = author.runs(&source, "one", &[]);

    for file in ["strategies.lock", "trust.toml", "own.pub"] {
        fs::copy(author.work().join(file), colleague.work().join(file)).expect("copied");
    }
    let pulled = colleague.json(&["strategy", "pull", &name, "--to", "margin.wasm"]);
    assert_eq!(
        (&pulled["digest"], &pulled["signature"]["trusted"]),
        (&json!(digest), &json!(true))
    );
    let bytes = fs::read(colleague.work().join("margin.wasm")).expect("a file");
    assert!(bytes == fs::read(in_repository("plugins/margin.wasm")).expect("a file"));
    assert_eq!(colleague.runs(&source, "one", &[]), ledger);

    // With nobody to ask, by what the cache has.
    drop(registry);
    assert_eq!(colleague.runs(&source, "two", &[]), ledger);
    assert_eq!(colleague.runs(&source, "three", &["--offline"]), ledger);
    let stranger = Person::new();
    let pinned = format!("{name}@{digest}");
    stranger.fails(
        &["strategy", "pull", "--offline", &pinned],
        &["not in the cache", "--offline"],
    );
    let elsewhere = format!("localhost:1/team/margin@{digest}");
    colleague.fails(
        &["strategy", "pull", "--offline", &elsewhere],
        &["not in the cache"],
    );
    stranger.fails(&["strategy", "pull", &name], &["cannot be reached"]);
    stranger.fails(
        &["strategy", "pull", "--offline", &name],
        &["no entry of strategies.lock", "strategy add"],
    );

    let first: Value = serde_json::from_str(ledger.lines().next().expect("a row")).expect("JSON");
    let file = format!("sha256:{}", crate::server::sha256(&bytes));
    let expected = json!({
        "round": 1, "strategy": "margin", "version": "0.1.0", "digest": file,
        "artifact": format!("{name}@{digest}"), "trust": "signed", "key": key,
    });
    let rows = ledger
        .lines()
        .map(|row| serde_json::from_str::<Value>(row).expect("JSON"));
    assert!(rows.clone().any(|row| row == expected), "{first}");
    // The configuration names the digests, and runs again as it is: the lock file is not needed for it.
    let configuration =
        fs::read_to_string(colleague.work().join("one/config.toml")).expect("a file");
    assert!(
        configuration.contains(&format!("source = \"{source}@{digest}\"")),
        "{configuration}"
    );
    fs::remove_file(colleague.work().join("strategies.lock")).expect("removed");
    let again = [
        "run",
        "--config",
        "one/config.toml",
        "--trust",
        "trust.toml",
        "--out",
        "four",
    ];
    colleague.types(&again).succeeded();
    let again = fs::read_to_string(colleague.work().join("four/ledger.jsonl")).expect("a ledger");
    assert_eq!(again, ledger);
    assert!(!colleague.work().join("strategies.lock").exists());
}

#[test]
fn a_run_is_resumed_with_the_strategy_that_it_began_with() {
    let registry = Registry::plain();
    let name = format!("{}/team/all:1", registry.host());
    let person = Person::new();
    person.write("all.rhai", &script("1.0.0"));
    let digest = person.pushes("all.rhai", &name);
    let allowance = format!("{}/team/all@{digest}", registry.host());
    person.runs(
        &format!("oci:{name}"),
        "out",
        &["--allow-unsigned", &allowance],
    );
    // The tag moves; the run does not care.
    person.write("all.rhai", &script("1.0.1"));
    person
        .types(&["strategy", "push", "all.rhai", &name, "--move-tag"])
        .succeeded();
    person
        .types(&["run", "--resume", "out", "--rounds", "3"])
        .succeeded();
    let ledger = fs::read_to_string(person.work().join("out/ledger.jsonl")).expect("a ledger");
    let rows: Vec<Value> = ledger
        .lines()
        .map(|row| serde_json::from_str(row).expect("JSON"))
        .filter(|row: &Value| row.get("trust").is_some())
        .collect();
    let told: Vec<_> = rows
        .iter()
        .map(|row| (&row["round"], &row["version"], &row["trust"]))
        .collect();
    let (version, trust) = (json!("1.0.0"), json!("allowed-unsigned"));
    assert_eq!(
        told,
        [(&json!(1), &version, &trust), (&json!(3), &version, &trust)]
    );
}

#[test]
fn scripts_travel_too_and_can_be_looked_at_where_they_are() {
    let registry = Registry::plain();
    let name = format!("{}/team/margin-of-ours:1", registry.host());
    let person = Person::new();
    let digest = person.pushes(&repository_path("scripts/margin.rhai"), &name);
    let source = format!("oci:{name}");
    let inspected = person.json(&["strategy", "inspect", &source]);
    assert_eq!(inspected["kind"], "script");
    // A script has the name by which it is called.
    assert_eq!(inspected["name"], "margin-of-ours");
    assert_eq!(inspected["artifact"], format!("{name}@{digest}"));
    assert_eq!(inspected["signature"]["trusted"], false);
    let checked = person.json(&["strategy", "check", &source]);
    assert_eq!(checked["checked"][0]["parameters"]["min_margin"], 0.2);
    assert_eq!(person.json(&["strategy", "test", &source])["passed"], true);
    person.pushes(
        &repository_path("plugins/margin.wasm"),
        &format!("{}/team/margin:1", registry.host()),
    );
    // Looking at a strategy writes nothing here.
    assert_eq!(fs::read_dir(person.work()).expect("a folder").count(), 0);
    person
        .types(&["strategy", "pull", &name, "--to", "own.rhai"])
        .succeeded();
    let script = fs::read(in_repository("scripts/margin.rhai")).expect("a script");
    assert!(fs::read(person.work().join("own.rhai")).expect("a file") == script);
    person.fails(
        &["strategy", "pull", &name, "--to", "own.wasm"],
        &["`own.wasm`", ".rhai"],
    );
    person.fails(
        &["strategy", "pull", &name, "--to", "own.rhai"],
        &["is there already"],
    );

    let run = [
        "run",
        "--out",
        "run",
        "--rounds",
        "1",
        "--prompts",
        "20",
        "--evaluate",
        "40",
    ];
    person.types(&run).succeeded();
    let twin = format!("oci:{}/team/margin:1", registry.host());
    let replayed = person.json(&["replay", "run", "--strategy", &source]);
    assert_eq!(
        replayed,
        person.json(&["replay", "run", "--strategy", &twin])
    );
}

#[test]
fn the_same_file_has_the_same_digest_and_a_tag_is_not_moved_by_accident() {
    let (registry, other) = (Registry::plain(), Registry::plain());
    let person = Person::new();
    person.write("all.rhai", &script("1.0.0"));
    let name = format!("{}/team/all:1", registry.host());
    let digest = person.pushes("all.rhai", &name);
    assert_eq!(person.pushes("all.rhai", &name), digest);
    assert_eq!(
        person.pushes("all.rhai", &format!("{}/x/y:2", other.host())),
        digest
    );
    person.write("all.rhai", &script("1.0.1"));
    person.fails(
        &["strategy", "push", "all.rhai", &name],
        &[&digest, "is there already", "--move-tag"],
    );
    let moved = person.json(&["strategy", "push", "all.rhai", &name, "--move-tag"]);
    assert_ne!(moved["digest"], digest);
    person.write("bad.rhai", "fn data_filter(");
    for (file, reference, word) in [
        ("bad.rhai", name.as_str(), "bad.rhai"),
        ("none.wasm", &name, "does not exist"),
        ("builtin:verdict", &name, "built into"),
        ("all.rhai", "team/all:1", "registry"),
        (
            "all.rhai",
            &format!("{}/all@{digest}", registry.host()),
            "has a digest",
        ),
        ("all.rhai", &format!("{}/all:..", registry.host()), "tag"),
    ] {
        person.fails(&["strategy", "push", file, reference], &[word]);
    }
}

/// The folder of a Docker configuration with that text.
fn docker(person: &Person, configuration: &Value) -> String {
    let folder = person.home().join("docker");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("config.json"), configuration.to_string()).expect("written");
    folder.display().to_string()
}

#[test]
fn with_tls_and_credentials_as_docker_has_them() {
    let registry = Registry::guarded();
    let name = format!("{}/team/all:1", registry.host());
    let person = || {
        let person = Person::new();
        person.write("all.rhai", &script("1.0.0"));
        person
    };
    let push = ["strategy", "push", "all.rhai", &name];
    person().fails(
        &push,
        &["shows no certificate that is trusted", "SSL_CERT_FILE"],
    );
    let knowing = || person().with("SSL_CERT_FILE", &registry.authority());
    knowing().fails(&push, &["401", "without credentials", "docker login"]);

    let auth = |user: &str, password: &str| {
        let auth = STANDARD.encode(format!("{user}:{password}"));
        json!({"auths": {registry.host(): {"auth": auth}}})
    };
    let stranger = knowing();
    let folder = docker(&stranger, &auth(USER.0, "guessed"));
    stranger
        .with("DOCKER_CONFIG", &folder)
        .fails(&push, &["401", "with the credentials of `team`"]);

    let author = knowing();
    let folder = docker(&author, &auth(USER.0, USER.1));
    let author = author.with("DOCKER_CONFIG", &folder);
    let digest = author.pushes("all.rhai", &name);
    let key = author.types(&["strategy", "keygen", "own"]);
    key.succeeded();
    author.signs(&name, "own.key");

    // A helper, as desktops have them.
    let colleague = knowing();
    let folder = docker(&colleague, &json!({"credsStore": "of-tests"}));
    let helper = colleague.home().join("docker-credential-of-tests");
    let says = json!({"ServerURL": registry.host(), "Username": USER.0, "Secret": USER.1});
    fs::write(
        &helper,
        format!("#!/bin/sh\ncat > /dev/null\necho '{says}'\n"),
    )
    .expect("written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("set");
    }
    let path = format!(
        "{}:{}",
        colleague.home().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let colleague = colleague.with("DOCKER_CONFIG", &folder).with("PATH", &path);
    fs::copy(
        author.work().join("own.pub"),
        colleague.work().join("own.pub"),
    )
    .expect("copied");
    let verified = colleague.json(&["strategy", "verify", &name, "--key", "own.pub"]);
    assert_eq!(verified["digest"], digest);

    let broken = knowing();
    let folder = docker(&broken, &json!({"credsStore": "that-is-not-there"}));
    broken
        .with("DOCKER_CONFIG", &folder)
        .fails(&push, &["credentials", &registry.host(), "config.json"]);
}
