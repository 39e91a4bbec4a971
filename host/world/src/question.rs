//! What the tiny model can be asked about a picture, and what is true of one.

use crate::oracle::{Reading, verdict};
use crate::render::PlacedObject;
use crate::spec::{Group, ObjectSpec, Spec};
use crate::vocabulary::{Colour, Number, Relation, Shape};

/// The words for a cell without an object, in the place of colour and shape.
const EMPTY: (&str, &str) = ("nothing", "object");

/// A way to ask whether a picture shows what a prompt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wording {
    /// `match a red ring ?`: the words of a verdict.
    Match,
    /// `does this image show a red ring ?`
    Show,
    /// `is this a picture of a red ring ?`
    Picture,
    /// `contradict a red ring ?`: yes means that it does not show it.
    Contradict,
}

impl Wording {
    /// Every wording.
    pub const ALL: [Self; 4] = [Self::Match, Self::Show, Self::Picture, Self::Contradict];

    /// Its name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Show => "show",
            Self::Picture => "picture",
            Self::Contradict => "contradict",
        }
    }

    /// The question whether a picture shows `prompt`.
    pub fn question(self, prompt: &str) -> String {
        match self {
            Self::Match => format!("match {prompt} ?"),
            Self::Show => format!("does this image show {prompt} ?"),
            Self::Picture => format!("is this a picture of {prompt} ?"),
            Self::Contradict => format!("contradict {prompt} ?"),
        }
    }

    /// Whether yes is the right answer if the picture shows it, or does not.
    pub fn yes_is_right(self, shows: bool) -> bool {
        match self {
            Self::Contradict => !shows,
            Self::Match | Self::Show | Self::Picture => shows,
        }
    }
}

/// A question about a part of what a prompt asks for, to be asked only where those that it depends
/// on are answered with yes (as in the Davidsonian Scene Graph; Cho et al., 2024, arXiv 2310.18235).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartQuestion {
    /// The question; yes is right if the picture shows the prompt.
    pub text: String,
    /// Positions of the questions before it without whose yes it has no meaning.
    pub depends_on: Vec<usize>,
}

/// The questions that a prompt comes apart into: so many of each shape; then, of these, the colour;
/// then how two kinds stand to each other. Each is about what is asked for: that nothing else is in
/// the picture is not asked.
pub fn part_questions(spec: &Spec) -> Vec<PartQuestion> {
    let bare = |group: &Group| {
        let mut group = *group;
        group.object.colour = None;
        group
    };
    let mut parts = Vec::new();
    let mut add = |groups: Vec<Group>, relation, depends_on: Vec<usize>| {
        if let Ok(part) = Spec::new(groups, relation) {
            parts.push(PartQuestion {
                text: presence_question(&part),
                depends_on,
            });
        }
        parts.len() - 1
    };
    let groups = spec.groups();
    let shapes: Vec<usize> = groups
        .iter()
        .map(|group| add(vec![bare(group)], None, Vec::new()))
        .collect();
    for (group, &shape) in groups.iter().zip(&shapes) {
        if group.object.colour.is_some() {
            add(vec![*group], None, vec![shape]);
        }
    }
    if let Some(relation) = spec.relation() {
        add(groups.iter().map(bare).collect(), Some(relation), shapes);
    }
    parts
}

/// The question whether there is something in a picture, among other things or not.
pub fn presence_question(spec: &Spec) -> String {
    format!("is there {spec} ?")
}

/// Whether a picture has what is asked for, whatever else it has: exactly so many of each group's
/// kind, or, where a relation is asked for, any two objects of the kinds that stand so.
pub fn is_present(spec: &Spec, reading: &Reading) -> bool {
    let of = |object: ObjectSpec| {
        let fits = move |placed: &&PlacedObject| {
            placed.shape == object.shape
                && object.colour.is_none_or(|colour| colour == placed.colour)
        };
        reading.objects.iter().filter(fits)
    };
    match (spec.relation(), spec.groups()) {
        (Some(relation), [first, second]) => of(first.object).any(|first| {
            of(second.object).any(|second| relation.holds(first.cell(), second.cell()))
        }),
        (_, groups) => groups
            .iter()
            .all(|group| of(group.object).count() == group.number.value()),
    }
}

