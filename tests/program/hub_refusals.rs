//! `--model ORG/NAME`: what a hub, or whoever poses as one, may answer without harm.

use crate::hub::{INFO, JANUS, WEIGHTS, cached, fails, with};
use crate::hub_server::{COMMIT, Repository};
use crate::server::{Asked, Reply, Server};
use crate::support::{files, folder};

const INDEX: &str = "model.safetensors.index.json";

/// What a server does otherwise than the hub.
type Change = Box<dyn Fn(&Asked, Reply) -> Reply + Send>;

struct Case {
    name: &'static str,
    repository: Repository,
    change: Change,
    /// What stderr must hold.
    expected: &'static [&'static str],
}

fn case(name: &'static str, expected: &'static [&'static str]) -> Case {
    Case {
        name,
        repository: Repository::of(JANUS),
        change: Box::new(|_, reply| reply),
        expected,
    }
}

impl Case {
    fn file(mut self, file: &str, bytes: impl Into<Vec<u8>>) -> Case {
        self.repository.files.insert(file.into(), bytes.into());
        self
    }

    fn without(mut self, file: &str) -> Case {
        self.repository.files.remove(file);
        self
    }

    fn answering(mut self, change: impl Fn(&Asked, Reply) -> Reply + Send + 'static) -> Case {
        self.change = Box::new(change);
        self
    }
}

/// A reply with another value for a header.
fn header(mut reply: Reply, name: &'static str, value: &str) -> Reply {
    reply.headers.retain(|(given, _)| *given != name);
    reply.with(name, value)
}

fn replied(status: u16, body: &str) -> Reply {
    Reply {
        body: body.into(),
        ..Reply::status(status)
    }
}

#[test]
fn what_is_no_checkpoint_is_refused_before_its_weights_come() {
    let index = |name: &str| format!("{{\"weight_map\": {{\"a\": \"{name}\"}}}}");
    let is_index = |asked: &Asked| asked.path.ends_with(INDEX);
    check(vec![
        case(
            "no configuration",
            &["no checkpoint of the Janus family", "`config.json`"],
        )
        .without("config.json"),
        case("no tokenizer", &["`tokenizer.json`"]).without("tokenizer.json"),
        case("no weights", &["has no weights"]).without(WEIGHTS),
        case("a shard above", &[INDEX, "`../../x`", "plain file names"])
            .file(INDEX, index("../../x")),
        case("a shard at the root", &[INDEX, "`/etc/x`"]).file(INDEX, index("/etc/x")),
        case("a shard that is not there", &["`x.safetensors`"]).file(INDEX, index("x.safetensors")),
        case("no index", &[INDEX]).file(INDEX, "[1"),
        case("an endless index", &[INDEX, "67108865", "at most 67108864"])
            .file(INDEX, "{}")
            .answering(move |asked, reply| {
                if !is_index(asked) {
                    return reply;
                }
                header(reply, "Content-Length", "67108865")
            }),
        case(
            "an index longer than announced",
            &[INDEX, "more than the 2 bytes"],
        )
        .file(INDEX, "{}")
        .answering(move |asked, reply| {
            if is_index(asked) && asked.method == "GET" {
                return replied(200, "{}, and so on");
            }
            reply
        }),
    ]);
}

#[test]
fn answers_that_the_hub_does_not_give_are_refused() {
    let info = |asked: &Asked| asked.path.starts_with("/api/");
    let large = |asked: &Asked| asked.path.starts_with("/large/");
    let weights = |asked: &Asked| asked.path.ends_with(WEIGHTS);
    check(vec![
        case("a commit that is a path", &["commit", "`../../../x`"]).answering(
            move |asked, reply| {
                if !info(asked) {
                    return reply;
                }
                replied(200, "{\"sha\": \"../../../x\", \"siblings\": []}")
            },
        ),
        case("no JSON", &["cannot be used"]).answering(move |asked, reply| {
            if info(asked) {
                replied(200, "<html>")
            } else {
                reply
            }
        }),
        case("an ETag that is a path", &["ETag", "`\"../../../../x\"`"])
            .answering(|_, reply| header(reply, "ETag", "\"../../../../x\"")),
        case("no size", &["how large"]).answering(move |asked, mut reply| {
            if weights(asked) {
                reply.headers.retain(|(name, _)| *name != "X-Linked-Size");
            }
            reply
        }),
        case(
            "other bytes",
            &[WEIGHTS, "SHA-256", "announced", "thrown away"],
        )
        .answering(move |asked, mut reply| {
            if large(asked) {
                reply.body[0] ^= 1;
            }
            reply
        }),
        case("a circle", &["points elsewhere"]).answering(move |asked, reply| {
            if info(asked) {
                Reply::status(307).with("Location", &asked.path)
            } else {
                reply
            }
        }),
        case("a redirect to a file", &["no usable address"]).answering(move |asked, reply| {
            if weights(asked) && asked.method == "GET" {
                Reply::status(302).with("Location", "file:///etc/passwd")
            } else {
                reply
            }
        }),
        case("another range", &["another range"]).answering(move |asked, mut reply| {
            if large(asked) && asked.header("range").is_none() {
                reply.cut_after = Some(1000);
            } else if large(asked) {
                reply = header(reply, "Content-Range", "bytes 0-1/2");
            }
            reply
        }),
    ]);
}

#[test]
fn errors_of_the_hub_say_what_to_do() {
    let all = |status: u16, code: &'static str| move |_: &Asked, _| Reply::error(status, code);
    check(vec![
        case(
            "no such model",
            &["no model `org/name`", "HF_TOKEN", "`./org/name`"],
        )
        .answering(all(401, "RepoNotFound")),
        case("no such model, plainly", &["no model `org/name`"])
            .answering(|_, _| Reply::status(404)),
        case("no such revision", &["`org/name` has no revision `main`"])
            .answering(all(404, "RevisionNotFound")),
        case("gated", &["gated", "accept the licence"]).answering(all(403, "GatedRepo")),
        case("not let in", &["401", "HF_TOKEN"]).answering(|_, _| Reply::status(401)),
        case("out of order", &["503", "later"]).answering(|_, _| Reply::status(503)),
    ]);
    let place = folder();
    for (variable, value, words) in [
        ("HF_ENDPOINT", "nowhere", &["HF_ENDPOINT", "`nowhere`"][..]),
        (
            "HF_ENDPOINT",
            "http://127.0.0.1:1",
            &["127.0.0.1:1", "cannot be reached"],
        ),
        ("HF_TOKEN", "two words", &["HF_TOKEN"]),
    ] {
        let outcome = with(
            place.path(),
            "http://127.0.0.1:1",
            &[(variable, value)],
            &INFO,
        );
        fails(&outcome, place.path(), words);
    }
}

#[track_caller]
fn check(cases: Vec<Case>) {
    for case in cases {
        let place = folder();
        let (repository, change) = (case.repository, case.change);
        let server = Server::start(move |asked| change(asked, repository.answer(asked)));
        let outcome = with(place.path(), &server.endpoint(), &[], &INFO);
        eprintln!("{}: {}", case.name, outcome.stderr);
        fails(&outcome, place.path(), case.expected);
        // Nothing lies outside the repository's own part of the cache.
        let (store, locks) = (cached(place.path()), place.path().join("home/hub/.locks"));
        for path in files(place.path()).keys() {
            let path = place.path().join(path);
            assert!(
                path.starts_with(&store) || path.starts_with(&locks),
                "{}: {}",
                case.name,
                path.display()
            );
        }
        let snapshot = store.join("snapshots").join(COMMIT);
        assert!(!snapshot.join("x").exists() && !snapshot.join(WEIGHTS).exists());
    }
}
