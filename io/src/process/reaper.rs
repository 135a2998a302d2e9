//! Killed children whose owner has dropped them.
//!
//! A destructor must not wait, and a process that was killed may take some time to end. So an OS thread waits for such
//! children. It exists while there are any.

use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

struct Killed {
    children: Vec<Child>,
    /// Set while the thread waits for children, or is about to look for more.
    has_thread: bool,
}

static KILLED: Mutex<Killed> = Mutex::new(Killed { children: Vec::new(), has_thread: false });

fn killed() -> MutexGuard<'static, Killed> {
    KILLED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a child that was killed, on another thread. If no thread can be started, the child is waited for
/// together with the next one.
pub(super) fn reap(child: Child) {
    let mut killed = killed();
    killed.children.push(child);
    if !killed.has_thread {
        let started = thread::Builder::new().name("kahn-reaper".to_owned()).spawn(serve);
        killed.has_thread = started.is_ok();
    }
}

fn serve() {
    loop {
        let children = {
            let mut killed = killed();
            if killed.children.is_empty() {
                killed.has_thread = false;
                return;
            }
            std::mem::take(&mut killed.children)
        };
        for mut child in children {
            // It fails if the program ignores `SIGCHLD`, or has waited for the process by its number.
            let _ = child.wait();
        }
    }
}
