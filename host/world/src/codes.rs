//! The image codes of the tiny model: what each cell of a picture is to its image tokenizer.
//!
//! 0 is white, 1 + 5·colour + shape an object, colours and shapes in the order of the vocabulary;
//! of the model's 32 codes the last one means nothing.

use crate::grid::{Cell, GRID_SIZE};
use crate::render::PlacedObject;
use crate::vocabulary::{Colour, Shape};

/// Codes that the tiny model's image tokenizer has.
pub const CODES: usize = 32;
/// The code of an empty cell.
pub const WHITE: u32 = 0;

/// The code of an object.
pub fn code(colour: Colour, shape: Shape) -> u32 {
    1 + (Shape::ALL.len() * colour as usize + shape as usize) as u32
}

/// What a code shows; none for white and for the code without a meaning.
pub fn meaning_of(code: u32) -> Option<(Colour, Shape)> {
    let at = (code as usize).checked_sub(1)?;
    let colour = *Colour::ALL.get(at / Shape::ALL.len())?;
    Some((colour, Shape::ALL[at % Shape::ALL.len()]))
}

/// The codes of a picture of these objects, cell by cell, row by row.
pub fn codes(objects: &[PlacedObject]) -> Vec<u32> {
    let mut codes = vec![WHITE; GRID_SIZE * GRID_SIZE];
    for object in objects {
        let at = GRID_SIZE * usize::from(object.row) + usize::from(object.column);
        codes[at] = code(object.colour, object.shape);
    }
    codes
}

/// The objects that codes show, cell by cell; the other way round than [`codes`].
pub fn objects(codes: &[u32]) -> Vec<PlacedObject> {
    Cell::all()
        .zip(codes)
        .filter_map(|(cell, &code)| {
            let (colour, shape) = meaning_of(code)?;
            Some(PlacedObject {
                colour,
                shape,
                row: cell.row,
                column: cell.column,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_objects_are_two_ways_to_say_the_same() {
        let every: Vec<u32> = (0..CODES as u32).collect();
        for picture in every.chunks(GRID_SIZE * GRID_SIZE) {
            let meaningless = CODES as u32 - 1;
            let expected: Vec<u32> = picture
                .iter()
                .map(|&code| if code == meaningless { WHITE } else { code })
                .collect();
            assert_eq!(codes(&objects(picture)), expected);
        }
        assert_eq!(code(Colour::Red, Shape::Circle), 1);
        assert_eq!(code(Colour::Black, Shape::Ring), 30);
        assert_eq!((meaning_of(WHITE), meaning_of(31)), (None, None));
    }
}
