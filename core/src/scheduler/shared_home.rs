//! Homes that several green threads share, and that workers carry.
//!
//! In a runtime whose homes travel, a green thread that parks stays in the home under whose identity it has started, as it
//! would stay on an OS thread. The home moves: the worker that wakes a green thread of a home that no worker carries runs
//! that home next, and an idle worker takes a home that waits at another.
//!
//! # Who may run it
//!
//! A home is in one of three states. Its mail, an [`Inbox`], decides:
//!
//! | state | mail | its unit | who changes it |
//! |---|---|---|---|
//! | at rest | `ASLEEP` | nowhere | the one waker whose task replaces `ASLEEP`, which then queues the unit; or a worker that takes the home for a new task |
//! | queued | empty, or tasks | in one queue of the scheduler | the worker that takes the unit from the queue |
//! | carried | empty, or tasks | with the carrier | the carrier: to at rest if no task is left, else to queued |
//!
//! The *unit* is a task that stands for the home in queues. It is never run. The right to carry the home goes with the
//! unit's `Runnable`, of which there is one at a time. So one worker at a time carries the home, and all that runs in it
//! is as sequential as on an OS thread. Wakers on other workers put a woken task into the mail. Only the carrier takes
//! it out. The carrier lets the home rest only by the exchange of empty for `ASLEEP`, which fails if there is mail. So no
//! task in the mail of a home at rest is forgotten: this is the argument of `inbox`, with the carrier in place of the worker.

use core::cell::UnsafeCell;
use core::ptr::{self, NonNull};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_utils::CachePadded;

use crate::exits::Exits;
use crate::home::{self, Home};
use crate::primitives::{Arc, AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use crate::scheduler::finish::Scheduler;
use crate::scheduler::here::remote_here;
use crate::scheduler::inbox::Inbox;
use crate::scheduler::remote::Remote;
use crate::scheduler::shared::Shared;
use crate::scheduler::wake::LocalTasks;
use crate::task::{Runnable, SpawnOptions, Task, allocate};

/// A home, as the scheduler sees it. Records are never freed: the next runtime uses them again.
#[repr(align(128))]
pub(crate) struct SharedHome {
    /// The woken tasks of this home that wakers elsewhere have sent.
    pub(super) mail: CachePadded<Inbox>,
    /// The tasks of this home that can run. Used by the carrier alone.
    pub(super) tasks: LocalTasks,
    /// The identity. Set while the home belongs to a runtime.
    identity: UnsafeCell<Option<Home>>,
    /// The task that stands for the home in queues.
    unit: NonNull<Task>,
    /// The number of its tasks that have parked or yielded, and so are bound to it. Written by the carrier alone.
    members: AtomicUsize,
    /// The worker that carried it last.
    last: AtomicPtr<Remote>,
    /// Set if the home belongs to one task alone. Written before the home is given to another thread.
    exclusive: AtomicBool,
    /// How many of the two, the OS thread of an exclusive home and the thread that spawns its task, have still to arrive.
    arrivals: AtomicUsize,
}

// SAFETY: `tasks` is used by the carrier alone, which got the home through the mail or a queue, and so sees what the last
// carrier has done. `identity` is set before a worker can have the home, and taken when none can have it any more. The unit is a pointer to a task that is never
// freed. The other fields are made for several threads.
unsafe impl Sync for SharedHome {}
// SAFETY: as for `Sync`. Nothing in it depends on the thread that has made it.
unsafe impl Send for SharedHome {}

impl SharedHome {
    /// Takes an unused record, or makes one.
    fn obtain(last: &'static Remote, exclusive: bool) -> &'static SharedHome {
        let unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let home = unused.unwrap_or_else(|| {
            // SAFETY: the closure is `Send` and `'static`. The task is never run.
            let unit = unsafe { allocate::<Scheduler, _, _>(|| (), None, SpawnOptions::UNIT) };
            let home: &'static SharedHome = Box::leak(Box::new(SharedHome {
                mail: CachePadded::new(Inbox::new()),
                tasks: LocalTasks::new(),
                identity: UnsafeCell::new(None),
                unit,
                members: AtomicUsize::new(0),
                last: AtomicPtr::new(ptr::null_mut()),
                exclusive: AtomicBool::new(false),
                arrivals: AtomicUsize::new(0),
            }));
            // SAFETY: the task has been made just now.
            unsafe { unit.as_ref() }.stand_for(home);
            home
        });
        home.set_last(last);
        // Relaxed: no other thread has the record.
        home.exclusive.store(exclusive, Ordering::Relaxed);
        home.arrivals.store(2, Ordering::Relaxed);
        home
    }

    /// Gives the record its identity.
    ///
    /// # Safety
    ///
    /// No other thread uses the identity yet.
    unsafe fn set_identity(&self, identity: Home) {
        // SAFETY: as the caller guarantees.
        unsafe { *self.identity.get() = Some(identity) };
    }

    /// Ends a home that is not shared, after its task.
    ///
    /// # Safety
    ///
    /// The caller has the right to carry the home, and no task is left that belongs to it.
    pub(super) unsafe fn end_exclusive(&'static self) {
        // SAFETY: as the caller guarantees, no other thread uses the home.
        drop(unsafe { (*self.identity.get()).take() });
        UNUSED.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }

    /// Returns whether the home belongs to one task alone.
    #[inline]
    pub(super) fn is_exclusive(&self) -> bool {
        // Relaxed: written before the home was given to this thread.
        self.exclusive.load(Ordering::Relaxed)
    }

    /// Waits until the OS thread of the home has lent its identity. The carrier calls this, under another identity.
    pub(super) fn wait_until_lent(&self) {
        // The OS thread of a home that is not shared lends it just after it has arrived.
        while !self.identity().is_lent() {
            std::thread::yield_now();
        }
    }

    /// Returns the right to carry the home, to be queued.
    ///
    /// # Safety
    ///
    /// The caller carries the home, or has changed it from at rest.
    pub(super) unsafe fn unit(&self) -> Runnable {
        // SAFETY: the task is never freed, and is in no queue, because the caller has the home.
        unsafe { Runnable::new(self.unit) }
    }

    /// Returns the identity.
    pub(super) fn identity(&self) -> &Home {
        // SAFETY: the identity is set before a worker can have the home, and taken when none can have it any more.
        unsafe { &*self.identity.get() }.as_ref().expect("a home in use has an identity")
    }

    /// Returns how many tasks are bound to it.
    pub(super) fn members(&self) -> usize {
        // Relaxed (here, and in the two functions that follow): the numbers are only compared, and nothing depends on their order.
        self.members.load(Ordering::Relaxed)
    }

    /// Adds a task that has parked. Called by the carrier.
    pub(super) fn add_member(&self) {
        self.members.store(self.members() + 1, Ordering::Relaxed);
    }

    /// Removes a task that has left its stack. Called by the carrier.
    pub(super) fn remove_member(&self) {
        self.members.store(self.members() - 1, Ordering::Relaxed);
    }

    /// Returns the worker that carries it, or carried it last.
    pub(crate) fn last(&self) -> &'static Remote {
        // Relaxed: the pointer is to a record that is never freed, and whose fields are made for all threads. The store
        // happens before the home is given to anybody.
        let last = self.last.load(Ordering::Relaxed);
        // SAFETY: only `set_last` stores the pointer, from a `'static` reference, and `obtain` calls it.
        unsafe { &*last }
    }

    pub(super) fn set_last(&self, last: &'static Remote) {
        self.last.store(ptr::from_ref(last).cast_mut(), Ordering::Relaxed);
    }
}

