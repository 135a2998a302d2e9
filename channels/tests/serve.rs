//! `serve`: every message is handled once, no other task starves, and a waiting server costs little.
#![cfg(not(any(kahn_loom, kahn_threads, miri)))]

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kahn_channels::{Receiver, Sender, after, at, bounded, never, serve, tick};
use kahn_core::{Runtime, run, sleep, spawn, yield_now};

/// Runs `f` with so many workers. Fails if it does not end.
fn with_workers(workers: usize, f: impl FnOnce() + Send) {
    let runtime = Runtime::builder().workers(workers).build().unwrap();
    runtime.run(|| kahn_core::time::timeout(Duration::from_secs(60), f)).expect("the scenario hangs");
}

fn on_any_number_of_workers(f: fn()) {
    for workers in [1, 2, 4] {
        with_workers(workers, f);
    }
}

/// A receiver that has ended, with these messages left.
fn ended_with<T>(messages: impl ExactSizeIterator<Item = T>) -> Receiver<T> {
    let (tx, rx) = bounded(messages.len());
    messages.for_each(|message| tx.try_send(message).unwrap());
    rx
}

#[test]
fn serve_handles_all_in_order_and_ends_with_the_senders() {
    on_any_number_of_workers(|| {
        for cap in [0, 1, 3, 100] {
            let (tx, rx) = bounded(cap);
            let got = Arc::new(Mutex::new(Vec::new()));
            let server = serve(rx, {
                let got = got.clone();
                move |n: u32| got.lock().unwrap().push(n)
            });
            (0..1000).for_each(|n| tx.send(n).unwrap());
            assert!(!server.is_finished());
            drop(tx);
            server.join().unwrap();
            assert!(got.lock().unwrap().iter().copied().eq(0..1000));
        }
    });
}

#[test]
fn serve_ends_at_close_after_the_remaining_messages() {
    on_any_number_of_workers(|| {
        let (tx, rx) = bounded(10);
        (0..10).for_each(|n| tx.send(n).unwrap());
        rx.close();
        let sum = Arc::new(AtomicU64::new(0));
        let server = serve(rx, {
            let sum = sum.clone();
            move |n| _ = sum.fetch_add(n, Ordering::Relaxed)
        });
        server.join().unwrap();
        assert_eq!(sum.load(Ordering::Relaxed), 45);
        assert!(tx.send(1).is_err());
    });
}

#[test]
fn serve_ends_at_close_while_it_waits() {
    on_any_number_of_workers(|| {
        let (tx, rx) = bounded::<u8>(1);
        let server = serve(rx, |_| ());
        sleep(Duration::from_millis(5));
        tx.close();
        server.join().unwrap();
    });
}

#[test]
fn serve_ends_at_once_on_an_ended_channel() {
    run(|| serve(ended_with::<u8>([].into_iter()), |_| unreachable!()).join().unwrap());
}

#[test]
fn serve_can_start_on_an_os_thread_outside_any_runtime() {
    let (tx, rx) = bounded(4);
    let (doubled, results) = bounded(4);
    let server = serve(rx, move |n: u32| doubled.send(2 * n).unwrap());
    let feeder = std::thread::spawn(move || (0..100).for_each(|n| tx.send(n).unwrap()));
    assert!(results.iter().eq((0..100).map(|n| 2 * n)));
    feeder.join().unwrap();
    server.join().unwrap();
}

#[test]
fn four_on_one_receiver_share_the_messages() {
    on_any_number_of_workers(|| {
        const MESSAGES: usize = 10_000;
        let (tx, rx) = bounded(16);
        let seen: Arc<Vec<AtomicUsize>> = Arc::new((0..MESSAGES).map(|_| AtomicUsize::new(0)).collect());
        let pool: Vec<_> = (0..4)
            .map(|_| {
                let seen = seen.clone();
                serve(rx.clone(), move |n: usize| {
                    seen[n].fetch_add(1, Ordering::Relaxed);
                    if n.is_multiple_of(7) {
                        yield_now();
                    }
                })
            })
            .collect();
        drop(rx);
        (0..MESSAGES).for_each(|n| tx.send(n).unwrap());
        drop(tx);
        pool.into_iter().for_each(|server| server.join().unwrap());
        assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    });
}

/// With `f` asleep in one of them, the others go on.
#[test]
fn pool_handles_messages_side_by_side() {
    with_workers(1, || {
        let (tx, rx) = bounded(0);
        let pool: Vec<_> = (0..4).map(|_| serve(rx.clone(), |pause: Duration| sleep(pause))).collect();
        drop(rx);
        let start = Instant::now();
        (0..8).for_each(|_| tx.send(Duration::from_millis(100)).unwrap());
        drop(tx);
        pool.into_iter().for_each(|server| server.join().unwrap());
        assert!(start.elapsed() < Duration::from_millis(600), "{:?}", start.elapsed());
    });
}

