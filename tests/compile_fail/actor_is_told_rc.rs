//! A message goes from one thread to another, so it must be `Send`.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

use kahn::actor::{Actor, Context, ExitReason};

struct Reader;

impl Actor for Reader {
    type Message = Shared<u32>; //~ E0277
    fn handle(&mut self, _: Shared<u32>, _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

fn main() {}
