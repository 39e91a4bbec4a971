//! bf16 by the tiles of the advanced matrix extensions.
//!
//! A tile has 16 rows of 64 bytes. The left side's tiles are loaded straight from rows: of the
//! weight in the product, which thus comes out transposed, and of dy in the backward pass. The
//! instructions are written in assembly because the compiler's own are not stable.

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _xgetbv};
use std::ops::Range;
use std::sync::OnceLock;

use super::super::pool::Buffer;
use super::super::vectorised;
use super::Block;
use super::pack::{LINE, Line, SIDE, row_pairs, zeros};

/// Rows of the weight that a step goes through: four tiles.
const GROUP: usize = 4 * SIDE;
/// Packed values of x that a core keeps in its cache beside the weight; with more, the inner
/// dimension is cut.
const CACHED: usize = 1 << 19;
/// Lines of the inner dimension when it is cut.
const LENGTH: usize = 64;
/// Rows of the weight that are packed together for the transposed product.
const DEPTH: usize = 512;
/// Bytes of a tile that is stored line by line.
const TILE: usize = SIDE * size_of::<Line>();

/// Whether the processor and the system have the tiles; asks the system for them the first time.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| processor_has_tiles() && system_permits_tiles())
}

fn processor_has_tiles() -> bool {
    const FEATURES: u32 = 1 << 24 | 1 << 22;
    const STATES: u64 = 1 << 18 | 1 << 17;
    #[target_feature(enable = "xsave")]
    fn enabled_states() -> u64 {
        #[expect(
            unsafe_code,
            reason = "the register of enabled states has no safe reader"
        )]
        // SAFETY: the caller checked that the system has enabled the instruction.
        unsafe {
            _xgetbv(0)
        }
    }
    if !std::arch::is_x86_feature_detected!("xsave")
        || !std::arch::is_x86_feature_detected!("avx512f")
    {
        return false;
    }
    // Tiles and their bf16 products; leaf 7 is there where AVX-512 is.
    let features = __cpuid_count(7, 0).edx;
    #[expect(unsafe_code, reason = "the feature was just detected")]
    // SAFETY: the processor has the feature, and AVX-512 is only detected where the system has
    // enabled its use.
    let states = unsafe { enabled_states() };
    features & FEATURES == FEATURES && states & STATES == STATES
}

/// Asks Linux for the tiles' registers in this process, which it does not save for every thread
/// unasked.
fn system_permits_tiles() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let result: isize;
    #[expect(unsafe_code, reason = "a system call without a library")]
    // SAFETY: the call reads and writes no memory of ours.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL as isize => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// This thread's tiles, configured for as long as this lives.
struct Tiles(());

impl Tiles {
    fn configure() -> Tiles {
        #[repr(C, align(64))]
        struct Configuration {
            palette: u8,
            first_row: u8,
            reserved: [u8; 14],
            row_bytes: [u16; 16],
            rows: [u8; 16],
        }
        static EIGHT_WHOLE_TILES: Configuration = Configuration {
            palette: 1,
            first_row: 0,
            reserved: [0; 14],
            row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
            rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
        };
        assert!(available(), "tiles are there");
        #[expect(unsafe_code, reason = "an instruction without an intrinsic")]
        // SAFETY: the processor has it, and the system permits it to this process.
        unsafe {
            asm!(
                "ldtilecfg [{}]",
                in(reg) &raw const EIGHT_WHOLE_TILES,
                options(nostack, readonly, preserves_flags),
            );
        }
        Tiles(())
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "an instruction without an intrinsic")]
        // SAFETY: the processor has it, as the tiles were configured.
        unsafe {
            asm!("tilerelease", options(nostack, nomem, preserves_flags));
        }
    }
}

/// Rows of the left side, `stride` bytes apart.
#[derive(Clone, Copy)]
struct Left {
    start: *const u8,
    stride: usize,
}

/// What to bring into the cache meanwhile: so many lines a step, one after the other.
#[derive(Clone, Copy)]
struct Ahead {
    start: *const u8,
    lines: usize,
}

