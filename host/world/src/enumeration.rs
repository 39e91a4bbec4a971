//! Which prompts there are, and which of them are held out.
//!
//! A prompt and its twins, which say the same in another order, are on the same side: the split is
//! one of meanings. In each kind a fifth of the meanings is held out, but at least sixteen, or two
//! in five where sixteen would be more than that. What is chosen does not depend on a run's seed.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use rand::seq::SliceRandom;
use sc_core::prompt::Split;
use sc_core::rng::stream;

use crate::meaning::Meaning;
use crate::prompts::{Kind, WorldPrompt};
use crate::spec::{Group, ObjectSpec, Spec};
use crate::vocabulary::{Colour, Number, Relation, Shape};

/// The seed of the world itself.
const WORLD: u64 = 0;
/// Three coloured shapes make 12,960 prompts; the world has so many of them.
const THREE_COLOURS: usize = 800;
/// Fewest held-out meanings of a kind that has forty or more.
const FEWEST_HELD_OUT: usize = 16;

/// Every prompt with its kind and split, kind by kind.
pub(crate) fn enumerate() -> Vec<WorldPrompt> {
    let mut prompts = Vec::new();
    for kind in Kind::ALL {
        for spec in specs(kind) {
            let split = if is_held_out(&spec) {
                Split::HeldOut
            } else {
                Split::Train
            };
            prompts.push(WorldPrompt {
                text: spec.to_string(),
                kind,
                split,
                spec,
            });
        }
    }
    prompts
}

/// Whether a model that is to be measured on the held-out prompts must not be told of this one: it
/// means what a held-out prompt means.
pub fn is_held_out(spec: &Spec) -> bool {
    static HELD_OUT: LazyLock<BTreeSet<Meaning>> =
        LazyLock::new(|| Kind::ALL.into_iter().flat_map(held_out_meanings).collect());
    HELD_OUT.contains(&Meaning::from(spec))
}

fn held_out_meanings(kind: Kind) -> Vec<Meaning> {
    let meanings: BTreeSet<Meaning> = specs(kind).iter().map(Meaning::from).collect();
    let count = meanings.len();
    let held_out = (count / 5).max(FEWEST_HELD_OUT.min(count * 2 / 5));
    let mut meanings: Vec<Meaning> = meanings.into_iter().collect();
    meanings.shuffle(&mut stream(WORLD, "held-out-meanings", &[kind as u64]));
    meanings.truncate(held_out);
    meanings
}

/// What the prompts of a kind ask for, one a prompt.
fn specs(kind: Kind) -> Vec<Spec> {
    let any_number = Number::ALL.map(|number| vec![number]);
    let (numbers, coloured, related) = match kind {
        Kind::TwoShapes => (ones(2), vec![false], false),
        Kind::ThreeShapes => (ones(3), vec![false], false),
        Kind::Spatial => (ones(2), vec![false], true),
        Kind::CountOfOne => (any_number.to_vec(), vec![false, true], false),
        Kind::CountOfTwo => (unequal_or_two(), vec![false], false),
        Kind::TwoColours => (ones(2), vec![true], false),
        Kind::ColouredRelation => (ones(2), vec![true], true),
        Kind::ColouredCount => (two_and_one(), vec![true], false),
        Kind::ThreeColours => (ones(3), vec![true], false),
    };
    let mut specs = Vec::new();
    for numbers in &numbers {
        for shapes in arrangements(numbers.len()) {
            for coloured in &coloured {
                for colours in colourings(numbers.len(), *coloured) {
                    let groups: Vec<Group> = (numbers.iter().zip(&shapes).zip(colours))
                        .map(|((&number, &shape), colour)| Group {
                            number,
                            object: ObjectSpec { colour, shape },
                        })
                        .collect();
                    let relations = if related {
                        Relation::ALL.map(Some).to_vec()
                    } else {
                        vec![None]
                    };
                    let with = |relation| Spec::new(groups.clone(), relation).ok();
                    specs.extend(relations.into_iter().filter_map(with));
                }
            }
        }
    }
    if kind == Kind::ThreeColours {
        specs.shuffle(&mut stream(WORLD, "three-colours", &[]));
        specs.truncate(THREE_COLOURS);
    }
    specs
}

