//! Fibonacci's numbers by the book, with an actor for each call: a tree of actors that live for a moment.
//!
//! A parent is told by its two children alone, so nobody waits for room.

use kahn::actor::{Actor, Context, ExitReason, spawn};

use crate::bench::{Bench, Size, expect, tell};
use crate::outcome::{Above, outcome};

pub const BENCH: Bench = Bench { name: "fibonacci", about: "recursion, an actor for each call", run };

struct Call {
    above: Option<Above<Message, u64>>,
    answers: u32,
    sum: u64,
}

enum Message {
    Request(u32),
    Answer(u64),
}

impl Call {
    fn new(above: Above<Message, u64>) -> Call {
        Call { above: Some(above), answers: 0, sum: 0 }
    }

    fn answer(&mut self, number: u64) -> Result<(), ExitReason> {
        // With its last reference the actor ends.
        self.above.take().map_or(Ok(()), |above| above.hand(number, Message::Answer))
    }
}

impl Actor for Call {
    type Message = Message;

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Request(n) if n <= 2 => self.answer(1),
            Message::Request(n) => {
                for n in [n - 1, n - 2] {
                    spawn(Call::new(Above::Parent(ctx.me()))).tell(Message::Request(n))?;
                }
                Ok(())
            }
            Message::Answer(number) => {
                self.sum += number;
                self.answers += 1;
                if self.answers == 2 { self.answer(self.sum) } else { Ok(()) }
            }
        }
    }
}

fn run(size: Size) -> Result<String, String> {
    let n = size.pick(25, 12);
    let number = outcome(|done| tell(&spawn(Call::new(Above::Caller(done))), Message::Request(n)))?;
    let (expected, _) = (0..n).fold((0, 1), |(a, b), _| (b, a + b));
    expect("the number", number, expected)?;
    Ok(format!("F({n}) = {number}, by {} actors", 2 * number - 1))
}
