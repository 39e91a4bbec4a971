//! PNG, JPEG and WebP files as RGB bytes.
//!
//! Colours become RGB as `Image.convert("RGB")` of Pillow makes them: alpha is dropped, not blended
//! with anything; palettes and grey are spelt out; of 16 bits the upper 8 stay, except in grey
//! without alpha, where what is above 255 becomes 255. Colour profiles are not applied. What differs
//! from the authors' code is that an image is turned as its EXIF data say: they read photographs as
//! the sensor saw them.

use std::fmt::Display;
use std::fs::File;
use std::io::{Cursor, ErrorKind, Read};
use std::path::Path;

use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageResult, Limits, Luma, LumaA, Rgb, RgbImage, Rgba,
};

use super::{CHANNELS, ImageFileError, Pixels};
use crate::checkpoint::source::regular_file;
use crate::error::{Error, Result};

/// Most bytes of a file.
const MOST_BYTES: u64 = 128 << 20;
/// Most pixels of an image.
const MOST_PIXELS: u64 = 64 << 20;
/// Longest side of an image in pixels, that of JPEG.
const LONGEST_SIDE: u32 = 65_535;
/// What a decoder may take beside the image itself, such as for a compressed colour profile.
const MOST_EXTRA: u64 = 64 << 20;
/// The colour type of PNG for grey without alpha.
const GREY: u8 = 0;

impl Pixels {
    /// The image in a PNG, JPEG or WebP file, upright. The format is told by the file's bytes, not
    /// by its name.
    ///
    /// # Errors
    /// The file cannot be read, is no regular file, has more than 128 MiB, or fails as in
    /// [`Pixels::decode`].
    pub fn read(path: &Path) -> Result<Self> {
        let about = regular_file(path)?
            .ok_or_else(|| Error::io("read", path)(ErrorKind::NotFound.into()))?;
        let mut bytes = Vec::new();
        if about.len() <= MOST_BYTES {
            let file = File::open(path).map_err(Error::io("read", path))?;
            // One more than are allowed, to see a file that has grown meanwhile.
            file.take(MOST_BYTES + 1)
                .read_to_end(&mut bytes)
                .map_err(Error::io("read", path))?;
        }
        let found = about.len().max(bytes.len() as u64);
        if found > MOST_BYTES {
            return Err(Error::Image(ImageFileError::Bytes {
                file: path.to_path_buf(),
                bytes: found,
                limit: MOST_BYTES,
            }));
        }
        Self::decode(&bytes, path)
    }

    /// The image in the bytes of a PNG, JPEG or WebP file, upright; messages call it `file`.
    ///
    /// # Errors
    /// The bytes are of another format, are cut or corrupt, are an animation, or hold no pixels,
    /// more than 65,535 a side or more than 64 × 2^20 in all. Sizes are looked at before the image
    /// is decoded.
    pub fn decode(bytes: &[u8], file: &Path) -> Result<Self> {
        let source = Source { bytes, file };
        source.decode().map_err(Error::Image)
    }
}

type FileResult<T> = std::result::Result<T, ImageFileError>;

/// A file's bytes and name.
#[derive(Clone, Copy)]
struct Source<'a> {
    bytes: &'a [u8],
    file: &'a Path,
}

impl<'a> Source<'a> {
    fn decode(self) -> FileResult<Pixels> {
        match image::guess_format(self.bytes).ok() {
            Some(ImageFormat::Png) => self.png(),
            Some(ImageFormat::Jpeg) => {
                let format = "JPEG";
                // The decoder would fill what is missing with grey.
                if !has_end_of_image(self.bytes) {
                    return Err(self.damaged(format)("it ends before its end marker"));
                }
                let decoder = JpegDecoder::new(Cursor::new(self.bytes));
                self.read_with(format, decoder.map_err(self.damaged(format))?)
            }
            Some(ImageFormat::WebP) => {
                let format = "WebP";
                let decoder = WebPDecoder::new(Cursor::new(self.bytes));
                let decoder = decoder.map_err(self.damaged(format))?;
                if decoder.has_animation() {
                    return Err(self.animated(format));
                }
                self.read_with(format, decoder)
            }
            other => Err(ImageFileError::Format {
                file: self.file.to_path_buf(),
                found: match other {
                    Some(format) => format!("a file of format {format:?}"),
                    None if self.bytes.is_empty() => "empty".into(),
                    None => "of no known format".into(),
                },
            }),
        }
    }

    fn png(self) -> FileResult<Pixels> {
        let format = "PNG";
        let header = PngHeader::of(self.bytes)
            .ok_or_else(|| self.damaged(format)("it does not begin with its header"))?;
        // The decoder refuses images without pixels in words of its own.
        self.check_size((header.width, header.height))?;
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(MOST_EXTRA);
        let decoder = PngDecoder::with_limits(Cursor::new(self.bytes), limits);
        let decoder = decoder.map_err(self.damaged(format))?;
        if decoder.is_apng().map_err(self.damaged(format))? {
            return Err(self.animated(format));
        }
        self.read_with(format, decoder)
    }

