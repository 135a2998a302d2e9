//! Commands on lists.

use super::integer;
use crate::protocol::Args;
use crate::session::{Outcome, Session};
use crate::store::{Bytes, List};

pub fn lpush(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    push(session, args, |list, item| list.push_front(item))
}

pub fn rpush(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    push(session, args, |list, item| list.push_back(item))
}

fn push(session: &mut Session<'_>, args: Args<'_>, put: fn(&mut List, Bytes)) -> Outcome {
    let mut shard = session.server.store.lock(&args[1], session.now);
    let list = shard.change_or_insert::<List>(&args[1])?;
    args.from(2).for_each(|item| put(list, item.into()));
    session.replies.count(list.len());
    Ok(())
}

pub fn lpop(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    pop(session, args, "lpop", List::pop_front)
}

pub fn rpop(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    pop(session, args, "rpop", List::pop_back)
}

fn pop(
    session: &mut Session<'_>,
    args: Args<'_>,
    name: &str,
    take: fn(&mut List) -> Option<Bytes>,
) -> Outcome {
    if args.len() > 3 {
        return Err(crate::session::wrong_arity(name));
    }
    let key = &args[1];
    let count = args.get(2).map(|count| {
        let count = integer(count).ok().and_then(|count| usize::try_from(count).ok());
        count.ok_or("ERR value is out of range, must be positive")
    });
    let count = count.transpose()?;
    let mut shard = session.server.store.lock(key, session.now);
    match (shard.change::<List>(key)?, count) {
        (None, None) => session.replies.null(),
        (None, Some(_)) => session.replies.null_array(),
        (Some(list), None) => session.replies.bulk_or_null(take(list)),
        (Some(list), Some(count)) => {
            let count = count.min(list.len());
            session.replies.array(count);
            for _ in 0..count {
                session.replies.bulk_or_null(take(list));
            }
        }
    }
    shard.remove_if_empty::<List>(key);
    Ok(())
}

pub fn llen(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let shard = session.server.store.lock(&args[1], session.now);
    session.replies.count(shard.read::<List>(&args[1])?.map_or(0, List::len));
    Ok(())
}

/// Returns the place that an index stands for, which counts from the end if it is negative. It may be negative still, or
/// beyond the end.
fn place(index: i64, len: usize) -> i64 {
    if index < 0 { index.saturating_add(i64::try_from(len).unwrap_or(i64::MAX)) } else { index }
}

pub fn lrange(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let (first, last) = (integer(&args[2])?, integer(&args[3])?);
    let shard = session.server.store.lock(&args[1], session.now);
    let Some(list) = shard.read::<List>(&args[1])? else {
        session.replies.array(0);
        return Ok(());
    };
    let start = usize::try_from(place(first, list.len())).unwrap_or(0).min(list.len());
    let end =
        usize::try_from(place(last, list.len()).saturating_add(1)).unwrap_or(0).clamp(start, list.len());
    session.replies.array(end - start);
    list.range(start..end).for_each(|item| session.replies.bulk(item));
    Ok(())
}

pub fn lindex(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let shard = session.server.store.lock(&args[1], session.now);
    let Some(list) = shard.read::<List>(&args[1])? else {
        session.replies.null();
        return Ok(());
    };
    // Redis looks at the index only if there is a list.
    let index = place(integer(&args[2])?, list.len());
    session.replies.bulk_or_null(usize::try_from(index).ok().and_then(|index| list.get(index)));
    Ok(())
}
