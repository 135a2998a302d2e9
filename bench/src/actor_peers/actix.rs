//! The actor on actix.
//!
//! An actor of actix stays on the thread that started it. Here its senders run on the same thread: from another thread
//! an ask takes about fifteen times as long, and a tell is not faster. actix cannot wait for space in a mailbox without
//! also waiting for the reply, so a sender yields until there is space. `do_send`, which ignores the capacity, is not
//! faster.

use crate::workloads::MAILBOX;
use actix::dev::SendError;
use actix::{Actor, Addr, Context, Handler, Message};

pub struct Sum(u64);

impl Actor for Sum {
    type Context = Context<Sum>;

    fn started(&mut self, ctx: &mut Context<Sum>) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Add(u64);

#[derive(Message)]
#[rtype(result = "u64")]
struct Get;

impl Handler<Add> for Sum {
    type Result = ();

    fn handle(&mut self, Add(n): Add, _: &mut Context<Sum>) {
        self.0 += n;
    }
}

impl Handler<Get> for Sum {
    type Result = u64;

    fn handle(&mut self, Get: Get, _: &mut Context<Sum>) -> u64 {
        self.0
    }
}

pub type Ref = Addr<Sum>;

impl super::Sum for Ref {
    async fn start(sum: u64) -> Ref {
        Sum(sum).start()
    }

    async fn add(&self, n: u64) {
        let mut message = Add(n);
        while let Err(SendError::Full(back)) = self.try_send(message) {
            message = back;
            tokio::task::yield_now().await;
        }
    }

    async fn get(&self) -> u64 {
        self.send(Get).await.expect("the actor replies")
    }
}
