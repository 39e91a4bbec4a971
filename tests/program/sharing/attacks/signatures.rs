//! Signatures that are none, or of something else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Attack, attack, with_a_cache};
use crate::sharing::Person;
use crate::sharing::hostile_registry::{
    COMPONENT, MANIFEST, Shelf, component, host, manifest, shelf,
};
use crate::support::{Outcome, files};

/// Looks for a trusted signature in a registry whose signatures are bad.
fn signed(change: impl Fn(&Person, &mut Shelf)) -> (Person, Outcome) {
    let person = Person::new();
    person.types(&["strategy", "keygen", "own"]).succeeded();
    let mut shelf = shelf();
    change(&person, &mut shelf);
    let server = shelf.serve(|_, reply| reply);
    let reference = format!("{}/team/x:1", host(&server));
    let outcome = person.types(&["strategy", "verify", &reference, "--key", "own.pub"]);
    (person, outcome)
}

/// A signature's layer, and the manifest under the tag where it is looked for.
fn put_signature(shelf: &mut Shelf, payload: &[u8], size: usize, signature: &str, count: usize) {
    let tag = shelf.digest("1").replace(':', "-") + ".sig";
    let payload = shelf.put_blob(payload);
    let layer = json!({
        "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
        "digest": payload,
        "size": size,
        "annotations": {"dev.cosignproject.cosign/signature": signature},
    });
    let mut signatures = manifest(COMPONENT, b"");
    signatures["layers"] = vec![layer; count].into();
    shelf.put(&tag, &signatures);
}

/// Puts a trusted signature from one registry beside what lies in another.
fn replayed(fill: impl Fn(&Person, &mut Shelf)) -> (Person, Outcome) {
    let (registry, person, _) = with_a_cache();
    let kept = files(&person.cache().join("signatures"));
    let kept = kept.into_values().next().expect("signatures");
    let kept: Value = serde_json::from_slice(&kept).expect("JSON");
    let signature = kept[0]["signature"].as_str().expect("text");
    let payload = STANDARD
        .decode(kept[0]["payload"].as_str().expect("text"))
        .expect("base 64");
    let mut shelf = shelf();
    fill(&person, &mut shelf);
    put_signature(&mut shelf, &payload, payload.len(), signature, 1);
    let server = shelf.serve(|_, reply| reply);
    let reference = format!("{}/team/x:1", host(&server));
    let outcome = person.types(&["strategy", "verify", &reference, "--key", "own.pub"]);
    drop(registry);
    (person, outcome)
}

fn claim(digest: &str) -> Vec<u8> {
    json!({
        "critical": {
            "identity": {"docker-reference": "x"},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    })
    .to_string()
    .into_bytes()
}

pub(super) fn all() -> Vec<Attack> {
    vec![
        attack("no signature", &["it is not signed"], || signed(|_, _| ())),
        attack("another signer", &["none of its signatures"], || {
            let (registry, person, name) = with_a_cache();
            person.types(&["strategy", "keygen", "other"]).succeeded();
            let outcome = person.types(&["strategy", "verify", &name, "--key", "other.pub"]);
            drop(registry);
            (person, outcome)
        }),
        attack(
            "a signature of another digest",
            &["of another digest"],
            || replayed(|_, shelf| drop(shelf.put("1", &manifest(COMPONENT, &component())))),
        ),
        attack(
            "a good artifact under another name",
            &["for another name", "team/x"],
            || {
                replayed(|person, shelf| {
                    for bytes in files(&person.cache().join("sha256")).into_values() {
                        if bytes.starts_with(b"{\"schemaVersion\"") {
                            shelf.put_bytes("1", MANIFEST, bytes);
                        } else {
                            shelf.put_blob(&bytes);
                        }
                    }
                })
            },
        ),
        attack(
            "a claim that nobody has signed",
            &["none of its signatures"],
            || {
                signed(|_, shelf| {
                    let claim = claim(&shelf.digest("1"));
                    put_signature(shelf, &claim, claim.len(), &STANDARD.encode([0; 70]), 1);
                })
            },
        ),
        attack(
            "a signature that is no signature",
            &["none of its signatures"],
            || {
                signed(|_, shelf| {
                    let claim = claim(&shelf.digest("1"));
                    put_signature(shelf, &claim, claim.len(), "../../x", 1);
                })
            },
        ),
        attack("a hundred thousand signatures", &["at most"], || {
            signed(|_, shelf| {
                let claim = claim(&shelf.digest("1"));
                put_signature(shelf, &claim, claim.len(), "AAAA", 100_000);
            })
        }),
        attack("a claim of a gigabyte", &["it is not signed"], || {
            signed(|_, shelf| put_signature(shelf, b"x", 1 << 30, "AAAA", 1))
        }),
        attack(
            "a private key in the place of the public",
            &["own.key", "private key"],
            || {
                let (registry, person, name) = with_a_cache();
                let outcome = person.types(&["strategy", "verify", &name, "--key", "own.key"]);
                drop(registry);
                (person, outcome)
            },
        ),
    ]
}
