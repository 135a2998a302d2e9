//! Commands on hashes.

use super::integer;
use crate::protocol::Args;
use crate::reply::push_number;
use crate::session::{Outcome, Session, wrong_arity};
use crate::store::Hash;

pub fn hset(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    if !args.len().is_multiple_of(2) {
        return Err(wrong_arity("hset"));
    }
    let mut shard = session.server.store.lock(&args[1], session.now);
    let hash = shard.change_or_insert::<Hash>(&args[1])?;
    let mut added = 0;
    for (field, text) in args.from(2).step_by(2).zip(args.from(3).step_by(2)) {
        if let Some(old) = hash.get_mut(field) {
            *old = text.into();
        } else {
            hash.insert(field.into(), text.into());
            added += 1;
        }
    }
    session.replies.integer(added);
    Ok(())
}

pub fn hget(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let shard = session.server.store.lock(&args[1], session.now);
    let hash = shard.read::<Hash>(&args[1])?;
    session.replies.bulk_or_null(hash.and_then(|hash| hash.get(&args[2])));
    Ok(())
}

pub fn hdel(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let mut shard = session.server.store.lock(&args[1], session.now);
    let hash = shard.change::<Hash>(&args[1])?;
    session
        .replies
        .count(hash.map_or(0, |hash| args.from(2).filter(|field| hash.remove(*field).is_some()).count()));
    shard.remove_if_empty::<Hash>(&args[1]);
    Ok(())
}

pub fn hgetall(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let shard = session.server.store.lock(&args[1], session.now);
    let hash = shard.read::<Hash>(&args[1])?;
    session.replies.map(hash.map_or(0, Hash::len));
    for (field, text) in hash.into_iter().flatten() {
        session.replies.bulk(field);
        session.replies.bulk(text);
    }
    Ok(())
}

pub fn hlen(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let shard = session.server.store.lock(&args[1], session.now);
    session.replies.count(shard.read::<Hash>(&args[1])?.map_or(0, Hash::len));
    Ok(())
}

pub fn hexists(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let shard = session.server.store.lock(&args[1], session.now);
    let hash = shard.read::<Hash>(&args[1])?;
    session.replies.integer(i64::from(hash.is_some_and(|hash| hash.contains_key(&args[2]))));
    Ok(())
}

pub fn hincrby(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let amount = integer(&args[3])?;
    let mut shard = session.server.store.lock(&args[1], session.now);
    // The sum is known to fit before anything is changed.
    let old = shard.read::<Hash>(&args[1])?.and_then(|hash| hash.get(&args[2]));
    let old = old.map(|text| integer(text).map_err(|_| "ERR hash value is not an integer"));
    let old = old.transpose()?.unwrap_or(0);
    let sum = old.checked_add(amount).ok_or("ERR increment or decrement would overflow")?;
    let mut text = Vec::new();
    push_number(&mut text, sum);
    shard.change_or_insert::<Hash>(&args[1])?.insert((&args[2]).into(), text.into());
    session.replies.integer(sum);
    Ok(())
}
