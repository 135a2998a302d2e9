//! Homes: thread identities that travel between the kernel threads that run green threads.
//!
//! What code depends on is mostly not the kernel thread that runs it, but that thread's *identity*: the thread-local
//! storage and the control block that the TLS register points to. Values that are not `Send`, borrows of thread-locals,
//! addresses of thread-locals that the compiler keeps, owners of reentrant locks, `thread::current()`, and the caches of
//! allocators all belong to it. A program can set that register. So a suspended stack need not stay on a kernel thread.
//! It need only be resumed under the identity under which it was suspended.
//!
//! A home is the identity of an OS thread that was started for this purpose, and that sleeps in the kernel. A worker
//! *carries* a home: it sets its register to that of the home, resumes a stack, and sets the register back.
//!
//! ```text
//!   home's OS thread:  start ── prepare ── sleep in a futex ─────────────────────── destructors of thread-locals ── exit
//!   identity:                             │ worker 1 │     │ worker 2 │ …          │
//!                                           carries it       carries it             end
//! ```
//!
//! # Why it is sound
//!
//! - *One at a time.* A home belongs to one green thread. A worker that resumes this green thread has taken it from a
//!   queue, so it sees what the last carrier has done, and no other worker resumes it. While the home is carried, its
//!   own OS thread is in a futex system call, with all signals blocked that may be blocked, and uses nothing of its
//!   identity. It leaves the call only after the green thread has given the home up.
//! - *No stale address.* The compiler may keep the address of a thread-local for a whole function. So the register
//!   changes only inside [`Home::carry`], which is not inlined and uses no thread-local. It has its old value when `carry`
//!   returns, so its callers may keep addresses. What runs on the other stack sees only the home: from its view the
//!   register never changes.
//! - *The system.* The restartable sequences of the C library (`rseq`) are registered for each kernel thread, with an
//!   address in its identity. A home's OS thread ends its registration, so code under the home finds none.
//!
//! Where the register cannot be set, [`Home::new`] returns an error. A trial at the first use decides.
//!
//! The idea of an identity that is switched by the TLS register is also used by Caladan (Fried and others, *Caladan:
//! Mitigating Interference at Microsecond Timescales*, 2020), which has one for each of its user-level threads.

#[cfg_attr(
    not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))),
    path = "system_none.rs"
)]
mod system;

use core::cell::Cell;
use core::ptr;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use crate::exits::Ticket;
use crate::primitives::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use crate::wait::current::{self, Current};

/// A thread identity. Its OS thread ends after this value has been dropped.
pub(crate) struct Home {
    inner: Arc<Inner>,
    /// Taken when the home ends.
    thread: Option<JoinHandle<()>>,
}

struct Inner {
    /// `STARTING`, `LENT` or `OVER`. The home's OS thread sleeps on it.
    phase: AtomicU32,
    /// The value of the TLS register. Zero until `LENT`.
    base: AtomicUsize,
    /// What kahn records about the identity. Null until `LENT`.
    current: AtomicPtr<Current>,
}

/// The OS thread uses its identity.
const STARTING: u32 = 0;
/// The OS thread sleeps, or is on its way into the system call, and does not use its identity.
const LENT: u32 = 1;
/// The home has been dropped. The OS thread uses its identity again.
const OVER: u32 = 2;

const UNSUPPORTED: &str = "a home that travels needs a system that lets programs set the TLS register: Linux 5.9 or later on x86-64, or Linux on aarch64; leave `exclusive_home` out, or use an OS thread";

impl Home {
    /// Starts the OS thread of a home. It keeps `ticket` until it ends, and calls `prepared` just before the home can be carried.
    ///
    /// # Errors
    ///
    /// `Unsupported` if identities cannot travel here. Otherwise the error of the system that has refused the thread.
    pub(crate) fn new(
        name: Option<&str>,
        ticket: Ticket,
        prepared: impl FnOnce() + Send + 'static,
    ) -> io::Result<Home> {
        if !is_supported() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, UNSUPPORTED));
        }
        Home::start(name, Some(ticket), prepared)
    }

    fn start(
        name: Option<&str>,
        ticket: Option<Ticket>,
        prepared: impl FnOnce() + Send + 'static,
    ) -> io::Result<Home> {
        let inner = Arc::new(Inner {
            phase: AtomicU32::new(STARTING),
            base: AtomicUsize::new(0),
            current: AtomicPtr::new(ptr::null_mut()),
        });
        let name = name.unwrap_or("kahn-home").to_owned();
        let thread = std::thread::Builder::new().name(name).spawn({
            let inner = Arc::clone(&inner);
            move || {
                if let Some(ticket) = ticket {
                    ticket.keep();
                }
                inner.lend(prepared);
            }
        })?;
        Ok(Home { inner, thread: Some(thread) })
    }

    /// Ends the home. Returns its OS thread, which drops its thread-locals and ends.
    pub(crate) fn end(mut self) -> Option<JoinHandle<()>> {
        self.thread.take()
    }

    /// Returns whether the home can be carried.
    pub(crate) fn is_lent(&self) -> bool {
        // Acquire: pairs with the Release of `lend`. The caller sees what the OS thread has done under the identity.
        self.inner.phase.load(Ordering::Acquire) == LENT
    }

    /// Returns what kahn records about the identity. Used by the carrier alone.
    #[inline]
    pub(crate) fn current(&self) -> &Current {
        // Relaxed: the caller has seen `is_lent`, or got the green thread from a thread that has.
        let current = self.inner.current.load(Ordering::Relaxed);
        // SAFETY: the record is in the storage of the OS thread, which is alive until this home has been dropped. Only the
        // carrier uses it.
        unsafe { &*current }
    }

    /// Calls `f` under this identity. `f` runs code only on stacks that were made for the home.
    ///
    /// Never inlined, and without an access of a thread-local: see the module.
    ///
    /// # Safety
    ///
    /// [`is_lent`](Self::is_lent) has returned true, and no other thread carries the home. `f` uses no address of a
    /// thread-local that was computed outside.
    #[inline(never)]
    pub(crate) unsafe fn carry<R>(&self, f: impl FnOnce() -> R) -> R {
        // SAFETY: as the caller guarantees. This function is not inlined, and uses no thread-local.
        let _carrying = unsafe { Carrying::begin(self) };
        f()
    }

    /// Sets the register to this identity.
    ///
    /// # Safety
    ///
    /// The home is lent, and no other thread carries it.
    #[inline(always)]
    unsafe fn enter(&self) {
        // SAFETY: the home's OS thread sleeps until the home is dropped, and only the caller carries the home.
        unsafe { system::write(self.inner.base.load(Ordering::Relaxed)) };
    }
}

