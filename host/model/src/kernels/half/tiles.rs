//! The tiles of the advanced matrix extensions: whether they are there, and products of tiles.
//!
//! The instructions are written in assembly because the compiler's own are not stable.

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _xgetbv};
use std::sync::OnceLock;

use super::pack::{Line, SIDE};

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
pub(super) struct Tiles(());

impl Tiles {
    pub(super) fn configure() -> Tiles {
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
pub(super) struct Left {
    pub(super) start: *const u8,
    pub(super) stride: usize,
}

/// What to bring into the cache meanwhile: so many lines a step, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    pub(super) start: *const u8,
    pub(super) lines: usize,
}

/// Two by two tiles of c (rows `stride` bytes apart), plus `steps` tiles of each of two tiles'
/// rows on the left with two panels on the right.
///
/// # Safety
/// All of these must lie in memory, c's to write.
#[expect(unsafe_code, reason = "instructions without intrinsics")]
pub(super) unsafe fn two_by_two(
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
pub(super) unsafe fn four_by_one(
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
