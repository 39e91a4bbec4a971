//! Why an image file is not taken.

use std::path::PathBuf;

use thiserror::Error;

use crate::error::printable;

/// What is wrong with an image file. The file is named as it was to be read.
#[derive(Debug, Error)]
pub enum ImageFileError {
    /// The file is larger than any that is read.
    #[error("{} has {bytes} bytes; expected at most {limit}", quoted(file))]
    Bytes {
        /// The file.
        file: PathBuf,
        /// Its size.
        bytes: u64,
        /// What it may have.
        limit: u64,
    },
    /// The image has no pixels, or more than are read.
    #[error(
        "{} has {width}×{height} pixels; expected 1 to {longest} a side and {most} at most",
        quoted(file)
    )]
    Size {
        /// The file.
        file: PathBuf,
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// Pixels that a side may have.
        longest: u32,
        /// Pixels that there may be in all.
        most: u64,
    },
    /// The file is of another format.
    #[error("{} is {found}; expected a PNG, JPEG or WebP image", quoted(file))]
    Format {
        /// The file.
        file: PathBuf,
        /// What it is, as far as its first bytes tell.
        found: String,
    },
    /// The file holds several images that follow each other in time.
    #[error("{} is an animated {format}; expected a single image", quoted(file))]
    Animated {
        /// The file.
        file: PathBuf,
        /// Its format.
        format: &'static str,
    },
    /// The file is cut or corrupt.
    #[error("{} is no whole {format} image: {}", quoted(file), printable(reason))]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Its format.
        format: &'static str,
        /// What the decoder found.
        reason: String,
    },
}

impl ImageFileError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            ImageFileError::Bytes { .. } => "save it smaller or with more compression",
            ImageFileError::Size { .. } => "scale the image before it is given",
            ImageFileError::Format { .. } => "give an image, or save it as PNG",
            ImageFileError::Animated { .. } => "save one of its frames as PNG",
            ImageFileError::Damaged { .. } => {
                "the file may be cut or damaged: copy, download or save it again"
            }
        }
    }
}

fn quoted(file: &std::path::Path) -> String {
    format!("`{}`", printable(&file.display().to_string()))
}