/// What a model says when asked to describe a picture: colour and shape of every cell, row by row,
/// `codes` being what [`crate::codes`] makes of it.
pub fn description(codes: &[u32]) -> String {
    let words = codes.iter().flat_map(|&code| {
        let (colour, shape) = cell_words(code);
        [colour, shape]
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The words for colour and shape of a cell with this code.
pub fn cell_words(code: u32) -> (&'static str, &'static str) {
    match crate::codes::meaning_of(code) {
        Some((colour, shape)) => (colour.word(), shape.word()),
        None => EMPTY,
    }
}

/// Every prompt of the world's kinds that a picture shows, with its groups in every order.
pub fn true_specs(reading: &Reading) -> Vec<Spec> {
    if !reading.malformed.is_empty() || reading.objects.is_empty() {
        return Vec::new();
    }
    let groups: Option<Vec<(Group, Option<Colour>)>> = Shape::ALL
        .into_iter()
        .filter(|&shape| reading.objects.iter().any(|object| object.shape == shape))
        .map(|shape| group_of(reading, shape))
        .collect();
    // Five or more of a shape, or more shapes than any kind has: no prompt says that.
    let Some(groups) = groups.filter(|groups| groups.len() <= 3) else {
        return Vec::new();
    };
    let all_in_one_colour = groups.iter().all(|(_, colour)| colour.is_some());
    let mut specs = Vec::new();
    for order in orders(groups.len()) {
        let bare: Vec<Group> = order.iter().map(|&at| groups[at].0).collect();
        let coloured: Vec<Group> = order
            .iter()
            .map(|&at| {
                let (mut group, colour) = groups[at];
                group.object.colour = colour;
                group
            })
            .collect();
        let relations = Relation::ALL.map(Some).into_iter().chain([None]);
        for relation in relations {
            specs.extend(Spec::new(bare.clone(), relation).ok());
            if all_in_one_colour {
                specs.extend(Spec::new(coloured.clone(), relation).ok());
            }
        }
    }
    specs.retain(|spec| spec.kind().is_some() && verdict(spec, reading));
    specs
}

/// All objects of a shape as a bare group, with their colour if they share one.
fn group_of(reading: &Reading, shape: Shape) -> Option<(Group, Option<Colour>)> {
    let colours: Vec<Colour> = reading
        .objects
        .iter()
        .filter(|object| object.shape == shape)
        .map(|object| object.colour)
        .collect();
    let number = Number::ALL
        .into_iter()
        .find(|number| number.value() == colours.len())?;
    let shared = colours.iter().all(|colour| *colour == colours[0]);
    let object = ObjectSpec {
        colour: None,
        shape,
    };
    Some((Group { number, object }, shared.then(|| colours[0])))
}

/// The orders of one, two or three things.
fn orders(count: usize) -> &'static [&'static [usize]] {
    match count {
        1 => &[&[0]],
        2 => &[&[0, 1], &[1, 0]],
        _ => &[
            &[0, 1, 2],
            &[0, 2, 1],
            &[1, 0, 2],
            &[1, 2, 0],
            &[2, 0, 1],
            &[2, 1, 0],
        ],
    }
}

#[cfg(test)]
mod tests {
    use sc_core::prompt::Split;
    use sc_core::rng::stream;

    use super::*;
    use crate::codes::{codes, objects};
    use crate::prompts::prompts;
    use crate::render::lay_out;

    fn reading(objects: Vec<PlacedObject>) -> Reading {
        Reading {
            objects,
            malformed: Vec::new(),
        }
    }

    #[test]
    fn what_a_picture_was_made_for_is_among_what_is_true_of_it() {
        let mut rng = stream(1, "test", &[]);
        for prompt in prompts(Split::HeldOut) {
            let placed = lay_out(&prompt.spec, &mut rng);
            assert_eq!(codes(&objects(&codes(&placed))), codes(&placed));
            let reading = reading(placed);
            let all = true_specs(&reading);
            assert!(all.contains(&prompt.spec), "`{}`: {all:?}", prompt.text);
            assert!(all.iter().all(|spec| verdict(spec, &reading)));
        }
    }

    #[test]
    fn presence_is_of_exactly_so_many_whatever_else_there_is() {
        let at = |colour, shape, row, column| PlacedObject {
            colour,
            shape,
            row,
            column,
        };
        let reading = reading(vec![
            at(Colour::Red, Shape::Ring, 0, 0),
            at(Colour::Red, Shape::Ring, 0, 2),
            at(Colour::Blue, Shape::Cross, 2, 0),
        ]);
        for (text, expected) in [
            ("two red rings", true),
            ("a red ring", false),
            ("two rings", true),
            ("a blue cross", true),
            ("a green cross", false),
            ("a ring above a cross", true),
            ("a cross above a ring", false),
        ] {
            let spec: Spec = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(is_present(&spec, &reading), expected, "{text}");
        }
    }

    #[test]
    fn a_description_names_every_cell() {
        assert_eq!(
            description(&[0, 1, 30]),
            "nothing object red circle black ring"
        );
    }

    #[test]
    fn a_prompt_comes_apart_into_shapes_colours_and_relation() {
        let parts = |text: &str| {
            let spec: Spec = text.parse().unwrap_or_else(|error| panic!("{error}"));
            let parts = part_questions(&spec).into_iter();
            parts
                .map(|part| (part.text, part.depends_on))
                .collect::<Vec<_>>()
        };
        let part = |text: &str, depends_on: &[usize]| (text.to_owned(), depends_on.to_vec());
        assert_eq!(
            parts("a red ring above a blue cross"),
            [
                part("is there a ring ?", &[]),
                part("is there a cross ?", &[]),
                part("is there a red ring ?", &[0]),
                part("is there a blue cross ?", &[1]),
                part("is there a ring above a cross ?", &[0, 1]),
            ]
        );
        assert_eq!(
            parts("two green circles"),
            [
                part("is there two circles ?", &[]),
                part("is there two green circles ?", &[0]),
            ]
        );
    }

    /// Each part of a prompt is true of a picture that shows it.
    #[test]
    fn parts_of_what_is_shown_are_present() {
        let mut rng = stream(2, "test", &[]);
        for prompt in prompts(Split::HeldOut) {
            let reading = reading(lay_out(&prompt.spec, &mut rng));
            for part in part_questions(&prompt.spec) {
                let text = part.text.strip_prefix("is there ");
                let text = text.and_then(|text| text.strip_suffix(" ?"));
                let spec: Spec = text.expect("a question").parse().expect("a spec");
                assert!(
                    is_present(&spec, &reading),
                    "{}: {}",
                    prompt.text,
                    part.text
                );
            }
        }
    }

    #[test]
    fn contradiction_turns_the_answer_round() {
        for wording in Wording::ALL {
            let turned = wording == Wording::Contradict;
            assert_eq!(wording.yes_is_right(true), !turned);
            assert_eq!(wording.yes_is_right(false), turned);
            assert!(wording.question("a ring").ends_with("a ring ?"));
        }
    }
}
