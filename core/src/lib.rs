//! Green threads, their scheduler, and the resources that they wait for: the lower half of `kahn`.
//!
//! The modules are listed lowest first: a module uses only modules above it.

#![warn(clippy::disallowed_methods)]

#[doc(hidden)]
pub mod primitives;
#[doc(hidden)]
pub mod wait;

#[cfg_attr(not(fibers), allow(dead_code, reason = "models take a part"))]
mod timer;
#[cfg(fibers)]
mod os_threads;
#[cfg(fibers)]
mod exits;
#[cfg(fibers)]
mod blocking;
#[cfg(fibers)]
mod fiber;
#[cfg_attr(not(fibers), allow(dead_code, reason = "models take a part"))]
mod task;
#[cfg(fibers)]
mod scheduler;
#[cfg(fibers)]
mod handle;
#[cfg(fibers)]
pub mod runtime;
#[cfg(fibers)]
pub mod thread;
#[cfg(fibers)]
#[doc(hidden)]
pub mod process;

pub mod sync;

#[cfg(fibers)]
pub mod time;

#[cfg(fibers)]
pub use runtime::{Runtime, run};
#[cfg(fibers)]
pub use thread::{block_on, blocking, scope, sleep, spawn, spawn_local, yield_now};

// A model build has no fibers. It compiles the parts that work without them, for the tests in `models` and for those
// of the actors. The functions of the missing modules that these parts name are in `stand_ins`.
#[cfg(not(fibers))]
#[allow(dead_code, reason = "models take a part")]
mod stand_ins;
#[cfg(not(fibers))]
mod fiber {
    pub(crate) use crate::stand_ins::Fiber;
}
#[cfg(not(fibers))]
#[allow(dead_code, reason = "models take a part")]
mod scheduler {
    pub(crate) use crate::stand_ins::{
        clear_locals, closing_here, finish_by, is_on_worker, retire, task_waker, wake_task, wake_task_next,
    };
    pub(crate) mod idle;
    pub(crate) mod inbox;
    pub(crate) mod remote;
    pub(crate) mod run_queue;
    pub(crate) mod turn;
}
#[cfg(not(fibers))]
#[doc(hidden)]
pub mod process {
    pub use crate::stand_ins::{ProcessTimer, new_process as new, runtime_here, start_process as start};
    pub use crate::task::{Body, Leftover, Process, TaskId};
}
#[cfg(not(fibers))]
#[cfg(test)]
mod models;
