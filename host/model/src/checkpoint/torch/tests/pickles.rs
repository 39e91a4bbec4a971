//! Pickles made to do harm, or broken.

use super::build::{Pickle, checkpoint, refusal};
use crate::checkpoint::torch::objects::Value;
use crate::checkpoint::torch::pickle::{MAX_BYTES, MAX_OPEN, MAX_TEXT, MAX_VALUES, load};
use crate::checkpoint::torch::tensors;

/// What a checkpoint with this pickle is refused for.
fn refused(pickle: &[u8], parts: &[&str]) {
    refusal(&checkpoint(pickle), parts);
}

#[test]
fn what_runs_code_is_refused_by_name_and_place() {
    let command = |pickle: Pickle| pickle.raw(b"(").text("true").raw(b"tR.").done();
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "__import__"),
        ("builtins", "getattr"),
        ("subprocess", "Popen"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("torch.serialization", "OrderedDict"),
        ("collections", "OrderedDict.fromkeys"),
        ("", ""),
    ] {
        let named = format!("byte 2: global `{module}.{name}` is not one");
        refused(&command(Pickle::new().global(module, name)), &[&named]);
        // Protocol 4 takes both names from the stack; at byte 2 + 2 · 5 + the names.
        let stacked = Pickle::new().text(module).text(name).raw(b"\x93");
        let named = format!(
            "byte {}: global `{module}.{name}` is not one",
            12 + module.len() + name.len()
        );
        refused(&command(stacked), &[&named]);
    }
}

#[test]
fn opcodes_that_weights_do_not_need_are_refused_by_name_and_place() {
    let empty = || Pickle::new().raw(b"}");
    for (opcode, named) in [
        (&b"ios\nsystem\n"[..], "byte 3: opcode 0x69 (INST)"),
        (b"o", "byte 3: opcode 0x6f (OBJ)"),
        (b"\x81", "byte 3: opcode 0x81 (NEWOBJ)"),
        (b"\x92", "byte 3: opcode 0x92 (NEWOBJ_EX)"),
        (b"\x82\x01", "byte 3: opcode 0x82 (EXT1)"),
        (b"\x83\x01\x00", "byte 3: opcode 0x83 (EXT2)"),
        (b"\x84\x01\x00\x00\x00", "byte 3: opcode 0x84 (EXT4)"),
        (b"P1\n", "byte 3: opcode 0x50 (PERSID)"),
        (b"2", "byte 3: opcode 0x32 (DUP)"),
        (b"\x8b\xff\xff\xff\x7f", "byte 3: opcode 0x8b (LONG4)"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "(BINUNICODE8)"),
        (b"\x96\xff\xff\xff\xff\xff\xff\xff\xff", "(BYTEARRAY8)"),
        (b"\xff", "byte 3: opcode 0xff is not one"),
    ] {
        refused(&empty().raw(opcode).raw(b".").done(), &[named]);
    }
    refused(b"\x80\x05}.", &["protocol 5"]);
}

#[test]
fn broken_pickles_are_refused_at_the_byte_that_breaks_them() {
    let start = || Pickle::new().raw(b"}");
    for (what, pickle, part) in [
        (
            "nothing at all",
            vec![],
            "byte 0: the pickle ends in the middle",
        ),
        (
            "no STOP",
            start().done(),
            "byte 3: the pickle ends in the middle",
        ),
        (
            "STOP on nothing",
            Pickle::new().raw(b".").done(),
            "more values than it has put",
        ),
        (
            "text cut",
            start().raw(b"X\x09\x00\x00\x00ab").done(),
            "ends in the middle",
        ),
        (
            "length cut",
            start().raw(b"X\x09\x00").done(),
            "ends in the middle",
        ),
        (
            "text of 4 GiB",
            start().raw(b"X\xff\xff\xff\xff").done(),
            "more than 4096 bytes",
        ),
        (
            "text not UTF-8",
            start().raw(b"\x8c\x01\xff").done(),
            "not UTF-8",
        ),
        (
            "global without end",
            start().raw(b"cos\nsystem").done(),
            "ends in the middle",
        ),
        (
            "number of 255 bytes",
            start().raw(b"\x8a\xff").raw(&[1; 255]).done(),
            "255 bytes",
        ),
        (
            "frame cut",
            start().raw(b"\x95\xff\xff").done(),
            "ends in the middle",
        ),
        (
            "tuple of nothing",
            Pickle::new().raw(b"\x87.").done(),
            "more values than",
        ),
        (
            "tuple past its mark",
            Pickle::new().raw(b"NN(N\x86.").done(),
            "more values than",
        ),
        (
            "pop past its mark",
            Pickle::new().raw(b"}N(s.").done(),
            "more values than",
        ),
        (
            "tuple without mark",
            Pickle::new().raw(b"Nt.").done(),
            "never began",
        ),
        (
            "items without mark",
            Pickle::new().raw(b"}u.").done(),
            "never began",
        ),
        (
            "items on nothing",
            Pickle::new().raw(b"(NNu.").done(),
            "more values than",
        ),
        (
            "key without value",
            Pickle::new().raw(b"}(NNNu.").done(),
            "last key has no value",
        ),
        (
            "item of a list",
            Pickle::new().raw(b"]NNs.").done(),
            "are set on a list",
        ),
        (
            "append to a dictionary",
            Pickle::new().raw(b"}Na.").done(),
            "appended to a dictionary",
        ),
        (
            "append to nothing",
            Pickle::new().raw(b"(Ne.").done(),
            "more values than",
        ),
        (
            "attributes of a tuple",
            Pickle::new().raw(b")}b.").done(),
            "are set on a tuple",
        ),
        (
            "memo of nothing",
            Pickle::new().raw(b"q\x00").done(),
            "more values than",
        ),
        (
            "get of nothing",
            start().raw(b"h\x07").done(),
            "byte 3: nothing was remembered at 7",
        ),
        (
            "call of a text",
            Pickle::new().text("x").raw(b")R.").done(),
            "a text is called",
        ),
        (
            "call with a number",
            ordered_dict().raw(b"K\x01R.").done(),
            "the number 1 stands for a tuple",
        ),
        (
            "call with pairs",
            ordered_dict().raw(b"]\x85R.").done(),
            "other arguments",
        ),
        (
            "id that is a text",
            start().text("0").raw(b"Q.").done(),
            "a text stands for a tuple",
        ),
        (
            "id of a module",
            start().text("module").raw(b"\x85Q.").done(),
            "none of a storage",
        ),
        (
            "global by numbers",
            Pickle::new().raw(b"K\x01K\x02\x93").done(),
            "expected two texts",
        ),
        (
            "a class alone",
            ordered_dict().raw(b".").done(),
            "it holds `collections.OrderedDict`",
        ),
    ] {
        let message = refusal(&checkpoint(&pickle), &[part]);
        assert!(message.contains("model.bin"), "{what}: {message}");
    }
}

