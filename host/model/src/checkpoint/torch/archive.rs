//! The zip archive around a checkpoint: where its entries lie.
//!
//! `torch.save` stores entries as they are, so that each is a range of the file. Reading no more of
//! the format than that keeps what a damaged file can do small: one look at the end, one pass over the
//! directory, no searching.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Flaw;

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const END_64_AT: [u8; 4] = *b"PK\x06\x07";
const LOCAL_BYTES: usize = 30;
const CENTRAL_BYTES: usize = 46;
const END_BYTES: usize = 22;
const END_64_AT_BYTES: usize = 20;
/// What stands in a field of 32 bits whose value stands in 64 elsewhere.
const WIDE: u64 = u32::MAX as u64;
/// The kind of extra field that holds an entry's 64-bit values.
const EXTRA_64: u64 = 1;
const ENCRYPTED: u64 = 1;

/// The entries of an archive.
pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    entries: BTreeMap<&'a str, Entry>,
    /// Where the directory begins, before which all entries lie.
    directory: usize,
}

struct Entry {
    /// Whether its bytes are neither compressed nor encrypted.
    plain: bool,
    header: usize,
    bytes: usize,
}

/// Where the directory lies and how many entries it has.
struct Directory {
    range: Range<usize>,
    entries: u64,
}

impl<'a> Archive<'a> {
    /// Reads an archive's directory.
    ///
    /// # Errors
    /// When the bytes are no whole zip archive, or an archive of several parts.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Archive<'a>, Flaw> {
        let directory = find_directory(bytes)?;
        let mut entries = BTreeMap::new();
        let mut rest = &bytes[directory.range.clone()];
        for number in 0..directory.entries {
            let broken = || Flaw::Damaged(format!("entry {number} of its directory is broken"));
            let (name, entry, length) = read_entry(rest).ok_or_else(broken)?;
            if entries.insert(name, entry).is_some() {
                return Err(Flaw::Damaged(format!(
                    "its entry `{name}` stands there twice"
                )));
            }
            rest = &rest[length..];
        }
        Ok(Archive {
            bytes,
            entries,
            directory: directory.range.start,
        })
    }

    /// The names of all entries, in alphabetical order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entries.keys().copied()
    }

    /// Where in the file an entry's bytes lie, or `None` if there is no such entry.
    ///
    /// # Errors
    /// When the entry is compressed or encrypted, or does not lie where the directory says.
    pub(super) fn range(&self, name: &str) -> Result<Option<Range<usize>>, Flaw> {
        let Some(entry) = self.entries.get(name) else {
            return Ok(None);
        };
        if !entry.plain {
            return Err(Flaw::Foreign(format!(
                "its entry `{name}` is compressed or encrypted"
            )));
        }
        let range = self.data(name, entry).ok_or_else(|| {
            Flaw::Damaged(format!(
                "its entry `{name}` is not where its directory says"
            ))
        })?;
        Ok(Some(range))
    }

    /// The range of an entry, behind the header that stands before it.
    fn data(&self, name: &str, entry: &Entry) -> Option<Range<usize>> {
        let header = self.bytes[..self.directory].get(entry.header..)?;
        let name_bytes = field::<2>(header, 26)? as usize;
        let extra_bytes = field::<2>(header, 28)? as usize;
        let named = header.get(LOCAL_BYTES..)?.get(..name_bytes)?;
        if !header.starts_with(&LOCAL) || named != name.as_bytes() {
            return None;
        }
        let before = LOCAL_BYTES + name_bytes + extra_bytes;
        let length = header.get(before..)?.get(..entry.bytes)?.len();
        let start = entry.header + before;
        Some(start..start + length)
    }
}

/// The little-endian number of `N` bytes at `at`, or `None` where the bytes end before.
fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let number: &[u8; N] = bytes.get(at..)?.first_chunk()?;
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(number);
    Some(u64::from_le_bytes(wide))
}

/// The `length` last bytes of `bytes` and where they begin, if they begin with `signature`.
fn ending(bytes: &[u8], length: usize, signature: [u8; 4]) -> Option<(usize, &[u8])> {
    let start = bytes.len().checked_sub(length)?;
    let tail = &bytes[start..];
    tail.starts_with(&signature).then_some((start, tail))
}

