//! The pages about sharing: every command that stands there, as it stands there but for the registry's port.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::docker_registry::Registry;
use super::{Person, share_compiled};
use crate::support::in_repository;

/// The registry that the pages name.
const REGISTRY: &str = "localhost:5000";

/// The shell lines of a page, block by block, each with who types them.
fn blocks(page: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(in_repository(page)).expect("a page");
    let mut blocks = Vec::new();
    let mut rest = text.as_str();
    while let Some((_, after)) = rest.split_once("```sh\n") {
        let (block, after) = after.split_once("```").expect("the block's end");
        let who = block
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# as "));
        blocks.push((who.unwrap_or("me").to_lowercase(), block.to_owned()));
        rest = after;
    }
    blocks
}

/// Types the blocks of a page, each person in a folder and with a cache of their own; `prepare` makes
/// what a page finds there.
fn follow(page: &str, prepare: impl Fn(&Path)) {
    let registry = Registry::plain();
    let everybody = Person::new();
    let mut places: BTreeMap<String, PathBuf> = BTreeMap::new();
    let blocks = blocks(page);
    assert!(blocks.len() > 3, "{page} has few commands");
    for (who, block) in blocks {
        let home = everybody.home().join(&who);
        let place = places.entry(who.clone()).or_insert_with(|| {
            let place = everybody.work().join(&who);
            fs::create_dir_all(&place).expect("a folder");
            share_compiled(&home.join("sc-host"));
            prepare(&place);
            place
        });
        // The shell takes no notice of a `!` that is not kept.
        let block: String = block
            .lines()
            .map(|line| match line.strip_prefix("! ") {
                Some(refused) => format!("if {refused}; then echo 'not refused'; exit 1; fi\n"),
                None => format!("{line}\n"),
            })
            .collect();
        // Where the block before has left them, they go on.
        let script = format!(
            "set -euo pipefail\n[ ! -f ~/variables ] || source ~/variables\n{}\ndeclare -p artifact > ~/variables \
             2> /dev/null || true\npwd > ~/place\n",
            block.replace(REGISTRY, &registry.host())
        );
        let mut command = Command::new("bash");
        let program = Path::new(env!("CARGO_BIN_EXE_sc-host"));
        let folder = program.parent().expect("a folder").display();
        let path = std::env::var("PATH").unwrap_or_default();
        let like = everybody.command(&[]);
        for (name, value) in like.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .args(["-c", &script])
            .current_dir(&*place)
            .env("PATH", format!("{folder}:{path}"))
            .env("HOME", &home)
            .env("XDG_CACHE_HOME", &home)
            .envs([
                ("GIT_AUTHOR_NAME", who.as_str()),
                ("GIT_AUTHOR_EMAIL", "a@example.org"),
                ("GIT_COMMITTER_NAME", who.as_str()),
                ("GIT_COMMITTER_EMAIL", "a@example.org"),
            ]);
        let output = command.output().expect("bash starts");
        let told = format!(
            "{block}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{page}: {told}");
        let now = fs::read_to_string(home.join("place")).expect("a place");
        *place = PathBuf::from(now.trim_end());
    }
}

#[test]
fn share_a_strategy_with_your_team() {
    follow("docs/strategies/share.md", |_| ());
}

#[test]
fn review_a_strangers_strategy() {
    follow("docs/strategies/review.md", |place| {
        fs::create_dir(place.join("plugins")).expect("a folder");
        for plugin in ["plugins/decomposed.wasm", "plugins/margin.wasm"] {
            fs::copy(in_repository(plugin), place.join(plugin)).expect("copied");
        }
    });
}
