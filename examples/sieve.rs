//! The prime sieve as a chain of green threads: each holds one prime and passes on what it does not divide.
//!
//! ```text
//! cargo run --release --example sieve -- 1000
//! cargo run --release --example sieve -- --check 200
//! ```
//!
//! A generator counts 2, 3, 4, …; behind it stands a filter for every prime found so far, all joined by bounded channels.
//! What comes out at the end is the next prime, and gets a filter of its own. When enough have come out, the last
//! receiver is dropped, and the chain ends from there to the front.

use std::process::ExitCode;
use std::time::Instant;

use kahn::channel::{Receiver, bounded};
use kahn::spawn;

const USAGE: &str = "\
Finds the first N primes (1000 if not given) with a chain of N green threads.

usage: sieve [--check] [N]

  --check   compare with the sieve of Eratosthenes on an array
";

/// More would take days.
const MOST: usize = 1_000_000;
/// How many numbers may wait in front of each filter.
const CAPACITY: usize = 64;

#[kahn::main]
fn main() -> ExitCode {
    let (mut check, mut count) = (false, 1000);
    for arg in std::env::args().skip(1) {
        match (arg.as_str(), arg.parse()) {
            ("--help" | "-h", _) => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            ("--check", _) => check = true,
            (_, Ok(number)) if (1..=MOST).contains(&number) => count = number,
            _ => {
                eprintln!("sieve: {arg:?} is not a number from 1 to {MOST}, try --help");
                return ExitCode::from(2);
            }
        }
    }

    let start = Instant::now();
    let primes = primes(count);
    let seconds = start.elapsed().as_secs_f64();

    let shown: Vec<String> = primes.iter().take(15).map(u64::to_string).collect();
    println!("{}{}", shown.join(" "), if count > shown.len() { " …" } else { "" });
    let last = primes[count - 1];
    println!("prime number {count} is {last}");
    let messages = messages(last, &primes);
    println!(
        "{} green threads, {messages} messages, {seconds:.3} s, {:.0} ns a message",
        count + 1,
        seconds * 1e9 / messages as f64
    );
    if check {
        if primes != eratosthenes(last) {
            eprintln!("sieve: the sieve of Eratosthenes has other primes up to {last}");
            return ExitCode::FAILURE;
        }
        println!("the sieve of Eratosthenes has the same");
    }
    ExitCode::SUCCESS
}

fn primes(count: usize) -> Vec<u64> {
    let mut numbers = count_up();
    let mut primes = Vec::new();
    while primes.len() < count {
        let prime = numbers.recv().expect("the numbers do not end");
        primes.push(prime);
        numbers = without_multiples(prime, numbers);
    }
    primes
}

fn count_up() -> Receiver<u64> {
    let (tx, rx) = bounded(CAPACITY);
    spawn(move || (2..).try_for_each(|number| tx.send(number)));
    rx
}

fn without_multiples(prime: u64, numbers: Receiver<u64>) -> Receiver<u64> {
    let (tx, rx) = bounded(CAPACITY);
    spawn(move || {
        let mut others = numbers.iter().filter(|number| !number.is_multiple_of(prime));
        others.try_for_each(|number| tx.send(number))
    });
    rx
}

/// How many messages it takes to find the primes up to `last`: each number goes as far as its smallest divisor.
fn messages(last: u64, primes: &[u64]) -> usize {
    let hops = |number: u64| {
        primes.iter().position(|&prime| number.is_multiple_of(prime)).map_or(0, |filters| filters + 1)
    };
    (2..=last).map(hops).sum()
}

fn eratosthenes(last: u64) -> Vec<u64> {
    let mut is_prime = vec![true; usize::try_from(last).expect("it fits in memory") + 1];
    let mut primes = Vec::new();
    for number in 2..is_prime.len() {
        if is_prime[number] {
            primes.push(number as u64);
            is_prime.iter_mut().skip(number * number).step_by(number).for_each(|multiple| *multiple = false);
        }
    }
    primes
}
