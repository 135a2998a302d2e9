//! What the connections share: the database, the subscriptions, the open connections, the settings.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kahn::net::{Shutdown, TcpStream};
use kahn::sync::{Mutex, MutexGuard, PoisonError};

use crate::pubsub::PubSub;
use crate::store::Store;

/// What a client may use.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub port: u16,
    /// How many connections are open at a time.
    pub connections: usize,
    /// The size of a command, and so of a bulk string.
    pub frame: usize,
    /// The size of the messages that wait to be sent to a subscriber.
    pub outbox: usize,
    /// The time in which a client reads nothing of its replies.
    pub stalled: Duration,
    /// How long commands may last after Ctrl-C.
    pub grace: Duration,
}

/// The server.
pub struct Server {
    pub settings: Settings,
    pub store: Store,
    pub pubsub: PubSub,
    pub clients: Clients,
    pub start: Instant,
}

impl Server {
    pub fn new(settings: Settings) -> Server {
        Server {
            settings,
            store: Store::default(),
            pubsub: PubSub::default(),
            clients: Clients::default(),
            start: Instant::now(),
        }
    }
}

/// The open connections.
#[derive(Default)]
pub struct Clients {
    open: Mutex<Open>,
    next_id: AtomicU64,
}

#[derive(Default)]
struct Open {
    streams: HashMap<u64, Arc<TcpStream>>,
    is_stopping: bool,
}

impl Clients {
    // A thread that holds the lock does not park, so the map is whole even if the lock is poisoned.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection until the result is dropped. Returns `None` if the server stops.
    pub fn enter(&self, stream: &Arc<TcpStream>) -> Option<Client<'_>> {
        // Relaxed: the number only has to be unique.
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let mut open = self.open();
        if open.is_stopping {
            return None;
        }
        open.streams.insert(id, Arc::clone(stream));
        Some(Client { clients: self, id })
    }

    pub fn len(&self) -> usize {
        self.open().streams.len()
    }

    /// Returns how many connections there have been.
    pub fn total(&self) -> u64 {
        // Relaxed: a count for `INFO`.
        self.next_id.load(Ordering::Relaxed)
    }

    /// Ends the reads of all connections, now and later. A read still returns what has arrived before, and then the end
    /// of the stream.
    pub fn stop(&self) {
        let mut open = self.open();
        open.is_stopping = true;
        for stream in open.streams.values() {
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}

/// The place of a connection in [`Clients`].
pub struct Client<'a> {
    clients: &'a Clients,
    id: u64,
}

impl Client<'_> {
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        self.clients.open().streams.remove(&self.id);
    }
}
