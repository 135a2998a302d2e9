//! All shortest paths in a graph, by the algorithm of Floyd and Warshall. The matrix of distances is divided into
//! blocks, with an actor for each. The blocks exchange their values in every round.
//!
//! No deadlock: blocks tell each other, so a park could close a cycle, and no tell may park. A block begins a round
//! when it has the values of the round before from all blocks in its row and column, its neighbours. No block is
//! therefore more than one round ahead of a neighbour, and a mailbox holds at most two messages from each. It has space
//! for them.

use std::collections::VecDeque;
use std::sync::Arc;

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason};

use crate::bench::{Bench, Random, Size, check, tell};
use crate::results::{Collect, wait_for_result};

pub const BENCH: Bench =
    Bench { name: "shortest-paths", about: "blocks of a matrix exchange values in rounds", run };

/// The distance of nodes without a path. The sum of two does not overflow.
const NO_PATH: u32 = u32::MAX / 2;

type Values = Arc<[u32]>;

struct Block {
    row: usize,
    column: usize,
    side: usize,
    /// The number of blocks in a row.
    blocks_per_row: usize,
    values: Vec<u32>,
    round: usize,
    neighbours: Vec<ActorRef<Message>>,
    /// The values from the other blocks of this row, by their column.
    from_row: Vec<VecDeque<Values>>,
    /// The values from the other blocks of this column, by their row.
    from_column: Vec<VecDeque<Values>>,
    done: ActorRef<Done>,
}

enum Message {
    Neighbours(Vec<ActorRef<Message>>),
    Values { row: usize, column: usize, values: Values },
}

struct Done {
    row: usize,
    column: usize,
    values: Vec<u32>,
}

impl Block {
    fn send(&self) -> Result<(), ExitReason> {
        let values: Values = self.values.as_slice().into();
        self.neighbours.iter().try_for_each(|neighbour| {
            let values = values.clone();
            Ok(neighbour.tell(Message::Values { row: self.row, column: self.column, values })?)
        })
    }

    fn is_ready(&self) -> bool {
        let all = |queues: &[VecDeque<Values>], own: usize| {
            queues.iter().enumerate().all(|(i, queue)| i == own || !queue.is_empty())
        };
        !self.neighbours.is_empty() && all(&self.from_row, self.column) && all(&self.from_column, self.row)
    }

    /// Does one round: allows paths over one more node.
    fn compute(&mut self) {
        let own: Values = self.values.as_slice().into();
        let (block, at) = (self.round / self.side, self.round % self.side);
        let mut take = |queues: fn(&mut Block) -> &mut Vec<VecDeque<Values>>| {
            let taken: Vec<_> = queues(self).iter_mut().map(|queue| queue.pop_front()).collect();
            taken.into_iter().nth(block).flatten().unwrap_or_else(|| own.clone())
        };
        let (to, from) = (take(|block| &mut block.from_row), take(|block| &mut block.from_column));
        let side = self.side;
        let row_from = &from[at * side..][..side];
        for (row, values) in self.values.chunks_mut(side).enumerate() {
            let to = to[row * side + at];
            values.iter_mut().zip(row_from).for_each(|(value, from)| *value = (*value).min(to + from));
        }
        self.round += 1;
    }
}

impl Actor for Block {
    type Message = Message;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        // The failure of one block ends all.
        ctx.link(&self.done);
        Ok(())
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Neighbours(neighbours) => {
                self.neighbours = neighbours;
                self.send()?;
            }
            Message::Values { row, column, values } if row == self.row => {
                self.from_row[column].push_back(values);
            }
            Message::Values { row, values, .. } => self.from_column[row].push_back(values),
        }
        while self.is_ready() {
            self.compute();
            if self.round == self.side * self.blocks_per_row {
                let values = std::mem::take(&mut self.values);
                self.done.tell(Done { row: self.row, column: self.column, values })?;
                // Without the stop the blocks would not end, because they hold references to each other.
                ctx.stop();
                break;
            }
            self.send()?;
        }
        Ok(())
    }
}

/// Returns the values of a block of the matrix.
fn part(matrix: &[u32], nodes: usize, row: usize, column: usize, side: usize) -> Vec<u32> {
    let rows = matrix.chunks(nodes).skip(row * side).take(side);
    rows.flat_map(|row| &row[column * side..][..side]).copied().collect()
}

fn run(size: Size) -> Result<String, String> {
    let (nodes, side) = size.pick((300, 50), (24, 8));
    let blocks_per_row = nodes / side;
    let mut random = Random::new(300);
    let mut matrix: Vec<u32> = (0..nodes * nodes)
        .map(|i| match i {
            _ if i % (nodes + 1) == 0 => 0,
            // The graph has few edges, so that paths are long.
            _ if random.chance(5) => 1 + random.below(100) as u32,
            _ => NO_PATH,
        })
        .collect();
    let places = (0..blocks_per_row).flat_map(|row| (0..blocks_per_row).map(move |column| (row, column)));
    let blocks = wait_for_result(|done| {
        let done = Collect::spawn(blocks_per_row * blocks_per_row, done);
        let block = |(row, column)| {
            Builder::new().mailbox(2 * 2 * (blocks_per_row - 1) + 1).spawn(Block {
                row,
                column,
                side,
                blocks_per_row,
                values: part(&matrix, nodes, row, column, side),
                round: 0,
                neighbours: Vec::new(),
                from_row: vec![VecDeque::new(); blocks_per_row],
                from_column: vec![VecDeque::new(); blocks_per_row],
                done: done.clone(),
            })
        };
        let blocks: Vec<_> = places.clone().map(block).collect();
        for (i, (row, column)) in places.clone().enumerate() {
            let neighbours = places.clone().zip(&blocks).filter(|((r, c), _)| (*r == row) != (*c == column));
            let neighbours = neighbours.map(|(_, block)| block.clone()).collect();
            tell(&blocks[i], Message::Neighbours(neighbours))?;
        }
        Ok(())
    })?;
    floyd_and_warshall(&mut matrix, nodes);
    for Done { row, column, values } in blocks {
        let is_right = values == part(&matrix, nodes, row, column, side);
        check(is_right, &format!("the block at {row}, {column} is wrong"))?;
    }
    let longest = matrix.iter().filter(|length| **length < NO_PATH).max();
    Ok(format!("{nodes} nodes, the longest path is {}", longest.unwrap_or(&0)))
}

fn floyd_and_warshall(matrix: &mut [u32], nodes: usize) {
    for k in 0..nodes {
        let over = matrix[k * nodes..][..nodes].to_vec();
        for row in matrix.chunks_mut(nodes) {
            let to = row[k];
            row.iter_mut().zip(&over).for_each(|(value, from)| *value = (*value).min(to + from));
        }
    }
}
