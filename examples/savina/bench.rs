//! The type of a benchmark, and functions that many benchmarks use.

use std::fmt::Debug;
use std::hint::black_box;
use std::time::Duration;

use kahn::actor::{Actor, ActorRef, Address, AskError, Context, Reply};

/// How much work a benchmark does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// The size of the Savina suite.
    Default,
    /// A small size for tests.
    Small,
}

impl Size {
    pub fn pick<T>(self, default: T, small: T) -> T {
        match self {
            Size::Default => default,
            Size::Small => small,
        }
    }
}

pub struct Bench {
    pub name: &'static str,
    /// A description in one line.
    pub about: &'static str,
    /// Returns a summary of the result, or an error that says how the result is wrong.
    pub run: fn(Size) -> Result<String, String>,
}

/// Asks an actor from outside of the actors. An error includes the exit reason of the actor, if it has ended.
pub fn ask<M: Send + 'static, R: Send>(
    actor: &ActorRef<M>,
    question: impl FnOnce(Reply<R>) -> M,
) -> Result<R, String> {
    ask_in_actor(actor, question).map_err(|error| match error {
        AskError::Dead | AskError::NoReply => {
            actor.stop();
            format!("no reply, the actor has ended: {}", actor.join())
        }
        _ => error.to_string(),
    })
}

/// Asks without a deadline. If a bug makes all actors wait for each other, the runtime then reports the deadlock.
pub fn ask_in_actor<M: Send + 'static, R: Send>(
    actor: &ActorRef<M>,
    question: impl FnOnce(Reply<R>) -> M,
) -> Result<R, AskError> {
    actor.ask_timeout(Duration::MAX, question)
}

pub fn tell<M: Send + 'static>(actor: &ActorRef<M>, message: M) -> Result<(), String> {
    actor.tell(message).map_err(|error| format!("{error}: {}", actor.join()))
}

/// Sends the result of a benchmark to the `ask` that started the actor, and stops the actor.
pub fn finish<A: Actor, R>(done: &mut Option<Reply<R>>, result: R, ctx: &mut Context<A>) {
    if let Some(done) = done.take() {
        let _ = done.send(result);
    }
    ctx.stop();
}

/// Stops the actors and waits until they have ended.
pub fn stop_all(actors: impl IntoIterator<Item = impl Into<Address>>) {
    let actors: Vec<Address> = actors.into_iter().map(Into::into).collect();
    actors.iter().for_each(Address::stop);
    for actor in &actors {
        actor.join();
    }
}

/// Fails if a computed value differs from the expected one.
pub fn expect<T: PartialEq + Debug>(what: &str, computed: T, expected: T) -> Result<(), String> {
    if computed == expected {
        return Ok(());
    }
    Err(format!("{what}: computed {computed:?}, expected {expected:?}"))
}

/// Fails with a message if a condition does not hold. For values that are too large to print.
pub fn check(holds: bool, failure: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(failure.to_owned()) }
}

/// A pseudo-random number generator: xorshift64*.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        // The multiplication makes the states of neighbouring seeds differ in many bits. The state must not be zero,
        // because xorshift would then return zeros for ever.
        Random(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Returns a number from zero to `limit`, exclusive.
    pub fn below(&mut self, limit: u64) -> u64 {
        // The upper half of the product depends on the upper bits, which are the best ones of this generator.
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// Returns true with a probability of `percent` / 100.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A little floating-point work, as in the Savina suite.
pub fn compute(angle: f64) -> f64 {
    black_box(angle).sin().powi(2)
}

/// Keeps the CPU busy for `rounds` of a few nanoseconds.
pub fn burn_cpu(rounds: u64) {
    let mut random = Random::new(rounds);
    for _ in 0..rounds {
        black_box(random.next());
    }
}
