//! The workloads on kahn. Three rows of kahn share this code and differ in how they start a task. The fourth, in
//! `futures`, runs stackless tasks.

mod actors;
mod channels;
mod futures;
mod tasks;
mod work;

use crate::workloads::{ActorWork, TELLERS, Workload};
use kahn::thread::JoinHandle;

/// A way of running kahn, and a row of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The default: a green thread that parks resumes on the worker on which it started.
    Safe,
    /// A green thread that parks may resume on another worker.
    Migratory,
    /// The main green thread starts all tasks with `spawn_local`, so all run on one worker.
    Local,
    /// Stackless tasks (`kahn::task`), in async code.
    Task,
}

/// Whether a workload is meaningful with `spawn_local`. Workloads that measure the use of all cores or the number of
/// tasks are not.
pub fn has_local(workload: Workload) -> bool {
    use Workload::*;
    matches!(workload, Yield | Pingpong | Pairs | Ring | Spsc | Mpsc | Mpmc | Select | Sieve | Mutex)
}

/// Whether there is a variant of the workload in async code. These workloads measure tasks, and the others channels and
/// locks.
pub fn has_task(workload: Workload) -> bool {
    use Workload::*;
    matches!(workload, Spawn | Yield | Pingpong | Sleep | Idle)
}

/// Runs one workload in a new runtime and returns the total in nanoseconds or bytes.
pub fn run(mode: Mode, workload: Workload, size: u64, workers: usize) -> f64 {
    let mut builder = kahn::Runtime::builder().workers(workers);
    if mode == Mode::Migratory {
        // SAFETY: The workloads keep nothing across a park that belongs to an OS thread: no value or address of a
        // thread-local, and no guard of an OS lock.
        builder = unsafe { builder.migratory() };
    }
    let runtime = builder.build().expect("the runtime starts");
    let start = Start { local: mode == Mode::Local };
    runtime.run(move || match mode {
        Mode::Task => measure_task(workload, size),
        _ => measure(start, workload, size),
    })
}

fn measure_task(workload: Workload, size: u64) -> f64 {
    let time = match workload {
        Workload::Spawn => futures::spawn(size),
        Workload::Yield => futures::yielding(size),
        Workload::Sleep => futures::sleep(size),
        Workload::Pingpong => futures::pingpong(size),
        Workload::Idle => return futures::idle(size) as f64,
        _ => panic!("this workload has no variant in async code"),
    };
    time.as_nanos() as f64
}

/// Starts the tasks of a run.
#[derive(Clone, Copy)]
struct Start {
    local: bool,
}

impl Start {
    fn task<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        if self.local { kahn::spawn_local(f) } else { kahn::spawn(f) }
    }
}

fn measure(start: Start, workload: Workload, size: u64) -> f64 {
    let time = match workload {
        Workload::Spawn => tasks::spawn(size),
        Workload::Yield => tasks::yielding(start, size),
        Workload::Sleep => tasks::sleep(size),
        Workload::Mutex => tasks::mutex(start, size),
        Workload::Idle => return tasks::idle(size) as f64,
        Workload::Pingpong => channels::pairs(start, 1, size),
        Workload::Pairs => channels::pairs(start, crate::workloads::PAIRS, size),
        Workload::Ring => channels::ring(start, size),
        Workload::Spsc => channels::stream(start, 1, 1, size),
        Workload::Mpsc => channels::stream(start, crate::workloads::MPSC_SENDERS, 1, size),
        Workload::Mpmc => {
            channels::stream(start, crate::workloads::MPMC_ENDS, crate::workloads::MPMC_ENDS, size)
        }
        Workload::Select => channels::select(start, size),
        Workload::Skynet => work::skynet(size),
        Workload::Sieve => work::sieve(start, size),
        Workload::Pool => work::pool(size),
        Workload::Pipeline => work::pipeline(size),
        Workload::Actor(ActorWork::Tell) => actors::tell(1, size),
        Workload::Actor(ActorWork::Tell8) => actors::tell(TELLERS, size),
        Workload::Actor(ActorWork::Ask) => actors::ask(size),
        Workload::Actor(ActorWork::Idle) => return actors::idle(size) as f64,
        Workload::Server(_) => unreachable!("`servers` runs it"),
    };
    time.as_nanos() as f64
}
