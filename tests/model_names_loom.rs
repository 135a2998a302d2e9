//! The public names of kahn without those of files, sockets and processes, which a model does not have. This text compiles in
//! a model build and without, so a program needs no change to be modelled.

#![expect(unused_imports, reason = "the names have to exist")]

use kahn::actor::testing;
use kahn::actor::{
    ASK_TIMEOUT, AcquireTimeoutError, Actor, ActorId, ActorRef, Address, AskError, AutoShutdown, Backoff,
    Builder, ChildError, ChildInfo, ChildKind, ChildSpec, ChildState, Context, Delivered, Down, DownCause,
    DynamicSupervisor, DynamicSupervisorRef, Event, ExitReason, Group, Lag, Limiter, LinkDied, MAILBOX, Mail,
    Mailbox, MailboxError, MonitorId, Outcome, Overflow, Pool, PoolBuilder, PubSub, Reply, Restart, Routing,
    Shutdown, StartError, StashError, Strategy, Supervisor, SupervisorRef, System, SystemError, TellError,
    TellFuture, TimerId, WeakActorRef, dead_letters, registry, spawn as spawn_actor,
};
use kahn::channel::{
    IntoIter, Iter, Permit, ReadyTimeoutError, Receiver, RecvError, RecvFuture, RecvStream, RecvTimeoutError,
    Select, SelectTimeoutError, SelectedOperation, SendError, SendFuture, SendTimeoutError, Sender, TryIter,
    TryReadyError, TryRecvError, TrySelectError, TrySendError, after, at, bounded, broadcast, never, oneshot,
    select, select_biased, tick, watch,
};
use kahn::runtime::{Builder as RuntimeBuilder, DeadlockReport, ShutdownError, WaitKind, Waiting};
use kahn::sync::{
    Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, OwnedPermit, RwLock, Semaphore, WaitGroup,
};
use kahn::task;
use kahn::thread::{
    AccessError, Builder as ThreadBuilder, JoinError, JoinHandle, LocalKey, Result, Scope, ScopedJoinHandle,
    Thread, ThreadId, available_parallelism, block_on, blocking, current, is_green, local, panicking, park,
    park_timeout, scope, serve, sleep, sleep_until, spawn, spawn_local, yield_now,
};
use kahn::time::{
    Duration, Elapsed, Instant, Interval, SleepFuture, TimeoutFuture, interval, now, sleep_async,
    sleep_until_async, timeout, timeout_async,
};
use kahn::{Runtime, main as kahn_main, model, run, test as kahn_test};

/// A program that runs in both kinds of build, each by its own entry.
#[test]
fn one_program_runs_in_both_kinds_of_build() {
    fn program() {
        let (tx, rx) = bounded(1);
        let sender = spawn(move || tx.send(7).unwrap());
        assert_eq!(rx.recv(), Ok(7));
        sender.join().unwrap();
    }
    let settings = kahn::model::Builder::new();
    settings.check(program);
    kahn::model(program);
}
