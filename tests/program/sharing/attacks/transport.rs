//! What a registry or the network does on the way.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Attack, attack, holding, with_manifest};
use crate::server::{Reply, Server};
use crate::sharing::hostile_registry::{
    COMPONENT, MANIFEST, SCRIPT, component, digest, host, is_blob, manifest, pull, shelf,
};
use crate::sharing::{Person, script};
use crate::support::Outcome;

/// Pulls from a registry whose answers for layers are bad.
fn answering(change: impl Fn(&mut Reply) + Send + 'static) -> (Person, Outcome) {
    pull(&shelf().serve(move |asked, mut reply| {
        if is_blob(asked) {
            change(&mut reply);
        }
        reply
    }))
}

/// Pulls from a registry that points elsewhere for layers.
fn pointing(to: impl Fn() -> String) -> (Person, Outcome) {
    let to = to();
    pull(&shelf().serve(move |asked, reply| {
        if is_blob(asked) {
            Reply::status(307).with("Location", &to)
        } else {
            reply
        }
    }))
}

pub(super) fn all() -> Vec<Attack> {
    vec![
        attack(
            "a manifest of another digest",
            &["has the digest", "expected sha256:"],
            || {
                let mut shelf = shelf();
                let wanted = shelf.digest("1");
                let mut other = manifest(COMPONENT, &component());
                other["annotations"] = json!({"x": "y"});
                let bytes = other.to_string().into_bytes();
                shelf
                    .manifests
                    .insert(wanted.clone(), (MANIFEST.into(), bytes));
                let server = shelf.serve(|_, mut reply| {
                    reply
                        .headers
                        .retain(|(name, _)| *name != "Docker-Content-Digest");
                    reply
                });
                let person = Person::new();
                let reference = format!("{}/team/x@{wanted}", host(&server));
                let outcome = person.types(&["strategy", "pull", &reference, "--to", "taken.wasm"]);
                (person, outcome)
            },
        ),
        attack(
            "a header that names another digest",
            &["has the digest"],
            || {
                pull(&shelf().serve(|asked, mut reply| {
                    if asked.method == "GET" {
                        reply
                            .headers
                            .retain(|(name, _)| *name != "Docker-Content-Digest");
                        reply = reply.with("Docker-Content-Digest", digest(b"other"));
                    }
                    reply
                }))
            },
        ),
        attack("a header that is no digest", &["its digest"], || {
            pull(&shelf().serve(|_, mut reply| {
                reply
                    .headers
                    .retain(|(name, _)| *name != "Docker-Content-Digest");
                reply.with("Docker-Content-Digest", "sha256:../../../etc/passwd")
            }))
        }),
        attack(
            "a layer of another digest",
            &["has the digest", "expected sha256:"],
            || answering(|reply| reply.body[100] ^= 1),
        ),
        attack(
            "a layer that is announced longer",
            &["its manifest says"],
            || answering(|reply| reply.body.push(0)),
        ),
        attack(
            "a layer that is announced shorter",
            &["its manifest says"],
            || answering(|reply| reply.body.truncate(1000)),
        ),
        attack(
            "a layer that does not end",
            &["more than", "its manifest says"],
            || {
                answering(|reply| {
                    let piece = vec![b'x'; 1 << 20];
                    let mut body = Vec::new();
                    for _ in 0..64 {
                        body.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                        body.extend(&piece);
                        body.extend(b"\r\n");
                    }
                    *reply = Reply::of(body).with("Transfer-Encoding", "chunked");
                })
            },
        ),
        attack(
            "a connection that is cut",
            &["broke after", "bytes"],
            || answering(|reply| reply.cut_after = Some(20_000)),
        ),
        attack(
            "a layer that is said to be gzip and is not",
            &["compress"],
            || answering(|reply| *reply = std::mem::take(reply).with("Content-Encoding", "gzip")),
        ),
        attack(
            "a component of ten gigabytes",
            &["10737418240 bytes", "at most"],
            || with_manifest(|manifest| manifest["layers"][0]["size"] = json!(10_u64 << 30)),
        ),
        attack(
            "a script of a megabyte",
            &["1048576 bytes", "at most"],
            || {
                holding(|shelf| {
                    let layer = vec![b' '; 1 << 20];
                    shelf.put_blob(&layer);
                    shelf.put("1", &manifest(SCRIPT, &layer));
                })
            },
        ),
        attack("a manifest of a megabyte", &["at most"], || {
            with_manifest(|manifest| manifest["annotations"] = json!({"x": "y".repeat(1 << 20)}))
        }),
        attack(
            "a redirect to another host",
            &["points to", "--allow-redirect 127.0.0.1:"],
            || {
                let other = Server::start(|_| Reply::of(component()));
                pointing(|| format!("{}/stolen", other.endpoint()))
            },
        ),
        attack(
            "a redirect to another scheme",
            &["points to", "usable address"],
            || pointing(|| "file:///etc/passwd".into()),
        ),
        attack(
            "a redirect that hides its host",
            &["points to", "usable address"],
            || pointing(|| "http://127.0.0.1@evil.example/x".into()),
        ),
        attack(
            "a redirect that does not end",
            &["points elsewhere more than"],
            || pointing(|| "/v2/team/x/blobs/again".into()),
        ),
        attack(
            "an upload that is sent elsewhere",
            &["points to", "--allow-redirect"],
            || {
                let other = Server::start(|_| Reply::status(201));
                let elsewhere = other.endpoint();
                let server = Server::start(move |asked| match asked.method.as_str() {
                    "POST" => Reply::status(202).with("Location", format!("{elsewhere}/upload")),
                    _ if asked.path == "/v2/" => Reply::of("{}"),
                    _ => Reply::status(404),
                });
                let person = Person::new();
                person.write("x.rhai", &script("1.0.0"));
                let reference = format!("{}/team/x:1", host(&server));
                let outcome = person.types(&["strategy", "push", "x.rhai", &reference]);
                assert!(other.asked().is_empty());
                (person, outcome)
            },
        ),
        attack(
            "a demand for credentials in the clear",
            &["is not encrypted"],
            || {
                let other = Server::start(|_| Reply::of("{\"token\": \"x\"}"));
                let realm = format!("Bearer realm=\"{}/token\"", other.endpoint());
                let server = Server::start(move |asked| match asked.path.as_str() {
                    "/v2/" => Reply::of("{}"),
                    _ => Reply::status(401).with("WWW-Authenticate", &realm),
                });
                let person = Person::new();
                let auth = STANDARD.encode("user:secret");
                let docker = json!({"auths": {host(&server): {"auth": auth}}}).to_string();
                fs::create_dir(person.home().join(".docker")).expect("a folder");
                fs::write(person.home().join(".docker/config.json"), docker).expect("written");
                let reference = format!("{}/team/x:1", host(&server));
                let outcome = person.types(&["strategy", "pull", &reference]);
                assert!(other.asked().is_empty());
                (person, outcome)
            },
        ),
        attack(
            "words that would act on the terminal",
            &["answers 500", "DENIED  [31mred"],
            || {
                let server = Server::start(|asked| match asked.path.as_str() {
                    "/v2/" => Reply::of("{}"),
                    _ => Reply {
                        status: 500,
                        ..Reply::of(
                            "{\"errors\": [{\"code\": \"DENIED\", \"message\": \"\\u001b[31mred\\n\"}]}",
                        )
                    },
                });
                let person = Person::new();
                let reference = format!("{}/team/x@{}", host(&server), digest(b""));
                let outcome = person.types(&["strategy", "pull", &reference]);
                (person, outcome)
            },
        ),
    ]
}
