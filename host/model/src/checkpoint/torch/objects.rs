//! What a pickle of weights may name and make: storages, and tensors that are views of them.

use std::fmt;
use std::ops::Range;

use candle_core::DType;

use super::Flaw;

/// Most dimensions of a tensor; a convolution's kernel has four.
pub(super) const MAX_RANK: usize = 8;

/// A value on the stack of the pickle machine: itself, or where in [`Objects`] it lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    None,
    Bool,
    Int(i64),
    Float,
    Text(&'a str),
    List,
    Tuple(Span),
    Dict(usize),
    Global(Global),
    Storage(usize),
    Tensor(usize),
}

// The limits on what a pickle may take were set for values of this size.
const _: () = assert!(size_of::<Value>() <= 3 * size_of::<u64>());

/// Where a tuple's items lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: usize,
    length: usize,
}

impl Span {
    pub(super) fn append<T>(to: &mut Vec<T>, items: impl Iterator<Item = T>) -> Span {
        let start = to.len();
        to.extend(items);
        Span {
            start,
            length: to.len() - start,
        }
    }

    fn range(self) -> Range<usize> {
        self.start..self.start + self.length
    }
}

/// All that a pickle may import.
#[derive(Clone, Copy, Debug)]
pub(super) enum Global {
    OrderedDict,
    /// `torch.Size`, a tuple of sizes.
    Size,
    /// `torch._utils._rebuild_tensor_v2`.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`.
    RebuildParameter,
    /// A storage's class, by what its elements are; `None` where candle has no such type.
    Storage(Option<DType>),
}

impl Global {
    pub(super) fn find(module: &str, name: &str) -> Result<Global, Flaw> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Global::OrderedDict,
            ("torch", "Size") => Global::Size,
            ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
            ("torch", "FloatStorage") => Global::Storage(Some(DType::F32)),
            ("torch", "HalfStorage") => Global::Storage(Some(DType::F16)),
            ("torch", "BFloat16Storage") => Global::Storage(Some(DType::BF16)),
            ("torch", "DoubleStorage") => Global::Storage(Some(DType::F64)),
            ("torch", "LongStorage") => Global::Storage(Some(DType::I64)),
            ("torch", "IntStorage") => Global::Storage(Some(DType::I32)),
            ("torch", "ShortStorage") => Global::Storage(Some(DType::I16)),
            ("torch", "CharStorage") => Global::Storage(None),
            // A truth value is a byte of 0 or 1.
            ("torch", "ByteStorage" | "BoolStorage") => Global::Storage(Some(DType::U8)),
            _ => {
                return Err(Flaw::Foreign(format!(
                    "global `{module}.{name}` is not one that weights need; it was not run"
                )));
            }
        })
    }
}

/// A run of elements in the archive's entry `data/KEY`, which has at least so many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    /// `None` where candle has no such type.
    pub(super) dtype: Option<DType>,
    pub(super) key: &'a str,
    pub(super) elements: usize,
}

/// A tensor as the pickle describes it; offset and strides in elements.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// Everything that a pickle has made.
#[derive(Debug, Default)]
pub(super) struct Objects<'a> {
    /// The items of all tuples, one after the other.
    pub(super) items: Vec<Value<'a>>,
    /// The entries of each dictionary, in the order in which they were set.
    pub(super) dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    storages: Vec<Storage<'a>>,
    pub(super) views: Vec<View<'a>>,
}

