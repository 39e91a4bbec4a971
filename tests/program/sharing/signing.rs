//! Keys, signatures, and on whose word a strategy runs.

use std::fs;

use serde_json::json;

use super::docker_registry::Registry;
use super::{Person, script};
use crate::support::SMALL;

/// A registry with a strategy that nobody has signed.
fn pushed() -> (Registry, Person, String, String) {
    let registry = Registry::plain();
    let person = Person::new();
    let name = format!("{}/team/all:1", registry.host());
    person.write("all.rhai", &script("1.0.0"));
    let digest = person.pushes("all.rhai", &name);
    (registry, person, name, digest)
}

/// A run with the strategy, and what it is refused by.
fn refused(person: &Person, name: &str, more: &[&str], words: &[&str]) {
    let source = format!("oci:{name}");
    let run = [
        &["run", "--strategy", &source, "--out", "out"],
        &SMALL[..],
        more,
    ]
    .concat();
    person.fails(&run, &[&["may not run"], words].concat());
    assert!(!person.work().join("out").exists());
}

#[test]
fn what_nobody_trusted_has_signed_runs_by_name_and_digest_alone() {
    let (registry, person, name, digest) = pushed();
    let host = registry.host();
    let allowance = format!("--allow-unsigned {host}/team/all@{digest}");
    refused(
        &person,
        &name,
        &[],
        &["not signed", "no trust policy", &allowance],
    );
    person.trusts_own_key(&host);
    refused(&person, &name, &[], &["it is not signed", &allowance]);
    let other = digest
        .replace(|c: char| c.is_ascii_digit(), "0")
        .replacen("0000", "sha256", 0);
    let other = format!("sha256:{}", &other[other.len() - 64..]);
    for useless in [
        format!("{host}/team/all@{other}"),
        format!("{host}/team/other@{digest}"),
    ] {
        refused(
            &person,
            &name,
            &["--allow-unsigned", &useless],
            &["it is not signed"],
        );
    }
    let source = format!("oci:{name}");
    person.fails(
        &["run", "--strategy", &source, "--allow-unsigned", &name],
        &["--allow-unsigned", "expected the digest too"],
    );
    let allowed = format!("{host}/team/all@{digest}");
    let ledger = person.runs(&source, "out", &["--allow-unsigned", &allowed]);
    assert!(
        ledger.contains("\"trust\":\"allowed-unsigned\""),
        "{ledger}"
    );
    assert!(!ledger.contains("\"key\""), "{ledger}");
}

#[test]
fn a_signature_by_another_or_for_another_name_or_digest_does_not_count() {
    let (registry, person, name, digest) = pushed();
    let host = registry.host();
    person
        .types(&["strategy", "keygen", "stranger"])
        .succeeded();
    person.trusts_own_key(&host);
    let sign = |name: &str, key: &str| person.signs(name, key);
    sign(&name, "stranger.key");
    refused(&person, &name, &[], &["none of its signatures"]);
    person.fails(
        &["strategy", "verify", &name, "--key", "own.pub"],
        &["no signature", &digest],
    );
    person
        .types(&["strategy", "verify", &name, "--key", "stranger.pub"])
        .succeeded();

    // The same strategy under another name, with that name's signature.
    let twin = format!("{host}/team/twin:1");
    assert_eq!(person.pushes("all.rhai", &twin), digest);
    sign(&twin, "own.key");
    let copied = Person::new();
    fs::copy(person.work().join("own.pub"), copied.work().join("own.pub")).expect("copied");
    copied.trusts(&host, "own.pub");
    copied.types(&["strategy", "verify", &twin]).succeeded();
    refused(&copied, &name, &[], &["none of its signatures"]);
    copied
        .types(&[
            "strategy",
            "verify",
            "--offline",
            &format!("{twin}@{digest}"),
        ])
        .succeeded();

    sign(&name, "own.key");
    sign(&name, "own.key");
    for person in [&person, &copied] {
        let ledger = person.runs(&format!("oci:{name}"), "out", &[]);
        assert!(ledger.contains("\"trust\":\"signed\""), "{ledger}");
    }
    person
        .types(&["strategy", "verify", &name, "--key", "stranger.pub"])
        .succeeded();
}

