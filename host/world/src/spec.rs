//! What a prompt asks for: the grammar of the world's prompts, read and printed.
//!
//! ```text
//! prompt   = group { "and" group } | group relation group
//! group    = "a" [colour] shape | ("two" | "three" | "four") [colour] shapes
//! relation = "left of" | "right of" | "above" | "below"
//! ```
//! All shapes of a prompt differ, and a relation is between two single objects.

use std::fmt;
use std::iter::Peekable;
use std::str::{FromStr, SplitWhitespace};

use crate::error::WorldError;
use crate::prompts::Kind;
use crate::vocabulary::{Colour, Number, Relation, Shape};

/// The most objects that fit on a picture without touching.
pub const MAX_OBJECTS: usize = 8;

/// One object that a prompt asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectSpec {
    /// Its colour; none for a bare shape, which may have any.
    pub colour: Option<Colour>,
    /// Its shape.
    pub shape: Shape,
}

/// One or several objects of a kind, as a prompt names them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// How many.
    pub number: Number,
    /// Of what.
    pub object: ObjectSpec,
}

/// What a prompt asks for, in the prompt's own order; printing it gives the prompt.
///
/// ```
/// use sc_world::Spec;
/// let spec: Spec = "two red crosses and a blue ring".parse()?;
/// assert_eq!(spec.objects().count(), 3);
/// assert_eq!(spec.to_string(), "two red crosses and a blue ring");
/// # Ok::<(), sc_world::WorldError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    groups: Vec<Group>,
    relation: Option<Relation>,
}

impl Spec {
    /// The prompt of these groups, the first in this relation to the second if there is one.
    ///
    /// # Errors
    /// No group, a shape in two groups, more than [`MAX_OBJECTS`] objects, or a relation that is
    /// not between two single objects.
    pub fn new(groups: Vec<Group>, relation: Option<Relation>) -> Result<Self, WorldError> {
        let spec = Self { groups, relation };
        let prompt = || spec.to_string();
        if spec.groups.is_empty() {
            return Err(WorldError::Ends {
                prompt: prompt(),
                expected: "a group of objects".into(),
            });
        }
        for (at, group) in spec.groups.iter().enumerate() {
            let shape = group.object.shape;
            if spec.groups[..at].iter().any(|g| g.object.shape == shape) {
                return Err(WorldError::RepeatedShape {
                    prompt: prompt(),
                    shape,
                });
            }
        }
        let count = spec.objects().count();
        if count > MAX_OBJECTS {
            return Err(WorldError::TooManyObjects {
                prompt: prompt(),
                count,
            });
        }
        if spec.relation.is_some() && (spec.groups.len() != 2 || count != 2) {
            return Err(WorldError::RelationOfSeveral { prompt: prompt() });
        }
        Ok(spec)
    }

    /// The groups, in the prompt's order.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The relation of the first object to the second.
    pub fn relation(&self) -> Option<Relation> {
        self.relation
    }

    /// Every object, one by one, in the prompt's order.
    pub fn objects(&self) -> impl Iterator<Item = ObjectSpec> {
        self.groups
            .iter()
            .flat_map(|group| std::iter::repeat_n(group.object, group.number.value()))
    }

    /// Which of the world's kinds of prompt it is; none if it is well-formed but of no kind, such
    /// as `four red circles and a ring`.
    pub fn kind(&self) -> Option<Kind> {
        let numbers: Vec<usize> = self.groups.iter().map(|g| g.number.value()).collect();
        let coloured = self
            .groups
            .iter()
            .filter(|g| g.object.colour.is_some())
            .count();
        let all_coloured = coloured == self.groups.len();
        if !all_coloured && coloured > 0 {
            return None;
        }
        match (self.relation, numbers.as_slice(), all_coloured) {
            (Some(_), _, false) => Some(Kind::Spatial),
            (Some(_), _, true) => Some(Kind::ColouredRelation),
            (None, [_], _) => Some(Kind::CountOfOne),
            (None, [1, 1], false) => Some(Kind::TwoShapes),
            (None, [1, 1, 1], false) => Some(Kind::ThreeShapes),
            (None, [1, 2] | [2, 1] | [1, 3] | [3, 1] | [2, 2], false) => Some(Kind::CountOfTwo),
            (None, [1, 1], true) => Some(Kind::TwoColours),
            (None, [1, 2] | [2, 1], true) => Some(Kind::ColouredCount),
            (None, [1, 1, 1], true) => Some(Kind::ThreeColours),
            _ => None,
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.number.word())?;
        if let Some(colour) = self.object.colour {
            write!(f, "{colour} ")?;
        }
        f.write_str(noun(self.number, self.object.shape))
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = self.relation.map_or("and", Relation::words);
        for (at, group) in self.groups.iter().enumerate() {
            if at > 0 {
                write!(f, " {between} ")?;
            }
            write!(f, "{group}")?;
        }
        Ok(())
    }
}

