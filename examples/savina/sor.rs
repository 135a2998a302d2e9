//! Successive over-relaxation: a grid of cells, an actor each, which are told the values of their neighbours.
//!
//! The cells are red and black, as on a chessboard. In each round the red ones take over what their black neighbours
//! have, and tell them what they have become; then the black ones do so. A cell answers a neighbour's value with its
//! own, so a mailbox holds one message from each of the four, and the first: the default is enough for no tell to park,
//! which matters, since neighbours tell each other.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};

use crate::bench::{Bench, Random, Size, expect, tell};
use crate::outcome::{Collect, outcome};

pub const BENCH: Bench =
    Bench { name: "sor", about: "a grid of actors, which trade values with neighbours", run };

const OMEGA: f64 = 1.25;
/// Up, left, right, down; the opposite of one is three minus it.
const SIDES: usize = 4;

struct Cell {
    number: usize,
    value: f64,
    is_red: bool,
    /// Those that are not at the border change.
    is_inner: bool,
    rounds: u32,
    neighbours: [Option<ActorRef<Message>>; SIDES],
    values: [f64; SIDES],
    /// Neighbours that it has not heard of in this round, once it knows how many there are.
    missing: isize,
    done: ActorRef<(usize, f64)>,
}

enum Message {
    Neighbours([Option<ActorRef<Message>>; SIDES]),
    Value { side: usize, value: f64 },
}

impl Cell {
    fn count(&self) -> isize {
        self.neighbours.iter().flatten().count() as isize
    }

    fn send(&self) -> Result<(), ExitReason> {
        for (side, neighbour) in self.neighbours.iter().enumerate() {
            if let Some(neighbour) = neighbour {
                neighbour.tell(Message::Value { side: SIDES - 1 - side, value: self.value })?;
            }
        }
        Ok(())
    }
}

/// The new value of a cell.
fn relaxed(value: f64, neighbours: [f64; SIDES]) -> f64 {
    OMEGA / 4.0 * neighbours.iter().sum::<f64>() + (1.0 - OMEGA) * value
}

impl Actor for Cell {
    type Message = Message;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        // The failure of one is the failure of all.
        ctx.link(&self.done);
        Ok(())
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Neighbours(neighbours) => {
                self.neighbours = neighbours;
                // Some may have told their values already.
                self.missing += self.count();
                if !self.is_red {
                    self.send()?;
                }
            }
            Message::Value { side, value } => {
                self.values[side] = value;
                self.missing -= 1;
            }
        }
        if self.missing != 0 {
            return Ok(());
        }
        if self.is_inner {
            self.value = relaxed(self.value, self.values);
        }
        self.rounds -= 1;
        self.missing = self.count();
        if self.is_red || self.rounds > 0 {
            self.send()?;
        }
        if self.rounds == 0 {
            self.done.tell((self.number, self.value))?;
            // They refer to each other.
            ctx.stop();
        }
        Ok(())
    }
}

/// A square, row by row.
struct Square(usize);

impl Square {
    fn is_inner(&self, cell: usize) -> bool {
        let inner = 1..self.0 - 1;
        inner.contains(&(cell / self.0)) && inner.contains(&(cell % self.0))
    }

    fn is_red(&self, cell: usize) -> bool {
        (cell / self.0 + cell % self.0).is_multiple_of(2)
    }

    fn neighbours(&self, cell: usize) -> [Option<usize>; SIDES] {
        let (row, column, last) = (cell / self.0, cell % self.0, self.0 - 1);
        [
            (row > 0).then(|| cell - self.0),
            (column > 0).then(|| cell - 1),
            (column < last).then(|| cell + 1),
            (row < last).then(|| cell + self.0),
        ]
    }
}

fn run(size: Size) -> Result<String, String> {
    let (side, rounds) = size.pick((20, 100), (6, 10));
    let square = Square(side);
    let mut random = Random::new(10_101_010);
    let mut values: Vec<f64> = (0..side * side).map(|_| random.below(1_000_000) as f64 * 1e-12).collect();
    let mut computed = outcome(|done| {
        let done = Collect::spawn(values.len(), done);
        let cells = values.iter().enumerate().map(|(number, value)| {
            spawn(Cell {
                number,
                value: *value,
                is_red: square.is_red(number),
                is_inner: square.is_inner(number),
                rounds,
                neighbours: [const { None }; SIDES],
                values: [0.0; SIDES],
                missing: 0,
                done: done.clone(),
            })
        });
        let cells: Vec<_> = cells.collect();
        for (number, cell) in cells.iter().enumerate() {
            let neighbours = square.neighbours(number);
            tell(
                cell,
                Message::Neighbours(neighbours.map(|number| number.map(|number| cells[number].clone()))),
            )?;
        }
        Ok(())
    })?;
    computed.sort_unstable_by_key(|(number, _)| *number);
    let computed: Vec<f64> = computed.into_iter().map(|(_, value)| value).collect();
    for half_round in 0..2 * rounds {
        for cell in 0..values.len() {
            if square.is_inner(cell) && square.is_red(cell) == half_round.is_multiple_of(2) {
                let neighbours = square.neighbours(cell);
                values[cell] = relaxed(values[cell], neighbours.map(|number| values[number.unwrap_or(cell)]));
            }
        }
    }
    expect("whether the cells are right", computed == values, true)?;
    Ok(format!("{side} × {side} cells, {rounds} rounds, their sum is {:e}", values.iter().sum::<f64>()))
}
