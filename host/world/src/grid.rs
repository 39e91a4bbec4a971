//! The grid that pictures of the world are made of.

/// Width and height of a picture of the world, in pixels.
pub const PICTURE_SIZE: usize = 32;
/// Width and height of a cell, in pixels.
pub const CELL_SIZE: usize = 8;
/// Cells in a row, and rows of cells, of a picture.
pub const GRID_SIZE: usize = PICTURE_SIZE / CELL_SIZE;

/// A cell of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// 0–3 from the top.
    pub row: u8,
    /// 0–3 from the left.
    pub column: u8,
}

impl Cell {
    /// Every cell, row by row.
    pub fn all() -> impl Iterator<Item = Self> {
        let lines = 0..GRID_SIZE as u8;
        lines.flat_map(|row| (0..GRID_SIZE as u8).map(move |column| Self { row, column }))
    }

    /// Whether two cells are side by side or one above the other.
    pub fn touches(self, other: Self) -> bool {
        self.row.abs_diff(other.row) + self.column.abs_diff(other.column) == 1
    }

    /// Row and column in the picture of its pixel `at` (0–63, row by row).
    pub fn pixel(self, at: usize) -> (usize, usize) {
        (
            CELL_SIZE * usize::from(self.row) + at / CELL_SIZE,
            CELL_SIZE * usize::from(self.column) + at % CELL_SIZE,
        )
    }
}
