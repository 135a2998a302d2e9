//! The closure that makes a child runs on the worker on which the child starts.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

use kahn::actor::{Actor, ChildSpec, Context, ExitReason};

struct Plain;

impl Actor for Plain {
    type Message = ();
    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

fn main() {
    let shared = Shared::new(1);
    let _ = ChildSpec::new("plain", move || { //~ E0277
        assert_eq!(*shared, 1);
        Plain
    });
}
