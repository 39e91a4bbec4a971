//! Image files as a Janus sees them: decoded, fitted into a square, and as planes of numbers.
//!
//! Every step follows what the authors' processor does with Pillow, since the eye was trained on
//! its bytes. PNG and WebP files give those bytes exactly. JPEG does not say how decoders round and
//! enlarge the planes of colour: ours is off by up to 4 of 255, and by more where colours that are
//! stored at half the width meet the right or lower edge.

mod decode;
mod error;
mod resize;

use std::ops::RangeInclusive;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

pub use self::error::ImageFileError;
use crate::error::{Error, Result};

/// Sides that a square may have, in pixels: the authors' processor makes nothing narrower than 14.
pub const SQUARE_SIDES: RangeInclusive<usize> = NARROWEST..=4096;
/// Pixels that the shorter side of a fitted image has at least.
const NARROWEST: usize = 14;
/// What fills a square beside its image: the mean 0.5 as a byte, with the fraction cut off.
const GREY: u8 = 127;
const CHANNELS: usize = 3;

/// An RGB image of 8 bits a channel: rows from the top, the three bytes of a pixel together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    width: usize,
    height: usize,
    bytes: Vec<u8>,
}

/// Where an image lies within its square, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Columns of the resized image.
    pub width: usize,
    /// Rows of the resized image.
    pub height: usize,
    /// Columns of grey to its left.
    pub left: usize,
    /// Rows of grey above it.
    pub top: usize,
}

impl Placement {
    /// Where an image of `width`×`height` comes to lie in a square of `side`: its longer side fills
    /// the square, the shorter one keeps the ratio in whole pixels, rounded down, but not below 14.
    ///
    /// # Errors
    /// `side` is not one of [`SQUARE_SIDES`], or the image has no pixel.
    pub fn new(width: usize, height: usize, side: usize) -> Result<Self> {
        if !SQUARE_SIDES.contains(&side) {
            let (least, most) = (SQUARE_SIDES.start(), SQUARE_SIDES.end());
            let expected = format!("{least} to {most} pixels");
            return Err(Error::argument("side", side, expected));
        }
        if width == 0 || height == 0 {
            let found = format!("{width}×{height}");
            return Err(Error::argument("image", found, "at least one pixel"));
        }
        // Wider numbers than usize's: the product of two lengths must not wrap.
        let long = width.max(height) as u128;
        let fitted = |length: usize| {
            let scaled = length as u128 * side as u128 / long;
            // At most `side`, since no length is above the longer one.
            (scaled as usize).max(NARROWEST)
        };
        let (width, height) = (fitted(width), fitted(height));
        Ok(Self {
            width,
            height,
            left: (side - width) / 2,
            top: (side - height) / 2,
        })
    }
}

impl Pixels {
    /// An image of these bytes.
    ///
    /// # Errors
    /// There are not three bytes for each of `width`×`height` pixels, or no pixels.
    pub fn new(width: usize, height: usize, bytes: Vec<u8>) -> Result<Self> {
        let wanted = width
            .checked_mul(height)
            .and_then(|area| area.checked_mul(CHANNELS));
        if wanted != Some(bytes.len()) || bytes.is_empty() {
            return Err(Error::argument(
                "bytes",
                format!("{} bytes", bytes.len()),
                format!("3 bytes for each of {width}×{height} pixels, and at least one pixel"),
            ));
        }
        Ok(Self {
            width,
            height,
            bytes,
        })
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Red, green and blue of each pixel, row by row.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The image fitted into a square of `side` pixels, as a Janus's processor does: resized with
    /// Pillow's bicubic filter, in the middle of grey (127, 127, 127). [`Placement::new`] says
    /// where it lies.
    ///
    /// # Errors
    /// `side` is not one of [`SQUARE_SIDES`].
    pub fn square(&self, side: usize) -> Result<Self> {
        let place = Placement::new(self.width, self.height, side)?;
        let resized = resize::bicubic(self, place.width, place.height);
        let mut bytes = vec![GREY; side * side * CHANNELS];
        let rows = bytes.chunks_exact_mut(side * CHANNELS).skip(place.top);
        let from_rows = resized.bytes.chunks_exact(place.width * CHANNELS);
        let columns = place.left * CHANNELS..(place.left + place.width) * CHANNELS;
        for (row, from) in rows.zip(from_rows) {
            row[columns.clone()].copy_from_slice(from);
        }
        Ok(Self {
            width: side,
            height: side,
            bytes,
        })
    }

    /// Planes `[3, height, width]` of `(byte / 255 − mean) / std`, with the mean and the deviation
    /// of each channel as `preprocessor_config.json` has them. No `std` may be 0.
    pub fn planes(&self, mean: [f32; CHANNELS], std: [f32; CHANNELS]) -> Vec<f32> {
        let mut planes = Vec::with_capacity(self.bytes.len());
        for (channel, (mean, std)) in mean.into_iter().zip(std).enumerate() {
            let bytes = self.bytes.iter().skip(channel).step_by(CHANNELS);
            planes.extend(bytes.map(|&byte| (f32::from(byte) / 255.0 - mean) / std));
        }
        planes
    }

    /// The image as a PNG file; equal images give equal bytes.
    ///
    /// # Errors
    /// A side is longer than PNG can say.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let mut png = Vec::new();
        // Lengths that do not fit fail in the encoder, which holds them against the bytes.
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let (width, height) = (length(self.width), length(self.height));
        PngEncoder::new(&mut png)
            .write_image(&self.bytes, width, height, ExtendedColorType::Rgb8)
            .map_err(|error| Error::argument("image", error, "what fits into a PNG file"))?;
        Ok(png)
    }
}
