//! Counts what a thread allocates, so that tests can hold decoders to a bound.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: usize) {
    // Fails only while the thread ends, when nobody counts any more.
    let _ended = ALLOCATED.try_with(|total| total.set(total.get().saturating_add(bytes)));
}

#[expect(
    unsafe_code,
    reason = "GlobalAlloc is unsafe; every call goes on to the system's allocator"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What the call returns, and the bytes that this thread allocated in it, freed ones included.
pub(crate) fn allocated_by<T>(call: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATED.get();
    let result = call();
    (result, ALLOCATED.get() - before)
}