#[test]
fn the_most_precise_rule_decides_alone() {
    let (registry, person, name, _) = pushed();
    let host = registry.host();
    for key in ["team", "alice"] {
        person.types(&["strategy", "keygen", key]).succeeded();
    }
    person.signs(&name, "team.key");
    let policy = |more: &str| {
        let team = format!("[[strategies]]\nnames = [\"{host}/*\"]\nkeys = [\"team.pub\"]\n");
        person.write("trust.toml", &format!("{team}{more}"));
    };
    policy("");
    person.types(&["strategy", "verify", &name]).succeeded();
    policy(&format!(
        "[[strategies]]\nnames = [\"{host}/team/all\"]\nkeys = [\"alice.pub\"]\n"
    ));
    person.fails(&["strategy", "verify", &name], &["none of its signatures"]);
    policy(&format!(
        "[[strategies]]\nnames = [\"{host}/team/all\"]\nkeys = [\"alice.pub\", \"team.pub\"]\n"
    ));
    person.types(&["strategy", "verify", &name]).succeeded();
    // A mirror's artifacts are signed for the name of the original.
    policy(&format!(
        "[[strategies]]\nnames = [\"{host}/team/all\"]\nkeys = [\"team.pub\"]\nsigned_as = \"ghcr.io/team/all\"\n"
    ));
    person.fails(&["strategy", "verify", &name], &["for another name"]);

    person.write(
        "trust.toml",
        &format!(
            "[[strategies]]\nnames = [\"localhost:1/mirror/*\"]\nkeys = [\"team.pub\"]\n\
             signed_as = \"{host}/team/*\"\n"
        ),
    );
    person.fails(&["strategy", "verify", &name], &["names no key for it"]);

    for (text, words) in [
        (
            "[[strategies]]\nnames = [\"a.b/*\"]\nkeys = [\"team.pub\"]\nsigned_as = \"c.d/x\"\n",
            "signed_as",
        ),
        (
            "[[strategies]]\nnames = []\nkeys = [\"team.pub\"]\n",
            "`names`",
        ),
        (
            "[[strategies]]\nnames = [\"*\"]\nkeys = [\"team.pub\"]\n",
            "`*`",
        ),
        (
            "[[strategies]]\nnames = [\"a.b/x\"]\nkeys = [\"none.pub\"]\n",
            "none.pub",
        ),
        (
            "[[strategies]]\nnames = [\"a.b/x\"]\nkeys = [\"team.key\"]\n",
            "team.key",
        ),
        ("[[strategies]]\nname = [\"a.b/x\"]\n", "name"),
        ("[[registries]]\nhost = \"a/b\"\nredirects = []\n", "`a/b`"),
    ] {
        person.write("trust.toml", text);
        person.fails(&["strategy", "verify", &name], &[words]);
    }
    person.fails(
        &["strategy", "verify", &name, "--trust", "none.toml"],
        &["none.toml"],
    );
}

#[test]
fn keys_are_encrypted_and_private() {
    let person = Person::new();
    let made = person.json(&["strategy", "keygen"]);
    assert_eq!(
        (&made["private"], &made["public"]),
        (&json!("strategies.key"), &json!("strategies.pub"))
    );
    let private = person.work().join("strategies.key");
    let text = fs::read_to_string(&private).expect("a key");
    assert!(
        text.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"),
        "{text}"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&private).expect("a key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    person.fails(
        &["strategy", "keygen"],
        &["strategies.key", "is there already"],
    );
    assert_eq!(fs::read_to_string(&private).expect("a key"), text);
    let careless = Person::new().with("COSIGN_PASSWORD", "");
    careless.fails(&["strategy", "keygen"], &["the password is empty"]);
    assert!(!careless.work().join("strategies.key").exists());

    let (_registry, person, name, digest) = pushed();
    person.types(&["strategy", "keygen", "own"]).succeeded();
    person.fails(
        &["strategy", "sign", &name, "--key", "own.key"],
        &["has no digest", &digest],
    );
    let signed = format!("{}@{digest}", name.replace(":1", ""));
    let mut forgetful = person.command(&["strategy", "sign", &signed, "--key", "own.key"]);
    forgetful.env("COSIGN_PASSWORD", "another");
    let outcome = crate::support::outcome(forgetful);
    assert!(
        outcome.stderr.contains("does not open the key `own.key`"),
        "{}",
        outcome.stderr
    );
    person.fails(
        &["strategy", "sign", &signed, "--key", "own.pub"],
        &["own.pub", "PUBLIC KEY"],
    );
    person.fails(
        &["strategy", "sign", &signed, "--key", "none.key"],
        &["none.key"],
    );
    person.fails(
        &["strategy", "verify", &name, "--key", "own.pub"],
        &["it is not signed"],
    );
}

#[test]
fn many_who_sign_at_once_lose_no_signature() {
    let (registry, person, name, digest) = pushed();
    let artifact = format!("{}/team/all@{digest}", registry.host());
    let keys = ["a", "b", "c", "d"];
    for key in keys {
        person.types(&["strategy", "keygen", key]).succeeded();
    }
    std::thread::scope(|scope| {
        for key in keys {
            let (person, artifact) = (&person, &artifact);
            scope.spawn(move || {
                let file = format!("{key}.key");
                person
                    .types(&["strategy", "sign", artifact, "--key", &file])
                    .succeeded();
            });
        }
    });
    let looking = Person::new();
    for key in keys {
        let file = person.work().join(format!("{key}.pub"));
        let file = file.display().to_string();
        looking
            .types(&["strategy", "verify", &name, "--key", &file])
            .succeeded();
    }
}

#[test]
fn a_policy_of_any_size_costs_little() {
    let (registry, person, name, _) = pushed();
    person.types(&["strategy", "keygen", "k"]).succeeded();
    let host = registry.host();
    let many = |what: &str, n: usize| vec![format!("\"{what}\""); n].join(", ");
    let keys = format!(
        "names = [\"{host}/x\"]\nkeys = [{}]\n",
        many("k.pub", 60_000)
    );
    let names: Vec<String> = (0..50_000).map(|i| format!("\"a.b/x{i}\"")).collect();
    let names = format!("names = [{}]\nkeys = [\"k.pub\"]\n", names.join(", "));
    for rule in [keys, names] {
        person.write("trust.toml", &format!("[[strategies]]\n{rule}"));
        person.fails(
            &["strategy", "verify", &name],
            &["trust.toml", "expected at most"],
        );
    }
    person.write(
        "trust.toml",
        "[[strategies]]\nnames = [\"a\\nhint: run this\"]\nkeys = [\"k.pub\"]\n",
    );
    let outcome = person.types(&["strategy", "verify", &name]);
    assert!(
        !outcome.stderr.contains("\nhint: run this"),
        "{}",
        outcome.stderr
    );
}
