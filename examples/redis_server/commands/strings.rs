//! Commands on texts.

use super::{integer, is};
use crate::protocol::Args;
use crate::reply::push_number;
use crate::session::{Failure, Outcome, SYNTAX, Session, wrong_arity};
use crate::store::{Deadline, Shard};

pub fn get(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let shard = session.server.store.lock(&args[1], session.now);
    session.replies.bulk_or_null(shard.read::<Vec<u8>>(&args[1])?);
    Ok(())
}

/// The options of `SET`.
struct SetOptions {
    deadline: Deadline,
    only_new: bool,
    only_old: bool,
    returns_old: bool,
}

impl SetOptions {
    fn parse(args: Args<'_>, now: u64) -> Result<SetOptions, Failure> {
        let mut options =
            SetOptions { deadline: Deadline::None, only_new: false, only_old: false, returns_old: false };
        let mut time = None;
        let mut rest = args.from(3);
        while let Some(arg) = rest.next() {
            let is_free = matches!(options.deadline, Deadline::None) && time.is_none();
            let unit = Unit::of(arg);
            if is(arg, "NX") && !options.only_old {
                options.only_new = true;
            } else if is(arg, "XX") && !options.only_new {
                options.only_old = true;
            } else if is(arg, "GET") {
                options.returns_old = true;
            } else if is(arg, "KEEPTTL") && time.is_none() {
                options.deadline = Deadline::Keep;
            } else if let Some(unit) = unit
                && is_free
                && let Some(amount) = rest.next()
            {
                time = Some((unit, amount));
            } else {
                return Err(SYNTAX.into());
            }
        }
        if let Some((unit, amount)) = time {
            options.deadline = Deadline::At(unit.deadline(amount, now, "set")?);
        }
        Ok(options)
    }
}

/// How `SET` gives a time.
#[derive(Clone, Copy)]
struct Unit {
    is_seconds: bool,
    is_absolute: bool,
}

impl Unit {
    fn of(arg: &[u8]) -> Option<Unit> {
        let units = [("EX", true, false), ("PX", false, false), ("EXAT", true, true), ("PXAT", false, true)];
        let unit = units.into_iter().find(|(word, ..)| is(arg, word));
        unit.map(|(_, is_seconds, is_absolute)| Unit { is_seconds, is_absolute })
    }

    /// Returns the deadline in milliseconds since 1970.
    fn deadline(self, amount: &[u8], now: u64, command: &str) -> Result<u64, Failure> {
        let amount = integer(amount)?;
        let millis = if self.is_seconds { amount.checked_mul(1000) } else { Some(amount) };
        let base = if self.is_absolute { 0 } else { now };
        let deadline = millis
            .filter(|millis| *millis > 0)
            .and_then(|millis| millis.checked_add(i64::try_from(base).ok()?))
            .and_then(|deadline| u64::try_from(deadline).ok());
        deadline.ok_or_else(|| format!("ERR invalid expire time in '{command}' command").into())
    }
}

pub fn set(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let (key, text) = (&args[1], &args[2]);
    if args.len() == 3 {
        session.server.store.lock(key, session.now).set_text(key, text, Deadline::None);
        session.replies.ok();
        return Ok(());
    }
    let options = SetOptions::parse(args, session.now)?;
    let mut shard = session.server.store.lock(key, session.now);
    if options.returns_old {
        session.replies.bulk_or_null(shard.read::<Vec<u8>>(key)?);
    }
    let exists = shard.get(key).is_some();
    let is_set = if exists { !options.only_new } else { !options.only_old };
    if is_set {
        shard.set_text(key, text, options.deadline);
    }
    match (options.returns_old, is_set) {
        (true, _) => {}
        (false, true) => session.replies.ok(),
        (false, false) => session.replies.null(),
    }
    Ok(())
}

pub fn setex(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    set_for(session, args, true, "setex")
}

pub fn psetex(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    set_for(session, args, false, "psetex")
}

