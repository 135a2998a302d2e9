//! What a model of a user's program needs of loom: threads, a clock, choices, and the exploration itself.
//!
//! All threads of a model take turns on one OS thread, the *explorer*. So the thread-locals of `std` in this file are shared
//! by all threads of one execution, and unseen by loom. They may hold only what the order of the threads' steps
//! determines: loom repeats an execution by repeating that order.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::num::ParseIntError;
use std::path::PathBuf;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};

/// The stack size of a model's thread in bytes. Loom's default, 32 KiB, is too small for a panic with a backtrace.
const STACK_SIZE: usize = 512 << 10;

/// The number of threads that loom allows in one execution, the main thread included.
pub const THREADS_MAX: usize = loom::MAX_THREADS;

/// The settings of an exploration. They are those of `loom::model::Builder`.
#[derive(Clone, Debug)]
pub struct Exploration {
    /// The most branching points of one execution.
    pub max_branches: usize,
    /// The most executions.
    pub max_permutations: Option<usize>,
    /// How long the exploration may take.
    pub max_duration: Option<Duration>,
    /// The most preemptions of one execution.
    pub preemption_bound: Option<usize>,
    /// The file that holds the next execution.
    pub checkpoint_file: Option<PathBuf>,
    /// After how many executions the file is written, and the limits are looked at.
    pub checkpoint_interval: usize,
    /// Whether loom records source locations.
    pub location: bool,
    /// Whether loom logs each step.
    pub log: bool,
}

impl Exploration {
    /// Returns loom's defaults, which the variables `LOOM_…` change.
    pub fn from_environment() -> Exploration {
        let loom = loom::model::Builder::new();
        Exploration {
            max_branches: loom.max_branches,
            max_permutations: loom.max_permutations,
            max_duration: loom.max_duration,
            preemption_bound: loom.preemption_bound,
            checkpoint_file: loom.checkpoint_file,
            checkpoint_interval: loom.checkpoint_interval,
            location: loom.location,
            log: loom.log,
        }
    }

    /// Runs `scenario` once for each order of its threads' steps, on the calling OS thread.
    pub fn run(&self, scenario: impl Fn() + Send + Sync + 'static) {
        let mut loom = loom::model::Builder::new();
        loom.max_threads = THREADS_MAX;
        loom.max_branches = self.max_branches;
        loom.max_permutations = self.max_permutations;
        loom.max_duration = self.max_duration;
        loom.preemption_bound = self.preemption_bound;
        loom.checkpoint_file = self.checkpoint_file.clone();
        loom.checkpoint_interval = self.checkpoint_interval;
        loom.location = self.location;
        loom.log = self.log;
        loom.check(scenario);
    }
}

/// The place of a thread in the tree of spawns: the main thread is the root, and each number counts the children of a
/// thread. It does not depend on the order of the threads' steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(Vec<u32>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0")?;
        self.0.iter().try_for_each(|child| write!(f, ".{child}"))
    }
}

impl FromStr for Place {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Place, ParseIntError> {
        // The first number is that of the root.
        text.split('.').skip(1).map(str::parse).collect::<Result<_, _>>().map(Place)
    }
}

/// A thread's record of itself.
#[derive(Default)]
struct Me {
    place: Place,
    children: Cell<u32>,
    choices: Cell<u32>,
}

loom::thread_local! {
    static ME: OnceCell<Me> = OnceCell::new();
}

fn with_me<R>(f: impl FnOnce(&Me) -> R) -> R {
    ME.with(|me| f(me.get_or_init(Me::default)))
}

/// A thread of a model, to unpark it.
#[derive(Debug)]
pub struct Thread {
    thread: loom::thread::Thread,
    /// Its place in the tree of spawns.
    pub place: Place,
}

impl Thread {
    /// Returns the calling thread.
    pub fn current() -> Thread {
        Thread { thread: loom::thread::current(), place: with_me(|me| me.place.clone()) }
    }

    /// Lets the thread's next [`park`] return, or ends its present one. The thread then sees all that the caller did before.
    pub fn unpark(&self) {
        self.thread.unpark();
    }

