//! The users in a place, by name. Each is monitored by the actor that owns the roster, so that a user that ends, for
//! whatever reason, can be removed.

use std::collections::BTreeMap;

use kahn::actor::{ActorRef, Down, DownCause, MonitorId};

use crate::screen::Line;
use crate::script::Name;

#[derive(Default)]
pub struct Roster(BTreeMap<Name, (MonitorId, ActorRef<Line>)>);

impl Roster {
    /// Adds a user. Replaces an earlier user of the same name.
    pub fn add(&mut self, name: Name, monitor: MonitorId, screen: ActorRef<Line>) {
        self.0.insert(name, (monitor, screen));
    }

    /// Removes a user and returns its monitor, if there was one of this name.
    pub fn remove(&mut self, name: &Name) -> Option<MonitorId> {
        self.0.remove(name).map(|(monitor, _)| monitor)
    }

    /// Removes the user that has ended and returns its name.
    pub fn remove_ended(&mut self, down: &Down) -> Option<Name> {
        let (name, _) = self.0.iter().find(|(_, (monitor, _))| down.cause == DownCause::Monitor(*monitor))?;
        let name = name.clone();
        self.0.remove(&name);
        Some(name)
    }

    pub fn screen(&self, name: &Name) -> Option<&ActorRef<Line>> {
        self.0.get(name).map(|(_, screen)| screen)
    }

    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.0.keys()
    }

    /// Sends a line to the screens of all users. Never parks, because a full inbox drops its oldest line. Ignores users
    /// that have ended.
    pub fn show_all(&self, text: String) {
        let line = Line::now(text);
        for (_, screen) in self.0.values() {
            let _ = screen.tell(line.clone());
        }
    }
}
