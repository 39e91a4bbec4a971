//! Linear layers, and several with GELU between, with their backward pass.

use candle_core::{Result, Tensor};

use super::gemm::{Lhs, Packed, Rhs, gemm};
use super::gradients::Product;
use super::math::{add_bias, gelu, gelu_all, gelu_slope};
use super::pool::Buffer;
use super::{values, vectorised};
use crate::janus::mlp::{Linear, Mlp};

/// A linear layer's tensors: a weight [out, in], and a bias where it has one.
#[derive(Clone, Copy)]
pub(super) struct LinearTensors<'a> {
    pub(super) weight: &'a Tensor,
    pub(super) bias: Option<&'a Tensor>,
}

impl<'a> LinearTensors<'a> {
    /// Those of a layer that is not adapted.
    pub(super) fn of(linear: &'a Linear) -> Result<LinearTensors<'a>> {
        Ok(LinearTensors {
            weight: linear.weight.plain()?,
            bias: Some(&linear.bias),
        })
    }
}

/// The tensors of all layers.
pub(super) fn tensors(mlp: &Mlp) -> Result<Vec<LinearTensors<'_>>> {
    mlp.layers.iter().map(LinearTensors::of).collect()
}

/// Linear layers side by side on the same input, packed.
pub(super) struct PackedLinear {
    weight: Packed,
    /// Nothing if the layers have none.
    bias: Vec<f32>,
}

impl PackedLinear {
    pub(super) fn new(layers: &[LinearTensors]) -> Result<PackedLinear> {
        let mut weights = Vec::new();
        let mut bias = Vec::new();
        let mut inner = 0;
        for layer in layers {
            inner = layer.weight.elem_count() / layer.weight.dim(0)?;
            weights.push(values(layer.weight)?);
            if let Some(tensor) = layer.bias {
                bias.extend(values(tensor)?);
            }
        }
        let slices: Vec<&[f32]> = weights.iter().map(Vec::as_slice).collect();
        Ok(PackedLinear {
            weight: Packed::new(&slices, inner),
            bias,
        })
    }

    /// Rows of inputs → rows of outputs.
    pub(super) fn apply(&self, x: &[f32]) -> Buffer {
        let mut y = Buffer::dirty(x.len() / self.weight.inner * self.weight.outputs);
        self.weight.apply(x, &mut y);
        if !self.bias.is_empty() {
            add_bias(&mut y, &self.bias);
        }
        y
    }
}

/// Linear layers with GELU between, packed.
pub(super) struct PackedMlp {
    first: PackedLinear,
    rest: Vec<PackedLinear>,
}

/// What [`PackedMlp::forward`] makes of its inputs.
pub(super) struct MlpTrace {
    /// Outputs of all layers but the last, before GELU.
    pub(super) inner: Vec<Buffer>,
    pub(super) outputs: Buffer,
}

impl PackedMlp {
    pub(super) fn new(layers: &[LinearTensors]) -> Result<PackedMlp> {
        let [first, rest @ ..] = layers else {
            candle_core::bail!("a perceptron without layers");
        };
        Ok(PackedMlp {
            first: PackedLinear::new(&[*first])?,
            rest: (rest.iter())
                .map(|layer| PackedLinear::new(&[*layer]))
                .collect::<Result<_>>()?,
        })
    }

    /// How many values its outputs have.
    pub(super) fn outputs(&self) -> usize {
        self.rest.last().unwrap_or(&self.first).weight.outputs
    }

    pub(super) fn forward(&self, x: &[f32]) -> MlpTrace {
        let mut inner = Vec::with_capacity(self.rest.len());
        let mut outputs = self.first.apply(x);
        for layer in &self.rest {
            let mut active = Buffer::copy_of(&outputs);
            gelu_all(&mut active);
            inner.push(std::mem::replace(&mut outputs, layer.apply(&active)));
        }
        MlpTrace { inner, outputs }
    }
}

/// A weight's values [out, in].
pub(super) struct Matrix {
    values: Vec<f32>,
    inputs: usize,
}

impl Matrix {
    pub(super) fn new(weight: &Tensor) -> Result<Matrix> {
        Ok(Matrix {
            values: values(weight)?,
            inputs: weight.elem_count() / weight.dim(0)?,
        })
    }

    pub(super) fn outputs(&self) -> usize {
        self.values.len() / self.inputs
    }

    /// The gradients of a linear layer's inputs from those of its outputs.
    pub(super) fn pull_back(&self, d_outputs: &[f32]) -> Buffer {
        let outputs = self.outputs();
        let mut d_inputs = Buffer::zeros(d_outputs.len() / outputs * self.inputs);
        self.pull_back_onto(d_outputs, outputs, &mut d_inputs);
        d_inputs
    }

    /// The same from rows that begin `width` values apart, added to `d_inputs`.
    pub(super) fn pull_back_onto(&self, d_outputs: &[f32], width: usize, d_inputs: &mut [f32]) {
        let inputs = self.inputs;
        let sizes = [d_inputs.len() / inputs, inputs, self.outputs()];
        let (lhs, rhs) = (Lhs::rows(d_outputs, width), Rhs::rows(&self.values, inputs));
        gemm(sizes, lhs, rhs, d_inputs, inputs, true);
    }

    /// What the layer's gradients are summed from, task by task.
    pub(super) fn product<'a>(&self, tasks: impl Iterator<Item = &'a Factors>) -> Product<'a> {
        let outputs = self.outputs();
        let sides = tasks.map(|factors| (&*factors.d_outputs, &*factors.inputs));
        Product::new(sides.collect(), outputs, 0..outputs, self.inputs)
    }
}

/// Gradients of a linear layer's outputs and the inputs that they meet, row by row.
pub(super) struct Factors {
    d_outputs: Buffer,
    inputs: Buffer,
}

/// Backward of [`PackedMlp::forward`] on `x` with what it left in [`MlpTrace::inner`]: from the
/// outputs' gradients those of `x`, and each layer's factors.
pub(super) fn mlp_backward(
    weights: &[Matrix],
    x: &[f32],
    inner: &[Buffer],
    d_outputs: Buffer,
) -> (Buffer, Vec<Factors>) {
    let mut d_outputs = d_outputs;
    let mut factors = Vec::with_capacity(weights.len());
    for (weight, inner) in weights[1..].iter().zip(inner).rev() {
        let mut d_inner = weight.pull_back(&d_outputs);
        let mut active = Buffer::copy_of(inner);
        gelu_backward(&mut active, &mut d_inner);
        factors.push(Factors {
            d_outputs: std::mem::replace(&mut d_outputs, d_inner),
            inputs: active,
        });
    }
    let dx = weights[0].pull_back(&d_outputs);
    factors.push(Factors {
        d_outputs,
        inputs: Buffer::copy_of(x),
    });
    factors.reverse();
    (dx, factors)
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
