//! The terms of x' = r x (1 - x), for several r. A series asks its computer for the next term, and must not handle the
//! next message before it has the reply. An actor without a stack has to stash messages meanwhile. A kahn actor parks
//! in `ask`, and the messages wait in its mailbox.
//!
//! No deadlock: the main green thread waits for a series, a series only for its computer, and a computer for no actor.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Size, ask, ask_in_actor, expect, stop_all, tell};

pub const BENCH: Bench =
    Bench { name: "logistic-map", about: "each term of a series is asked from another actor", run };

const FIRST_TERM: f64 = 0.03;
const FIRST_RATE: f64 = 3.46;
const RATE_STEP: f64 = 0.0025;

struct Computer {
    rate: f64,
}

struct Compute {
    term: f64,
    next: Reply<f64>,
}

struct Series {
    term: f64,
    computer: ActorRef<Compute>,
}

enum ToSeries {
    NextTerm,
    Get(Reply<f64>),
}

fn next_term(rate: f64, term: f64) -> f64 {
    rate * term * (1.0 - term)
}

impl Actor for Computer {
    type Message = Compute;

    fn handle(&mut self, Compute { term, next }: Compute, _: &mut Context<Self>) -> Result<(), ExitReason> {
        let _ = next.send(next_term(self.rate, term));
        Ok(())
    }
}

impl Actor for Series {
    type Message = ToSeries;

    fn handle(&mut self, message: ToSeries, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToSeries::NextTerm => {
                let term = self.term;
                self.term = ask_in_actor(&self.computer, |next| Compute { term, next })?;
            }
            ToSeries::Get(reply) => drop(reply.send(self.term)),
        }
        Ok(())
    }
}

fn run(size: Size) -> Result<String, String> {
    let (terms, count) = size.pick((25_000, 10), (200, 3));
    let rates: Vec<f64> = (0..count).map(|number| FIRST_RATE + f64::from(number) * RATE_STEP).collect();
    let series: Vec<_> = rates
        .iter()
        .map(|&rate| spawn(Series { term: FIRST_TERM, computer: spawn(Computer { rate }) }))
        .collect();
    for _ in 0..terms {
        for actor in &series {
            tell(actor, ToSeries::NextTerm)?;
        }
    }
    let last = series.iter().map(|actor| ask(actor, ToSeries::Get)).collect::<Result<Vec<f64>, _>>()?;
    stop_all(&series);
    let expected: Vec<f64> =
        rates.iter().map(|&rate| (0..terms).fold(FIRST_TERM, |term, _| next_term(rate, term))).collect();
    let sum: f64 = last.iter().sum();
    expect("the last terms", last, expected)?;
    Ok(format!("{count} series of {terms} terms, the sum of the last terms is {sum:.6}"))
}
