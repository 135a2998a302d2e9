//! The alternate signal stack: a handler runs on it when the interrupted stack is full.
//!
//! ```text
//!   | guard page | 128 KiB, committed as touched                | <- the handler starts here
//! ```
//!
//! It belongs to an OS thread, not to the green threads that run there. std makes one for the main thread and for the
//! threads that it spawns. A thread that was started in another way has none, and gets one here.

use std::{marker::PhantomData, mem::MaybeUninit, ptr};

use super::stack_slot::page_size;

/// The size in bytes. The kernel alone may write 12 KiB of registers there (AMX), and 64 KiB on an arm64 with SME,
/// before the handler uses any. Unused pages are not committed.
const ALT_STACK_SIZE: usize = 128 * 1024;

/// Owns the alternate stack of the calling OS thread, if `thread_setup` made it. Removes it when dropped.
#[must_use = "the alternate stack goes when this is dropped"]
pub(crate) struct AltStack {
    /// The lowest byte of the mapping, guard page included. Null if the thread had an alternate stack before.
    mapping: *mut libc::c_void,
    /// The kernel keeps the setting for each thread, so the value must be dropped on the thread that made it.
    _not_send: PhantomData<*mut ()>,
}

/// Gives the calling OS thread, on which green threads are to run, an alternate stack if it has none.
///
/// Best effort: without one (memory is short) an overflow still kills the process at once, but without a message,
/// because the kernel has no room to run the handler.
pub(crate) fn thread_setup() -> AltStack {
    AltStack { mapping: install().unwrap_or(ptr::null_mut()), _not_send: PhantomData }
}

/// Returns the thread's alternate stack, if the kernel has one set.
fn current() -> Option<libc::stack_t> {
    let mut stack = MaybeUninit::<libc::stack_t>::zeroed();
    // SAFETY: with a null first argument the call only writes the setting through the second.
    let result = unsafe { libc::sigaltstack(ptr::null(), stack.as_mut_ptr()) };
    // SAFETY: a `stack_t` is a pointer and two integers, for which zeros are valid if the kernel wrote nothing.
    let stack = unsafe { stack.assume_init() };
    (result == 0 && stack.ss_flags & libc::SS_DISABLE == 0).then_some(stack)
}

/// Maps and sets an alternate stack if there is none. Returns the mapping, or `None` if it made none.
fn install() -> Option<*mut libc::c_void> {
    if current().is_some() {
        return None;
    }
    let (page, len) = (page_size(), page_size() + ALT_STACK_SIZE);
    // SAFETY: an anonymous mapping at an address of the kernel's choice affects no existing memory.
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
    // SAFETY: the page is the lowest of the mapping made above. The `ALT_STACK_SIZE` bytes behind it have no other
    // user, and stay mapped until `drop` has removed the setting.
    let set = unsafe {
        libc::mprotect(mapping, page, libc::PROT_NONE) == 0 && libc::sigaltstack(&stack, ptr::null_mut()) == 0
    };
    if !set {
        // SAFETY: this is the mapping made above. It was not set, and nothing refers to it.
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
        // Other code has replaced the setting, and may restore it later. So the mapping has to stay.
        if current().is_none_or(|stack| stack.ss_sp != ours) {
            return;
        }
        // macOS checks the size even when disabling.
        let disable =
            libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: ALT_STACK_SIZE };
        // SAFETY: the setting was made here, for this thread (the type is not `Send`). The thread does not run on it
        // now, because handlers do not drop this value. The mapping is unused once the setting is removed.
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
    fn std_thread_keeps_its_alternate_stack() {
        let before = current().unwrap().ss_sp;
        let kept = thread_setup();
        assert!(kept.mapping.is_null());
        drop(kept);
        assert_eq!(current().unwrap().ss_sp, before);
    }

    #[test]
    fn thread_without_alternate_stack_has_one_until_the_guard_is_dropped() {
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
