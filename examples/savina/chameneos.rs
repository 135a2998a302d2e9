//! Chameneos meet in pairs at a mall and change their colours. Measures many actors that send to one.
//!
//! No deadlock: a chameneos has at most one message in the mall's mailbox, and the mall has space for one from each.
//! The mailbox of a chameneos holds at most one message. No tell parks.
//!
//! Checks: the mall computes the colour and the number of meetings that each chameneos must have, and compares when the
//! chameneos comes again or fades. No chameneos meets itself.

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, Reply};

use crate::bench::{Bench, Size, ask, expect, finish};

pub const BENCH: Bench =
    Bench { name: "chameneos", about: "chameneos meet in pairs at a mall, and change colour", run };

#[derive(Clone, Copy, Debug, PartialEq)]
enum Colour {
    Blue,
    Red,
    Yellow,
}

const COLOURS: [Colour; 3] = [Colour::Blue, Colour::Red, Colour::Yellow];

/// Returns the colour of both chameneos after a meeting.
fn complement(one: Colour, other: Colour) -> Colour {
    if one == other {
        return one;
    }
    COLOURS[3 - one as usize - other as usize]
}

struct Mall {
    chameneos: usize,
    meetings: u64,
    waiting: Option<(Guest, ActorRef<ToChameneos>)>,
    /// The expected state of each chameneos.
    guests: Vec<Guest>,
    faded: usize,
    met: u64,
    done: Option<Reply<u64>>,
}

enum ToMall {
    Open(Reply<u64>),
    Meet(Guest, ActorRef<ToChameneos>),
    Fade(Guest),
}

/// The state of a chameneos, which it sends with its messages.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Guest {
    number: usize,
    colour: Colour,
    meetings: u64,
}

struct Chameneos {
    mall: ActorRef<ToMall>,
    own: Guest,
}

enum ToChameneos {
    Meet(ActorRef<ToChameneos>, Colour),
    Change(Colour),
    Fade,
}

impl Mall {
    fn check(&self, guest: Guest) -> Result<(), ExitReason> {
        let expected = self.guests[guest.number];
        if guest == expected {
            return Ok(());
        }
        Err(ExitReason::failed(format!("{guest:?} arrived, expected {expected:?}")))
    }

    fn record_meeting(&mut self, one: Guest, other: Guest) -> Result<(), ExitReason> {
        if one.number == other.number {
            return Err(ExitReason::failed(format!("{one:?} meets itself")));
        }
        for number in [one.number, other.number] {
            self.guests[number].colour = complement(one.colour, other.colour);
            self.guests[number].meetings += 1;
        }
        Ok(())
    }
}

impl Actor for Mall {
    type Message = ToMall;

    fn handle(&mut self, message: ToMall, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToMall::Open(done) => {
                self.done = Some(done);
                for number in 0..self.chameneos {
                    let own = Guest { number, colour: COLOURS[number % COLOURS.len()], meetings: 0 };
                    self.guests.push(own);
                    ctx.spawn_linked(Chameneos { mall: ctx.me(), own });
                }
            }
            ToMall::Meet(_, chameneos) if self.meetings == 0 => chameneos.tell(ToChameneos::Fade)?,
            ToMall::Meet(guest, chameneos) => {
                self.check(guest)?;
                match self.waiting.take() {
                    None => self.waiting = Some((guest, chameneos)),
                    Some((first, partner)) => {
                        self.meetings -= 1;
                        self.record_meeting(first, guest)?;
                        partner.tell(ToChameneos::Meet(chameneos, guest.colour))?;
                    }
                }
            }
            ToMall::Fade(guest) => {
                self.check(guest)?;
                self.met += guest.meetings;
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
    fn go_to_mall(&self, ctx: &Context<Self>) -> Result<(), ExitReason> {
        Ok(self.mall.tell(ToMall::Meet(self.own, ctx.me()))?)
    }

    fn change(&mut self, colour: Colour) {
        self.own.colour = colour;
        self.own.meetings += 1;
    }
}

impl Actor for Chameneos {
    type Message = ToChameneos;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.go_to_mall(ctx)
    }

    fn handle(&mut self, message: ToChameneos, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToChameneos::Meet(other, colour) => {
                self.change(complement(self.own.colour, colour));
                other.tell(ToChameneos::Change(self.own.colour))?;
                self.go_to_mall(ctx)
            }
            ToChameneos::Change(colour) => {
                self.change(colour);
                self.go_to_mall(ctx)
            }
            ToChameneos::Fade => {
                ctx.stop();
                Ok(self.mall.tell(ToMall::Fade(self.own))?)
            }
        }
    }
}

fn run(size: Size) -> Result<String, String> {
    let (chameneos, meetings) = size.pick((100, 200_000), (10, 1000));
    let guests = Vec::new();
    let mall = Mall { chameneos, meetings, waiting: None, guests, faded: 0, met: 0, done: None };
    // One more for `ToMall::Open`.
    let mall = Builder::new().mailbox(chameneos + 1).spawn(mall);
    expect("meetings that both partners have counted", ask(&mall, ToMall::Open)?, 2 * meetings)?;
    mall.join();
    Ok(format!("{chameneos} chameneos have met {meetings} times"))
}
