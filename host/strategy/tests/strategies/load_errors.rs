//! What cannot be loaded says why, and what to do.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::common::{file, runtime};
use proptest::prelude::*;
use sc_core::rng::stream;
use sc_strategy::{Limits, LoadError, Runtime, StrategyRequest, StrategySet};

/// A directory with strategies that cannot be loaded.
struct Bad {
    directory: tempfile::TempDir,
}

impl Bad {
    fn new() -> Bad {
        Bad {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        fs::write(self.path(name), content).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    fn wat(&self, name: &str, text: &str) -> String {
        self.file(name, &wat::parse_str(text).unwrap())
    }
}

fn refused(specs: &[&str], settings: &[&str], runtime: &Runtime) -> LoadError {
    let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    match StrategySet::load(
        &StrategyRequest::of(&owned(specs), &owned(settings)),
        runtime,
    ) {
        Ok(_) => panic!("{specs:?} {settings:?} was loaded"),
        Err(error) => error,
    }
}

/// Checks that loading `specs` fails with a message that holds all of `message`, and a hint that
/// holds `hint` (no hint when that is empty).
#[track_caller]
fn check(specs: &[&str], settings: &[&str], message: &[&str], hint: &str) {
    let error = refused(specs, settings, runtime());
    let text = error.to_string();
    for part in message {
        assert!(text.contains(part), "`{text}` does not hold `{part}`");
    }
    assert!(!text.contains('\n'), "{text}");
    match error.hint() {
        Some(found) => assert!(
            !hint.is_empty() && found.contains(hint),
            "hint `{found}` for `{text}`"
        ),
        None => assert!(hint.is_empty(), "no hint for `{text}`"),
    }
}

#[test]
fn files_that_are_no_strategy() {
    let bad = Bad::new();
    check(
        &["absent/curriculum.wasm"],
        &[],
        &["`absent/curriculum.wasm` does not exist"],
        "directory that the program is started in",
    );
    check(
        &["/absent.rhai"],
        &[],
        &["`/absent.rhai` does not exist"],
        "",
    );
    check(
        &["strategy"],
        &[],
        &["`strategy`", "builtin:NAME"],
        "builtin:uniform",
    );
    check(&["strategy.py"], &[], &["`strategy.py`"], "builtin:");
    for name in ["folder.wasm", "folder.rhai", "folder"] {
        fs::create_dir(bad.path(name)).unwrap();
        let path = bad.path(name);
        check(
            &[path.to_str().unwrap()],
            &[],
            &[name, "not a file"],
            "name the file",
        );
    }
    check(&["/dev/zero.wasm"], &[], &["/dev/zero.wasm"], "");
    check(
        &["builtin:repaly"],
        &[],
        &["no strategy `builtin:repaly`"],
        "did you mean `builtin:replay`",
    );
    check(
        &["builtin:xyzzy"],
        &[],
        &["`builtin:xyzzy`"],
        "builtins: builtin:",
    );
    check(
        &["builtin:replay", "builtin:uniform"],
        &[],
        &["`builtin:replay` and `builtin:uniform`", "curriculum"],
        "takes one strategy",
    );
}

#[test]
fn components_that_are_none() {
    let bad = Bad::new();
    let mut noise = vec![0; 5000];
    rand::RngCore::fill_bytes(&mut stream(1, "noise", &[]), &mut noise);
    check(
        &[&bad.file("random.wasm", &noise)],
        &[],
        &["random.wasm", "not WebAssembly"],
        "wit/README.md",
    );
    check(
        &[&bad.file("empty.wasm", b"")],
        &[],
        &["not WebAssembly"],
        "component",
    );
    check(
        &[&bad.file("text.wasm", b"(component)")],
        &[],
        &["not WebAssembly"],
        "component",
    );
    let whole = fs::read(file("plugins/curriculum.wasm")).unwrap();
    for length in [4, 7, 100, whole.len() / 2, whole.len() - 1] {
        let path = bad.file("cut.wasm", &whole[..length]);
        check(&[&path], &[], &["cut.wasm", "cut off or damaged"], "again");
    }
    check(
        &[&bad.wat("core.wasm", "(module (func (export \"plan\")))")],
        &[],
        &["core.wasm", "core WebAssembly module"],
        "component",
    );
    check(
        &[&bad.wat("none.wasm", "(component)")],
        &[],
        &["none.wasm", "fills no role"],
        "data-filter",
    );
    check(
        &[&bad.wat(
            "version.wasm",
            r#"(component (component $c) (instance $i (instantiate $c))
               (export "sc:strategy/data-filter@0.9.0" (instance $i)))"#,
        )],
        &[],
        &[
            "speaks version 0.9.0 of the contract `sc:strategy`",
            "speaks 0.1.0",
        ],
        "against a version that this program speaks",
    );
    check(
        &[&bad.wat(
            "imports.wasm",
            r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance)))"#,
        )],
        &[],
        &["imports.wasm", "`wasi:clocks/wall-clock@0.2.0`"],
        "wasm32-unknown-unknown",
    );
    check(
        &[&bad.wat("host.wasm", r#"(component (import "format-disk" (func)))"#)],
        &[],
        &["`format-disk`"],
        "log, random, candidate, model",
    );
    let empty_role = r#"(component (component $c) (instance $i (instantiate $c))
        (export "sc:strategy/quality-gate@0.1.0" (instance $i)) ABOUT)"#;
    check(
        &[&bad.wat("silent.wasm", &empty_role.replace("ABOUT", ""))],
        &[],
        &["silent.wasm", "does not export `sc:strategy/about@0.1.0`"],
        "every strategy",
    );
    let about = r#"(export "sc:strategy/about@0.1.0" (instance $i))"#;
    check(
        &[&bad.wat("hollow.wasm", &empty_role.replace("ABOUT", about))],
        &[],
        &["hollow.wasm", "does not fit the contract"],
        "build it again",
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_component_with_changed_bytes_is_refused_or_runs_in_the_sandbox(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        kept in any::<prop::sample::Index>(),
    ) {
        let bad = Bad::new();
        let mut bytes = fs::read(file("plugins/curriculum.wasm")).unwrap();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        // One in two is cut as well.
        let kept = kept.index(2 * bytes.len());
        bytes.truncate(kept.max(1));
        let path = bad.file("changed.wasm", &bytes);
        if let Err(error) = StrategySet::load(&StrategyRequest::of(&[path], &[]), runtime()) {
            prop_assert!(error.to_string().contains("changed.wasm"), "{}", error);
        }
    }

    #[test]
    fn any_setting_is_read_or_refused(setting in "\\PC{0,40}", tail in "\\PC{0,20}") {
        for setting in [setting, format!("curriculum.replay_share={tail}"), format!("curriculum.{tail}=1")] {
            let specs = ["builtin:replay".to_owned()];
            if let Err(error) = StrategySet::load(&StrategyRequest::of(&specs, &[setting]), runtime()) {
                prop_assert!(matches!(error, LoadError::Setting(_)));
            }
        }
    }
}

#[test]
fn components_that_cost_too_much() {
    let bad = Bad::new();
    let large = bad.file("large.wasm", &vec![0; (32 << 20) + 1]);
    check(&[&large], &[], &["large.wasm", "33554433 bytes"], "size");
    let functions = "(func)".repeat(60_001);
    let many = bad.wat(
        "many.wasm",
        &format!("(component (core module {functions}))"),
    );
    check(
        &[&many],
        &[],
        &["many.wasm", "60001 functions"],
        "link-time",
    );
    let hurried = Runtime::with_cache_directory(
        Limits {
            compile_time: Duration::from_micros(1),
            ..Limits::default()
        },
        None,
    )
    .unwrap();
    let error = refused(&[&file("plugins/curriculum.wasm")], &[], &hurried);
    assert!(matches!(error, LoadError::CompileTime { .. }), "{error}");
    // Its compiler is at work still: the interpreter is not compiled beside it.
    let error = refused(&[&file("scripts/filter.rhai")], &[], &hurried);
    assert!(matches!(error, LoadError::CompilerBusy { .. }), "{error}");
    // More memory than the cap, declared at the start.
    let hungry = bad.wat(
        "hungry.wasm",
        r#"(component
            (core module $m (memory 60000))
            (core instance (instantiate $m))
            (component $c) (instance $i (instantiate $c))
            (export "sc:strategy/quality-gate@0.1.0" (instance $i))
            (export "sc:strategy/about@0.1.0" (instance $i)))"#,
    );
    let error = refused(&[&hungry], &[], runtime());
    assert!(error.to_string().contains("hungry.wasm"), "{error}");
}

