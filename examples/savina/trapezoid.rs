//! An integral by the trapezoidal rule. Each worker computes one part of the interval, without messages meanwhile.
//!
//! No deadlock: see `pool.rs`.

use std::sync::Arc;

use kahn::actor::ExitReason;

use crate::bench::{Bench, Size};
use crate::pool::{self, Job, Report};

pub const BENCH: Bench = Bench { name: "trapezoid", about: "an integral with a part for each worker", run };

const FROM: f64 = 1.0;
const TO: f64 = 5.0;

fn f(x: f64) -> f64 {
    (1.0 / (x + 1.0)) * (1.0 + (2.0 * x).sqrt().exp()).sqrt() * (x.powi(3) - 1.0).sin()
}

struct Integral {
    width: f64,
}

/// A task: the pieces from `first` to `end`, exclusive.
struct Part {
    first: u32,
    end: u32,
}

impl Job for Integral {
    type Task = Part;
    type Partial = f64;
    type Total = f64;

    fn execute(&self, Part { first, end }: Part, report: &Report<Self>) -> Result<(), ExitReason> {
        let at = |piece: u32| f(FROM + f64::from(piece) * self.width);
        let inner: f64 = (first + 1..end).map(at).sum();
        report.add_result(self.width * ((at(first) + at(end)) / 2.0 + inner))
    }

    fn add(&self, total: &mut f64, area: f64) {
        *total += area;
    }
}

/// Returns the integral by Simpson's rule, which needs far fewer pieces.
fn simpson(pieces: u32) -> f64 {
    let width = (TO - FROM) / f64::from(pieces);
    let weight = |i: u32| if i.is_multiple_of(2) { 2.0 } else { 4.0 };
    let inner: f64 = (1..pieces).map(|i| weight(i) * f(FROM + f64::from(i) * width)).sum();
    (f(FROM) + inner + f(TO)) * width / 3.0
}

fn run(size: Size) -> Result<String, String> {
    let (pieces, workers) = size.pick((10_000_000, 100), (100_000, 10));
    let width = (TO - FROM) / f64::from(pieces);
    let share = pieces / workers;
    let parts = (0..workers).map(|worker| Part { first: worker * share, end: (worker + 1) * share });
    let area = pool::run(Arc::new(Integral { width }), workers as usize, parts, 0.0)?;
    let expected = simpson(100_000);
    // The error of the trapezoidal rule is proportional to the square of the width.
    if (area - expected).abs() > 10.0 * width * width + 1e-10 {
        return Err(format!("the integral: computed {area}, expected {expected}"));
    }
    Ok(format!("the integral is {area:.9}, in {pieces} pieces"))
}
