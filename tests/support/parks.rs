//! Every way to park for ever, with the setup that it needs.

#[path = "io.rs"]
pub mod io;

use std::sync::Arc;
use std::time::Duration;

use kahn::channel::{after, bounded, broadcast, never, oneshot, tick, watch};
use kahn::sync::{Barrier, Condvar, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup};

const HOUR: Duration = Duration::from_secs(3600);

/// A name, and what parks for ever.
pub type Park = (&'static str, fn());

/// Parks that a cancel and a time-out end.
pub fn parks() -> Vec<Park> {
    let mut all = io::parks();
    all.extend(other_parks());
    all
}

fn other_parks() -> Vec<Park> {
    vec![
        ("send to nobody", || {
            let (tx, _rx) = bounded(0);
            tx.send(1).unwrap();
        }),
        ("send to a full channel", || {
            let (tx, _rx) = bounded(1);
            tx.send(1).unwrap();
            tx.send(2).unwrap();
        }),
        ("send with an endless time-out", || {
            let (tx, _rx) = bounded(0);
            tx.send_timeout(1, Duration::MAX).unwrap();
        }),
        ("reserve", || {
            let (tx, _rx) = bounded::<u32>(1);
            let _slot = tx.reserve();
            let _none = tx.reserve();
        }),
        ("receive", || {
            let (_tx, rx) = bounded::<u32>(3);
            let _ = rx.recv();
        }),
        ("receive at a rendezvous, with a time-out", || {
            let (_tx, rx) = bounded::<u32>(0);
            let _ = rx.recv_timeout(HOUR);
        }),
        ("receive many", || {
            let (_tx, rx) = bounded::<u32>(3);
            let _ = rx.recv_many(&mut Vec::new(), 2);
        }),
        ("iterate", || {
            let (_tx, rx) = bounded::<u32>(3);
            rx.iter().for_each(drop);
        }),
        ("select", || {
            let (tx, rx) = bounded::<u32>(0);
            kahn::channel::select! {
                recv(rx) -> _ => {},
                send(tx, 1) -> _ => {},
                recv(never::<()>()) -> _ => {},
            }
        }),
        ("select with a default of an hour", || {
            let (_tx, rx) = bounded::<u32>(0);
            kahn::channel::select_biased! {
                recv(rx) -> _ => {},
                default(HOUR) => {},
            }
        }),
        ("wait until ready", || {
            let (tx, rx) = bounded::<u32>(0);
            let mut select = kahn::channel::Select::new();
            select.recv(&rx);
            select.send(&tx);
            select.ready();
        }),
        ("lock", || {
            let lock = Mutex::new(0);
            let _held = lock.lock();
            let _never = lock.lock();
        }),
        ("read", || {
            let lock = RwLock::new(0);
            let _held = lock.write();
            let _never = lock.read();
        }),
        ("write", || {
            let lock = RwLock::new(0);
            let _held = lock.read();
            let _never = lock.write();
        }),
        ("condition", || {
            let (lock, condvar) = (Mutex::new(()), Condvar::new());
            let _ = condvar.wait(lock.lock().unwrap());
        }),
        ("condition with a time-out", || {
            let (lock, condvar) = (Mutex::new(()), Condvar::new());
            let _ = condvar.wait_timeout(lock.lock().unwrap(), HOUR);
        }),
        ("semaphore", || drop(Semaphore::new(1).acquire_many(2))),
        ("barrier", || _ = Barrier::new(2).wait()),
        ("once", || Once::new().wait()),
        ("once lock", || _ = OnceLock::<u32>::new().wait()),
        ("wait group", || {
            let group = WaitGroup::new();
            let _member = group.clone();
            group.wait();
        }),
        ("join", || {
            let (_tx, rx) = bounded::<u32>(0);
            let (done, is_done) = bounded::<()>(0);
            // Ends when we do.
            let child = kahn::spawn(move || {
                let _done = done;
                let _ = rx.recv();
            });
            child.join().unwrap();
            drop(is_done);
        }),
        ("scope", || {
            kahn::scope(|s| {
                s.spawn(|| kahn::sleep(Duration::MAX));
                s.spawn(|| kahn::thread::park());
            });
        }),
        ("join in a scope", || {
            kahn::scope(|s| {
                let child = s.spawn(|| kahn::sleep(HOUR));
                child.join().unwrap();
            });
        }),
        ("sleep for ever", || kahn::sleep(Duration::MAX)),
        ("sleep", || kahn::sleep(HOUR)),
        ("interval", || {
            let mut beat = kahn::time::interval(HOUR);
            beat.tick();
            beat.tick();
        }),
        ("park", || {
            loop {
                kahn::thread::park();
            }
        }),
        ("park with a time-out", || kahn::thread::park_timeout(Duration::MAX)),
        ("block on a future", || kahn::block_on(std::future::pending())),
        ("block on a receiver", || {
            let (_tx, rx) = bounded::<u32>(1);
            let _ = kahn::block_on(rx.recv_async());
        }),
        ("block on a sender", || {
            let (tx, _rx) = bounded::<u32>(0);
            let _ = kahn::block_on(tx.send_async(1));
        }),
        ("after", || _ = after(HOUR).recv()),
        ("tick", || _ = tick(HOUR).recv()),
        ("never", || _ = never::<u32>().recv()),
        ("broadcast, receiving", || {
            let (_tx, rx) = broadcast::<u32>(1);
            let _ = rx.recv();
        }),
        ("broadcast, sending", || {
            let (tx, _rx) = broadcast::<u32>(1);
            tx.send(1).unwrap();
            tx.send(2).unwrap();
        }),
        ("watch", || {
            let (_tx, rx) = watch(1);
            let _ = rx.changed();
        }),
        ("oneshot", || {
            let (_tx, rx) = oneshot::<u32>();
            let _ = rx.recv();
        }),
        ("oneshot, closing", || {
            let (tx, _rx) = oneshot::<u32>();
            tx.closed();
        }),
        ("within a longer bound", || {
            let _ = kahn::time::timeout(HOUR, || kahn::sleep(Duration::MAX));
        }),
        ("on the way in an initialiser", || {
            let cell = Arc::new(OnceLock::<u32>::new());
            cell.get_or_init(|| {
                kahn::sleep(HOUR);
                1
            });
        }),
    ]
}
