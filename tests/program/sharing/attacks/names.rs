//! Names that would lead elsewhere.

use super::{Attack, attack};
use crate::sharing::Person;

pub(super) fn all() -> Vec<Attack> {
    let named = |name: &'static str| {
        move || {
            let person = Person::new();
            let outcome = person.types(&["strategy", "pull", name, "--to", "taken.wasm"]);
            (person, outcome)
        }
    };
    vec![
        attack(
            "a name that leads upwards",
            &["names no artifact"],
            named("localhost:1/../../x:1"),
        ),
        attack(
            "a name with escapes",
            &["names no artifact"],
            named("localhost:1/team/%2e%2e/x:1"),
        ),
        attack(
            "a tag that leads upwards",
            &["names no artifact"],
            named("localhost:1/team/x:../../y"),
        ),
        attack(
            "a name with another's host",
            &["names no artifact"],
            named("ghcr.io@evil.example/x:1"),
        ),
        attack(
            "a name with a query",
            &["names no artifact"],
            named("localhost:1/x?y=z"),
        ),
        attack(
            "a name with a line break",
            &["names no artifact"],
            named("localhost:1/x:1\nHost: evil"),
        ),
        attack(
            "a name without a registry",
            &["names no artifact"],
            named("team/x:1"),
        ),
        attack(
            "a digest that leads upwards",
            &["names no artifact"],
            named("localhost:1/x@sha256:../../y"),
        ),
    ]
}
