//! The world's prompts with category, kind and split, and drawing from them.

use std::fmt;
use std::sync::LazyLock;

use rand::Rng;
use rand::seq::SliceRandom;
use sc_core::prompt::{Prompt, Split, Tag};

use crate::enumeration::enumerate;
use crate::spec::Spec;

/// What a prompt is hard for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Two objects with their colours.
    Colour,
    /// Bare shapes.
    Shape,
    /// Where one object is, seen from another.
    Spatial,
    /// How many.
    Numeracy,
    /// Several of these at once.
    Complex,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 5] = [
        Self::Colour,
        Self::Shape,
        Self::Spatial,
        Self::Numeracy,
        Self::Complex,
    ];

    /// Its name in the table of prompts and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Colour => "colour",
            Self::Shape => "shape",
            Self::Spatial => "spatial",
            Self::Numeracy => "numeracy",
            Self::Complex => "complex",
        }
    }

    /// Its kinds.
    pub fn kinds(self) -> impl Iterator<Item = Kind> {
        Kind::ALL
            .into_iter()
            .filter(move |kind| kind.category() == self)
    }
}

/// The form of a prompt, finer than its category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `a red circle and a blue square`
    TwoColours,
    /// `a circle and a square`
    TwoShapes,
    /// `a circle and a square and a ring`
    ThreeShapes,
    /// `a circle left of a square`
    Spatial,
    /// `three red circles`: one to four of one kind, colour optional
    CountOfOne,
    /// `two circles and a square`
    CountOfTwo,
    /// `a red circle left of a blue square`
    ColouredRelation,
    /// `two red circles and a blue square`
    ColouredCount,
    /// `a red circle and a blue square and a red ring`
    ThreeColours,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::TwoColours,
        Self::TwoShapes,
        Self::ThreeShapes,
        Self::Spatial,
        Self::CountOfOne,
        Self::CountOfTwo,
        Self::ColouredRelation,
        Self::ColouredCount,
        Self::ThreeColours,
    ];

    /// Its name in the table of prompts.
    pub fn name(self) -> &'static str {
        match self {
            Self::TwoColours => "color2",
            Self::TwoShapes => "shape2",
            Self::ThreeShapes => "shape3",
            Self::Spatial => "spatial",
            Self::CountOfOne => "num1",
            Self::CountOfTwo => "num2",
            Self::ColouredRelation => "crel",
            Self::ColouredCount => "ctwo",
            Self::ThreeColours => "color3",
        }
    }

    /// The category that it belongs to.
    pub fn category(self) -> Category {
        match self {
            Self::TwoColours => Category::Colour,
            Self::TwoShapes | Self::ThreeShapes => Category::Shape,
            Self::Spatial => Category::Spatial,
            Self::CountOfOne | Self::CountOfTwo => Category::Numeracy,
            Self::ColouredRelation | Self::ColouredCount | Self::ThreeColours => Category::Complex,
        }
    }
}

/// A prompt of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldPrompt {
    /// The prompt, word for word.
    pub text: String,
    /// Its form; its category follows from it.
    pub kind: Kind,
    /// Its side of the split.
    pub split: Split,
    /// What it asks for.
    pub spec: Spec,
}

impl WorldPrompt {
    /// What it is hard for.
    pub fn category(&self) -> Category {
        self.kind.category()
    }

    /// The prompt as a run's prompt, with the index that it has there and a tag `kind`.
    pub fn to_prompt(&self, id: u32) -> Prompt {
        Prompt {
            id,
            text: self.text.clone(),
            category: self.category().name().to_owned(),
            tags: vec![Tag {
                key: "kind".to_owned(),
                value: self.kind.name().to_owned(),
            }],
        }
    }
}

