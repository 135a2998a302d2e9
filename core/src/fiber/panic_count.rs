//! Moves the panics of a green thread that parks while it unwinds.
//!
//! std counts the panics under way per OS thread: a panic adds one where it starts, and its catch subtracts one where
//! it is caught. A green thread whose destructor parks would leave its count to the others of its worker. Meanwhile
//! all of them would be [`panicking`], poison the locks that they hold, and be shielded from cancels and time-outs. So
//! the count is brought to zero before such a park, and restored after it.
//!
//! std has no call for that, but a catch subtracts one for any panic, even for a panic that started on another OS
//! thread. A *token* is a coroutine that is suspended in a panic of its own, between the throw and the catch:
//!
//! | a resume of a token that is | on its OS thread | it is then |
//! |---|---|---|
//! | spent | starts a panic, which adds one | holding |
//! | holding | catches its panic, which subtracts one | spent |
//!
//! So a park in an unwinding resumes holding tokens until the OS thread is no longer panicking. The end of the park
//! resumes as many spent tokens as there were panics, on the OS thread where it then runs. The flag that a running
//! panic hook has set is cleared and not set again: a hook that parks is handled in the same way.
//!
//! # How many tokens there are
//!
//! It does not matter which token adds a panic and which subtracts it. So the process has [`TOKENS`] of them, however
//! many green threads are parked in an unwinding. An OS thread of its own, the *converter*, makes holding tokens of
//! spent ones and the reverse, in batches, when there are none of the kind that is needed. The panics that it adds
//! count for the converter alone, which does nothing else. Its count never falls below zero: each holding token, and
//! each panic that is set aside, stands for one panic that the converter has added.
//!
//! (Before, each set-aside panic had a token of its own, which was made on an OS thread of its own and never freed:
//! 50,000 green threads whose destructors park left 220 MB.)

use core::num::NonZeroUsize;
use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::panicking;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::fiber::coroutine::Bounds;
use crate::fiber::stack::{self, SizeClass};

/// The stack size of a token in bytes: enough for unwinding in a debug build, with room to spare.
const STACK_SIZE: usize = 64 << 10;
/// The number of tokens. Each takes about three pages of memory. The converter is needed once in half as many parks.
const TOKENS: usize = 64;
/// The most panics that are set aside for one green thread. A bound on the loop; more panics under way are not
/// expected.
const NESTED_MAX: usize = 64;

struct Token(Coroutine<(), (), (), Bounds>);

// SAFETY: the coroutine's frames are those of `stand_in_a_panic`, of std, and of the unwinder, for a panic that is
// between the frames of two landing pads. At that point neither std nor the unwinder keeps data of an OS thread.
unsafe impl Send for Token {}

#[derive(Clone, Copy)]
enum Kind {
    Spent,
    Holding,
}

/// The tokens that no thread uses now.
struct Bank {
    spent: Vec<Token>,
    holding: Vec<Token>,
    /// How many tokens have been made.
    made: usize,
    /// Whether the converter has been started.
    has_converter: bool,
    wants_spent: bool,
    wants_holding: bool,
    /// How many batches the converter has made.
    batches: u64,
}

static BANK: Mutex<Bank> = Mutex::new(Bank {
    spent: Vec::new(),
    holding: Vec::new(),
    made: 0,
    has_converter: false,
    wants_spent: false,
    wants_holding: false,
    batches: 0,
});
/// Notified when tokens of some kind are wanted.
static WANTED: Condvar = Condvar::new();
/// Notified when the converter has made a batch.
static CONVERTED: Condvar = Condvar::new();

/// Locks the bank. A lock that is released while panicking counts as poisoned, which means nothing here: no user code
/// runs under it.
fn bank() -> MutexGuard<'static, Bank> {
    BANK.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bank {
    fn of(&mut self, kind: Kind) -> &mut Vec<Token> {
        match kind {
            Kind::Spent => &mut self.spent,
            Kind::Holding => &mut self.holding,
        }
    }

    fn start_converter(&mut self) -> bool {
        if !self.has_converter {
            let thread = std::thread::Builder::new().name("kahn-panic-count".to_owned());
            self.has_converter = thread.spawn(convert).is_ok();
        }
        self.has_converter
    }
}

