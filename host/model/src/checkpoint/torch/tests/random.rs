//! Whatever the bytes are, they are read or refused, and what is read lies inside the file.

use proptest::collection::vec;
use proptest::prelude::*;

use super::build::{Pickle, checkpoint};
use crate::checkpoint::torch::pickle::load;
use crate::checkpoint::torch::tensors;

/// Pieces of pickles, most of which are understood: any order of them gets further than bytes do.
const PIECES: [&[u8]; 36] = [
    b"N",
    b"\x88",
    b"K\x03",
    b"M\x00\x01",
    b"J\xff\xff\xff\xff",
    b"\x8a\x01\x80",
    b"(",
    b")",
    b"t",
    b"\x85",
    b"\x86",
    b"\x87",
    b"}",
    b"]",
    b"a",
    b"e",
    b"s",
    b"u",
    b"q\x00",
    b"q\x01",
    b"h\x00",
    b"h\x01",
    b"\x94",
    b"X\x01\x00\x00\x00w",
    b"\x8c\x07storage",
    b"ccollections\nOrderedDict\n",
    b"ctorch\nFloatStorage\n",
    b"ctorch\nSize\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"\x93",
    b"Q",
    b"R",
    b"b",
    b".",
    b"cos\nsystem\n",
];

fn sample() -> Vec<u8> {
    let pickle = Pickle::new()
        .global("collections", "OrderedDict")
        .raw(b")R(")
        .text("a")
        .tensor(0, &[4, 6], &[6, 1])
        .text("b")
        .tensor(6, &[6], &[1])
        .raw(b"u}")
        .text("_metadata")
        .raw(b"}sb.");
    checkpoint(&pickle.done())
}

/// Reads or refuses; whatever is read must lie in the file and be of its size.
fn survives(bytes: &[u8]) {
    for (name, at) in tensors("model.bin", bytes).unwrap_or_default() {
        let elements: usize = at.shape.iter().product();
        assert_eq!(at.bytes, elements * at.dtype.size_in_bytes(), "{name}");
        assert!(at.start <= bytes.len() && at.bytes <= bytes.len() - at.start);
    }
}

#[test]
fn the_sample_that_is_mutated_is_sound() {
    assert_eq!(tensors("", &sample()).expect("is read").len(), 2);
}

proptest! {
    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..400)) {
        survives(&bytes);
        survives(&checkpoint(&bytes));
        survives(&checkpoint(&[b"\x80\x02", &bytes[..]].concat()));
    }

    #[test]
    fn any_opcodes(pieces in vec(prop::sample::select(&PIECES[..]), 0..200)) {
        let pickle = pieces.concat();
        survives(&checkpoint(&pickle));
        // Nothing is made that was not put there: an opcode makes a value at most.
        if let Ok((_, objects)) = load(&pickle) {
            let pairs: usize = objects.dicts.iter().map(Vec::len).sum();
            prop_assert!(objects.items.len() + 2 * pairs <= pieces.len());
            prop_assert!(objects.dicts.len() + objects.views.len() <= pieces.len());
        }
    }

    #[test]
    fn a_damaged_archive(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = sample();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(length) = length {
            bytes.truncate(length.index(bytes.len()));
        }
        survives(&bytes);
    }

    /// Numbers are what an attacker would choose: full, negative, one off.
    #[test]
    fn an_archive_with_other_numbers(
        place in any::<prop::sample::Index>(),
        number in prop::sample::select(&[0, 1, -1, i64::MAX, i64::MIN, 0xffff_ffff, 1 << 32][..]),
        width in prop::sample::select(&[1, 2, 4, 8][..]),
    ) {
        let mut bytes = sample();
        let place = place.index(bytes.len() - width);
        bytes[place..place + width].copy_from_slice(&number.to_le_bytes()[..width]);
        survives(&bytes);
    }
}
