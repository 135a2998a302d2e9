//! Communicating processes for Rust: green threads, bounded channels and `select!` on all the cores, with plain blocking
//! code.
//!
//! What `std` has keeps its name and its meaning here ([`thread`], [`sync`], [`time`]), so porting a program that uses
//! threads is replacing `std::` by `kahn::`. Channels are those of `crossbeam-channel`, less the unbounded ones: a sender
//! that is ahead waits.
//!
//! ```
//! use std::time::Duration;
//!
//! use kahn::channel::{after, bounded};
//! use kahn::select;
//!
//! #[kahn::main]
//! fn main() {
//!     let (numbers, work) = bounded(16);
//!     let (squares, results) = bounded(16);
//!     // A pool of four, which has no stack while it waits.
//!     for _ in 0..4 {
//!         let squares = squares.clone();
//!         kahn::serve(work.clone(), move |n: u64| squares.send(n * n).unwrap());
//!     }
//!     drop((work, squares));
//!     // A green thread: it parks where the channel is full.
//!     kahn::spawn(move || (1..=1000).for_each(|n| numbers.send(n).unwrap()));
//!
//!     let late = after(Duration::from_secs(10));
//!     let mut sum = 0;
//!     loop {
//!         select! {
//!             recv(results) -> square => match square {
//!                 Ok(square) => sum += square,
//!                 Err(_) => break,
//!             },
//!             recv(late) -> _ => panic!("too slow"),
//!         }
//!     }
//!     assert_eq!(sum, 333_833_500);
//! }
//! ```
//!
//! # Where it runs
//!
//! [`run`], [`Runtime::run`] and [`#[kahn::main]`](macro@main) start a runtime, with a worker thread for each CPU.
//! Whatever parks a green thread also works on a plain OS thread, which it blocks; and the first [`spawn`] on one that is
//! in no runtime starts a default runtime for the process. Channels and locks work between all of them, and async tasks.
//!
//! Calls that block without the runtime's knowledge belong in [`blocking`]: a worker that waits runs nobody else.
//!
//! # What is safe
//!
//! A green thread that has parked stays on its OS thread. Thread-locals, `Rc`s and lock guards on its stack are then as safe as
//! in an OS thread. Only what has not started, or has no stack, moves to another OS thread. SEMANTICS.md lists the exceptions
//! under "Known limits of soundness": a green thread must not park inside the initializer of a `thread_local!`, nor inside code
//! that relies on last-in-first-out use of a thread-local.

#[doc(inline)]
pub use kahn_channels::{select, select_biased, serve};
#[doc(inline)]
pub use kahn_core::{
    Runtime, block_on, blocking, local, run, runtime, scope, sleep, spawn, spawn_local, sync, time, yield_now,
};
#[doc(inline)]
pub use kahn_macros::{main, test};

/// Green threads, with the names and the meaning of [`std::thread`].
///
/// ```
/// use kahn::thread;
///
/// let words = ["to", "be", "or", "not"];
/// let letters = thread::scope(|s| {
///     let counters = words.map(|word| s.spawn(move || word.len()));
///     counters.into_iter().map(|counter| counter.join().unwrap()).sum::<usize>()
/// });
/// assert_eq!(letters, 9);
/// ```
pub mod thread {
    #[doc(inline)]
    pub use kahn_channels::serve;
    #[doc(inline)]
    pub use kahn_core::local;
    #[doc(inline)]
    pub use kahn_core::thread::{
        AccessError, Builder, JoinError, JoinHandle, LocalKey, Result, Scope, ScopedJoinHandle, Thread,
        ThreadId, available_parallelism, block_on, blocking, current, is_green, panicking, park,
        park_timeout, scope, sleep, sleep_until, spawn, spawn_local, yield_now,
    };
}

/// Bounded channels and select, with the names and the meaning of `crossbeam-channel`.
///
/// ```
/// use kahn::channel::{bounded, select};
///
/// let (questions, asked) = bounded(1);
/// let (answers, answered) = bounded(0);
/// kahn::spawn(move || asked.iter().for_each(|n: u32| answers.send(n * n).unwrap()));
/// questions.send(7).unwrap();
/// drop(questions);
/// select! {
///     recv(answered) -> answer => assert_eq!(answer, Ok(49)),
///     default(std::time::Duration::from_secs(10)) => panic!("nobody answers"),
/// }
/// assert!(answered.recv().is_err());
/// ```
pub mod channel {
    #[doc(inline)]
    pub use kahn_channels::{
        IntoIter, Iter, Permit, ReadyTimeoutError, Receiver, RecvError, RecvFuture, RecvStream,
        RecvTimeoutError, Select, SelectTimeoutError, SelectedOperation, SendError, SendFuture,
        SendTimeoutError, Sender, TryIter, TryReadyError, TryRecvError, TrySelectError, TrySendError, after,
        at, bounded, broadcast, never, oneshot, select, select_biased, tick, watch,
    };
}

