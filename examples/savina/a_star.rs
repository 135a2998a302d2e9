//! The shortest way through a grid in three dimensions, by many workers at once.
//!
//! The grid is shared, as in the sequential algorithm: each node has the shortest distance that is known. Who shortens
//! one follows the node, or reports it to the master if there is more than it may do at a time. Nodes from which the
//! target cannot be reached any sooner are given up, so all is done when nobody has anything left, and then the
//! distance of the target is the shortest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use kahn::actor::ExitReason;

use crate::bench::{Bench, Random, Size, expect};
use crate::crew::{self, Job, Report};

pub const BENCH: Bench = Bench { name: "a-star", about: "a guided search, the most promising first", run };

/// What a step costs at least; some cost twice as much.
const STRAIGHT: u32 = 10;
const DIAGONAL: u32 = 14;
/// A step costs so much at least for each dimension that it takes.
const LEAST: u32 = DIAGONAL / 2;

struct Grid {
    side: usize,
    /// Where each node leads, and what that costs: always up in one or two of the dimensions.
    steps: Vec<Vec<(usize, u32)>>,
    target: usize,
    /// Nodes that a worker follows in one piece of work.
    threshold: usize,
    /// The shortest known. Relaxed: a distance is all that is read there, and whoever follows a node has seen the
    /// change that made it worth following, its own or one that came with a message.
    distances: Vec<AtomicU32>,
}

impl Grid {
    fn random(side: usize, threshold: usize, random: &mut Random) -> Grid {
        let number = |[x, y, z]: [usize; 3]| (x * side + y) * side + z;
        let mut steps = vec![Vec::new(); side.pow(3)];
        for (node, steps) in steps.iter_mut().enumerate() {
            let at = Self::place(side, node);
            for way in 1..7 {
                let by = [way >> 2 & 1, way >> 1 & 1, way & 1];
                let to = [0, 1, 2].map(|i| at[i] + by[i]);
                if to.iter().all(|&i| i < side) && random.chance(50) {
                    let least = if by.iter().sum::<usize>() == 1 { STRAIGHT } else { DIAGONAL };
                    steps.push((number(to), least + random.below(u64::from(least)) as u32));
                }
            }
        }
        let distances = (0..side.pow(3)).map(|_| AtomicU32::new(u32::MAX)).collect();
        Grid { side, steps, target: number([side * 4 / 5; 3]), threshold, distances }
    }

    fn place(side: usize, node: usize) -> [usize; 3] {
        [node / side / side, node / side % side, node % side]
    }

    /// What a way to the target costs at least, if there is one.
    fn to_go(&self, node: usize) -> Option<u32> {
        let (at, target) = (Self::place(self.side, node), Self::place(self.side, self.target));
        let mut steps = 0;
        for (at, target) in at.into_iter().zip(target) {
            steps += target.checked_sub(at)?;
        }
        Some(LEAST * steps as u32)
    }

    /// The whole way over this node, at least.
    fn estimate(&self, node: usize) -> Option<u32> {
        Some(self.to_go(node)? + self.distances[node].load(Relaxed))
    }
}

impl Job for Grid {
    type Work = usize;
    type Found = u32;
    type Total = Option<u32>;

    fn work(&self, node: usize, report: &Report<Self>) -> Result<(), ExitReason> {
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
                    report.found(distance)?;
                } else if let Some(estimate) = self.estimate(next) {
                    open.push((Reverse(estimate), next));
                }
            }
        }
        open.into_iter().try_for_each(|(Reverse(estimate), node)| report.more(u32::MAX - estimate, node))
    }

    fn add(&self, shortest: &mut Option<u32>, distance: u32) {
        *shortest = Some(shortest.map_or(distance, |shortest| shortest.min(distance)));
    }
}

/// The same without a guide, by one.
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
    let shortest = crew::work(grid.clone(), workers, [0], None)?;
    let Some(expected) = dijkstra(&grid) else { return Err("the target cannot be reached".into()) };
    expect("the distance", shortest, Some(expected))?;
    let seen = grid.distances.iter().filter(|distance| distance.load(Relaxed) < u32::MAX).count();
    Ok(format!("the target is {expected} away, {seen} of {} nodes were seen", grid.steps.len()))
}
