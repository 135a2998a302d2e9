//! The lobby actor. It creates users and rooms, and finds them by name.

use std::collections::HashMap;

use kahn::actor::{self, Actor, ActorRef, Context, Down, ExitReason, Overflow, Reply};
use kahn::channel::Sender;

use crate::room::{self, Room};
use crate::roster::Roster;
use crate::screen::{Line, Screen, Shown};
use crate::script::Name;
use crate::user::{Typed, User};

pub struct Lobby {
    inbox: usize,
    shown: Sender<Shown>,
    rooms: HashMap<Name, ActorRef<room::Message>>,
    users: Roster,
}

pub enum Message {
    /// Creates a user of this name.
    Login(Name, Reply<ActorRef<Typed>>),
    /// Returns the room of this name, and creates it if it does not exist.
    Room(Name, Reply<ActorRef<room::Message>>),
    /// Returns the screen of the user of this name.
    Screen(Name, Reply<Option<ActorRef<Line>>>),
}

impl Lobby {
    pub fn new(inbox: usize, shown: Sender<Shown>) -> Lobby {
        Lobby { inbox, shown, rooms: HashMap::new(), users: Roster::default() }
    }
}

impl Actor for Lobby {
    type Message = Message;

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Login(name, reply) => {
                let (screen, pace) = Screen::new(name.clone(), self.shown.clone());
                let inbox = actor::Builder::new().mailbox(self.inbox).overflow(Overflow::DropOldest);
                let screen = inbox.name(format!("{name}'s screen")).spawn(screen);
                let user = User::new(name.clone(), ctx.me(), screen.clone(), pace);
                let user = actor::Builder::new().name(&*name).spawn(user);
                self.users.add(name, ctx.monitor(&user), screen);
                let _ = reply.send(user);
            }
            Message::Room(name, reply) => {
                let room = self.rooms.entry(name).or_insert_with_key(|name| {
                    actor::Builder::new().name(format!("room {name}")).spawn(Room::new(name.clone()))
                });
                let _ = reply.send(room.clone());
            }
            Message::Screen(name, reply) => drop(reply.send(self.users.screen(&name).cloned())),
        }
        Ok(())
    }

    fn down(&mut self, down: Down, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.users.remove_ended(&down);
        Ok(())
    }
}
