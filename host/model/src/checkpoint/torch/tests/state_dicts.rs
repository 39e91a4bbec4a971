//! Sound pickles of what is no dictionary of tensors, or of tensors that are not where they say.

use super::build::{Pickle, checkpoint, refusal};
use crate::checkpoint::torch::objects::MAX_RANK;
use crate::checkpoint::torch::tensors;

/// What a checkpoint with this pickle is refused for.
fn refused(pickle: &[u8], parts: &[&str]) {
    refusal(&checkpoint(pickle), parts);
}

#[test]
fn tensors_that_do_not_fit_their_storage_are_refused_by_name() {
    let max = i64::MAX;
    for (offset, shape, strides, part) in [
        (
            0,
            &[25][..],
            &[1][..],
            "tensor `w` of shape [25] at element 0 ends outside",
        ),
        (
            24,
            &[1],
            &[1],
            "tensor `w` of shape [1] at element 24 ends outside",
        ),
        (
            max,
            &[24],
            &[1],
            "ends outside its storage's elements, which has 24",
        ),
        (max, &[max], &[1], "ends outside"),
        (
            -1,
            &[1],
            &[1],
            "a tensor's offset is -1; expected 0 or more",
        ),
        (0, &[-1], &[1], "a tensor's size is -1; expected 0 or more"),
        (0, &[i64::MIN, i64::MIN], &[1, 1], "expected 0 or more"),
        (0, &[4, 6], &[-6, 1], "a tensor's stride is -6"),
        (0, &[max, max], &[max, 1], "tensor `w` has the shape"),
        (0, &[1 << 32, 1 << 32], &[1 << 32, 1], "which is too large"),
        (
            0,
            &[4, 6],
            &[1, 4],
            "tensor `w` of shape [4, 6] is not contiguous",
        ),
        (0, &[4, 6], &[0, 1], "is not contiguous"),
        (0, &[4, 5], &[6, 1], "is not contiguous"),
        (0, &[24], &[max], "is not contiguous"),
        (0, &[4, 6], &[1], "is not contiguous"),
        (0, &[24], &[6, 1], "is not contiguous"),
        (0, &[1; MAX_RANK + 1], &[1; MAX_RANK + 1], "9 dimensions"),
    ] {
        refused(&Pickle::single(offset, shape, strides), &[part]);
    }
    // What has one element, or none, lies nowhere in particular.
    for (offset, shape, strides, bytes) in [
        (23, &[][..], &[][..], 4),
        (23, &[1, 1], &[max, 0], 4),
        (0, &[2, 1, 12], &[12, 7, 1], 96),
        (24, &[0], &[9], 0),
        (0, &[0, max, 2], &[1, 1, 1], 0),
    ] {
        let read = tensors("", &checkpoint(&Pickle::single(offset, shape, strides)));
        assert_eq!(read.expect("is read")[0].1.bytes, bytes, "{shape:?}");
    }
}

#[test]
fn storages_that_do_not_fit_their_entry_are_refused() {
    for (class, elements, part) in [
        (
            "FloatStorage",
            25,
            "`data/0`, which has 96 bytes; expected 25 elements of 4",
        ),
        ("FloatStorage", i64::MAX, "which has 96 bytes"),
        ("DoubleStorage", 13, "expected 13 elements of 8"),
        ("FloatStorage", -1, "a storage's number of elements is -1"),
        ("UntypedStorage", 24, "global `torch.UntypedStorage`"),
    ] {
        let start = Pickle::new().raw(b"}").text("w");
        let pickle = start.tensor_of(class, elements, 0, &[1], &[1]);
        refused(&pickle.raw(b"s.").done(), &[part]);
    }
    let missing = Pickle::new()
        .raw(b"}")
        .text("w")
        .global("torch._utils", "_rebuild_tensor_v2")
        .raw(b"(")
        .storage("FloatStorage", "../0", 1)
        .raw(b"K\x00))N}tRs.");
    refused(
        &missing.done(),
        &["tensor `w` lies in `data/../0`, which is missing"],
    );
}

#[test]
fn only_a_dictionary_of_tensors_is_taken() {
    let with = |key: &str| Pickle::new().raw(b"}").text(key);
    for (pickle, part) in [
        (with("w").raw(b"Ns."), "its `w` is None; expected a tensor"),
        (with("w").raw(b"G\0\0\0\0\0\0\0\0s."), "its `w` is a number"),
        (with("w").raw(b"]s."), "its `w` is a list"),
        (with("w").raw(b"](NNeNas."), "its `w` is a list"),
        (with("model").raw(b"}s."), "its `model` is a dictionary"),
        (
            with("w").storage("FloatStorage", "0", 24).raw(b"s."),
            "its `w` is a storage",
        ),
        (
            with("state_dict").raw(b"}").text("state_dict").raw(b"}ss."),
            "its `state_dict` is a",
        ),
        (
            with("state_dict").raw(b"}sK\x01Ns."),
            "its `state_dict` is a dictionary",
        ),
        (
            Pickle::new().raw(b"}K\x07").tensor(0, &[], &[]).raw(b"s."),
            "is the number 7",
        ),
        (
            with("w")
                .tensor(0, &[], &[])
                .raw(b"s")
                .text("w")
                .tensor(1, &[], &[])
                .raw(b"s."),
            "it names `w` twice",
        ),
    ] {
        refused(&pickle.done(), &[part]);
    }
    let empty = tensors("", &checkpoint(b"\x80\x02}."));
    assert!(empty.expect("is read").is_empty());
}
