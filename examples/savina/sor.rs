//! Successive over-relaxation on a grid of cells, with an actor for each cell. A cell sends its value to its
//! neighbours.
//!
//! The cells are red and black, like on a chessboard. In each round the red cells compute their values from the black
//! ones and send them, and then the black cells do the same.
//!
//! No deadlock: neighbours tell each other, so a park could close a cycle, and no tell may park. A cell sends its value
//! to a neighbour only after it has the neighbour's last one. A mailbox therefore holds at most one value from each of
//! four neighbours, and the first message. The default mailbox is large enough.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};

use crate::bench::{Bench, Random, Size, check, tell};
use crate::results::{Collect, wait_for_result};

pub const BENCH: Bench =
    Bench { name: "sor", about: "a grid of actors that exchange values with neighbours", run };

const OMEGA: f64 = 1.25;
/// The sides are up, left, right, down. The opposite of side `i` is `SIDES - 1 - i`.
const SIDES: usize = 4;

struct Cell {
    number: usize,
    value: f64,
    is_red: bool,
    /// Cells at the border keep their values.
    is_inner: bool,
    rounds: u32,
    neighbours: [Option<ActorRef<Message>>; SIDES],
    values: [f64; SIDES],
    /// How many neighbours have not sent their value in this round. Negative before the `Neighbours` message has come,
    /// if values came first.
    missing: isize,
    done: ActorRef<(usize, f64)>,
}

enum Message {
    Neighbours([Option<ActorRef<Message>>; SIDES]),
    Value { side: usize, value: f64 },
}

impl Cell {
    fn neighbour_count(&self) -> isize {
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

/// Returns the new value of a cell.
fn relaxed(value: f64, neighbours: [f64; SIDES]) -> f64 {
    OMEGA / 4.0 * neighbours.iter().sum::<f64>() + (1.0 - OMEGA) * value
}

impl Actor for Cell {
    type Message = Message;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        // The failure of one cell ends all.
        ctx.link(&self.done);
        Ok(())
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Neighbours(neighbours) => {
                self.neighbours = neighbours;
                // Some neighbours may have sent their values before.
                self.missing += self.neighbour_count();
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
        self.missing = self.neighbour_count();
        if self.is_red || self.rounds > 0 {
            self.send()?;
        }
        if self.rounds == 0 {
            self.done.tell((self.number, self.value))?;
            // Without the stop the cells would not end, because they hold references to each other.
            ctx.stop();
        }
        Ok(())
    }
}

/// A square grid with this number of cells on a side. Cells are numbered row by row.
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
    let mut computed = wait_for_result(|done| {
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
    relax_sequentially(&square, &mut values, rounds);
    check(computed == values, "the values of the cells are wrong")?;
    Ok(format!("{side} × {side} cells, {rounds} rounds, their sum is {:e}", values.iter().sum::<f64>()))
}

fn relax_sequentially(square: &Square, values: &mut [f64], rounds: u32) {
    for half_round in 0..2 * rounds {
        for cell in 0..values.len() {
            if square.is_inner(cell) && square.is_red(cell) == half_round.is_multiple_of(2) {
                let neighbours = square.neighbours(cell);
                values[cell] = relaxed(values[cell], neighbours.map(|number| values[number.unwrap_or(cell)]));
            }
        }
    }
}
