//! The world's prompts with category, kind and split, and drawing from them.

use std::fmt;
use std::sync::LazyLock;

use rand::Rng;
use rand::seq::SliceRandom;
use sc_core::prompt::{Prompt, Split, Tag};

use crate::spec::Spec;

/// The prompts: columns prompt, category, kind, split. The checkpoint has seen the train ones.
const TABLE: &str = include_str!("../data/prompts.tsv");

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

/// Every prompt of a side of the split, in the table's order.
pub fn prompts(split: Split) -> &'static [WorldPrompt] {
    static PROMPTS: LazyLock<[Vec<WorldPrompt>; 2]> = LazyLock::new(|| {
        let all = parse_table(TABLE).expect("the embedded table of prompts is checked by a test");
        let (train, held_out) = all.into_iter().partition(|p| p.split == Split::Train);
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
/// kind that happens soon: of the held-out prompts `shape2` has 2, `shape3` 6, `spatial` 14,
/// `num2` 18 and `num1` 25, so that 1,000 held-out prompts hold each of the two `shape2` prompts
/// about 50 times, while none of the other kinds' 1,207 repeats. What is drawn first does not
/// depend on `n`.
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

/// Reads the table of prompts; the error says which line is wrong and how.
fn parse_table(table: &str) -> Result<Vec<WorldPrompt>, String> {
    table
        .lines()
        .enumerate()
        .skip(1)
        .map(|(at, line)| parse_line(line).map_err(|why| format!("line {}: {why}", at + 1)))
        .collect()
}

fn parse_line(line: &str) -> Result<WorldPrompt, String> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [text, category, kind, split] = columns[..] else {
        return Err(format!("{} columns, expected 4", columns.len()));
    };
    let kind = Kind::ALL
        .into_iter()
        .find(|known| known.name() == kind && known.category().name() == category)
        .ok_or_else(|| format!("unknown kind `{kind}` in category `{category}`"))?;
    let split = match split {
        "train" => Split::Train,
        "held-out" => Split::HeldOut,
        other => return Err(format!("unknown split `{other}`")),
    };
    let spec: Spec = text.parse().map_err(|e: crate::WorldError| e.to_string())?;
    if spec.kind() != Some(kind) {
        return Err(format!("`{text}` is not of kind `{}`", kind.name()));
    }
    Ok(WorldPrompt {
        text: text.to_owned(),
        kind,
        split,
        spec,
    })
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
    use std::collections::{BTreeMap, BTreeSet};

    use sc_core::rng::stream;

    use super::*;
    use crate::meaning::Meaning;

    #[test]
    fn the_table_is_whole_and_agrees_with_the_grammar() {
        let all = parse_table(TABLE).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(all.len(), 6240);
        assert_eq!(prompts(Split::Train).len(), 4968);
        assert_eq!(prompts(Split::HeldOut).len(), 1272);
        let mut texts = BTreeSet::new();
        for prompt in &all {
            assert_eq!(prompt.spec.to_string(), prompt.text);
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
    fn the_split_is_by_meaning() {
        let mut sides: BTreeMap<Meaning, (Split, usize)> = BTreeMap::new();
        for split in [Split::Train, Split::HeldOut] {
            for prompt in prompts(split) {
                let entry = sides
                    .entry(Meaning::from(&prompt.spec))
                    .or_insert((split, 0));
                assert_eq!(entry.0, split, "on both sides: `{}`", prompt.text);
                entry.1 += 1;
            }
        }
        let held_out = sides.values().filter(|side| side.0 == Split::HeldOut);
        let share = held_out.count() as f64 / sides.len() as f64;
        assert!((0.18..0.22).contains(&share), "held out: {share}");
        let twins = sides.values().filter(|side| side.1 == 2).count();
        assert!(twins > 2500, "meanings with a twin: {twins}");
    }

    #[test]
    fn bad_lines_are_named() {
        let check = |line: &str, expected: &str| {
            let table = format!("prompt\tcategory\tkind\tsplit\n{line}");
            assert_eq!(parse_table(&table), Err(expected.to_owned()));
        };
        check("a ring", "line 2: 1 columns, expected 4");
        check(
            "a ring\tshape\tnum1\ttrain",
            "line 2: unknown kind `num1` in category `shape`",
        );
        check(
            "a ring\tnumeracy\tnum1\ttest",
            "line 2: unknown split `test`",
        );
        check(
            "a ring\tnumeracy\tnum2\ttrain",
            "line 2: `a ring` is not of kind `num2`",
        );
    }

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
        let prompt = prompts(Split::Train)[0].to_prompt(7);
        assert_eq!(
            (prompt.id, prompt.text.as_str()),
            (7, "a circle and a square")
        );
        assert_eq!(prompt.category, "shape");
        assert_eq!(prompt.tags[0].key, "kind");
        assert_eq!(prompt.tags[0].value, "shape2");
    }
}
