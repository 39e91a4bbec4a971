//! The tiny world: pictures of a few coloured shapes, the prompts that ask for them, a renderer,
//! and an oracle that reads a picture's objects from its pixels, so that what a model draws and
//! what it says of it can be held against the truth.
//!
//! - [`spec`]: what a prompt asks for, parsed from its text; [`meaning`]: when two prompts ask
//!   for the same.
//! - [`mod@prompts`]: the world's 6,240 prompts with category, kind and split, and drawing from them;
//!   [`is_held_out`]: which meanings are kept from a model in training.
//! - [`mod@render`]: a random picture that shows what a prompt asks for.
//! - [`grid`]: the cells of a picture; [`codes`]: what each is to the tiny model's image tokenizer.
//! - [`question`]: what the tiny model can be asked, and what is true of a picture.
//! - [`oracle`]: the objects in a picture, and whether they are what a prompt asks for.
//! - [`labelled`]: pictures with a true or a false statement each, to measure understanding.
//! - [`picture`], [`sheet`]: pictures as bytes, planes and PNG; many of them on a sheet.
//! - [`checkpoint`]: the tiny model that was trained on this world.
//!
//! A picture is 32×32 pixels on white: 4×4 cells of 8 pixels, and in a cell at most one 7×7
//! sprite, at the cell's top left.
//!
//! Deliberately absent: the model library. Drawings come in as planes of floats.

pub mod checkpoint;
pub mod codes;
mod enumeration;
pub mod error;
mod font;
pub mod grid;
pub mod labelled;
pub mod meaning;
pub mod oracle;
pub mod picture;
pub mod prompts;
pub mod question;
pub mod render;
pub mod sheet;
pub mod spec;
pub mod vocabulary;

pub use checkpoint::tiny_model;
pub use enumeration::is_held_out;
pub use error::WorldError;
pub use grid::{CELL_SIZE, Cell, GRID_SIZE, PICTURE_SIZE};
pub use labelled::{Attribute, LabelledRender, labelled_renders};
pub use meaning::Meaning;
pub use oracle::{Reading, read, read_picture, verdict};
pub use picture::Picture;
pub use prompts::{Category, Kind, WorldPrompt, prompts, sample_prompts};
pub use question::{PartQuestion, Wording, part_questions};
pub use render::{PlacedObject, RenderOptions, Shade, render};
pub use sheet::{Mark, SheetOptions, Tile, contact_sheet};
pub use spec::{Group, ObjectSpec, Spec};
pub use vocabulary::{Colour, Number, Relation, Shape};