    fn read_with(self, format: &'static str, mut decoder: impl ImageDecoder) -> FileResult<Pixels> {
        self.check_size(decoder.dimensions())?;
        let decoded = orientation(&mut decoder).and_then(|orientation| {
            let image = DynamicImage::from_decoder(decoder)?;
            let mut upright = DynamicImage::ImageRgb8(self.to_rgb(image));
            upright.apply_orientation(orientation);
            Ok(upright.into_rgb8())
        });
        let rgb = decoded.map_err(self.damaged(format))?;
        Ok(Pixels {
            width: rgb.width() as usize,
            height: rgb.height() as usize,
            bytes: rgb.into_raw(),
        })
    }

    fn to_rgb(self, image: DynamicImage) -> RgbImage {
        let clipped = |value: u16| value.min(255) as u8;
        let upper = |value: u16| (value >> 8) as u8;
        let (width, height) = (image.width(), image.height());
        match image {
            DynamicImage::ImageLuma16(grey) => RgbImage::from_fn(width, height, |x, y| {
                let Luma([grey]) = *grey.get_pixel(x, y);
                Rgb([clipped(grey); CHANNELS])
            }),
            DynamicImage::ImageLumaA16(grey) => {
                // A transparent colour of grey has become alpha, which the file does not have.
                let has_alpha = PngHeader::of(self.bytes).is_none_or(|png| png.colour != GREY);
                RgbImage::from_fn(width, height, |x, y| {
                    let LumaA([grey, _]) = *grey.get_pixel(x, y);
                    let grey = if has_alpha {
                        upper(grey)
                    } else {
                        clipped(grey)
                    };
                    Rgb([grey; CHANNELS])
                })
            }
            DynamicImage::ImageRgb16(rgb) => RgbImage::from_fn(width, height, |x, y| {
                let Rgb(rgb) = *rgb.get_pixel(x, y);
                Rgb(rgb.map(upper))
            }),
            DynamicImage::ImageRgba16(rgba) => RgbImage::from_fn(width, height, |x, y| {
                let Rgba([red, green, blue, _]) = *rgba.get_pixel(x, y);
                Rgb([red, green, blue].map(upper))
            }),
            eight_bits => eight_bits.into_rgb8(),
        }
    }

    fn check_size(self, (width, height): (u32, u32)) -> FileResult<()> {
        let sides = 1..=LONGEST_SIDE;
        let all = u64::from(width) * u64::from(height);
        if sides.contains(&width) && sides.contains(&height) && all <= MOST_PIXELS {
            return Ok(());
        }
        Err(ImageFileError::Size {
            file: self.file.to_path_buf(),
            width,
            height,
            longest: LONGEST_SIDE,
            most: MOST_PIXELS,
        })
    }

    fn animated(self, format: &'static str) -> ImageFileError {
        ImageFileError::Animated {
            file: self.file.to_path_buf(),
            format,
        }
    }

    fn damaged<E: Display>(
        self,
        format: &'static str,
    ) -> impl FnOnce(E) -> ImageFileError + use<'a, E> {
        move |reason| ImageFileError::Damaged {
            file: self.file.to_path_buf(),
            format,
            reason: reason.to_string(),
        }
    }
}

/// How the image is to be turned; what cannot be read of it says nothing.
fn orientation(decoder: &mut impl ImageDecoder) -> ImageResult<Orientation> {
    let Some(exif) = decoder.exif_metadata()? else {
        return Ok(Orientation::NoTransforms);
    };
    // WebP files of some writers begin the data as JPEG does.
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif);
    Ok(Orientation::from_exif_chunk(exif).unwrap_or(Orientation::NoTransforms))
}

/// What a PNG file says of its image before all else.
struct PngHeader {
    width: u32,
    height: u32,
    colour: u8,
}

impl PngHeader {
    fn of(bytes: &[u8]) -> Option<Self> {
        let chunk = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?.get(4..)?;
        let fields = chunk.strip_prefix(b"IHDR")?;
        let (width, fields) = fields.split_first_chunk()?;
        let (height, fields) = fields.split_first_chunk()?;
        let [_depth, colour, ..] = *fields else {
            return None;
        };
        Some(Self {
            width: u32::from_be_bytes(*width),
            height: u32::from_be_bytes(*height),
            colour,
        })
    }
}

/// Whether a JPEG file has the marker that ends its image. A thumbnail's own, within a segment, does
/// not count.
fn has_end_of_image(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [0xff, 0xd9, ..] => return true,
            // Within the data of a scan, 0xff does not stand before anything but markers.
            [0xff, 0xda, scans @ ..] => return scans.windows(2).any(|pair| pair == [0xff, 0xd9]),
            // Markers without a segment.
            [0xff, 0x01 | 0xd0..=0xd8, after @ ..] => after,
            // Filling before a marker.
            [0xff, 0xff, ..] => &rest[1..],
            [0xff, _, segment @ ..] => {
                let length = segment
                    .first_chunk()
                    .map(|bytes| u16::from_be_bytes(*bytes));
                let after = length.and_then(|length| segment.get(usize::from(length)..));
                after.unwrap_or_default()
            }
            [_, after @ ..] => after,
            [] => return false,
        }
    }
}
