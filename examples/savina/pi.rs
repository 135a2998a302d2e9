//! π to thousands of digits, by the series of Bailey, Borwein and Plouffe. A worker computes a term of the series, and
//! its results are large messages.
//!
//! No deadlock: see `pool.rs`.

use std::sync::Arc;

use kahn::actor::ExitReason;

use crate::bench::{Bench, Size, check, expect};
use crate::pool::{self, Job, Report};

pub const BENCH: Bench =
    Bench { name: "pi", about: "thousands of digits, with a task for each term of a series", run };

/// A fixed-point number from 0 to 2^32, as words of 32 bits. The first word is the integer part.
#[derive(Clone)]
struct Fixed(Vec<u32>);

impl Fixed {
    /// Returns the power of two, or zero if it is too small to be represented.
    fn power_of_two(exponent: i64, words: usize) -> Fixed {
        let mut number = Fixed(vec![0; words]);
        let bit = 31 - exponent;
        if let Some(word) = number.0.get_mut((bit / 32) as usize) {
            *word = 1 << (31 - bit % 32);
        }
        number
    }

    fn divide(&mut self, divisor: u32) {
        let mut rest = 0;
        for word in &mut self.0 {
            let whole = rest << 32 | u64::from(*word);
            *word = (whole / u64::from(divisor)) as u32;
            rest = whole % u64::from(divisor);
        }
    }

    fn multiply(&mut self, factor: u32) {
        let mut carry = 0;
        for word in self.0.iter_mut().rev() {
            let product = u64::from(*word) * u64::from(factor) + carry;
            *word = product as u32;
            carry = product >> 32;
        }
    }

    fn add(&mut self, other: &Fixed) {
        self.combine(other, u32::overflowing_add);
    }

    fn subtract(&mut self, other: &Fixed) {
        self.combine(other, u32::overflowing_sub);
    }

    /// Applies `step` to the words from the last to the first and propagates the carry.
    fn combine(&mut self, other: &Fixed, step: fn(u32, u32) -> (u32, bool)) {
        let mut carry = false;
        for (word, other) in self.0.iter_mut().zip(&other.0).rev() {
            let (once, over) = step(*word, *other);
            let (twice, over_again) = step(once, carry.into());
            (*word, carry) = (twice, over | over_again);
        }
    }

    fn is_zero(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Returns `count` decimal digits of the fraction.
    fn digits(mut self, count: usize) -> String {
        const DIGITS_PER_STEP: usize = 9;
        let mut digits = String::new();
        while digits.len() < count {
            self.0[0] = 0;
            self.multiply(10_u32.pow(DIGITS_PER_STEP as u32));
            digits += &format!("{:0DIGITS_PER_STEP$}", self.0[0]);
        }
        digits.truncate(count);
        digits
    }
}

struct Series {
    words: usize,
}

impl Series {
    /// Returns the term (4/(8k+1) − 2/(8k+4) − 1/(8k+5) − 1/(8k+6)) / 16^k.
    fn term(&self, k: u32) -> Fixed {
        let part = |exponent: i64, divisor: u32| {
            let mut part = Fixed::power_of_two(exponent - 4 * i64::from(k), self.words);
            part.divide(8 * k + divisor);
            part
        };
        let mut term = part(2, 1);
        for (exponent, divisor) in [(1, 4), (0, 5), (0, 6)] {
            term.subtract(&part(exponent, divisor));
        }
        term
    }
}

impl Job for Series {
    type Task = u32;
    type Partial = Fixed;
    type Total = Fixed;

    fn execute(&self, k: u32, report: &Report<Self>) -> Result<(), ExitReason> {
        report.add_result(self.term(k))
    }

    fn add(&self, total: &mut Fixed, term: Fixed) {
        total.add(&term);
    }
}

/// Returns π by Machin's formula: 16 arctan(1/5) − 4 arctan(1/239).
fn machin(words: usize) -> Fixed {
    let arctan = |exponent: i64, divisor: u32| {
        let mut power = Fixed::power_of_two(exponent, words);
        power.divide(divisor);
        let mut sum = power.clone();
        for i in 1.. {
            power.divide(divisor * divisor);
            if power.is_zero() {
                break;
            }
            let mut term = power.clone();
            term.divide(2 * i + 1);
            if i % 2 == 1 { sum.subtract(&term) } else { sum.add(&term) }
        }
        sum
    };
    let mut pi = arctan(4, 5);
    pi.subtract(&arctan(2, 239));
    pi
}

fn run(size: Size) -> Result<String, String> {
    let (digits, workers) = size.pick((5000, 20), (200, 4));
    // Two words more than the digits need, for the rounding errors of the divisions.
    let bits = (digits as f64 * 10_f64.log2()) as usize;
    let words = 1 + bits.div_ceil(32) + 2;
    let terms = (32 * words / 4) as u32;
    let pi = pool::run(Arc::new(Series { words }), workers, 0..terms, Fixed(vec![0; words]))?;
    let (whole, pi) = (pi.0[0], pi.digits(digits));
    expect("the integer part", whole, 3)?;
    check(pi == machin(words).digits(digits), "the digits are wrong")?;
    Ok(format!("3.{}…{}, {digits} digits", &pi[..8], &pi[digits - 8..]))
}
