//! When two prompts ask for the same: the canonical form by which the world is split.

use crate::spec::{Group, Spec};
use crate::vocabulary::Relation;

/// A prompt's meaning: groups sorted where their order says nothing, relations told as left of or
/// above. Prompts with equal meanings are on the same side of the train / held-out split.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meaning {
    groups: Vec<Group>,
    relation: Option<Relation>,
}

impl From<&Spec> for Meaning {
    fn from(spec: &Spec) -> Self {
        let mut groups = spec.groups().to_vec();
        let relation = match spec.relation() {
            None => {
                groups.sort();
                None
            }
            Some(relation @ (Relation::RightOf | Relation::Below)) => {
                groups.reverse();
                Some(relation.inverse())
            }
            already => already,
        };
        Self { groups, relation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(text: &str) -> Meaning {
        let spec: Spec = text.parse().unwrap_or_else(|error| panic!("{error}"));
        Meaning::from(&spec)
    }

    #[test]
    fn twins_mean_the_same() {
        for (one, other) in [
            ("a ring and two crosses", "two crosses and a ring"),
            ("a ring left of a cross", "a cross right of a ring"),
            ("a red ring above a cross", "a cross below a red ring"),
        ] {
            assert_eq!(meaning(one), meaning(other));
        }
    }

    #[test]
    fn what_differs_means_something_else() {
        for (one, other) in [
            ("a ring and two crosses", "two rings and a cross"),
            ("a ring left of a cross", "a cross left of a ring"),
            ("a ring left of a cross", "a ring above a cross"),
            ("a ring left of a cross", "a ring and a cross"),
            ("a red ring and a blue cross", "a blue ring and a red cross"),
        ] {
            assert_ne!(meaning(one), meaning(other));
        }
    }
}
