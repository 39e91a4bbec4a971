//! Checkpoints as `torch.save` has written them since PyTorch 1.6: a zip archive with a pickle that
//! describes the tensors, and their values in entries beside it. Reading one runs nothing: see
//! [`pickle`].

mod archive;
mod objects;
mod op;
mod pickle;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ops::Range;

use candle_core::DType;

use crate::error::{self, Error};
use archive::Archive;
use objects::{Objects, Value, View};

/// What the first byte of a pickle is, if no archive is around it.
const BARE_PICKLE: u8 = 0x80;
/// The key under which training programs put a state dict.
const STATE_DICT: &str = "state_dict";

/// Where in a file a tensor's values lie, row by row and little-endian.
#[derive(Debug, PartialEq)]
pub(crate) struct TensorAt {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    /// In bytes from the file's start. Not necessarily a multiple of the elements' size.
    pub(crate) start: usize,
    pub(crate) bytes: usize,
}

/// The tensors of a `pytorch_model.bin`, by name, in the file's order. Truth values are bytes of 0 or
/// 1. Tensors may share their values, as tied weights do.
///
/// `file` names it in messages; `bytes` is the whole of it, of which little more than the pickle and
/// the archive's directory are looked at.
///
/// # Errors
/// [`Error::Weights`] when the file is cut or contradicts itself; [`Error::ForeignWeights`] when it
/// holds anything but a dictionary of contiguous tensors of a known dtype, possibly under the key
/// `state_dict`, or is of an older or other format of PyTorch's.
pub(crate) fn tensors(file: &str, bytes: &[u8]) -> error::Result<Vec<(String, TensorAt)>> {
    read(bytes).map_err(|flaw| flaw.of(file))
}

/// What is wrong with a file, in words that go on from its name.
#[derive(Debug)]
enum Flaw {
    /// It contradicts itself or ends early.
    Damaged(String),
    /// It may be whole, and is not what is read here.
    Foreign(String),
}

impl Flaw {
    fn map(self, change: impl FnOnce(String) -> String) -> Flaw {
        match self {
            Flaw::Damaged(reason) => Flaw::Damaged(change(reason)),
            Flaw::Foreign(reason) => Flaw::Foreign(change(reason)),
        }
    }

    fn of(self, file: &str) -> Error {
        let file = file.to_string();
        match self {
            Flaw::Damaged(reason) => Error::Weights { file, reason },
            Flaw::Foreign(reason) => Error::ForeignWeights { file, reason },
        }
    }
}

fn read(bytes: &[u8]) -> Result<Vec<(String, TensorAt)>, Flaw> {
    if bytes.first() == Some(&BARE_PICKLE) {
        return Err(Flaw::Foreign(
            "it is a bare pickle, as `torch.save` wrote before PyTorch 1.6".into(),
        ));
    }
    let archive = Archive::open(bytes)?;
    let checkpoint = Checkpoint {
        prefix: find_prefix(&archive)?,
        archive,
    };
    if let Some(range) = checkpoint.entry("byteorder")?
        && bytes[range] != *b"little"
    {
        return Err(Flaw::Foreign("its `byteorder` is not `little`".into()));
    }
    // It is there, or there would be no prefix.
    let pickle = checkpoint.entry("data.pkl")?.unwrap_or_default();
    let (value, objects) = pickle::load(&bytes[pickle])?;
    let mut names = HashSet::new();
    let mut tensors = Vec::new();
    for (name, view) in state_dict(value, &objects)? {
        if !names.insert(name) {
            return Err(Flaw::Damaged(format!("it names `{name}` twice")));
        }
        let tensor = checkpoint
            .place(view)
            .map_err(|flaw| flaw.map(|reason| format!("tensor `{name}` {reason}")))?;
        tensors.push((name.to_string(), tensor));
    }
    Ok(tensors)
}

/// The folder in an archive that holds everything.
fn find_prefix<'a>(archive: &Archive<'a>) -> Result<&'a str, Flaw> {
    let folders_with = |file: &'static str| {
        archive
            .names()
            .filter_map(move |name| name.strip_suffix(file)?.strip_suffix('/'))
            .filter(|folder| !folder.contains('/'))
    };
    if folders_with("constants.pkl").next().is_some() {
        return Err(Flaw::Foreign(
            "it is a TorchScript program, as `torch.jit.save` writes".into(),
        ));
    }
    let mut found = folders_with("data.pkl");
    match (found.next(), found.next()) {
        (Some(folder), None) => Ok(folder),
        (None, _) => Err(Flaw::Foreign("the archive has no `data.pkl`".into())),
        (Some(_), Some(_)) => Err(Flaw::Foreign(
            "the archive has more than one `data.pkl`".into(),
        )),
    }
}

