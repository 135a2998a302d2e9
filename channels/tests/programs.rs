//! Small programs of many threads that communicate over channels, from Go's test suite: `goroutines`, `powser1`,
//! `sieve2`, `chanbarrier`.
#![cfg(not(kahn_loom))]

mod support;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use kahn_channels::{Receiver, Sender, bounded, never, select};
use support::{Handle, World, everywhere, times};

/// goroutines: a chain of 10,000 passes a value, and comes down. Fewer where they are OS threads.
#[test]
fn long_chain_of_goroutines_passes_a_value() {
    everywhere(|world| {
        let links = if format!("{world:?}").starts_with("Green") { 10_000 } else { times(500) };
        let (left, mut end) = bounded(0);
        let parts: Vec<_> = (0..links)
            .map(|_| {
                let (tx, rx) = bounded(0);
                let before = std::mem::replace(&mut end, rx);
                world.spawn(move || tx.send(before.recv().unwrap() + 1).unwrap())
            })
            .collect();
        left.send(0).unwrap();
        assert_eq!(end.recv(), Ok(links));
        parts.into_iter().for_each(|part| part.join());
    });
}

/// A power series: a thread that computes the next coefficient on request, and ends when no thread can ask.
struct Series {
    demand: Sender<()>,
    data: Receiver<i64>,
}

/// What computes the series, to be waited for.
static PROCESSES: Mutex<Vec<Handle<()>>> = Mutex::new(Vec::new());

impl Series {
    fn run(world: World, process: impl FnOnce() + Send + 'static) {
        PROCESSES.lock().unwrap().push(world.spawn(process));
    }

    fn of(world: World, mut next: impl FnMut() -> i64 + Send + 'static) -> Series {
        let (demand, asked) = bounded(0);
        let (answer, data) = bounded(0);
        Series::run(world, move || {
            for () in asked {
                if answer.send(next()).is_err() {
                    return;
                }
            }
        });
        Series { demand, data }
    }

    fn next(&self) -> i64 {
        self.demand.send(()).unwrap();
        self.data.recv().unwrap()
    }

    fn take(self, count: usize) -> Vec<i64> {
        (0..count).map(|_| self.next()).collect()
    }

    fn ones(world: World) -> Series {
        Series::of(world, || 1)
    }

    fn plus(self, world: World, other: Series) -> Series {
        Series::of(world, move || self.next() + other.next())
    }

    fn scaled(self, world: World, by: i64) -> Series {
        Series::of(world, move || by * self.next())
    }

    /// `x` times it.
    fn shifted(self, world: World) -> Series {
        let mut first = true;
        Series::of(world, move || if std::mem::take(&mut first) { 0 } else { self.next() })
    }

    fn derived(self, world: World) -> Series {
        self.next();
        let mut power = 0;
        Series::of(world, move || {
            power += 1;
            power * self.next()
        })
    }

    /// Two readers of one series: each may be ahead of the other.
    fn split(self, world: World) -> [Series; 2] {
        let (first_demand, mut first_asked) = bounded(0);
        let (second_demand, mut second_asked) = bounded(0);
        let (first_answer, first_data) = bounded(0);
        let (second_answer, second_data) = bounded(0);
        Series::run(world, move || {
            let mut waiting = [VecDeque::new(), VecDeque::new()];
            let mut open = 2;
            let mut next = |reader: usize| {
                if waiting[reader].is_empty() {
                    let coefficient = self.next();
                    waiting.iter_mut().for_each(|queue| queue.push_back(coefficient));
                }
                waiting[reader].pop_front().unwrap()
            };
            while open > 0 {
                let (reader, asked) = select! {
                    recv(first_asked) -> asked => (0, asked),
                    recv(second_asked) -> asked => (1, asked),
                };
                match (asked, reader) {
                    (Ok(()), 0) => first_answer.send(next(0)).unwrap(),
                    (Ok(()), _) => second_answer.send(next(1)).unwrap(),
                    (Err(_), 0) => (first_asked, open) = (never(), open - 1),
                    (Err(_), _) => (second_asked, open) = (never(), open - 1),
                }
            }
        });
        [
            Series { demand: first_demand, data: first_data },
            Series { demand: second_demand, data: second_data },
        ]
    }

