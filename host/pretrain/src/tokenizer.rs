//! The image tokenizer: its decoder learns to paint given codes, its encoder to find them.

use candle_core::{D, Device, Tensor};
use candle_nn::ops::log_softmax;
use sc_core::rng::stream;
use sc_model::{JanusModel, UnifiedModel};

use crate::descent::Descent;
use crate::error::PretrainError;
use crate::material::{Material, Scene};
use crate::recipe::TokenizerRecipe;
use crate::stages::Progress;

const ENCODER: [&str; 2] = ["model.vqmodel.encoder.", "model.vqmodel.quant_conv."];
const DECODER: [&str; 2] = ["model.vqmodel.decoder.", "model.vqmodel.post_quant_conv."];

/// The decoder, by weighted squared error of the pixels.
pub(crate) fn train_decoder(
    model: &JanusModel,
    recipe: &TokenizerRecipe,
    seed: u64,
    progress: &mut Progress<'_>,
) -> Result<(), PretrainError> {
    let material = Material::new();
    let mut descent = descent(model, recipe, &DECODER, recipe.decoder_steps)?;
    for step in 0..recipe.decoder_steps {
        let (scenes, pixels) = batch(&material, recipe, seed, "pretrain-decoder", step)?;
        let tokens: Vec<Vec<u32>> = scenes.iter().map(|scene| scene.codes.clone()).collect();
        let weights = pixel_weights(&pixels, recipe.object_weight)?;
        let error = (model.reconstruct(&tokens)? - &pixels)?.sqr()?;
        let loss = ((error * &weights)?.sum_all()? / weights.sum_all()?)?;
        progress.step(descent.step(&loss)?);
    }
    Ok(())
}

/// The encoder, by the cross-entropy of the codes under the cosines with its latents.
pub(crate) fn train_encoder(
    model: &JanusModel,
    recipe: &TokenizerRecipe,
    seed: u64,
    progress: &mut Progress<'_>,
) -> Result<(), PretrainError> {
    let material = Material::new();
    let mut descent = descent(model, recipe, &ENCODER, recipe.encoder_steps)?;
    for step in 0..recipe.encoder_steps {
        let (scenes, pixels) = batch(&material, recipe, seed, "pretrain-encoder", step)?;
        let codes: Vec<u32> = scenes
            .iter()
            .flat_map(|scene| scene.codes.clone())
            .collect();
        let logits = (model.code_cosines(&pixels)? * recipe.cosine_scale)?.flatten(0, 1)?;
        let targets = Tensor::new(codes, model.device())?.unsqueeze(1)?;
        let picked = log_softmax(&logits, D::Minus1)?.gather(&targets, 1)?;
        progress.step(descent.step(&picked.mean_all()?.neg()?)?);
    }
    Ok(())
}

fn descent(
    model: &JanusModel,
    recipe: &TokenizerRecipe,
    prefixes: &[&str],
    steps: usize,
) -> Result<Descent, PretrainError> {
    let trains = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let norm = recipe.max_gradient_norm;
    Ok(Descent::new(
        model,
        trains,
        steps,
        recipe.learning_rate,
        norm,
    )?)
}

/// Pictures and their pixels [B, 3, 32, 32].
fn batch(
    material: &Material,
    recipe: &TokenizerRecipe,
    seed: u64,
    purpose: &str,
    step: usize,
) -> Result<(Vec<Scene>, Tensor), PretrainError> {
    let mut rng = stream(seed, purpose, &[step as u64]);
    let mut pixels = Vec::new();
    let scenes: Vec<Scene> = (0..recipe.batch)
        .map(|_| {
            let scene = material.any_scene(&mut rng);
            pixels.extend(scene.render(&mut rng));
            scene
        })
        .collect();
    Ok((scenes, planes(pixels, recipe.batch)?))
}

/// Planes one after another as pixels [B, 3, 32, 32].
pub(crate) fn planes(values: Vec<f32>, images: usize) -> candle_core::Result<Tensor> {
    let side = sc_world::PICTURE_SIZE;
    Tensor::from_vec(values, (images, 3, side, side), &Device::Cpu)
}

/// 1 for white pixels and `object` for all others, [B, 1, 32, 32] broadcast onto the channels.
fn pixel_weights(pixels: &Tensor, object: f64) -> candle_core::Result<Tensor> {
    let white = pixels.min_keepdim(1)?.ge(1.0)?.to_dtype(pixels.dtype())?;
    let weights = white.affine(1.0 - object, object)?;
    weights.broadcast_as(pixels.shape())?.contiguous()
}
