//! Fibonacci numbers by naive recursion with an actor for each call. Measures a tree of short-lived actors.
//!
//! No deadlock: an actor gets one request and two results, so no mailbox is ever full.

use kahn::actor::{Actor, Context, ExitReason, spawn};

use crate::bench::{Bench, Size, expect, tell};
use crate::results::{ReplyTo, wait_for_result};

pub const BENCH: Bench = Bench { name: "fibonacci", about: "recursion with an actor for each call", run };

struct Call {
    reply_to: Option<ReplyTo<Message, u64>>,
    results: u32,
    sum: u64,
}

enum Message {
    Request(u32),
    Result(u64),
}

impl Call {
    fn new(reply_to: ReplyTo<Message, u64>) -> Call {
        Call { reply_to: Some(reply_to), results: 0, sum: 0 }
    }

    fn reply(&mut self, number: u64) -> Result<(), ExitReason> {
        // The caller's reference was the last one, and it was dropped. The actor therefore ends by itself.
        self.reply_to.take().map_or(Ok(()), |reply_to| reply_to.send(number, Message::Result))
    }
}

impl Actor for Call {
    type Message = Message;

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Request(n) if n <= 2 => self.reply(1),
            Message::Request(n) => {
                for n in [n - 1, n - 2] {
                    spawn(Call::new(ReplyTo::Parent(ctx.me()))).tell(Message::Request(n))?;
                }
                Ok(())
            }
            Message::Result(number) => {
                self.sum += number;
                self.results += 1;
                if self.results == 2 { self.reply(self.sum) } else { Ok(()) }
            }
        }
    }
}

fn run(size: Size) -> Result<String, String> {
    let n = size.pick(25, 12);
    let number = wait_for_result(|done| tell(&spawn(Call::new(ReplyTo::Caller(done))), Message::Request(n)))?;
    let (expected, _) = (0..n).fold((0, 1), |(a, b), _| (b, a + b));
    expect("the number", number, expected)?;
    Ok(format!("F({n}) = {number}, by {} actors", 2 * number - 1))
}
