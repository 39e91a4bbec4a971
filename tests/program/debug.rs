//! `debug preprocess`, `debug parse-answer` and `debug prompt`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::bad_input::{Case, check_all};
use crate::support::{
    command, folder, in_repository, repository_path, rows, sc_host, sc_host_given,
};

#[test]
fn an_image_is_written_as_the_model_sees_it() {
    let folder = folder();
    let cases = fs::read_to_string(in_repository("tests/fixtures/preprocess/cases.json"));
    let cases: Vec<Value> = serde_json::from_str(&cases.expect("is read")).expect("a list");
    for case in &cases {
        let fixture = |name: &str| {
            let name = case[name].as_str().expect("a name");
            repository_path(&format!("tests/fixtures/preprocess/{name}"))
        };
        let (size, out) = (
            case["size"].to_string(),
            case["out"].as_str().expect("a name"),
        );
        let arguments = [
            "debug",
            "preprocess",
            "--size",
            &size,
            &fixture("in"),
            out,
            "--json",
        ];
        let outcome = sc_host(folder.path(), &arguments).succeeded();
        let made = &outcome.json_lines()[0];
        assert_eq!(made["size"], case["size"]);
        assert_eq!(made["out"], case["out"]);
        // Other encoders make other files of the same bytes: what is written is read again as an
        // image of the square's size, which stays as it is.
        for (name, source) in [("made", out), ("expected", &fixture("out"))] {
            let again = ["debug", "preprocess", "--size", &size, source, name];
            sc_host(folder.path(), &again).succeeded();
        }
        let read = |name: &str| {
            let path = folder.path().join(name);
            let bytes = fs::read(&path).expect("is read");
            fs::remove_file(path).expect("is removed");
            bytes
        };
        assert!(read("made") == read("expected"), "{case}");
    }
    let photograph = repository_path("tests/fixtures/preprocess/0-in.png");
    let arguments = [
        "debug",
        "preprocess",
        &photograph,
        "people.png",
        "--size",
        "384",
    ];
    let people = sc_host(folder.path(), &arguments).succeeded().stdout;
    for part in ["640×480", "384×288", "row 48", "people.png"] {
        assert!(people.contains(part), "{people}");
    }
}

#[test]
fn images_that_cannot_be_taken() {
    let folder = folder();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect(name);
    let whole = fs::read(in_repository("tests/fixtures/preprocess/1-in.png")).expect("is read");
    write("whole.png", &whole);
    write("cut.png", &whole[..whole.len() / 2]);
    write("frames.gif", b"GIF89a\x01\0\x01\0");
    write("empty.jpg", b"");
    let case = |name, arguments, expected| Case {
        name,
        arguments,
        expected,
    };
    let cases = [
        case(
            "too small",
            &[
                "debug",
                "preprocess",
                "--size",
                "13",
                "whole.png",
                "out.png",
            ][..],
            &["`--size` is 13", "14 to 4096"][..],
        ),
        case(
            "too large",
            &[
                "debug",
                "preprocess",
                "--size",
                "4097",
                "whole.png",
                "out.png",
            ],
            &["`--size` is 4097"],
        ),
        case(
            "below 0",
            &[
                "debug",
                "preprocess",
                "--size",
                "-1",
                "whole.png",
                "out.png",
            ],
            &["--size", "-1"],
        ),
        case(
            "no size",
            &["debug", "preprocess", "whole.png", "out.png"],
            &["--size"],
        ),
        case(
            "there already",
            &[
                "debug",
                "preprocess",
                "--size",
                "32",
                "whole.png",
                "cut.png",
            ],
            &["`cut.png` is there already"],
        ),
        case(
            "no folder",
            &[
                "debug",
                "preprocess",
                "--size",
                "32",
                "whole.png",
                "none/out.png",
            ],
            &["no folder `none`"],
        ),
        case(
            "no image",
            &["debug", "preprocess", "--size", "32", "none.png", "out.png"],
            &["`none.png`"],
        ),
        case(
            "a folder",
            &["debug", "preprocess", "--size", "32", ".", "out.png"],
            &["`.` is a directory"],
        ),
        case(
            "cut",
            &["debug", "preprocess", "--size", "32", "cut.png", "out.png"],
            &["`cut.png` is no whole PNG image"],
        ),
        case(
            "a GIF",
            &[
                "debug",
                "preprocess",
                "--size",
                "32",
                "frames.gif",
                "out.png",
            ],
            &["`frames.gif`", "Gif", "PNG, JPEG or WebP"],
        ),
        case(
            "empty",
            &[
                "debug",
                "preprocess",
                "--size",
                "32",
                "empty.jpg",
                "out.png",
            ],
            &["`empty.jpg` is empty"],
        ),
    ];
    check_all(folder.path(), &cases);
}

#[test]
fn answers_get_the_verdicts_that_are_expected() {
    let path = in_repository("host/core/tests/data/judge-answers.jsonl");
    let expected: Vec<Value> = rows(&path)
        .iter()
        .map(|case| json!({ "verdict": case["verdict"] }))
        .collect();
    assert_eq!(expected.len(), 28);
    let folder = folder();
    let answers = fs::read_to_string(path).expect("is read");
    let parse = ["debug", "parse-answer"];
    let outcome = sc_host_given(folder.path(), &parse, &answers).succeeded();
    assert_eq!(outcome.json_lines(), expected);
    // Blank lines between, and no line break at the end.
    let spread = answers.trim_end().replace('\n', "\r\n \n\n");
    let outcome = sc_host_given(folder.path(), &parse, &spread).succeeded();
    assert_eq!(outcome.json_lines(), expected);
    assert_eq!(
        sc_host_given(folder.path(), &parse, "").succeeded().stdout,
        ""
    );
}

