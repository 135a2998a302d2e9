//! A context is lent for one message.
use kahn::actor::{Actor, Context, ExitReason};

struct Keeper {
    #[cfg(fault)]
    kept: Option<&'static mut Context<Keeper>>,
}

impl Actor for Keeper {
    type Message = ();
    fn handle(&mut self, (): (), ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        #[cfg(fault)]
        {
            self.kept = Some(ctx); //~ lifetime
        }
        #[cfg(not(fault))]
        ctx.stop();
        Ok(())
    }
}

fn main() {}
