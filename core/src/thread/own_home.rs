//! A green thread with a home of its own: it runs under a thread identity that it shares with nothing else, and that travels
//! with it between workers.
//!
//! | the green thread | runs under the identity of |
//! |---|---|
//! | waits until its home is prepared | the worker's OS thread |
//! | runs the closure of the user, and drops its [`local!`](crate::local) values | its home |
//! | drops its home, and ends | the worker's OS thread |
//!
//! It may change its worker at each park, as a migratory one. Under the worker's identity nothing is on its stack that could
//! not move: the closure and its value are `Send`. Under the home's identity everything may be there.
//!
//! The compiler may keep the address of a thread-local for a whole function. So each step is in a function that is never
//! inlined, and the function that takes the steps uses no thread-local.

use core::panic::Location;
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

pub(super) use crate::home::Home;
use crate::runtime;
use crate::scheduler;
use crate::wait::{Kind, Reason};

/// Starts the OS thread of a home for a green thread of the caller's runtime, or of the default one.
pub(super) fn make(name: Option<&str>) -> io::Result<Home> {
    let runtime = scheduler::runtime_here();
    let shared = runtime.as_ref().unwrap_or_else(|| runtime::default_shared());
    shared.note_migratory();
    Home::new(name, shared.exits.ticket(name.unwrap_or("kahn-home")))
}

/// Returns a closure that runs `f` under the identity of `home`.
pub(super) fn run_in<F, T>(
    home: Home,
    f: F,
    spawned_at: &'static Location<'static>,
) -> impl FnOnce() -> T + use<F, T>
where
    F: FnOnce() -> T,
{
    move || {
        wait_until_lent(&home, spawned_at);
        // SAFETY: this is a green thread's first function, and what it holds is `Send`. The home is lent, is this frame's, and
        // is dropped after the change back.
        unsafe { scheduler::change_home(Some(&home)) };
        let output = call(f);
        // SAFETY: `f` and what it has left behind in the green thread's locals have been dropped. The output is `Send`.
        unsafe { scheduler::change_home(None) };
        finish(home, output)
    }
}

/// Waits until the home can be carried. A cancel unwinds from here.
#[inline(never)]
fn wait_until_lent(home: &Home, spawned_at: &'static Location<'static>) {
    let reason = Reason::at::<()>(Kind::Blocking, core::ptr::null(), spawned_at);
    if let Err(error) = home.wait_until_prepared(reason) {
        let _ = error.raise();
    }
    // The OS thread has one more store to make.
    while !home.is_lent() {
        scheduler::yield_or(std::thread::yield_now);
    }
}

#[inline(never)]
fn call<F: FnOnce() -> T, T>(f: F) -> Result<T, Box<dyn Any + Send>> {
    let output = catch_unwind(AssertUnwindSafe(f));
    // The values may share data with thread-locals of the home.
    scheduler::clear_locals();
    output
}

#[inline(never)]
fn finish<T>(home: Home, output: Result<T, Box<dyn Any + Send>>) -> T {
    drop(home);
    output.unwrap_or_else(|payload| resume_unwind(payload))
}
