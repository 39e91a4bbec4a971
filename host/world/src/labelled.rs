//! Pictures with a true or a false statement each, to measure how well a model understands.

use rand::Rng;
use rand::seq::IndexedRandom;
use sc_core::prompt::Split;
use sc_core::rng::stream;

use crate::oracle::{Reading, read_picture, verdict};
use crate::picture::Picture;
use crate::prompts::{Category, Kind, sample_prompts};
use crate::render::{RenderOptions, render};
use crate::spec::{Group, Spec};
use crate::vocabulary::{Colour, Number, Relation, Shape};

/// What of a prompt is changed to make it say something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// The colour of one group.
    Colour,
    /// The shape of one group.
    Shape,
    /// Two groups have each other's colour.
    ColoursSwapped,
    /// The relation.
    Relation,
    /// The number of one group.
    Count,
}

impl Attribute {
    /// Every attribute.
    pub const ALL: [Self; 5] = [
        Self::Colour,
        Self::Shape,
        Self::ColoursSwapped,
        Self::Relation,
        Self::Count,
    ];
}

/// A picture and a statement about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledRender {
    /// The picture, rendered from a held-out prompt.
    pub picture: Picture,
    /// What is said of it: the prompt, or the prompt with one attribute changed.
    pub statement: String,
    /// Whether that is true.
    pub truth: bool,
    /// The prompt's category.
    pub category: Category,
    /// The prompt's kind.
    pub kind: Kind,
    /// The attribute that a false statement has wrong.
    pub changed: Option<Attribute>,
}

/// `n` renders of held-out prompts, drawn as [`sample_prompts`] draws them, the first, third, …
/// with the prompt itself as a true statement, the others with one attribute of it changed and
/// false by the oracle. The first renders do not depend on `n`.
///
/// The changed attribute is drawn uniformly from those that the prompt has. The statement stays
/// within the world's kinds, mostly within the prompt's own.
pub fn labelled_renders(seed: u64, n: usize) -> Vec<LabelledRender> {
    let drawn = sample_prompts(
        Split::HeldOut,
        n,
        &mut stream(seed, "labelled-render-prompts", &[]),
    );
    let mut renders = Vec::with_capacity(n);
    for (at, prompt) in drawn.into_iter().enumerate() {
        let mut rng = stream(seed, "labelled-render", &[at as u64]);
        let picture = render(&prompt.spec, &mut rng, RenderOptions::default());
        let changed = if at % 2 == 0 {
            None
        } else {
            let reading = read_picture(&picture).expect("a render has the size of the world");
            contradiction(&prompt.spec, &reading, |_| true, &mut rng)
        };
        renders.push(LabelledRender {
            picture,
            truth: changed.is_none(),
            statement: match &changed {
                None => prompt.text.clone(),
                Some((_, spec)) => spec.to_string(),
            },
            category: prompt.category(),
            kind: prompt.kind,
            changed: changed.map(|(attribute, _)| attribute),
        });
    }
    renders
}

/// A spec with one attribute of `spec` changed that is `allowed` and false of a picture read so;
/// none if there is no such spec, which no prompt of the world comes to where all are allowed.
pub fn contradiction(
    spec: &Spec,
    reading: &Reading,
    allowed: impl Fn(&Spec) -> bool,
    rng: &mut impl Rng,
) -> Option<(Attribute, Spec)> {
    let choices: Vec<(Attribute, Vec<Spec>)> = Attribute::ALL
        .into_iter()
        .map(|attribute| {
            let mut specs = with_changed(spec, attribute);
            specs.retain(|changed| allowed(changed) && !verdict(changed, reading));
            (attribute, specs)
        })
        .filter(|(_, specs)| !specs.is_empty())
        .collect();
    let (attribute, specs) = choices.choose(rng)?;
    Some((*attribute, specs.choose(rng)?.clone()))
}

/// Every spec of the world's kinds that differs from `spec` in this attribute alone.
pub fn with_changed(spec: &Spec, attribute: Attribute) -> Vec<Spec> {
    let groups = spec.groups();
    let relation = spec.relation();
    let with_group = |at: usize, group: Group| {
        let mut changed = groups.to_vec();
        changed[at] = group;
        (changed, relation)
    };
    let mut changed: Vec<(Vec<Group>, Option<Relation>)> = Vec::new();
    match attribute {
        Attribute::Relation => {
            let others = Relation::ALL.into_iter().map(Some);
            let others = others.filter(|other| relation.is_some() && *other != relation);
            changed.extend(others.map(|other| (groups.to_vec(), other)));
        }
        Attribute::ColoursSwapped => {
            for second in 1..groups.len() {
                for first in 0..second {
                    let mut swapped = groups.to_vec();
                    swapped[first].object.colour = groups[second].object.colour;
                    swapped[second].object.colour = groups[first].object.colour;
                    changed.push((swapped, relation));
                }
            }
        }
        Attribute::Colour | Attribute::Shape | Attribute::Count => {
            for (at, &group) in groups.iter().enumerate() {
                for other in with_changed_group(group, attribute) {
                    changed.push(with_group(at, other));
                }
            }
        }
    }
    changed
        .into_iter()
        .filter_map(|(groups, relation)| Spec::new(groups, relation).ok())
        .filter(|other| other != spec && other.kind().is_some())
        .collect()
}

/// Every group that differs from `group` in its colour (if it has one), its shape or its number.
fn with_changed_group(group: Group, attribute: Attribute) -> Vec<Group> {
    let mut others: Vec<Group> = Vec::new();
    match attribute {
        Attribute::Colour if group.object.colour.is_some() => {
            others.extend(Colour::ALL.map(|colour| {
                let mut other = group;
                other.object.colour = Some(colour);
                other
            }));
        }
        Attribute::Shape => others.extend(Shape::ALL.map(|shape| {
            let mut other = group;
            other.object.shape = shape;
            other
        })),
        Attribute::Count => {
            others.extend(Number::ALL.map(|number| Group { number, ..group }));
        }
        Attribute::Colour | Attribute::ColoursSwapped | Attribute::Relation => {}
    }
    others.retain(|other| *other != group);
    others
}
