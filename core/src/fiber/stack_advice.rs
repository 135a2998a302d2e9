//! `madvise` for many ranges at once.
//!
//! Stacks are guarded and discarded by the hundred, and each range would be a system call. `process_madvise` takes an
//! array of ranges, and since Linux 6.13 it takes any advice when the process that it names is the caller. The
//! kernel's version is not checked: a refusal is an error here, and the caller goes on with [`advise_one`].

use std::io;

/// How many ranges to pass in one call. This spreads the cost of the call thin enough, and the array takes 2 KiB of
/// the caller's stack. The kernel's own limit is 1024.
pub(super) const BATCH: usize = 128;

/// Gives `advice` for a range.
///
/// # Safety
///
/// The effect of the advice on the range must be sound: no code may rely on contents that it drops.
pub(super) unsafe fn advise_one(range: libc::iovec, advice: libc::c_int) -> io::Result<()> {
    // SAFETY: the caller guarantees that the effect is sound. The kernel validates the range itself.
    match unsafe { libc::madvise(range.iov_base, range.iov_len, advice) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives `advice` for the first of `ranges`, in one system call. Returns for how many: at least one.
///
/// # Errors
///
/// The kernel's error, if not even the first is done, also if the kernel does not support the call.
///
/// # Safety
///
/// As for [`advise_one`], for each range.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) unsafe fn advise_many(ranges: &[libc::iovec], advice: libc::c_int) -> io::Result<usize> {
    /// Stands for the caller itself where a pidfd is expected, since Linux 6.15.
    const PIDFD_SELF: libc::c_int = -10_000;

    // SAFETY: the caller guarantees that the effect on each range is sound.
    let advised = match unsafe { process_madvise(PIDFD_SELF, ranges, advice) } {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => {
            // Opened anew each time: a pidfd that was kept would, after a fork, name the parent.
            //
            // SAFETY: neither call takes a pointer.
            let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) } as libc::c_int;
            if pidfd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the caller guarantees that the effect on each range is sound.
            let advised = unsafe { process_madvise(pidfd, ranges, advice) };
            // SAFETY: the descriptor was opened above, and no other code has it.
            unsafe { libc::close(pidfd) };
            advised?
        }
        advised => advised?,
    };
    // The kernel stops at the first range that fails, and returns the bytes of the ranges before.
    let mut left = advised;
    let done = ranges
        .iter()
        .take_while(|range| {
            let whole = range.iov_len <= left;
            left = left.saturating_sub(range.iov_len);
            whole
        })
        .count();
    if done == 0 { Err(io::Error::from_raw_os_error(libc::EINVAL)) } else { Ok(done) }
}

/// Other systems have no such call.
///
/// # Safety
///
/// None needed: it does nothing.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) unsafe fn advise_many(_: &[libc::iovec], _: libc::c_int) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The system call, which libc does not wrap. Returns the number of bytes advised.
///
/// # Safety
///
/// As for [`advise_many`].
#[cfg(any(target_os = "linux", target_os = "android"))]
unsafe fn process_madvise(
    pidfd: libc::c_int,
    ranges: &[libc::iovec],
    advice: libc::c_int,
) -> io::Result<usize> {
    // SAFETY: the array is a live slice whose length is passed with it. The caller guarantees that the effect on each
    // range is sound.
    let advised = unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            pidfd,
            ranges.as_ptr(),
            ranges.len(),
            advice,
            0 as libc::c_uint,
        )
    };
    usize::try_from(advised).map_err(|_| io::Error::last_os_error())
}
