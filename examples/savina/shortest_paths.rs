//! All shortest paths in a graph: a matrix in blocks, an actor each, which exchange what they have in each round.
//!
//! A block begins a round when it has had the values of all that share its rows or columns for the round before. So none
//! is more than one round ahead of another, and two messages from each of its neighbours are the most that a mailbox
//! holds. It has room for that, and no tell parks: blocks tell each other, and might wait in a circle.

use std::collections::VecDeque;
use std::sync::Arc;

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason};

use crate::bench::{Bench, Random, Size, expect, tell};
use crate::outcome::{Collect, outcome};

pub const BENCH: Bench =
    Bench { name: "shortest-paths", about: "blocks of a matrix, which exchange values in rounds", run };

const NONE: u32 = u32::MAX / 2;

type Values = Arc<[u32]>;

struct Block {
    row: usize,
    column: usize,
    side: usize,
    /// Blocks in a row.
    across: usize,
    values: Vec<u32>,
    round: usize,
    neighbours: Vec<ActorRef<Message>>,
    /// What the blocks of this row have sent, by their column, and those of this column, by their row.
    of_row: Vec<VecDeque<Values>>,
    of_column: Vec<VecDeque<Values>>,
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
        !self.neighbours.is_empty() && all(&self.of_row, self.column) && all(&self.of_column, self.row)
    }

    /// Allows paths over one more node.
    fn compute(&mut self) {
        let own: Values = self.values.as_slice().into();
        let (block, at) = (self.round / self.side, self.round % self.side);
        let mut take = |queues: fn(&mut Block) -> &mut Vec<VecDeque<Values>>| {
            let taken: Vec<_> = queues(self).iter_mut().map(|queue| queue.pop_front()).collect();
            taken.into_iter().nth(block).flatten().unwrap_or_else(|| own.clone())
        };
        let (to, from) = (take(|block| &mut block.of_row), take(|block| &mut block.of_column));
        let side = self.side;
        let onwards = &from[at * side..][..side];
        for (row, values) in self.values.chunks_mut(side).enumerate() {
            let to = to[row * side + at];
            values.iter_mut().zip(onwards).for_each(|(value, from)| *value = (*value).min(to + from));
        }
        self.round += 1;
    }
}

impl Actor for Block {
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
                self.send()?;
            }
            Message::Values { row, column, values } if row == self.row => {
                self.of_row[column].push_back(values);
            }
            Message::Values { row, values, .. } => self.of_column[row].push_back(values),
        }
        while self.is_ready() {
            self.compute();
            if self.round == self.side * self.across {
                let values = std::mem::take(&mut self.values);
                self.done.tell(Done { row: self.row, column: self.column, values })?;
                // They refer to each other.
                ctx.stop();
                break;
            }
            self.send()?;
        }
        Ok(())
    }
}

/// The part of the matrix where a block is.
fn part(matrix: &[u32], nodes: usize, row: usize, column: usize, side: usize) -> Vec<u32> {
    let rows = matrix.chunks(nodes).skip(row * side).take(side);
    rows.flat_map(|row| &row[column * side..][..side]).copied().collect()
}

fn run(size: Size) -> Result<String, String> {
    let (nodes, side) = size.pick((300, 50), (24, 8));
    let across = nodes / side;
    let mut random = Random::new(300);
    let mut matrix: Vec<u32> = (0..nodes * nodes)
        .map(|i| match i {
            _ if i % (nodes + 1) == 0 => 0,
            // Few edges, so that paths are long.
            _ if random.chance(5) => 1 + random.below(100) as u32,
            _ => NONE,
        })
        .collect();
    let places = (0..across).flat_map(|row| (0..across).map(move |column| (row, column)));
    let blocks = outcome(|done| {
        let done = Collect::spawn(across * across, done);
        let block = |(row, column)| {
            Builder::new().mailbox(2 * 2 * (across - 1) + 1).spawn(Block {
                row,
                column,
                side,
                across,
                values: part(&matrix, nodes, row, column, side),
                round: 0,
                neighbours: Vec::new(),
                of_row: vec![VecDeque::new(); across],
                of_column: vec![VecDeque::new(); across],
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
        expect(&format!("whether the block at {row}, {column} is right"), is_right, true)?;
    }
    let longest = matrix.iter().filter(|length| **length < NONE).max();
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
