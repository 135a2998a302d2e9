//! Counts the solutions of the n queens problem. The first rows of the search are tasks for workers, which report each
//! solution in a message.
//!
//! No deadlock: see `pool.rs`.

use std::sync::Arc;

use kahn::actor::ExitReason;

use crate::bench::{Bench, Size, expect};
use crate::pool::{self, Job, Report};

pub const BENCH: Bench =
    Bench { name: "n-queens", about: "a search that is split into tasks near its root", run };

struct Queens {
    side: u32,
    /// A board with fewer rows is split into tasks. A worker searches the others by itself.
    threshold: u32,
}

/// A board whose first rows have queens. The bits are the columns of the next row that these queens attack: in their
/// columns, and on the diagonals to the left and to the right.
#[derive(Clone, Copy)]
struct Board {
    row: u32,
    straight: u32,
    left: u32,
    right: u32,
}

impl Queens {
    /// Returns the boards with one more queen.
    fn next(&self, board: Board) -> impl Iterator<Item = Board> {
        let mut free = ((1 << self.side) - 1) & !(board.straight | board.left | board.right);
        std::iter::from_fn(move || {
            let queen = free & free.wrapping_neg();
            free ^= queen;
            (queen != 0).then_some(Board {
                row: board.row + 1,
                straight: board.straight | queen,
                left: (board.left | queen) << 1,
                right: (board.right | queen) >> 1,
            })
        })
    }

    fn search(&self, board: Board, report: &Report<Self>) -> Result<(), ExitReason> {
        if board.row == self.side {
            return report.add_result(());
        }
        self.next(board).try_for_each(|next| self.search(next, report))
    }
}

impl Job for Queens {
    type Task = Board;
    type Partial = ();
    type Total = u64;

    fn execute(&self, board: Board, report: &Report<Self>) -> Result<(), ExitReason> {
        if board.row >= self.threshold {
            return self.search(board, report);
        }
        // Boards with more queens have a higher priority, which keeps the queue short.
        self.next(board).try_for_each(|next| report.add_task(next.row, next))
    }

    fn add(&self, total: &mut u64, (): ()) {
        *total += 1;
    }
}

fn run(size: Size) -> Result<String, String> {
    let (side, threshold, workers, expected) = size.pick((12, 4, 20, 14_200), (8, 3, 4, 92));
    let empty = Board { row: 0, straight: 0, left: 0, right: 0 };
    let solutions = pool::run(Arc::new(Queens { side, threshold }), workers, [empty], 0)?;
    expect("solutions", solutions, expected)?;
    Ok(format!("{solutions} solutions for {side} queens"))
}