static UNUSED: Mutex<Vec<&'static SharedHome>> = Mutex::new(Vec::new());

/// The homes of a runtime.
pub(crate) struct HomeSet {
    /// The homes that are ready, in the order in which they became so. Null behind `count`.
    ready: Box<[AtomicPtr<SharedHome>]>,
    count: AtomicUsize,
    /// The homes whose OS threads have not lent their identities yet.
    starting: Mutex<Vec<&'static SharedHome>>,
    /// Set while `starting` is not empty. A hint.
    any_starting: AtomicBool,
    /// Set when the system has refused an OS thread. No further home is made.
    refused: AtomicBool,
    name: String,
}

impl HomeSet {
    /// Makes a set of at most `max` homes. With zero, the homes of the runtime are the OS threads of its workers.
    pub(crate) fn new(max: usize, name: &str) -> HomeSet {
        HomeSet {
            ready: (0..max).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
            count: AtomicUsize::new(0),
            starting: Mutex::default(),
            any_starting: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            name: name.to_owned(),
        }
    }

    /// Returns whether the homes of the runtime travel.
    #[inline]
    pub(crate) fn travel(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns how many homes are ready.
    pub(super) fn count(&self) -> usize {
        // Acquire: pairs with the Release of `admit`. The caller sees the pointers before it.
        self.count.load(Ordering::Acquire)
    }

    /// Returns the home with this number, which is below `count`.
    pub(super) fn get(&self, number: usize) -> &'static SharedHome {
        // Relaxed: the caller has read `count`.
        let home = self.ready[number].load(Ordering::Relaxed);
        // SAFETY: the places below `count` hold pointers from `'static` references.
        unsafe { &*home }
    }