    /// Starts a thread.
    pub fn spawn(f: impl FnOnce() + 'static) -> Thread {
        /// The threads of a model share an OS thread.
        struct AssertSend<F>(F);
        // SAFETY: loom runs all threads of a model on the OS thread that explores it, one at a time.
        unsafe impl<F> Send for AssertSend<F> {}
        impl<F: FnOnce()> AssertSend<F> {
            fn call(self) {
                (self.0)();
            }
        }
        let mut place = with_me(|me| me.place.clone());
        place.0.push(with_me(|me| me.children.replace(me.children.get() + 1)));
        let me = Me { place: place.clone(), ..Me::default() };
        let work = AssertSend(move || {
            ME.with(|place| _ = place.set(me));
            f();
        });
        // Loom takes the size in words.
        let builder = loom::thread::Builder::new().stack_size(STACK_SIZE / size_of::<usize>());
        let handle = builder.spawn(move || work.call()).expect("loom's spawn does not fail");
        Thread { thread: handle.thread().clone(), place }
    }
}

/// Parks the calling thread until it is unparked. May return early.
pub fn park() {
    loom::thread::park();
}

/// Lets other threads take steps before the caller takes its next.
pub fn yield_now() {
    loom::thread::yield_now();
}

/// Runs `f`, the main thread of a model, on a stack of the same size as that of other threads.
pub fn on_main_stack(f: impl FnOnce() + 'static) {
    std::thread_local! {
        static STACK: Cell<Option<DefaultStack>> = const { Cell::new(None) };
    }
    let stack =
        STACK.take().unwrap_or_else(|| DefaultStack::new(STACK_SIZE).expect("there is memory for a stack"));
    let mut main = Coroutine::<(), (), (), _>::with_stack(stack, |_, ()| f());
    let CoroutineResult::Return(()) = main.resume(()) else { unreachable!("it does not yield") };
    STACK.set(Some(main.into_stack()));
}

/// A thread-local that belongs to a thread of a user's model, or outside of those to an OS thread.
pub struct Local<T: 'static> {
    inside: loom::thread::LocalKey<T>,
    outside: &'static std::thread::LocalKey<T>,
}

impl<T: 'static> Local<T> {
    /// Creates the key of a thread-local with this initial value.
    pub const fn new(init: fn() -> T, outside: &'static std::thread::LocalKey<T>) -> Local<T> {
        Local { inside: loom::thread::LocalKey { init, _p: core::marker::PhantomData }, outside }
    }

    /// Calls `f` with the calling thread's value.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        if is_exploring() { self.inside.with(f) } else { self.outside.with(f) }
    }
}

/// Runs `f` without a switch to another thread, unless `f` waits for a lock. For code that must not be interrupted: what it
/// holds is not known to loom. `f` does not unwind.
pub fn without_switches<R>(f: impl FnOnce() -> R) -> R {
    std::thread_local! {
        static DEPTH: Cell<u32> = const { Cell::new(0) };
    }
    if !is_exploring() {
        return f();
    }
    if DEPTH.replace(DEPTH.get() + 1) == 0 {
        loom::stop_exploring();
    }
    let result = f();
    DEPTH.set(DEPTH.get() - 1);
    if DEPTH.get() == 0 {
        loom::explore();
    }
    result
}

/// A choice of an execution: the thread that makes it, and how many that thread has made before.
pub type ChoiceKey = (Place, u32);

/// What the executions of one exploration choose, where the program leaves a choice open.
#[derive(Default)]
struct Choices {
    /// The choices that are not the default, which is 0.
    made: BTreeMap<ChoiceKey, usize>,
    /// All choices that an execution has come to, with their number of alternatives.
    seen: BTreeMap<ChoiceKey, usize>,
}

std::thread_local! {
    /// The time of the execution, if the caller is in one.
    static CLOCK: Cell<Option<Instant>> = const { Cell::new(None) };
    static CHOICES: RefCell<Choices> = RefCell::default();
}

