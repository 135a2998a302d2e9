//! Signal processing: splits a signal into channels, filters each of them, and combines them again.
//!
//! ```text
//! source ── branches ─┬─ delay ── FIR ── sample ── delay ── FIR ── tag ─┬─ integrate ── combine ── sink
//!                     └─ … one bank for each channel …                  ┘
//! ```
//!
//! No deadlock: the graph of actors has no cycle, and the integrator accepts values of the channels in any order. The
//! bounded mailboxes keep the channels from drifting far apart.
//!
//! All values are integers far below 2^53, so sums are exact in any order.

use std::collections::VecDeque;
use std::sync::Arc;

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};

use crate::bench::{Bench, Size, check};
use crate::results::{Collect, feed, wait_for_result};

pub const BENCH: Bench =
    Bench { name: "filter-bank", about: "splits a signal into channels with two filters each", run };

/// Sends each value to all banks.
struct Branches(Vec<ActorRef<f64>>);

impl Actor for Branches {
    type Message = f64;

    fn handle(&mut self, value: f64, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.0.iter().try_for_each(|bank| Ok(bank.tell(value)?))
    }
}

/// Delays the values by a number of positions. The first outputs are zero.
struct Delay {
    delayed: VecDeque<f64>,
    next: ActorRef<f64>,
}

impl Delay {
    fn spawn(values: usize, next: ActorRef<f64>) -> ActorRef<f64> {
        spawn(Delay { delayed: VecDeque::from(vec![0.0; values]), next })
    }
}

impl Actor for Delay {
    type Message = f64;

    fn handle(&mut self, value: f64, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.delayed.push_back(value);
        let value = self.delayed.pop_front().expect("a value was just pushed");
        Ok(self.next.tell(value)?)
    }
}

/// A finite impulse response filter: a weighted sum of the last values. It starts when it has enough of them.
struct Fir {
    /// The first weight is for the oldest value.
    weights: Arc<[f64]>,
    ring: Vec<f64>,
    at: usize,
    is_full: bool,
    next: ActorRef<f64>,
}

impl Fir {
    fn spawn(weights: Arc<[f64]>, next: ActorRef<f64>) -> ActorRef<f64> {
        spawn(Fir { ring: vec![0.0; weights.len()], weights, at: 0, is_full: false, next })
    }
}

impl Actor for Fir {
    type Message = f64;

    fn handle(&mut self, value: f64, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.ring[self.at] = value;
        self.at = (self.at + 1) % self.ring.len();
        self.is_full |= self.at == 0;
        if self.is_full {
            let (newer, older) = self.ring.split_at(self.at);
            let (of_older, of_newer) = self.weights.split_at(older.len());
            self.next.tell(dot_product(of_older, older) + dot_product(of_newer, newer))?;
        }
        Ok(())
    }
}

fn dot_product(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// Passes every `rate`th value and replaces the others by zero.
struct Sample {
    rate: usize,
    at: usize,
    next: ActorRef<f64>,
}

impl Actor for Sample {
    type Message = f64;

    fn handle(&mut self, value: f64, _: &mut Context<Self>) -> Result<(), ExitReason> {
        let passes = self.at == 0;
        self.at = (self.at + 1) % self.rate;
        Ok(self.next.tell(if passes { value } else { 0.0 })?)
    }
}

/// The end of a bank: adds the number of the channel to each value.
struct Tag {
    channel: usize,
    next: ActorRef<(usize, f64)>,
}

impl Actor for Tag {
    type Message = f64;

    fn handle(&mut self, value: f64, _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(self.next.tell((self.channel, value))?)
    }
}

/// Collects a value from each channel and sends them together.
struct Integrate {
    channels: Vec<VecDeque<f64>>,
    next: ActorRef<Vec<f64>>,
}

impl Actor for Integrate {
    type Message = (usize, f64);

    fn handle(&mut self, (channel, value): (usize, f64), _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.channels[channel].push_back(value);
        if self.channels.iter().any(VecDeque::is_empty) {
            return Ok(());
        }
        Ok(self.next.tell(self.channels.iter_mut().filter_map(VecDeque::pop_front).collect())?)
    }
}

struct Combine(ActorRef<f64>);

impl Actor for Combine {
    type Message = Vec<f64>;

    fn handle(&mut self, values: Vec<f64>, _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(self.0.tell(values.iter().sum())?)
    }
}

fn signal(time: usize) -> f64 {
    (time * 31 % 1000 + 1) as f64
}

/// Returns a filter's weight for the value that arrived `age` values ago.
fn weight(filter: usize, channel: usize, age: usize) -> f64 {
    ((age * (7 + 4 * filter) + channel * 13) % 17) as f64 - 8.0
}

fn weights(filter: usize, channel: usize, columns: usize) -> Arc<[f64]> {
    (0..columns).rev().map(|age| weight(filter, channel, age)).collect()
}

fn run(size: Size) -> Result<String, String> {
    let (columns, times, channels) = size.pick((16_384, 34_816, 8), (64, 300, 8));
    // Each filter returns no result for the first `columns - 1` values.
    let results = times - 2 * (columns - 1);
    let sums = wait_for_result(|done| {
        let combine = spawn(Combine(Collect::spawn(results, done)));
        let integrate = spawn(Integrate { channels: vec![VecDeque::new(); channels], next: combine });
        let bank = |channel| {
            let tag = spawn(Tag { channel, next: integrate.clone() });
            let filter = Fir::spawn(weights(1, channel, columns), tag);
            let sample = spawn(Sample { rate: columns, at: 0, next: Delay::spawn(columns - 1, filter) });
            Delay::spawn(columns - 1, Fir::spawn(weights(0, channel, columns), sample))
        };
        let branches = spawn(Branches((0..channels).map(bank).collect()));
        feed((0..times).map(signal), branches)
    })?;
    check(sums == expected(columns, times, channels), "the sums are wrong")?;
    Ok(format!("{results} sums of {channels} channels"))
}

/// Computes the sums from the formula. It skips the values that the sampling replaces by zero.
fn expected(columns: usize, times: usize, channels: usize) -> Vec<f64> {
    let mut sums = vec![0.0; times - 2 * (columns - 1)];
    for channel in 0..channels {
        for sampled in (0..times - (columns - 1)).step_by(columns) {
            // The first delay and the values that the first filter skips cancel each other out.
            let ages = 0..=sampled.min(columns - 1);
            let value: f64 = ages.map(|age| weight(0, channel, age) * signal(sampled - age)).sum();
            for (time, sum) in sums.iter_mut().enumerate().skip(sampled).take(columns) {
                *sum += value * weight(1, channel, time - sampled);
            }
        }
    }
    sums
}