fn ones(groups: usize) -> Vec<Vec<Number>> {
    vec![vec![Number::One; groups]]
}

fn two_and_one() -> Vec<Vec<Number>> {
    vec![
        vec![Number::One, Number::Two],
        vec![Number::Two, Number::One],
    ]
}

fn unequal_or_two() -> Vec<Vec<Number>> {
    let mut numbers = two_and_one();
    numbers.extend([
        vec![Number::One, Number::Three],
        vec![Number::Three, Number::One],
        vec![Number::Two, Number::Two],
    ]);
    numbers
}

/// Every ordered choice of so many different shapes.
fn arrangements(count: usize) -> Vec<Vec<Shape>> {
    extended(count, |chosen: &[Shape]| {
        let fresh = Shape::ALL.into_iter();
        fresh.filter(|shape| !chosen.contains(shape)).collect()
    })
}

/// Every choice of a colour a group, or the one without colours.
fn colourings(count: usize, coloured: bool) -> Vec<Vec<Option<Colour>>> {
    extended(count, |_: &[Option<Colour>]| {
        if coloured {
            Colour::ALL.map(Some).to_vec()
        } else {
            vec![None]
        }
    })
}

/// Every list of `count` entries, each out of what `next` offers after those before it.
fn extended<T: Copy>(count: usize, next: impl Fn(&[T]) -> Vec<T>) -> Vec<Vec<T>> {
    (0..count).fold(vec![Vec::new()], |lists, _| {
        let longer = |list: Vec<T>| {
            let choices = next(&list);
            choices.into_iter().map(move |choice| {
                let mut longer = list.clone();
                longer.push(choice);
                longer
            })
        };
        lists.into_iter().flat_map(longer).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::prompts::prompts;

    #[test]
    fn every_prompt_is_there_once_and_of_its_kind() {
        let all = enumerate();
        let mut texts = BTreeSet::new();
        for prompt in &all {
            assert_eq!(prompt.text.parse().ok().as_ref(), Some(&prompt.spec));
            assert_eq!(prompt.spec.kind(), Some(prompt.kind), "{}", prompt.text);
            assert!(texts.insert(&prompt.text), "twice: {}", prompt.text);
        }
        let count = |kind| all.iter().filter(|p| p.kind == kind).count();
        assert_eq!(
            Kind::ALL.map(count),
            [720, 20, 60, 80, 140, 100, 2880, 1440, 800]
        );
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
        }
    }

    #[test]
    fn the_split_is_by_meaning_and_no_kind_has_few_held_out() {
        let mut sides: BTreeMap<Meaning, Split> = BTreeMap::new();
        let mut held_out: BTreeMap<&str, BTreeSet<Meaning>> = BTreeMap::new();
        for split in [Split::Train, Split::HeldOut] {
            for prompt in prompts(split) {
                let meaning = Meaning::from(&prompt.spec);
                let side = *sides.entry(meaning.clone()).or_insert(split);
                assert_eq!(side, split, "on both sides: `{}`", prompt.text);
                if split == Split::HeldOut {
                    held_out
                        .entry(prompt.kind.name())
                        .or_default()
                        .insert(meaning);
                }
            }
        }
        let counts: Vec<usize> = Kind::ALL
            .iter()
            .map(|kind| held_out.get(kind.name()).map_or(0, BTreeSet::len))
            .collect();
        assert_eq!(&counts[..8], &[72, 4, 4, 16, 28, 16, 288, 144]);
        assert!(counts[8] > 120, "{counts:?}");
        let share = held_out.values().map(BTreeSet::len).sum::<usize>() as f64 / sides.len() as f64;
        assert!((0.18..0.23).contains(&share), "held out: {share}");
    }
}