/// Sets what the executions from now on choose. All other choices are 0.
pub fn set_choices(made: BTreeMap<ChoiceKey, usize>) {
    CHOICES.set(Choices { made, seen: BTreeMap::new() });
}

/// Returns the choices that the executions have come to since [`set_choices`], with their numbers of alternatives.
pub fn take_seen_choices() -> BTreeMap<ChoiceKey, usize> {
    CHOICES.with_borrow_mut(|choices| core::mem::take(&mut choices.seen))
}

/// Chooses one of `alternatives`, which is not 0. Another exploration makes another choice. Returns 0 outside of an
/// execution.
pub fn choose(alternatives: usize) -> usize {
    if alternatives <= 1 || !is_exploring() {
        return 0;
    }
    let key = with_me(|me| (me.place.clone(), me.choices.replace(me.choices.get() + 1)));
    CHOICES.with_borrow_mut(|choices| {
        let chosen = choices.made.get(&key).copied().unwrap_or(0);
        choices.seen.insert(key, alternatives);
        chosen.min(alternatives - 1)
    })
}

/// Starts the clock of an execution.
pub fn start_clock() {
    /// All executions start at the same time, so that they are the same.
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "the clock of a model starts at some time")]
    let origin = *ORIGIN.get_or_init(Instant::now);
    CLOCK.set(Some(origin));
}

/// Stops the clock at the end of an execution.
pub fn stop_clock() {
    CLOCK.set(None);
}

/// Returns whether the caller is in an execution of a user's model.
pub fn is_exploring() -> bool {
    CLOCK.get().is_some()
}

/// Returns the time of the execution, or `None` outside of one.
pub(super) fn model_now() -> Option<Instant> {
    CLOCK.get()
}

/// Lets the time pass until `moment`, if it has not come yet.
pub fn pass_time(moment: Instant) {
    CLOCK.set(CLOCK.get().map(|now| now.max(moment)));
}

/// The message of a panic.
pub fn message_of(payload: &(dyn Any + Send)) -> &str {
    let message = payload.downcast_ref::<&str>().copied();
    message
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not a text")
}

/// Returns whether a panic at `file` is one of loom's own, which says that the model cannot go on.
pub fn is_of_explorer(file: &str) -> bool {
    file.contains("/loom-0.") || file.contains("\\loom-0.")
}

/// A deadline of the execution. It passes when nothing else can happen, if its owner does not choose an earlier moment.
struct Timer {
    number: u64,
    deadline: Instant,
    fire: Rc<dyn Fn()>,
}

std::thread_local! {
    static TIMERS: RefCell<Vec<Timer>> = const { RefCell::new(Vec::new()) };
    static LAST_TIMER: Cell<u64> = const { Cell::new(0) };
}

/// Sets a timer. Returns its number. `fire` wakes a thread. It must not park.
pub fn set_timer(deadline: Instant, fire: Rc<dyn Fn()>) -> u64 {
    let number = LAST_TIMER.get() + 1;
    LAST_TIMER.set(number);
    TIMERS.with_borrow_mut(|timers| timers.push(Timer { number, deadline, fire }));
    number
}

/// Removes a timer, if it has not fired.
pub fn unset_timer(number: u64) {
    let timer = TIMERS.with_borrow_mut(|timers| {
        let at = timers.iter().position(|timer| timer.number == number);
        at.map(|at| timers.remove(at))
    });
    drop(timer);
}

/// Removes all timers, at the end of an execution.
pub fn clear_timers() {
    drop(TIMERS.take());
}

/// Called when nothing else can happen: lets the earliest deadline pass. Returns false if there is none.
pub fn fire_earliest_timer() -> bool {
    let timer = TIMERS.with_borrow_mut(|timers| {
        let earliest = timers.iter().enumerate().min_by_key(|(_, timer)| (timer.deadline, timer.number));
        earliest.map(|(at, _)| at).map(|at| timers.remove(at))
    });
    let Some(timer) = timer else { return false };
    pass_time(timer.deadline);
    (timer.fire)();
    true
}