#[test]
fn serve_handles_a_million_messages() {
    with_workers(2, || {
        let (tx, rx) = bounded(128);
        let sum = Arc::new(AtomicU64::new(0));
        let server = serve(rx, {
            let sum = sum.clone();
            move |n| _ = sum.fetch_add(n, Ordering::Relaxed)
        });
        (0..1_000_000).for_each(|n| tx.send(n).unwrap());
        drop(tx);
        server.join().unwrap();
        assert_eq!(sum.load(Ordering::Relaxed), 499_999_500_000);
    });
}

#[test]
fn handler_may_park_on_time_and_on_other_channels() {
    on_any_number_of_workers(|| {
        let (tx, rx) = bounded(2);
        let (out_tx, out) = bounded(0);
        let server = serve(rx, move |n: u32| {
            // What stands on the stack is there after each park.
            let kept = std::hint::black_box([n; 100]);
            sleep(Duration::from_micros(100));
            out_tx.send(kept[0]).unwrap();
            yield_now();
            out_tx.send(kept[99]).unwrap();
        });
        spawn(move || (0..50).for_each(|n| tx.send(n).unwrap()));
        assert!(out.iter().eq((0..50).flat_map(|n| [n, n])));
        server.join().unwrap();
    });
}

#[test]
fn handler_may_spawn_join_and_serve() {
    on_any_number_of_workers(|| {
        let (tx, rx) = bounded(1);
        let (out_tx, out) = bounded(1);
        let server = serve(rx, move |n: u32| {
            let (inner_tx, inner_rx) = bounded(1);
            let out_tx = out_tx.clone();
            let inner = serve(inner_rx, move |n: u32| out_tx.send(n + 1).unwrap());
            let product = spawn(move || n * 10).join().unwrap();
            inner_tx.send(product).unwrap();
            drop(inner_tx);
            inner.join().unwrap();
        });
        spawn(move || (0..20).for_each(|n| tx.send(n).unwrap()));
        assert!(out.iter().eq((0..20).map(|n| n * 10 + 1)));
        server.join().unwrap();
    });
}

/// A stage that receives what it has sent itself is always busy, and the worker's only other customer still gets on.
#[test]
fn server_that_never_waits_starves_no_other() {
    struct Busy {
        server: kahn_core::thread::JoinHandle<()>,
        handled: Arc<AtomicU64>,
    }
    fn busy() -> Busy {
        let (tx, rx) = bounded(2);
        let handled = Arc::new(AtomicU64::new(0));
        tx.send(()).unwrap();
        let server = serve(rx, {
            let handled = handled.clone();
            move |()| {
                handled.fetch_add(1, Ordering::Relaxed);
                tx.try_send(()).unwrap();
            }
        });
        Busy { server, handled }
    }
    with_workers(1, || {
        let servers = [busy(), busy(), busy()];
        yield_now();
        // 1. A resident's turns. What the busy ones did meanwhile is counted in messages, not in time.
        let before = servers.iter().map(|server| server.handled.load(Ordering::Relaxed)).sum::<u64>();
        (0..100).for_each(|_| yield_now());
        let after = servers.iter().map(|server| server.handled.load(Ordering::Relaxed)).sum::<u64>();
        assert!(after - before <= 100 * 1000, "{} messages between two turns", (after - before) / 100);
        // 2. A new green thread's start.
        for _ in 0..100 {
            let before = servers[0].handled.load(Ordering::Relaxed);
            let handled = servers[0].handled.clone();
            let at_start = spawn(move || handled.load(Ordering::Relaxed)).join().unwrap();
            assert!(at_start - before <= 1000, "{} messages before it started", at_start - before);
        }
        // 3. One another.
        let before: Vec<u64> = servers.iter().map(|server| server.handled.load(Ordering::Relaxed)).collect();
        sleep(Duration::from_millis(50));
        let during: Vec<u64> = servers
            .iter()
            .zip(before)
            .map(|(server, before)| server.handled.load(Ordering::Relaxed) - before)
            .collect();
        let (least, most) = (*during.iter().min().unwrap(), *during.iter().max().unwrap());
        assert!(least * 4 > most, "handled meanwhile: {during:?}");
        for server in servers {
            server.server.cancel();
            assert!(server.server.join().unwrap_err().is_cancelled());
        }
    });
}

