//! Pickles and archives, byte by byte.

use crate::checkpoint::torch::tensors;

/// A pickle under assembly.
pub(super) struct Pickle(Vec<u8>);

impl Pickle {
    pub(super) fn new() -> Pickle {
        Pickle(vec![0x80, 2])
    }

    /// Opcodes as they stand.
    pub(super) fn raw(mut self, bytes: &[u8]) -> Pickle {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn repeat(mut self, times: usize, bytes: &[u8]) -> Pickle {
        self.0.extend(bytes.repeat(times));
        self
    }

    pub(super) fn text(self, text: &str) -> Pickle {
        let length = (text.len() as u32).to_le_bytes();
        self.raw(b"X").raw(&length).raw(text.as_bytes())
    }

    pub(super) fn global(self, module: &str, name: &str) -> Pickle {
        let lines = format!("c{module}\n{name}\n");
        self.raw(lines.as_bytes())
    }

    /// A number of up to 64 bits, signed.
    pub(super) fn int(self, number: i64) -> Pickle {
        self.raw(&[0x8a, 8]).raw(&number.to_le_bytes())
    }

    pub(super) fn ints(mut self, numbers: &[i64]) -> Pickle {
        self = self.raw(b"(");
        for number in numbers {
            self = self.int(*number);
        }
        self.raw(b"t")
    }

    pub(super) fn storage(self, class: &str, key: &str, elements: i64) -> Pickle {
        self.raw(b"(")
            .text("storage")
            .global("torch", class)
            .text(key)
            .text("cpu")
            .int(elements)
            .raw(b"tQ")
    }

    /// A call of `_rebuild_tensor_v2` on the 24 elements of the storage `0`.
    pub(super) fn tensor(self, offset: i64, shape: &[i64], strides: &[i64]) -> Pickle {
        self.tensor_of("FloatStorage", 24, offset, shape, strides)
    }

    pub(super) fn tensor_of(
        self,
        class: &str,
        elements: i64,
        offset: i64,
        shape: &[i64],
        strides: &[i64],
    ) -> Pickle {
        self.global("torch._utils", "_rebuild_tensor_v2")
            .raw(b"(")
            .storage(class, "0", elements)
            .int(offset)
            .ints(shape)
            .ints(strides)
            .raw(b"\x89")
            .global("collections", "OrderedDict")
            .raw(b")RtR")
    }

    /// A dictionary with one tensor, `w`.
    pub(super) fn single(offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
        let start = Pickle::new().raw(b"}").text("w");
        start.tensor(offset, shape, strides).raw(b"s.").done()
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// An archive as `torch.save` writes it, around a pickle and the storage `0` of 24 numbers.
pub(super) fn checkpoint(pickle: &[u8]) -> Vec<u8> {
    let numbers: Vec<u8> = (0..24u8).flat_map(|n| f32::from(n).to_le_bytes()).collect();
    let mut zip = Zip::default();
    zip.add("model/data.pkl", pickle);
    zip.add("model/byteorder", b"little");
    zip.add("model/data/0", &numbers);
    zip.finish(Width::Both)
}

/// In which numbers an archive's end is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Width {
    /// 32 bits.
    Narrow,
    /// 64 bits wherever there is a choice, and full fields where 32 would do.
    Wide,
    /// As `torch.save` does it: entries in 32 bits, the end in both.
    Both,
}

/// An archive under assembly: its entries, and what its directory will say.
#[derive(Default)]
pub(super) struct Zip {
    bytes: Vec<u8>,
    entries: Vec<Listed>,
}

/// An entry as the directory lists it.
pub(super) struct Listed {
    pub(super) name: Vec<u8>,
    pub(super) method: u16,
    pub(super) flags: u16,
    pub(super) header: u64,
    pub(super) length: u64,
}

impl Zip {
    /// Adds an entry; what it returns may still be changed in the directory.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) -> &mut Listed {
        let header = self.bytes.len() as u64;
        // Sizes are left to the directory, and three bytes of padding are an extra field.
        self.bytes.extend(b"PK\x03\x04\x00\x00\x08\x08");
        self.bytes.extend([0; 18]);
        self.bytes.extend((name.len() as u16).to_le_bytes());
        self.bytes.extend(3u16.to_le_bytes());
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(b"FBZ");
        self.bytes.extend(bytes);
        self.entries.push(Listed {
            name: name.as_bytes().to_vec(),
            method: 0,
            flags: 0x808,
            header,
            length: bytes.len() as u64,
        });
        self.entries.last_mut().expect("was just added")
    }

    pub(super) fn finish(mut self, width: Width) -> Vec<u8> {
        let start = self.bytes.len() as u64;
        let count = self.entries.len() as u64;
        for entry in &self.entries {
            let mut extra = Vec::new();
            let mut number = |value: u64| {
                if width == Width::Wide {
                    extra.extend(value.to_le_bytes());
                    return u32::MAX.to_le_bytes();
                }
                (value as u32).to_le_bytes()
            };
            let sizes = [number(entry.length), number(entry.length)].concat();
            let header = number(entry.header);
            if width == Width::Wide {
                // Behind another field, which has to be skipped.
                let kinds = [&[0x46, 0x42, 1, 0, b'Z', 1, 0][..], &[extra.len() as u8, 0]];
                extra = [&kinds.concat()[..], &extra].concat();
            }
            let bytes = &mut self.bytes;
            bytes.extend(b"PK\x01\x02\x00\x00\x00\x00");
            bytes.extend(entry.flags.to_le_bytes());
            bytes.extend(entry.method.to_le_bytes());
            bytes.extend([0; 8]);
            bytes.extend(sizes);
            bytes.extend((entry.name.len() as u16).to_le_bytes());
            bytes.extend((extra.len() as u16).to_le_bytes());
            bytes.extend([0; 10]);
            bytes.extend(header);
            bytes.extend(&entry.name);
            bytes.extend(extra);
        }
        let length = self.bytes.len() as u64 - start;
        let at = self.bytes.len() as u64;
        self.bytes.extend(end(width, count, length, start, at));
        self.bytes
    }
}

/// The end of an archive whose directory has `length` bytes at `start`; it stands itself at `at`.
pub(super) fn end(width: Width, count: u64, length: u64, start: u64, at: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if width != Width::Narrow {
        bytes.extend(b"PK\x06\x06");
        bytes.extend(44u64.to_le_bytes());
        bytes.extend([0; 12]);
        for number in [count, count, length, start] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(b"PK\x06\x07\x00\x00\x00\x00");
        bytes.extend(at.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
    }
    bytes.extend(b"PK\x05\x06\x00\x00\x00\x00");
    if width == Width::Wide {
        bytes.extend([0xff; 12]);
    } else {
        bytes.extend((count as u16).to_le_bytes());
        bytes.extend((count as u16).to_le_bytes());
        bytes.extend((length as u32).to_le_bytes());
        bytes.extend((start as u32).to_le_bytes());
    }
    bytes.extend([0; 2]);
    bytes
}

/// The message of what must be refused, which holds all of `parts` and comes with a hint.
pub(super) fn refusal(bytes: &[u8], parts: &[&str]) -> String {
    let error = tensors("model.bin", bytes)
        .err()
        .unwrap_or_else(|| panic!("{parts:?}: passes"));
    let message = error.to_string();
    for part in parts.iter().chain(&["`model.bin`"]) {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert!(error.hint().is_some(), "no hint: {message}");
    message
}
