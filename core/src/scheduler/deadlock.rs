//! Deadlock detection: examines whether anything can still wake a green thread, reports the waiting ones, and ends
//! them.

use core::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::os_threads;
use crate::primitives::{AtomicBool, Ordering, now};
use crate::scheduler::remote::Remote;
use crate::scheduler::shared::Shared;
use crate::task::Task;
use crate::timer;
use crate::wait::{Kind, Waiter};

/// The handler that is called instead of ending `run`.
pub(crate) type OnDeadlock = Arc<dyn Fn(&DeadlockReport) + Send + Sync>;

/// A green thread or an OS thread that waits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Waiting {
    /// The number of the green thread or OS thread.
    pub id: u64,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The kind of resource that it waits for.
    pub kind: Kind,
    /// Identifies the resource. Two threads that wait for the same resource have the same number here.
    pub resource: usize,
    /// The source location of the call that waits.
    pub location: &'static core::panic::Location<'static>,
    /// How long it has waited.
    pub since: Duration,
    /// Whether this is an OS thread.
    pub os_thread: bool,
}

/// A report of a deadlock: all green threads wait, and nothing can wake any of them.
#[derive(Clone, Debug)]
pub struct DeadlockReport {
    pub(crate) waiting: Vec<Waiting>,
}

impl DeadlockReport {
    /// Returns the waiting green threads, ordered by id. In the report of the default runtime, the waiting OS threads
    /// come first.
    pub fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }
}

impl fmt::Display for DeadlockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The most rows printed. The rest is only counted.
        const SHOWN: usize = 100;
        writeln!(f, "all green threads are asleep: deadlock")?;
        writeln!(f, "{:>8}  {:<20} {:<14} {:<18} {:>9}  at", "id", "name", "waits for", "resource", "since")?;
        for waiting in self.waiting.iter().take(SHOWN) {
            writeln!(
                f,
                "{:>8}  {:<20} {:<14} {:<18} {:>7} ms  {}",
                waiting.id,
                match (waiting.name.as_deref().unwrap_or("-"), waiting.os_thread) {
                    (name, false) => name.to_owned(),
                    (name, true) => format!("{name} (OS thread)"),
                },
                waiting.kind.to_string(),
                format!("{:#x}", waiting.resource),
                waiting.since.as_millis(),
                waiting.location,
            )?;
        }
        if self.waiting.len() > SHOWN {
            writeln!(f, "… and {} more", self.waiting.len() - SHOWN)?;
        }
        Ok(())
    }
}

/// The exit code of a program that ends by a deadlock.
pub(crate) const DEADLOCKED: u8 = 2;

/// A runtime's deadlock detector.
pub(crate) struct Watch {
    handler: Option<OnDeadlock>,
    /// Set when a deadlock has been found. A new `run` clears it.
    found: AtomicBool,
    declared: Mutex<Declared>,
}

/// The deadlocks that have been declared, without those that a handler was told of.
#[derive(Default)]
struct Declared {
    count: u64,
    last: Option<DeadlockReport>,
}

impl Watch {
    pub(crate) fn new(handler: Option<OnDeadlock>) -> Watch {
        Watch { handler, found: AtomicBool::new(false), declared: Mutex::default() }
    }

    /// Returns whether a worker that finds all workers asleep has to examine the process for a deadlock.
    pub(crate) fn is_on_guard(&self, shared: &Shared) -> bool {
        shared.runs.load(Ordering::Acquire) > 0
            && (self.handler.is_none() || !self.found.load(Ordering::Acquire))
            && !shared.is_closing()
            && !shared.is_terminated()
    }

    /// Arms the detector again for a new `run`.
    pub(crate) fn reset(&self) {
        self.found.store(false, Ordering::Release);
    }

    /// Returns the number of deadlocks that have been declared. A `run` looks at it before it begins.
    pub(crate) fn declared(&self) -> u64 {
        self.lock().count
    }

    /// Returns the report of the last deadlock, if it was declared after the first `before` ones.
    pub(crate) fn report_since(&self, before: u64) -> Option<DeadlockReport> {
        let declared = self.lock();
        if declared.count > before { declared.last.clone() } else { None }
    }

    fn declare(&self, report: DeadlockReport) {
        let mut declared = self.lock();
        declared.count += 1;
        declared.last = Some(report);
    }

    fn lock(&self) -> MutexGuard<'_, Declared> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of one examiner between its looks: the length of its next nap, and the result of its last look.
pub(crate) struct Examination {
    nap: Duration,
    before: Option<os_threads::ThreadSnapshot>,
}

impl Examination {
    /// The first and the longest nap between two looks.
    const FIRST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Examination {
        Examination { nap: Examination::FIRST, before: None }
    }

    /// Returns how long to sleep until the next look, and doubles the nap after it.
    pub(crate) fn nap(&mut self) -> Duration {
        let nap = self.nap;
        self.nap = (nap * 2).min(Examination::LONGEST);
        nap
    }

