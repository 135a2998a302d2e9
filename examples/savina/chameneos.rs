//! Chameneos meet at a mall, in pairs, and change colour: many actors that all want the same one.
//!
//! A chameneos sends one message to the mall and waits for what comes of it, so a mall with a place for each of them
//! never makes one wait; and a chameneos has at most one meeting, or its answer, in its mailbox. No tell parks.

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, Reply};

use crate::bench::{Bench, Size, ask, expect, finish};

pub const BENCH: Bench =
    Bench { name: "chameneos", about: "chameneos meet in pairs at a mall, and change colour", run };

#[derive(Clone, Copy, PartialEq)]
enum Colour {
    Blue,
    Red,
    Yellow,
}

const COLOURS: [Colour; 3] = [Colour::Blue, Colour::Red, Colour::Yellow];

/// What both are after a meeting.
fn complement(one: Colour, other: Colour) -> Colour {
    if one == other {
        return one;
    }
    COLOURS[3 - one as usize - other as usize]
}

struct Mall {
    chameneos: usize,
    meetings: u64,
    waiting: Option<(ActorRef<ToChameneos>, Colour)>,
    faded: usize,
    met: u64,
    done: Option<Reply<u64>>,
}

enum ToMall {
    Open(Reply<u64>),
    Meet(ActorRef<ToChameneos>, Colour),
    /// How many meetings one has had that fades.
    Fade(u64),
}

struct Chameneos {
    mall: ActorRef<ToMall>,
    colour: Colour,
    meetings: u64,
}

enum ToChameneos {
    Meet(ActorRef<ToChameneos>, Colour),
    Change(Colour),
    Fade,
}

impl Actor for Mall {
    type Message = ToMall;

    fn handle(&mut self, message: ToMall, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToMall::Open(done) => {
                self.done = Some(done);
                for number in 0..self.chameneos {
                    let colour = COLOURS[number % COLOURS.len()];
                    ctx.spawn_linked(Chameneos { mall: ctx.me(), colour, meetings: 0 });
                }
            }
            ToMall::Meet(chameneos, _) if self.meetings == 0 => chameneos.tell(ToChameneos::Fade)?,
            ToMall::Meet(chameneos, colour) => match self.waiting.take() {
                None => self.waiting = Some((chameneos, colour)),
                Some((first, _)) => {
                    self.meetings -= 1;
                    first.tell(ToChameneos::Meet(chameneos, colour))?;
                }
            },
            ToMall::Fade(meetings) => {
                self.met += meetings;
                self.faded += 1;
                if self.faded == self.chameneos {
                    finish(&mut self.done, self.met, ctx);
                }
            }
        }
        Ok(())
    }
}

impl Chameneos {
    fn go(&self, ctx: &Context<Self>) -> Result<(), ExitReason> {
        Ok(self.mall.tell(ToMall::Meet(ctx.me(), self.colour))?)
    }

    fn change(&mut self, colour: Colour) {
        self.colour = colour;
        self.meetings += 1;
    }
}

impl Actor for Chameneos {
    type Message = ToChameneos;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.go(ctx)
    }

    fn handle(&mut self, message: ToChameneos, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToChameneos::Meet(other, colour) => {
                self.change(complement(self.colour, colour));
                other.tell(ToChameneos::Change(self.colour))?;
                self.go(ctx)
            }
            ToChameneos::Change(colour) => {
                self.change(colour);
                self.go(ctx)
            }
            ToChameneos::Fade => {
                ctx.stop();
                Ok(self.mall.tell(ToMall::Fade(self.meetings))?)
            }
        }
    }
}

fn run(size: Size) -> Result<String, String> {
    let (chameneos, meetings) = size.pick((100, 200_000), (10, 1000));
    let mall = Mall { chameneos, meetings, waiting: None, faded: 0, met: 0, done: None };
    // And one for the opening.
    let mall = Builder::new().mailbox(chameneos + 1).spawn(mall);
    expect("meetings that the two have counted", ask(&mall, ToMall::Open)?, 2 * meetings)?;
    mall.join();
    Ok(format!("{chameneos} chameneos have met {meetings} times"))
}
