//! The workloads on kahn: one text for three rows, which differ in how a task is started.

mod actors;
mod channels;
mod tasks;
mod work;

use crate::workloads::{ActorWork, TELLERS, Workload};
use kahn::thread::JoinHandle;

/// A row of kahn in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What a program gets that says nothing: a green thread that has parked goes on where it started.
    Safe,
    /// Every green thread may change worker at a park.
    Migratory,
    /// Every task is started with `spawn_local` by the main green thread: all on one worker.
    Local,
}

/// Whether a row of `spawn_local` says anything. Not where the point is to use all the cores, and not where the
/// point is how many tasks there are.
pub fn has_local(workload: Workload) -> bool {
    use Workload::*;
    matches!(workload, Yield | Pingpong | Pairs | Ring | Spsc | Mpsc | Mpmc | Select | Sieve | Mutex)
}

/// Runs one workload in a new runtime; the total in nanoseconds or bytes.
pub fn run(mode: Mode, workload: Workload, size: u64, workers: usize) -> f64 {
    let mut builder = kahn::Runtime::builder().workers(workers);
    if mode == Mode::Migratory {
        // SAFETY: The workloads hold across a park nothing that belongs to an OS thread: no thread-local's value or
        // address, no guard of an OS lock.
        builder = unsafe { builder.migratory() };
    }
    let runtime = builder.build().expect("a runtime starts");
    let start = Start { local: mode == Mode::Local };
    runtime.run(move || measure(start, workload, size))
}

/// How the tasks of this run are started.
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
    };
    time.as_nanos() as f64
}
