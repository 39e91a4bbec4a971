//! A pickle machine that can make nothing but dictionaries of tensors.
//!
//! A pickle is a program for a stack machine, and the full machine can call any function of Python.
//! This one knows the opcodes that `torch.save` emits for a state dict (protocols 2 to 4) and the
//! few globals of [`Global`]; everything else is refused by name, and nothing is ever imported.
//!
//! Values are small handles into [`Objects`], so that what a pickle shares stays shared: a tuple that
//! holds one tuple twice, a million times over, takes a million steps and no more. Nothing walks
//! them recursively, neither in reading nor in dropping.

use std::collections::HashMap;

use super::Flaw;
use super::objects::{Global, Objects, Span, Value};
use super::op;

/// Largest pickle. A tensor takes some 130 bytes of it.
pub(super) const MAX_BYTES: usize = 8 << 20;
/// Most values that a pickle may push, and remember: a tensor takes some twenty.
pub(super) const MAX_VALUES: usize = 1 << 19;
/// Longest text, in bytes: names of tensors have some hundred.
pub(super) const MAX_TEXT: usize = 4096;
/// Most collections that may be open at a time; `torch.save` opens five.
pub(super) const MAX_OPEN: usize = 64;

/// What a pickle makes: its value, and the objects that the value points at.
///
/// # Errors
/// When the pickle ends early, is malformed, passes a limit, or uses an opcode or global that a
/// dictionary of tensors has no need of; with the byte at which the opcode stands.
pub(super) fn load(bytes: &[u8]) -> Result<(Value<'_>, Objects<'_>), Flaw> {
    if bytes.len() > MAX_BYTES {
        return Err(Flaw::Foreign(format!(
            "its `data.pkl` has {} bytes; expected at most {MAX_BYTES}",
            bytes.len()
        )));
    }
    let mut machine = Machine {
        bytes,
        next: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        pushed: 0,
        objects: Objects::default(),
    };
    loop {
        let opcode_at = machine.next;
        let value = machine
            .step()
            .map_err(|flaw| flaw.map(|what| format!("`data.pkl`, byte {opcode_at}: {what}")))?;
        if let Some(value) = value {
            return Ok((value, machine.objects));
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    next: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack at which open collections begin.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    pushed: usize,
    objects: Objects<'a>,
}

impl<'a> Machine<'a> {
    /// Obeys one opcode; the pickle's value if it was the last.
    fn step(&mut self) -> Result<Option<Value<'a>>, Flaw> {
        let [opcode] = self.take()?;
        match opcode {
            op::PROTO => {
                let [version] = self.take()?;
                if !(2..=4).contains(&version) {
                    return Err(Flaw::Foreign(format!(
                        "the pickle is of protocol {version}; expected 2 to 4"
                    )));
                }
            }
            // How the rest is cut into reads, which does not matter to one who has it all.
            op::FRAME => {
                self.take::<8>()?;
            }
            op::STOP => return self.pop().map(Some),

            op::NONE => self.push(Value::None)?,
            op::NEWTRUE | op::NEWFALSE => self.push(Value::Bool)?,
            op::BININT1 => {
                let [number] = self.take()?;
                self.push(Value::Int(number.into()))?;
            }
            op::BININT2 => {
                let number = u16::from_le_bytes(self.take()?);
                self.push(Value::Int(number.into()))?;
            }
            op::BININT => {
                let number = i32::from_le_bytes(self.take()?);
                self.push(Value::Int(number.into()))?;
            }
            op::LONG1 => {
                let number = self.long()?;
                self.push(Value::Int(number))?;
            }
            op::BINFLOAT => {
                self.take::<8>()?;
                self.push(Value::Float)?;
            }
            op::SHORT_BINUNICODE => {
                let [length] = self.take()?;
                self.text(length.into())?;
            }
            op::BINUNICODE => {
                let length = u32::from_le_bytes(self.take()?);
                self.text(length as usize)?;
            }

            op::MARK => {
                if self.marks.len() == MAX_OPEN {
                    return Err(Flaw::Foreign(format!(
                        "more than {MAX_OPEN} collections are open at a time"
                    )));
                }
                self.marks.push(self.stack.len());
            }
            op::EMPTY_TUPLE => self.tuple(0)?,
            op::TUPLE1 => self.tuple(1)?,
            op::TUPLE2 => self.tuple(2)?,
            op::TUPLE3 => self.tuple(3)?,
            op::TUPLE => {
                let length = self.stack.len() - self.unmark()?;
                self.tuple(length)?;
            }
            // A state dict's lists stand in what is ignored, so no list's items are kept.
            op::EMPTY_LIST => self.push(Value::List)?,
            op::APPEND => {
                self.pop()?;
                self.expect_list()?;
            }
            op::APPENDS => {
                let start = self.unmark()?;
                self.stack.truncate(start);
                self.expect_list()?;
            }
            op::EMPTY_DICT => {
                let dict = self.objects.new_dict();
                self.push(dict)?;
            }
            op::SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.pairs()?.push((key, value));
            }
            op::SETITEMS => self.set_items()?,

            op::BINPUT => {
                let [place] = self.take()?;
                self.remember(place.into())?;
            }
            op::LONG_BINPUT => {
                let place = u32::from_le_bytes(self.take()?);
                self.remember(place)?;
            }
            // The next place is the number of those taken, which is at most MAX_VALUES.
            op::MEMOIZE => self.remember(self.memo.len() as u32)?,
            op::BINGET => {
                let [place] = self.take()?;
                self.recall(place.into())?;
            }
            op::LONG_BINGET => {
                let place = u32::from_le_bytes(self.take()?);
                self.recall(place)?;
            }

            op::GLOBAL => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(Global::find(module, name)?))?;
            }
            op::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    return Err(Flaw::Damaged(format!(
                        "a global is named by {module} and {name}; expected two texts"
                    )));
                };
                self.push(Value::Global(Global::find(module, name)?))?;
            }
            op::BINPERSID => {
                let id = self.pop()?;
                let storage = self.objects.storage(id)?;
                self.push(storage)?;
            }
            op::REDUCE => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let made = self.objects.call(function, arguments)?;
                self.push(made)?;
            }
            // What a state dict bears beside its entries (`_metadata`) says nothing of its tensors.
            op::BUILD => {
                self.pop()?;
                self.pairs()?;
            }
            other => {
                return Err(Flaw::Foreign(format!(
                    "opcode 0x{other:02x}{} is not one that weights need",
                    op::refused_name(other)
                )));
            }
        }
        Ok(None)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let rest = &self.bytes[self.next..];
        let taken = rest.first_chunk().ok_or_else(ends_early)?;
        self.next += N;
        Ok(*taken)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], Flaw> {
        let rest = &self.bytes[self.next..];
        let taken = rest.get(..length).ok_or_else(ends_early)?;
        self.next += length;
        Ok(taken)
    }

    /// The text up to the next line feed, which is skipped.
    fn line(&mut self) -> Result<&'a str, Flaw> {
        let rest = &self.bytes[self.next..];
        let within = &rest[..rest.len().min(MAX_TEXT + 1)];
        let Some(length) = within.iter().position(|byte| *byte == b'\n') else {
            return Err(if rest.len() > MAX_TEXT {
                too_long()
            } else {
                ends_early()
            });
        };
        self.next += length + 1;
        utf8(&rest[..length])
    }

    fn text(&mut self, length: usize) -> Result<(), Flaw> {
        if length > MAX_TEXT {
            return Err(too_long());
        }
        let text = utf8(self.slice(length)?)?;
        self.push(Value::Text(text))
    }

    /// A little-endian number in two's complement, of as many bytes as its first says.
    fn long(&mut self) -> Result<i64, Flaw> {
        let [length] = self.take()?;
        let bytes = self.slice(length.into())?;
        if bytes.len() > 8 {
            return Err(Flaw::Damaged(format!(
                "a number takes {length} bytes; expected at most 8"
            )));
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        Ok(i64::from_le_bytes(wide))
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), Flaw> {
        if self.pushed == MAX_VALUES {
            return Err(Flaw::Foreign(format!("more than {MAX_VALUES} values")));
        }
        self.pushed += 1;
        self.stack.push(value);
        Ok(())
    }

    /// Takes the top of the stack, from within the collection that is open.
    fn pop(&mut self) -> Result<Value<'a>, Flaw> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(stack_empty());
        }
        self.stack.pop().ok_or_else(stack_empty)
    }

    fn top(&self) -> Result<Value<'a>, Flaw> {
        self.stack.last().copied().ok_or_else(stack_empty)
    }

    /// Closes the collection that was opened last: the height of the stack at which it begins.
    fn unmark(&mut self) -> Result<usize, Flaw> {
        self.marks
            .pop()
            .ok_or_else(|| Flaw::Damaged("a collection ends that never began".into()))
    }

    fn tuple(&mut self, length: usize) -> Result<(), Flaw> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let start = self.stack.len().checked_sub(length);
        let start = start.filter(|start| *start >= floor);
        let items = self.stack.drain(start.ok_or_else(stack_empty)?..);
        let span = Span::append(&mut self.objects.items, items);
        self.push(Value::Tuple(span))
    }

    fn expect_list(&self) -> Result<(), Flaw> {
        match self.top()? {
            Value::List => Ok(()),
            other => Err(Flaw::Damaged(format!(
                "something is appended to {other}; expected a list"
            ))),
        }
    }

    /// The entries of the dictionary on top of the stack.
    fn pairs(&mut self) -> Result<&mut Vec<(Value<'a>, Value<'a>)>, Flaw> {
        match self.top()? {
            Value::Dict(dict) => Ok(&mut self.objects.dicts[dict]),
            other => Err(Flaw::Foreign(format!(
                "entries or attributes are set on {other}; expected a dictionary"
            ))),
        }
    }

    fn set_items(&mut self) -> Result<(), Flaw> {
        let start = self.unmark()?;
        let items = self.stack.split_off(start);
        let (pairs, []) = items.as_chunks() else {
            return Err(Flaw::Damaged("a dictionary's last key has no value".into()));
        };
        let pairs = pairs.iter().map(|[key, value]| (*key, *value));
        self.pairs()?.extend(pairs);
        Ok(())
    }

    fn remember(&mut self, place: u32) -> Result<(), Flaw> {
        let value = self.top()?;
        if self.memo.len() == MAX_VALUES {
            return Err(Flaw::Foreign(format!(
                "more than {MAX_VALUES} values are remembered"
            )));
        }
        self.memo.insert(place, value);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<(), Flaw> {
        let value = self.memo.get(&place).copied();
        let missing = || Flaw::Damaged(format!("nothing was remembered at {place}"));
        self.push(value.ok_or_else(missing)?)
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Flaw> {
    std::str::from_utf8(bytes).map_err(|_| Flaw::Damaged("a text is not UTF-8".into()))
}

fn ends_early() -> Flaw {
    Flaw::Damaged("the pickle ends in the middle".into())
}

fn too_long() -> Flaw {
    Flaw::Foreign(format!("a text has more than {MAX_TEXT} bytes"))
}

fn stack_empty() -> Flaw {
    Flaw::Damaged("the pickle takes more values than it has put".into())
}
