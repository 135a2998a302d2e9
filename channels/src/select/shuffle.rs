//! Fast random numbers, which make select fair.

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

use kahn_core::primitives::{MODEL, choose};

/// An odd number without a pattern: 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

thread_local! {
    /// Each OS thread has a sequence of its own, so that selects do not contend for one.
    static SEED: Cell<u64> = const { Cell::new(0) };
}

/// Gives each OS thread a different sequence.
static SEQUENCES: AtomicU64 = AtomicU64::new(1);

/// A short sequence of random choices. It reads the thread-local only when it is made.
pub(crate) struct Choices(u64);

impl Choices {
    /// Returns the next sequence of this OS thread. Not inlined: a green thread may resume on another OS thread after a
    /// park, and must not keep the address of a thread-local across it.
    #[inline(never)]
    pub(crate) fn new() -> Choices {
        if MODEL {
            return Choices(0);
        }
        SEED.with(|seed| {
            let mut state = seed.get();
            if state == 0 {
                // Relaxed: the value only has to be unique.
                state = SEQUENCES.fetch_add(1, Ordering::Relaxed).wrapping_mul(GOLDEN);
            }
            state = state.wrapping_add(GOLDEN);
            seed.set(state);
            Choices(mix(state))
        })
    }

    /// Returns a number below `bound`, which must not be 0.
    #[inline]
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        if MODEL {
            // A model explores which case comes first, and leaves the others in their order. So each case that is ready is
            // taken in one of the explorations.
            return if core::mem::replace(&mut self.0, 1) == 0 { choose(bound) } else { 0 };
        }
        // The upper bits of the state are the more random ones. The upper half of the product is below `bound`.
        let choice = (u128::from(self.0) * bound as u128) >> 64;
        self.0 = self.0.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(GOLDEN);
        usize::try_from(choice).expect("below a usize")
    }
}

/// Makes a counter look random (the finaliser of MurmurHash3).
#[inline]
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

#[cfg(all(test, not(kahn_loom)))]
mod tests {
    use super::Choices;

    #[test]
    fn all_choices_are_equally_likely() {
        let rounds = if cfg!(miri) { 1_000 } else { 100_000 };
        let mut counts = [[0_i64; 4]; 4];
        for _ in 0..rounds {
            let mut choices = Choices::new();
            for place in &mut counts {
                place[choices.below(4)] += 1;
            }
        }
        // Ten standard deviations of a binomial distribution.
        let sigma = (f64::from(rounds) * 0.25 * 0.75).sqrt();
        for count in counts.as_flattened() {
            assert!((*count as f64 - f64::from(rounds) / 4.0).abs() < 10.0 * sigma, "{counts:?}");
        }
    }
}