#[test]
fn scripts_that_are_wrong() {
    let bad = Bad::new();
    let script = |text: &str| bad.file("wrong.rhai", text.as_bytes());
    check(
        &[&script(
            "fn data_filter(groups, context) {\n    let x = ;\n}",
        )],
        &[],
        &["wrong.rhai", "line 2, column 13"],
        "mend the script",
    );
    for text in ["", "fn filter(groups) { [] }", "const A = 1;"] {
        check(
            &[&script(text)],
            &[],
            &["no role's function"],
            "fn data_filter",
        );
    }
    check(
        &[&script("fn data_filter(groups) { [] }")],
        &[],
        &["`fn data_filter(groups, context)`"],
        "wit/README.md",
    );
    check(
        &[&script(
            "fn data_filter(groups, context) { [] }\n\nlet x = 1 + nobody;",
        )],
        &[],
        &["line 3", "nobody"],
        "mend the script",
    );
    check(
        &[&script("fn data_filter(g, c) { eval(\"1\") }")],
        &[],
        &["line 1", "eval"],
        "mend the script",
    );
    check(
        &[&script(
            "const A = 1; const a = 2;\nfn data_filter(g, c) { [] }",
        )],
        &[],
        &["`A` and `a`", "parameter `a`"],
        "mend the script",
    );
    check(
        &[&bad.file("latin.rhai", b"// caf\xe9")],
        &[],
        &["latin.rhai", "not UTF-8 at byte 6"],
        "UTF-8",
    );
    check(
        &[&script(&"// long\n".repeat(9000))],
        &[],
        &["72000 bytes", "65536"],
        "split",
    );
}