/// Two by two tiles of c (rows `stride` bytes apart), plus `steps` tiles of each of two tiles'
/// rows on the left with two panels on the right.
///
/// # Safety
/// All of these must lie in memory, c's to write.
#[expect(unsafe_code, reason = "instructions without intrinsics")]
unsafe fn two_by_two(
    _: &Tiles,
    left: Left,
    right: [*const Line; 2],
    steps: usize,
    c: *mut f32,
    stride: usize,
    ahead: Ahead,
) {
    // SAFETY: the caller's promise; tiles are nobody else's, and what is brought into the cache
    // need not be there at all.
    unsafe {
        asm!(
            "lea {t}, [{stride}*8]",
            "lea {t}, [{c} + {t}*2]",
            "tileloadd tmm0, [{c} + {stride}*1]",
            "tileloadd tmm1, [{c} + {stride}*1 + 64]",
            "tileloadd tmm2, [{t} + {stride}*1]",
            "tileloadd tmm3, [{t} + {stride}*1 + 64]",
            "2:",
            "tileloadd tmm4, [{a0} + {a_stride}*1]",
            "tileloadd tmm6, [{b0} + {line}*1]",
            "tileloadd tmm7, [{b1} + {line}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{a1} + {a_stride}*1]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "mov {t}, {lines}",
            "test {t}, {t}",
            "jz 4f",
            "3:",
            "prefetcht1 [{ahead}]",
            "add {ahead}, 64",
            "dec {t}",
            "jnz 3b",
            "4:",
            "add {a0}, 64",
            "add {a1}, 64",
            "add {b0}, {TILE}",
            "add {b1}, {TILE}",
            "dec {steps}",
            "jnz 2b",
            "lea {t}, [{stride}*8]",
            "lea {t}, [{c} + {t}*2]",
            "tilestored [{c} + {stride}*1], tmm0",
            "tilestored [{c} + {stride}*1 + 64], tmm1",
            "tilestored [{t} + {stride}*1], tmm2",
            "tilestored [{t} + {stride}*1 + 64], tmm3",
            TILE = const TILE,
            a0 = inout(reg) left.start => _,
            a1 = inout(reg) left.start.wrapping_add(SIDE * left.stride) => _,
            a_stride = in(reg) left.stride,
            b0 = inout(reg) right[0] => _,
            b1 = inout(reg) right[1] => _,
            line = in(reg) size_of::<Line>(),
            steps = inout(reg) steps => _,
            c = in(reg) c,
            stride = in(reg) stride,
            ahead = inout(reg) ahead.start => _,
            lines = in(reg) ahead.lines,
            t = out(reg) _,
            options(nostack),
        );
    }
}

/// Four tiles of c below one another, plus `steps` tiles of each of four tiles' rows on the left
/// with one panel on the right; otherwise as [`two_by_two`].
///
/// # Safety
/// As there.
#[expect(unsafe_code, reason = "instructions without intrinsics")]
unsafe fn four_by_one(
    _: &Tiles,
    left: Left,
    right: *const Line,
    steps: usize,
    c: *mut f32,
    stride: usize,
    ahead: Ahead,
) {
    // SAFETY: as above.
    unsafe {
        asm!(
            "mov {t}, {c}",
            "tileloadd tmm0, [{t} + {stride}*1]",
            "add {t}, {tile_rows}",
            "tileloadd tmm1, [{t} + {stride}*1]",
            "add {t}, {tile_rows}",
            "tileloadd tmm2, [{t} + {stride}*1]",
            "add {t}, {tile_rows}",
            "tileloadd tmm3, [{t} + {stride}*1]",
            "2:",
            "mov {t}, {a}",
            "tileloadd tmm7, [{b} + {line}*1]",
            "tileloadd tmm4, [{t} + {a_stride}*1]",
            "add {t}, {a_tile_rows}",
            "tdpbf16ps tmm0, tmm4, tmm7",
            "tileloadd tmm5, [{t} + {a_stride}*1]",
            "add {t}, {a_tile_rows}",
            "tdpbf16ps tmm1, tmm5, tmm7",
            "tileloadd tmm6, [{t} + {a_stride}*1]",
            "add {t}, {a_tile_rows}",
            "tdpbf16ps tmm2, tmm6, tmm7",
            "tileloadd tmm4, [{t} + {a_stride}*1]",
            "tdpbf16ps tmm3, tmm4, tmm7",
            "mov {t}, {lines}",
            "test {t}, {t}",
            "jz 4f",
            "3:",
            "prefetcht1 [{ahead}]",
            "add {ahead}, 64",
            "dec {t}",
            "jnz 3b",
            "4:",
            "add {a}, 64",
            "add {b}, {TILE}",
            "dec {steps}",
            "jnz 2b",
            "mov {t}, {c}",
            "tilestored [{t} + {stride}*1], tmm0",
            "add {t}, {tile_rows}",
            "tilestored [{t} + {stride}*1], tmm1",
            "add {t}, {tile_rows}",
            "tilestored [{t} + {stride}*1], tmm2",
            "add {t}, {tile_rows}",
            "tilestored [{t} + {stride}*1], tmm3",
            TILE = const TILE,
            a = inout(reg) left.start => _,
            a_stride = in(reg) left.stride,
            a_tile_rows = in(reg) SIDE * left.stride,
            b = inout(reg) right => _,
            line = in(reg) size_of::<Line>(),
            steps = inout(reg) steps => _,
            c = in(reg) c,
            stride = in(reg) stride,
            tile_rows = in(reg) SIDE * stride,
            ahead = inout(reg) ahead.start => _,
            lines = in(reg) ahead.lines,
            t = out(reg) _,
            options(nostack),
        );
    }
}