fn ordered_dict() -> Pickle {
    Pickle::new().global("collections", "OrderedDict")
}

#[test]
fn shared_values_take_no_room_of_their_own() {
    // Written out, the last tuple would have 2^100000 items.
    let bomb = Pickle::new()
        .raw(b")q\x00")
        .repeat(100_000, b"h\x00h\x00\x86q\x00")
        .raw(b"h\x00.")
        .done();
    let (value, objects) = load(&bomb).expect("is a pickle");
    assert!(matches!(value, Value::Tuple(_)));
    assert_eq!(objects.items.len(), 200_000);
    refused(&bomb, &["it holds a tuple"]);
    // The same of dictionaries, whose last holds itself as well.
    let bomb = Pickle::new()
        .raw(b"}q\x00")
        .repeat(60_000, b"}Nh\x00s\x89h\x00sq\x00")
        .raw(b"Nh\x00s.")
        .done();
    refused(&bomb, &["a key of its dictionary is None"]);
}

#[test]
fn depth_costs_nothing_and_open_collections_are_limited() {
    // Deep enough to break any reader that calls itself, in reading or in dropping.
    let nested = Pickle::new().raw(b")").repeat(400_000, b"\x85");
    refused(&nested.raw(b".").done(), &["it holds a tuple"]);
    let open = Pickle::new().repeat(MAX_OPEN + 1, b"(").raw(b".").done();
    refused(&open, &["more than 64 collections are open"]);
    let open = Pickle::new().repeat(MAX_OPEN, b"(").raw(b"N");
    let open = open.repeat(MAX_OPEN, b"t").raw(b".").done();
    refused(&open, &["it holds a tuple"]);
}

#[test]
fn what_a_pickle_takes_is_limited() {
    let values = format!("more than {MAX_VALUES} values");
    for opcodes in [&b"N"[..], b"}", b"]", b")", b"\x85"] {
        let endless = Pickle::new()
            .raw(b"N")
            .repeat(MAX_VALUES, opcodes)
            .raw(b".");
        refused(&endless.done(), &[&values]);
    }
    let remembered = Pickle::new().raw(b"N").repeat(MAX_VALUES + 1, b"\x94");
    refused(&remembered.done(), &[&format!("{values} are remembered")]);
    let far = Pickle::new().raw(b"Nr\xff\xff\xff\xffj\xff\xff\xff\xff.");
    refused(&far.done(), &["it holds None"]);
    let large = Pickle::new().repeat(MAX_BYTES, b"N").done();
    refused(&large, &["expected at most 8388608"]);
    let long = Pickle::new().text(&"x".repeat(MAX_TEXT + 1)).raw(b".");
    refused(&long.done(), &["byte 2: a text has more than 4096 bytes"]);
    let long = Pickle::new()
        .global(&"x".repeat(MAX_TEXT + 1), "y")
        .raw(b".");
    refused(&long.done(), &["byte 2: a text has more than 4096 bytes"]);
    let longest = "x".repeat(MAX_TEXT);
    let fits = Pickle::new()
        .raw(b"}")
        .text(&longest)
        .tensor(0, &[1], &[1])
        .raw(b"s.")
        .done();
    assert_eq!(
        tensors("", &checkpoint(&fits)).expect("is read")[0].0,
        longest
    );
}

#[test]
fn names_in_messages_do_not_steer_the_terminal() {
    let pickle = Pickle::new()
        .raw(b"}")
        .text("\u{1b}[31mw\n")
        .raw(b"Ns.")
        .done();
    let message = refusal(&checkpoint(&pickle), &["\\u{1b}[31mw\\u{a}"]);
    assert!(!message.contains(char::is_control), "{message:?}");
}
