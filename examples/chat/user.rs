//! The user actor. It executes typed commands in turn. If it panics, the lobby and its room learn so from their
//! monitors, and no other actor is affected.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kahn::actor::{Actor, ActorRef, Context, ExitReason, Reply};

use crate::lobby;
use crate::room;
use crate::screen::Line;
use crate::script::{Command, Name};

pub struct User {
    name: Name,
    lobby: ActorRef<lobby::Message>,
    screen: ActorRef<Line>,
    pace_ms: Arc<AtomicU64>,
    room: Option<ActorRef<room::Message>>,
}

/// A command. The reply, sent when the command is done, is whether the user stays in the chat.
pub type Typed = (Command, Reply<bool>);

impl User {
    pub fn new(
        name: Name,
        lobby: ActorRef<lobby::Message>,
        screen: ActorRef<Line>,
        pace_ms: Arc<AtomicU64>,
    ) -> User {
        User { name, lobby, screen, pace_ms, room: None }
    }

    /// Asks the user's room. Shows a notice and returns `None` if the user is in no room.
    fn ask_room<R: Send>(
        &self,
        question: impl FnOnce(Name, Reply<R>) -> room::Message,
    ) -> Result<Option<R>, ExitReason> {
        let Some(room) = &self.room else {
            self.show("you are in no room: /join one")?;
            return Ok(None);
        };
        Ok(Some(room.ask(|reply| question(self.name.clone(), reply))?))
    }

    fn enter(&mut self, name: Name, ctx: &Context<Self>) -> Result<(), ExitReason> {
        self.leave()?;
        let room = self.lobby.ask(|reply| lobby::Message::Room(name, reply))?;
        room.ask(|done| room::Message::Enter {
            name: self.name.clone(),
            user: ctx.me().address(),
            screen: self.screen.clone(),
            done,
        })?;
        self.room = Some(room);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), ExitReason> {
        if self.room.is_some() {
            self.ask_room(|name, done| room::Message::Leave { name, done })?;
            self.room = None;
        }
        Ok(())
    }

    fn message(&self, to: Name, words: &str) -> Result<(), ExitReason> {
        match self.lobby.ask(|reply| lobby::Message::Screen(to.clone(), reply))? {
            Some(screen) => Ok(screen.tell(Line::now(format!("{} to you: {words}", self.name)))?),
            None => self.show(format!("{to} is not here")),
        }
    }

    fn show(&self, text: impl Into<String>) -> Result<(), ExitReason> {
        Ok(self.screen.tell(Line::now(text.into()))?)
    }
}

impl Actor for User {
    type Message = Typed;

    fn handle(&mut self, (command, done): Typed, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        let stays = !matches!(command, Command::Quit);
        match command {
            Command::Join(room) => self.enter(room, ctx)?,
            Command::Leave => self.leave()?,
            Command::Say(words) => {
                self.ask_room(|name, done| room::Message::Say { name, words, done })?;
            }
            Command::Message(to, words) => self.message(to, &words)?,
            Command::Who => {
                if let Some(names) = self.ask_room(|_, reply| room::Message::Who(reply))? {
                    self.show(format!("here: {}", names.join(", ")))?;
                }
            }
            // Relaxed: no other memory depends on the value.
            Command::Slow(time) => self.pace_ms.store(time.as_millis() as u64, Ordering::Relaxed),
            Command::Wait(_) => {}
            Command::Crash => panic!("the connection broke"),
            Command::Quit => {
                self.leave()?;
                ctx.stop();
            }
        }
        let _ = done.send(stays);
        Ok(())
    }
}
