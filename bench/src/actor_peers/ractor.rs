//! The actor on ractor. Its mailboxes are unbounded, so `cast` never waits.

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};

pub struct Sum;

pub enum Message {
    Add(u64),
    Get(RpcReplyPort<u64>),
}

impl Actor for Sum {
    type Msg = Message;
    type State = u64;
    type Arguments = u64;

    async fn pre_start(&self, _: ActorRef<Message>, sum: u64) -> Result<u64, ActorProcessingErr> {
        Ok(sum)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        sum: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Add(n) => *sum += n,
            Message::Get(reply) => reply.send(*sum)?,
        }
        Ok(())
    }
}

pub type Ref = ActorRef<Message>;

impl super::Sum for Ref {
    async fn start(sum: u64) -> Ref {
        Sum::spawn(None, Sum, sum).await.expect("the actor starts").0
    }

    async fn add(&self, n: u64) {
        self.cast(Message::Add(n)).expect("the actor runs");
    }

    async fn get(&self) -> u64 {
        call!(self, Message::Get).expect("the actor replies")
    }
}