impl<'a> Objects<'a> {
    pub(super) fn new_dict(&mut self) -> Value<'a> {
        self.dicts.push(Vec::new());
        Value::Dict(self.dicts.len() - 1)
    }

    /// What a persistent id of `torch.save` stands for: a storage.
    pub(super) fn storage(&mut self, id: Value<'a>) -> Result<Value<'a>, Flaw> {
        let [
            Value::Text("storage"),
            Value::Global(Global::Storage(dtype)),
            Value::Text(key),
            Value::Text(_device),
            Value::Int(elements),
        ] = *self.tuple(id)?
        else {
            return Err(Flaw::Foreign(
                "a persistent id is none of a storage, as `torch.save` writes it".into(),
            ));
        };
        self.storages.push(Storage {
            dtype,
            key,
            elements: count(elements, "a storage's number of elements")?,
        });
        Ok(Value::Storage(self.storages.len() - 1))
    }

    /// What a global makes of arguments.
    pub(super) fn call(
        &mut self,
        function: Value<'a>,
        arguments: Value<'a>,
    ) -> Result<Value<'a>, Flaw> {
        let Value::Global(function) = function else {
            return Err(Flaw::Damaged(format!(
                "{function} is called; expected a global"
            )));
        };
        match (function, self.tuple(arguments)?) {
            (Global::OrderedDict, []) => Ok(self.new_dict()),
            (Global::Size, &[sizes @ Value::Tuple(_)]) => Ok(sizes),
            (Global::RebuildParameter, &[tensor @ Value::Tensor(_), _gradient, _hooks]) => {
                Ok(tensor)
            }
            (
                Global::RebuildTensor,
                &[
                    Value::Storage(storage),
                    Value::Int(offset),
                    sizes @ Value::Tuple(_),
                    strides @ Value::Tuple(_),
                    _gradient,
                    _hooks,
                    ref metadata @ ..,
                ],
            ) => {
                self.refuse_metadata(metadata)?;
                self.views.push(View {
                    storage: self.storages[storage],
                    offset: count(offset, "a tensor's offset")?,
                    shape: self.counts(sizes, "a tensor's size")?,
                    strides: self.counts(strides, "a tensor's stride")?,
                });
                Ok(Value::Tensor(self.views.len() - 1))
            }
            _ => Err(Flaw::Foreign(format!(
                "{} is called with other arguments than `torch.save` writes",
                Value::Global(function)
            ))),
        }
    }

    /// A tensor's metadata say that its values are not those of the storage, but negated or
    /// conjugated.
    fn refuse_metadata(&self, metadata: &[Value<'a>]) -> Result<(), Flaw> {
        match metadata {
            [] | [Value::None] => Ok(()),
            [Value::Dict(dict)] if self.dicts[*dict].is_empty() => Ok(()),
            _ => Err(Flaw::Foreign(
                "a tensor has metadata, which change its values".into(),
            )),
        }
    }

    fn counts(&self, of: Value<'a>, what: &str) -> Result<Vec<usize>, Flaw> {
        let items = self.tuple(of)?;
        if items.len() > MAX_RANK {
            return Err(Flaw::Foreign(format!(
                "a tensor has {} dimensions; expected at most {MAX_RANK}",
                items.len()
            )));
        }
        let counts = items.iter().map(|item| match item {
            Value::Int(number) => count(*number, what),
            other => Err(Flaw::Damaged(format!("{what} is {other}"))),
        });
        counts.collect()
    }

    fn tuple(&self, value: Value<'a>) -> Result<&[Value<'a>], Flaw> {
        match value {
            Value::Tuple(span) => Ok(&self.items[span.range()]),
            other => Err(Flaw::Foreign(format!("{other} stands for a tuple"))),
        }
    }
}

fn count(number: i64, what: &str) -> Result<usize, Flaw> {
    usize::try_from(number)
        .map_err(|_| Flaw::Damaged(format!("{what} is {number}; expected 0 or more")))
}

impl fmt::Display for Value<'_> {
    /// What a value is, for messages.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Value::None => "None",
            Value::Bool => "a truth value",
            Value::Int(number) => return write!(to, "the number {number}"),
            Value::Float => "a number",
            Value::Text(_) => "a text",
            Value::List => "a list",
            Value::Tuple(_) => "a tuple",
            Value::Dict(_) => "a dictionary",
            Value::Global(Global::OrderedDict) => "`collections.OrderedDict`",
            Value::Global(Global::Size) => "`torch.Size`",
            Value::Global(Global::RebuildTensor) => "`torch._utils._rebuild_tensor_v2`",
            Value::Global(Global::RebuildParameter) => "`torch._utils._rebuild_parameter`",
            Value::Global(Global::Storage(_)) => "a storage's class",
            Value::Storage(_) => "a storage",
            Value::Tensor(_) => "a tensor",
        })
    }
}
