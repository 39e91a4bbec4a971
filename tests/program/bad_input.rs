//! Bad input: each case ends in `error:` with the file, field or value, and in `hint:` (or the
//! parser's `tip:`), with a code that is not 0, without a panic, and with nothing left behind.

use std::fs;
use std::path::Path;

use crate::support::{copy_checkpoint, folder, sc_host};

/// A core WebAssembly module without anything in it.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";
/// A component without anything in it.
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

pub struct Case<'a> {
    pub name: &'a str,
    pub arguments: &'a [&'a str],
    /// What stderr must hold beside `error:` and a hint.
    pub expected: &'a [&'a str],
}

#[track_caller]
fn check(folder: &Path, case: &Case<'_>) {
    let before = crate::support::files(folder);
    let outcome = sc_host(folder, case.arguments);
    let (name, stderr) = (case.name, &outcome.stderr);
    assert!(
        matches!(outcome.code, Some(1 | 2)),
        "{name}: {:?} {stderr}",
        outcome.code
    );
    assert!(stderr.contains("error:"), "{name}: {stderr}");
    assert!(
        stderr.contains("hint:") || stderr.contains("tip:"),
        "{name}: {stderr}"
    );
    assert!(!stderr.contains("panicked"), "{name}: {stderr}");
    for expected in case.expected {
        assert!(
            stderr.contains(expected),
            "{name}: `{expected}` is not in {stderr}"
        );
    }
    assert_eq!(outcome.stdout, "", "{name}");
    assert!(
        before == crate::support::files(folder),
        "{name}: something is left behind"
    );
    assert!(!folder.join("runs").exists(), "{name}");
}

#[track_caller]
pub fn check_all(folder: &Path, cases: &[Case<'_>]) {
    for case in cases {
        check(folder, case);
    }
}

#[test]
fn checkpoints() {
    let place = folder();
    let file = |name: &str| place.path().join("checkpoint").join(name);
    let tiny = "models/tiny";
    let run: &[&str] = &["run", "--model", "checkpoint"];
    let spoil = |change: &dyn Fn(), case: &Case<'_>| {
        let folder = copy_checkpoint(tiny, place.path());
        change();
        check(place.path(), case);
        fs::remove_dir_all(folder).expect("removed");
    };

    check_all(
        place.path(),
        &[
            Case {
                name: "no such folder",
                arguments: &["run", "--model", "nowhere"],
                expected: &["`nowhere`"],
            },
            Case {
                name: "no such folder, score",
                arguments: &["score", "--model", "nowhere"],
                expected: &["`nowhere`"],
            },
            Case {
                name: "no such folder, info",
                arguments: &["model", "info", "nowhere"],
                expected: &["`nowhere`"],
            },
            Case {
                name: "no such folder, verify",
                arguments: &["model", "verify", "nowhere"],
                expected: &["`nowhere`"],
            },
        ],
    );
    let weights = fs::read(crate::support::in_repository(
        "models/tiny/model.safetensors",
    ))
    .expect("the weights");
    for (name, length) in [
        ("cut in half", weights.len() / 2),
        ("cut in the header", 100),
        ("empty", 0),
    ] {
        spoil(
            &|| fs::write(file("model.safetensors"), &weights[..length]).expect("written"),
            &Case {
                name,
                arguments: run,
                expected: &["model.safetensors"],
            },
        );
    }
    for missing in ["config.json", "tokenizer.json", "model.safetensors"] {
        spoil(
            &|| fs::remove_file(file(missing)).expect("removed"),
            &Case {
                name: missing,
                arguments: run,
                expected: &["checkpoint", missing],
            },
        );
    }
    let edit = |name: &'static str, from: &'static str, to: &'static str| {
        let path = file(name);
        move || {
            let text = fs::read_to_string(&path).expect("text");
            assert!(text.contains(from), "{from}");
            fs::write(&path, text.replace(from, to)).expect("written");
        }
    };
    spoil(
        &edit(
            "config.json",
            "\"intermediate_size\": 256",
            "\"intermediate_size\": 128",
        ),
        &Case {
            name: "mismatched sizes",
            arguments: run,
            expected: &[
                "mlp.gate_proj.weight",
                "[128, 96]",
                "[256, 96]",
                "mlp.down_proj.weight",
            ],
        },
    );
    spoil(
        &edit("config.json", "\"vocab_size\"", "\"vocab_sise\""),
        &Case {
            name: "a missing key",
            arguments: run,
            expected: &["config.json"],
        },
    );
    for (from, to, field) in [
        ("0.00392156862745098", "1", "rescale_factor"),
        (
            "\"do_normalize\": true",
            "\"do_normalize\": false",
            "do_normalize",
        ),
        (
            "image_mean\": [\n  0.5",
            "image_mean\": [\n  4.8",
            "image_mean",
        ),
    ] {
        spoil(
            &edit("preprocessor_config.json", from, to),
            &Case {
                name: field,
                arguments: run,
                expected: &["preprocessor_config.json", field],
            },
        );
    }
    spoil(
        &edit("tokenizer.json", "<begin_of_image>", "<begin_of_picture>"),
        &Case {
            name: "a missing special token",
            arguments: run,
            expected: &["tokenizer.json", "<begin_of_image>"],
        },
    );
}

