//! Pictures that a run leaves for people: what the model draws for the same prompts, before and
//! after.

use sc_core::candidate::Verdict;
use sc_world::Picture;
use sc_world::sheet::{Mark, SheetOptions, Tile, contact_sheet};

use crate::error::RunError;
use crate::evaluation::EvaluatedImage;
use crate::generation::JudgedImage;
use crate::store::RunStore;

/// How many pictures are kept of an evaluation.
const PICTURES: usize = 40;

/// Small pictures are enlarged, without blur, to about this many pixels a side.
const SHOWN_SIZE: usize = 128;

/// A judged image as people are shown it: frame and note are the model's verdict.
pub struct Shown {
    picture: Picture,
    mark: Mark,
    note: String,
    caption: String,
}

impl Shown {
    /// An image of `size` pixels a side with the prompt that it was drawn for.
    ///
    /// # Errors
    /// When the pixels are not finite or of another size.
    pub fn new(image: &JudgedImage, size: usize, prompt: &str) -> Result<Shown, RunError> {
        let (mark, note) = match image.judgement.verdict {
            Verdict::Accepted => (
                Mark::Accepted,
                format!("accepted {:.2}", image.judgement.p_yes),
            ),
            Verdict::Rejected => (
                Mark::Rejected,
                format!("rejected {:.2}", image.judgement.p_yes),
            ),
            Verdict::Unparsed => (Mark::None, "unparsed".to_owned()),
        };
        Ok(Shown {
            picture: Picture::from_planes(&image.pixels, size, size)?,
            mark,
            note,
            caption: prompt.to_owned(),
        })
    }
}

/// All images on one sheet, small ones enlarged without blur, as PNG.
///
/// # Errors
/// When there are none.
pub fn sheet(images: &[Shown]) -> Result<Vec<u8>, RunError> {
    let tiles: Vec<Tile<'_>> = images
        .iter()
        .map(|shown| Tile {
            picture: &shown.picture,
            mark: shown.mark,
            note: &shown.note,
            caption: &shown.caption,
        })
        .collect();
    let size = images.first().map_or(1, |shown| shown.picture.width());
    let options = SheetOptions {
        columns: 8,
        enlarge: (SHOWN_SIZE / size).max(1),
    };
    Ok(contact_sheet(&tiles, options)?)
}

/// The first pictures of an evaluation.
pub(crate) struct Album {
    size: usize,
    images: Vec<Shown>,
    failure: Option<RunError>,
}

impl Album {
    /// An empty album of pictures of `size` pixels a side.
    pub(crate) fn new(size: usize) -> Album {
        Album {
            size,
            images: Vec::new(),
            failure: None,
        }
    }

    /// Adds an image while there is room.
    pub(crate) fn add(&mut self, image: &EvaluatedImage<'_>) {
        if self.images.len() == PICTURES {
            return;
        }
        match Shown::new(image.image, self.size, &image.prompt.text) {
            Ok(shown) => self.images.push(shown),
            Err(error) => self.failure = Some(error),
        }
    }

    /// Writes `images/NAME.png`, all pictures on a sheet, and `images/NAME/00.png` … as drawn.
    ///
    /// # Errors
    /// When a picture cannot be made or written.
    pub(crate) fn save(self, store: &RunStore, name: &str) -> Result<(), RunError> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        for (position, shown) in self.images.iter().enumerate() {
            let png = shown.picture.to_png()?;
            store.write(&format!("images/{name}/{position:02}.png"), &png)?;
        }
        store.write(&format!("images/{name}.png"), &sheet(&self.images)?)
    }
}
