//! An arbiter tells a random smoker to smoke. When that smoker has begun, the arbiter chooses the next.
//!
//! No deadlock: a smoker reports before it smokes, and the arbiter sends the next order only after the report. A
//! smoker's mailbox therefore never fills, and the arbiter never parks. The default mailboxes are large enough.
//!
//! Checks: only the chosen smoker begins to smoke, and each has smoked as often as it was chosen.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Random, Size, ask, burn_cpu, expect, finish};

pub const BENCH: Bench =
    Bench { name: "cigarette-smokers", about: "an arbiter tells one smoker after the other to smoke", run };

struct Arbiter {
    count: usize,
    smokers: Vec<ActorRef<ToSmoker>>,
    random: Random,
    rounds: u64,
    /// The smoker that was told to smoke and has not begun.
    chosen: Option<usize>,
    /// How often each smoker was chosen.
    times_chosen: Vec<u64>,
    smoked: u64,
    left: usize,
    done: Option<Reply<u64>>,
}

enum ToArbiter {
    Start(Reply<u64>),
    /// The smoker of this number has begun to smoke.
    Smokes(usize),
    /// The smoker of this number leaves, and has smoked this often.
    Leaves(usize, u64),
}

struct Smoker {
    number: usize,
    arbiter: ActorRef<ToArbiter>,
    smoked: u64,
}

enum ToSmoker {
    Smoke { rounds: u64 },
    Leave,
}

impl Arbiter {
    fn choose(&mut self) -> Result<(), ExitReason> {
        if self.rounds == 0 {
            return Ok(self.smokers.iter().try_for_each(|smoker| smoker.tell(ToSmoker::Leave))?);
        }
        self.rounds -= 1;
        let smoker = self.random.below(self.count as u64) as usize;
        self.chosen = Some(smoker);
        self.times_chosen[smoker] += 1;
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
                    return Err(ExitReason::failed(format!(
                        "smoker {number} smokes, but {chosen:?} was chosen"
                    )));
                }
                self.choose()
            }
            ToArbiter::Leaves(number, smoked) => {
                let times = self.times_chosen[number];
                if smoked != times {
                    let text =
                        format!("smoker {number} has smoked {smoked} times, but was chosen {times} times");
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
                burn_cpu(rounds);
                self.smoked += 1;
                Ok(())
            }
            ToSmoker::Leave => {
                ctx.stop();
                Ok(self.arbiter.tell(ToArbiter::Leaves(self.number, self.smoked))?)
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
        times_chosen: vec![0; count],
        smoked: 0,
        left: count,
        done: None,
    };
    expect("cigarettes", ask(&spawn(arbiter), ToArbiter::Start)?, rounds)?;
    Ok(format!("{count} smokers have smoked {rounds} times"))
}
