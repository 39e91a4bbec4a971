//! What registries may do, and what is asked of them.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Person;
use super::hostile_registry::{COMPONENT, component, host, is_blob, manifest, pull, shelf};
use crate::server::{Asked, Reply, Server};
use crate::support::files;

#[test]
fn what_is_too_large_is_not_even_begun() {
    let mut shelf = shelf();
    let mut bomb = manifest(COMPONENT, &component());
    bomb["layers"][0]["size"] = json!(1_u64 << 40);
    shelf.put("1", &bomb);
    let server = shelf.serve(|_, reply| reply);
    let (_, outcome) = pull(&server);
    assert_eq!(outcome.code, Some(1));
    assert!(server.asked().iter().all(|asked: &Asked| !is_blob(asked)));
}

#[test]
fn a_name_that_a_registry_gives_is_no_file() {
    let mut shelf = shelf();
    let mut titled = manifest(COMPONENT, &component());
    titled["layers"][0]["annotations"] =
        json!({"org.opencontainers.image.title": "../../evil.wasm"});
    titled["annotations"] = json!({"org.opencontainers.image.title": "/tmp/evil.wasm"});
    shelf.put("1", &titled);
    let server = shelf.serve(|_, reply| reply);
    let person = Person::new();
    let reference = format!("{}/team/x:1", host(&server));
    person
        .types(&["strategy", "pull", &reference, "--to", "mine.wasm"])
        .succeeded();
    let written: Vec<_> = files(&person.work()).into_keys().collect();
    assert_eq!(written, [Path::new("mine.wasm")]);
    let is_hex = |name: &str| name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let cached = files(&person.cache());
    let names = cached.keys().filter_map(|file| file.file_stem()?.to_str());
    assert!(names.clone().all(is_hex), "{cached:?}");
}

#[test]
fn redirects_are_followed_where_they_are_allowed() {
    let other = Server::start(|_| Reply::of(component()));
    let elsewhere = format!("{}/kept/here", other.endpoint());
    let server = shelf().serve(move |asked, reply| match is_blob(asked) {
        true => Reply::status(307).with("Location", &elsewhere),
        false => reply,
    });
    let reference = format!("{}/team/x:1", host(&server));
    let person = Person::new();
    let allowed = [
        "strategy",
        "pull",
        &reference,
        "--allow-redirect",
        &host(&other),
    ];
    person.types(&allowed).succeeded();
    // By the policy, too.
    let person = Person::new();
    person.write(
        "trust.toml",
        &format!(
            "[[registries]]\nhost = \"{}\"\nredirects = [\"{}\"]\n",
            host(&server),
            host(&other)
        ),
    );
    person.types(&["strategy", "pull", &reference]).succeeded();
}

/// A registry with an authorization server on the same address, which counts the tokens that it gives.
fn with_tokens(tokens: Arc<AtomicUsize>) -> Server {
    let address = Arc::new(std::sync::OnceLock::<String>::new());
    let realm = Arc::clone(&address);
    let server = shelf().serve(move |asked, reply| {
        if let Some(query) = asked.path.strip_prefix("/token?") {
            let expected = "scope=repository%3Ateam%2Fx%3Apull&service=the%20registry";
            let basic = format!("Basic {}", STANDARD.encode("user:secret"));
            if query != expected || asked.header("authorization") != Some(&basic) {
                return Reply::status(401);
            }
            tokens.fetch_add(1, Ordering::SeqCst);
            return Reply::of("{\"token\": \"good\", \"expires_in\": 300}");
        }
        if asked.path == "/v2/" || asked.header("authorization") == Some("Bearer good") {
            return reply;
        }
        let realm = realm.get().cloned().unwrap_or_default();
        Reply::status(401).with(
            "WWW-Authenticate",
            format!("Bearer realm=\"{realm}/token\",service=\"the registry\",scope=\"anything\""),
        )
    });
    address.set(server.endpoint()).expect("set once");
    server
}

#[test]
fn tokens_are_asked_for_once_and_for_what_is_done() {
    let tokens = Arc::new(AtomicUsize::new(0));
    let server = with_tokens(Arc::clone(&tokens));
    let reference = format!("{}/team/x:1", host(&server));
    let person = Person::new();
    person.fails(
        &["strategy", "pull", &reference],
        &["401", "without credentials"],
    );
    let auth = STANDARD.encode("user:secret");
    let docker = json!({"auths": {host(&server): {"auth": auth}}}).to_string();
    fs::create_dir(person.home().join(".docker")).expect("a folder");
    fs::write(person.home().join(".docker/config.json"), docker).expect("written");
    person.types(&["strategy", "pull", &reference]).succeeded();
    assert_eq!(tokens.load(Ordering::SeqCst), 1);
}

