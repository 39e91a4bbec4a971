//! The pages about sharing, as they are written.
