//! Commands of publish and subscribe.

use std::sync::Arc;

use crate::protocol::Args;
use crate::pubsub::{Subscriber, Topic};
use crate::reply::Replies;
use crate::session::{Outcome, Session};
use crate::store::Bytes;

pub fn publish(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let count = session.server.pubsub.publish(&args[1], &args[2]);
    session.replies.count(count);
    Ok(())
}

pub fn subscribe(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    subscribe_to(session, args, Topic::Channel, "subscribe")
}

pub fn psubscribe(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    subscribe_to(session, args, Topic::Pattern, "psubscribe")
}

fn subscribe_to(session: &mut Session<'_>, args: Args<'_>, topic: Topic, verb: &str) -> Outcome {
    let is_resp3 = session.replies.is_resp3;
    let subscriber = Arc::clone(session.subscriber.get_or_insert_with(|| {
        let limit = session.server.settings.outbox;
        Arc::new(Subscriber::new(session.id, Arc::clone(&session.stream), limit))
    }));
    subscriber.set_resp3(is_resp3);
    // The replies of the commands before this one come first.
    subscriber.push_replies(&session.replies.bytes);
    session.replies.bytes.clear();
    for name in args.from(1) {
        session.topics(topic).insert(name.into());
        let mut confirmation = Replies { bytes: Vec::new(), is_resp3 };
        confirm(&mut confirmation, verb, Some(name), session.subscriptions());
        session.server.pubsub.subscribe(topic, name, &subscriber, &confirmation.bytes);
    }
    Ok(())
}

fn confirm(replies: &mut Replies, verb: &str, name: Option<&[u8]>, count: usize) {
    replies.push(3);
    replies.bulk(verb);
    replies.bulk_or_null(name);
    replies.count(count);
}

pub fn unsubscribe(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    unsubscribe_from(session, args, Topic::Channel, "unsubscribe")
}

pub fn punsubscribe(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    unsubscribe_from(session, args, Topic::Pattern, "punsubscribe")
}

fn unsubscribe_from(session: &mut Session<'_>, args: Args<'_>, topic: Topic, verb: &str) -> Outcome {
    let names: Vec<Bytes> = if args.len() > 1 {
        args.from(1).map(Bytes::from).collect()
    } else {
        session.topics(topic).iter().cloned().collect()
    };
    for name in &names {
        if session.topics(topic).remove(name)
            && let Some(subscriber) = &session.subscriber
        {
            session.server.pubsub.unsubscribe(topic, name, subscriber);
        }
        let count = session.subscriptions();
        confirm(&mut session.replies, verb, Some(name), count);
    }
    if names.is_empty() {
        let count = session.subscriptions();
        confirm(&mut session.replies, verb, None, count);
    }
    Ok(())
}
