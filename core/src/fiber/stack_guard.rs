//! Guards: how accesses to the lowest page of a slot are made to fault.
//!
//! ```text
//!   MADV_GUARD_INSTALL    a marker in the page table; the mapping stays whole    1 mapping for a whole slab
//!   mprotect(PROT_NONE)   the mapping is split around the page                   2 mappings for each slot
//! ```
//!
//! The marker (Linux 6.13) makes a million guarded stacks possible under the default `vm.max_map_count`. Whether it
//! works is tried, never guessed from a version: distributions backport, sandboxes and emulators refuse, and some
//! emulators accept any advice and do nothing. So the first guard of the process is also tested. A refused method is
//! not tried again:
//!
//! ```text
//!   Untried ──> MadviseMany ──refused──> Madvise ──refused──> Mprotect
//!      └─────────────── refused, or has no effect ───────────────^
//! ```

use std::{
    fs::File,
    io::{self, Read},
    sync::atomic::{AtomicU8, AtomicUsize, Ordering},
};

use super::{
    stack_advice::{BATCH, advise_many, advise_one},
    stack_slot::{Slot, page_size},
};

const MADV_GUARD_INSTALL: libc::c_int = 102;

/// How guards are installed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum GuardMethod {
    /// No slot was ever handed out.
    Untried,
    /// Markers, many in one system call.
    MadviseMany,
    /// Markers, one by one.
    Madvise,
    /// Pages without access rights, each of which splits its mapping.
    Mprotect,
}

/// The [`GuardMethod`] in use. All accesses are Relaxed: the value only determines what to try first, every result of
/// the kernel is checked, and no data is published with it.
static METHOD: AtomicU8 = AtomicU8::new(GuardMethod::Untried as u8);

/// Returns the method in use.
pub(crate) fn method() -> GuardMethod {
    use GuardMethod::*;
    match METHOD.load(Ordering::Relaxed) {
        n if n == Untried as u8 => Untried,
        n if n == MadviseMany as u8 => MadviseMany,
        n if n == Madvise as u8 => Madvise,
        _ => Mprotect,
    }
}

/// Makes the next guards use this method, whatever was found before.
#[cfg(test)]
pub(crate) fn force_method(method: GuardMethod) {
    METHOD.store(method as u8, Ordering::Relaxed);
}

/// Guards `slots`, at most [`BATCH`] of them, in order. Returns how many were guarded, and the error if not all were.
///
/// # Safety
///
/// The guard pages are in a slab, and no thread uses them.
pub(super) unsafe fn install(slots: &[Slot]) -> (usize, io::Result<()>) {
    let page = page_size();
    let mut guards = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: page }; BATCH];
    for (guard, slot) in guards.iter_mut().zip(slots) {
        guard.iov_base = slot.guard().cast();
    }
    let guards = &guards[..slots.len().min(BATCH)];

    let mut done = 0;
    while done < guards.len() {
        let method = method();
        // SAFETY: the caller guarantees that the pages are in a slab and unused. They have no contents to drop, and no
        // thread faults on them by mistake.
        let result = unsafe {
            match method {
                GuardMethod::Untried => advise_one(guards[0], MADV_GUARD_INSTALL).map(|()| 0),
                GuardMethod::MadviseMany => advise_many(&guards[done..], MADV_GUARD_INSTALL),
                GuardMethod::Madvise => advise_one(guards[done], MADV_GUARD_INSTALL).map(|()| 1),
                GuardMethod::Mprotect => protect(guards[done]).map(|()| 1),
            }
        };
        let next = match (method, result) {
            (GuardMethod::Untried, Ok(_)) if faults(guards[0]) => GuardMethod::MadviseMany,
            (GuardMethod::Untried, Ok(_)) => GuardMethod::Mprotect,
            (_, Ok(more)) => {
                done += more;
                continue;
            }
            // The kernel supports the method, but has no memory for it now.
            (_, Err(error)) if error.raw_os_error() == Some(libc::ENOMEM) => return (done, Err(error)),
            (GuardMethod::Mprotect, Err(error)) => return (done, Err(error)),
            (GuardMethod::MadviseMany, Err(_)) => GuardMethod::Madvise,
            (GuardMethod::Untried | GuardMethod::Madvise, Err(_)) => GuardMethod::Mprotect,
        };
        METHOD.store(next as u8, Ordering::Relaxed);
    }
    (done, Ok(()))
}

