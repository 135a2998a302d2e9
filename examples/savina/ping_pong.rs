//! Two actors send one message back and forth. Measures a tell that wakes an idle actor.
//!
//! No deadlock: only one message is in flight, so no mailbox is ever full.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Size, ask, expect, finish};

pub const BENCH: Bench =
    Bench { name: "ping-pong", about: "two actors send one message back and forth", run };

struct Ping {
    pong: ActorRef<FromPing>,
    pings: u64,
    sent: u64,
    done: Option<Reply<u64>>,
}

enum ToPing {
    Start(Reply<u64>),
    Pong(u64),
}

struct FromPing(ActorRef<ToPing>);

struct Pong(u64);

impl Ping {
    fn ping(&mut self, ctx: &Context<Self>) -> Result<(), ExitReason> {
        self.sent += 1;
        Ok(self.pong.tell(FromPing(ctx.me()))?)
    }
}

impl Actor for Ping {
    type Message = ToPing;

    fn handle(&mut self, message: ToPing, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToPing::Start(done) => {
                self.done = Some(done);
                self.ping(ctx)
            }
            ToPing::Pong(number) if number != self.sent => {
                Err(ExitReason::failed(format!("pong {number} arrived after ping {}", self.sent)))
            }
            ToPing::Pong(_) if self.sent < self.pings => self.ping(ctx),
            ToPing::Pong(number) => {
                finish(&mut self.done, number, ctx);
                Ok(())
            }
        }
    }
}

impl Actor for Pong {
    type Message = FromPing;

    fn handle(&mut self, FromPing(ping): FromPing, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.0 += 1;
        Ok(ping.tell(ToPing::Pong(self.0))?)
    }
}

fn run(size: Size) -> Result<String, String> {
    let pings = size.pick(40_000, 1000);
    let ping = spawn(Ping { pong: spawn(Pong(0)), pings, sent: 0, done: None });
    expect("pongs", ask(&ping, ToPing::Start)?, pings)?;
    Ok(format!("{pings} pings, each got its pong"))
}
