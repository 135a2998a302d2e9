//! Communicating processes for Rust: green threads, bounded channels, `select!` and supervised actors on all cores,
//! in plain blocking code.
//!
//! ```text
//!  green threads      actors      async tasks      OS threads      what runs
//! -----------------------------------------------------------
//!  channels, select!      locks      sleep, timeout                what it waits for
//! -----------------------------------------------------------
//!  workers (one for each CPU), stacks, timers, blocking pool       the runtime
//! ```
//!
//! | module | holds | shaped after |
//! |---|---|---|
//! | [`thread`] | green threads, scopes, locals; [`serve`] for pools of handlers; [`blocking`] | [`std::thread`] |
//! | [`channel`] | bounded channels, `select!`; oneshot, broadcast and watch channels | `crossbeam-channel` |
//! | [`sync`] | `Mutex`, `RwLock`, `Condvar`, `OnceLock` and the like; a semaphore, a wait group | [`std::sync`] |
//! | [`time`] | sleep, intervals, and a timeout for any code | [`std::time`], tokio |
//! | [`net`] | sockets | [`std::net`] |
//! | [`fs`], [`process`], [`io`], [`os`] | files, child processes, descriptors | the same of [`std`] |
//! | [`signal`] | signals, as messages of a channel | tokio |
//! | [`actor`] | actors, supervisors, names, groups, pools, topics, a test kit | Erlang/OTP |
//! | [`runtime`] | the settings and the reports of a [`Runtime`] | tokio |
//!
//! [`thread`], [`sync`] and [`time`] have the names and the meaning of `std`. To port a program that uses threads,
//! replace `std::` with `kahn::`. Channels are those of `crossbeam-channel`, except that every channel is bounded: a
//! sender that is ahead of its receiver waits.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use kahn::channel::{after, bounded, select};
//!
//! #[kahn::main]
//! fn main() {
//!     let (numbers, work) = bounded(16);
//!     let (squares, results) = bounded(16);
//!     // A pool of four servers. They have no stack while they wait.
//!     for _ in 0..4 {
//!         let squares = squares.clone();
//!         kahn::serve(work.clone(), move |n: u64| squares.send(n * n).unwrap());
//!     }
//!     drop((work, squares));
//!     // A green thread. It parks while the channel is full.
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
//! [`run`] and [`#[kahn::main]`](macro@main) start a runtime, with a worker thread for each CPU. [`Runtime::run`]
//! runs a closure in a runtime that exists. An operation that parks a green thread also works on a plain OS thread,
//! which it blocks. The first [`spawn`] on an OS thread that is in no runtime starts a default runtime for the
//! process. Channels and locks work between green threads of all runtimes, OS threads and async tasks.
//!
//! Calls that block without the runtime's knowledge belong in [`blocking`]: a worker that is blocked runs no green
//! thread.
//!
//! # What is safe
//!
//! A green thread that has parked stays on its OS thread. So thread-locals, `Rc`s and lock guards on its stack are as
//! safe as in an OS thread. Only tasks that have not started, or have no stack, move to another OS thread.
//! SEMANTICS.md lists the exceptions under "Known limits of soundness": a green thread must not park inside the
//! initializer of a `thread_local!`, nor inside code that relies on last-in-first-out use of a thread-local.

#![warn(unreachable_pub)]

#[doc(inline)]
pub use kahn_channels::{select, select_biased, serve};
#[doc(inline)]
pub use kahn_core::async_task as task;
#[doc(inline)]
pub use kahn_core::model::{self, model};
#[doc(inline)]
pub use kahn_core::{
    Runtime, block_on, blocking, local, run, scope, sleep, spawn, spawn_local, sync, time, yield_now,
};
#[doc(inline)]
pub use kahn_macros::{main, test};

/// Green threads, with the names and the meaning of [`std::thread`].
///
/// The root of the crate has the most used items too: [`spawn`], [`spawn_local`], [`serve`], [`scope`], [`sleep`],
/// [`yield_now`], [`blocking`], [`block_on`] and [`local!`].
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