    /// `f·g = f₀g₀ + x(f₀G + g₀F + x·F·G)`, where `f = f₀ + xF` and `g = g₀ + xG`.
    fn times(self, world: World, other: Series) -> Series {
        let mut factors = Some((self, other));
        let mut tail: Option<Series> = None;
        Series::of(world, move || {
            if let Some((f, g)) = factors.take() {
                let (f0, g0) = (f.next(), g.next());
                let ([f1, f2], [g1, g2]) = (f.split(world), g.split(world));
                let crossed = g1.scaled(world, f0).plus(world, f1.scaled(world, g0));
                tail = Some(crossed.plus(world, f2.times(world, g2).shifted(world)));
                return f0 * g0;
            }
            tail.as_ref().unwrap().next()
        })
    }
}

/// powser1: series are added, multiplied and derived by processes, which give the right coefficients.
#[test]
fn power_series_program_computes_coefficients() {
    everywhere(|&world| {
        let count = if cfg!(miri) { 3 } else { 8 };
        let ones = || Series::ones(world);
        let n = count as i64;
        assert_eq!(ones().plus(world, ones()).take(count), vec![2; count]);
        assert_eq!(ones().derived(world).take(count), (1..=n).collect::<Vec<_>>());
        // 1/(1-x)² has the coefficients n + 1, and 1/(1-x)³ the triangular numbers.
        assert_eq!(ones().times(world, ones()).take(count), (1..=n).collect::<Vec<_>>());
        let cube = ones().times(world, ones().times(world, ones()));
        assert_eq!(cube.take(count), (1..=n).map(|i| i * (i + 1) / 2).collect::<Vec<_>>());
        let processes = std::mem::take(&mut *PROCESSES.lock().unwrap());
        processes.into_iter().for_each(Handle::join);
    });
}

/// sieve2: primes from a chain of filters over rendezvous, which comes down from its end.
#[test]
fn sieve_over_rendezvous_finds_primes() {
    everywhere(|world| {
        let count = if cfg!(miri) { 5 } else { 40 };
        let (tx, mut numbers) = bounded(0);
        let mut parts = vec![world.spawn(move || (2..).take_while(|&n| tx.send(n).is_ok()).for_each(drop))];
        let mut primes = Vec::new();
        for _ in 0..count {
            let prime = numbers.recv().unwrap();
            primes.push(prime);
            let (tx, rx) = bounded(0);
            let before = std::mem::replace(&mut numbers, rx);
            parts.push(world.spawn(move || {
                let _ = before.iter().filter(|n| n % prime != 0).try_for_each(|n| tx.send(n));
            }));
        }
        assert!((0..count).all(|i| (2..primes[i]).all(|n| primes[i] % n != 0)));
        assert!(count < 40 || primes[39] == 173);
        drop(numbers);
        parts.into_iter().for_each(|part| part.join());
    });
}

/// chanbarrier: what was written before a rendezvous is seen after it, directly and through a select.
#[test]
fn barrier_of_channels_orders_memory() {
    everywhere(|world| {
        for round in 0..times(100) {
            let (writers, each) = (4, times(100));
            let cells: Arc<Vec<AtomicUsize>> = Arc::new((0..writers).map(|_| AtomicUsize::new(0)).collect());
            let (arrive, arrived) = bounded(0);
            let (leave, left) = bounded(0);
            let parts: Vec<_> = (0..writers)
                .map(|me| {
                    let (cells, arrive, left) = (cells.clone(), arrive.clone(), left.clone());
                    world.spawn(move || {
                        for n in 1..=each {
                            // Relaxed: the rendezvous publishes it.
                            cells[me].store(n, Ordering::Relaxed);
                            if round % 2 == 0 {
                                arrive.send(()).unwrap();
                                left.recv().unwrap();
                            } else {
                                select! { send(arrive, ()) -> res => res.unwrap() }
                                select! { recv(left) -> msg => msg.unwrap() }
                            }
                            assert!(cells.iter().all(|cell| cell.load(Ordering::Relaxed) >= n));
                        }
                    })
                })
                .collect();
            for n in 1..=each {
                (0..writers).for_each(|_| arrived.recv().unwrap());
                assert!(cells.iter().all(|cell| cell.load(Ordering::Relaxed) == n));
                (0..writers).for_each(|_| leave.send(()).unwrap());
            }
            parts.into_iter().for_each(|part| part.join());
        }
    });
}
