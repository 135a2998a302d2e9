//! The actor on kameo. `tell` waits while the mailbox is full.

use crate::workloads::MAILBOX;
use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox;
use kameo::message::{Context, Message};

#[derive(Actor)]
pub struct Sum(u64);

struct Add(u64);
struct Get;

impl Message<Add> for Sum {
    type Reply = ();

    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self, ()>) {
        self.0 += n;
    }
}

impl Message<Get> for Sum {
    type Reply = u64;

    async fn handle(&mut self, Get: Get, _: &mut Context<Self, u64>) -> u64 {
        self.0
    }
}

pub type Ref = ActorRef<Sum>;

impl super::Sum for Ref {
    async fn start(sum: u64) -> Ref {
        Sum::spawn_with_mailbox(Sum(sum), mailbox::bounded(MAILBOX))
    }

    async fn add(&self, n: u64) {
        self.tell(Add(n)).await.expect("the actor runs");
    }

    async fn get(&self) -> u64 {
        self.ask(Get).await.expect("the actor replies")
    }
}
