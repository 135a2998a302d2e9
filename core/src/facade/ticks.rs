//! A counter that grows with time, for a few nanoseconds a reading: a worker asks it every few turns whether it is time to
//! look at the clock.
//!
//! How much a tick is must be measured, and differs between machines. It may stand still, jump, or differ between cores
//! where the hardware is odd: nothing may depend on it but when something is done that may be done at any time.

/// The counter.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and user code may execute it unless the process was asked to fail
    // if it does (`PR_SET_TSC`). It touches nothing but its result.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The counter.
#[cfg(target_arch = "aarch64")]
#[inline]
pub fn ticks() -> u64 {
    let ticks: u64;
    // SAFETY: the virtual counter is readable for user code on all systems that `kahn` runs on: it is what their clocks are
    // made of. The instruction touches nothing but its result.
    unsafe {
        core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags))
    };
    ticks
}

/// The counter: nanoseconds, by the clock.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn ticks() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;

    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let since = super::now().saturating_duration_since(*ORIGIN.get_or_init(super::now));
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