/// Every prompt of a side of the split, kind by kind.
pub fn prompts(split: Split) -> &'static [WorldPrompt] {
    static PROMPTS: LazyLock<[Vec<WorldPrompt>; 2]> = LazyLock::new(|| {
        let (train, held_out) = enumerate()
            .into_iter()
            .partition(|prompt| prompt.split == Split::Train);
        [train, held_out]
    });
    let [train, held_out] = &*PROMPTS;
    match split {
        Split::Train => train,
        Split::HeldOut => held_out,
    }
}

/// Draws `n` prompts: a category uniformly, a kind of it uniformly, a prompt of that kind.
///
/// A prompt comes again only after every other prompt of its kind has come. With few prompts of a
/// kind that happens soon: `shape2` has 8 held-out prompts, so 1,000 held-out prompts hold each of
/// them about 12 times. What is drawn first does not depend on `n`.
pub fn sample_prompts(split: Split, n: usize, rng: &mut impl Rng) -> Vec<&'static WorldPrompt> {
    let mut decks: Vec<Deck> = Kind::ALL
        .into_iter()
        .map(|kind| Deck::new(prompts(split).iter().filter(|p| p.kind == kind).collect()))
        .collect();
    (0..n)
        .filter_map(|_| {
            let category = Category::ALL[rng.random_range(0..Category::ALL.len())];
            let kinds: Vec<Kind> = category.kinds().collect();
            let kind = kinds[rng.random_range(0..kinds.len())];
            decks[kind as usize].draw(rng)
        })
        .collect()
}

/// Prompts of a kind, shuffled anew whenever all have come.
struct Deck {
    prompts: Vec<&'static WorldPrompt>,
    drawn: usize,
}

impl Deck {
    fn new(prompts: Vec<&'static WorldPrompt>) -> Self {
        Self { prompts, drawn: 0 }
    }

    fn draw(&mut self, rng: &mut impl Rng) -> Option<&'static WorldPrompt> {
        if self.drawn.is_multiple_of(self.prompts.len().max(1)) {
            self.prompts.shuffle(rng);
            self.drawn = 0;
        }
        let prompt = self.prompts.get(self.drawn).copied();
        self.drawn += 1;
        prompt
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sc_core::rng::stream;

    use super::*;

    #[test]
    fn sampling_is_uniform_over_categories_and_kinds_and_repeats_late() {
        let n = 1000;
        let sample = |n| sample_prompts(Split::HeldOut, n, &mut stream(1, "test", &[]));
        let drawn = sample(n);
        assert_eq!(drawn.len(), n);
        for category in Category::ALL {
            let count = drawn.iter().filter(|p| p.category() == category).count();
            assert!((150..250).contains(&count), "{category}: {count}");
        }
        for kind in Kind::ALL {
            let of_kind: Vec<_> = drawn.iter().filter(|p| p.kind == kind).collect();
            let mut times: BTreeMap<&str, usize> = BTreeMap::new();
            for prompt in &of_kind {
                *times.entry(&prompt.text).or_default() += 1;
            }
            let available = prompts(Split::HeldOut)
                .iter()
                .filter(|p| p.kind == kind)
                .count();
            assert_eq!(times.len(), available.min(of_kind.len()), "{kind}");
            let most = times.values().max().copied().unwrap_or(0);
            assert!(most <= of_kind.len().div_ceil(available), "{kind}: {most}");
        }
        assert_eq!(sample(100), drawn[..100]);
        assert_ne!(
            sample_prompts(Split::HeldOut, 100, &mut stream(2, "test", &[])),
            drawn[..100]
        );
    }

    #[test]
    fn becomes_a_prompt_of_a_run() {
        let of_kind = |prompt: &&WorldPrompt| prompt.kind == Kind::TwoShapes;
        let prompt = prompts(Split::Train).iter().find(of_kind);
        let prompt = prompt.expect("a prompt of the kind").to_prompt(7);
        assert_eq!(prompt.id, 7);
        assert_eq!(prompt.category, "shape");
        assert_eq!(prompt.tags[0].key, "kind");
        assert_eq!(prompt.tags[0].value, "shape2");
    }
}
