//! Archives that are cut, contradict themselves, or are not of PyTorch.

use super::build::{Pickle, Width, Zip, checkpoint, end, refusal};
use crate::checkpoint::torch::tensors;

/// An archive of a pickle that holds the tensor `w`, whose storage has this entry.
fn archive(width: Width, change: impl FnOnce(&mut Zip)) -> Vec<u8> {
    let mut zip = Zip::default();
    zip.add("m/data.pkl", &Pickle::single(0, &[4, 6], &[6, 1]));
    change(&mut zip);
    zip.finish(width)
}

#[test]
fn archives_are_read_in_numbers_of_either_width() {
    for width in [Width::Narrow, Width::Wide, Width::Both] {
        let bytes = archive(width, |zip| {
            zip.add("m/data/0", &[7; 96]);
        });
        let read = tensors("", &bytes).unwrap_or_else(|error| panic!("{width:?}: {error}"));
        let [(name, at)] = &read[..] else {
            panic!("{width:?}: {read:?}");
        };
        assert_eq!((name.as_str(), &at.shape[..]), ("w", &[4, 6][..]));
        assert_eq!(bytes[at.start..at.start + at.bytes], [7; 96], "{width:?}");
        assert_ne!(bytes[at.start - 1], 7, "{width:?}");
    }
}

#[test]
fn an_archive_cut_anywhere_is_refused() {
    let whole = checkpoint(&Pickle::single(0, &[4, 6], &[6, 1]));
    assert!(tensors("", &whole).is_ok());
    for length in 0..whole.len() {
        refusal(&whole[..length], &["is no whole weights file"]);
    }
    // Also without its beginning, so that everything lies elsewhere than it says.
    for start in 1..whole.len() {
        refusal(&whole[start..], &[]);
    }
}

#[test]
fn what_is_no_archive_of_torch_is_refused_by_what_it_is() {
    refusal(b"", &["it is no zip archive"]);
    refusal(
        b"version https://git-lfs.github.com/spec/v1\n",
        &["it is no zip archive"],
    );
    refusal(b"\x80\x02}.", &["bare pickle", "before PyTorch 1.6"]);
    let of = |names: &[&str]| {
        let mut zip = Zip::default();
        for name in names {
            zip.add(name, b"\x80\x02}.");
        }
        zip.finish(Width::Narrow)
    };
    assert!(tensors("", &of(&["m/data.pkl"])).is_ok());
    refusal(&of(&[]), &["the archive has no `data.pkl`"]);
    refusal(&of(&["data.pkl"]), &["the archive has no `data.pkl`"]);
    refusal(&of(&["a/b/data.pkl"]), &["the archive has no `data.pkl`"]);
    refusal(
        &of(&["a/data.pkl", "b/data.pkl"]),
        &["more than one `data.pkl`"],
    );
    refusal(&of(&["m/data.pkl", "m/constants.pkl"]), &["TorchScript"]);
    refusal(
        &of(&["m/data.pkl", "m/data.pkl"]),
        &["`m/data.pkl` stands there twice"],
    );
    refusal(
        &of(&["m/data.pkl", "m/byteorder"]),
        &["`byteorder` is not `little`"],
    );
}

#[test]
fn entries_that_are_not_stored_where_the_directory_says_are_refused() {
    let with = |change: fn(&mut super::build::Listed)| {
        archive(Width::Both, |zip| change(zip.add("m/data/0", &[7; 96])))
    };
    let stored = with(|_| ());
    assert!(tensors("", &stored).is_ok());
    let packed = ["entry `m/data/0` is compressed"];
    refusal(&with(|entry| entry.method = 8), &packed);
    refusal(&with(|entry| entry.flags |= 1), &packed);
    let elsewhere = ["`m/data/0` is not where its directory says"];
    refusal(&with(|entry| entry.header = 0), &elsewhere);
    refusal(&with(|entry| entry.header += 1), &elsewhere);
    refusal(&with(|entry| entry.header = 0xffff_fff0), &elsewhere);
    refusal(&with(|entry| entry.length += 1), &elsewhere);
    refusal(&with(|entry| entry.length = 0xffff_fff0), &elsewhere);
    refusal(&with(|entry| entry.length = 95), &["which has 95 bytes"]);
    refusal(
        &with(|entry| entry.name = b"m/data/1".to_vec()),
        &["`data/0`, which is missing"],
    );
    refusal(
        &with(|entry| entry.name = vec![0xff]),
        &["entry 1 of its directory is broken"],
    );
    // A field that points at 64 bits which are not there.
    refusal(
        &with(|entry| entry.length = 0xffff_ffff),
        &["entry 1 of its directory is broken"],
    );
}

#[test]
fn ends_that_point_outside_the_file_are_refused() {
    let whole = archive(Width::Narrow, |zip| {
        zip.add("m/data/0", &[7; 96]);
    });
    let body = &whole[..whole.len() - end(Width::Narrow, 0, 0, 0, 0).len()];
    let start = body.windows(4).position(|bytes| bytes == b"PK\x01\x02");
    let start = start.expect("there is a directory") as u64;
    let length = body.len() as u64 - start;
    let at = body.len() as u64;
    let ended =
        |width, count, length, start| [body, &end(width, count, length, start, at)].concat();
    for width in [Width::Narrow, Width::Wide] {
        assert!(tensors("", &ended(width, 2, length, start)).is_ok());
        refusal(&ended(width, 2, length + 1, start), &["does not say where"]);
        refusal(&ended(width, 2, length, start + 1), &["does not say where"]);
        refusal(
            &ended(width, 2, length - 1, start),
            &["entry 1 of its directory"],
        );
        refusal(
            &ended(width, 3, length, start),
            &["entry 2 of its directory"],
        );
        refusal(
            &ended(width, 1, length, start),
            &["`data/0`, which is missing"],
        );
        refusal(
            &ended(width, 0xffff, length, start),
            &["entry 2 of its directory"],
        );
    }
    for (length, start) in [(u64::MAX, start), (length, u64::MAX), (1, u64::MAX - 1)] {
        refusal(
            &ended(Width::Wide, 2, length, start),
            &["does not say where"],
        );
    }
    for count in [u64::MAX, 1 << 40] {
        refusal(
            &ended(Width::Wide, count, length, start),
            &["entry 2 of its directory"],
        );
    }
    for at in [at - 1, at + 1, u64::MAX] {
        let end = end(Width::Wide, 2, length, start, at);
        refusal(&[body, &end].concat(), &["does not say where"]);
    }
}
