//! The shortest path through a three-dimensional grid, by an A* search with many workers.
//!
//! The workers share the grid, which has the shortest known distance of each node. A worker that shortens the distance
//! of a node explores the node, or reports it as a task if it has reached its limit. A node that cannot shorten the
//! path to the target is discarded. When no tasks are left, the distance of the target is the shortest.
//!
//! No deadlock: see `pool.rs`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use kahn::actor::ExitReason;

use crate::bench::{Bench, Random, Size, expect};
use crate::pool::{self, Job, Report};

pub const BENCH: Bench =
    Bench { name: "a-star", about: "a guided search, the most promising nodes first", run };

/// The lowest cost of a step in one or in two dimensions. A step may cost almost twice as much.
const MIN_STRAIGHT: u32 = 10;
const MIN_DIAGONAL: u32 = 14;
/// The lowest cost of a step for each dimension in which it moves.
const MIN_PER_DIMENSION: u32 = MIN_DIAGONAL / 2;

struct Grid {
    side: usize,
    /// For each node, the nodes that a step leads to, and its cost. A step increases one or two of the coordinates.
    steps: Vec<Vec<(usize, u32)>>,
    target: usize,
    /// How many nodes a worker explores in one task.
    threshold: usize,
    /// The shortest known distance of each node. Relaxed: no other memory depends on a distance. A worker that explores
    /// a node sees the distance that made it a task, because it has written it itself or got the task in a message.
    distances: Vec<AtomicU32>,
}

impl Grid {
    fn random(side: usize, threshold: usize, random: &mut Random) -> Grid {
        let number = |[x, y, z]: [usize; 3]| (x * side + y) * side + z;
        let mut steps = vec![Vec::new(); side.pow(3)];
        for (node, steps) in steps.iter_mut().enumerate() {
            let at = Self::coordinates(side, node);
            for direction in 1..7 {
                let by = [direction >> 2 & 1, direction >> 1 & 1, direction & 1];
                let to = [0, 1, 2].map(|i| at[i] + by[i]);
                if to.iter().all(|&i| i < side) && random.chance(50) {
                    let min = if by.iter().sum::<usize>() == 1 { MIN_STRAIGHT } else { MIN_DIAGONAL };
                    steps.push((number(to), min + random.below(u64::from(min)) as u32));
                }
            }
        }
        let distances = (0..side.pow(3)).map(|_| AtomicU32::new(u32::MAX)).collect();
        Grid { side, steps, target: number([side * 4 / 5; 3]), threshold, distances }
    }

    fn coordinates(side: usize, node: usize) -> [usize; 3] {
        [node / side / side, node / side % side, node % side]
    }

    /// Returns a lower bound of the cost from the node to the target, or `None` if no path can exist.
    fn min_cost_to_target(&self, node: usize) -> Option<u32> {
        let (at, target) = (Self::coordinates(self.side, node), Self::coordinates(self.side, self.target));
        let mut steps = 0;
        for (at, target) in at.into_iter().zip(target) {
            steps += target.checked_sub(at)?;
        }
        Some(MIN_PER_DIMENSION * steps as u32)
    }

    /// Returns a lower bound of the cost of a path from the start over this node to the target.
    fn estimate(&self, node: usize) -> Option<u32> {
        Some(self.min_cost_to_target(node)? + self.distances[node].load(Relaxed))
    }
}

impl Job for Grid {
    type Task = usize;
    type Partial = u32;
    type Total = Option<u32>;

    fn execute(&self, node: usize, report: &Report<Self>) -> Result<(), ExitReason> {
        let mut open = BinaryHeap::from([(Reverse(0), node)]);
        for _ in 0..self.threshold {
            let Some((_, node)) = open.pop() else { break };
            let best = self.distances[self.target].load(Relaxed);
            if self.estimate(node).is_none_or(|estimate| estimate >= best) {
                continue;
            }
            let distance = self.distances[node].load(Relaxed);
            for &(next, cost) in &self.steps[node] {
                let distance = distance + cost;
                if self.distances[next].fetch_min(distance, Relaxed) <= distance {
                    continue;
                }
                if next == self.target {
                    report.add_result(distance)?;
                } else if let Some(estimate) = self.estimate(next) {
                    open.push((Reverse(estimate), next));
                }
            }
        }
        open.into_iter().try_for_each(|(Reverse(estimate), node)| report.add_task(u32::MAX - estimate, node))
    }

    fn add(&self, shortest: &mut Option<u32>, distance: u32) {
        *shortest = Some(shortest.map_or(distance, |shortest| shortest.min(distance)));
    }
}

/// Returns the distance of the target by Dijkstra's sequential algorithm.
fn dijkstra(grid: &Grid) -> Option<u32> {
    let mut distances = vec![u32::MAX; grid.steps.len()];
    let mut open = BinaryHeap::from([(Reverse(0), 0)]);
    while let Some((Reverse(distance), node)) = open.pop() {
        if distance >= distances[node] {
            continue;
        }
        distances[node] = distance;
        open.extend(grid.steps[node].iter().map(|&(next, cost)| (Reverse(distance + cost), next)));
    }
    Some(distances[grid.target]).filter(|distance| *distance < u32::MAX)
}

fn run(size: Size) -> Result<String, String> {
    let (side, threshold, workers) = size.pick((30, 1024, 20), (8, 16, 4));
    let grid = Arc::new(Grid::random(side, threshold, &mut Random::new(123_456)));
    grid.distances[0].store(0, Relaxed);
    let shortest = pool::run(grid.clone(), workers, [0], None)?;
    let Some(expected) = dijkstra(&grid) else { return Err("the target cannot be reached".into()) };
    expect("the distance", shortest, Some(expected))?;
    let seen = grid.distances.iter().filter(|distance| distance.load(Relaxed) < u32::MAX).count();
    Ok(format!("the distance of the target is {expected}, {seen} of {} nodes were visited", grid.steps.len()))
}