    /// Starts homes, and waits until they are ready. Fewer become so if the system refuses the OS threads.
    pub(crate) fn prepare(&self, count: usize, exits: &Arc<Exits>, remotes: &[&'static Remote]) {
        (0..count).for_each(|i| self.start_another(exits, remotes[i % remotes.len()]));
        while self.any_starting.load(Ordering::Relaxed) {
            std::thread::yield_now();
            self.admit();
        }
    }

    /// Starts another home, unless there are as many as may be.
    pub(super) fn start_another(&self, exits: &Arc<Exits>, remote: &'static Remote) {
        let mut starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.count() + starting.len();
        // Relaxed: written under the lock.
        if number >= self.ready.len() || self.refused.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("{}-home-{number}", self.name);
        match Home::new(Some(&name), exits.ticket(&name), || ()) {
            Ok(identity) => {
                let home = SharedHome::obtain(remote, false);
                // SAFETY: no other thread has the record.
                unsafe { home.set_identity(identity) };
                starting.push(home);
                self.any_starting.store(true, Ordering::Relaxed);
            }
            Err(_) => self.refused.store(true, Ordering::Relaxed),
        }
    }

    /// Returns whether another home may be started now.
    pub(super) fn may_grow(&self) -> bool {
        // Relaxed: a hint.
        self.count() < self.ready.len()
            && !self.any_starting.load(Ordering::Relaxed)
            && !self.refused.load(Ordering::Relaxed)
    }

    /// Makes those homes available whose OS threads have lent their identities meanwhile.
    #[inline]
    pub(super) fn admit(&self) {
        // Relaxed: a hint.
        if self.any_starting.load(Ordering::Relaxed) {
            self.admit_those_that_started();
        }
    }

    #[cold]
    fn admit_those_that_started(&self) {
        let mut starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        starting.retain(|home| {
            if !home.identity().is_lent() {
                return true;
            }
            // No thread has sent mail, because no thread knows the home.
            let _ = home.mail.sleep();
            let count = self.count();
            self.ready[count].store(ptr::from_ref(*home).cast_mut(), Ordering::Relaxed);
            // Release: publishes the pointer, and what this thread has seen of the OS thread.
            self.count.store(count + 1, Ordering::Release);
            false
        });
        self.any_starting.store(!starting.is_empty(), Ordering::Relaxed);
    }

    /// Ends all homes. Returns their OS threads, which run the destructors of their thread-locals, and end.
    ///
    /// # Safety
    ///
    /// No task of the runtime is left, and its workers have left their loops.
    pub(crate) unsafe fn end(&self) -> Vec<JoinHandle<()>> {
        let mut homes = std::mem::take(&mut *self.starting.lock().unwrap_or_else(PoisonError::into_inner));
        homes.extend((0..self.count.swap(0, Ordering::Acquire)).map(|number| self.get(number)));
        let end = |home: &&'static SharedHome| {
            home.mail.awake();
            debug_assert_eq!(home.members(), 0, "a home ended with occupied stacks");
            // SAFETY: as the caller guarantees, no thread uses the home.
            unsafe { (*home.identity.get()).take() }.and_then(Home::end)
        };
        let threads = homes.iter().filter_map(end).collect();
        UNUSED.lock().unwrap_or_else(PoisonError::into_inner).extend(homes);
        threads
    }
}

/// A home for one task alone. Its OS thread has been started.
pub(crate) struct OwnHome {
    home: &'static SharedHome,
    shared: Arc<Shared>,
}

impl OwnHome {
    /// Starts the OS thread of a home in the runtime `shared`.
    ///
    /// # Errors
    ///
    /// `Unsupported` if identities cannot travel here. Otherwise the error of the system that has refused the thread.
    pub(crate) fn new(shared: Arc<Shared>, name: Option<&str>) -> io::Result<OwnHome> {
        shared.note_migratory();
        let home = SharedHome::obtain(remote_here().unwrap_or_else(|| shared.any_worker()), true);
        let ticket = shared.exits.ticket(name.unwrap_or("kahn-home"));
        let arrives = Arc::clone(&shared);
        match Home::new(name, ticket, move || home.arrive(&arrives)) {
            Ok(identity) => {
                // SAFETY: no worker has the home before the caller arrives.
                unsafe { home.set_identity(identity) };
                Ok(OwnHome { home, shared })
            }
            Err(error) => {
                UNUSED.lock().unwrap_or_else(PoisonError::into_inner).push(home);
                Err(error)
            }
        }
    }

    /// Queues the task of the home, to be started when the home can be carried.
    pub(super) fn admit(self, task: Runnable) {
        task.set_shared_home(self.home);
        // The task is in no queue of a worker yet. A shutdown has to know of it.
        let owner = self.home.last();
        task.set_owner(owner);
        // SAFETY: the task is new, so it is in no list. `retire` removes it before it is freed.
        unsafe { owner.owned.lock().insert(task.pointer()) };
        if self.shared.is_closing() {
            // SAFETY: the right to run the task keeps it alive.
            unsafe { Task::cancel(task.pointer()) };
        }
        let is_at_rest = self.home.mail.push(task);
        debug_assert!(!is_at_rest, "a new home is not at rest");
        self.home.arrive(&self.shared);
    }
}

impl SharedHome {
    /// Records that the OS thread is about to lend its identity, or that the task is in the mail. The second to arrive queues the
    /// home.
    fn arrive(&self, shared: &Shared) {
        // AcqRel: the second sees what the first has done.
        if self.arrivals.fetch_sub(1, Ordering::AcqRel) == 1 {
            let last = self.last();
            // SAFETY: no worker has had the home yet, and the other thread will not queue it.
            last.ready.push(unsafe { self.unit() });
            last.unpark();
            shared.wake_one();
        }
    }
}

/// Returns whether homes can travel on this system.
pub(crate) fn are_supported() -> bool {
    home::is_supported()
}
