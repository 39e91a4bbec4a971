//! Memory for an instance that lives for one call.
//!
//! Scripts make and drop small values all the time. Blocks of a size are kept in a list of their
//! own, so that making and dropping one takes a few instructions; memory is never joined again or
//! given back, as all of it goes with the instance.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr::null_mut;

/// Small blocks come in multiples of this, and are aligned to it.
const STEP: usize = 16;
/// Larger blocks come in powers of two.
const SMALL: usize = 1024;
const SMALL_CLASSES: usize = SMALL / STEP;
const CLASSES: usize = SMALL_CLASSES + 32;
const PAGE: usize = 64 << 10;
/// As many as an address reaches.
const ALL_PAGES: usize = 1 << 16;
/// Least number of pages that is asked for at once.
const CHUNK_PAGES: usize = 16;

/// Lets the host see what a script asked for when that is more than an address holds: the standard
/// library panics before it asks the allocator, so the memory is asked for here, to be refused.
pub fn report_overflow() {
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload_as_str() == Some("capacity overflow") {
            core::arch::wasm32::memory_grow::<0>(ALL_PAGES);
        }
    }));
}

struct State {
    /// The first free block of each class; each begins with the address of the next.
    free: [*mut u8; CLASSES],
    /// What is left of the last chunk.
    next: usize,
    end: usize,
}

struct Classes(UnsafeCell<State>);

// SAFETY: components of the contract have one thread.
unsafe impl Sync for Classes {}

#[global_allocator]
static ALLOCATOR: Classes = Classes(UnsafeCell::new(State {
    free: [null_mut(); CLASSES],
    next: 0,
    end: 0,
}));

/// The class of blocks for `size` bytes, and their size.
fn class(size: usize) -> (usize, usize) {
    if size <= SMALL {
        let class = size.max(1).div_ceil(STEP);
        (class - 1, class * STEP)
    } else {
        let rounded = size.next_power_of_two();
        let class = SMALL_CLASSES + (rounded / SMALL).trailing_zeros() as usize;
        (class, rounded)
    }
}

impl State {
    /// `size` bytes that nobody had before, null when there are none.
    #[cold]
    #[inline(never)]
    fn fresh(&mut self, size: usize, align: usize) -> *mut u8 {
        let mut start = self.next.next_multiple_of(align);
        if start.checked_add(size).is_none_or(|end| end > self.end) {
            let pages = (size + align).div_ceil(PAGE).max(CHUNK_PAGES);
            let before = core::arch::wasm32::memory_grow::<0>(pages);
            if before == usize::MAX {
                return null_mut();
            }
            let chunk = before * PAGE;
            // A chunk that follows the last one goes on with it.
            if chunk != self.end {
                self.next = chunk;
            }
            // The very last byte of a 4 GiB memory is left alone, so that this cannot overflow.
            self.end = chunk.saturating_add(pages * PAGE);
            start = self.next.next_multiple_of(align);
        }
        self.next = start + size;
        start as *mut u8
    }
}

// SAFETY: a block is in use or in the list of its class, never both; fresh ones do not overlap;
// all are as large as their class and aligned to `STEP`, or as asked for when that is more.
unsafe impl GlobalAlloc for Classes {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: there is one thread, and nothing below calls back.
        let state = unsafe { &mut *self.0.get() };
        if layout.align() > STEP || layout.size() > isize::MAX as usize / 2 {
            return state.fresh(layout.size(), layout.align());
        }
        let (class, size) = class(layout.size());
        let block = state.free[class];
        if block.is_null() {
            return state.fresh(size, STEP);
        }
        // SAFETY: a free block begins with the address of the next.
        state.free[class] = unsafe { block.cast::<*mut u8>().read() };
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout.align() > STEP || layout.size() > isize::MAX as usize / 2 {
            // Too rare to be kept.
            return;
        }
        // SAFETY: as in `alloc`.
        let state = unsafe { &mut *self.0.get() };
        let (class, _) = class(layout.size());
        // SAFETY: the block is free now, and large enough for an address.
        unsafe { block.cast::<*mut u8>().write(state.free[class]) };
        state.free[class] = block;
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `realloc`, which is that of both parts.
        unsafe {
            let new = Layout::from_size_align_unchecked(new_size, layout.align());
            if layout.align() <= STEP && class(layout.size()) == class(new_size) {
                return block;
            }
            let moved = self.alloc(new);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}