fn find_directory(bytes: &[u8]) -> Result<Directory, Flaw> {
    let Some((end_at, end)) = ending(bytes, END_BYTES, END) else {
        return Err(Flaw::Damaged(if bytes.starts_with(&LOCAL) {
            "the archive is cut: it does not end with its directory".into()
        } else {
            "it is no zip archive, as `torch.save` writes".into()
        }));
    };
    // `torch.save` writes a second end in wider numbers, and a pointer to it just before the first.
    let found = match ending(&bytes[..end_at], END_64_AT_BYTES, END_64_AT) {
        Some((before, pointer)) => wide_directory(&bytes[..before], pointer),
        None => narrow_directory(end, end_at),
    };
    found.ok_or_else(|| {
        Flaw::Damaged("the archive's end does not say where its directory is".into())
    })
}

fn narrow_directory(end: &[u8], end_at: usize) -> Option<Directory> {
    directory(
        [field::<2>(end, 4)?, field::<2>(end, 6)?],
        field::<2>(end, 10)?,
        field::<4>(end, 12)?,
        field::<4>(end, 16)?,
        end_at,
    )
}

fn wide_directory(bytes: &[u8], pointer: &[u8]) -> Option<Directory> {
    let end_at = usize::try_from(field::<8>(pointer, 8)?).ok()?;
    let end = bytes.get(end_at..)?;
    if !end.starts_with(&END_64) {
        return None;
    }
    directory(
        [field::<4>(end, 16)?, field::<4>(end, 20)?],
        field::<8>(end, 32)?,
        field::<8>(end, 40)?,
        field::<8>(end, 48)?,
        end_at,
    )
}

/// A directory that is whole in this file and lies before its end.
fn directory(
    parts: [u64; 2],
    entries: u64,
    length: u64,
    start: u64,
    end_at: usize,
) -> Option<Directory> {
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    let whole = parts == [0, 0] && end <= end_at;
    whole.then_some(Directory {
        range: start..end,
        entries,
    })
}

/// The first entry of a directory: its name, what it is, and its length there.
fn read_entry(directory: &[u8]) -> Option<(&str, Entry, usize)> {
    if !directory.starts_with(&CENTRAL) {
        return None;
    }
    let flags = field::<2>(directory, 8)?;
    let method = field::<2>(directory, 10)?;
    let compressed = field::<4>(directory, 20)?;
    let bytes = field::<4>(directory, 24)?;
    let name_bytes = field::<2>(directory, 28)? as usize;
    let extra_bytes = field::<2>(directory, 30)? as usize;
    let comment_bytes = field::<2>(directory, 32)? as usize;
    let header = field::<4>(directory, 42)?;

    let (name, rest) = directory
        .get(CENTRAL_BYTES..)?
        .split_at_checked(name_bytes)?;
    let (extra, rest) = rest.split_at_checked(extra_bytes)?;
    rest.get(..comment_bytes)?;
    let narrow = [bytes, compressed, header];
    let [bytes, compressed, header] = widened(narrow, extra)?;
    let entry = Entry {
        plain: method == 0 && flags & ENCRYPTED == 0 && compressed == bytes,
        header: usize::try_from(header).ok()?,
        bytes: usize::try_from(bytes).ok()?,
    };
    let length = CENTRAL_BYTES + name_bytes + extra_bytes + comment_bytes;
    Some((std::str::from_utf8(name).ok()?, entry, length))
}

/// An entry's numbers, of which those that do not fit 32 bits stand in an extra field, in this order.
fn widened(mut numbers: [u64; 3], mut extra: &[u8]) -> Option<[u64; 3]> {
    if !numbers.contains(&WIDE) {
        return Some(numbers);
    }
    loop {
        let (kind, length) = (field::<2>(extra, 0)?, field::<2>(extra, 2)? as usize);
        let (mut values, others) = extra.get(4..)?.split_at_checked(length)?;
        if kind == EXTRA_64 {
            for number in numbers.iter_mut().filter(|number| **number == WIDE) {
                *number = field::<8>(values, 0)?;
                values = &values[8..];
            }
            return Some(numbers);
        }
        extra = others;
    }
}
