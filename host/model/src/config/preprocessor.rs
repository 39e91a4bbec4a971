//! `preprocessor_config.json`: how bytes of pixels become what the tower sees.

use candle_core::{Device, Result as TensorResult, Tensor};
use serde::Deserialize;

use super::json::Check;
use crate::checkpoint::source::{CheckpointSource, parse_json};
use crate::error::Result;

const FILE: &str = "preprocessor_config.json";
/// Mean and deviation that take 0..1 to −1..1: Janus-Pro's.
const HALF: f64 = 0.5;
/// What takes bytes to 0..1.
const RESCALE: f64 = 1.0 / 255.0;
const CHANNELS: usize = 3;

/// The values that images depend on; what is left out is as in [`Preprocessor::default`].
#[derive(Deserialize)]
struct PreprocessorJson {
    image_mean: Option<Vec<f64>>,
    image_std: Option<Vec<f64>>,
    rescale_factor: Option<f64>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
}

/// How images come to be what the tower sees.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Preprocessor {
    /// Of each channel's values in 0..1: what is taken from them,
    mean: [f64; CHANNELS],
    /// and what they are then divided by.
    std: [f64; CHANNELS],
}

impl Default for Preprocessor {
    fn default() -> Self {
        Preprocessor {
            mean: [HALF; CHANNELS],
            std: [HALF; CHANNELS],
        }
    }
}

impl Preprocessor {
    /// Reads the file, if the checkpoint has it. The sizes in it are the tower's own.
    ///
    /// # Errors
    /// When the file does not parse, or a value cannot be followed.
    pub(crate) fn read(source: &CheckpointSource) -> Result<Preprocessor> {
        let Some(bytes) = source.read(FILE)? else {
            return Ok(Preprocessor::default());
        };
        let file = source.file_name(FILE);
        let json: PreprocessorJson = parse_json(&file, &bytes)?;
        let check = Check { file: &file };
        let read = Preprocessor {
            mean: channels(&check, "image_mean", json.image_mean, 0.0)?,
            // A smaller one would make noise of the least difference.
            std: channels(&check, "image_std", json.image_std, 1.0 / 255.0)?,
        };
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
        Ok(read)
    }

    /// What the tower is given for images [B, 3, S, S] in −1..1.
    pub(crate) fn seen(&self, pixels: &Tensor) -> TensorResult<Tensor> {
        let default = Preprocessor::default();
        if (self.mean, self.std) == (default.mean, default.std) {
            return Ok(pixels.clone());
        }
        let channels = |values: [f64; CHANNELS]| {
            Tensor::new(&values, &Device::Cpu)?
                .reshape((1, CHANNELS, 1, 1))?
                .to_dtype(pixels.dtype())?
                .to_device(pixels.device())
        };
        ((pixels + 1.0)? / 2.0)?
            .broadcast_sub(&channels(self.mean)?)?
            .broadcast_div(&channels(self.std)?)
    }
}

/// Images [B, 3, S, S] in −1..1 as files would hold them, in bytes. The fraction of a byte is cut
/// off, as by the authors' code.
pub(crate) fn in_bytes(pixels: &Tensor) -> TensorResult<Tensor> {
    let bytes = (((pixels + 1.0)? / 2.0)? * 255.0)?.floor()?;
    // candle divides by a number by multiplying with its reciprocal, which rounds otherwise.
    let most = Tensor::new(255f32, bytes.device())?;
    (bytes.broadcast_div(&most)? * 2.0)? - 1.0
}

/// A number from `least` to 1 for each channel.
fn channels(
    check: &Check,
    field: &str,
    values: Option<Vec<f64>>,
    least: f64,
) -> Result<[f64; CHANNELS]> {
    let Some(values) = values else {
        return Ok([HALF; CHANNELS]);
    };
    match values.as_slice() {
        &[red, green, blue] if values.iter().all(|value| (least..=1.0).contains(value)) => {
            Ok([red, green, blue])
        }
        _ => {
            let expected = format!("three numbers from {least} to 1, one a channel");
            Err(check.error(field, format!("{values:?}"), expected))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content: &str) -> Result<Preprocessor> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(FILE), content).expect("written");
        Preprocessor::read(&CheckpointSource::Directory(folder.path().to_owned()))
    }

    fn image(values: [f32; 3]) -> Tensor {
        Tensor::from_slice(&values, (1, 3, 1, 1), &Device::Cpu).expect("an image")
    }

    fn values(image: &Tensor) -> Vec<f32> {
        (image.flatten_all().and_then(|flat| flat.to_vec1())).expect("its values")
    }

    #[test]
    fn means_and_deviations_are_of_their_channels() {
        let read = of(r#"{"image_mean": [0.5, 0.25, 0], "image_std": [0.5, 0.25, 1]}"#);
        let seen = read.and_then(|read| Ok(read.seen(&image([-1.0, 0.0, 1.0]))?));
        assert_eq!(values(&seen.expect("computes")), [-1.0, 1.0, 1.0]);
        let plain = of("{}").expect("reads");
        assert_eq!(plain, Preprocessor::default());
        let seen = plain.seen(&image([-1.0, 0.1, 1.0])).expect("computes");
        assert_eq!(values(&seen), [-1.0, 0.1, 1.0]);
    }

    #[test]
    fn the_fraction_of_a_byte_is_cut_off() {
        let bytes = in_bytes(&image([-1.0, 0.0, 1.0])).expect("computes");
        assert_eq!(values(&bytes), [-1.0, 127.0 / 255.0 * 2.0 - 1.0, 1.0]);
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        for (content, field) in [
            (r#"{"image_mean": [0.5]}"#, "image_mean"),
            (r#"{"image_mean": [0.5, 0.5, -1]}"#, "image_mean"),
            (r#"{"image_std": [0.5, 0.5, 0]}"#, "image_std"),
            (r#"{"image_std": [0.5, 0.5, 127.5]}"#, "image_std"),
            (r#"{"rescale_factor": 1}"#, "rescale_factor"),
            (r#"{"do_rescale": false}"#, "do_rescale"),
            (r#"{"do_normalize": false}"#, "do_normalize"),
        ] {
            let error = of(content).expect_err(content).to_string();
            assert!(error.contains(field) && error.contains(FILE), "{error}");
        }
    }
}
