//! Commands on keys of any type.

use super::{integer, is};
use crate::glob;
use crate::protocol::Args;
use crate::session::{Failure, Outcome, SYNTAX, Session};
use crate::store::Bytes;

pub fn del(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let mut locked = session.server.store.lock_all(args.from(1), session.now);
    let removed = args.from(1).filter_map(|key| locked.shard(key).remove(key)).collect::<Vec<_>>();
    drop(locked);
    session.replies.count(removed.len());
    // The values are freed without the locks.
    drop(removed);
    Ok(())
}

pub fn exists(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let mut locked = session.server.store.lock_all(args.from(1), session.now);
    session.replies.count(args.from(1).filter(|key| locked.shard(key).get(key).is_some()).count());
    Ok(())
}

pub fn type_of(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let shard = session.server.store.lock(&args[1], session.now);
    session.replies.status(shard.get(&args[1]).map_or("none", |entry| entry.value.type_name()));
    Ok(())
}

pub fn dbsize(session: &mut Session<'_>, _: Args<'_>) -> Outcome {
    let len = session.server.store.shards().map(|shard| shard.len()).sum();
    session.replies.count(len);
    Ok(())
}

pub fn flush(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let is_known = args.from(1).all(|arg| is(arg, "ASYNC") || is(arg, "SYNC"));
    if args.len() > 2 || !is_known {
        return Err(SYNTAX.into());
    }
    session.server.store.clear();
    session.replies.ok();
    Ok(())
}

pub fn expire(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    set_expiry(session, args, 1000, true, "expire")
}

pub fn pexpire(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    set_expiry(session, args, 1, true, "pexpire")
}

pub fn expireat(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    set_expiry(session, args, 1000, false, "expireat")
}

pub fn pexpireat(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    set_expiry(session, args, 1, false, "pexpireat")
}

fn set_expiry(
    session: &mut Session<'_>,
    args: Args<'_>,
    unit_ms: i64,
    is_relative: bool,
    name: &str,
) -> Outcome {
    let base = if is_relative { i64::try_from(session.now).unwrap_or(i64::MAX) } else { 0 };
    let condition = Condition::parse(args)?;
    let at = integer(&args[2])?.checked_mul(unit_ms).and_then(|millis| millis.checked_add(base));
    let at = at.ok_or_else(|| format!("ERR invalid expire time in '{name}' command"))?;
    // A deadline before 1970 has passed, as one in 1970 has.
    let at = u64::try_from(at).unwrap_or(0);
    let key = &args[1];
    let mut shard = session.server.store.lock(key, session.now);
    let is_set = match shard.expiry(key) {
        Some(old) if condition.allows(old, at) => {
            if at <= session.now {
                shard.remove(key);
            } else {
                shard.set_expiry(key, Some(at));
            }
            true
        }
        _ => false,
    };
    session.replies.integer(i64::from(is_set));
    Ok(())
}

/// When `EXPIRE` changes the expiry of a key.
#[derive(Default)]
struct Condition {
    only_new: bool,
    only_old: bool,
    only_later: bool,
    only_earlier: bool,
}

impl Condition {
    fn parse(args: Args<'_>) -> Result<Condition, Failure> {
        let mut condition = Condition::default();
        for arg in args.from(3) {
            if is(arg, "NX") {
                condition.only_new = true;
            } else if is(arg, "XX") {
                condition.only_old = true;
            } else if is(arg, "GT") {
                condition.only_later = true;
            } else if is(arg, "LT") {
                condition.only_earlier = true;
            } else {
                return Err(format!("ERR Unsupported option {}", String::from_utf8_lossy(arg)).into());
            }
        }
        let Condition { only_new, only_old, only_later, only_earlier } = condition;
        if only_new && (only_old || only_later || only_earlier) {
            return Err("ERR NX and XX, GT or LT options at the same time are not compatible".into());
        }
        if only_later && only_earlier {
            return Err("ERR GT and LT options at the same time are not compatible".into());
        }
        Ok(condition)
    }

    /// A key without expiry counts as one that expires never.
    fn allows(&self, old: Option<u64>, new: u64) -> bool {
        !(self.only_new && old.is_some()
            || self.only_old && old.is_none()
            || self.only_later && old.is_none_or(|old| new <= old)
            || self.only_earlier && old.is_some_and(|old| new >= old))
    }
}

pub fn ttl(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    time_left(session, args, |ms| (ms + 500) / 1000)
}

pub fn pttl(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    time_left(session, args, |ms| ms)
}

fn time_left(session: &mut Session<'_>, args: Args<'_>, unit: fn(u64) -> u64) -> Outcome {
    let shard = session.server.store.lock(&args[1], session.now);
    session.replies.integer(match shard.expiry(&args[1]) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => i64::try_from(unit(at.saturating_sub(session.now))).unwrap_or(i64::MAX),
    });
    Ok(())
}

pub fn persist(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let mut shard = session.server.store.lock(&args[1], session.now);
    let had_expiry = shard.expiry(&args[1]).flatten().is_some();
    if had_expiry {
        shard.set_expiry(&args[1], None);
    }
    session.replies.integer(i64::from(had_expiry));
    Ok(())
}

pub fn keys(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let mut found: Vec<Bytes> = Vec::new();
    for shard in session.server.store.shards() {
        let live = shard.live(session.now).map(|(key, _)| key);
        found.extend(live.filter(|key| glob::matches(&args[1], key)).cloned());
    }
    session.replies.array(found.len());
    found.iter().for_each(|key| session.replies.bulk(key));
    Ok(())
}

/// The cursor is the number of shards that have been scanned. A call scans whole shards, at least one. So each key that is
/// there from the beginning of a scan to its end is returned once.
pub fn scan(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let cursor = str::from_utf8(&args[1]).ok().and_then(|text| text.parse::<usize>().ok());
    let cursor = cursor.ok_or("ERR invalid cursor")?;
    let (mut pattern, mut kind, mut count): (Option<&[u8]>, Option<&[u8]>, _) = (None, None, 10);
    let mut rest = args.from(2);
    while let Some(option) = rest.next() {
        let value = rest.next().ok_or(SYNTAX)?;
        if is(option, "MATCH") {
            pattern = Some(value);
        } else if is(option, "TYPE") {
            kind = Some(value);
        } else if is(option, "COUNT") {
            count = usize::try_from(integer(value)?).ok().filter(|count| *count > 0).ok_or(SYNTAX)?;
        } else {
            return Err(SYNTAX.into());
        }
    }
    let mut found: Vec<Bytes> = Vec::new();
    let (mut looked_at, mut next) = (0, cursor);
    let mut shards = session.server.store.shards().skip(cursor);
    while let Some(shard) = shards.next() {
        looked_at += shard.len();
        next = if shards.len() > 0 { next.saturating_add(1) } else { 0 };
        let live = shard.live(session.now);
        let of_kind = live.filter(|(_, value)| kind.is_none_or(|kind| is(kind, value.type_name())));
        let keys = of_kind.map(|(key, _)| key);
        found.extend(keys.filter(|key| pattern.is_none_or(|pattern| glob::matches(pattern, key))).cloned());
        if looked_at >= count {
            break;
        }
    }
    // A cursor that no scan has returned ends the scan.
    let next = if looked_at == 0 && found.is_empty() && next == cursor { 0 } else { next };
    session.replies.array(2);
    session.replies.bulk(next.to_string());
    session.replies.array(found.len());
    found.iter().for_each(|key| session.replies.bulk(key));
    Ok(())
}
