//! The database: keys, values and their expiry.
//!
//! The keys are spread over shards, each behind a mutex of kahn. A command locks the shards of its keys, in ascending
//! order, and never parks while it holds them. So a command on several keys is atomic, and no lock is held for long.
//! An uncontended lock costs 5 ns. An actor for each shard would cost 95 ns for each command, and a second wait for each
//! further shard (`mutex` and `ask` in the figures of the README).
//!
//! A shard knows its next deadline, so a key that has expired is found without a look at the others. Each access first
//! removes some keys that are due, and the accessed one if it is (*lazy*). [`Store::expire`] removes the others (*active*).

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use kahn::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;
/// How many keys that have expired one access removes.
const EXPIRED_AT_ONCE: usize = 16;

pub type Bytes = Box<[u8]>;
pub type List = VecDeque<Bytes>;
pub type Hash = HashMap<Bytes, Bytes>;
pub type Set = HashSet<Bytes>;

/// A value.
#[derive(Debug)]
pub enum Value {
    Text(Vec<u8>),
    List(List),
    Hash(Hash),
    Set(Set),
}

impl Value {
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Text(_) => "string",
            Value::List(_) => "list",
            Value::Hash(_) => "hash",
            Value::Set(_) => "set",
        }
    }
}

/// One of the types in [`Value`].
pub trait Kind: Default {
    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    fn into_value(self) -> Value;
    fn is_empty(&self) -> bool;
}

macro_rules! kind {
    ($type:ty, $variant:ident) => {
        impl Kind for $type {
            fn of(value: &Value) -> Option<&Self> {
                if let Value::$variant(value) = value { Some(value) } else { None }
            }

            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                if let Value::$variant(value) = value { Some(value) } else { None }
            }

            fn into_value(self) -> Value {
                Value::$variant(self)
            }

            fn is_empty(&self) -> bool {
                self.is_empty()
            }
        }
    };
}

kind!(Vec<u8>, Text);
kind!(List, List);
kind!(Hash, Hash);
kind!(Set, Set);

/// The value has another type than the command needs.
#[derive(Debug)]
pub struct WrongType;

#[derive(Debug)]
pub struct Entry {
    pub value: Value,
    expiry: Option<Expiry>,
}

/// When a key expires, in milliseconds since 1970, and a number that makes it unique in its shard.
type Expiry = (u64, u64);

/// The keys of a shard, while it is locked.
#[derive(Debug)]
pub struct Shard {
    entries: HashMap<Bytes, Entry>,
    expiries: BTreeMap<Expiry, Bytes>,
    next_number: u64,
    /// The deadline of the first key that expires.
    next_deadline: u64,
}

impl Default for Shard {
    fn default() -> Shard {
        Shard { entries: HashMap::new(), expiries: BTreeMap::new(), next_number: 0, next_deadline: u64::MAX }
    }
}

impl Shard {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Returns a value of some type.
    pub fn read<K: Kind>(&self, key: &[u8]) -> Result<Option<&K>, WrongType> {
        self.entries.get(key).map(|entry| K::of(&entry.value).ok_or(WrongType)).transpose()
    }

    /// Like [`read`](Self::read), to change the value.
    pub fn change<K: Kind>(&mut self, key: &[u8]) -> Result<Option<&mut K>, WrongType> {
        self.entries.get_mut(key).map(|entry| K::of_mut(&mut entry.value).ok_or(WrongType)).transpose()
    }

    /// Like [`change`](Self::change), and makes an empty value if there is none. The caller fills it.
    pub fn change_or_insert<K: Kind>(&mut self, key: &[u8]) -> Result<&mut K, WrongType> {
        // Two look-ups if the key exists. An `entry` would allocate a key for each call.
        if !self.entries.contains_key(key) {
            self.entries.insert(key.into(), Entry { value: K::default().into_value(), expiry: None });
        }
        let entry = self.entries.get_mut(key).expect("the key has just been inserted");
        K::of_mut(&mut entry.value).ok_or(WrongType)
    }

    /// Removes a list, a hash or a set that a command has emptied.
    pub fn remove_if_empty<K: Kind>(&mut self, key: &[u8]) {
        if self.entries.get(key).and_then(|entry| K::of(&entry.value)).is_some_and(K::is_empty) {
            self.remove(key);
        }
    }

    /// Sets a text. The key expires at `deadline`, or keeps the expiry that it has.
    pub fn set_text(&mut self, key: &[u8], text: &[u8], deadline: Deadline) {
        match self.entries.get_mut(key) {
            Some(entry) => {
                match &mut entry.value {
                    // The memory of the old value is used again, unless it is much too large.
                    Value::Text(old) if old.capacity() <= 2 * text.len() + 64 => {
                        old.clear();
                        old.extend_from_slice(text);
                    }
                    value => *value = Value::Text(text.to_vec()),
                }
                let expiry = entry.expiry;
                match deadline {
                    Deadline::Keep => return,
                    Deadline::None if expiry.is_none() => return,
                    _ => {}
                }
            }
            None => {
                self.entries.insert(key.into(), Entry { value: Value::Text(text.to_vec()), expiry: None });
            }
        }
        if let Deadline::At(at) = deadline {
            self.set_expiry(key, Some(at));
        } else if matches!(deadline, Deadline::None) {
            self.set_expiry(key, None);
        }
    }

