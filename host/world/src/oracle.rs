//! The oracle: the objects in a picture, read from its pixels, and whether they are what a prompt
//! asks for.

use crate::error::WorldError;
use crate::grid::{CELL_SIZE, Cell, PICTURE_SIZE};
use crate::picture::{Picture, check_planes};
use crate::render::{MIDDLE_WHITE, PlacedObject};
use crate::spec::Spec;
use crate::vocabulary::{Colour, Shape};

/// A cell with this many coloured pixels or fewer is empty.
const EMPTY_AT_MOST: u32 = 5;
/// Percentage of a cell's coloured pixels that its colour must hold.
const COLOUR_SHARE: u32 = 70;
/// Percentage of overlap (intersection over union) that a cell must have with its sprite.
const SPRITE_OVERLAP: u32 = 70;

/// What is in a picture, cell by cell, row by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The objects.
    pub objects: Vec<PlacedObject>,
    /// Cells with something in them that is no object of the world.
    pub malformed: Vec<Cell>,
}

/// Reads planes `[3, 32, 32]`; what lies outside −1..1 is clipped to it, nothing is rounded.
///
/// In each cell of 8×8 pixels every pixel takes the nearest colour (Euclidean distance in RGB) of
/// white and the middle shades of the world's colours. Up to 5 pixels that are not white count as
/// empty. Otherwise one colour must hold 70 % of them, and they must overlap a sprite by 70 %
/// (intersection over union), or the cell is malformed.
///
/// # Errors
/// The number of values is not 3 · 32 · 32, or one is not finite.
pub fn read(planes: &[f32]) -> Result<Reading, WorldError> {
    check_planes(planes, PICTURE_SIZE, PICTURE_SIZE)?;
    let palette = Palette::new();
    let mut reading = Reading::default();
    for cell in Cell::all() {
        match palette.read_cell(planes, cell) {
            Content::Empty => {}
            Content::Malformed => reading.malformed.push(cell),
            Content::Object(colour, shape) => reading.objects.push(PlacedObject {
                colour,
                shape,
                row: cell.row,
                column: cell.column,
            }),
        }
    }
    Ok(reading)
}

/// Reads a picture of 32×32 pixels.
///
/// # Errors
/// The picture has another size.
pub fn read_picture(picture: &Picture) -> Result<Reading, WorldError> {
    read(&picture.to_planes())
}

/// Whether a picture shows what `spec` asks for: exactly these objects, bare shapes in any
/// colour, nothing malformed beside them, and the relation true.
pub fn verdict(spec: &Spec, reading: &Reading) -> bool {
    let count = spec.objects().count();
    if !reading.malformed.is_empty() || reading.objects.len() != count {
        return false;
    }
    // A spec's shapes all differ, so no object can belong to two groups.
    let counts_hold = spec.groups().iter().all(|group| {
        let wanted = group.object;
        let found = reading.objects.iter().filter(|object| {
            object.shape == wanted.shape && wanted.colour.is_none_or(|c| c == object.colour)
        });
        found.count() == group.number.value()
    });
    let place = |at: usize| {
        let shape = spec.groups().get(at)?.object.shape;
        let object = reading.objects.iter().find(|o| o.shape == shape)?;
        Some(object.cell())
    };
    let relation_holds = spec.relation().is_none_or(|relation| {
        place(0)
            .zip(place(1))
            .is_some_and(|(first, second)| relation.holds(first, second))
    });
    counts_hold && relation_holds
}

/// What a cell holds.
enum Content {
    Empty,
    Malformed,
    Object(Colour, Shape),
}

/// The middle shades, red, green and blue in 0–255.
struct Palette {
    shades: [[f32; 3]; Colour::ALL.len()],
}

impl Palette {
    fn new() -> Self {
        Self {
            shades: Colour::ALL.map(|colour| colour.with_white(MIDDLE_WHITE).map(|x| x as f32)),
        }
    }

    fn read_cell(&self, planes: &[f32], cell: Cell) -> Content {
        let mut coloured = 0_u64;
        let mut pixels_of = [0_u32; Colour::ALL.len()];
        for at in 0..CELL_SIZE * CELL_SIZE {
            let (row, column) = cell.pixel(at);
            let rgb = [0, 1, 2].map(|channel| {
                let value = planes[(channel * PICTURE_SIZE + row) * PICTURE_SIZE + column];
                (value.clamp(-1.0, 1.0) + 1.0) * 127.5
            });
            if let Some(colour) = self.nearest(rgb) {
                coloured |= 1 << at;
                pixels_of[colour as usize] += 1;
            }
        }
        let total = coloured.count_ones();
        if total <= EMPTY_AT_MOST {
            return Content::Empty;
        }
        let colour = Colour::ALL
            .into_iter()
            .find(|&colour| 100 * pixels_of[colour as usize] >= COLOUR_SHARE * total);
        let shape = Shape::ALL
            .into_iter()
            .map(|shape| (shape, Overlap::of(shape.cell_mask(), coloured)))
            .filter(|(_, overlap)| 100 * overlap.shared >= SPRITE_OVERLAP * overlap.joint)
            .reduce(|best, next| if next.1.exceeds(best.1) { next } else { best });
        match (colour, shape) {
            (Some(colour), Some((shape, _))) => Content::Object(colour, shape),
            _ => Content::Malformed,
        }
    }

    /// The colour whose middle shade is nearest; none if white is nearer.
    fn nearest(&self, rgb: [f32; 3]) -> Option<Colour> {
        let mut nearest = (distance(rgb, [255.0; 3]), None);
        for (colour, shade) in Colour::ALL.into_iter().zip(self.shades) {
            let to_shade = distance(rgb, shade);
            if to_shade < nearest.0 {
                nearest = (to_shade, Some(colour));
            }
        }
        nearest.1
    }
}

/// How far two sets of pixels overlap.
#[derive(Clone, Copy)]
struct Overlap {
    shared: u32,
    joint: u32,
}

impl Overlap {
    fn of(one: u64, other: u64) -> Self {
        Self {
            shared: (one & other).count_ones(),
            joint: (one | other).count_ones(),
        }
    }

    /// Whether its intersection over union is the larger one.
    fn exceeds(self, other: Self) -> bool {
        self.shared * other.joint > other.shared * self.joint
    }
}

/// Squared Euclidean distance.
fn distance(one: [f32; 3], other: [f32; 3]) -> f32 {
    one.into_iter()
        .zip(other)
        .map(|(a, b)| (a - b) * (a - b))
        .sum()
}
