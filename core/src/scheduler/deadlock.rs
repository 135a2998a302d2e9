//! The end of `run` when nothing can ever wake anything: who waits for what, since when, and where.

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::facade::{AtomicBool, Ordering, now};
use crate::job::Job;
use crate::quiet;
use crate::scheduler::remote::Remote;
use crate::scheduler::shared::Shared;
use crate::timer;
use crate::wait::{Kind, Party};

/// What is called instead of ending `run`.
pub(crate) type OnDeadlock = Arc<dyn Fn(&DeadlockReport) + Send + Sync>;

/// One green thread that waits, or one OS thread.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Waiting {
    /// Its number.
    pub id: u64,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The kind of thing that it waits for.
    pub kind: Kind,
    /// Which one: two that wait for the same thing have the same number here.
    pub resource: usize,
    /// The line that waits.
    pub location: &'static core::panic::Location<'static>,
    /// For how long.
    pub since: Duration,
    /// Whether it is an OS thread.
    pub os_thread: bool,
}

/// All green threads are asleep, and nothing can wake any of them.
#[derive(Clone, Debug)]
pub struct DeadlockReport {
    pub(crate) waiting: Vec<Waiting>,
}

impl DeadlockReport {
    /// The green threads, by their numbers. In the report of the default runtime, the OS threads that wait come first.
    pub fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }
}

impl fmt::Display for DeadlockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Beyond this many, the rest is counted.
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

/// A runtime's guard against deadlocks.
pub(crate) struct Watch {
    handler: Option<OnDeadlock>,
    /// One has been found, and not yet dealt with.
    found: AtomicBool,
    report: Mutex<Option<DeadlockReport>>,
}

impl Watch {
    pub(crate) fn new(handler: Option<OnDeadlock>) -> Watch {
        Watch { handler, found: AtomicBool::new(false), report: Mutex::new(None) }
    }

    /// Whether a worker that finds all asleep should look into it.
    pub(crate) fn is_on_guard(&self, shared: &Shared) -> bool {
        shared.runs.load(Ordering::Acquire) > 0
            && !self.found.load(Ordering::Acquire)
            && !shared.is_closing()
            && !shared.is_terminated()
    }

    /// A new `run` starts: the guard is up again.
    pub(crate) fn reset(&self) {
        self.found.store(false, Ordering::Release);
    }

    /// The report for a `run` that has been ended by it.
    pub(crate) fn report(&self) -> Option<DeadlockReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The looks of one examiner, and its naps in between.
pub(crate) struct Examination {
    nap: Duration,
    before: Option<quiet::Stillness>,
}

impl Examination {
    /// The first and the longest nap between two looks.
    const FIRST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Examination {
        Examination { nap: Examination::FIRST, before: None }
    }

    /// How long to sleep until the next look.
    pub(crate) fn nap(&mut self) -> Duration {
        let nap = self.nap;
        self.nap = (nap * 2).min(Examination::LONGEST);
        nap
    }

    /// Looks once. If this look and the one before show that no thread can act, returns the examiner's turn, which it
    /// keeps until it has said what it has found.
    pub(crate) fn look(&mut self, shared: &Shared) -> Option<quiet::Turn> {
        if shared.blocking.is_busy() {
            self.before = None;
            return None;
        }
        // If another examiner looks just now, this one looks after its next nap.
        let turn = quiet::turn()?;
        match quiet::look(&turn, shared.deadlock.handler.is_some()) {
            quiet::Look::Moving => self.before = None,
            quiet::Look::Ending => {
                self.before = None;
                if shared.blocking.dismiss_idle() {
                    self.nap = Examination::FIRST;
                }
            }
            quiet::Look::Still(still) if self.before.as_ref() == Some(&still) => return Some(turn),
            quiet::Look::Still(still) => {
                self.before = Some(still);
                self.nap = Examination::FIRST;
            }
        }
        None
    }
}

/// The last worker awake found nothing to do and no timer: it sleeps here, and looks whether anything can still happen.
/// Returns when something did, or when a deadlock has been dealt with.
pub(crate) fn examine(shared: &Shared, me: &Remote, has_work: impl Fn() -> bool) {
    let harmless = match shared.deadlock.handler {
        Some(_) => quiet::Harmless::with_handler(),
        None => quiet::Harmless::new(),
    };
    let mut examination = Examination::new();
    loop {
        me.parker.park_deadline(now() + examination.nap());
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

/// Whether all workers sleep, with no timer and nothing queued.
pub(crate) fn nothing_is_due(shared: &Shared) -> bool {
    shared.idle.all_asleep()
        && shared.injector.is_empty_for_sure()
        && shared.remotes.iter().all(|remote| {
            !remote.inbox.has_mail()
                && remote.wheel.lock().as_ref().is_none_or(|wheel| wheel.next_deadline_ns().is_none())
        })
}

/// Reports, and ends every green thread that waits.
fn declare(shared: &Shared, harmless: quiet::Harmless, turn: quiet::Turn) {
    let report = report_of(shared);
    shared.deadlock.found.store(true, Ordering::Release);
    // In this order: from here on this thread may act, and the next examiner has to see that it may.
    drop(harmless);
    drop(turn);
    if let Some(handler) = &shared.deadlock.handler {
        handler(&report);
        return;
    }
    *shared.deadlock.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
    let jobs: Vec<_> = shared.remotes.iter().flat_map(|remote| remote.listed()).collect();
    // All are claimed before the first unwinds: else its destructors might bring another what it waits for, and that one
    // would go on as if nothing had been the matter.
    let mut wakes = Vec::with_capacity(jobs.len());
    for job in &jobs {
        // SAFETY: the reference keeps the job until its wake-up has been delivered.
        wakes.push(unsafe { Party::cancel(Job::party(job.pointer())) });
    }
    drop(wakes);
    for job in &jobs {
        // SAFETY: we hold a reference.
        unsafe { crate::scheduler::cancel(job.pointer()) };
    }
}

/// Everything that is listed as waiting. All workers sleep, or are about to notice that they need not.
pub(crate) fn report_of(shared: &Shared) -> DeadlockReport {
    let now_ns = timer::now_ns();
    let mut waiting = Vec::new();
    for remote in &shared.remotes {
        remote.roster.lock().each(|job| {
            // SAFETY: listed jobs are alive.
            let job = unsafe { job.as_ref() };
            // SAFETY: nothing in the process can run it (`quiet`), so it stays in its wait.
            let Some(reason) = (unsafe { job.as_party().reason() }) else { return };
            // SAFETY: a job with a reason is parked on a fiber.
            let since_ns = unsafe { job.fiber().as_ref() }.map_or(now_ns, |fiber| fiber.since_ns.get());
            waiting.push(Waiting {
                id: job.id().get(),
                name: job.name().map(str::to_owned),
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
