//! Keys and values of the steps so far.

use candle_core::{DType, Result};
use half::bf16;
use rayon::prelude::*;

use super::attention::{Number, attend_bf16, attend_f32};
use crate::config::TextConfig;
use crate::janus::llama::{Llama, Sentence};

/// Steps by which a cache grows at least: growing copies all of it.
const GROWTH: usize = 256;

/// Keys and values of one layer, [row, head, capacity, D] each.
enum Pair {
    F32 { keys: Vec<f32>, values: Vec<f32> },
    BF16 { keys: Vec<bf16>, values: Vec<bf16> },
}

/// Keys and values of all layers.
#[derive(Default)]
pub(crate) struct Cache {
    /// Whether they are kept in f32 whatever the weights are held in.
    exact: bool,
    layers: Vec<Pair>,
    shape: Shape,
    steps: usize,
}

/// How a layer's numbers stand.
#[derive(Clone, Copy, Default)]
pub(super) struct Shape {
    pub(super) rows: usize,
    /// Heads of keys and values.
    pub(super) heads: usize,
    /// Width of a head.
    pub(super) width: usize,
    /// Steps that there is room for.
    pub(super) capacity: usize,
}

impl Shape {
    fn new(config: &TextConfig, rows: usize, capacity: usize) -> Shape {
        Shape {
            rows,
            heads: config.kv_heads,
            width: config.head_dim,
            capacity,
        }
    }

    fn head(&self) -> usize {
        self.capacity * self.width
    }

    fn len(&self) -> usize {
        self.rows * self.heads * self.head()
    }
}

impl Pair {
    fn new(dtype: DType, shape: Shape) -> Pair {
        let len = shape.len();
        match dtype {
            DType::BF16 => Pair::BF16 {
                keys: vec![bf16::ZERO; len],
                values: vec![bf16::ZERO; len],
            },
            _ => Pair::F32 {
                keys: vec![0.0; len],
                values: vec![0.0; len],
            },
        }
    }

    /// The same with room for more steps.
    fn grown(&self, from: Shape, to: Shape) -> Pair {
        match self {
            Pair::F32 { keys, values } => Pair::F32 {
                keys: grown(keys, from, to),
                values: grown(values, from, to),
            },
            Pair::BF16 { keys, values } => Pair::BF16 {
                keys: grown(keys, from, to),
                values: grown(values, from, to),
            },
        }
    }
}

fn grown<T: Number>(numbers: &[T], from: Shape, to: Shape) -> Vec<T> {
    let mut new = vec![T::narrow(0.0); to.len()];
    if from.head() > 0 {
        new.par_chunks_mut(to.head())
            .zip(numbers.par_chunks(from.head()))
            .for_each(|(new, old)| new[..old.len()].copy_from_slice(old));
    }
    new
}

/// Takes up steps [row, step, head, D].
fn store<T: Number>(numbers: &mut [T], shape: Shape, first: usize, steps: usize, new: &[f32]) {
    let Shape { heads, width, .. } = shape;
    numbers
        .par_chunks_mut(shape.head())
        .enumerate()
        .for_each(|(place, numbers)| {
            let (row, head) = (place / heads, place % heads);
            let places = numbers[first * width..].chunks_exact_mut(width);
            for (step, places) in places.take(steps).enumerate() {
                let from = &new[((row * steps + step) * heads + head) * width..][..width];
                for (place, value) in places.iter_mut().zip(from) {
                    *place = T::narrow(*value);
                }
            }
        });
}

impl Cache {
    /// An empty cache that keeps all in f32.
    pub(crate) fn exact() -> Cache {
        Cache {
            exact: true,
            ..Cache::default()
        }
    }

    /// The same with room for some steps of one layer.
    pub(super) fn of_one_layer(config: &TextConfig, rows: usize, steps: usize) -> Cache {
        let shape = Shape::new(config, rows, steps);
        Cache {
            layers: vec![Pair::new(DType::F32, shape)],
            shape,
            ..Cache::exact()
        }
    }

    /// Steps that are known.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// Makes room for `steps` more of `rows` rows.
    pub(super) fn make_room(&mut self, llama: &Llama, rows: usize, steps: usize) -> Result<()> {
        let needed = self.steps + steps;
        if self.shape.rows == rows && needed <= self.shape.capacity {
            return Ok(());
        }
        if self.steps > 0 && self.shape.rows != rows {
            candle_core::bail!("a cache of {} rows was given {rows}", self.shape.rows);
        }
        let capacity = match self.steps {
            // A prompt by itself is not grown; what follows it grows by halves.
            0 => needed,
            _ => needed + (needed / 2).max(GROWTH),
        };
        let shape = Shape::new(&llama.config, rows, capacity);
        if self.steps == 0 {
            let dtype = match self.exact {
                true => DType::F32,
                false => llama.embeddings.dtype(),
            };
            self.layers = (0..llama.config.layers)
                .map(|_| Pair::new(dtype, shape))
                .collect();
        } else {
            for layer in &mut self.layers {
                *layer = layer.grown(self.shape, shape);
            }
        }
        self.shape = shape;
        Ok(())
    }

    /// Takes up keys and values [row, step, heads·D] of a layer's steps from `first`.
    pub(super) fn store(
        &mut self,
        layer: usize,
        first: usize,
        steps: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        let (shape, new) = (self.shape, (keys, values));
        match &mut self.layers[layer] {
            Pair::F32 { keys, values } => {
                store(keys, shape, first, steps, new.0);
                store(values, shape, first, steps, new.1);
            }
            Pair::BF16 { keys, values } => {
                store(keys, shape, first, steps, new.0);
                store(values, shape, first, steps, new.1);
            }
        }
    }

    /// Attention of a layer's queries [row, step, heads·D] from step `first` → the same shape.
    pub(super) fn attend(
        &self,
        layer: usize,
        heads: usize,
        sentences: &[Sentence],
        (first, steps): (usize, usize),
        queries: &[f32],
    ) -> Vec<f32> {
        let shape = self.shape;
        let width = heads * shape.width;
        let mut attended = vec![0.0; queries.len()];
        // A step's heads are tasks of their own where there are few steps.
        attended
            .par_chunks_mut(shape.width)
            .zip(queries.par_chunks(shape.width))
            .enumerate()
            .for_each_init(Vec::new, |scores, (place, (attended, query))| {
                let (row, step) = (place * shape.width / width / steps, place / heads % steps);
                let head = place % heads / (heads / shape.heads);
                let start = (row * shape.heads + head) * shape.head();
                let seen = sentences[row].sees(first + step);
                let stretches = seen.map(|steps| {
                    start + steps.start * shape.width..start + steps.end * shape.width
                });
                match &self.layers[layer] {
                    Pair::F32 { keys, values } => attend_f32(
                        query,
                        stretches.clone().map(|s| &keys[s]),
                        stretches.map(|s| &values[s]),
                        scores,
                        attended,
                    ),
                    Pair::BF16 { keys, values } => attend_bf16(
                        query,
                        stretches.clone().map(|s| &keys[s]),
                        stretches.map(|s| &values[s]),
                        scores,
                        attended,
                    ),
                }
            });
        attended
    }

    /// Forgets all but the first `steps`.
    pub(crate) fn rewind(&mut self, steps: usize) {
        self.steps = self.steps.min(steps);
    }

    /// The steps that were stored are known from now on.
    pub(super) fn advance(&mut self, steps: usize) {
        self.steps += steps;
    }
}