pub mod actor {
    //! Actors: values that handle messages one at a time, without a stack or a thread while there are none.
    //!
    //! An actor owns its state, and nobody else touches it: others tell it messages, and it handles one after the other.
    //! So there is nothing to lock, and when it fails its state goes with it, and nobody else's.
    //!
    //! * **Tell** ([`ActorRef::tell`]) puts a message into the actor's mailbox. The mailbox is bounded: while it is full
    //!   the sender waits, unless [`Overflow`] says otherwise.
    //! * **Ask** ([`ActorRef::ask`]) tells a message that holds a [`Reply`], and waits for the answer. It has a deadline,
    //!   and actors that would wait for each other get an error instead.
    //! * **Failures**: a handler that answers an error, or panics, ends its actor with that [`ExitReason`]. Those who
    //!   [monitor](Control::monitor) it are told, those who are [linked](Control::link) to it end with it, and a
    //!   [`Supervisor`] starts it again, with a new value, the same mailbox and the same references.
    //!
    //! A handler is plain blocking code: it may sleep, lock, receive from a channel or read a socket. Its mailbox waits
    //! meanwhile; its worker does not.
    //!
    //! ```
    //! use kahn::actor::{Actor, ChildSpec, Context, ExitReason, Reply, Supervisor};
    //!
    //! /// Adds up what it is told, and fails at what is no number.
    //! #[derive(Default)]
    //! struct Sum(i64);
    //!
    //! enum Message {
    //!     Add(String),
    //!     Total(Reply<i64>),
    //! }
    //!
    //! impl Actor for Sum {
    //!     type Message = Message;
    //!     fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
    //!         match message {
    //!             Message::Add(text) => self.0 += text.parse::<i64>()?,
    //!             Message::Total(reply) => drop(reply.send(self.0)),
    //!         }
    //!         Ok(())
    //!     }
    //! }
    //!
    //! let supervisor = Supervisor::default().child(ChildSpec::new("sum", Sum::default)).try_spawn()?;
    //! let sum = supervisor.actor_ref::<Message>("sum")?;
    //! sum.tell(Message::Add("40".into()))?;
    //! sum.tell(Message::Add("2".into()))?;
    //! assert_eq!(sum.ask(Message::Total)?, 42);
    //!
    //! // It fails, and begins anew. What comes after that in its mailbox is handled.
    //! sum.tell(Message::Add("two".into()))?;
    //! assert_eq!(sum.ask(Message::Total)?, 0);
    //! supervisor.stop();
    //! # Ok::<(), Box<dyn std::error::Error>>(())
    //! ```
    //!
    //! # What to reach for
    //!
    //! | to | there is |
    //! |---|---|
    //! | start one actor | [`spawn`]; with a name or another mailbox, [`Builder`] |
    //! | receive in an order of its own | [`Builder::spawn_loop`], an actor that is a loop and has a stack |
    //! | have timers, put messages aside, watch others | [`Context`], that is, [`Control`] |
    //! | start those again that fail, and stop all in order | [`Supervisor`]; for a whole program, [`System`] |
    //! | start and stop very many of one kind, each with arguments of its own | [`DynamicSupervisor`] |
    //! | find an actor by its name | [`registry`] |
    //! | tell many the same | [`Group`]; by topic, [`PubSub`] |
    //! | let several share the work | [`Pool`] |
    //! | do something no more often than so | [`Limiter`] |
    //! | see what nobody has handled | [`dead_letters`] |
    //! | test actors | [`testing`] |
    //!
    //! For work that has a beginning and an end, and no state that others ask for, a green thread and a
    //! [channel](crate::channel) are simpler.

    #[doc(inline)]
    pub use kahn_actors::*;
}

/// For what the attributes expand to. Not for use by name.
#[doc(hidden)]
pub mod __private {
    pub use kahn_core::runtime::entry::{main, test, test_with_result};
}

/// The examples in README.md and in the guides, compiled and run.
#[cfg(doctest)]
mod guides {
    macro_rules! guides {
        ($($name:ident: $path:literal,)*) => { $(#[doc = include_str!($path)] struct $name;)* };
    }

    guides! {
        Readme: "../README.md",
        FromActors: "../docs/from-actors.md",
        FromErlang: "../docs/from-erlang.md",
        FromGo: "../docs/from-go.md",
        FromStd: "../docs/from-std.md",
        FromTokio: "../docs/from-tokio.md",
        Choosing: "../docs/choosing.md",
        Blocking: "../docs/blocking.md",
        Performance: "../docs/performance.md",
    }
}