/// x·Wᵀ for some rows of the weight, the columns of the block; `x` has the tiles of
/// [`super::pack::columns`].
pub(super) fn product(
    x: &[Line],
    weight: &[u16],
    inner: usize,
    rows: Range<usize>,
    block: &mut Block,
) {
    let across = inner.div_ceil(LINE);
    let panels = block.rows.div_ceil(SIDE);
    assert!(
        x.len() == panels * SIDE * across,
        "tiles of {} rows of {inner} values",
        block.rows
    );
    let weight = &weight[rows.start * inner..rows.end * inner];
    let copies = copies_of_parts(weight, inner);
    let width = panels * SIDE;
    let mut turned = Buffer::zeros(rows.len().next_multiple_of(GROUP) * width);
    // Whole rows where x stays in the cache: the next ones are then one piece of memory.
    let length = if x.len() * LINE <= CACHED {
        across
    } else {
        LENGTH
    };
    let tiles = Tiles::configure();
    for start in (0..across).step_by(length) {
        let steps = length.min(across - start);
        for panel in (0..panels).step_by(2) {
            let groups = turned.chunks_exact_mut(GROUP * width);
            for (i, turned) in groups.enumerate() {
                let left = match &copies[i] {
                    Some(copy) => Left {
                        start: copy[start..].as_ptr().cast(),
                        stride: across * size_of::<Line>(),
                    },
                    None => Left {
                        start: weight[i * GROUP * inner + start * LINE..].as_ptr().cast(),
                        stride: inner * size_of::<u16>(),
                    },
                };
                // Only what is read for the first time, and is contiguous.
                let ahead = panel == 0 && steps == across && copies[i].is_none();
                let step = Step {
                    tiles: &tiles,
                    left,
                    right: &x[panel * across * SIDE..],
                    across,
                    range: start..start + steps,
                    ahead,
                };
                step.group(&mut turned[panel * SIDE..], width, panels - panel);
            }
        }
    }
    drop(tiles);
    turn(&turned, width, block, rows.len());
}

/// For every group of the weight's rows a copy that is filled up with zeros to whole tiles, where
/// it has none.
fn copies_of_parts(weight: &[u16], inner: usize) -> Vec<Option<Vec<Line>>> {
    let across = inner.div_ceil(LINE);
    weight
        .chunks(GROUP * inner)
        .map(|rows| {
            if rows.len() == GROUP * inner && inner.is_multiple_of(LINE) {
                return None;
            }
            let mut copy = zeros(GROUP * across);
            for (lines, row) in copy.chunks_exact_mut(across).zip(rows.chunks_exact(inner)) {
                for (line, values) in lines.iter_mut().zip(row.chunks(LINE)) {
                    line.0[..values.len()].copy_from_slice(values);
                }
            }
            Some(copy)
        })
        .collect()
}

/// A group of the weight's rows and some panels of x.
struct Step<'a> {
    tiles: &'a Tiles,
    /// The group's rows, from the range on.
    left: Left,
    /// The panels, of `across` tiles each.
    right: &'a [Line],
    across: usize,
    /// The tiles that are multiplied.
    range: Range<usize>,
    /// Whether to bring the next group into the cache, which follows this one in memory.
    ahead: bool,
}

