//! Log-probabilities of tokens from the language model's last layer: final norm, head, log-softmax
//! and the target's entry, in one.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::gradients::{sum_shares, weight_gradients};
use super::graph::{Backward, attach};
use super::llama::sentences_a_task;
use super::math::{add_all, exponentials, rms_norm, rms_norm_backward};
use super::mlp::{LinearTensors, Matrix, MlpTrace, PackedMlp, mlp_backward, tensors};
use super::pool::Buffer;
use super::{values, vectorised, with_values};
use crate::janus::network::Network;

/// The final norm and a head, packed.
pub(super) struct Head {
    norm: Vec<f32>,
    eps: f32,
    layers: PackedMlp,
}

impl Head {
    /// The head of image tokens.
    pub(super) fn generation(network: &Network) -> Result<Head> {
        Head::new(network, &tensors(&network.generation_head)?)
    }

    fn new(network: &Network, layers: &[LinearTensors]) -> Result<Head> {
        Ok(Head {
            norm: values(&network.llama.norm)?,
            eps: network.llama.config.rms_eps as f32,
            layers: PackedMlp::new(layers)?,
        })
    }

    /// Tokens that there is a logit for.
    pub(super) fn tokens(&self) -> usize {
        self.layers.outputs()
    }

    /// Rows of the last layer → logits.
    pub(super) fn forward(&self, x: &[f32]) -> MlpTrace {
        let mut normed = Buffer::dirty(x.len());
        rms_norm(x, &self.norm, self.eps, &mut normed);
        self.layers.forward(&normed)
    }
}

vectorised! {
    /// Turns rows of logits into probabilities; `picked` receives the targets' logarithms.
    fn softmax_pick(logits: &mut [f32], width: usize, targets: &[u32], picked: &mut [f32]) {
        let rows = logits.chunks_exact_mut(width).zip(targets).zip(picked);
        for ((row, target), picked) in rows {
            let wanted = row[*target as usize];
            let (sum, top) = exponentials(row);
            *picked = wanted - top - sum.ln();
            let share = 1.0 / sum;
            for value in row {
                *value *= share;
            }
        }
    }
}

vectorised! {
    /// Gradients of logits from probabilities and the picked logarithms' gradients.
    fn softmax_pick_backward(
        probabilities: &[f32],
        width: usize,
        targets: &[u32],
        pull: &[f32],
        d_logits: &mut [f32],
    ) {
        let rows = probabilities.chunks_exact(width).zip(d_logits.chunks_exact_mut(width));
        for ((row, d_row), (target, pull)) in rows.zip(targets.iter().zip(pull)) {
            for (d, p) in d_row.iter_mut().zip(row) {
                *d = -pull * p;
            }
            d_row[*target as usize] += pull;
        }
    }
}

/// Log-probabilities [B, N] of image tokens `targets` (B·N of them) at the steps from `first` of x
/// [B, T, hidden], which is what [`super::llama::forward`] answers.
pub(crate) fn image_tokens(
    x: &Tensor,
    network: &Network,
    first: usize,
    targets: &[u32],
) -> Result<Tensor> {
    let batch = x.dim(0)?;
    let tokens = targets.len() / batch;
    let steps = vec![(first..first + tokens).collect(); batch];
    let layers = tensors(&network.generation_head)?;
    score(x, network, &layers, &steps, targets)?.reshape((batch, tokens))
}

/// Log-probabilities of words `targets` at `steps` of each row of x [B, T, hidden], row by row.
pub(crate) fn words(
    x: &Tensor,
    network: &Network,
    steps: &[Vec<usize>],
    targets: &[u32],
) -> Result<Tensor> {
    let head = LinearTensors {
        weight: network.lm_head.plain()?,
        bias: None,
    };
    score(x, network, &[head], steps, targets)
}

/// What a task predicts, and what its forward pass keeps for its backward pass.
struct Task {
    /// The predicting rows, counted from the task's first.
    rows: Vec<usize>,
    targets: Vec<u32>,
    picked: Vec<f32>,
    /// With probabilities in the logits' place.
    trace: MlpTrace,
}

/// The predicting rows of a task's `x`.
fn gather(x: &[f32], rows: &[usize], hidden: usize) -> Buffer {
    let mut gathered = Buffer::dirty(rows.len() * hidden);
    for (place, row) in gathered.chunks_exact_mut(hidden).zip(rows) {
        place.copy_from_slice(&x[row * hidden..][..hidden]);
    }
    gathered
}

/// Each task's predicting rows and their targets.
fn portions(steps: &[Vec<usize>], width: usize, targets: &[u32]) -> Vec<(Vec<usize>, Vec<u32>)> {
    let mut targets = targets.iter().copied();
    let portions = steps.chunks(sentences_a_task(width));
    portions
        .map(|portion| {
            let sentences = portion.iter().enumerate();
            let rows: Vec<usize> = sentences
                .flat_map(|(sentence, steps)| steps.iter().map(move |step| sentence * width + step))
                .collect();
            let targets = targets.by_ref().take(rows.len()).collect();
            (rows, targets)
        })
        .collect()
}