#[test]
fn each_answer_is_read_before_the_next_is_given() {
    let folder = folder();
    let mut child = command(folder.path(), &["debug", "parse-answer"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut to = child.stdin.take().expect("standard input");
    let mut from = BufReader::new(child.stdout.take().expect("standard output"));
    for (answer, verdict) in [("Yes, it does.", "1"), ("perhaps", "null"), ("0", "0")] {
        writeln!(
            to,
            "{}",
            json!({ "answer": answer, "verdict": "is not looked at" })
        )
        .expect("is read");
        let mut line = String::new();
        from.read_line(&mut line).expect("is written");
        assert_eq!(line, format!("{{\"verdict\":{verdict}}}\n"));
    }
    drop(to);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn lines_that_are_no_answers_end_it_with_their_number() {
    let folder = folder();
    let long = format!("{{\"answer\": \"{}\"}}", "x".repeat(1 << 20));
    let spaces = " ".repeat((1 << 20) + 1);
    for (bad, expected) in [
        ("[\"yes\"]", &["is `[\"yes\"]`"][..]),
        ("\"yes\"", &["is `\"yes\"`"]),
        (
            "The score is 1.",
            &["is `The score is 1.`", "no JSON at column 1"],
        ),
        ("{\"answer\": \"yes\"", &["no JSON"]),
        ("{\"answers\": \"yes\"}", &["is `{\"answers\": \"yes\"}`"]),
        ("{\"answer\": 1}", &["has the `answer` 1"]),
        ("{\"answer\": null}", &["has the `answer` null"]),
        ("\u{1b}[31m", &["no JSON"]),
        (&long, &["is longer than 1048576 bytes"]),
        (&spaces, &["is longer than 1048576 bytes"]),
    ] {
        let input = format!("{{\"answer\": \"yes\"}}\n\n{bad}\n{{\"answer\": \"no\"}}\n");
        let outcome = sc_host_given(folder.path(), &["debug", "parse-answer"], &input);
        let stderr = &outcome.stderr;
        assert_eq!(outcome.code, Some(1), "{stderr}");
        assert_eq!(outcome.stdout, "{\"verdict\":1}\n");
        for part in ["error: line 3 of standard input", "hint:"]
            .iter()
            .chain(expected)
        {
            assert!(stderr.contains(part), "`{part}` is not in {stderr}");
        }
        assert!(
            stderr.len() < 500 && !stderr.contains('\u{1b}'),
            "{stderr:?}"
        );
    }
}

/// A model in transformers' layout is asked by its own chat template, one in the authors' by what
/// their code says; the two agree.
#[test]
fn a_prompt_is_shown_as_the_model_is_given_it() {
    let folder = folder();
    let mut given = Vec::new();
    for layout in ["hf", "original"] {
        let synth = [
            "model", "synth", "tiny", "--layout", layout, "--out", layout,
        ];
        sc_host(folder.path(), &synth).succeeded();
        let prompt = ["debug", "prompt", "a red circle", "--json", "--model"];
        let outcome = sc_host(folder.path(), &[&prompt[..], &[layout]].concat()).succeeded();
        given.push(outcome.json_lines().remove(0));
    }
    assert_eq!(given[0], given[1]);
    let judge = "<|User|>: <begin_of_image><image_placeholder><end_of_image>\nDoes this image \
                 describe a red circle? If it";
    for (what, text) in [
        (
            "draw",
            "<|User|>: a red circle\n\n<|Assistant|>:<begin_of_image>",
        ),
        ("judge", judge),
    ] {
        let found = given[0][what]["text"].as_str().expect("a text");
        assert!(found.contains(text), "{found}");
    }
    // Another template is followed, and the ids with it.
    let template = folder.path().join("hf/chat_template.jinja");
    let text = fs::read_to_string(&template).expect("is read");
    fs::write(&template, text.replace("<|User|>", "User")).expect("is written");
    fs::write(folder.path().join("question.txt"), "Is this {prompt}?").expect("is written");
    let arguments = ["debug", "prompt", "a red circle", "--model", "hf"];
    let question = ["--question", "question.txt"];
    let people = sc_host(folder.path(), &[&arguments[..], &question].concat()).succeeded();
    for part in [
        "User: a red circle\n\n",
        "Is this a red circle?\n\n",
        "tokens",
    ] {
        assert!(people.stdout.contains(part), "{}", people.stdout);
    }
    let cases = [
        Case {
            name: "a special token in a prompt",
            arguments: &["debug", "prompt", "<end_of_image>"],
            expected: &["`<end_of_image>`"],
        },
        Case {
            name: "no model",
            arguments: &["debug", "prompt", "a dog", "--model", "./none"],
            expected: &["`./none`"],
        },
        Case {
            name: "a template that fails",
            arguments: &["debug", "prompt", "a dog", "--model", "original/../hf"],
            expected: &["chat_template.jinja", "line 2"],
        },
    ];
    fs::write(&template, "\n{{ nothing.at.all }}").expect("is written");
    check_all(folder.path(), &cases);
}