impl FromStr for Spec {
    type Err = WorldError;

    /// Reads a prompt.
    ///
    /// # Errors
    /// A text outside the grammar above; the error names the word and what was expected there.
    fn from_str(prompt: &str) -> Result<Self, WorldError> {
        let mut words = Words::new(prompt);
        let mut groups = vec![words.group()?];
        let relation = words.relation()?;
        if relation.is_some() {
            groups.push(words.group()?);
        } else {
            while words.take("and") {
                groups.push(words.group()?);
            }
        }
        if words.peek().is_some() {
            let expected = match (relation, groups.len()) {
                (Some(_), _) => "the prompt's end",
                (None, 1) => "`and`, a relation or the prompt's end",
                (None, _) => "`and` or the prompt's end",
            };
            return Err(words.unexpected(expected));
        }
        Self::new(groups, relation)
    }
}

/// The noun for so many of a shape.
fn noun(number: Number, shape: Shape) -> &'static str {
    match number {
        Number::One => shape.word(),
        _ => shape.plural(),
    }
}

/// The words of a prompt that are still to be read.
struct Words<'a> {
    prompt: &'a str,
    rest: Peekable<SplitWhitespace<'a>>,
    /// Place of the next word, from 1.
    position: usize,
}

impl<'a> Words<'a> {
    fn new(prompt: &'a str) -> Self {
        Self {
            prompt,
            rest: prompt.split_whitespace().peekable(),
            position: 1,
        }
    }

