//! The words of the world and what they look like: colours, shapes, numbers, relations.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::grid::{CELL_SIZE, Cell};

/// The colours, in the order of the tiny model's image codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Colour {
    Red,
    Green,
    Blue,
    Yellow,
    Purple,
    Black,
}

impl Colour {
    /// Every colour.
    pub const ALL: [Self; 6] = [
        Self::Red,
        Self::Green,
        Self::Blue,
        Self::Yellow,
        Self::Purple,
        Self::Black,
    ];

    /// The word for it in a prompt.
    pub fn word(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Green => "green",
            Self::Blue => "blue",
            Self::Yellow => "yellow",
            Self::Purple => "purple",
            Self::Black => "black",
        }
    }

    /// Red, green and blue in 0–255, before any white is mixed in.
    pub fn rgb(self) -> [u8; 3] {
        match self {
            Self::Red => [225, 35, 35],
            Self::Green => [35, 165, 65],
            Self::Blue => [40, 75, 225],
            Self::Yellow => [245, 205, 30],
            Self::Purple => [165, 50, 190],
            Self::Black => [35, 35, 35],
        }
    }

    /// Red, green and blue in 0–255 with a share of white (0–1) mixed in, not rounded.
    pub fn with_white(self, share: f64) -> [f64; 3] {
        self.rgb()
            .map(|channel| f64::from(channel) * (1.0 - share) + 255.0 * share)
    }
}

/// The shapes, in the order of the tiny model's image codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Shape {
    Circle,
    Square,
    Triangle,
    Cross,
    Ring,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 5] = [
        Self::Circle,
        Self::Square,
        Self::Triangle,
        Self::Cross,
        Self::Ring,
    ];

    /// The word for one of it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Cross => "cross",
            Self::Ring => "ring",
        }
    }

    /// The word for several of it.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Circle => "circles",
            Self::Square => "squares",
            Self::Triangle => "triangles",
            Self::Cross => "crosses",
            Self::Ring => "rings",
        }
    }

    /// The 7×7 sprite, row by row from the top; bit 6 of a row is its leftmost pixel.
    pub fn sprite(self) -> [u8; CELL_SIZE - 1] {
        match self {
            Self::Circle => [
                0b0011100, 0b0111110, 0b1111111, 0b1111111, 0b1111111, 0b0111110, 0b0011100,
            ],
            Self::Square => [0b1111111; 7],
            Self::Triangle => [
                0b0001000, 0b0001000, 0b0011100, 0b0011100, 0b0111110, 0b0111110, 0b1111111,
            ],
            Self::Cross => [
                0b1100011, 0b1110111, 0b0111110, 0b0011100, 0b0111110, 0b1110111, 0b1100011,
            ],
            Self::Ring => [
                0b0011100, 0b0111110, 0b1100011, 0b1100011, 0b1100011, 0b0111110, 0b0011100,
            ],
        }
    }

    /// The pixels of a cell that the sprite covers: bit `8 * row + column`, from the top left.
    pub fn cell_mask(self) -> u64 {
        let mut mask = 0;
        for (row, bits) in self.sprite().into_iter().enumerate() {
            for column in 0..CELL_SIZE - 1 {
                let covered = bits >> (CELL_SIZE - 2 - column) & 1;
                mask |= u64::from(covered) << (CELL_SIZE * row + column);
            }
        }
        mask
    }
}

/// How many of a kind a prompt asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Number {
    One,
    Two,
    Three,
    Four,
}

impl Number {
    /// Every number.
    pub const ALL: [Self; 4] = [Self::One, Self::Two, Self::Three, Self::Four];

    /// The word for it in a prompt; for one the article.
    pub fn word(self) -> &'static str {
        match self {
            Self::One => "a",
            Self::Two => "two",
            Self::Three => "three",
            Self::Four => "four",
        }
    }

    /// The number itself, 1–4.
    pub fn value(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
        }
    }
}

/// Where the first object of a prompt is, seen from the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Relation {
    LeftOf,
    RightOf,
    Above,
    Below,
}

impl Relation {
    /// Every relation.
    pub const ALL: [Self; 4] = [Self::LeftOf, Self::RightOf, Self::Above, Self::Below];

    /// The words for it in a prompt.
    pub fn words(self) -> &'static str {
        match self {
            Self::LeftOf => "left of",
            Self::RightOf => "right of",
            Self::Above => "above",
            Self::Below => "below",
        }
    }

    /// The relation of the second object to the first.
    pub fn inverse(self) -> Self {
        match self {
            Self::LeftOf => Self::RightOf,
            Self::RightOf => Self::LeftOf,
            Self::Above => Self::Below,
            Self::Below => Self::Above,
        }
    }

    /// Whether it holds of a first and a second cell. The axis with the larger distance decides;
    /// on a diagonal no relation holds.
    pub fn holds(self, first: Cell, second: Cell) -> bool {
        let down = i16::from(second.row) - i16::from(first.row);
        let right = i16::from(second.column) - i16::from(first.column);
        let sideways = right.abs() > down.abs();
        let upright = down.abs() > right.abs();
        match self {
            Self::LeftOf => sideways && right > 0,
            Self::RightOf => sideways && right < 0,
            Self::Above => upright && down > 0,
            Self::Below => upright && down < 0,
        }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sprites_have_the_widths_of_the_world() {
        let widths = |shape: Shape| shape.sprite().map(u8::count_ones);
        assert_eq!(widths(Shape::Circle), [3, 5, 7, 7, 7, 5, 3]);
        assert_eq!(widths(Shape::Square), [7; 7]);
        assert_eq!(widths(Shape::Triangle), [1, 1, 3, 3, 5, 5, 7]);
        assert_eq!(widths(Shape::Cross), [4, 6, 5, 3, 5, 6, 4]);
        let hole = Shape::Circle.cell_mask() & !Shape::Ring.cell_mask();
        assert_eq!(hole, 0b111 << 18 | 0b111 << 26 | 0b111 << 34);
    }

    #[test]
    fn sprites_are_their_own_mirror_image() {
        for shape in Shape::ALL {
            for row in shape.sprite() {
                assert_eq!(row, row.reverse_bits() >> 1, "{shape}");
            }
        }
    }

    #[test]
    fn exactly_one_relation_holds_off_the_diagonals_and_its_inverse_the_other_way() {
        for (first, second) in Cell::all().flat_map(|a| Cell::all().map(move |b| (a, b))) {
            let holding: Vec<_> = Relation::ALL
                .into_iter()
                .filter(|relation| relation.holds(first, second))
                .collect();
            let down = first.row.abs_diff(second.row);
            let right = first.column.abs_diff(second.column);
            assert_eq!(holding.len(), usize::from(down != right));
            for relation in holding {
                assert!(relation.inverse().holds(second, first));
            }
        }
        let cell = |row, column| Cell { row, column };
        assert!(Relation::LeftOf.holds(cell(0, 0), cell(1, 2)));
        assert!(Relation::Above.holds(cell(0, 0), cell(2, 1)));
    }
}