    /// Looks once. If this look and the previous one both show that no thread can act, returns the examiner's turn.
    /// The caller keeps the turn until it has published its result.
    pub(crate) fn look(&mut self, shared: &Shared) -> Option<os_threads::Turn> {
        if shared.blocking.is_busy() {
            self.before = None;
            return None;
        }
        // If another examiner is looking now, this examiner looks again after its next nap.
        let turn = os_threads::turn()?;
        match os_threads::look(&turn, shared.deadlock.handler.is_some()) {
            os_threads::Look::Moving => self.before = None,
            os_threads::Look::Ending => {
                self.before = None;
                if shared.blocking.dismiss_idle() {
                    self.nap = Examination::FIRST;
                }
            }
            os_threads::Look::Still(still) if self.before.as_ref() == Some(&still) => return Some(turn),
            os_threads::Look::Still(still) => {
                self.before = Some(still);
                self.nap = Examination::FIRST;
            }
        }
        None
    }
}

/// Called by the last worker that goes to sleep, if no worker has a timer. Sleeps in naps, and examines after each
/// whether anything can still happen. Returns when there may be work, or when a deadlock has been handled.
pub(crate) fn examine(shared: &Shared, me: &Remote, has_work: impl Fn() -> bool) {
    let harmless = match shared.deadlock.handler {
        Some(_) => os_threads::IgnoredThread::with_handler(),
        None => os_threads::IgnoredThread::new(),
    };
    let mut examination = Examination::new();
    loop {
        me.reactor.park(Some(now() + examination.nap()));
        if has_work() || !nothing_is_due(shared) || !shared.deadlock.is_on_guard(shared) {
            return;
        }
        if let Some(turn) = examination.look(shared)
            && nothing_is_due(shared)
            && !has_work()
        {
            return declare(shared, harmless, turn);
        }
    }
}

/// Returns whether all workers sleep, no worker has a timer or a descriptor that is waited for, and the injector and
/// all inboxes are empty.
pub(crate) fn nothing_is_due(shared: &Shared) -> bool {
    shared.idle.all_asleep()
        && shared.injector.is_empty_for_sure()
        && shared.remotes.iter().all(|remote| !remote.inbox.has_mail() && !remote.wakes_by_itself())
}

/// Reports the deadlock. Without a handler, cancels every green thread that waits.
fn declare(shared: &Shared, harmless: os_threads::IgnoredThread, turn: os_threads::Turn) {
    let report = report_of(shared);
    if shared.deadlock.handler.is_none() && shared.deadlock.found.load(Ordering::Acquire) {
        // The green threads have been cancelled already, and a `run` still waits for its main green thread, whose
        // destructors wait for ever. So no caller can be told. The turn is kept, so that no other examiner finds the
        // same deadlock while the process ends.
        if let Some(first) = shared.deadlock.report_since(0) {
            eprint!("{first}");
        }
        eprint!("these were cancelled, and their destructors wait for ever, so the process ends:\n{report}");
        std::process::exit(i32::from(DEADLOCKED));
    }
    // Without a handler, the report is for each `run` that is under way now, and for none that begins later. None can
    // begin before the turn is given back: until then nothing moves in the process.
    let handled = match &shared.deadlock.handler {
        Some(handler) => Some((handler, report)),
        None => {
            shared.deadlock.declare(report);
            None
        }
    };
    shared.deadlock.found.store(true, Ordering::Release);
    // The order matters: from here on this thread may act, and the next examiner has to see that it may.
    drop(harmless);
    drop(turn);
    if let Some((handler, report)) = handled {
        handler(&report);
        return;
    }
    let tasks: Vec<_> = shared.remotes.iter().flat_map(|remote| remote.listed()).collect();
    // Claim all waits before the first green thread unwinds. Otherwise a destructor of one could deliver what another
    // waits for, and the other would continue as if there had been no deadlock.
    let mut wakes = Vec::with_capacity(tasks.len());
    for task in &tasks {
        // SAFETY: `tasks` holds a reference to the task, which keeps it alive until its wake-up has been delivered.
        wakes.push(unsafe { Waiter::cancel(Task::waiter(task.pointer())) });
    }
    drop(wakes);
    for task in &tasks {
        // SAFETY: `tasks` holds a reference to the task.
        unsafe { crate::scheduler::cancel(task.pointer()) };
    }
}

/// Builds the report of all listed tasks that wait. All workers sleep, or are about to notice that they have work.
pub(crate) fn report_of(shared: &Shared) -> DeadlockReport {
    let now_ns = timer::now_ns();
    let mut waiting = Vec::new();
    for remote in &shared.remotes {
        remote.owned.lock().each(|task| {
            // SAFETY: a task is removed from the list of parked tasks before it is freed, and the list's lock is held.
            let task = unsafe { task.as_ref() };
            // SAFETY: no thread of the process can run the task (`os_threads` has shown it), so it stays in its wait.
            let Some(reason) = (unsafe { task.as_waiter().reason() }) else { return };
            // SAFETY: a task that has a reason and a fiber is parked on it.
            let since_ns = match unsafe { task.fiber().as_ref() } {
                Some(fiber) => fiber.since_ns.get(),
                None => task.idle_since().map_or(now_ns, core::cell::Cell::get),
            };
            waiting.push(Waiting {
                id: task.id().get(),
                name: task.name().map(str::to_owned),
                kind: reason.kind,
                resource: reason.resource,
                location: reason.location,
                since: Duration::from_nanos(now_ns.saturating_sub(since_ns)),
                os_thread: false,
            });
        });
    }
    waiting.sort_by_key(|waiting| waiting.id);
    DeadlockReport { waiting }
}