    pub fn remove(&mut self, key: &[u8]) -> Option<Value> {
        let entry = self.entries.remove(key)?;
        if let Some(expiry) = entry.expiry {
            self.forget(expiry);
        }
        Some(entry.value)
    }

    /// Returns when a key expires. The outer `None` stands for no such key.
    pub fn expiry(&self, key: &[u8]) -> Option<Option<u64>> {
        self.entries.get(key).map(|entry| entry.expiry.map(|(at, _)| at))
    }

    /// Sets when a key expires. Returns false if there is no such key.
    pub fn set_expiry(&mut self, key: &[u8], at: Option<u64>) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let expiry = at.map(|at| (at, self.next_number));
        let old = std::mem::replace(&mut entry.expiry, expiry);
        if let Some(old) = old {
            self.forget(old);
        }
        if let Some(expiry) = expiry {
            self.next_number += 1;
            self.next_deadline = self.next_deadline.min(expiry.0);
            self.expiries.insert(expiry, key.into());
        }
        true
    }

    fn forget(&mut self, expiry: Expiry) {
        self.expiries.remove(&expiry);
        self.find_next_deadline();
    }

    fn find_next_deadline(&mut self) {
        self.next_deadline = self.expiries.keys().next().map_or(u64::MAX, |(at, _)| *at);
    }

    /// Removes some keys that have expired. Returns whether there are more.
    fn expire(&mut self, now: u64) -> bool {
        for _ in 0..EXPIRED_AT_ONCE {
            if self.next_deadline > now {
                return false;
            }
            let Some((_, key)) = self.expiries.pop_first() else { return false };
            self.entries.remove(&key);
            self.find_next_deadline();
        }
        self.next_deadline <= now
    }

    /// Removes a key if it has expired.
    fn expire_key(&mut self, key: &[u8], now: u64) {
        if self.next_deadline <= now
            && self.expire(now)
            && self.expiry(key).flatten().is_some_and(|at| at <= now)
        {
            self.remove(key);
        }
    }

    /// Returns the keys that have not expired, with their values.
    pub fn live(&self, now: u64) -> impl Iterator<Item = (&Bytes, &Value)> {
        let live = move |entry: &Entry| entry.expiry.is_none_or(|(at, _)| at > now);
        self.entries.iter().filter(move |(_, entry)| live(entry)).map(|(key, entry)| (key, &entry.value))
    }
}

/// What `SET` does about the expiry of its key.
#[derive(Clone, Copy, Debug)]
pub enum Deadline {
    None,
    Keep,
    At(u64),
}

/// A shard in a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Aligned(Mutex<Shard>);

impl Aligned {
    /// Locks the shard. It may be poisoned by a thread that was cancelled while it waited for another shard. It is
    /// whole, since no thread is cancelled while it changes a shard.
    fn lock(&self) -> MutexGuard<'_, Shard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The database.
pub struct Store {
    shards: Vec<Aligned>,
    hasher: RandomState,
}

impl Default for Store {
    fn default() -> Store {
        Store { shards: (0..SHARDS).map(|_| Aligned::default()).collect(), hasher: RandomState::new() }
    }
}

impl Store {
    fn index(&self, key: &[u8]) -> usize {
        usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).expect("the number of shards is small")
    }

    /// Locks the shard of a key.
    pub fn lock(&self, key: &[u8], now: u64) -> MutexGuard<'_, Shard> {
        let mut shard = self.shards[self.index(key)].lock();
        shard.expire_key(key, now);
        shard
    }

    /// Locks the shards of several keys.
    pub fn lock_all<'a>(&self, keys: impl Iterator<Item = &'a [u8]> + Clone, now: u64) -> Locked<'_> {
        let mask = keys.clone().fold(0_u64, |mask, key| mask | 1 << self.index(key));
        let indices = (0..SHARDS).filter(|index| mask & 1 << index != 0);
        let mut locked =
            Locked { store: self, mask, shards: indices.map(|i| self.shards[i].lock()).collect() };
        for key in keys {
            locked.shard(key).expire_key(key, now);
        }
        locked
    }

    /// Locks one shard after the other.
    pub fn shards(&self) -> impl ExactSizeIterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(Aligned::lock)
    }

    /// Removes all keys at once.
    pub fn clear(&self) {
        let mut shards = self.shards().collect::<Vec<_>>();
        let old = shards.iter_mut().map(|shard| std::mem::take(&mut **shard)).collect::<Vec<_>>();
        drop(shards);
        // The values are freed without the locks.
        drop(old);
    }

    /// Removes all keys that have expired.
    pub fn expire(&self) {
        for shard in &self.shards {
            while shard.lock().expire(unix_ms()) {}
        }
    }
}

/// The shards of several keys, while they are locked.
pub struct Locked<'a> {
    store: &'a Store,
    /// Bit i is set if shard i is locked.
    mask: u64,
    shards: Vec<MutexGuard<'a, Shard>>,
}

impl Locked<'_> {
    /// Returns the shard of one of the keys.
    pub fn shard(&mut self, key: &[u8]) -> &mut Shard {
        let lower = self.mask & ((1 << self.store.index(key)) - 1);
        &mut self.shards[lower.count_ones() as usize]
    }
}

/// Returns the time in milliseconds since 1970.
pub fn unix_ms() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
