//! A room: what is said in it goes to the screens of all who are there.

use kahn::actor::{Actor, ActorRef, Address, Context, Down, ExitReason, Reply};

use crate::roster::Roster;
use crate::screen::Line;
use crate::script::Name;

pub struct Room {
    name: Name,
    here: Roster,
}

pub enum Message {
    Enter { name: Name, user: Address, screen: ActorRef<Line>, done: Reply<()> },
    Leave { name: Name, done: Reply<()> },
    Say { name: Name, words: String, done: Reply<()> },
    Who(Reply<Vec<Name>>),
}

impl Room {
    pub fn new(name: Name) -> Room {
        Room { name, here: Roster::default() }
    }

    fn announce(&self, what: impl std::fmt::Display) {
        self.here.show_all(format!("[{}] {what}", self.name));
    }
}

impl Actor for Room {
    type Message = Message;

    // A reply to a user who is gone by now comes back, and is dropped.
    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Enter { name, user, screen, done } => {
                self.here.add(name.clone(), ctx.monitor(user), screen);
                self.announce(format_args!("{name} comes in"));
                let _ = done.send(());
            }
            Message::Leave { name, done } => {
                self.announce(format_args!("{name} leaves"));
                if let Some(monitor) = self.here.remove(&name) {
                    ctx.demonitor(monitor);
                }
                let _ = done.send(());
            }
            Message::Say { name, words, done } => {
                self.announce(format_args!("{name}: {words}"));
                let _ = done.send(());
            }
            Message::Who(reply) => drop(reply.send(self.here.names().cloned().collect())),
        }
        Ok(())
    }

    fn down(&mut self, down: Down, _: &mut Context<Self>) -> Result<(), ExitReason> {
        if let Some(name) = self.here.forget(&down)
            && !matches!(down.reason, ExitReason::Normal)
        {
            self.announce(format_args!("{name} is gone: {}", down.reason));
        }
        Ok(())
    }
}
