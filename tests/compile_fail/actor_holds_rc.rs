//! An actor moves to another worker between two messages, so its value must be `Send`.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

use kahn::actor::{Actor, Context, ExitReason, spawn};

struct Holder(Shared<u32>);

impl Actor for Holder { //~ E0277
    type Message = ();
    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        assert_eq!(*self.0, 1);
        Ok(())
    }
}

fn main() {
    spawn(Holder(Shared::new(1))); //~ E0277
}