fn set_for(session: &mut Session<'_>, args: Args<'_>, is_seconds: bool, command: &str) -> Outcome {
    let deadline = Unit { is_seconds, is_absolute: false }.deadline(&args[2], session.now, command)?;
    let key = &args[1];
    session.server.store.lock(key, session.now).set_text(key, &args[3], Deadline::At(deadline));
    session.replies.ok();
    Ok(())
}

pub fn setnx(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let mut shard = session.server.store.lock(&args[1], session.now);
    let is_new = shard.get(&args[1]).is_none();
    if is_new {
        shard.set_text(&args[1], &args[2], Deadline::None);
    }
    session.replies.integer(i64::from(is_new));
    Ok(())
}

pub fn getset(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let mut shard = session.server.store.lock(&args[1], session.now);
    session.replies.bulk_or_null(shard.read::<Vec<u8>>(&args[1])?);
    shard.set_text(&args[1], &args[2], Deadline::None);
    Ok(())
}

pub fn getdel(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let mut shard = session.server.store.lock(&args[1], session.now);
    session.replies.bulk_or_null(shard.read::<Vec<u8>>(&args[1])?);
    shard.remove(&args[1]);
    Ok(())
}

pub fn append(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let mut shard = session.server.store.lock(&args[1], session.now);
    let old = shard.read::<Vec<u8>>(&args[1])?.map_or(0, Vec::len);
    if old + args[2].len() > session.server.settings.frame {
        return Err("ERR string exceeds maximum allowed size (proto-max-bulk-len)".into());
    }
    let text = shard.change_or_insert::<Vec<u8>>(&args[1])?;
    text.extend_from_slice(&args[2]);
    session.replies.count(text.len());
    Ok(())
}

pub fn strlen(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let shard = session.server.store.lock(&args[1], session.now);
    session.replies.count(shard.read::<Vec<u8>>(&args[1])?.map_or(0, Vec::len));
    Ok(())
}

pub fn incr(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    add(session, &args[1], 1)
}

pub fn decr(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    add(session, &args[1], -1)
}

pub fn incrby(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    add(session, &args[1], integer(&args[2])?)
}

pub fn decrby(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let amount = integer(&args[2])?.checked_neg().ok_or("ERR decrement would overflow")?;
    add(session, &args[1], amount)
}

fn add(session: &mut Session<'_>, key: &[u8], amount: i64) -> Outcome {
    let mut shard = session.server.store.lock(key, session.now);
    let old = shard.read::<Vec<u8>>(key)?.map(|text| integer(text)).transpose()?.unwrap_or(0);
    let sum = old.checked_add(amount).ok_or("ERR increment or decrement would overflow")?;
    set_number(&mut shard, key, sum);
    session.replies.integer(sum);
    Ok(())
}

fn set_number(shard: &mut Shard, key: &[u8], number: i64) {
    let mut text = Vec::new();
    push_number(&mut text, number);
    shard.set_text(key, &text, Deadline::Keep);
}

pub fn mget(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let mut locked = session.server.store.lock_all(args.from(1), session.now);
    session.replies.array(args.len() - 1);
    // One key may be named often, so the reply may be larger than the database.
    let limit = session.replies.bytes.len() + 16 * session.server.settings.frame;
    for key in args.from(1) {
        session.replies.bulk_or_null(locked.shard(key).read::<Vec<u8>>(key).unwrap_or(None));
        if session.replies.bytes.len() > limit {
            return Err("ERR the reply is too large".into());
        }
    }
    Ok(())
}

pub fn mset(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    if args.len().is_multiple_of(2) {
        return Err(wrong_arity("mset"));
    }
    let mut locked = session.server.store.lock_all(args.from(1).step_by(2), session.now);
    for (key, text) in args.from(1).step_by(2).zip(args.from(2).step_by(2)) {
        locked.shard(key).set_text(key, text, Deadline::None);
    }
    session.replies.ok();
    Ok(())
}
