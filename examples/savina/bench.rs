//! What a benchmark is, and what many of them need.

use std::fmt::Debug;
use std::hint::black_box;
use std::time::Duration;

use kahn::actor::{Actor, ActorRef, Address, AskError, Context, Reply};

/// How much a benchmark is to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// What the suite says.
    Default,
    /// A moment's work, for tests.
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
    /// What it is about, in a line.
    pub about: &'static str,
    /// Answers what was computed, or what was wrong.
    pub run: fn(Size) -> Result<String, String>,
}

/// Asks, and says why there is no answer.
pub fn ask<M: Send + 'static, R: Send>(
    actor: &ActorRef<M>,
    question: impl FnOnce(Reply<R>) -> M,
) -> Result<R, String> {
    ask_in_actor(actor, question).map_err(|error| match error {
        AskError::Dead | AskError::NoReply => {
            actor.stop();
            format!("no answer, the actor has ended: {}", actor.join())
        }
        _ => error.to_string(),
    })
}

/// Asks without a deadline: should all wait for each other for ever, the runtime says who waits for whom.
pub fn ask_in_actor<M: Send + 'static, R: Send>(
    actor: &ActorRef<M>,
    question: impl FnOnce(Reply<R>) -> M,
) -> Result<R, AskError> {
    actor.ask_timeout(Duration::MAX, question)
}

pub fn tell<M: Send + 'static>(actor: &ActorRef<M>, message: M) -> Result<(), String> {
    actor.tell(message).map_err(|error| format!("{error}: {}", actor.join()))
}

/// Answers whoever has started an actor, which ends with that.
pub fn finish<A: Actor, R>(done: &mut Option<Reply<R>>, answer: R, ctx: &mut Context<A>) {
    if let Some(done) = done.take() {
        let _ = done.send(answer);
    }
    ctx.stop();
}

/// Stops the actors and waits until they have ended.
pub fn end(actors: impl IntoIterator<Item = impl Into<Address>>) {
    let actors: Vec<Address> = actors.into_iter().map(Into::into).collect();
    actors.iter().for_each(Address::stop);
    for actor in &actors {
        actor.join();
    }
}

/// Whether what was computed is what had to come out.
pub fn expect<T: PartialEq + Debug>(what: &str, computed: T, expected: T) -> Result<(), String> {
    if computed == expected {
        return Ok(());
    }
    Err(format!("{what}: computed {computed:?}, expected {expected:?}"))
}

/// A pseudo-random stream, the same for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        // Neighbouring seeds are spread, and none is zero, at which the stream would stay.
        Random(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number from zero up to `limit`, exclusive.
    pub fn below(&mut self, limit: u64) -> u64 {
        // The upper half of the product: the best bits of this generator are the upper ones.
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// Whether something happens that does so in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A little arithmetic that nobody needs.
pub fn compute(angle: f64) -> f64 {
    black_box(angle).sin().powi(2)
}

/// Keeps the processor busy for `rounds` of a few nanoseconds.
pub fn busy(rounds: u64) {
    let mut random = Random::new(rounds);
    for _ in 0..rounds {
        black_box(random.next());
    }
}
