//! An arbiter lets one of the smokers smoke; as soon as that one has begun, another may: a choice at random each time.
//!
//! The arbiter waits for the smoker that it has told, which answers before it smokes; so a smoker has at most the next
//! order and the last one in its mailbox, the arbiter never parks, and the default mailboxes do.
//!
//! What is checked: the next may smoke only when the one who was chosen has begun, and each has smoked as often as chosen.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Random, Size, ask, busy, expect, finish};

pub const BENCH: Bench =
    Bench { name: "cigarette-smokers", about: "an arbiter lets smokers smoke, one after the other", run };

struct Arbiter {
    count: usize,
    smokers: Vec<ActorRef<ToSmoker>>,
    random: Random,
    rounds: u64,
    /// Who may smoke, and has not begun.
    chosen: Option<usize>,
    /// How often each was chosen.
    times: Vec<u64>,
    smoked: u64,
    left: usize,
    done: Option<Reply<u64>>,
}

enum ToArbiter {
    Start(Reply<u64>),
    /// This one has begun to smoke.
    Smokes(usize),
    /// How often this one has smoked, who goes.
    Goes(usize, u64),
}

struct Smoker {
    number: usize,
    arbiter: ActorRef<ToArbiter>,
    smoked: u64,
}

enum ToSmoker {
    Smoke { rounds: u64 },
    Go,
}

impl Arbiter {
    fn choose(&mut self) -> Result<(), ExitReason> {
        if self.rounds == 0 {
            return Ok(self.smokers.iter().try_for_each(|smoker| smoker.tell(ToSmoker::Go))?);
        }
        self.rounds -= 1;
        let smoker = self.random.below(self.count as u64) as usize;
        self.chosen = Some(smoker);
        self.times[smoker] += 1;
        Ok(self.smokers[smoker].tell(ToSmoker::Smoke { rounds: 10 + self.random.below(1000) })?)
    }
}

impl Actor for Arbiter {
    type Message = ToArbiter;

    fn handle(&mut self, message: ToArbiter, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToArbiter::Start(done) => {
                self.done = Some(done);
                self.smokers = (0..self.count)
                    .map(|number| ctx.spawn_linked(Smoker { number, arbiter: ctx.me(), smoked: 0 }))
                    .collect();
                self.choose()
            }
            ToArbiter::Smokes(number) => {
                let chosen = self.chosen.take();
                if chosen != Some(number) {
                    return Err(ExitReason::failed(format!("{number} smokes, and {chosen:?} was chosen")));
                }
                self.choose()
            }
            ToArbiter::Goes(number, smoked) => {
                let times = self.times[number];
                if smoked != times {
                    let text = format!("{number} has smoked {smoked} times, and was chosen {times} times");
                    return Err(ExitReason::failed(text));
                }
                self.smoked += smoked;
                self.left -= 1;
                if self.left == 0 {
                    finish(&mut self.done, self.smoked, ctx);
                }
                Ok(())
            }
        }
    }
}

impl Actor for Smoker {
    type Message = ToSmoker;

    fn handle(&mut self, message: ToSmoker, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToSmoker::Smoke { rounds } => {
                self.arbiter.tell(ToArbiter::Smokes(self.number))?;
                busy(rounds);
                self.smoked += 1;
                Ok(())
            }
            ToSmoker::Go => {
                ctx.stop();
                Ok(self.arbiter.tell(ToArbiter::Goes(self.number, self.smoked))?)
            }
        }
    }
}

fn run(size: Size) -> Result<String, String> {
    let (rounds, count) = size.pick((1000, 200), (100, 5));
    let random = Random::new(0);
    let arbiter = Arbiter {
        count,
        smokers: Vec::new(),
        random,
        rounds,
        chosen: None,
        times: vec![0; count],
        smoked: 0,
        left: count,
        done: None,
    };
    expect("cigarettes", ask(&spawn(arbiter), ToArbiter::Start)?, rounds)?;
    Ok(format!("{count} smokers have smoked {rounds} times"))
}
