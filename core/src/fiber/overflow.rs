//! Overflow: telling the programmer that a green thread needs a larger stack, before the process dies of it.
//!
//! ```text
//!   the green thread's slot                          the OS thread's alternate stack
//!   | guard | frame | frame | … | top |              | guard |        … handler frame |
//!      ^  <- touched by the next frame                                ^
//!      └── SIGSEGV (SIGBUS on some systems), si_addr = here ──────────┘
//! ```
//!
//! Rust probes the stack page by page in functions with large frames, so one guard page catches any Rust
//! function. The handler runs on the alternate stack, as the full one has no room for it. If the address is
//! in the guard of one of our slots it writes who overflowed, by how much room, and the remedy, and aborts.
//! Any other fault is none of our business and goes to the handler that was there before, with what that
//! handler expects: std's, which reports the overflow of an OS thread; an embedder's; or the default.
//!
//! All that a handler runs must be async-signal-safe: no allocation, no lock, no `std` formatting; loads of
//! atomics, a buffer on the stack, and `write`, `sigaction`, `raise` and `abort`, which POSIX lists.

use std::{
    ffi::{c_int, c_void},
    io,
    mem::{self, MaybeUninit},
    ptr,
    sync::{
        Once,
        atomic::{AtomicPtr, Ordering},
    },
};

use super::stack::{SizeClass, slot_containing};

pub(crate) use super::overflow_alt_stack::thread_setup;

/// Feeds the words for the running green thread, such as `green thread 'parser' (id 7)`, to what it is given.
///
/// Called in a signal handler, on a thread that stands on a full stack: it must be async-signal-safe.
pub(crate) type Describe = fn(&mut dyn FnMut(&[u8]));

/// The registered [`Describe`], or null.
static DESCRIBE: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// A signal that we handle, with the action that it had before: null until `install`, then never changed or
/// freed.
struct Fault {
    signal: c_int,
    previous: AtomicPtr<libc::sigaction>,
}

/// Linux says SIGSEGV for a guard; macOS and the BSDs may say SIGBUS.
static FAULTS: [Fault; 2] = [
    Fault { signal: libc::SIGSEGV, previous: AtomicPtr::new(ptr::null_mut()) },
    Fault { signal: libc::SIGBUS, previous: AtomicPtr::new(ptr::null_mut()) },
];

/// Registers who names the running green thread in the message.
pub(crate) fn set_describe(describe: Describe) {
    // Release: with the Acquire in `report`, though a function needs nothing published but its address.
    DESCRIBE.store(describe as *mut (), Ordering::Release);
}

/// Installs the handlers, the first time that it is called in the process. Best effort: without them an
/// overflow kills the process all the same, but without saying why.
///
/// Handlers that others install later must pass on the faults that are not theirs, as this does.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| FAULTS.iter().for_each(install_for));
}

fn install_for(fault: &Fault) {
    // 1. What was there, stored before our handler can run and ask for it.
    let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null new action it only writes the current one to where the last argument points.
    if unsafe { libc::sigaction(fault.signal, ptr::null(), previous.as_mut_ptr()) } != 0 {
        return;
    }
    // SAFETY: the call above succeeded, so the action is written.
    let previous = unsafe { previous.assume_init() };
    // Release: with the Acquire in `pass_on`, so that the action behind the pointer is seen.
    fault.previous.store(Box::into_raw(Box::new(previous)), Ordering::Release);

    // 2. Ours: with the mask and the nesting that the previous handler asked for, since ours calls it.
    let mut action = previous;
    action.sa_sigaction = on_fault as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | previous.sa_flags & libc::SA_NODEFER;
    // SAFETY: `on_fault` has the signature that SA_SIGINFO asks for, and is async-signal-safe.
    unsafe { libc::sigaction(fault.signal, &action, ptr::null_mut()) };
}

/// The handler.
extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid `siginfo_t`; for these two signals it has an address.
    let (code, addr) = unsafe { ((*info).si_code, (*info).si_addr()) };
    // A signal that some process sent has a code of 0 or below, and no address in that place.
    if code > 0
        && let Some(place) = slot_containing(addr.addr())
        && place.in_guard
    {
        report(place.slot.class());
        // SAFETY: takes nothing, and is allowed in a handler.
        unsafe { libc::abort() };
    }
    pass_on(signal, info, context);
}

