//! Pictures as bytes: from and to planes of floats, enlarged, as PNG.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::error::WorldError;

/// Most pixels a side that are read from a file.
const MOST_SIDE: u32 = 16_384;

/// An RGB picture, 8 bits a channel, row by row from the top left, channels together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    /// A picture of one colour.
    pub fn filled(width: usize, height: usize, rgb: [u8; 3]) -> Self {
        Self {
            width,
            height,
            pixels: rgb.repeat(width * height),
        }
    }

    /// A drawing `[3, height, width]` in −1..1 as bytes; what lies outside is clipped.
    ///
    /// # Errors
    /// The number of values is not `3 * height * width`, or one is not finite.
    pub fn from_planes(planes: &[f32], width: usize, height: usize) -> Result<Self, WorldError> {
        check_planes(planes, width, height)?;
        let area = width * height;
        let mut pixels = Vec::with_capacity(planes.len());
        for at in 0..area {
            for channel in 0..3 {
                pixels.push(to_byte(planes[channel * area + at]));
            }
        }
        Ok(Self {
            width,
            height,
            pixels,
        })
    }

    /// Planes `[3, height, width]` of `byte / 127.5 − 1`, as a model sees the picture.
    pub fn to_planes(&self) -> Vec<f32> {
        (0..3)
            .flat_map(|channel| self.pixels.iter().skip(channel).step_by(3))
            .map(|&byte| f32::from(byte) / 127.5 - 1.0)
            .collect()
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes: red, green, blue of each pixel, row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Red, green and blue of a pixel.
    ///
    /// # Panics
    /// The pixel is outside the picture.
    pub fn pixel(&self, row: usize, column: usize) -> [u8; 3] {
        let at = self.offset(row, column);
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }

    /// Sets a pixel.
    ///
    /// # Panics
    /// The pixel is outside the picture.
    pub fn set_pixel(&mut self, row: usize, column: usize, rgb: [u8; 3]) {
        let at = self.offset(row, column);
        self.pixels[at..at + 3].copy_from_slice(&rgb);
    }

    fn offset(&self, row: usize, column: usize) -> usize {
        assert!(row < self.height && column < self.width, "outside");
        3 * (row * self.width + column)
    }

    /// Every pixel as a block of `factor`×`factor`: larger without blur.
    pub fn enlarged(&self, factor: usize) -> Self {
        let mut large = Self::filled(self.width * factor, self.height * factor, [0; 3]);
        for row in 0..large.height {
            for column in 0..large.width {
                large.set_pixel(row, column, self.pixel(row / factor, column / factor));
            }
        }
        large
    }

    /// Copies a picture into this one, its top left at this row and column; what does not fit is
    /// cut off.
    pub fn paste(&mut self, other: &Self, row: usize, column: usize) {
        for from_row in 0..other.height.min(self.height.saturating_sub(row)) {
            for from_column in 0..other.width.min(self.width.saturating_sub(column)) {
                let rgb = other.pixel(from_row, from_column);
                self.set_pixel(row + from_row, column + from_column, rgb);
            }
        }
    }

    /// The picture that a PNG holds, without its alpha channel.
    ///
    /// # Errors
    /// The bytes are no PNG, or it is too large.
    pub fn from_png(bytes: &[u8]) -> Result<Self, WorldError> {
        let mut reader =
            image::ImageReader::with_format(std::io::Cursor::new(bytes), image::ImageFormat::Png);
        let mut limits = image::Limits::default();
        limits.max_image_width = Some(MOST_SIDE);
        limits.max_image_height = Some(MOST_SIDE);
        reader.limits(limits);
        let decoded = reader.decode().map_err(WorldError::Unreadable)?.to_rgb8();
        let (width, height) = (decoded.width() as usize, decoded.height() as usize);
        Ok(Self {
            width,
            height,
            pixels: decoded.into_raw(),
        })
    }

    /// The picture as PNG; equal pictures give equal bytes.
    ///
    /// # Errors
    /// The picture is empty or too large for PNG.
    pub fn to_png(&self) -> Result<Vec<u8>, WorldError> {
        let mut png = Vec::new();
        // Saturated sizes fail in the encoder, which checks them against the bytes.
        let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        PngEncoder::new(&mut png).write_image(
            &self.pixels,
            size(self.width),
            size(self.height),
            ExtendedColorType::Rgb8,
        )?;
        Ok(png)
    }
}

/// A value of a drawing in −1..1 as a byte.
fn to_byte(value: f32) -> u8 {
    // In 0..=255.5, so that the conversion only cuts off the fraction.
    ((value.clamp(-1.0, 1.0) + 1.0) * 127.5 + 0.5) as u8
}

/// Whether there are three planes of this size, all finite.
pub(crate) fn check_planes(planes: &[f32], width: usize, height: usize) -> Result<(), WorldError> {
    if planes.len() != 3 * width * height {
        return Err(WorldError::PictureSize {
            width,
            height,
            found: planes.len(),
        });
    }
    match planes.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(WorldError::NotFinite {
            index,
            value: planes[index],
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient() -> Picture {
        let mut picture = Picture::filled(16, 16, [0; 3]);
        for row in 0..16 {
            for column in 0..16 {
                let byte = (16 * row + column) as u8;
                picture.set_pixel(row, column, [byte, 255 - byte, byte ^ 0x55]);
            }
        }
        picture
    }

    #[test]
    fn every_byte_survives_the_way_through_planes() {
        let picture = gradient();
        let planes = picture.to_planes();
        assert_eq!(planes[0], -1.0);
        assert_eq!(planes[256], 1.0);
        assert_eq!(Picture::from_planes(&planes, 16, 16).ok(), Some(picture));
    }

    #[test]
    fn drawings_are_clipped_and_checked() {
        let wild = Picture::from_planes(&[-3.0, 0.0, 7.5], 1, 1);
        assert_eq!(wild.ok().map(|p| p.pixel(0, 0)), Some([0, 128, 255]));
        let message = |planes: &[f32]| {
            let error = Picture::from_planes(planes, 1, 1).err();
            error.map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(
            message(&[0.0; 4]),
            "a picture of 1×1 pixels has 4 values, expected 3"
        );
        assert_eq!(
            message(&[0.0, f32::NAN, 0.0]),
            "a drawing's value 1 is `NaN`, expected a finite number"
        );
    }

    #[test]
    fn enlarging_repeats_pixels() {
        let large = gradient().enlarged(3);
        assert_eq!((large.width(), large.height()), (48, 48));
        assert_eq!(large.pixel(8, 47), gradient().pixel(2, 15));
    }

    #[test]
    fn png_can_be_read_back() {
        let png = gradient().to_png().unwrap_or_default();
        let read = image::load_from_memory(&png).map(|i| i.to_rgb8().into_raw());
        assert_eq!(read.ok(), Some(gradient().pixels));
        assert!(Picture::filled(0, 0, [0; 3]).to_png().is_err());
    }
}
