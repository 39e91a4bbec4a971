//! placeholder until merge
use crate::error::Result;
pub(crate) struct TensorAt {
    pub(crate) dtype: candle_core::DType,
    pub(crate) shape: Vec<usize>,
    pub(crate) start: usize,
    pub(crate) bytes: usize,
}
pub(crate) fn tensors(_: &str, _: &[u8]) -> Result<Vec<(String, TensorAt)>> {
    Ok(vec![])
}
