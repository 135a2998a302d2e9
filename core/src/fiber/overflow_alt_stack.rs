//! The alternate signal stack: where a handler runs when the stack it interrupted is full.
//!
//! ```text
//!   | guard page | 128 KiB, committed as touched                | <- the handler starts here
//! ```
//!
//! It belongs to an OS thread, not to the green threads that come and go on it. std gives one to the main
//! thread and to those that it spawns; a thread started otherwise has none, and gets one here.

use std::{marker::PhantomData, mem::MaybeUninit, ptr};

use super::stack_slot::page_size;

/// The kernel alone may write 12 KiB of registers there (AMX), and an arm64 with SME 64 KiB, before the
/// handler takes any; what is not used is not committed.
const ALT_STACK_SIZE: usize = 128 * 1024;

/// Keeps the calling OS thread's alternate stack, if it was made for this, until dropped.
#[must_use = "the alternate stack goes when this is dropped"]
pub(crate) struct AltStack {
    /// The lowest byte of the mapping, guard page included; null if the thread had an alternate stack.
    mapping: *mut libc::c_void,
    /// The kernel keeps the setting for each thread, so it must be dropped on the thread that made it.
    _not_send: PhantomData<*mut ()>,
}

/// Sees to it that the calling OS thread, on which green threads are to run, has an alternate stack.
///
/// Best effort: without one (memory is short) an overflow still kills the process at once, but without a
/// message, because the kernel finds no room to run the handler.
pub(crate) fn thread_setup() -> AltStack {
    AltStack { mapping: install().unwrap_or(ptr::null_mut()), _not_send: PhantomData }
}

/// The thread's alternate stack as the kernel has it.
fn current() -> Option<libc::stack_t> {
    let mut stack = MaybeUninit::<libc::stack_t>::zeroed();
    // SAFETY: with a null first argument it only writes the setting to where the second points.
    let result = unsafe { libc::sigaltstack(ptr::null(), stack.as_mut_ptr()) };
    // SAFETY: a `stack_t` is a pointer and two integers, for which zeros are valid if the kernel wrote
    // nothing.
    let stack = unsafe { stack.assume_init() };
    (result == 0 && stack.ss_flags & libc::SS_DISABLE == 0).then_some(stack)
}

/// Maps and sets an alternate stack if there is none, and answers with the mapping.
fn install() -> Option<*mut libc::c_void> {
    if current().is_some() {
        return None;
    }
    let (page, len) = (page_size(), page_size() + ALT_STACK_SIZE);
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that exists.
    let mapping = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON,
            -1,
            0,
        )
    };
    if mapping == libc::MAP_FAILED {
        return None;
    }
    let stack =
        libc::stack_t { ss_sp: mapping.wrapping_byte_add(page), ss_flags: 0, ss_size: ALT_STACK_SIZE };
    // SAFETY: the page is the lowest of the mapping just made; above it there are `ALT_STACK_SIZE` bytes that
    // nobody else uses, and that stay mapped until `drop` has taken the setting back.
    let set = unsafe {
        libc::mprotect(mapping, page, libc::PROT_NONE) == 0 && libc::sigaltstack(&stack, ptr::null_mut()) == 0
    };
    if !set {
        // SAFETY: the mapping just made, which was not set and which nothing refers to.
        unsafe { libc::munmap(mapping, len) };
        return None;
    }
    Some(mapping)
}

impl Drop for AltStack {
    fn drop(&mut self) {
        if self.mapping.is_null() {
            return;
        }
        let ours = self.mapping.wrapping_byte_add(page_size());
        // Whoever replaced the setting may restore it later, so then the mapping has to stay.
        if current().is_none_or(|stack| stack.ss_sp != ours) {
            return;
        }
        // macOS looks at the size even when disabling.
        let disable =
            libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: ALT_STACK_SIZE };
        // SAFETY: the setting is ours, of this thread (the type is not `Send`), which is not running on it
        // since handlers do not drop this; and the mapping is unused once the setting is gone.
        unsafe {
            if libc::sigaltstack(&disable, ptr::null_mut()) == 0 {
                libc::munmap(self.mapping, page_size() + ALT_STACK_SIZE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_of_std_keeps_the_one_it_has() {
        let before = current().unwrap().ss_sp;
        let kept = thread_setup();
        assert!(kept.mapping.is_null());
        drop(kept);
        assert_eq!(current().unwrap().ss_sp, before);
    }

    #[test]
    fn a_thread_with_none_has_one_until_the_guard_is_dropped() {
        let had = current().unwrap();
        let disable = libc::stack_t { ss_flags: libc::SS_DISABLE, ..had };
        // SAFETY: no handler runs now; the setting is put back below.
        assert_eq!(unsafe { libc::sigaltstack(&disable, ptr::null_mut()) }, 0);
        let kept = thread_setup();
        assert_eq!(current().unwrap().ss_size, ALT_STACK_SIZE);
        drop(kept);
        assert!(current().is_none());
        // SAFETY: std's own alternate stack of this thread, still mapped.
        assert_eq!(unsafe { libc::sigaltstack(&had, ptr::null_mut()) }, 0);
    }
}
