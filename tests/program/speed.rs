//! `model speed`: how long a model takes for what a run does with it.

use crate::bad_input::{Case, check_all};
use crate::support::{folder, sc_host};

#[test]
fn each_thing_is_timed_by_itself() {
    let place = folder();
    let arguments = [
        "model", "speed", "--images", "2", "--train", "lora", "--step", "--json",
    ];
    let outcome = sc_host(place.path(), &arguments).succeeded();
    let lines = outcome.json_lines();
    let timed: Vec<_> = lines.iter().map(|line| &line["what"]).collect();
    let expected = [
        "loading", "prompts", "drawing", "decoding", "judging", "DPO step",
    ];
    assert_eq!(timed, expected);
    for line in &lines {
        let number = |field: &str| line[field].as_f64().expect("a number");
        let product = number("seconds") * number("per_second");
        assert!((product - number("count")).abs() < 1e-6, "{line}");
    }
    // All tokens of two images but their first.
    assert_eq!(lines[2]["count"], 30);
}

#[test]
fn what_cannot_be_timed_is_said() {
    check_all(
        folder().path(),
        &[
            Case {
                name: "no images",
                arguments: &["model", "speed", "--images", "0"],
                expected: &["`--images` is 0", "1 to 256"],
            },
            Case {
                name: "more tokens than an image has",
                arguments: &["model", "speed", "--tokens", "16"],
                expected: &["`--tokens` is 16", "1 to 15"],
            },
            Case {
                name: "a step of nothing",
                arguments: &["model", "speed", "--step"],
                expected: &["--train"],
            },
            Case {
                name: "a step of what only draws",
                arguments: &[
                    "model",
                    "speed",
                    "--train",
                    "lora",
                    "--step",
                    "--only-drawing",
                ],
                expected: &["--only-drawing", "--step"],
            },
            Case {
                name: "a whole model in half precision",
                arguments: &[
                    "model", "speed", "--train", "full", "--step", "--dtype", "f16",
                ],
                expected: &["the weights are held in f16", "--train lora"],
            },
            Case {
                name: "a guidance out of its range",
                arguments: &["model", "speed", "--guidance", "-1"],
                expected: &["`--guidance` is -1.0"],
            },
            Case {
                name: "an adapter's option without an adapter",
                arguments: &["model", "speed", "--lora-rank", "4"],
                expected: &["`--lora-rank`", "--train lora"],
            },
            Case {
                name: "dropout of everything",
                arguments: &["model", "speed", "--train", "lora", "--lora-dropout", "1"],
                expected: &["lora.dropout", "below 1"],
            },
        ],
    );
}
