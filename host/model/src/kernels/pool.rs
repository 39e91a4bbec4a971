//! Working memory that is used again: fresh pages would cost more than the arithmetic on them.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Buffers kept at most; beyond it they are freed.
const KEPT: usize = 512;
/// Largest total of kept buffers, in values.
const KEPT_VALUES: usize = 64 << 20;

static FREE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// A buffer of values that returns to the pool when it is dropped.
pub(crate) struct Buffer(Vec<f32>);

impl Buffer {
    /// `len` values that nobody may rely on: write before reading.
    pub(crate) fn dirty(len: usize) -> Buffer {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let best = (0..free.len())
            // A much larger one is left to those who need it.
            .filter(|i| (len..=2 * len + 1024).contains(&free[*i].capacity()))
            .min_by_key(|i| free[*i].capacity());
        let mut values = best.map(|i| free.swap_remove(i)).unwrap_or_default();
        drop(free);
        values.resize(len, 0.0);
        Buffer(values)
    }

    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Buffer {
        let mut buffer = Buffer::dirty(len);
        buffer.fill(0.0);
        buffer
    }

    /// The same values.
    pub(crate) fn copy_of(values: &[f32]) -> Buffer {
        let mut buffer = Buffer::dirty(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let held: usize = free.iter().map(Vec::capacity).sum();
        if free.len() < KEPT && held + self.0.capacity() <= KEPT_VALUES {
            free.push(std::mem::take(&mut self.0));
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}
