//! Green threads, their scheduler, and what they wait for: the lower half of `kahn`.
//!
//! Modules stand lowest first.

#![warn(clippy::disallowed_methods)]

#[doc(hidden)]
#[macro_use]
pub mod facade;
#[doc(hidden)]
pub mod wait;

production! {
    mod timer;
    mod quiet;
    mod blocking;
    mod fiber;
    mod job;
    mod scheduler;
    mod handle;
    pub mod runtime;
    pub mod thread;
    #[doc(hidden)]
    pub mod process;
}

pub mod sync;

production! {
    pub mod time;

    pub use runtime::{Runtime, run};
    pub use thread::{block_on, blocking, scope, sleep, spawn, spawn_local, yield_now};
}

without_fibers! {
    // What stands on no fiber, for the tests in `models` and for those of actors. What it names of the rest is there as
    // stand-ins.
    #[allow(dead_code, reason = "models take a part")]
    mod stand_ins;
    #[allow(dead_code, reason = "as above")]
    mod timer;
    #[allow(dead_code, reason = "as above")]
    mod job;
    mod fiber { pub(crate) use crate::stand_ins::Fiber; }
    #[allow(dead_code, reason = "as above")]
    mod scheduler {
        pub(crate) use crate::stand_ins::{clear_locals, closing_here, finish_by, is_on_worker, retire, task_waker, wake_task, wake_task_next};
        pub(crate) mod idle;
        pub(crate) mod inbox;
        pub(crate) mod remote;
        pub(crate) mod run_queue;
        pub(crate) mod turn;
    }
    #[doc(hidden)]
    pub mod process {
        pub use crate::job::{Body, JobId, Process};
        pub use crate::stand_ins::{Alarm, new_process as new, runtime_here, start_process as start};
    }
    #[cfg(test)]
    mod models;
}