#[test]
fn strategies() {
    let place = folder();
    let write = |name: &str, bytes: &[u8]| {
        fs::write(place.path().join(name), bytes).expect("written");
    };
    let plugin =
        fs::read(crate::support::in_repository("plugins/curriculum.wasm")).expect("a plugin");
    write("cut.wasm", &plugin[..plugin.len() / 2]);
    let noise: Vec<u8> = (0..4096_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    write("noise.wasm", &noise);
    write("core.wasm", CORE_MODULE);
    write("empty.wasm", EMPTY_COMPONENT);
    write(
        "syntax.rhai",
        b"fn data_filter(groups, context) {\n    let x = ;\n}\n",
    );
    write("roleless.rhai", b"fn helper(x) { x }\n");
    write(
        "endless.rhai",
        b"loop { }\nfn data_filter(groups, context) { [] }\n",
    );
    write("filter.txt", b"");
    fs::create_dir(place.path().join("folder.wasm")).expect("a folder");
    fn a(strategy: &str) -> [&str; 3] {
        ["run", "--strategy", strategy]
    }
    let script = crate::support::repository_path("scripts/filter.rhai");
    let interpreter = crate::support::repository_path("plugins/rhai.wasm");
    check_all(
        place.path(),
        &[
            Case {
                name: "no such file",
                arguments: &a("nowhere.wasm"),
                expected: &["nowhere.wasm"],
            },
            Case {
                name: "a folder",
                arguments: &a("folder.wasm"),
                expected: &["folder.wasm"],
            },
            Case {
                name: "cut",
                arguments: &a("cut.wasm"),
                expected: &["cut.wasm", "cut off"],
            },
            Case {
                name: "random bytes",
                arguments: &a("noise.wasm"),
                expected: &["noise.wasm", "not WebAssembly"],
            },
            Case {
                name: "a core module",
                arguments: &a("core.wasm"),
                expected: &["core.wasm", "core WebAssembly module", "component"],
            },
            Case {
                name: "an empty component",
                arguments: &a("empty.wasm"),
                expected: &["empty.wasm", "role"],
            },
            Case {
                name: "a syntax error",
                arguments: &a("syntax.rhai"),
                expected: &["syntax.rhai", "line 2", "column 13"],
            },
            Case {
                name: "no role",
                arguments: &a("roleless.rhai"),
                expected: &["roleless.rhai", "data_filter"],
            },
            Case {
                name: "endless when loaded",
                arguments: &a("endless.rhai"),
                expected: &["endless.rhai"],
            },
            Case {
                name: "an unknown ending",
                arguments: &a("filter.txt"),
                expected: &["filter.txt", ".wasm"],
            },
            Case {
                name: "an unknown builtin",
                arguments: &a("builtin:replai"),
                expected: &["replai", "did you mean", "replay"],
            },
            Case {
                name: "the interpreter of scripts",
                arguments: &a(&interpreter),
                expected: &["rhai.wasm", "interpreter", "PATH.rhai"],
            },
            Case {
                name: "two for one role",
                arguments: &[
                    "run",
                    "--strategy",
                    "builtin:uniform",
                    "--strategy",
                    "builtin:replay",
                ],
                expected: &["builtin:uniform", "builtin:replay", "curriculum"],
            },
            Case {
                name: "an unknown key",
                arguments: &[
                    "run",
                    "--strategy",
                    &script,
                    "--set",
                    "data-filter.min_margn=0.3",
                ],
                expected: &["min_margn", "did you mean", "min_margin"],
            },
            Case {
                name: "an unknown role",
                arguments: &["run", "--set", "data-filer.min_margin=0.3"],
                expected: &["data-filer", "did you mean", "data-filter"],
            },
            Case {
                name: "a value of another type",
                arguments: &["run", "--set", "data-filter.min_margin=much"],
                expected: &["data-filter.min_margin", "much"],
            },
            Case {
                name: "a value out of range",
                arguments: &["run", "--set", "data-filter.min_margin=7"],
                expected: &["data-filter.min_margin", "7"],
            },
            Case {
                name: "no value",
                arguments: &["run", "--set", "data-filter"],
                expected: &["data-filter", "ROLE.key=value"],
            },
        ],
    );
}

#[test]
fn prompt_files() {
    let place = folder();
    let write = |name: &str, bytes: &[u8]| {
        fs::write(place.path().join(name), bytes).expect("written");
    };
    write("empty.txt", b"");
    write("blank.txt", b"\n  \n\t\n");
    write("unseen.txt", "\u{200b}\n\u{feff}\n".as_bytes());
    write("latin1.txt", b"a red circle\na gr\xfcn square\n");
    write("special.txt", b"a red <begin_of_image>\n");
    let score = |file: &'static str| ["score", "--prompts", file];
    fs::create_dir(place.path().join("folder.txt")).expect("a folder");
    check_all(
        place.path(),
        &[
            Case {
                name: "a device that never ends",
                arguments: &score("/dev/zero"),
                expected: &["/dev/zero", "not a regular file"],
            },
            Case {
                name: "a folder",
                arguments: &score("folder.txt"),
                expected: &["folder.txt", "not a regular file"],
            },
            Case {
                name: "no such file",
                arguments: &score("nowhere.txt"),
                expected: &["nowhere.txt"],
            },
            Case {
                name: "empty",
                arguments: &score("empty.txt"),
                expected: &["empty.txt", "no prompt"],
            },
            Case {
                name: "blank",
                arguments: &score("blank.txt"),
                expected: &["blank.txt", "no prompt"],
            },
            Case {
                name: "nothing to be seen",
                arguments: &score("unseen.txt"),
                expected: &["unseen.txt", "no prompt"],
            },
            Case {
                name: "a folder to draw from",
                arguments: &["draw", "--prompts", "folder.txt", "--out", "sheet.png"],
                expected: &["folder.txt", "not a regular file"],
            },
            Case {
                name: "not UTF-8",
                arguments: &score("latin1.txt"),
                expected: &["latin1.txt", "line 2", "UTF-8"],
            },
            Case {
                name: "a special token in a prompt",
                arguments: &score("special.txt"),
                expected: &["<begin_of_image>"],
            },
        ],
    );
}

#[test]
fn places() {
    let place = folder();
    fs::create_dir(place.path().join("full")).expect("a folder");
    fs::write(place.path().join("full/notes.txt"), b"mine").expect("written");
    fs::write(place.path().join("file"), b"mine").expect("written");
    std::os::unix::fs::symlink("file", place.path().join("link")).expect("a link");
    check_all(
        place.path(),
        &[
            Case {
                name: "not empty",
                arguments: &["run", "--out", "full"],
                expected: &["`full`", "not empty"],
            },
            Case {
                name: "a file",
                arguments: &["run", "--out", "file"],
                expected: &["`file`", "not a directory"],
            },
            Case {
                name: "a sheet that is there",
                arguments: &["draw", "--prompts", "a ring", "--out", "file"],
                expected: &["--out file", "already"],
            },
            Case {
                name: "a sheet of nothing",
                arguments: &["draw", "--prompts", " ", "--out", "sheet.png"],
                expected: &["--prompts", "no prompt"],
            },
            Case {
                name: "a sheet below a file",
                arguments: &["draw", "--prompts", "a ring", "--out", "file/sheet.png"],
                expected: &["file/sheet.png"],
            },
            Case {
                name: "a sheet in no folder",
                arguments: &["draw", "--prompts", "a ring", "--out", "no/sheet.png"],
                expected: &["no/sheet.png", "no folder"],
            },
            Case {
                name: "a model in no name",
                arguments: &["world", "pretrain", "--out", "full/.."],
                expected: &["--out full/..", "name of a folder"],
            },
            Case {
                name: "a model in this folder",
                arguments: &["world", "pretrain", "--out", "."],
                expected: &["--out .", "name of a folder"],
            },
            Case {
                name: "a model in a link",
                arguments: &["world", "pretrain", "--out", "link"],
                expected: &["--out link", "is a link"],
            },
            Case {
                name: "a model in a file",
                arguments: &["world", "pretrain", "--out", "file"],
                expected: &["--out file", "is a file"],
            },
            Case {
                name: "below a file",
                arguments: &["run", "--out", "file/run"],
                expected: &["file/run"],
            },
            Case {
                name: "nowhere to be written",
                arguments: &["run", "--out", "/proc/run"],
                expected: &["/proc/run"],
            },
        ],
    );
}

#[test]
fn expected_values() {
    let place = folder();
    let tiny = crate::support::repository_path("models/tiny");
    fs::write(place.path().join("cut.safetensors"), b"\x10\0\0\0").expect("written");
    check_all(
        place.path(),
        &[
            Case {
                name: "none",
                arguments: &["model", "verify", &tiny],
                expected: &["expected.safetensors"],
            },
            Case {
                name: "cut",
                arguments: &["model", "verify", &tiny, "--expected", "cut.safetensors"],
                expected: &["cut.safetensors"],
            },
        ],
    );
}
