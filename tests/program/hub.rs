//! `--model ORG/NAME`: models of the hub, from a server on the loopback address.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::hub_server::{COMMIT, Repository, file};
use crate::server::{Reply, Server, sha256};
use crate::support::{Outcome, SMALL, command, folder, outcome, repository_path, sc_host};

pub const JANUS: &str = "tests/fixtures/janus-a";
pub const WEIGHTS: &str = "model.safetensors";
pub const INFO: [&str; 4] = ["model", "info", "--json", "org/name"];
const MIB: usize = 1 << 20;

/// Runs the program with the hub at `endpoint`, its cache in `folder/home`, and more variables.
pub fn with(
    folder: &Path,
    endpoint: &str,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> Outcome {
    let mut command = command(folder, arguments);
    for name in [
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_TOKEN",
        "HF_TOKEN_PATH",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        command.env_remove(name);
    }
    command.env("HF_HOME", folder.join("home"));
    command.env("HF_ENDPOINT", endpoint);
    command.envs(variables.iter().copied());
    outcome(command)
}

pub fn cached(folder: &Path) -> PathBuf {
    folder.join("home/hub/models--org--name")
}

/// Fails as it should: with the words, a hint, no panic, and nothing of a model in the cache.
#[track_caller]
pub fn fails(outcome: &Outcome, folder: &Path, words: &[&str]) {
    let stderr = &outcome.stderr;
    assert_eq!(outcome.code, Some(1), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    for word in [&["error:", "hint:"], words].concat() {
        assert!(stderr.contains(word), "`{word}` is not in {stderr}");
    }
    assert!(!cached(folder).join("refs").exists(), "{stderr}");
    let weights = cached(folder).join("snapshots").join(COMMIT).join(WEIGHTS);
    assert!(!weights.exists(), "{stderr}");
}

#[test]
fn a_model_is_downloaded_once() {
    let place = folder();
    let server = Repository::of(JANUS).serve();
    let from_folder = sc_host(
        place.path(),
        &["model", "info", "--json", &repository_path(JANUS)],
    );
    let expected = from_folder.succeeded().stdout;
    let info = |endpoint: &str, variables: &[(&str, &str)], model: &str| {
        with(
            place.path(),
            endpoint,
            variables,
            &["model", "info", "--json", model],
        )
    };

    let endpoint = server.endpoint();
    let first = info(&endpoint, &[], "org/name").succeeded();
    assert_eq!(first.stdout, expected);
    assert!(
        first
            .stderr
            .contains(&format!("downloading org/name at {COMMIT}")),
        "{}",
        first.stderr
    );
    let asked = server.asked();
    assert!(
        asked
            .iter()
            .all(|asked| asked.header("authorization").is_none())
    );
    let paths: Vec<&str> = asked.iter().map(|asked| asked.path.as_str()).collect();
    for other in ["expected", "made-by"] {
        assert!(paths.iter().all(|path| !path.contains(other)), "{paths:?}");
    }
    let store = cached(place.path());
    assert_eq!(
        fs::read_to_string(store.join("refs/main")).expect("a ref"),
        COMMIT
    );
    let weights = file("tests/fixtures/janus-a/model.safetensors");
    let snapshot = store.join("snapshots").join(COMMIT);
    assert_eq!(fs::read(snapshot.join(WEIGHTS)).expect("a file"), weights);
    let blob = store.join("blobs").join(sha256(&weights));
    assert_eq!(
        snapshot.join(WEIGHTS).canonicalize().ok(),
        blob.canonicalize().ok()
    );
    let blobs = crate::support::files(&store.join("blobs"));
    assert!(
        blobs.keys().all(|blob| blob.extension().is_none()),
        "{:?}",
        blobs.keys()
    );

    // What the branch is now is asked for, and nothing else.
    assert_eq!(
        info(&endpoint, &[], "org/name").succeeded().stdout,
        expected
    );
    let paths: Vec<String> = server.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/api/models/org/name/revision/main"]);
    // A commit does not change.
    let pinned = format!("org/name@{COMMIT}");
    assert_eq!(info(&endpoint, &[], &pinned).succeeded().stdout, expected);
    assert!(server.asked().is_empty());

    drop(server);
    let offline = [("HF_HUB_OFFLINE", "1")];
    for model in ["org/name", &pinned] {
        let outcome = info(&endpoint, &offline, model).succeeded();
        assert_eq!((&outcome.stdout, &*outcome.stderr), (&expected, ""));
    }
    let unreachable = info(&endpoint, &[], "org/name").succeeded();
    assert_eq!(unreachable.stdout, expected);
    assert!(
        unreachable.stderr.contains("cannot be reached"),
        "{}",
        unreachable.stderr
    );
    for model in ["org/name@v1", "org/other"] {
        let outcome = info(&endpoint, &offline, model);
        assert_eq!(outcome.code, Some(1));
        assert!(
            outcome.stderr.contains("HF_HUB_OFFLINE"),
            "{}",
            outcome.stderr
        );
    }
    let elsewhere = place.path().join("home/hub");
    let variables = [
        ("HF_HUB_CACHE", elsewhere.to_str().expect("UTF-8")),
        ("HF_HOME", "/nowhere"),
        offline[0],
    ];
    assert_eq!(
        info(&endpoint, &variables, "org/name").succeeded().stdout,
        expected
    );
}

#[test]
fn a_folder_that_is_there_is_never_asked_for() {
    let place = folder();
    let server = Repository::of(JANUS).serve();
    fs::create_dir_all(place.path().join("org/name")).expect("a folder");
    for model in ["org/name", "./org/name", "./org/other"] {
        let outcome = with(
            place.path(),
            &server.endpoint(),
            &[],
            &["model", "info", model],
        );
        fails(&outcome, place.path(), &[model]);
    }
    let outcome = with(
        place.path(),
        &server.endpoint(),
        &[],
        &["model", "info", "org/na me"],
    );
    fails(
        &outcome,
        place.path(),
        &["`org/na me`", "no folder", "hub", "`./`"],
    );
    assert!(server.asked().is_empty());
}

/// The first connection breaks after `cut` bytes of the weights, and then as `later` says.
fn breaking(cut: usize, later: impl Fn(usize) -> bool + Send + 'static) -> Server {
    let (repository, count) = (Repository::of(JANUS), AtomicUsize::new(0));
    Server::start(move |asked| {
        let mut reply = repository.answer(asked);
        if asked.path.starts_with("/large/") && later(count.fetch_add(1, Ordering::SeqCst)) {
            reply.cut_after = Some(cut);
        }
        reply
    })
}

fn ranges(server: &Server) -> Vec<Option<String>> {
    let asked = server.asked().into_iter();
    asked
        .filter(|asked| asked.path.starts_with("/large/"))
        .map(|asked| asked.header("range").map(str::to_owned))
        .collect()
}

fn from_byte(byte: usize) -> Option<String> {
    Some(format!("bytes={byte}-"))
}

#[test]
fn a_broken_connection_goes_on_where_it_was() {
    let place = folder();
    let server = breaking(MIB, |count| count < 3);
    with(place.path(), &server.endpoint(), &[], &INFO).succeeded();
    assert_eq!(
        ranges(&server),
        [None, from_byte(MIB), from_byte(2 * MIB), from_byte(3 * MIB)]
    );
}

#[test]
fn a_second_run_goes_on_where_the_first_broke_off() {
    let place = folder();
    let server = Server::start({
        let (repository, count) = (Repository::of(JANUS), AtomicUsize::new(0));
        move |asked| {
            let mut reply = repository.answer(asked);
            if asked.path.starts_with("/large/") {
                let first = count.fetch_add(1, Ordering::SeqCst) == 0;
                reply.cut_after = Some(if first { MIB } else { 0 });
            }
            reply
        }
    });
    let outcome = with(place.path(), &server.endpoint(), &[], &INFO);
    fails(
        &outcome,
        place.path(),
        &["broke after 1048576 of", WEIGHTS, "kept"],
    );

    let server = Repository::of(JANUS).serve();
    with(place.path(), &server.endpoint(), &[], &INFO).succeeded();
    let asked = server.asked();
    let large = asked
        .iter()
        .filter(|asked| asked.path.starts_with("/large/"));
    let ranges: Vec<_> = large.map(|asked| asked.header("range")).collect();
    assert_eq!(ranges, [from_byte(MIB).as_deref()]);
    // The settings had come whole.
    assert!(
        asked
            .iter()
            .all(|asked| !asked.path.ends_with("tokenizer.json"))
    );
}

#[test]
fn a_server_without_ranges_is_asked_for_the_whole() {
    let place = folder();
    let weights = file("tests/fixtures/janus-a/model.safetensors");
    let blobs = cached(place.path()).join("blobs");
    fs::create_dir_all(&blobs).expect("a folder");
    let partial = blobs.join(format!("{}.incomplete", sha256(&weights)));
    fs::write(&partial, &weights[..MIB]).expect("written");
    let repository = Repository::of(JANUS);
    let server = Server::start(move |asked| {
        let mut plain = asked.clone();
        plain.headers.remove("range");
        repository.answer(&plain)
    });
    with(place.path(), &server.endpoint(), &[], &INFO).succeeded();
    assert_eq!(ranges(&server), [from_byte(MIB)]);
    assert!(!partial.exists());
}

#[test]
fn the_token_opens_the_hub_and_goes_nowhere_else() {
    let place = folder();
    let elsewhere = Repository::of(JANUS).serve();
    let mut repository = Repository::of(JANUS);
    repository.large_files = elsewhere.endpoint();
    let server = Server::start(move |asked| match asked.header("authorization") {
        Some("Bearer secret") => repository.answer(asked),
        Some(_) => Reply::status(403),
        None => Reply::error(401, "GatedRepo"),
    });
    let endpoint = server.endpoint();
    let info = |variables: &[(&str, &str)]| with(place.path(), &endpoint, variables, &INFO);

    let page = format!("{endpoint}/org/name");
    fails(
        &info(&[]),
        place.path(),
        &["gated", "401", "HF_TOKEN", "licence", &page],
    );
    let refused = info(&[("HF_TOKEN", "of-somebody")]);
    fails(&refused, place.path(), &["403", "HF_TOKEN"]);
    assert!(
        !refused.stderr.contains("of-somebody"),
        "{}",
        refused.stderr
    );

    info(&[("HF_TOKEN", "secret")]).succeeded();
    let asked = elsewhere.asked();
    assert_eq!(asked.len(), 1);
    assert!(
        asked
            .iter()
            .all(|asked| asked.header("authorization").is_none())
    );

    // As `hf auth login` leaves it.
    fs::remove_dir_all(place.path().join("home/hub")).expect("removed");
    fs::write(place.path().join("home/token"), "secret\n").expect("written");
    info(&[]).succeeded();
}

#[test]
fn a_run_keeps_its_commit_when_the_branch_moves() {
    const NEWER: &str = "2222222222222222222222222222222222222222";
    let place = folder();
    let mut repository = Repository::of("models/tiny");
    let server = repository.clone().serve();
    let run = |server: &Server, arguments: &[&str]| {
        with(
            place.path(),
            &server.endpoint(),
            &[],
            &[&["run", "--json"], arguments].concat(),
        )
        .succeeded()
    };
    let first = [
        &["--out", "out", "--model", "org/name"],
        &SMALL[..],
        &["--rounds", "1"],
    ]
    .concat();
    run(&server, &first);
    let configuration = || fs::read_to_string(place.path().join("out/config.toml")).expect("text");
    let recorded = format!("model = \"org/name@{COMMIT}\"");
    assert!(configuration().contains(&recorded), "{}", configuration());

    drop(server);
    repository.revisions.insert("main".into(), NEWER.into());
    repository.revisions.insert("v1".into(), COMMIT.into());
    let server = repository.serve();
    run(&server, &["--resume", "out", "--rounds", "2"]);
    assert!(server.asked().is_empty());
    assert!(configuration().contains(&recorded), "{}", configuration());

    // A tag is looked up; its files are there.
    with(
        place.path(),
        &server.endpoint(),
        &[],
        &["model", "info", "org/name@v1"],
    )
    .succeeded();
    assert_eq!(server.asked().len(), 1);
    with(
        place.path(),
        &server.endpoint(),
        &[],
        &["model", "info", "org/name"],
    )
    .succeeded();
    let paths: Vec<String> = server.asked().into_iter().map(|asked| asked.path).collect();
    assert!(paths.iter().any(|path| path.contains(NEWER)), "{paths:?}");
    // The weights are the same, so that they are linked, not fetched.
    assert!(
        paths.iter().all(|path| !path.starts_with("/large/")),
        "{paths:?}"
    );
}

#[test]
fn shards_are_those_of_the_index() {
    const SHARD: &str = "model-00001-of-00001.safetensors";
    let place = folder();
    let mut repository = Repository::of(JANUS);
    let weights = repository.files[WEIGHTS].clone();
    repository.files.insert(SHARD.into(), weights);
    let index = format!("{{\"weight_map\": {{\"a\": \"{SHARD}\"}}}}");
    repository
        .files
        .insert("model.safetensors.index.json".into(), index.into_bytes());
    let server = repository.serve();
    with(place.path(), &server.endpoint(), &[], &INFO).succeeded();
    let asked = server.asked();
    assert!(asked.iter().any(|asked| asked.path.ends_with(SHARD)));
    assert!(
        asked
            .iter()
            .all(|asked| !asked.path.ends_with("/model.safetensors"))
    );
    let offline = [("HF_HUB_OFFLINE", "1")];
    with(place.path(), &server.endpoint(), &offline, &INFO).succeeded();
    // A shard that has gone makes the snapshot a part of one.
    let snapshot = cached(place.path()).join("snapshots").join(COMMIT);
    fs::remove_file(snapshot.join(SHARD)).expect("removed");
    let outcome = with(place.path(), &server.endpoint(), &offline, &INFO);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
}
