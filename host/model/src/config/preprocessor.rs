//! `preprocessor_config.json`: how bytes of pixels become what the tower sees.

use serde::Deserialize;

use super::json::Check;
use crate::checkpoint::source::{CheckpointSource, parse_json};
use crate::error::Result;

const FILE: &str = "preprocessor_config.json";
/// Mean and deviation that take 0..1 to −1..1.
const HALF: f64 = 0.5;
/// What takes bytes to 0..1.
const RESCALE: f64 = 1.0 / 255.0;

/// The values that images depend on; what is left out is as below.
#[derive(Deserialize)]
struct Preprocessor {
    image_mean: Option<Vec<f64>>,
    image_std: Option<Vec<f64>>,
    rescale_factor: Option<f64>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
}

/// Checks that pixels in −1..1, which is how images are drawn, are also what the tower was trained
/// to see. A checkpoint without the file says nothing else.
///
/// # Errors
/// When the file does not parse, or asks for other pixels.
pub(crate) fn check(source: &CheckpointSource) -> Result<()> {
    let Some(bytes) = source.read(FILE)? else {
        return Ok(());
    };
    let file = source.file_name(FILE);
    let json: Preprocessor = parse_json(&file, &bytes)?;
    let check = Check { file: &file };
    for (field, values) in [
        ("image_mean", json.image_mean),
        ("image_std", json.image_std),
    ] {
        if let Some(values) = values {
            let holds = values.iter().all(|value| *value == HALF);
            check.that(field, format!("{values:?}"), holds, "0.5 in every channel")?;
        }
    }
    if let Some(factor) = json.rescale_factor {
        let holds = (factor - RESCALE).abs() < 1e-9;
        check.that("rescale_factor", factor, holds, "1/255")?;
    }
    for (field, value) in [
        ("do_rescale", json.do_rescale),
        ("do_normalize", json.do_normalize),
    ] {
        let value = value.unwrap_or(true);
        check.that(field, value, value, "true")?;
    }
    Ok(())
}