fn score(
    x: &Tensor,
    network: &Network,
    layers: &[LinearTensors],
    steps: &[Vec<usize>],
    targets: &[u32],
) -> Result<Tensor> {
    let (_, width, hidden) = x.dims3()?;
    let head = Head::new(network, layers)?;
    let tasks: Vec<Task> = with_values(x, |x| {
        x.par_chunks(sentences_a_task(width) * width * hidden)
            .zip(portions(steps, width, targets))
            .map(|(x, (rows, targets))| {
                let mut trace = head.forward(&gather(x, &rows, hidden));
                let mut picked = vec![0.0; targets.len()];
                softmax_pick(&mut trace.outputs, head.tokens(), &targets, &mut picked);
                Task {
                    rows,
                    targets,
                    picked,
                    trace,
                }
            })
            .collect()
    })?;
    let picked: Vec<f32> = tasks
        .iter()
        .flat_map(|task| &task.picked)
        .copied()
        .collect();
    let mut weights = vec![&network.llama.norm];
    for layer in layers {
        weights.push(layer.weight);
        weights.extend(layer.bias);
    }
    if !(x.track_op() || weights.iter().any(|weight| weight.track_op())) {
        return Tensor::from_vec(picked, targets.len(), x.device());
    }
    let backward = ScoreBackward {
        eps: head.eps,
        norm: network.llama.norm.detach(),
        layers: (layers.iter())
            .map(|layer| (layer.weight.detach(), layer.bias.is_some()))
            .collect(),
        tasks,
    };
    attach(x, &weights, picked, targets.len(), backward)
}

struct ScoreBackward {
    eps: f32,
    norm: Tensor,
    /// Weights, and whether there is a bias.
    layers: Vec<(Tensor, bool)>,
    tasks: Vec<Task>,
}

impl ScoreBackward {
    /// One task's share of the weights' gradients, in their order.
    fn task(
        &self,
        norm: &[f32],
        weights: &[Matrix],
        (task, pull): (&Task, &[f32]),
        x: &[f32],
        dx: &mut [f32],
    ) -> Vec<Vec<f32>> {
        let hidden = norm.len();
        let probabilities = &task.trace.outputs;
        let mut d_logits = Buffer::dirty(probabilities.len());
        let width = weights.last().map_or(0, Matrix::outputs);
        softmax_pick_backward(probabilities, width, &task.targets, pull, &mut d_logits);
        let gathered = gather(x, &task.rows, hidden);
        let mut normed = Buffer::dirty(gathered.len());
        rms_norm(&gathered, norm, self.eps, &mut normed);
        let (d_normed, factors) = mlp_backward(weights, &normed, &task.trace.inner, d_logits);
        let mut d_gathered = Buffer::zeros(gathered.len());
        let mut d_norm = vec![0.0; hidden];
        rms_norm_backward(
            &gathered,
            norm,
            self.eps,
            &d_normed,
            &mut d_gathered,
            &mut d_norm,
        );
        for (row, d) in task.rows.iter().zip(d_gathered.chunks_exact(hidden)) {
            add_all(&mut dx[row * hidden..][..hidden], d);
        }
        let mut share = vec![d_norm];
        for (factors, (weight, (_, biased))) in factors.iter().zip(weights.iter().zip(&self.layers))
        {
            let product = weight.product(std::iter::once(factors));
            share.extend(weight_gradients(std::slice::from_ref(&product)));
            if *biased {
                share.push(product.bias());
            }
        }
        share
    }
}

impl Backward for ScoreBackward {
    fn backward(&self, x: &Tensor, grad: &[f32]) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
        let (_, width, hidden) = x.dims3()?;
        let norm = values(&self.norm)?;
        let weights = (self.layers.iter())
            .map(|(weight, _)| Matrix::new(weight))
            .collect::<Result<Vec<_>>>()?;
        let mut rest = grad;
        let pulls: Vec<&[f32]> = (self.tasks.iter())
            .filter_map(|task| rest.split_off(..task.targets.len()))
            .collect();
        let portion = sentences_a_task(width) * width * hidden;
        let mut dx = vec![0.0; x.elem_count()];
        let shares: Vec<Vec<Vec<f32>>> = with_values(x, |x| {
            self.tasks
                .par_iter()
                .zip(pulls)
                .zip(x.par_chunks(portion))
                .zip(dx.par_chunks_mut(portion))
                .map(|((task, x), dx)| self.task(&norm, &weights, task, x, dx))
                .collect()
        })?;
        Ok((dx, sum_shares(shares)))
    }
}
