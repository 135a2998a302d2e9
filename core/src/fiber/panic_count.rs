//! A green thread that parks while it unwinds takes its panics with it.
//!
//! std counts the panics under way per OS thread: a panic adds one where it starts, and its catch takes one off where it
//! is caught. A green thread whose destructor parks would leave its count to the others of its worker: all of them would
//! be [`panicking`] for as long, poison the locks that they hold, and be shielded from cancels and time-outs. So the
//! count is brought to zero before such a park, and back after it.
//!
//! std has no call for that, but a catch takes one off for any panic, also for one that started on another OS thread. A
//! *token* is a coroutine that stands in a panic of its own, between the throw and the catch:
//!
//! | a resume of a token that is | on its OS thread | it is then |
//! |---|---|---|
//! | spent | starts a panic, which adds one | holding |
//! | holding | catches its panic, which takes one off | spent |
//!
//! Those at hand are all holding, and the OS thread that each has first added one to is gone. So a park in an unwinding
//! takes tokens until the OS thread is no longer panicking, which leaves them spent; and its end resumes the same ones,
//! wherever it then runs. What a panic hook has set is cleared and not set again: a hook that parks is no different.

use core::num::NonZeroUsize;
use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::panicking;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::fiber::runner::Bounds;
use crate::fiber::stack::{self, SizeClass};

/// What unwinding needs, in a debug build too, with room to spare.
const STACK_SIZE: usize = 64 << 10;
/// More panics under way in one green thread than this are not believed.
const NESTED_MAX: usize = 64;

struct Token(Coroutine<(), (), (), Bounds>);

// SAFETY: the coroutine's frames are `stand_in_a_panic`'s, std's and the unwinder's for a panic that is between the
// frames of two landing pads, where neither keeps anything that belongs to an OS thread.
unsafe impl Send for Token {}

/// Those that are holding. As many as were ever in use at a time; they are never freed.
static HOLDING: Mutex<Vec<Token>> = Mutex::new(Vec::new());

fn holding() -> MutexGuard<'static, Vec<Token>> {
    HOLDING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Token {
    fn resume(&mut self) {
        match self.0.resume(()) {
            CoroutineResult::Yield(()) => {}
            CoroutineResult::Return(()) => unreachable!("a token never returns"),
        }
    }

    fn take() -> Option<Token> {
        let token = holding().pop();
        token.or_else(Token::make)
    }

    /// A new one, holding. `None` if there is no memory for it.
    #[cold]
    fn make() -> Option<Token> {
        let mut slots = Vec::new();
        stack::allocate(SizeClass::for_size(STACK_SIZE).ok()?, 1, &mut slots).ok()?;
        let slot = slots.pop()?;
        let end = |p: *mut u8| NonZeroUsize::new(p.expose_provenance()).expect("a slot is not at zero");
        // SAFETY: the slot is ours, and is never released.
        let bounds = unsafe { Bounds::new(end(slot.top()), end(slot.limit())) };
        let token = Token(Coroutine::with_stack(bounds, |yielder, ()| stand_in_a_panic(yielder)));
        let start = move || {
            let mut token = token;
            token.resume();
            token
        };
        std::thread::Builder::new().name("kahn-panic-count".to_owned()).spawn(start).ok()?.join().ok()
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

/// Panics that a thread has under way, and that are not counted for now.
#[must_use = "to be put back when the thread goes on with its unwinding"]
pub(crate) struct Aside(Vec<Token>);

/// Takes the panics of the caller, green thread or OS thread, off its OS thread's count.
#[cold]
pub(crate) fn set_aside() -> Aside {
    let mut spent = Vec::new();
    while panicking() && spent.len() < NESTED_MAX {
        // Without memory for a token the others see us panicking: better than to end the process.
        let Some(mut token) = Token::take() else { break };
        token.resume();
        spent.push(token);
    }
    Aside(spent)
}

impl Aside {
    /// Adds them to the count of the OS thread that it runs on now.
    #[cold]
    pub(crate) fn put_back(mut self) {
        self.0.iter_mut().for_each(Token::resume);
        holding().append(&mut self.0);
    }
}
