//! A counter that grows with time and costs a few nanoseconds to read. Every few turns, a worker uses it to decide
//! whether to read the clock.
//!
//! The length of a tick differs between machines and has to be measured. On odd hardware the counter may stand still,
//! jump, or differ between cores. So it may only decide when to do something that may be done at any time.

/// Reads the counter.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction. User code may execute it, unless the process has asked to
    // fail on it (`PR_SET_TSC`). It affects only its result.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Reads the counter.
#[cfg(target_arch = "aarch64")]
#[inline]
pub fn ticks() -> u64 {
    let ticks: u64;
    // SAFETY: user code can read the virtual counter on all systems on which `kahn` runs, because their clocks are
    // built on it. The instruction affects only its result.
    unsafe {
        core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags))
    };
    ticks
}

/// Reads the counter, which here is the clock in nanoseconds.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn ticks() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;

    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let since = super::now().saturating_duration_since(*ORIGIN.get_or_init(super::now));
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
