//! Contact sheets: many pictures on one, each framed by its verdict, with verdict and prompt below.

use crate::error::WorldError;
use crate::font::{GLYPH_HEIGHT, GLYPH_WIDTH, glyph};
use crate::picture::Picture;
use crate::vocabulary::Colour;

/// Space between tiles and around them, in pixels.
const MARGIN: usize = 6;
/// Thickness of a frame, in pixels.
const FRAME: usize = 3;
/// Pixels from one letter of a caption to the next, and from line to line.
const LETTER_STEP: usize = GLYPH_WIDTH + 1;
const LINE_STEP: usize = GLYPH_HEIGHT + 2;

const BACKGROUND: [u8; 3] = [240; 3];
const INK: [u8; 3] = [40; 3];

/// What a tile's frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Green: the picture was accepted.
    Accepted,
    /// Red: it was rejected.
    Rejected,
    /// Grey: there is no verdict.
    None,
}

impl Mark {
    fn rgb(self) -> [u8; 3] {
        match self {
            Self::Accepted => Colour::Green.rgb(),
            Self::Rejected => Colour::Red.rgb(),
            Self::None => [170; 3],
        }
    }
}

/// A picture on a sheet.
#[derive(Clone, Debug)]
pub struct Tile<'a> {
    /// The picture.
    pub picture: &'a Picture,
    /// The frame around it.
    pub mark: Mark,
    /// What is written below, in lines of its own; may be empty.
    pub note: &'a str,
    /// What is written below that, wrapped to the picture's width as the note is; may be empty.
    pub caption: &'a str,
}

/// How a sheet is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SheetOptions {
    /// Tiles in a row.
    pub columns: usize,
    /// How many times larger than they are the pictures are shown.
    pub enlarge: usize,
}

impl Default for SheetOptions {
    /// Eight in a row, four times larger: right for pictures of 32×32 pixels.
    fn default() -> Self {
        Self {
            columns: 8,
            enlarge: 4,
        }
    }
}

/// The tiles row by row as one PNG; equal tiles give equal bytes. Every tile has the room that
/// the largest picture and the longest caption need.
///
/// # Errors
/// No tiles, no columns, or no enlargement.
pub fn contact_sheet(tiles: &[Tile<'_>], options: SheetOptions) -> Result<Vec<u8>, WorldError> {
    for (field, size) in [
        ("tiles", tiles.len()),
        ("columns", options.columns),
        ("enlarge", options.enlarge),
    ] {
        if size == 0 {
            return Err(WorldError::EmptySheet { field });
        }
    }
    let largest = |size: fn(&Picture) -> usize| {
        let sizes = tiles.iter().map(|tile| size(tile.picture));
        sizes.max().unwrap_or(0) * options.enlarge
    };
    let framed_width = largest(Picture::width) + 2 * FRAME;
    let framed_height = largest(Picture::height) + 2 * FRAME;
    let letters = (framed_width / LETTER_STEP).max(1);
    let captions: Vec<Vec<String>> = tiles
        .iter()
        .map(|tile| [wrap(tile.note, letters), wrap(tile.caption, letters)].concat())
        .collect();
    let lines = captions.iter().map(Vec::len).max().unwrap_or(0);
    let step_right = framed_width + MARGIN;
    let step_down = framed_height + lines * LINE_STEP + MARGIN;
    let columns = options.columns.min(tiles.len());
    let mut sheet = Picture::filled(
        MARGIN + columns * step_right,
        MARGIN + tiles.len().div_ceil(columns) * step_down,
        BACKGROUND,
    );
    for (at, (tile, caption)) in tiles.iter().zip(&captions).enumerate() {
        let top = MARGIN + at / columns * step_down;
        let left = MARGIN + at % columns * step_right;
        let large = tile.picture.enlarged(options.enlarge);
        let frame = Picture::filled(
            large.width() + 2 * FRAME,
            large.height() + 2 * FRAME,
            tile.mark.rgb(),
        );
        sheet.paste(&frame, top, left);
        sheet.paste(&large, top + FRAME, left + FRAME);
        for (line, text) in caption.iter().enumerate() {
            let below = top + framed_height + 2 + line * LINE_STEP;
            write_line(&mut sheet, text, below, left);
        }
    }
    sheet.to_png()
}

/// Text in lines of at most `width` characters, broken at blanks where that is possible.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for (piece_at, piece) in letters.chunks(width).enumerate() {
            let piece: String = piece.iter().collect();
            match lines.last_mut() {
                Some(line)
                    if piece_at == 0
                        && line.chars().count() + 1 + piece.chars().count() <= width =>
                {
                    line.push(' ');
                    line.push_str(&piece);
                }
                _ => lines.push(piece),
            }
        }
    }
    lines
}

/// Writes a line of text, its top left at this row and column.
fn write_line(sheet: &mut Picture, text: &str, top: usize, left: usize) {
    for (at, character) in text.chars().enumerate() {
        for (row, bits) in glyph(character).into_iter().enumerate() {
            for column in 0..GLYPH_WIDTH {
                if bits >> (GLYPH_WIDTH - 1 - column) & 1 == 1 {
                    sheet.set_pixel(top + row, left + at * LETTER_STEP + column, INK);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet_of(captions: &[&str]) -> Vec<u8> {
        let picture = Picture::filled(32, 32, [255; 3]);
        let tiles: Vec<Tile<'_>> = captions
            .iter()
            .enumerate()
            .map(|(at, caption)| Tile {
                picture: &picture,
                mark: [Mark::Accepted, Mark::Rejected, Mark::None][at % 3],
                note: ["accepted", "", ""][at % 3],
                caption,
            })
            .collect();
        let options = SheetOptions {
            columns: 2,
            enlarge: 4,
        };
        contact_sheet(&tiles, options).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn frames_tell_the_verdict() {
        let png = sheet_of(&["a red ring", "a blue circle left of a yellow triangle", ""]);
        let sheet = image::load_from_memory(&png).map(|i| i.to_rgb8());
        let sheet = sheet.unwrap_or_else(|e| panic!("{e}"));
        // Two columns of 6 + 134, and two rows of 6 + 134 with two lines of text of 9: a note and
        // a line, or two.
        assert_eq!(sheet.dimensions(), (6 + 2 * 140, 6 + 2 * 158));
        assert_eq!(sheet.get_pixel(6, 6).0, Colour::Green.rgb());
        assert_eq!(sheet.get_pixel(146, 6).0, Colour::Red.rgb());
        assert_eq!(sheet.get_pixel(6, 164).0, [170; 3]);
        assert_eq!(sheet.get_pixel(9, 9).0, [255; 3]);
    }

    #[test]
    fn equal_tiles_give_equal_bytes_and_captions_show() {
        assert_eq!(sheet_of(&["a ring", "x"]), sheet_of(&["a ring", "x"]));
        assert_ne!(sheet_of(&["a ring", "x"]), sheet_of(&["a king", "x"]));
    }

    #[test]
    fn text_is_wrapped_at_blanks() {
        assert_eq!(wrap("a red ring", 6), ["a red", "ring"]);
        assert_eq!(wrap("a triangles b", 4), ["a", "tria", "ngle", "s b"]);
        assert_eq!(wrap("  ", 4), Vec::<String>::new());
    }

    #[test]
    fn nothing_to_show_is_an_error() {
        let error = contact_sheet(&[], SheetOptions::default()).err();
        assert_eq!(
            error.map(|e| e.to_string()).unwrap_or_default(),
            "contact sheet: `tiles` is 0, expected at least 1"
        );
    }
}