/// Restores the identity under which it was made, also if its scope unwinds.
pub(crate) struct Carrying {
    before: usize,
}

impl Carrying {
    /// Changes to the identity of `home`.
    ///
    /// # Safety
    ///
    /// The calling function and its callers up to one that is never inlined use no thread-local, except in functions that are
    /// never inlined themselves. The home is lent, and no other thread carries it until the value is dropped or
    /// [`change`](Self::change) has changed to another home.
    #[inline(always)]
    pub(crate) unsafe fn begin(home: &Home) -> Carrying {
        let carrying = Carrying { before: system::read() };
        // SAFETY: as the caller guarantees.
        unsafe { home.enter() };
        carrying
    }

    /// Changes from the home that is carried to another one. The caller gives the right to carry the first up only afterwards.
    ///
    /// # Safety
    ///
    /// As for [`begin`](Self::begin).
    #[inline(always)]
    pub(crate) unsafe fn change(&mut self, home: &Home) {
        // SAFETY: as the caller guarantees.
        unsafe { home.enter() };
    }
}

impl Drop for Carrying {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: this is the identity that the kernel thread had before. It is the thread's own, or that of a home that it
        // carries all the time.
        unsafe { system::write(self.before) };
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `sleep_until_over`. The OS thread sees what the carriers have written.
        self.inner.phase.store(OVER, Ordering::Release);
        system::futex_wake(self.inner.phase.as_ptr());
    }
}

impl Inner {
    /// The life of the OS thread: calls `prepared`, and lends its identity until the home is dropped.
    fn lend(&self, prepared: impl FnOnce()) {
        // A handler that ran on this thread would use the identity beside its carrier.
        let unblocked = system::block_all();
        system::leave_restartable_sequences();
        self.base.store(system::read(), Ordering::Relaxed);
        // SAFETY: the carriers use the record in place of this thread, and not after the home was dropped.
        let current = unsafe { current::of_this_thread() };
        self.current.store(ptr::from_ref(current).cast_mut(), Ordering::Relaxed);
        prepared();
        // From here on this thread uses no thread-local, until `OVER`. Release: publishes the two stores above, and what
        // this thread has done under its identity. If the exchange fails, the home has been dropped.
        let _ = self.phase.compare_exchange(STARTING, LENT, Ordering::Release, Ordering::Relaxed);
        self.sleep_until_over();
        current.forget_worker();
        system::restore(unblocked);
    }

    /// Sleeps in the kernel. Not in a parker of `std`, which belongs to the identity: a green thread may use that one.
    #[inline(never)]
    fn sleep_until_over(&self) {
        // Acquire: pairs with the Release of the home's drop.
        while self.phase.load(Ordering::Acquire) != OVER {
            system::futex_wait(self.phase.as_ptr(), LENT);
        }
    }
}

/// Returns whether identities can travel here. The first call tries it.
pub(crate) fn is_supported() -> bool {
    static SUPPORTED: OnceLock<bool> = OnceLock::new();
    *SUPPORTED.get_or_init(|| system::is_writable() && try_once().unwrap_or(false))
}

/// Carries a home, and returns whether its thread-locals are found.
fn try_once() -> io::Result<bool> {
    thread_local! {
        static PROBE: Cell<u32> = const { Cell::new(0) };
    }
    /// Adds to the calling thread's value, and returns it. Not inlined, so no address of the value is kept.
    #[inline(never)]
    fn count(by: u32) -> u32 {
        PROBE.set(PROBE.get() + by);
        PROBE.get()
    }
    let home = Home::start(None, None, || ())?;
    let carried = std::thread::Builder::new().spawn(move || {
        let here = count(1);
        while !home.is_lent() {
            std::thread::yield_now();
        }
        // SAFETY: the home is lent, and only this thread has it. `count` computes the address of its thread-local itself.
        let there = unsafe { home.carry(|| (count(10), count(10))) };
        (here, there, count(1)) == (1, (10, 20), 2)
    })?;
    Ok(carried.join().unwrap_or(false))
}
