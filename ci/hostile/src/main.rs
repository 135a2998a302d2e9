//! Green threads with homes of their own that do everything that may depend on a thread's identity, while their homes change
//! workers: `hostile SECONDS [SCENARIO…]`. Prints how often each scenario ran, and how many turns began on another kernel
//! thread than the one before.

mod c;
mod rust;
mod travel;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kahn::thread::Builder;

use crate::travel::{MOVES, PARKS};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
#[cfg(feature = "tcmalloc")]
#[global_allocator]
static ALLOCATOR: tcmalloc_better::TCMalloc = tcmalloc_better::TCMalloc;

/// A scenario. Its argument is a number that differs from run to run.
type Scenario = (&'static str, fn(u64));

/// The most homes at a time.
const HOMES: u64 = 24;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(10);
    let only: Vec<String> = arguments.collect();
    let scenarios: Vec<Scenario> = rust::SCENARIOS
        .iter()
        .chain(c::SCENARIOS)
        .filter(|(name, _)| only.is_empty() || only.iter().any(|one| one == name))
        .copied()
        .collect();
    let runs: Vec<AtomicU64> = scenarios.iter().map(|_| AtomicU64::new(0)).collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    c::prepare();
    kahn::run(|| {
        kahn::scope(|s| {
            for home in 0..HOMES {
                let (scenarios, runs) = (&scenarios, &runs);
                s.spawn(move || {
                    let mut random = travel::Random::new(home);
                    while Instant::now() < end {
                        one_life(&mut random, scenarios, runs, end);
                    }
                });
            }
            // Keeps a worker busy, so that others take its homes.
            s.spawn(move || {
                while Instant::now() < end {
                    (0..5_000).for_each(|_| std::hint::spin_loop());
                    kahn::yield_now();
                }
            });
        });
    });
    c::check_the_end();
    for ((name, _), runs) in scenarios.iter().zip(&runs) {
        eprintln!("{name:24} {}", runs.load(Ordering::Relaxed));
    }
    eprintln!("{} parks, {} of them ended on another kernel thread", get(&PARKS), get(&MOVES));
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// The life of one home: some scenarios, one after another, in random order.
fn one_life(random: &mut travel::Random, scenarios: &[Scenario], runs: &[AtomicU64], end: Instant) {
    let seed = random.next();
    kahn::scope(|s| {
        let life = move || {
            let mut random = travel::Random::new(seed);
            for _ in 0..1 + random.next() % 40 {
                if Instant::now() > end {
                    break;
                }
                let n = usize::try_from(random.next()).unwrap() % scenarios.len();
                scenarios[n].1(random.next());
                runs[n].fetch_add(1, Ordering::Relaxed);
                assert!(!std::thread::panicking());
            }
        };
        let home = Builder::new().exclusive_home(true).stack_size(1 << 20).name("lives".into());
        if let Err(payload) = s.spawn_with(home, life).unwrap().join() {
            eprintln!("a scenario has failed");
            drop(payload);
            std::process::abort();
        }
    });
}