/// The settings of a [`Runtime`], and its reports.
///
/// ```
/// let runtime = kahn::Runtime::builder().workers(2).name("io").build()?;
/// assert_eq!(runtime.run(|| 7), 7);
/// # Ok::<(), std::io::Error>(())
/// ```
pub mod runtime {
    #[doc(inline)]
    pub use kahn_core::runtime::{Builder, DeadlockReport, Homes, ShutdownError, WaitKind, Waiting};
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
///     default(std::time::Duration::from_secs(10)) => panic!("no answer"),
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

// A model has no descriptors: what cannot be modelled does not compile.
#[cfg(all(
    not(kahn_loom),
    any(
        feature = "futures-io",
        feature = "hyper",
        feature = "redis",
        feature = "tokio-io",
        feature = "ureq"
    )
))]
#[doc(inline)]
pub use kahn_io::interop;
#[cfg(not(kahn_loom))]
#[doc(inline)]
pub use kahn_io::{fs, io, net, os, process, signal};

pub mod actor {
    //! Actors: values that handle messages one at a time. An actor without messages uses no stack and no thread.
    //!
    //! An actor owns its state. Other threads send it messages, and it handles one after the other. So the state
    //! needs no lock. When an actor fails, its state is dropped, and no other state is affected.
    //!
    //! * **Tell** ([`ActorRef::tell`]) puts a message into the actor's mailbox. The mailbox is bounded: while it is
    //!   full the sender waits, unless [`Overflow`] says otherwise.
    //! * **Ask** ([`ActorRef::ask`]) sends a message that holds a [`Reply`], and waits for the reply. It has a
    //!   deadline. An ask returns an error if it would close a circle of actors that wait for each other.
    //! * **Failures**: a handler that returns an error, or panics, ends its actor with that [`ExitReason`]. Actors that
    //!   [monitor](Context::monitor) it are told. Actors that are [linked](Context::link) to it end with it. A
    //!   [`Supervisor`] restarts it, with a new value, the same mailbox and the same references.
    //!
    //! A handler is plain blocking code: it may sleep, take a lock or receive from a channel. While it waits, its
    //! worker runs other tasks.
    //!
    //! ```
    //! use kahn::actor::{Actor, ChildSpec, Context, ExitReason, Reply, Supervisor};
    //!
    //! /// Adds up numbers. Fails at a text that is not a number.
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
    //! // It fails, and is restarted. It handles the messages that come after.
    //! sum.tell(Message::Add("two".into()))?;
    //! assert_eq!(sum.ask(Message::Total)?, 0);
    //! supervisor.stop();
    //! # Ok::<(), Box<dyn std::error::Error>>(())
    //! ```
    //!
    //! # Overview
    //!
    //! | to | use |
    //! |---|---|
    //! | start one actor | [`spawn`]; with a name or another mailbox, [`Builder`] |
    //! | receive messages in another order | [`Builder::spawn_loop`], an actor that is a loop and has a stack |
    //! | set timers, stash messages, monitor other actors | [`Context`]; in a loop, [`Mailbox`] |
    //! | restart actors that fail, and stop all of them in order | [`Supervisor`]; for a whole program, [`System`] |
    //! | start and stop very many actors of one kind, each with its own arguments | [`DynamicSupervisor`] |
    //! | find an actor by its name | [`registry`] |
    //! | send the same message to many actors | [`Group`]; by topic, [`PubSub`] |
    //! | let several actors share the work | [`Pool`] |
    //! | limit the rate of an operation | [`Limiter`] |
    //! | see messages that no actor handled | [`dead_letters`] |
    //! | test actors | [`testing`] |
    //!
    //! For work that has a beginning and an end, and no state that other threads ask for, a green thread and a
    //! [channel](crate::channel) are simpler.

    #[doc(inline)]
    pub use kahn_actors::*;
}

/// The functions that the attributes expand to. They are not public API, and are not covered by semver.
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
        Libraries: "../docs/libraries.md",
        Performance: "../docs/performance.md",
        Models: "../docs/models.md",
    }
}