impl Step<'_> {
    /// Adds up for two panels, or one if no more are left, in `c`, whose rows are as wide as
    /// `width`.
    fn group(&self, c: &mut [f32], width: usize, panels: usize) {
        let steps = self.range.len();
        let first = &self.right[self.range.start * SIDE..];
        let stride = width * size_of::<f32>();
        let ahead = |part: usize, parts: usize| Ahead {
            // What is brought into the cache need not be inside the weight.
            start: (self.left.start)
                .wrapping_add((GROUP + part * GROUP / parts) * self.left.stride),
            lines: if self.ahead { GROUP / parts } else { 0 },
        };
        if panels == 1 {
            assert!(first.len() >= steps * SIDE && c.len() >= (GROUP - 1) * width + SIDE);
            #[expect(unsafe_code, reason = "tiles are loaded by address")]
            // SAFETY: the left side has a whole group of rows with these tiles; the others were
            // checked just now.
            unsafe {
                let (right, c) = (first.as_ptr(), c.as_mut_ptr());
                four_by_one(self.tiles, self.left, right, steps, c, stride, ahead(0, 1));
            }
            return;
        }
        let second = &first[self.across * SIDE..];
        assert!(second.len() >= steps * SIDE && c.len() >= (GROUP - 1) * width + 2 * SIDE);
        for half in 0..2 {
            let row = half * 2 * SIDE;
            let left = Left {
                start: self.left.start.wrapping_add(row * self.left.stride),
                stride: self.left.stride,
            };
            let right = [first.as_ptr(), second.as_ptr()];
            let c = c[row * width..].as_mut_ptr();
            #[expect(unsafe_code, reason = "tiles are loaded by address")]
            // SAFETY: as above.
            unsafe {
                two_by_two(self.tiles, left, right, steps, c, stride, ahead(half, 2));
            }
        }
    }
}

/// Writes the transpose of the first `columns` rows into the block.
fn turn(turned: &[f32], width: usize, block: &mut Block, columns: usize) {
    for (i, rows) in block.values.chunks_mut(SIDE * block.width).enumerate() {
        let count = block.rows.saturating_sub(i * SIDE).min(SIDE);
        let rows = &mut rows[..count * block.width];
        if count > 0 {
            turn_rows(&turned[i * SIDE..], width, rows, block.width, columns);
        }
    }
}

vectorised! {
    fn turn_rows(
        turned: &[f32],
        width: usize,
        rows: &mut [f32],
        row_width: usize,
        columns: usize,
    ) {
        for first in (0..columns).step_by(SIDE) {
            let last = columns.min(first + SIDE);
            for (i, row) in rows.chunks_exact_mut(row_width).enumerate() {
                for (column, value) in (first..last).zip(&mut row[first..last]) {
                    *value = turned[column * width + i];
                }
            }
        }
    }
}

/// dy·W for some columns of the weight, and of the block; `dy` has the rows of
/// [`super::pack::rows`], zero rows up to a multiple of 32 included.
pub(super) fn product_with_transposed(
    dy: &[Line],
    weight: &[u16],
    inner: usize,
    columns: Range<usize>,
    block: &mut Block,
) {
    let outputs = weight.len() / inner;
    let across = outputs.div_ceil(LINE);
    let m = block.rows.next_multiple_of(2 * SIDE);
    let width = block.width;
    assert!(
        dy.len() >= m * across
            && columns.len().next_multiple_of(LINE) <= width
            && m * width <= block.values.len(),
        "matrices as large as the product's sizes"
    );
    let ahead = Ahead {
        start: std::ptr::null(),
        lines: 0,
    };
    let mut lines = Vec::new();
    let tiles = Tiles::configure();
    for start in (0..outputs).step_by(DEPTH) {
        let rows = start..outputs.min(start + DEPTH);
        let high = row_pairs(weight, inner, rows, columns.clone(), &mut lines);
        for first in (0..m).step_by(2 * SIDE) {
            let left = Left {
                start: dy[first * across + start / LINE..].as_ptr().cast(),
                stride: across * size_of::<Line>(),
            };
            for (panel, lines) in lines.chunks_exact(2 * high).enumerate() {
                let (upper, lower) = lines.split_at(high);
                let right = [upper.as_ptr(), lower.as_ptr()];
                let c = block.values[first * width + panel * LINE..].as_mut_ptr();
                let stride = width * size_of::<f32>();
                #[expect(unsafe_code, reason = "tiles are loaded by address")]
                // SAFETY: the sizes were checked above; the packed rows are filled up to whole
                // tiles, as those of dy are, so that these have as many.
                unsafe {
                    two_by_two(&tiles, left, right, high / SIDE, c, stride, ahead);
                }
            }
        }
    }
}