/// Writes the message for the running green thread, whose stack is of this class.
fn report(class: SizeClass) {
    let mut message = Message { buffer: [0; 256], len: 0 };
    message.put(b"\n");
    // Acquire: with the Release in `set_describe`.
    let describe = DESCRIBE.load(Ordering::Acquire);
    if describe.is_null() {
        message.put(b"a green thread");
    } else {
        // SAFETY: what is not null was stored by `set_describe` from a `Describe`, which has a pointer's
        // size.
        let describe = unsafe { mem::transmute::<*mut (), Describe>(describe) };
        describe(&mut |bytes| message.put(bytes));
    }
    message.put(b" has overflowed its stack of ");
    match class.slot_size() >> 10 {
        kib if kib < 1024 => message.put_number(kib, b" KiB"),
        kib => message.put_number(kib >> 10, b" MiB"),
    }
    message.put(
        b"\nremedy: give it a larger one, kahn::thread::Builder::new().stack_size(bytes), or raise the \
          default, kahn::Runtime::builder().stack_size(bytes)\n",
    );
    message.flush();
}

/// Hands a fault that is not ours to whom it would have gone without us.
fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(fault) = FAULTS.iter().find(|fault| fault.signal == signal) else { return };
    // Acquire: with the Release in `install_for`, which stored it before the handler was installed.
    let previous = fault.previous.load(Ordering::Acquire);
    // SAFETY: `install_for` stored a leaked box before it installed the handler that we are running in.
    let previous = unsafe { &*previous };
    match previous.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: the kernel passed it, valid.
            let sent = unsafe { (*info).si_code } <= 0;
            if sent && previous.sa_sigaction == libc::SIG_IGN {
                return;
            }
            // The default, also for who ignores it: the kernel does not let a fault be ignored either.
            // Returning runs the faulting instruction again, and this time the process dies of it, as it
            // would have. A signal that was sent would not come again, so it is raised, to be delivered on
            // return.
            // SAFETY: zeros are a valid `sigaction`: an empty mask, no flags, and SIG_DFL.
            let mut default: libc::sigaction = unsafe { mem::zeroed() };
            default.sa_sigaction = libc::SIG_DFL;
            // SAFETY: the action is valid, and both calls are allowed in a handler.
            unsafe {
                libc::sigaction(signal, &default, ptr::null_mut());
                if sent {
                    libc::raise(signal);
                }
            }
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: whoever set the flag vouched that the address is that of a function of this type.
            let handler = unsafe {
                mem::transmute::<usize, extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void)>(handler)
            };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: without the flag, and neither default nor ignored, it is a function of this type.
            let handler = unsafe { mem::transmute::<usize, extern "C" fn(c_int)>(handler) };
            handler(signal);
        }
    }
}

/// What will be written to stderr, collected so that it goes out in few pieces.
struct Message {
    buffer: [u8; 256],
    len: usize,
}

impl Message {
    fn put(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.len == self.buffer.len() {
                self.flush();
            }
            self.buffer[self.len] = byte;
            self.len += 1;
        }
    }

    /// Puts a number below 1024, then its unit.
    fn put_number(&mut self, number: usize, unit: &[u8]) {
        let digits = [number / 1000 % 10, number / 100 % 10, number / 10 % 10, number % 10];
        let first = digits.iter().position(|&digit| digit != 0).unwrap_or(digits.len() - 1);
        digits[first..].iter().for_each(|&digit| self.put(&[b'0' + digit as u8]));
        self.put(unit);
    }

    fn flush(&mut self) {
        let mut left = &self.buffer[..self.len];
        while !left.is_empty() {
            // SAFETY: the pointer and the length are those of a live slice.
            let written = unsafe { libc::write(libc::STDERR_FILENO, left.as_ptr().cast(), left.len()) };
            match usize::try_from(written) {
                Ok(0) => break,
                Ok(written) => left = &left[written..],
                Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // Nobody reads it; the process is about to abort anyway.
                Err(_) => break,
            }
        }
        self.len = 0;
    }
}

#[cfg(test)]
#[path = "overflow_tests.rs"]
mod tests;
