//! Channels, their subscribers, and what waits to be sent to each.
//!
//! A connection that subscribes has an *outbox*: bytes that a green thread of its own writes to the client. A publisher
//! appends to the outboxes and never waits. A client that does not read fills its outbox, and is disconnected when
//! the limit is passed. The replies to the client's own commands go the same way, and are not part of the limit: the
//! thread that runs the commands waits instead.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kahn::net::TcpStream;
use kahn::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::glob;
use crate::reply::Replies;
use crate::store::Bytes;

/// As many replies may wait in an outbox before the thread that runs the commands waits.
const REPLIES: usize = 64 << 10;

/// A connection that has subscribed at least once.
pub struct Subscriber {
    id: u64,
    stream: Arc<TcpStream>,
    /// Relaxed: only the form of later messages depends on it.
    is_resp3: AtomicBool,
    outbox: Mutex<Outbox>,
    /// The outbox has got its first bytes, has been emptied, or is closed.
    changed: Condvar,
    /// The size of the messages in the outbox. One message may be larger, if there is no other.
    limit: usize,
}

#[derive(Default)]
struct Outbox {
    bytes: Vec<u8>,
    /// How many of the bytes are replies.
    replies: usize,
    closed: bool,
}

impl Subscriber {
    pub fn new(id: u64, stream: Arc<TcpStream>, limit: usize) -> Subscriber {
        Subscriber {
            id,
            stream,
            is_resp3: AtomicBool::new(false),
            outbox: Mutex::default(),
            changed: Condvar::new(),
            limit,
        }
    }

    pub fn set_resp3(&self, is_resp3: bool) {
        self.is_resp3.store(is_resp3, Ordering::Relaxed);
    }

    /// Locks the outbox. It is whole also if a thread was cancelled while it waited for a change of it.
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message without waiting. If there is no room for it, the connection is closed.
    pub fn push(&self, message: &[u8]) {
        let mut outbox = self.outbox();
        if outbox.closed {
            return;
        }
        let waiting = outbox.bytes.len() - outbox.replies;
        if waiting > 0 && waiting + message.len() > self.limit {
            *outbox = Outbox { closed: true, ..Outbox::default() };
            drop(outbox);
            self.changed.notify_all();
            // This ends the wait of the thread that writes, and that of the thread that reads.
            self.stream.close();
            return;
        }
        self.extend(outbox, message);
    }

    /// Appends replies without waiting. They take the memory that their command justifies.
    pub fn push_replies(&self, replies: &[u8]) {
        let mut outbox = self.outbox();
        if !outbox.closed {
            outbox.replies += replies.len();
            self.extend(outbox, replies);
        }
    }

    fn extend(&self, mut outbox: MutexGuard<'_, Outbox>, bytes: &[u8]) {
        let was_empty = outbox.bytes.is_empty();
        outbox.bytes.extend_from_slice(bytes);
        drop(outbox);
        if was_empty {
            self.changed.notify_all();
        }
    }

    /// Waits until there is room for replies, and appends them. Returns false if the connection is closed.
    pub fn append(&self, replies: &[u8]) -> bool {
        let mut outbox = self.outbox();
        while !outbox.closed && outbox.replies >= REPLIES {
            outbox = self.changed.wait(outbox).unwrap_or_else(PoisonError::into_inner);
        }
        let is_open = !outbox.closed;
        drop(outbox);
        // No other thread appends replies.
        self.push_replies(replies);
        is_open
    }

    /// Writes what is in the outbox, until it is closed and empty or the client has gone.
    pub fn run_writer(&self) {
        let mut bytes = Vec::new();
        loop {
            let mut outbox = self.outbox();
            while outbox.bytes.is_empty() {
                if outbox.closed {
                    return;
                }
                outbox = self.changed.wait(outbox).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut outbox.bytes, &mut bytes);
            outbox.replies = 0;
            drop(outbox);
            self.changed.notify_all();
            if (&*self.stream).write_all(&bytes).is_err() {
                // The client has gone, or has read nothing for too long.
                self.outbox().closed = true;
                self.changed.notify_all();
                self.stream.close();
                return;
            }
            bytes.clear();
            bytes.shrink_to(self.limit.min(REPLIES));
        }
    }

    /// Lets the writer end when it has written everything.
    pub fn finish(&self) {
        self.outbox().closed = true;
        self.changed.notify_all();
    }
}

/// A message in both protocols. Each is encoded when the first subscriber needs it.
struct Message<'a> {
    parts: &'a [&'a [u8]],
    encoded: [Option<Vec<u8>>; 2],
}

impl<'a> Message<'a> {
    fn new(parts: &'a [&'a [u8]]) -> Message<'a> {
        Message { parts, encoded: [None, None] }
    }

    fn send_to(&mut self, subscribers: &Subscribers) -> usize {
        for subscriber in subscribers.values() {
            let is_resp3 = subscriber.is_resp3.load(Ordering::Relaxed);
            let bytes = self.encoded[usize::from(is_resp3)].get_or_insert_with(|| {
                let mut replies = Replies { bytes: Vec::new(), is_resp3 };
                replies.push(self.parts.len());
                self.parts.iter().for_each(|part| replies.bulk(part));
                replies.bytes
            });
            subscriber.push(bytes);
        }
        subscribers.len()
    }
}

type Subscribers = HashMap<u64, Arc<Subscriber>>;

/// Which kind of name a subscription has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Channel,
    Pattern,
}

#[derive(Default)]
struct Topics {
    channels: HashMap<Bytes, Subscribers>,
    patterns: HashMap<Bytes, Subscribers>,
}

impl Topics {
    fn of(&mut self, topic: Topic) -> &mut HashMap<Bytes, Subscribers> {
        match topic {
            Topic::Channel => &mut self.channels,
            Topic::Pattern => &mut self.patterns,
        }
    }
}

/// All subscriptions.
#[derive(Default)]
pub struct PubSub(RwLock<Topics>);

impl PubSub {
    // The lock is never held over a park, so the topics are whole even if it is poisoned.
    fn read(&self) -> RwLockReadGuard<'_, Topics> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Topics> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a subscription. `confirmation` is sent before any message of the topic.
    pub fn subscribe(&self, topic: Topic, name: &[u8], subscriber: &Arc<Subscriber>, confirmation: &[u8]) {
        let mut topics = self.write();
        subscriber.push_replies(confirmation);
        let topics = topics.of(topic);
        if let Some(subscribers) = topics.get_mut(name) {
            subscribers.insert(subscriber.id, Arc::clone(subscriber));
        } else {
            topics.insert(name.into(), HashMap::from([(subscriber.id, Arc::clone(subscriber))]));
        }
    }

    pub fn unsubscribe(&self, topic: Topic, name: &[u8], subscriber: &Subscriber) {
        let mut topics = self.write();
        let topics = topics.of(topic);
        if let Some(subscribers) = topics.get_mut(name) {
            subscribers.remove(&subscriber.id);
            if subscribers.is_empty() {
                topics.remove(name);
            }
        }
    }

    /// Sends a message to all subscribers of a channel. Returns how many there are.
    pub fn publish(&self, channel: &[u8], text: &[u8]) -> usize {
        let topics = self.read();
        let mut count = 0;
        if let Some(subscribers) = topics.channels.get(channel) {
            count += Message::new(&[b"message", channel, text]).send_to(subscribers);
        }
        for (pattern, subscribers) in &topics.patterns {
            if glob::matches(pattern, channel) {
                count += Message::new(&[b"pmessage", pattern, channel, text]).send_to(subscribers);
            }
        }
        count
    }
}