/// Takes a token of this kind. Returns `None` if there is no memory for any.
fn take(kind: Kind) -> Option<Token> {
    let mut bank = bank();
    loop {
        if let Some(token) = bank.of(kind).pop() {
            return Some(token);
        }
        if !bank.start_converter() {
            return None;
        }
        match kind {
            Kind::Spent => bank.wants_spent = true,
            Kind::Holding => bank.wants_holding = true,
        }
        WANTED.notify_one();
        let batch = bank.batches;
        while bank.batches == batch {
            bank = CONVERTED.wait(bank).unwrap_or_else(PoisonError::into_inner);
        }
        if bank.made == 0 {
            return None;
        }
        // If the batch was empty, other OS threads use all tokens, and return them at once.
    }
}

/// The main loop of the converter.
fn convert() {
    let mut locked = bank();
    loop {
        let to = match (locked.wants_holding, locked.wants_spent) {
            (true, _) => Kind::Holding,
            (_, true) => Kind::Spent,
            _ => {
                locked = WANTED.wait(locked).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
        };
        if locked.made < TOKENS {
            // New tokens are spent: they have not begun.
            let more = TOKENS - locked.made;
            let mut made: Vec<Token> = (0..more).map_while(|_| Token::make()).collect();
            locked.made += made.len();
            locked.spent.append(&mut made);
        }
        let from = match to {
            Kind::Spent => &mut locked.holding,
            Kind::Holding => &mut locked.spent,
        };
        let half = from.len().div_ceil(2);
        let mut batch = from.split_off(from.len() - half);
        drop(locked);
        batch.iter_mut().for_each(Token::resume);
        locked = bank();
        locked.of(to).append(&mut batch);
        match to {
            Kind::Spent => locked.wants_spent = false,
            Kind::Holding => locked.wants_holding = false,
        }
        locked.batches += 1;
        CONVERTED.notify_all();
    }
}

impl Token {
    fn resume(&mut self) {
        match self.0.resume(()) {
            CoroutineResult::Yield(()) => {}
            CoroutineResult::Return(()) => unreachable!("a token never returns"),
        }
    }

    /// Makes a token that has not begun. Returns `None` if there is no memory for it.
    fn make() -> Option<Token> {
        let mut slots = Vec::new();
        stack::allocate(SizeClass::for_size(STACK_SIZE).ok()?, 1, &mut slots).ok()?;
        let slot = slots.pop()?;
        let end = |p: *mut u8| NonZeroUsize::new(p.expose_provenance()).expect("a slot is not at zero");
        // SAFETY: the slot was allocated here, and is never released.
        let bounds = unsafe { Bounds::new(end(slot.top()), end(slot.limit())) };
        Some(Token(Coroutine::with_stack(bounds, |yielder, ()| stand_in_a_panic(yielder))))
    }
}

fn stand_in_a_panic(yielder: &Yielder<(), ()>) {
    struct Stand<'a>(&'a Yielder<(), ()>);
    impl Drop for Stand<'_> {
        fn drop(&mut self) {
            self.0.suspend(());
        }
    }
    loop {
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let _holding = Stand(yielder);
            resume_unwind(Box::new(()));
        }));
        yielder.suspend(());
    }
}

/// The number of panics that a thread has under way and that are not counted for now.
#[must_use = "to be put back when the thread goes on with its unwinding"]
pub(crate) struct SuspendedPanics(usize);

/// Removes the panics of the caller, a green thread or an OS thread, from the count of its OS thread.
#[cold]
pub(crate) fn suspend_panics() -> SuspendedPanics {
    let mut count = 0;
    while panicking() && count < NESTED_MAX {
        // Without memory for a token, the other green threads see this OS thread as panicking. That is better than to
        // end the process.
        let Some(mut token) = take(Kind::Holding) else { break };
        token.resume();
        bank().spent.push(token);
        count += 1;
    }
    SuspendedPanics(count)
}

impl SuspendedPanics {
    /// Adds the panics to the count of the OS thread that the caller runs on now.
    #[cold]
    pub(crate) fn put_back(self) {
        for _ in 0..self.0 {
            let mut token = take(Kind::Spent).expect("there are tokens, as one has set this panic aside");
            token.resume();
            bank().holding.push(token);
        }
    }
}