    fn peek(&mut self) -> Option<&'a str> {
        self.rest.peek().copied()
    }

    /// Steps over the next word if it is this one.
    fn take(&mut self, word: &'static str) -> bool {
        self.choose([word], |&w| w).is_some()
    }

    /// Steps over the next word if it is the word of one of these.
    fn choose<T, const N: usize>(
        &mut self,
        choices: [T; N],
        word: impl Fn(&T) -> &'static str,
    ) -> Option<T> {
        let next = self.peek()?;
        let chosen = choices.into_iter().find(|choice| word(choice) == next)?;
        self.rest.next();
        self.position += 1;
        Some(chosen)
    }

    fn group(&mut self) -> Result<Group, WorldError> {
        let number = self
            .choose(Number::ALL, |n| n.word())
            .ok_or_else(|| self.unexpected("`a`, `two`, `three` or `four`"))?;
        let colour = self.choose(Colour::ALL, |c| c.word());
        let shape = self
            .choose(Shape::ALL, |&s| noun(number, s))
            .ok_or_else(|| {
                self.unexpected(match (number, colour) {
                    (Number::One, None) => "a colour or one shape, such as `circle`",
                    (Number::One, Some(_)) => "one shape, such as `circle`",
                    (_, None) => "a colour or shapes in the plural, such as `circles`",
                    (_, Some(_)) => "shapes in the plural, such as `circles`",
                })
            })?;
        Ok(Group {
            number,
            object: ObjectSpec { colour, shape },
        })
    }

    fn relation(&mut self) -> Result<Option<Relation>, WorldError> {
        let first_word = |relation: &Relation| {
            let words = relation.words();
            words.split_once(' ').map_or(words, |(first, _)| first)
        };
        let Some(relation) = self.choose(Relation::ALL, first_word) else {
            return Ok(None);
        };
        if relation.words().contains(' ') && !self.take("of") {
            return Err(self.unexpected("`of`"));
        }
        Ok(Some(relation))
    }

    fn unexpected(&mut self, expected: &str) -> WorldError {
        let (prompt, expected) = (self.prompt.to_owned(), expected.to_owned());
        match self.peek() {
            Some(found) => WorldError::Word {
                prompt,
                position: self.position,
                found: found.to_owned(),
                expected,
            },
            None => WorldError::Ends { prompt, expected },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn spec(text: &str) -> Spec {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn reads_numbers_plurals_colours_and_relations() {
        let two = spec("two red crosses and a square");
        let red_cross = ObjectSpec {
            colour: Some(Colour::Red),
            shape: Shape::Cross,
        };
        let square = ObjectSpec {
            colour: None,
            shape: Shape::Square,
        };
        assert_eq!(
            two.objects().collect::<Vec<_>>(),
            [red_cross, red_cross, square]
        );
        assert_eq!(two.relation(), None);
        let left = spec("a red cross left of a square");
        assert_eq!(left.objects().collect::<Vec<_>>(), [red_cross, square]);
        assert_eq!(left.relation(), Some(Relation::LeftOf));
        assert_eq!(
            spec("a ring below a cross").relation(),
            Some(Relation::Below)
        );
    }

    #[test]
    fn names_what_is_wrong() {
        let check = |text: &str, expected: &str| {
            let read = text.parse::<Spec>().map_err(|error| error.to_string());
            assert_eq!(read, Err(expected.to_owned()));
        };
        check(
            "",
            "prompt `` ends where `a`, `two`, `three` or `four` is expected",
        );
        check(
            "a red cirle",
            "prompt `a red cirle`: word 3 is `cirle`, expected one shape, such as `circle`",
        );
        check(
            "two red circle",
            "prompt `two red circle`: word 3 is `circle`, expected shapes in the plural, such as \
             `circles`",
        );
        check(
            "a ring left a cross",
            "prompt `a ring left a cross`: word 4 is `a`, expected `of`",
        );
        check(
            "a ring and",
            "prompt `a ring and` ends where `a`, `two`, `three` or `four` is expected",
        );
        check(
            "a ring above a cross and a square",
            "prompt `a ring above a cross and a square`: word 6 is `and`, expected the prompt's \
             end",
        );
        check(
            "a ring with a cross",
            "prompt `a ring with a cross`: word 3 is `with`, expected `and`, a relation or the \
             prompt's end",
        );
        check(
            "a red ring and a blue ring",
            "prompt `a red ring and a blue ring` names the shape `ring` twice, expected each \
             shape once",
        );
        check(
            "four rings and four squares and a cross",
            "prompt `four rings and four squares and a cross` asks for 9 objects, expected at \
             most 8",
        );
        check(
            "two rings above a cross",
            "prompt `two rings above a cross` has a relation, expected it between two single \
             objects",
        );
    }

    fn any_spec() -> impl Strategy<Value = Spec> {
        let group = |shape| {
            let colour = prop::option::of(select(Colour::ALL.to_vec()));
            (select(Number::ALL.to_vec()), colour).prop_map(move |(number, colour)| Group {
                number,
                object: ObjectSpec { colour, shape },
            })
        };
        let shapes = prop::sample::subsequence(Shape::ALL.to_vec(), 1..=3).prop_shuffle();
        let groups = shapes.prop_flat_map(move |s| s.into_iter().map(group).collect::<Vec<_>>());
        (groups, prop::option::of(select(Relation::ALL.to_vec()))).prop_filter_map(
            "not of the world",
            |(groups, relation)| {
                Spec::new(groups.clone(), relation)
                    .or_else(|_| Spec::new(groups, None))
                    .ok()
            },
        )
    }

    proptest! {
        #[test]
        fn printing_and_reading_gives_it_back(spec in any_spec()) {
            let read: Spec = spec.to_string().parse().map_err(|e: WorldError| {
                TestCaseError::fail(e.to_string())
            })?;
            prop_assert_eq!(read, spec);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "((a|two|red|ring|rings|and|left|of|x| )  ?){0,9}") {
            if let Ok(spec) = text.parse::<Spec>() {
                let words: Vec<_> = text.split_whitespace().collect();
                prop_assert_eq!(spec.to_string(), words.join(" "));
            }
        }
    }
}
