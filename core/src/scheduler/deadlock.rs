//! The end of `run` when nothing can ever wake anything: who waits for what, since when, and where.

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::facade::{AtomicBool, Ordering};
use crate::job::Job;
use crate::quiet;
use crate::scheduler::remote::{Kept, Remote};
use crate::scheduler::shared::Shared;
use crate::timer;
use crate::wait::{Kind, Party};

/// What is called instead of ending `run`.
pub(crate) type OnDeadlock = Arc<dyn Fn(&DeadlockReport) + Send + Sync>;

/// One green thread that waits.
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
}

/// All green threads are asleep, and nothing can wake any of them.
#[derive(Clone, Debug)]
pub struct DeadlockReport {
    waiting: Vec<Waiting>,
}

impl DeadlockReport {
    /// The green threads, by their numbers.
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
                waiting.name.as_deref().unwrap_or("-"),
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

/// The last worker awake found nothing to do and no timer: it sleeps here, and looks whether anything can still happen.
/// Returns when something did, or when a deadlock has been dealt with.
pub(crate) fn examine(shared: &Shared, me: &Remote, has_work: impl Fn() -> bool) {
    /// The first and the longest nap between two looks.
    const FIRST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_secs(1);

    let _harmless = quiet::Harmless::new();
    let mut nap = FIRST;
    let mut before: Option<quiet::Stillness> = None;
    loop {
        me.parker.park_deadline(Instant::now() + nap);
        nap = (nap * 2).min(LONGEST);
        if has_work() || !nothing_is_due(shared) || !shared.deadlock.is_on_guard(shared) {
            return;
        }
        if shared.blocking.is_busy() {
            before = None;
            continue;
        }
        let Some(still) = quiet::look() else {
            before = None;
            continue;
        };
        match &before {
            Some(earlier) if *earlier == still => {
                if nothing_is_due(shared) && !has_work() {
                    declare(shared);
                    return;
                }
            }
            _ => {
                before = Some(still);
                nap = FIRST;
            }
        }
    }
}

/// Whether all workers sleep, with no timer and nothing queued.
fn nothing_is_due(shared: &Shared) -> bool {
    shared.idle.all_asleep()
        && shared.injector.is_empty_for_sure()
        && shared.remotes.iter().all(|remote| {
            !remote.inbox.has_mail()
                && remote.wheel.lock().as_ref().is_none_or(|wheel| wheel.next_deadline_ns().is_none())
        })
}

/// Reports, and ends every green thread that waits.
fn declare(shared: &Shared) {
    let report = report_of(shared);
    shared.deadlock.found.store(true, Ordering::Release);
    if let Some(handler) = &shared.deadlock.handler {
        handler(&report);
        return;
    }
    *shared.deadlock.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
    let jobs: Vec<_> = shared.remotes.iter().flat_map(|remote| remote.listed()).collect();
    // All are claimed before the first unwinds: else its destructors might bring another what it waits for, and that one
    // would go on as if nothing had been the matter.
    let cancel = |job: &Kept| {
        // SAFETY: the reference keeps the job.
        unsafe { Party::cancel(Job::party(job.pointer())) }
    };
    let wakes: Vec<_> = jobs.iter().map(cancel).collect();
    drop(wakes);
    for job in jobs {
        // SAFETY: as above.
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
            });
        });
    }
    waiting.sort_by_key(|waiting| waiting.id);
    DeadlockReport { waiting }
}
