//! Log-probabilities of image tokens from the language model's last layer: final norm, generation
//! head, log-softmax and the target's entry, in one.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::gemm::{Lhs, Packed, Rhs, gemm};
use super::graph::{Backward, attach};
use super::llama::sentences_a_task;
use super::math::{
    add_bias, add_rows, exponentials, gelu, gelu_all, gelu_slope, rms_norm, rms_norm_backward,
};
use super::pool::Buffer;
use super::{values, vectorised, with_values};
use crate::janus::network::Network;

/// The final norm and the generation head, packed.
pub(super) struct Head {
    norm: Vec<f32>,
    eps: f32,
    first: Packed,
    first_bias: Vec<f32>,
    second: Packed,
    second_bias: Vec<f32>,
}

/// Activations of a task's rows.
pub(super) struct Trace {
    /// Before GELU.
    inner: Buffer,
    /// Logits, or their log-softmax.
    pub(super) logits: Buffer,
}

impl Head {
    pub(super) fn new(network: &Network) -> Result<Head> {
        let config = &network.llama.config;
        let [first, second] = &network.generation_head.layers[..] else {
            candle_core::bail!("the generation head has two layers");
        };
        Ok(Head {
            norm: values(&network.llama.norm)?,
            eps: config.rms_eps as f32,
            first: Packed::new(&[&values(&first.weight)?], config.hidden),
            first_bias: values(&first.bias)?,
            second: Packed::new(&[&values(&second.weight)?], first.weight.dim(0)?),
            second_bias: values(&second.bias)?,
        })
    }

    /// Codes that there is a logit for.
    pub(super) fn codes(&self) -> usize {
        self.second_bias.len()
    }

    /// Rows of the last layer → logits.
    pub(super) fn forward(&self, x: &[f32]) -> Trace {
        let rows = x.len() / self.norm.len();
        let mut normed = Buffer::dirty(x.len());
        rms_norm(x, &self.norm, self.eps, &mut normed);
        let mut inner = Buffer::dirty(rows * self.first_bias.len());
        self.first.apply(&normed, &mut inner);
        add_bias(&mut inner, &self.first_bias);
        let mut active = Buffer::dirty(inner.len());
        active.copy_from_slice(&inner);
        gelu_all(&mut active);
        let mut logits = Buffer::dirty(rows * self.second_bias.len());
        self.second.apply(&active, &mut logits);
        add_bias(&mut logits, &self.second_bias);
        Trace { inner, logits }
    }
}

vectorised! {
    /// Turns rows of logits into probabilities; `picked` receives the targets' logarithms.
    fn softmax_pick(logits: &mut [f32], targets: &[u32], picked: &mut [f32]) {
        let codes = logits.len() / targets.len();
        let rows = logits.chunks_exact_mut(codes).zip(targets).zip(picked);
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
        targets: &[u32],
        pull: &[f32],
        d_logits: &mut [f32],
    ) {
        let codes = probabilities.len() / targets.len();
        let rows = probabilities.chunks_exact(codes).zip(d_logits.chunks_exact_mut(codes));
        for ((row, d_row), (target, pull)) in rows.zip(targets.iter().zip(pull)) {
            for (d, p) in d_row.iter_mut().zip(row) {
                *d = -pull * p;
            }
            d_row[*target as usize] += pull;
        }
    }
}

vectorised! {
    /// Backward of GELU: `d` holds the output's gradient and receives the input's, `inner` the
    /// input and receives the output.
    fn gelu_backward(inner: &mut [f32], d: &mut [f32]) {
        for (x, d) in inner.iter_mut().zip(d) {
            *d *= gelu_slope(*x);
            *x = gelu(*x);
        }
    }
}

/// Which rows of the batch predict which tokens.
#[derive(Clone, Copy)]
struct Places {
    width: usize,
    first: usize,
    tokens: usize,
    hidden: usize,
}

impl Places {
    /// The predicting rows of whole sentences.
    fn gather(&self, x: &[f32]) -> Buffer {
        let sentence = self.width * self.hidden;
        let mut rows = Buffer::dirty(x.len() / sentence * self.tokens * self.hidden);
        let sentences = x.chunks_exact(sentence);
        for (x, rows) in sentences.zip(rows.chunks_exact_mut(self.tokens * self.hidden)) {
            rows.copy_from_slice(&x[self.first * self.hidden..][..rows.len()]);
        }
        rows
    }

    /// Values of a task's input.
    fn portion(&self) -> usize {
        sentences_a_task(self.width) * self.width * self.hidden
    }

    /// Tokens of a task.
    fn targets(&self) -> usize {
        sentences_a_task(self.width) * self.tokens
    }
}

