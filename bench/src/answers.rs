//! The expected results of the workloads, and the arithmetic with which `pool` and `pipeline` spend CPU time.
//!
//! xorshift is linear over exclusive or: the exclusive or of many results is the result for the exclusive or of their
//! seeds. The expected result of 200,000 items therefore costs no more than that of one.

use crate::workloads::{PIPELINE_STAGES, PIPELINE_STEPS, POOL_STEPS};

/// Applies `steps` steps of Marsaglia's 64-bit xorshift to `x`.
#[inline(never)]
pub fn xorshift(mut x: u64, steps: u64) -> u64 {
    for _ in 0..steps {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    x
}

/// Returns the seed of the `i`th job or item.
pub fn seed(i: u64) -> u64 {
    (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn seeds(n: u64) -> u64 {
    (0..n).fold(0, |all, i| all ^ seed(i))
}

/// Returns the exclusive or of all results of `pool`.
pub fn pool(jobs: u64) -> u64 {
    xorshift(seeds(jobs), POOL_STEPS)
}

/// Returns the exclusive or of all results of `pipeline`.
pub fn pipeline(items: u64) -> u64 {
    xorshift(seeds(items), PIPELINE_STAGES * PIPELINE_STEPS)
}

/// Returns 0 + 1 + … + (n − 1).
pub fn sum(n: u64) -> u64 {
    n * (n - 1) / 2
}

/// Returns the `n`th prime. The first is 2.
pub fn prime(n: u64) -> u64 {
    let mut primes: Vec<u64> = Vec::new();
    let mut candidate = 2;
    while (primes.len() as u64) < n {
        if primes.iter().take_while(|&&p| p * p <= candidate).all(|p| candidate % p != 0) {
            primes.push(candidate);
        }
        candidate += 1;
    }
    primes[n as usize - 1]
}

/// Returns the resident bytes of this process and of its page tables.
pub fn resident() -> u64 {
    let status =
        std::fs::read_to_string("/proc/self/status").expect("`idle` needs Linux's /proc/self/status");
    resident_in(&status).expect("the sizes are in /proc/self/status")
}

/// Returns the resident bytes and those of page tables that a file `/proc/…/status` names.
pub fn resident_in(status: &str) -> Option<u64> {
    let kib = |field: &str| -> Option<u64> {
        status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.trim().strip_suffix("kB")?.trim().parse().ok())
    };
    Some((kib("VmRSS:")? + kib("VmPTE:")?) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_equals_the_exclusive_or_of_all_jobs() {
        let all = (0..5).fold(0, |all, i| all ^ xorshift(seed(i), POOL_STEPS));
        assert_eq!(all, pool(5));
        assert_ne!(all, 0);
    }

    #[test]
    fn prime_counts_from_one() {
        assert_eq!((prime(1), prime(3_000)), (2, 27_449));
    }
}
