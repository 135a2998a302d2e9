//! Stack overflow: reports which green thread needs a larger stack, before the process aborts.
//!
//! ```text
//!   the green thread's slot                          the OS thread's alternate stack
//!   | guard | frame | frame | … | top |              | guard |        … handler frame |
//!      ^  <- touched by the next frame                                ^
//!      └── SIGSEGV (SIGBUS on some systems), si_addr = here ──────────┘
//! ```
//!
//! In functions with large frames, Rust probes the stack page by page, so one guard page catches any Rust function.
//! The handler runs on the alternate stack, because the full stack has no room for it. If the address is in the guard
//! of a slot, the handler writes which green thread overflowed, the size of its stack, and the remedy, and aborts. Any
//! other fault goes to the previous handler, with the arguments that it expects: std's handler, which reports the
//! overflow of an OS thread; an embedder's; or the default.
//!
//! All code that a handler runs must be async-signal-safe: no allocation, no lock, no `std` formatting. It uses loads
//! of atomics, a buffer on the stack, and `write`, `sigaction`, `raise` and `abort`, which POSIX lists.

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

/// Passes a description of the running green thread, such as `green thread 'parser' (id 7)`, to its argument.
///
/// Called in a signal handler, on a thread whose stack is full. It must be async-signal-safe.
pub(crate) type Describe = fn(&mut dyn FnMut(&[u8]));

/// The registered [`Describe`], or null.
static DESCRIBE: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// A handled signal, with the action that it had before. `previous` is null until `install` sets it. It is never
/// changed or freed after that.
struct Fault {
    signal: c_int,
    previous: AtomicPtr<libc::sigaction>,
}

/// Linux sends SIGSEGV for a guard. macOS and the BSDs may send SIGBUS.
static FAULTS: [Fault; 2] = [
    Fault { signal: libc::SIGSEGV, previous: AtomicPtr::new(ptr::null_mut()) },
    Fault { signal: libc::SIGBUS, previous: AtomicPtr::new(ptr::null_mut()) },
];

/// Registers the function that describes the running green thread in the message.
pub(crate) fn set_describe(describe: Describe) {
    // Release: pairs with the Acquire in `report`, though a function needs nothing published but its address.
    DESCRIBE.store(describe as *mut (), Ordering::Release);
}

/// Installs the handlers, at the first call in the process. Best effort: without them an overflow still kills the
/// process, but without a message.
///
/// Handlers that are installed later must pass on the faults that are not theirs, as this one does.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| FAULTS.iter().for_each(install_for));
}

fn install_for(fault: &Fault) {
    // 1. The previous action, stored before the new handler can run and load it.
    let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null new action the call only writes the current one through the last argument.
    if unsafe { libc::sigaction(fault.signal, ptr::null(), previous.as_mut_ptr()) } != 0 {
        return;
    }
    // SAFETY: the call above succeeded, so the action is written.
    let previous = unsafe { previous.assume_init() };
    // Release: pairs with the Acquire in `pass_on`, so that the action behind the pointer is seen.
    fault.previous.store(Box::into_raw(Box::new(previous)), Ordering::Release);

    // 2. The new action, with the mask and the nesting of the previous handler, because the new handler calls it.
    let mut action = previous;
    action.sa_sigaction = on_fault as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | previous.sa_flags & libc::SA_NODEFER;
    // SAFETY: `on_fault` has the signature that SA_SIGINFO asks for, and is async-signal-safe.
    unsafe { libc::sigaction(fault.signal, &action, ptr::null_mut()) };
}

/// The signal handler.
extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid `siginfo_t`. For these two signals it has an address.
    let (code, addr) = unsafe { ((*info).si_code, (*info).si_addr()) };
    // A signal that a process sent has a code of 0 or below, and no address in that field.
    if code > 0
        && let Some(place) = slot_containing(addr.addr())
        && place.in_guard
    {
        report(place.slot.class());
        // SAFETY: `abort` takes no arguments, and is allowed in a handler.
        unsafe { libc::abort() };
    }
    pass_on(signal, info, context);
}

/// Writes the message for the running green thread, whose stack is of this class.
fn report(class: SizeClass) {
    let mut message = Message { buffer: [0; 256], len: 0 };
    message.put(b"\n");
    // Acquire: pairs with the Release in `set_describe`.
    let describe = DESCRIBE.load(Ordering::Acquire);
    if describe.is_null() {
        message.put(b"a green thread");
    } else {
        // SAFETY: a pointer that is not null was stored by `set_describe` from a `Describe`, which has the size of a
        // pointer.
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

/// Passes a fault that is not an overflow to the previous handler.
fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(fault) = FAULTS.iter().find(|fault| fault.signal == signal) else { return };
    // Acquire: pairs with the Release in `install_for`, which stored it before it installed the handler.
    let previous = fault.previous.load(Ordering::Acquire);
    // SAFETY: `install_for` stored a leaked box before it installed the handler, which is running now.
    let previous = unsafe { &*previous };
    match previous.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: the kernel passed a valid `siginfo_t`.
            let sent = unsafe { (*info).si_code } <= 0;
            if sent && previous.sa_sigaction == libc::SIG_IGN {
                return;
            }
            // The default action, even if the signal was ignored: the kernel does not let a fault be ignored either.
            // After the handler returns, the faulting instruction runs again, and the default action kills the
            // process, as it would have without this handler. A signal that was sent does not come again, so it is
            // raised here, and delivered after the handler returns.
            //
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
            // SAFETY: the code that set the flag guarantees that the address is that of a function of this type.
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

/// Text for stderr, collected so that it is written in few pieces.
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

    /// Adds a number below 1024, then its unit.
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
                // Stderr cannot be written to. The process is about to abort anyway.
                Err(_) => break,
            }
        }
        self.len = 0;
    }
}

#[cfg(test)]
#[path = "overflow_tests.rs"]
mod tests;
