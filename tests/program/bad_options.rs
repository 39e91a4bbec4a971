//! Options that cannot be used, alone or together.

use crate::bad_input::{Case, check_all};
use crate::support::folder;

#[test]
fn options() {
    let place = folder();
    check_all(
        place.path(),
        &[
            Case {
                name: "an unknown option",
                arguments: &["run", "--stratagy", "x.wasm"],
                expected: &["--stratagy", "--strategy"],
            },
            Case {
                name: "an unknown command",
                arguments: &["rum"],
                expected: &["rum", "run"],
            },
            Case {
                name: "no rounds",
                arguments: &["run", "--rounds", "0"],
                expected: &["`--rounds` is 0", "1 to 10000"],
            },
            Case {
                name: "fewer than no rounds",
                arguments: &["run", "--rounds", "-1"],
                expected: &["--rounds", "-1"],
            },
            Case {
                name: "guidance that is no number",
                arguments: &["run", "--guidance", "NaN"],
                expected: &["guidance", "NaN"],
            },
            Case {
                name: "endless guidance",
                arguments: &["score", "--guidance", "inf"],
                expected: &["guidance", "inf"],
            },
            Case {
                name: "guidance below 0",
                arguments: &["run", "--guidance", "-1"],
                expected: &["guidance", "-1"],
            },
            Case {
                name: "endless guidance below 0",
                arguments: &["score", "--guidance", "-inf"],
                expected: &["guidance", "-inf"],
            },
            Case {
                name: "an unknown judge",
                arguments: &["run", "--judge", "mother"],
                expected: &["--judge", "mother", "consistency"],
            },
            Case {
                name: "an unknown perturbation",
                arguments: &["run", "--perturb", "nonsense"],
                expected: &["--perturb", "`nonsense`", "swapped-pairs=SHARE"],
            },
            Case {
                name: "a share of pairs beyond all",
                arguments: &["run", "--objective", "dpo", "--perturb", "swapped-pairs=2"],
                expected: &["--perturb", "swapped-pairs=2", "up to 1"],
            },
            Case {
                name: "pairs to swap where there are none",
                arguments: &["run", "--perturb", "swapped-pairs=1"],
                expected: &[
                    "--perturb",
                    "swapped-pairs",
                    "takes pairs; sft takes targets",
                ],
            },
            Case {
                name: "rejected targets where there are pairs",
                arguments: &["run", "--objective", "ipo", "--perturb", "sft-on-rejected"],
                expected: &["--perturb", "sft-on-rejected", "takes targets"],
            },
            Case {
                name: "more than the whole way",
                arguments: &["run", "--interpolate", "1.5"],
                expected: &["--interpolate", "1.5", "0 to 1"],
            },
            Case {
                name: "rounds of the static scheme",
                arguments: &["run", "--scheme", "static", "--rounds", "2"],
                expected: &["--rounds", "2", "static"],
            },
            Case {
                name: "an endless β",
                arguments: &["run", "--objective", "dpo", "--beta", "inf"],
                expected: &["--beta", "inf", "1000"],
            },
            Case {
                name: "smoothing that turns every pair round",
                arguments: &["run", "--objective", "robust", "--label-smoothing", "0.5"],
                expected: &["--label-smoothing", "0.5", "0.49"],
            },
            Case {
                name: "an option that the loss does not have",
                arguments: &["run", "--objective", "hinge", "--label-smoothing", "0.1"],
                expected: &["--label-smoothing", "hinge has none"],
            },
            Case {
                name: "an option that the loss evaluated does not have",
                arguments: &["loss", "eval", "--objective", "sft", "--beta", "0.1"],
                expected: &["--beta", "sft has none"],
            },
            Case {
                name: "a term that an evaluated loss does not have",
                arguments: &[
                    "loss",
                    "eval",
                    "--objective",
                    "sigmoid",
                    "--nll-weight",
                    "1",
                ],
                expected: &["--nll-weight", "without"],
            },
            Case {
                name: "when to interpolate, but not how far",
                arguments: &["run", "--interpolate-at", "round"],
                expected: &["--interpolate"],
            },
            Case {
                name: "no input for a loss",
                arguments: &["loss", "eval", "--objective", "sigmoid"],
                expected: &["standard input", "chosen_logps"],
            },
            Case {
                name: "dynamics of nothing",
                arguments: &["probe", "dynamics"],
                expected: &["RUN"],
            },
            Case {
                name: "dynamics of too few examples",
                arguments: &["probe", "dynamics", "--model", ".", "--examples", "1"],
                expected: &["--examples", "1", "4 to"],
            },
            Case {
                name: "no images to label",
                arguments: &["probe", "label", ".", "--images", "0"],
                expected: &["--images", "0", "1 to"],
            },
            Case {
                name: "labels of no run",
                arguments: &["probe", "label", "nowhere"],
                expected: &["nowhere", "config.toml"],
            },
            Case {
                name: "an unknown objective",
                arguments: &["run", "--objective", "ppo"],
                expected: &["--objective", "ppo", "sigmoid"],
            },
            Case {
                name: "no images",
                arguments: &["score", "--images-per-prompt", "0"],
                expected: &["images-per-prompt", "0"],
            },
            Case {
                name: "nothing to evaluate on",
                arguments: &["run", "--evaluate", "0"],
                expected: &["evaluat", "0"],
            },
            Case {
                name: "more images than anybody has room for",
                arguments: &["run", "--images-per-prompt", "4294967295"],
                expected: &["`--images-per-prompt` is 4294967295"],
            },
            Case {
                name: "the same to score",
                arguments: &["score", "--images-per-prompt", "4294967295"],
                expected: &["`--images-per-prompt` is 4294967295"],
            },
            Case {
                name: "more epochs than a life has",
                arguments: &["run", "--epochs", "4294967295"],
                expected: &["`--epochs` is 4294967295"],
            },
            Case {
                name: "a larger evaluation than is useful",
                arguments: &["run", "--evaluate", "4294967295"],
                expected: &["`--evaluate` is 4294967295"],
            },
            Case {
                name: "more prompts than the world has",
                arguments: &["run", "--prompts", "5000"],
                expected: &["`--prompts` is 5000", "4950"],
            },
            Case {
                name: "guidance without end",
                arguments: &["run", "--guidance", "1e308"],
                expected: &["guidance", "1e308"],
            },
            Case {
                name: "a learning rate below 0",
                arguments: &["run", "--learning-rate", "-0.1"],
                expected: &["learning", "-0.1"],
            },
        ],
    );
}