#[test]
fn scripts_that_never_finish_loading() {
    let bad = Bad::new();
    runtime();
    // The interpreter is compiled before the clock starts.
    check(&[&bad.file("none.rhai", b"")], &[], &["no role's"], "fn");
    for (text, failures) in [
        ("loop {}", &["out of fuel", "deadline"][..]),
        (
            "let a = \"x\"; loop { a += a; }",
            &["fuel", "memory", "deadline", "String"],
        ),
        (
            "let a = []; loop { a.push(a); }",
            &["fuel", "memory", "deadline"],
        ),
        (
            "let m = #{}; let i = 0; loop { m[`k${i}`] = i; i += 1; }",
            &["fuel", "deadline"],
        ),
        ("fn f(x) { f(x + 1) + 1 } f(0);", &["overflow"]),
    ] {
        let text = format!("{text}\nfn data_filter(groups, context) {{ [] }}");
        let path = bad.file("endless.rhai", text.as_bytes());
        let start = Instant::now();
        let error = refused(&[&path], &[], runtime());
        let message = error.to_string();
        assert!(message.contains("endless.rhai"), "{message}");
        assert!(
            failures.iter().any(|f| message.contains(f)),
            "{text}: {message}"
        );
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "{text}: {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn settings_that_are_wrong() {
    let curriculum = file("plugins/curriculum.wasm");
    let filter = file("scripts/filter.rhai");
    let specs = [curriculum.as_str(), filter.as_str()];
    for (setting, message, hint) in [
        ("nonsense", "ROLE.key=value", "for example"),
        ("curriculum=1", "ROLE.key=value", "for example"),
        ("curriculum.=1", "ROLE.key=value", "for example"),
        (
            "curiculum.from_round=1",
            "`curiculum` is no role",
            "did you mean `curriculum`",
        ),
        ("x.y=1", "`x` is no role", "the roles are curriculum"),
        (
            "curriculum.replay_shar=1",
            "no parameter `replay_shar`",
            "did you mean `replay_share`",
        ),
        (
            "curriculum.x=1",
            "`replay-curriculum` has no parameter `x`",
            "replay_share, from_round",
        ),
        (
            "curriculum.replay_share=2",
            "expected a number from 0 to 1",
            "strategy `replay-curriculum` says of it: ",
        ),
        (
            "curriculum.replay_share=inf",
            "expected a number",
            "replays",
        ),
        ("curriculum.replay_share=", "expected a number", "replays"),
        (
            "curriculum.from_round=1.5",
            "a whole number, at least 1",
            "First round",
        ),
        (
            "data-filter.min_margin=much",
            "expected a number",
            "data-filter.min_margin=0.2",
        ),
        (
            "data-filter.min_margn=0.1",
            "strategy `filter` has no",
            "`min_margin`",
        ),
        (
            "quality-gate.toleranse=1",
            "`builtin:no-harm` has no",
            "`tolerance`",
        ),
        (
            "quality-gate.tolerance=-1",
            "a number from 0 to 1",
            "intervals",
        ),
    ] {
        check(&specs, &[setting], &["--set", message], hint);
    }
    check(
        &specs,
        &["curriculum.from_round=1", "curriculum.from_round=2"],
        &["given twice"],
        "leave one",
    );
    check(
        &[],
        &["curriculum.x=1"],
        &["`builtin:uniform`"],
        "no parameters",
    );
    check(
        &[&file("tests/fixtures/plugins/misbehaving.wasm")],
        &["data-filter.fault=refuse-settings"],
        &["`misbehaving` refused", "data-filter", "I will not do that"],
        "the strategy's own",
    );
    check(
        &[&file("tests/fixtures/plugins/misbehaving.wasm")],
        &["data-filter.fault=endless-check"],
        &["asked to check its settings", "out of fuel"],
        "loop",
    );
}

/// Whatever a file holds, nothing of it acts on the terminal.
#[test]
fn names_inside_components_are_shown_as_text() {
    let bad = Bad::new();
    let red = "\u{1b}[31mred\u{202e}";
    for (name, text) in [
        (
            "imports.wasm",
            r#"(component (core module (func) (export "NAME" (func 0)) (export "NAME" (func 0))))"#,
        ),
        (
            "exports.wasm",
            r#"(component (component $c)
            (instance $i (instantiate $c)) (export "NAME" (instance $i)))"#,
        ),
        (
            "version.wasm",
            r#"(component (import "sc:strategy/NAME@0.9.0" (instance)))"#,
        ),
    ] {
        // The text format refuses some names, so they are put in afterwards.
        let stand_in = "x".repeat(red.len());
        let mut bytes = wat::parse_str(text.replace("NAME", &stand_in)).unwrap();
        while let Some(at) = bytes
            .windows(stand_in.len())
            .position(|window| window == stand_in.as_bytes())
        {
            bytes[at..at + red.len()].copy_from_slice(red.as_bytes());
        }
        let message = refused(&[&bad.file(name, &bytes)], &[], runtime()).to_string();
        assert!(message.contains("[31mred"), "{message:?}");
        assert!(
            !message.chars().any(sc_core::text::is_unseen),
            "{message:?}"
        );
    }
}

#[test]
fn scripts_whose_file_name_cannot_be_shown() {
    let bad = Bad::new();
    for name in [
        "a\nerror: b.rhai",
        "a\u{1b}[31m.rhai",
        "a`b.rhai",
        "\u{200b}.rhai",
        "builtin:x.rhai",
    ] {
        let path = bad.file(name, b"fn data_filter(groups, context) { [] }");
        check(&[&path], &[], &["file name"], "rename it");
    }
}

#[test]
fn nothing_is_started_for_builtins() {
    let cache = tempfile::tempdir().unwrap();
    let directory = cache.path().join("cache");
    let runtime =
        Runtime::with_cache_directory(Limits::default(), Some(directory.clone())).unwrap();
    let request = StrategyRequest::of(&["builtin:replay".to_owned()], &[]);
    StrategySet::load(&request, &runtime).unwrap();
    assert!(!directory.exists());
}