/// Log-probabilities [B, N] of `targets` (B·N of them) at the steps from `first` of x [B, T,
/// hidden], which is what [`super::llama::forward`] answers.
pub(crate) fn score(
    x: &Tensor,
    network: &Network,
    first: usize,
    targets: Vec<u32>,
) -> Result<Tensor> {
    let (batch, width, hidden) = x.dims3()?;
    let places = Places {
        width,
        first,
        tokens: targets.len() / batch,
        hidden,
    };
    let head = Head::new(network)?;
    let mut picked = vec![0.0; targets.len()];
    let tasks: Vec<Trace> = with_values(x, |x| {
        x.par_chunks(places.portion())
            .zip(targets.par_chunks(places.targets()))
            .zip(picked.par_chunks_mut(places.targets()))
            .map(|((x, targets), picked)| {
                let mut trace = head.forward(&places.gather(x));
                softmax_pick(&mut trace.logits, targets, picked);
                trace
            })
            .collect()
    })?;
    let shape = (batch, places.tokens);
    let [inner, outer] = &network.generation_head.layers[..] else {
        candle_core::bail!("the generation head has two layers");
    };
    let norm = &network.llama.norm;
    let weights = [norm, &inner.weight, &inner.bias, &outer.weight, &outer.bias];
    if !weights.iter().any(|weight| weight.is_variable()) {
        return Tensor::from_vec(picked, shape, x.device());
    }
    let backward = ScoreBackward {
        places,
        eps: head.eps,
        norm: norm.detach(),
        inner: inner.weight.detach(),
        outer: outer.weight.detach(),
        targets,
        tasks,
    };
    attach(x, &weights, picked, shape, backward)
}

struct ScoreBackward {
    places: Places,
    eps: f32,
    norm: Tensor,
    inner: Tensor,
    outer: Tensor,
    targets: Vec<u32>,
    tasks: Vec<Trace>,
}

/// One task's share of the weights' gradients.
struct Share {
    norm: Vec<f32>,
    inner: Vec<f32>,
    inner_bias: Vec<f32>,
    outer: Vec<f32>,
    outer_bias: Vec<f32>,
}

impl ScoreBackward {
    fn task(
        &self,
        weights: [&[f32]; 3],
        trace: &Trace,
        (targets, pull): (&[u32], &[f32]),
        x: &[f32],
        dx: &mut [f32],
    ) -> Share {
        let [norm, inner, outer] = weights;
        let hidden = norm.len();
        let rows = targets.len();
        let middle = inner.len() / hidden;
        let codes = outer.len() / middle;
        let mut share = Share {
            norm: vec![0.0; hidden],
            inner: vec![0.0; inner.len()],
            inner_bias: vec![0.0; middle],
            outer: vec![0.0; outer.len()],
            outer_bias: vec![0.0; codes],
        };
        let mut d_logits = Buffer::dirty(rows * codes);
        softmax_pick_backward(&trace.logits, targets, pull, &mut d_logits);
        add_rows(&d_logits, &mut share.outer_bias);
        let mut d_inner = Buffer::dirty(rows * middle);
        let rhs = Rhs::rows(outer, middle);
        gemm(
            [rows, middle, codes],
            Lhs::rows(&d_logits, codes),
            rhs,
            &mut d_inner,
            middle,
            false,
        );
        let mut active = Buffer::dirty(rows * middle);
        active.copy_from_slice(&trace.inner);
        gelu_backward(&mut active, &mut d_inner);
        add_rows(&d_inner, &mut share.inner_bias);
        let lhs = Lhs::columns(&d_logits, codes);
        let rhs = Rhs::rows(&active, middle);
        gemm(
            [codes, middle, rows],
            lhs,
            rhs,
            &mut share.outer,
            middle,
            false,
        );

        let gathered = self.places.gather(x);
        let mut normed = Buffer::dirty(gathered.len());
        rms_norm(&gathered, norm, self.eps, &mut normed);
        let lhs = Lhs::columns(&d_inner, middle);
        let rhs = Rhs::rows(&normed, hidden);
        gemm(
            [middle, hidden, rows],
            lhs,
            rhs,
            &mut share.inner,
            hidden,
            false,
        );
        let mut d_normed = Buffer::dirty(gathered.len());
        let rhs = Rhs::rows(inner, hidden);
        gemm(
            [rows, hidden, middle],
            Lhs::rows(&d_inner, middle),
            rhs,
            &mut d_normed,
            hidden,
            false,
        );
        let mut d_gathered = Buffer::zeros(gathered.len());
        rms_norm_backward(
            &gathered,
            norm,
            self.eps,
            &d_normed,
            &mut d_gathered,
            &mut share.norm,
        );
        let Places {
            width,
            first,
            tokens,
            ..
        } = self.places;
        let sentences = dx.chunks_exact_mut(width * hidden);
        for (dx, d) in sentences.zip(d_gathered.chunks_exact(tokens * hidden)) {
            dx[first * hidden..][..d.len()].copy_from_slice(d);
        }
        share
    }
}

impl Backward for ScoreBackward {
    fn backward(&self, x: &Tensor, grad: &[f32]) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
        let (norm, inner, outer) = (
            values(&self.norm)?,
            values(&self.inner)?,
            values(&self.outer)?,
        );
        let weights = [norm.as_slice(), &inner, &outer];
        let places = self.places;
        let mut dx = vec![0.0; x.elem_count()];
        let shares: Vec<Share> = with_values(x, |x| {
            self.tasks
                .par_iter()
                .zip(self.targets.par_chunks(places.targets()))
                .zip(grad.par_chunks(places.targets()))
                .zip(x.par_chunks(places.portion()))
                .zip(dx.par_chunks_mut(places.portion()))
                .map(|((((trace, targets), pull), x), dx)| {
                    self.task(weights, trace, (targets, pull), x, dx)
                })
                .collect()
        })?;
        let mut shares = shares.into_iter().map(|share| {
            [
                share.norm,
                share.inner,
                share.inner_bias,
                share.outer,
                share.outer_bias,
            ]
        });
        let mut sums = shares.next().unwrap_or_default();
        for share in shares {
            for (sum, share) in sums.iter_mut().zip(&share) {
                add_rows(share, sum);
            }
        }
        Ok((dx, sums.into()))
    }
}
