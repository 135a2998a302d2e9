//! The commands: their table, and what several of them have in common.

mod hashes;
mod keys;
mod lists;
mod server;
mod sets;
mod strings;
mod topics;

use std::sync::LazyLock;

use crate::protocol::Args;
use crate::session::{Failure, NO_INTEGER, Outcome, Session};

/// A command.
pub struct Command {
    /// In capital letters.
    pub name: &'static str,
    /// The number of arguments with the name. A negative number stands for at least as many.
    pub arity: i64,
    /// Whether the command changes a key.
    pub is_write: bool,
    /// The first key, the last key (-1 is the last argument), and the step between keys. Zeros if there are no keys.
    pub keys: [i64; 3],
    pub run: fn(&mut Session<'_>, Args<'_>) -> Outcome,
}

const NO_KEYS: [i64; 3] = [0, 0, 0];
const ONE_KEY: [i64; 3] = [1, 1, 1];
const ALL_KEYS: [i64; 3] = [1, -1, 1];

type Run = fn(&mut Session<'_>, Args<'_>) -> Outcome;

const fn read(name: &'static str, arity: i64, keys: [i64; 3], run: Run) -> Command {
    Command { name, arity, is_write: false, keys, run }
}

const fn write(name: &'static str, arity: i64, keys: [i64; 3], run: Run) -> Command {
    Command { name, arity, is_write: true, keys, run }
}

static COMMANDS: &[Command] = &[
    write("APPEND", 3, ONE_KEY, strings::append),
    write("DECR", 2, ONE_KEY, strings::decr),
    write("DECRBY", 3, ONE_KEY, strings::decrby),
    read("GET", 2, ONE_KEY, strings::get),
    write("GETDEL", 2, ONE_KEY, strings::getdel),
    write("GETSET", 3, ONE_KEY, strings::getset),
    write("INCR", 2, ONE_KEY, strings::incr),
    write("INCRBY", 3, ONE_KEY, strings::incrby),
    read("MGET", -2, ALL_KEYS, strings::mget),
    write("MSET", -3, [1, -1, 2], strings::mset),
    write("PSETEX", 4, ONE_KEY, strings::psetex),
    write("SET", -3, ONE_KEY, strings::set),
    write("SETEX", 4, ONE_KEY, strings::setex),
    write("SETNX", 3, ONE_KEY, strings::setnx),
    read("STRLEN", 2, ONE_KEY, strings::strlen),
    read("DBSIZE", 1, NO_KEYS, keys::dbsize),
    write("DEL", -2, ALL_KEYS, keys::del),
    read("EXISTS", -2, ALL_KEYS, keys::exists),
    write("EXPIRE", -3, ONE_KEY, keys::expire),
    write("EXPIREAT", -3, ONE_KEY, keys::expireat),
    write("FLUSHALL", -1, NO_KEYS, keys::flush),
    write("FLUSHDB", -1, NO_KEYS, keys::flush),
    read("KEYS", 2, NO_KEYS, keys::keys),
    write("PERSIST", 2, ONE_KEY, keys::persist),
    write("PEXPIRE", -3, ONE_KEY, keys::pexpire),
    write("PEXPIREAT", -3, ONE_KEY, keys::pexpireat),
    read("PTTL", 2, ONE_KEY, keys::pttl),
    read("SCAN", -2, NO_KEYS, keys::scan),
    read("TTL", 2, ONE_KEY, keys::ttl),
    read("TYPE", 2, ONE_KEY, keys::type_of),
    write("UNLINK", -2, ALL_KEYS, keys::del),
    read("LINDEX", 3, ONE_KEY, lists::lindex),
    read("LLEN", 2, ONE_KEY, lists::llen),
    write("LPOP", -2, ONE_KEY, lists::lpop),
    write("LPUSH", -3, ONE_KEY, lists::lpush),
    read("LRANGE", 4, ONE_KEY, lists::lrange),
    write("RPOP", -2, ONE_KEY, lists::rpop),
    write("RPUSH", -3, ONE_KEY, lists::rpush),
    write("HDEL", -3, ONE_KEY, hashes::hdel),
    read("HEXISTS", 3, ONE_KEY, hashes::hexists),
    read("HGET", 3, ONE_KEY, hashes::hget),
    read("HGETALL", 2, ONE_KEY, hashes::hgetall),
    write("HINCRBY", 4, ONE_KEY, hashes::hincrby),
    read("HLEN", 2, ONE_KEY, hashes::hlen),
    write("HSET", -4, ONE_KEY, hashes::hset),
    write("SADD", -3, ONE_KEY, sets::sadd),
    read("SCARD", 2, ONE_KEY, sets::scard),
    read("SISMEMBER", 3, ONE_KEY, sets::sismember),
    read("SMEMBERS", 2, ONE_KEY, sets::smembers),
    write("SREM", -3, ONE_KEY, sets::srem),
    read("PSUBSCRIBE", -2, NO_KEYS, topics::psubscribe),
    read("PUBLISH", 3, NO_KEYS, topics::publish),
    read("PUNSUBSCRIBE", -1, NO_KEYS, topics::punsubscribe),
    read("SUBSCRIBE", -2, NO_KEYS, topics::subscribe),
    read("UNSUBSCRIBE", -1, NO_KEYS, topics::unsubscribe),
    read("CLIENT", -2, NO_KEYS, server::client),
    read("COMMAND", -1, NO_KEYS, server::command),
    read("CONFIG", -2, NO_KEYS, server::config),
    read("ECHO", 2, NO_KEYS, server::echo),
    read("HELLO", -1, NO_KEYS, server::hello),
    read("INFO", -1, NO_KEYS, server::info),
    read("PING", -1, NO_KEYS, server::ping),
    read("QUIT", -1, NO_KEYS, server::quit),
    read("SELECT", 2, NO_KEYS, server::select),
];

/// Returns a name in capital letters as a number, or `None` if it is longer than the name of any command.
fn code(name: &[u8]) -> Option<u128> {
    let mut code = [0; 16];
    let bytes = code.get_mut(..name.len())?;
    bytes.copy_from_slice(name);
    bytes.make_ascii_uppercase();
    Some(u128::from_be_bytes(code))
}

/// Returns the command of a name, in whatever case.
pub fn find(name: &[u8]) -> Option<&'static Command> {
    static SORTED: LazyLock<Vec<(u128, &Command)>> = LazyLock::new(|| {
        let named = COMMANDS.iter().filter_map(|command| Some((code(command.name.as_bytes())?, command)));
        let mut sorted = named.collect::<Vec<_>>();
        sorted.sort_unstable_by_key(|(code, _)| *code);
        sorted
    });
    let code = code(name)?;
    let sorted = &*SORTED;
    sorted.binary_search_by_key(&code, |(code, _)| *code).ok().map(|index| sorted[index].1)
}

/// Parses an integer, which has no sign but `-`, no zeros before it and no spaces.
pub fn integer(text: &[u8]) -> Result<i64, Failure> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_canonical = match digits {
        [b'0'] => digits.len() == text.len(),
        [first, ..] => matches!(first, b'1'..=b'9'),
        [] => false,
    };
    let number = is_canonical.then(|| str::from_utf8(text).ok()?.parse().ok()).flatten();
    number.ok_or(NO_INTEGER.into())
}

/// Returns whether an argument is a word, in whatever case.
pub fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}