/// Somebody whom a registry knows by a password.
fn known_to(server: &Server) -> Person {
    let person = Person::new();
    let auth = STANDARD.encode("user:secret");
    let docker = json!({"auths": {host(server): {"auth": auth}}}).to_string();
    fs::create_dir(person.home().join(".docker")).expect("a folder");
    fs::write(person.home().join(".docker/config.json"), docker).expect("written");
    person
}

/// No request that reached a server had credentials.
#[track_caller]
fn was_told_nothing(server: &Server) {
    let asked = server.asked();
    assert!(!asked.is_empty());
    for asked in asked {
        assert_eq!(
            asked.header("authorization"),
            None,
            "{} {}",
            asked.method,
            asked.path
        );
    }
}

#[test]
fn where_a_registry_may_point_gets_no_credentials_whatever_it_demands() {
    let thief = Server::start(|_| Reply::of("{\"token\": \"x\"}"));
    let realm = format!("Bearer realm=\"{}/token\"", thief.endpoint());
    let demanding = Server::start(move |asked| match asked.path.as_str() {
        "/bearer" => Reply::status(401).with("WWW-Authenticate", &realm),
        _ => Reply::status(401).with("WWW-Authenticate", "Basic realm=\"x\""),
    });
    for way in ["basic", "bearer"] {
        let elsewhere = format!("{}/{way}", demanding.endpoint());
        let server = shelf().serve(move |asked, reply| match is_blob(asked) {
            true => Reply::status(307).with("Location", &elsewhere),
            false => reply,
        });
        let person = known_to(&server);
        let reference = format!("{}/team/x:1", host(&server));
        let allowed = host(&demanding);
        person.fails(
            &["strategy", "pull", &reference, "--allow-redirect", &allowed],
            &["401"],
        );
        was_told_nothing(&demanding);
    }
    assert!(thief.asked().is_empty());
}

#[test]
fn an_upload_elsewhere_takes_no_credentials_along() {
    let elsewhere = Server::start(|_| Reply::status(201));
    let place = format!("{}/upload", elsewhere.endpoint());
    let server = Server::start(move |asked| {
        let is_known = asked.header("authorization").is_some();
        match asked.method.as_str() {
            _ if asked.path == "/v2/" => Reply::of("{}"),
            _ if !is_known => Reply::status(401).with("WWW-Authenticate", "Basic realm=\"x\""),
            "POST" => Reply::status(202).with("Location", &place),
            "PUT" => Reply::status(201),
            _ => Reply::status(404),
        }
    });
    let person = known_to(&server);
    person.write("x.rhai", &super::script("1.0.0"));
    let reference = format!("{}/team/x:1", host(&server));
    let allowed = host(&elsewhere);
    person
        .types(&[
            "strategy",
            "push",
            "x.rhai",
            &reference,
            "--allow-redirect",
            &allowed,
        ])
        .succeeded();
    was_told_nothing(&elsewhere);
}

#[test]
fn what_is_for_this_machine_passes_no_proxy() {
    let proxy = Server::start(|_| Reply::status(502));
    let server = shelf().serve(|_, reply| reply);
    let reference = format!("{}/team/x:1", host(&server));
    let person = Person::new();
    let mut command = person.command(&["strategy", "pull", &reference]);
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
    ] {
        command.env(name, proxy.endpoint());
    }
    crate::support::outcome(command).succeeded();
    assert!(proxy.asked().is_empty());
}

#[test]
fn a_policy_allows_redirects_for_the_registry_that_it_names() {
    let other = Server::start(|_| Reply::of(component()));
    let elsewhere = format!("{}/x", other.endpoint());
    let server = shelf().serve(move |asked, reply| match is_blob(asked) {
        true => Reply::status(307).with("Location", &elsewhere),
        false => reply,
    });
    let person = Person::new();
    person.write(
        "trust.toml",
        &format!(
            "[[registries]]\nhost = \"ghcr.io\"\nredirects = [\"{}\"]\n",
            host(&other)
        ),
    );
    let reference = format!("{}/team/x:1", host(&server));
    person.fails(&["strategy", "pull", &reference], &["points to"]);
    assert!(other.asked().is_empty());
}
