//! All ways to place n queens: a master and workers, a message for each way that is found.

use std::sync::Arc;

use kahn::actor::ExitReason;

use crate::bench::{Bench, Size, expect};
use crate::crew::{self, Job, Report};

pub const BENCH: Bench =
    Bench { name: "n-queens", about: "a search, split among workers near its root", run };

struct Queens {
    side: u32,
    /// Rows that are split among workers.
    threshold: u32,
}

/// The first rows have their queens. Of the next row the bits say which columns they reach, and by which way.
#[derive(Clone, Copy)]
struct Board {
    row: u32,
    straight: u32,
    left: u32,
    right: u32,
}

impl Queens {
    /// The boards with one more queen.
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
            return report.found(());
        }
        self.next(board).try_for_each(|next| self.search(next, report))
    }
}

impl Job for Queens {
    type Work = Board;
    type Found = ();
    type Total = u64;

    fn work(&self, board: Board, report: &Report<Self>) -> Result<(), ExitReason> {
        if board.row >= self.threshold {
            return self.search(board, report);
        }
        // The fullest boards first: so there are never many waiting.
        self.next(board).try_for_each(|next| report.more(next.row, next))
    }

    fn add(&self, total: &mut u64, (): ()) {
        *total += 1;
    }
}

fn run(size: Size) -> Result<String, String> {
    let (side, threshold, workers, expected) = size.pick((12, 4, 20, 14_200), (8, 3, 4, 92));
    let empty = Board { row: 0, straight: 0, left: 0, right: 0 };
    let ways = crew::work(Arc::new(Queens { side, threshold }), workers, [empty], 0)?;
    expect("the ways", ways, expected)?;
    Ok(format!("{ways} ways to place {side} queens"))
}
