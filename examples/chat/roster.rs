//! Who is here. Users are monitored: one that has ended is taken off, whatever ended it.

use std::collections::BTreeMap;

use kahn::actor::{ActorRef, Down, DownCause, MonitorId};

use crate::screen::Line;
use crate::script::Name;

#[derive(Default)]
pub struct Roster(BTreeMap<Name, (MonitorId, ActorRef<Line>)>);

impl Roster {
    /// One who comes again under the same name takes the place of the one before.
    pub fn add(&mut self, name: Name, monitor: MonitorId, screen: ActorRef<Line>) {
        self.0.insert(name, (monitor, screen));
    }

    /// Answers what monitored the user, if there was one.
    pub fn remove(&mut self, name: &Name) -> Option<MonitorId> {
        self.0.remove(name).map(|(monitor, _)| monitor)
    }

    /// Takes off the user that has ended, and answers the name.
    pub fn forget(&mut self, down: &Down) -> Option<Name> {
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

    /// Puts a line into everybody's inbox. Waits for nobody, since full inboxes make room; who is gone is passed over.
    pub fn show_all(&self, text: String) {
        let line = Line::now(text);
        for (_, screen) in self.0.values() {
            let _ = screen.tell(line.clone());
        }
    }
}
