//! Commands on sets.

use crate::protocol::Args;
use crate::session::{Outcome, Session};
use crate::store::Set;

pub fn sadd(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let mut shard = session.server.store.lock(&args[1], session.now);
    let set = shard.change_or_insert::<Set>(&args[1])?;
    session.replies.count(args.from(2).filter(|member| set.insert((*member).into())).count());
    Ok(())
}

pub fn srem(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let mut shard = session.server.store.lock(&args[1], session.now);
    let set = shard.change::<Set>(&args[1])?;
    session.replies.count(set.map_or(0, |set| args.from(2).filter(|member| set.remove(*member)).count()));
    shard.remove_if_empty::<Set>(&args[1]);
    Ok(())
}

pub fn smembers(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let shard = session.server.store.lock(&args[1], session.now);
    let set = shard.read::<Set>(&args[1])?;
    session.replies.set(set.map_or(0, Set::len));
    set.into_iter().flatten().for_each(|member| session.replies.bulk(member));
    Ok(())
}

pub fn sismember(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let shard = session.server.store.lock(&args[1], session.now);
    let set = shard.read::<Set>(&args[1])?;
    session.replies.integer(i64::from(set.is_some_and(|set| set.contains(&args[2]))));
    Ok(())
}

pub fn scard(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let shard = session.server.store.lock(&args[1], session.now);
    session.replies.count(shard.read::<Set>(&args[1])?.map_or(0, Set::len));
    Ok(())
}
