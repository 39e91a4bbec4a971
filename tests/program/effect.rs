//! The effect that the program exists for, at full size. Takes minutes:
//! `cargo test --release -p sc-host --test program -- --ignored`.

use crate::support::{folder, repository_path, sc_host};

#[test]
#[ignore = "three full runs take minutes"]
fn a_model_improves_itself_on_three_seeds() {
    let plugin = repository_path("plugins/curriculum.wasm");
    let (mut drawing, mut nonunified) = (0.0, 0.0);
    for seed in ["1", "2", "3"] {
        let folder = folder();
        let arguments = ["run", "--strategy", &plugin, "--seed", seed, "--json"];
        let events = sc_host(folder.path(), &arguments).succeeded().json_lines();
        let summary = events.last().expect("a summary");
        let change = |figure: &str| {
            let at = |side: &str| summary[side][figure]["value"].as_f64().expect("a share");
            at("after") - at("before")
        };
        println!(
            "seed {seed}: generation accuracy {:+.3}, Nonunified {:+.3}, understanding {:+.3}",
            change("generation_accuracy"),
            change("nonunified"),
            change("understanding_accuracy")
        );
        drawing += change("generation_accuracy") / 3.0;
        nonunified += change("nonunified") / 3.0;
    }
    assert!(drawing >= 0.10, "generation accuracy {drawing:+.3}");
    assert!(nonunified <= -0.10, "Nonunified {nonunified:+.3}");
}
