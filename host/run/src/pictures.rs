//! Pictures that a run leaves for people: what the model draws for the same prompts, before and
//! after.

use sc_core::candidate::Verdict;
use sc_world::Picture;
use sc_world::sheet::{Mark, SheetOptions, Tile, contact_sheet};

use crate::error::RunError;
use crate::evaluation::EvaluatedImage;
use crate::store::RunStore;

/// How many pictures are kept of an evaluation.
const PICTURES: usize = 40;

/// Small pictures are enlarged, without blur, to about this many pixels a side.
const SHOWN_SIZE: usize = 128;

/// The first pictures of an evaluation.
pub struct Album {
    size: usize,
    pictures: Vec<(Picture, Mark, String)>,
    failure: Option<RunError>,
}

impl Album {
    /// An empty album of pictures of `size` pixels a side.
    pub fn new(size: usize) -> Album {
        Album {
            size,
            pictures: Vec::new(),
            failure: None,
        }
    }

    /// Adds an image while there is room. The frame is the model's verdict.
    pub fn add(&mut self, image: &EvaluatedImage<'_>) {
        if self.pictures.len() == PICTURES {
            return;
        }
        let mark = match image.image.verdict {
            Verdict::Accepted => Mark::Accepted,
            Verdict::Rejected => Mark::Rejected,
            Verdict::Unparsed => Mark::None,
        };
        match Picture::from_planes(&image.image.pixels, self.size, self.size) {
            Ok(picture) => self
                .pictures
                .push((picture, mark, image.prompt.text.clone())),
            Err(error) => self.failure = Some(error.into()),
        }
    }

    /// Writes `images/NAME.png`, all pictures on a sheet, and `images/NAME/00.png` … as drawn.
    ///
    /// # Errors
    /// When a picture cannot be made or written.
    pub fn save(self, store: &RunStore, name: &str) -> Result<(), RunError> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        for (position, (picture, _, _)) in self.pictures.iter().enumerate() {
            store.write(
                &format!("images/{name}/{position:02}.png"),
                &picture.to_png()?,
            )?;
        }
        let tiles: Vec<Tile<'_>> = self
            .pictures
            .iter()
            .map(|(picture, mark, caption)| Tile {
                picture,
                mark: *mark,
                caption,
            })
            .collect();
        if tiles.is_empty() {
            return Ok(());
        }
        let options = SheetOptions {
            columns: 8,
            enlarge: (SHOWN_SIZE / self.size).max(1),
        };
        store.write(
            &format!("images/{name}.png"),
            &contact_sheet(&tiles, options)?,
        )
    }
}