/// Tells when it is dropped.
struct Tells(Arc<AtomicUsize>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A server whose closure, and the two messages left in its channel, tell when they are dropped.
fn told() -> (Sender<Option<Tells>>, Receiver<Option<Tells>>, Arc<AtomicUsize>) {
    let (tx, rx) = bounded(4);
    (tx, rx, Arc::new(AtomicUsize::new(0)))
}

#[test]
fn cancel_ends_a_waiting_server() {
    on_any_number_of_workers(|| {
        let (tx, rx, drops) = told();
        let owned = Tells(drops.clone());
        let server = serve(rx, move |_| _ = &owned);
        sleep(Duration::from_millis(2));
        server.cancel();
        assert!(server.join().unwrap_err().is_cancelled());
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        assert!(tx.send(None).is_err(), "the receiver is gone");
    });
}

#[test]
fn cancel_ends_a_server_before_its_start() {
    with_workers(1, || {
        let (tx, rx, drops) = told();
        tx.send(Some(Tells(drops.clone()))).unwrap();
        let owned = Tells(drops.clone());
        let server = serve(rx, move |_| {
            let _owned = &owned;
            unreachable!("cancelled before");
        });
        server.cancel();
        assert!(server.join().unwrap_err().is_cancelled());
        assert_eq!(drops.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn cancel_ends_the_park_of_a_handler() {
    on_any_number_of_workers(|| {
        let (tx, rx, drops) = told();
        (0..3).for_each(|_| tx.send(Some(Tells(drops.clone()))).unwrap());
        let owned = Tells(drops.clone());
        let server = serve(rx, move |_message| {
            let _owned = &owned;
            sleep(Duration::MAX);
        });
        sleep(Duration::from_millis(2));
        assert_eq!(drops.load(Ordering::SeqCst), 0);
        server.cancel();
        assert!(server.join().unwrap_err().is_cancelled());
        assert_eq!(drops.load(Ordering::SeqCst), 4, "the message in hand, two in the channel, the closure");
    });
}

#[test]
fn panic_of_the_handler_ends_the_server() {
    on_any_number_of_workers(|| {
        let (tx, rx, drops) = told();
        let owned = Tells(drops.clone());
        let server = serve(rx, move |message: Option<Tells>| {
            let _owned = &owned;
            yield_now();
            if message.is_none() {
                panic!("no message in the message");
            }
        });
        tx.send(Some(Tells(drops.clone()))).unwrap();
        tx.send(None).unwrap();
        tx.send(Some(Tells(drops.clone()))).unwrap();
        let error = server.join().unwrap_err();
        assert!(error.is_panic());
        assert_eq!(error.into_panic().downcast_ref(), Some(&"no message in the message"));
        assert_eq!(drops.load(Ordering::SeqCst), 3, "one handled, one left, the closure");
        assert!(tx.send(None).is_err(), "the receiver is gone");
    });
}

#[test]
fn panic_of_one_server_leaves_the_others() {
    on_any_number_of_workers(|| {
        let (tx, rx) = bounded(4);
        let handled = Arc::new(AtomicUsize::new(0));
        let pool: Vec<_> = (0..4)
            .map(|_| {
                let handled = handled.clone();
                serve(rx.clone(), move |n: u32| {
                    assert!(n != 500, "this one");
                    handled.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        drop(rx);
        (0..1000).for_each(|n| tx.send(n).unwrap());
        drop(tx);
        let failed = pool.into_iter().map(|server| server.join()).filter(Result::is_err).count();
        assert_eq!((failed, handled.load(Ordering::SeqCst)), (1, 999));
    });
}

#[test]
fn server_runs_on_after_its_handle_is_dropped() {
    on_any_number_of_workers(|| {
        let (tx, rx) = bounded(1);
        let (done_tx, done) = bounded(1);
        drop(serve(rx, move |n: u32| done_tx.send(n).unwrap()));
        tx.send(7).unwrap();
        assert_eq!(done.recv(), Ok(7));
        drop(tx);
        assert!(done.recv().is_err(), "it has ended, and its closure is gone");
    });
}

#[test]
fn serve_handles_timer_channels() {
    run(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let counting = || {
            let count = count.clone();
            move |_: Instant| _ = count.fetch_add(1, Ordering::SeqCst)
        };
        let servers = [
            serve(after(Duration::from_millis(5)), counting()),
            serve(at(Instant::now() + Duration::from_millis(5)), counting()),
            serve(tick(Duration::from_secs(3600)), counting()),
            serve(never(), counting()),
        ];
        let ticking = serve(tick(Duration::from_millis(2)), |_| ());
        while count.load(Ordering::SeqCst) < 2 {
            sleep(Duration::from_millis(1));
        }
        for server in servers.into_iter().chain([ticking]) {
            assert!(!server.is_finished(), "timers do not end");
            server.cancel();
            assert!(server.join().unwrap_err().is_cancelled());
        }
    });
}

#[test]
fn shutdown_drops_waiting_servers_and_their_messages() {
    let drops = Arc::new(AtomicUsize::new(0));
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let senders: Vec<Sender<()>> = runtime.run(|| {
        (0..100)
            .map(|_| {
                let (tx, rx) = bounded(1);
                let owned = Tells(drops.clone());
                serve(rx, move |()| _ = &owned);
                tx
            })
            .collect()
    });
    runtime.shutdown(Duration::from_secs(10)).unwrap();
    assert_eq!(drops.load(Ordering::SeqCst), 100);
    assert!(senders.iter().all(|tx| tx.send(()).is_err()));
}

#[test]
fn async_and_blocking_receivers_share_messages_with_a_server() {
    with_workers(2, || {
        let (tx, rx) = bounded(4);
        let count = Arc::new(AtomicUsize::new(0));
        let server = serve(rx.clone(), {
            let count = count.clone();
            move |_| _ = count.fetch_add(1, Ordering::SeqCst)
        });
        let green = spawn({
            let rx = rx.clone();
            move || rx.iter().count()
        });
        let os = std::thread::spawn(move || {
            kahn_core::block_on(async {
                let mut count = 0;
                while rx.recv_async().await.is_ok() {
                    count += 1;
                }
                count
            })
        });
        (0..10_000).for_each(|n| tx.send(n).unwrap());
        drop(tx);
        server.join().unwrap();
        let green = green.join().unwrap();
        let os = kahn_core::blocking(|| os.join().unwrap());
        assert_eq!(count.load(Ordering::SeqCst) + green + os, 10_000);
    });
}

/// Resident memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kib = |name: &str| -> usize {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (kib("VmRSS:") + kib("VmPTE:")) * 1024
}

/// What each of many that wait costs. Without a stack it is its channel, its cell and its place in a list; a stack
/// alone would be 4096.
#[test]
#[cfg(target_os = "linux")]
fn idle_servers_are_small() {
    const SERVERS: usize = 100_000;
    /// The other tests of this file run at the same time.
    const ALONE: &str = "KAHN_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let program = std::env::current_exe().unwrap();
        let output = std::process::Command::new(program)
            .args(["--exact", "idle_servers_are_small", "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said.lines().filter(|line| line.contains("bytes each")).for_each(|line| println!("{line}"));
        return;
    }
    with_workers(2, || {
        let woken = Arc::new(AtomicUsize::new(0));
        let ready = AtomicBool::new(false);
        let mut senders = Vec::with_capacity(SERVERS);
        let mut servers = Vec::with_capacity(SERVERS);
        let before = resident();
        for _ in 0..SERVERS {
            let (tx, rx) = bounded::<u32>(1);
            let woken = woken.clone();
            servers.push(serve(rx, move |_| _ = woken.fetch_add(1, Ordering::SeqCst)));
            senders.push(tx);
        }
        sleep(Duration::from_millis(300));
        let each = (resident() - before) / SERVERS;
        println!("{SERVERS} idle servers: {each} bytes each");
        assert!(each < 1500, "{each} bytes each");
        ready.store(true, Ordering::SeqCst);
        senders.iter().for_each(|tx| tx.send(1).unwrap());
        drop(senders);
        servers.into_iter().for_each(|server| server.join().unwrap());
        assert_eq!(woken.load(Ordering::SeqCst), SERVERS);
    });
}

#[test]
fn cancelled_server_handles_the_message_that_it_was_given() {
    on_any_number_of_workers(|| {
        for victim in [0, 1].repeat(50) {
            let (tx, rx) = bounded(4);
            let handled = Arc::new(AtomicUsize::new(0));
            let servers = [(); 2].map(|()| {
                let handled = handled.clone();
                serve(rx.clone(), move |_| _ = handled.fetch_add(1, Ordering::SeqCst))
            });
            drop(rx);
            sleep(Duration::from_millis(1));
            let sent = [1, 2].into_iter().filter(|&n| tx.send(n).is_ok()).count();
            servers[victim].cancel();
            drop(tx);
            servers.into_iter().for_each(|server| _ = server.join());
            assert_eq!(handled.load(Ordering::SeqCst), sent);
        }
    });
}
