//! The renderer: a random picture that shows what a prompt asks for.

use rand::Rng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::grid::{CELL_SIZE, Cell, PICTURE_SIZE};
use crate::picture::Picture;
use crate::spec::Spec;
use crate::vocabulary::{Colour, Shape};

/// The largest share of white that is mixed into a colour.
const MAX_WHITE: f64 = 0.3;
/// The share of white of the middle shade, which the oracle compares with.
pub(crate) const MIDDLE_WHITE: f64 = MAX_WHITE / 2.0;

/// An object in a cell of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlacedObject {
    /// Its colour.
    pub colour: Colour,
    /// Its shape.
    pub shape: Shape,
    /// Row of its cell, 0–3 from the top.
    pub row: u8,
    /// Column of its cell, 0–3 from the left.
    pub column: u8,
}

impl PlacedObject {
    /// Its cell.
    pub fn cell(&self) -> Cell {
        Cell {
            row: self.row,
            column: self.column,
        }
    }
}

/// How much white is mixed into the colours of a render.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shade {
    /// For each object a share drawn uniformly from 0 to 0.3.
    #[default]
    Random,
    /// The middle of that, 0.15, for every object.
    Middle,
}

/// What may be chosen of a render.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenderOptions {
    /// The shade of the colours.
    pub shade: Shade,
}

/// A random picture of what `spec` asks for: no two objects side by side or one above the other,
/// bare shapes in independent random colours, its relation true.
pub fn render(spec: &Spec, rng: &mut impl Rng, options: RenderOptions) -> Picture {
    let objects = lay_out(spec, rng);
    paint(&objects, rng, options)
}

/// Colours for the bare shapes and a cell for each object, in the order of the spec.
pub fn lay_out(spec: &Spec, rng: &mut impl Rng) -> Vec<PlacedObject> {
    let mut objects: Vec<PlacedObject> = spec
        .objects()
        .map(|object| PlacedObject {
            colour: object
                .colour
                .unwrap_or_else(|| Colour::ALL[rng.random_range(0..Colour::ALL.len())]),
            shape: object.shape,
            row: 0,
            column: 0,
        })
        .collect();
    let mut cells: Vec<Cell> = Cell::all().collect();
    // Ends: a spec has at most as many objects as fit apart, and its relation two of them.
    loop {
        let (chosen, _) = cells.partial_shuffle(rng, objects.len());
        let apart = chosen
            .iter()
            .enumerate()
            .all(|(at, cell)| chosen[..at].iter().all(|other| !cell.touches(*other)));
        let related = match (spec.relation(), &*chosen) {
            (Some(relation), [first, second, ..]) => relation.holds(*first, *second),
            _ => true,
        };
        if apart && related {
            for (object, cell) in objects.iter_mut().zip(chosen.iter()) {
                (object.row, object.column) = (cell.row, cell.column);
            }
            return objects;
        }
    }
}

/// Draws placed objects on white.
pub fn paint(objects: &[PlacedObject], rng: &mut impl Rng, options: RenderOptions) -> Picture {
    let mut picture = Picture::filled(PICTURE_SIZE, PICTURE_SIZE, [255; 3]);
    for object in objects {
        let white = match options.shade {
            Shade::Random => rng.random_range(0.0..MAX_WHITE),
            Shade::Middle => MIDDLE_WHITE,
        };
        // Rounded half up; the float to byte conversion cuts off the fraction.
        let rgb = object.colour.with_white(white).map(|x| (x + 0.5) as u8);
        let mask = object.shape.cell_mask();
        for at in (0..CELL_SIZE * CELL_SIZE).filter(|at| mask >> at & 1 == 1) {
            let (row, column) = object.cell().pixel(at);
            picture.set_pixel(row, column, rgb);
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use sc_core::prompt::Split;
    use sc_core::rng::stream;

    use super::*;
    use crate::prompts::prompts;

    #[test]
    fn layouts_keep_apart_and_in_relation() {
        let mut rng = stream(1, "test", &[]);
        for prompt in prompts(Split::HeldOut) {
            let objects = lay_out(&prompt.spec, &mut rng);
            assert_eq!(objects.len(), prompt.spec.objects().count());
            for (placed, asked) in objects.iter().zip(prompt.spec.objects()) {
                assert_eq!(placed.shape, asked.shape);
                assert!(asked.colour.is_none_or(|colour| colour == placed.colour));
            }
            for (at, object) in objects.iter().enumerate() {
                for other in &objects[..at] {
                    assert_ne!(object.cell(), other.cell());
                    assert!(!object.cell().touches(other.cell()));
                }
            }
            if let Some(relation) = prompt.spec.relation() {
                assert!(relation.holds(objects[0].cell(), objects[1].cell()));
            }
        }
    }

    #[test]
    fn the_fullest_picture_can_be_laid_out() {
        let spec: Spec = "four red rings and four crosses"
            .parse()
            .unwrap_or_else(|e| panic!("{e}"));
        let objects = lay_out(&spec, &mut stream(1, "test", &[]));
        assert_eq!(objects.len(), 8);
    }

    #[test]
    fn the_middle_shade_is_rounded_half_up() {
        let objects = [PlacedObject {
            colour: Colour::Red,
            shape: Shape::Square,
            row: 1,
            column: 2,
        }];
        let options = RenderOptions {
            shade: Shade::Middle,
        };
        let picture = paint(&objects, &mut stream(1, "test", &[]), options);
        // 225 · 0.85 + 255 · 0.15 = 229.5, 35 · 0.85 + 38.25 = 68
        assert_eq!(picture.pixel(8, 16), [230, 68, 68]);
        assert_eq!(picture.pixel(14, 22), [230, 68, 68]);
        assert_eq!(picture.pixel(15, 16), [255; 3]);
        assert_eq!(picture.pixel(8, 23), [255; 3]);
        assert_eq!(picture.pixel(7, 16), [255; 3]);
    }
}
