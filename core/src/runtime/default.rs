//! The process's default runtime, and its report of deadlocks.
//!
//! No `run` waits for the default runtime, so there is no caller that could get a report. The OS threads that wait
//! for something of kahn without a limit take the place of a caller: if they and all green threads wait for ever, the
//! program hangs. So each of them examines, in naps, whether anything can still happen (`crate::os_threads`). If
//! nothing can, it prints the report and ends the process, as `#[kahn::main]` does.
//!
//! An OS thread that waits for a `run` does not examine. While a `run` is under way, this module reports nothing,
//! because that runtime has its own report.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use crate::handle::thread;
use crate::os_threads::IgnoredThread;
use crate::primitives::{AtomicUsize, Ordering, now};
use crate::runtime::{Builder, DeadlockReport, Runtime, Waiting};
use crate::scheduler::deadlock::{DEADLOCKED, Examination, nothing_is_due, report_of};
use crate::scheduler::shared::Shared;
use crate::wait::{self, Reason};

static DEFAULT: OnceLock<Runtime> = OnceLock::new();

/// Returns the default runtime. The first use of kahn that needs a runtime, on an OS thread that is in none, starts
/// it.
fn default_runtime() -> &'static Runtime {
    DEFAULT.get_or_init(|| {
        let runtime = Builder::new()
            .build()
            .unwrap_or_else(|error| panic!("the default runtime does not start: {error}"));
        wait::set_endless_wait(wait_and_examine);
        runtime
    })
}

/// Returns how many workers the default runtime has, or would have.
pub(crate) fn default_workers() -> io::Result<usize> {
    DEFAULT.get().map_or_else(|| Builder::new().worker_count(), |runtime| Ok(runtime.workers()))
}

/// Returns the runtime of a caller that is in no other runtime.
pub(crate) fn default_shared() -> &'static Arc<Shared> {
    &default_runtime().shared
}

/// The number of calls of `run` that are under way, of all runtimes.
static RUNS: AtomicUsize = AtomicUsize::new(0);

/// Counts a `run` as under way while it lives.
pub(super) struct UnderWay(());

impl UnderWay {
    pub(super) fn new() -> UnderWay {
        // SeqCst: an examiner on the same OS thread sees the count in any case. For an examiner on another OS thread,
        // this thread is either awake, which the examiner sees, or has slept since.
        RUNS.fetch_add(1, Ordering::SeqCst);
        UnderWay(())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        RUNS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The OS threads that have waited for longer than the first nap, by the numbers of the threads.
static WAITING: Mutex<BTreeMap<u64, Sleeper>> = Mutex::new(BTreeMap::new());

struct Sleeper {
    thread: thread::Thread,
    reason: Reason,
    since: Instant,
}

/// Lists the caller as waiting while it lives.
struct Listed(u64);

impl Listed {
    fn new(reason: Reason, since: Instant) -> Listed {
        let thread = thread::current();
        let number = thread.id().number();
        let sleeper = Sleeper { thread, reason, since };
        WAITING.lock().unwrap_or_else(PoisonError::into_inner).insert(number, sleeper);
        Listed(number)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        WAITING.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Performs an OS thread's wait without a limit. `sleep` sleeps until the deadline at most, and returns whether the
/// thread has been woken.
fn wait_and_examine(reason: Option<Reason>, sleep: &mut dyn FnMut(Option<Instant>) -> bool) {
    let mut examination = Examination::new();
    let since = now();
    // Most waits end within the first nap, and cost only a time limit more.
    if sleep(since.checked_add(examination.nap())) {
        return;
    }
    let (Some(reason), Some(runtime)) = (reason, DEFAULT.get()) else {
        while !sleep(None) {}
        return;
    };
    let shared = &*runtime.shared;
    let _listed = Listed::new(reason, since);
    let _harmless = IgnoredThread::new();
    while !sleep(now().checked_add(examination.nap())) {
        if RUNS.load(Ordering::SeqCst) > 0 || !nothing_is_due(shared) {
            continue;
        }
        if let Some(_turn) = examination.look(shared)
            && RUNS.load(Ordering::SeqCst) == 0
            && nothing_is_due(shared)
        {
            // The turn is kept, so that no other examiner finds the same deadlock while the process ends.
            eprint!("{}", report(shared));
            std::process::exit(i32::from(DEADLOCKED));
        }
    }
}

fn report(shared: &Shared) -> DeadlockReport {
    let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut report = report_of(shared);
    let sleepers = waiting.iter().map(|(&id, sleeper)| Waiting {
        id,
        name: sleeper.thread.name().map(str::to_owned),
        kind: sleeper.reason.kind,
        resource: sleeper.reason.resource,
        location: sleeper.reason.location,
        since: now() - sleeper.since,
        os_thread: true,
    });
    report.waiting.splice(0..0, sleepers);
    report
}