/// The named tensors of a state dict.
fn state_dict<'a, 'o>(
    value: Value<'a>,
    objects: &'o Objects<'a>,
) -> Result<Vec<(&'a str, &'o View<'a>)>, Flaw> {
    let Value::Dict(dict) = value else {
        return Err(Flaw::Foreign(format!(
            "it holds {value}; expected a dictionary of tensors"
        )));
    };
    let mut entries = &objects.dicts[dict];
    if let [(Value::Text(STATE_DICT), Value::Dict(inner))] = entries[..] {
        entries = &objects.dicts[inner];
    }
    let named = entries.iter().map(|(key, value)| match (key, value) {
        (Value::Text(name), Value::Tensor(view)) => Ok((*name, &objects.views[*view])),
        (Value::Text(name), other) => Err(Flaw::Foreign(format!(
            "its `{name}` is {other}; expected a tensor"
        ))),
        (other, _) => Err(Flaw::Foreign(format!(
            "a key of its dictionary is {other}; expected a tensor's name"
        ))),
    });
    named.collect()
}

struct Checkpoint<'a> {
    archive: Archive<'a>,
    prefix: &'a str,
}

impl Checkpoint<'_> {
    fn entry(&self, name: &str) -> Result<Option<Range<usize>>, Flaw> {
        self.archive.range(&format!("{}/{name}", self.prefix))
    }

    /// Where in the file a view's values lie. Flaws go on from the tensor's name.
    fn place(&self, view: &View) -> Result<TensorAt, Flaw> {
        let storage = &view.storage;
        let dtype = storage.dtype.ok_or_else(|| {
            Flaw::Foreign("has signed 8-bit integers, which are not supported".into())
        })?;
        let elements = contiguous_elements(&view.shape, &view.strides)?;
        let outside = |what: &str, has: usize| {
            Flaw::Damaged(format!(
                "of shape {:?} at element {} ends outside its {what}, which has {has}",
                view.shape, view.offset
            ))
        };
        if view
            .offset
            .checked_add(elements)
            .is_none_or(|end| end > storage.elements)
        {
            return Err(outside("storage's elements", storage.elements));
        }
        let entry = format!("data/{}", storage.key);
        let range = self
            .entry(&entry)?
            .ok_or_else(|| Flaw::Damaged(format!("lies in `{entry}`, which is missing")))?;
        let size = dtype.size_in_bytes();
        if storage
            .elements
            .checked_mul(size)
            .is_none_or(|bytes| bytes > range.len())
        {
            return Err(Flaw::Damaged(format!(
                "lies in `{entry}`, which has {} bytes; expected {} elements of {size}",
                range.len(),
                storage.elements
            )));
        }
        // Both products are at most the entry's length.
        Ok(TensorAt {
            dtype,
            shape: view.shape.clone(),
            start: range.start + view.offset * size,
            bytes: elements * size,
        })
    }
}

/// How many elements a tensor has, if they lie row by row without a gap.
fn contiguous_elements(shape: &[usize], strides: &[usize]) -> Result<usize, Flaw> {
    let elements = shape
        .iter()
        .try_fold(1, |n: usize, size| n.checked_mul(*size));
    let elements = elements
        .ok_or_else(|| Flaw::Damaged(format!("has the shape {shape:?}, which is too large")))?;
    if elements == 0 {
        return Ok(0);
    }
    // No step is larger than the number of elements.
    let mut step = 1;
    let mut contiguous = shape.len() == strides.len();
    for (size, stride) in shape.iter().zip(strides).rev() {
        // Where there is one element there is no next one, and its stride says nothing.
        contiguous &= *size == 1 || *stride == step;
        step *= size;
    }
    if contiguous {
        Ok(elements)
    } else {
        Err(Flaw::Foreign(format!(
            "of shape {shape:?} is not contiguous: its strides are {strides:?}"
        )))
    }
}
