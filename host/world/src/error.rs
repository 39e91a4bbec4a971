//! What can be wrong with what this crate is given.

use crate::spec::MAX_OBJECTS;
use crate::vocabulary::{Colour, Number, Shape};

/// A prompt, a picture or a drawing that the tiny world cannot use.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A word of a prompt is not one that may stand there.
    #[error("prompt `{prompt}`: word {position} is `{found}`, expected {expected}")]
    Word {
        /// The whole prompt.
        prompt: String,
        /// The word's place in it, from 1.
        position: usize,
        /// The word.
        found: String,
        /// What may stand there.
        expected: String,
    },
    /// A prompt stops too early.
    #[error("prompt `{prompt}` ends where {expected} is expected")]
    Ends {
        /// The whole prompt.
        prompt: String,
        /// What should come next.
        expected: String,
    },
    /// A prompt names a shape in two of its groups.
    #[error("prompt `{prompt}` names the shape `{shape}` twice, expected each shape once")]
    RepeatedShape {
        /// The whole prompt.
        prompt: String,
        /// The shape.
        shape: Shape,
    },
    /// More objects than fit on a picture without touching.
    #[error(
        "prompt `{prompt}` asks for {count} objects, expected at most {}",
        MAX_OBJECTS
    )]
    TooManyObjects {
        /// The whole prompt.
        prompt: String,
        /// How many it asks for.
        count: usize,
    },
    /// A relation that is not between two single objects.
    #[error("prompt `{prompt}` has a relation, expected it between two single objects")]
    RelationOfSeveral {
        /// The whole prompt.
        prompt: String,
    },
    /// A picture's bytes or a drawing's values do not fill its width and height.
    #[error(
        "a picture of {width}×{height} pixels has {found} values, expected {}",
        3 * width * height
    )]
    PictureSize {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
        /// The values given.
        found: usize,
    },
    /// A drawing holds a value that is not a number.
    #[error("a drawing's value {index} is `{value}`, expected a finite number")]
    NotFinite {
        /// Index into the planes.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A contact sheet of no pictures, or with no columns or no enlargement.
    #[error("contact sheet: `{field}` is 0, expected at least 1")]
    EmptySheet {
        /// What is zero.
        field: &'static str,
    },
    /// A file's bytes are no picture.
    #[error("it is no PNG that can be read: {0}")]
    Unreadable(image::ImageError),
    /// A picture could not be written as PNG.
    #[error("a picture cannot be written as PNG: {0}")]
    Png(#[from] image::ImageError),
}

impl WorldError {
    /// What can be done about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Word { .. } | Self::Ends { .. } => Some(format!(
                "prompts are lower case, such as `two red circles and a blue square` or `a ring \
                 left of a cross`; numbers: {}; colours: {}; shapes: {}",
                listed(Number::ALL.map(Number::word)),
                listed(Colour::ALL.map(Colour::word)),
                listed(Shape::ALL.map(Shape::word)),
            )),
            Self::RepeatedShape { .. } => {
                Some("the shapes of a prompt all differ; say how many there are of each".into())
            }
            Self::RelationOfSeveral { .. } => {
                Some("write it like `a red ring above a blue square`".into())
            }
            Self::NotFinite { .. } => {
                Some("the model that drew it has diverged: lower the learning rate".into())
            }
            Self::TooManyObjects { .. }
            | Self::PictureSize { .. }
            | Self::EmptySheet { .. }
            | Self::Unreadable(_)
            | Self::Png(_) => None,
        }
    }
}

/// Words as a list to read.
fn listed<const N: usize>(words: [&str; N]) -> String {
    words.join(", ")
}
