//! An opt-in check: no green thread parks inside the initialiser of a `thread_local!` of std.
//!
//! While such an initialiser is parked, another green thread of the OS thread may initialise the same value and borrow
//! it. When the first goes on, std drops that value and stores its own, which leaves the borrow dangling. Only std
//! knows whether an initialiser runs, so the check looks for its frames on the stack, at each park and yield:
//!
//! 1. The unwinder of the C library lists the return addresses.
//! 2. Addresses that have been seen before are known to belong to no initialiser. This holds for nearly all of them.
//! 3. If there is a new address, std names all frames, which takes milliseconds, on another OS thread, because the
//!    stack may be small. If a frame belongs to std's lazy storage of thread-locals, the process is aborted with a
//!    message. (A panic would leave the nodes of a wait in their queues.) Otherwise all addresses are recorded.
//!
//! The check misses an initialiser whose frames have all been inlined, in a build without debug information. In a
//! debug build nothing is inlined, and with `debug = "line-tables-only"` inlined frames have their names.

use core::ffi::{c_int, c_void};
use std::backtrace::Backtrace;
use std::collections::HashSet;
use std::io::Write;
use std::sync::{PoisonError, RwLock};

use crate::primitives::{AtomicBool, Ordering};
use crate::wait::{Reason, current};

/// The environment variable that turns checks on, and this check's name in it.
const VARIABLE: &str = "KAHN_CHECK";
const NAME: &str = "thread_locals";

static ON: AtomicBool = AtomicBool::new(false);

/// Return addresses of frames that belong to no initialiser.
static KNOWN: RwLock<Option<HashSet<usize>>> = RwLock::new(None);

/// Turns the check on if the environment asks for it. Called before the first green thread runs.
pub(crate) fn install() {
    let asked = std::env::var(VARIABLE).is_ok_and(|list| list.split(',').any(|name| name.trim() == NAME));
    if asked {
        // Relaxed: green threads start after this, by way of a queue.
        ON.store(true, Ordering::Relaxed);
    }
}

#[inline]
pub(super) fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

unsafe extern "C" {
    // From the unwinder that std links.
    fn _Unwind_Backtrace(
        each: extern "C" fn(context: *mut c_void, to: *mut c_void) -> c_int,
        to: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

/// The most frames that are examined.
const FRAMES_MAX: usize = 256;

struct Frames {
    count: usize,
    addresses: [usize; FRAMES_MAX],
}

extern "C" fn note(context: *mut c_void, to: *mut c_void) -> c_int {
    const GO_ON: c_int = 0;
    const STOP: c_int = 5;
    // SAFETY: `check` passes a pointer to its frames, and waits for the walk.
    let frames = unsafe { &mut *to.cast::<Frames>() };
    if frames.count == FRAMES_MAX {
        return STOP;
    }
    // SAFETY: the context is the unwinder's own, and is used during its call.
    frames.addresses[frames.count] = unsafe { _Unwind_GetIP(context) };
    frames.count += 1;
    GO_ON
}

/// Checks the stack of the caller, a green thread that is about to park or to yield. `reason` is set if it parks. A green thread with a
/// home of its own may do so inside an initialiser: no other comes to the value.
#[cold]
#[inline(never)]
pub(super) fn check(reason: Option<Reason>) {
    if current::is_exclusive() {
        return;
    }
    let mut frames = Frames { count: 0, addresses: [0; FRAMES_MAX] };
    // SAFETY: `note` has the type that the unwinder wants, and `frames` outlives the walk.
    unsafe { _Unwind_Backtrace(note, (&raw mut frames).cast()) };
    let addresses = &frames.addresses[..frames.count];
    {
        let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(|known| addresses.iter().all(|address| known.contains(address))) {
            return;
        }
    }
    // The capture lists addresses. The names are found when it is formatted.
    let backtrace = Backtrace::force_capture();
    let names = std::thread::Builder::new()
        .name("kahn-check".to_owned())
        .spawn(move || backtrace.to_string())
        .ok()
        .and_then(|thread| thread.join().ok());
    // If no OS thread could be started, the check is repeated at the next park.
    let Some(names) = names else { return };
    if names.lines().any(is_of_an_initialiser) {
        report(reason, &names);
    }
    KNOWN.write().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().extend(addresses);
}

/// Returns whether a line of a backtrace names a function of std that calls an initialiser. The path is in the symbol,
/// or, if the debug information has the name without the path, in the file. Other functions in these files call no
/// user code, except destructors, which run when the OS thread ends.
fn is_of_an_initialiser(line: &str) -> bool {
    const PLACES: [&str; 4] = [
        "std::sys::thread_local::native::lazy::Storage",
        "std::sys::thread_local::os::",
        "std/src/sys/thread_local/native/lazy.rs",
        "std/src/sys/thread_local/os.rs",
    ];
    PLACES.iter().any(|place| line.contains(place))
}

fn report(reason: Option<Reason>, names: &str) -> ! {
    let place = reason.map_or_else(String::new, |reason| format!(", at {}", reason.location));
    let _ = write!(
        std::io::stderr(),
        "a green thread parks inside the initialiser of a `thread_local!`{place}: another one of this OS thread may \
         initialise the same value meanwhile, and is then left with a reference to nothing. Make the value before, or \
         use `kahn::thread::local!`; SEMANTICS.md, \"Known limits of soundness\", says more.\n{names}"
    );
    std::process::abort();
}