/// Removes the access rights of a page, as long as that leaves mappings for the rest of the program. At the limit
/// itself the next `malloc` would fail, and with it the code that handles the error.
///
/// # Safety
///
/// As for [`install`].
unsafe fn protect(page: libc::iovec) -> io::Result<()> {
    /// How many pages were protected. Relaxed, here and below: a count, compared with a rough bound.
    static PROTECTED: AtomicUsize = AtomicUsize::new(0);
    /// How many may be protected, at two mappings each. Read again when it is reached, in case the limit was raised.
    static BOUND: AtomicUsize = AtomicUsize::new(0);

    let protected = PROTECTED.load(Ordering::Relaxed);
    if protected >= BOUND.load(Ordering::Relaxed) {
        let bound = max_map_count().map_or(usize::MAX, |max| (max - headroom(max)) / 2);
        BOUND.store(bound, Ordering::Relaxed);
        if protected >= bound {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
    }
    // SAFETY: the caller guarantees that no thread uses the page.
    match unsafe { libc::mprotect(page.iov_base, page.iov_len, libc::PROT_NONE) } {
        0 => {
            PROTECTED.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Returns how many of the mappings that the kernel allows are left to other code.
fn headroom(max_map_count: usize) -> usize {
    max_map_count / 8
}

/// Returns whether an access to the page faults, without faulting: the kernel is asked to read the name of a file from
/// it, which is empty on a page that was never written.
pub(super) fn faults(page: libc::iovec) -> bool {
    // SAFETY: the kernel checks the pointer: it reads a zero and stops, or reports EFAULT.
    let result = unsafe { libc::access(page.iov_base.cast(), libc::F_OK) };
    result != 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}

/// Returns an error whose text explains why there was no memory for a stack: the number of mappings, or another limit.
///
/// Reads `/proc/self/maps`, which takes milliseconds when it is long.
pub(super) fn explain(error: io::Error) -> io::Error {
    if !matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EAGAIN)) {
        return error;
    }
    let text = match (count_mappings(), max_map_count()) {
        (Some(count), Some(max)) if count + headroom(max) >= max => {
            let why = match method() {
                GuardMethod::Mprotect => {
                    "each guarded stack takes two of them here; with MADV_GUARD_INSTALL (Linux 6.13) none"
                }
                _ => "the guards of stacks take none of them, so something else does",
            };
            format!(
                "no more memory mappings for green threads' stacks: the process has {count}, and \
                 vm.max_map_count allows {max}, an eighth of which is kept for others; {why}. Raise it, as \
                 in `sysctl -w vm.max_map_count={}`, or keep fewer green threads parked at a time",
                max.max(65_530) * 16
            )
        }
        _ => format!(
            "no memory for another green thread's stack ({error}): ask for smaller stacks, keep fewer green \
             threads parked at a time, or raise what limits the process (memory, `ulimit -v`, \
             vm.overcommit_memory)"
        ),
    };
    io::Error::new(io::ErrorKind::OutOfMemory, text)
}

/// Returns how many mappings the process has, if `/proc` shows it. Allocates nothing, because memory is short.
fn count_mappings() -> Option<usize> {
    let mut maps = File::open("/proc/self/maps").ok()?;
    let mut buffer = [0; 4096];
    let mut lines = 0;
    loop {
        match maps.read(&mut buffer).ok()? {
            0 => return Some(lines),
            n => lines += buffer[..n].iter().filter(|&&byte| byte == b'\n').count(),
        }
    }
}

/// Returns how many mappings the process may have.
fn max_map_count() -> Option<usize> {
    std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()
}
