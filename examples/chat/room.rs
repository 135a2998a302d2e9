//! The room actor. It sends every line that is said in it to the screens of all users in the room.

use kahn::actor::{Actor, ActorRef, Address, Context, Down, ExitReason, Reply};

use crate::roster::Roster;
use crate::screen::Line;
use crate::script::Name;

pub struct Room {
    name: Name,
    members: Roster,
}

pub enum Message {
    Enter { name: Name, user: Address, screen: ActorRef<Line>, done: Reply<()> },
    Leave { name: Name, done: Reply<()> },
    Say { name: Name, words: String, done: Reply<()> },
    Who(Reply<Vec<Name>>),
}

impl Room {
    pub fn new(name: Name) -> Room {
        Room { name, members: Roster::default() }
    }

    fn announce(&self, text: impl std::fmt::Display) {
        self.members.show_all(format!("[{}] {text}", self.name));
    }
}

impl Actor for Room {
    type Message = Message;

    // `Reply::send` fails if the asking user has ended. The room ignores that.
    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Enter { name, user, screen, done } => {
                self.members.add(name.clone(), ctx.monitor(user), screen);
                self.announce(format_args!("{name} comes in"));
                let _ = done.send(());
            }
            Message::Leave { name, done } => {
                self.announce(format_args!("{name} leaves"));
                if let Some(monitor) = self.members.remove(&name) {
                    ctx.demonitor(monitor);
                }
                let _ = done.send(());
            }
            Message::Say { name, words, done } => {
                self.announce(format_args!("{name}: {words}"));
                let _ = done.send(());
            }
            Message::Who(reply) => drop(reply.send(self.members.names().cloned().collect())),
        }
        Ok(())
    }

    fn down(&mut self, down: Down, _: &mut Context<Self>) -> Result<(), ExitReason> {
        if let Some(name) = self.members.remove_ended(&down)
            && !matches!(down.reason, ExitReason::Normal)
        {
            self.announce(format_args!("{name} is gone: {}", down.reason));
        }
        Ok(())
    }
}
