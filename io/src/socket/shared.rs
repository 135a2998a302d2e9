//! The settings that a socket shares with its clones, and who is told of a close.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use kahn_core::source::{Closer, Interest};

/// The settings of a socket and its clones.
///
/// All accesses of the atomics are Relaxed: each is a setting of its own, and orders nothing.
pub(super) struct Shared {
    nonblocking: AtomicBool,
    /// In nanoseconds. Zero stands for no time-out.
    read_timeout: AtomicU64,
    write_timeout: AtomicU64,
    watchers: Mutex<Watchers>,
}

#[derive(Default)]
struct Watchers {
    closed: bool,
    list: Vec<Watcher>,
    /// The length of the list at which watchers that are gone are removed.
    prune_at: usize,
}

/// Is told that a socket or one of its clones has been closed.
pub(crate) enum Watcher {
    /// A clone, which is closed too.
    Clone(Closer),
    /// A server that accepts connections.
    Server(Weak<dyn Fn() + Send + Sync>),
}

impl Watcher {
    fn tell(&self) {
        match self {
            Watcher::Clone(closer) => closer.close(),
            Watcher::Server(server) => {
                if let Some(tell) = server.upgrade() {
                    tell();
                }
            }
        }
    }

    fn is_gone(&self) -> bool {
        match self {
            Watcher::Clone(closer) => closer.is_gone(),
            Watcher::Server(server) => server.strong_count() == 0,
        }
    }
}

impl Watchers {
    fn add(&mut self, watcher: Watcher) {
        const FIRST: usize = 8;
        if self.list.len() >= self.prune_at.max(FIRST) {
            self.list.retain(|watcher| !watcher.is_gone());
            self.prune_at = 2 * self.list.len();
        }
        self.list.push(watcher);
    }
}

impl Shared {
    /// Makes the settings of a new socket, with the closer of the first source.
    pub(super) fn new(closer: Closer) -> Shared {
        let list = vec![Watcher::Clone(closer)];
        Shared {
            nonblocking: AtomicBool::new(false),
            read_timeout: AtomicU64::new(0),
            write_timeout: AtomicU64::new(0),
            watchers: Mutex::new(Watchers { list, ..Watchers::default() }),
        }
    }

    /// Adds a watcher. Returns false, and tells it, if the socket was closed before.
    pub(super) fn watch(&self, watcher: Watcher) -> bool {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        if watchers.closed {
            drop(watchers);
            watcher.tell();
            return false;
        }
        watchers.add(watcher);
        true
    }

    /// Tells all watchers, and those that come later.
    pub(super) fn close(&self) {
        let list = {
            let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
            watchers.closed = true;
            std::mem::take(&mut watchers.list)
        };
        list.iter().for_each(Watcher::tell);
    }

    pub(super) fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    pub(super) fn set_nonblocking(&self, is_nonblocking: bool) {
        self.nonblocking.store(is_nonblocking, Ordering::Relaxed);
    }

    fn timeout_of(&self, interest: Interest) -> &AtomicU64 {
        match interest {
            Interest::Readable => &self.read_timeout,
            Interest::Writable => &self.write_timeout,
        }
    }

    pub(super) fn timeout(&self, interest: Interest) -> Option<Duration> {
        let nanos = self.timeout_of(interest).load(Ordering::Relaxed);
        (nanos != 0).then(|| Duration::from_nanos(nanos))
    }

    /// Sets a time-out, which is not zero. One of more than 584 years becomes one of 584 years.
    pub(super) fn set_timeout(&self, interest: Interest, timeout: Option<Duration>) {
        let nanos = timeout.map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        self.timeout_of(interest).store(nanos, Ordering::Relaxed);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
