//! What code in Rust relies on.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::Write;
use std::net::ToSocketAddrs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use crossbeam_epoch::{Atomic, Owned};

use crate::Scenario;
use crate::travel::{hop, hops};

pub const SCENARIOS: &[Scenario] = &[
    ("borrowed_thread_local", borrowed_thread_local),
    ("shared_rc", shared_rc),
    ("lazy_thread_local", lazy_thread_local),
    ("std_park", std_park),
    ("std_scope", std_scope),
    ("std_mpsc", std_mpsc),
    ("std_locks", std_locks),
    ("stdout_lock", stdout_lock),
    ("epoch_guard", epoch_guard),
    ("parking_lot_locks", parking_lot_locks),
    ("parking_lot_reentrant", parking_lot_reentrant),
    ("scoped_thread_local", scoped_thread_local),
    ("allocations", allocations),
    ("small_allocations", small_allocations),
    ("caught_panic", caught_panic),
    ("park_while_unwinding", park_while_unwinding),
    ("identity", identity),
    ("backtrace", backtrace),
    ("command", command),
    ("name_look_up", name_look_up),
];

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static LIST: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    static SHARED: Rc<Cell<u64>> = Rc::new(Cell::new(0));
}

fn borrowed_thread_local(n: u64) {
    COUNT.with(|count| {
        let before = count.get();
        LIST.with_borrow_mut(|list| {
            list.push(n);
            hops(n);
            assert!(LIST.with(|again| again.try_borrow().is_err()));
            assert_eq!(list.pop(), Some(n));
        });
        assert_eq!(count.get(), before);
        count.set(before + 1);
        hops(n / 2);
        COUNT.with(|again| assert!(std::ptr::eq(count, again)));
        assert_eq!(COUNT.get(), before + 1);
    });
}

fn shared_rc(n: u64) {
    let rc = SHARED.with(Rc::clone);
    let (strong, value) = (Rc::strong_count(&rc), rc.get());
    let more: Vec<_> = (0..n % 5).map(|_| Rc::clone(&rc)).collect();
    hops(n);
    assert_eq!(Rc::strong_count(&rc), strong + more.len());
    assert_eq!(rc.get(), value);
    rc.set(value + 1);
}

fn lazy_thread_local(n: u64) {
    thread_local! {
        // Its initializer parks, which only a home of one's own makes sound.
        static LAZY: Box<u64> = {
            hops(COUNT.get());
            Box::new(17)
        };
    }
    LAZY.with(|lazy| {
        hop(n);
        assert_eq!(**lazy, 17);
    });
}

fn std_park(n: u64) {
    let me = thread::current();
    let unparks = thread::spawn(move || me.unpark());
    if n % 2 == 0 {
        hop(n);
    }
    thread::park();
    unparks.join().unwrap();
}

fn std_scope(n: u64) {
    let mut values = [n; 4];
    thread::scope(|s| values.iter_mut().for_each(|value| drop(s.spawn(|| *value += 1))));
    hop(n);
    assert_eq!(values, [n + 1; 4]);
}

fn std_mpsc(n: u64) {
    let (to, from) = mpsc::channel();
    let (reply_to, replies) = mpsc::sync_channel(0);
    let echo = thread::spawn(move || from.iter().for_each(|value: u64| reply_to.send(value + 1).unwrap()));
    for i in 0..n % 5 {
        to.send(i).unwrap();
        hop(n + i);
        assert_eq!(replies.recv().unwrap(), i + 1);
    }
    drop(to);
    echo.join().unwrap();
}

fn std_locks(n: u64) {
    let lock = std::sync::Mutex::new(n);
    let shared = std::sync::RwLock::new(n);
    let mut guard = lock.lock().unwrap();
    let read = shared.read().unwrap();
    hops(n);
    *guard += *read;
    drop((guard, read));
    assert!(!lock.is_poisoned());
}

fn stdout_lock(n: u64) {
    // Other holders would block their workers, so there is one at a time.
    static ONE: kahn::sync::Mutex<()> = kahn::sync::Mutex::new(());
    let _one = ONE.lock().unwrap();
    let mut outer = std::io::stdout().lock();
    hops(n);
    let mut inner = std::io::stdout().lock();
    hop(n);
    writeln!(inner, "{n}").unwrap();
    drop(inner);
    hop(n);
    writeln!(outer, "{n}").unwrap();
}

fn epoch_guard(n: u64) {
    static SHARED: Atomic<u64> = Atomic::null();
    let guard = crossbeam_epoch::pin();
    let new = Owned::new(n % 1000);
    let old = SHARED.swap(new, Ordering::AcqRel, &guard);
    let seen = SHARED.load(Ordering::Acquire, &guard);
    hops(n);
    // SAFETY: both were loaded under this guard.
    unsafe {
        assert!(seen.deref() < &1000);
        if !old.is_null() {
            assert!(old.deref() < &1000);
            guard.defer_destroy(old);
        }
    }
    if n % 8 == 0 {
        guard.flush();
    }
}

fn parking_lot_locks(n: u64) {
    static LOCK: parking_lot::Mutex<u64> = parking_lot::Mutex::new(0);
    let mut guard = loop {
        match LOCK.try_lock() {
            Some(guard) => break guard,
            None => hop(0),
        }
    };
    *guard += 1;
    let before = *guard;
    hop(n);
    assert_eq!(*guard, before);
    drop(guard);
    // A wait of parking_lot's own: its parker belongs to the identity.
    let pair = (parking_lot::Mutex::new(false), parking_lot::Condvar::new());
    thread::scope(|s| {
        s.spawn(|| {
            *pair.0.lock() = true;
            pair.1.notify_one();
        });
        let mut ready = pair.0.lock();
        while !*ready {
            pair.1.wait(&mut ready);
        }
    });
}

fn parking_lot_reentrant(n: u64) {
    let lock = parking_lot::ReentrantMutex::new(Cell::new(0));
    let outer = lock.lock();
    hops(n);
    let inner = lock.lock();
    hop(n);
    inner.set(inner.get() + 1);
    drop(inner);
    hop(n);
    assert_eq!(outer.get(), 1);
    thread::scope(|s| {
        s.spawn(|| assert!(lock.try_lock().is_none()));
    });
}

fn scoped_thread_local(n: u64) {
    scoped_tls::scoped_thread_local!(static CONTEXT: u64);
    let outer = n;
    CONTEXT.set(&outer, || {
        hops(n);
        let inner = n + 1;
        CONTEXT.set(&inner, || {
            hops(n / 3);
            CONTEXT.with(|value| assert_eq!(*value, n + 1));
        });
        hops(n / 5);
        CONTEXT.with(|value| assert_eq!(*value, n));
    });
}

fn allocations(n: u64) {
    let mut map: HashMap<u64, Vec<u8>> = HashMap::new();
    for i in 0..20 {
        let size = usize::try_from((n >> i) % 9_000).unwrap();
        map.insert(i, vec![u8::try_from(i).unwrap(); size]);
        if i % 6 == 0 {
            hop(n + i);
        }
        if i % 3 == 2 {
            map.remove(&(i - 2));
        }
    }
    // The rest is freed on another thread, or in another home.
    let check = move || map.iter().for_each(|(i, bytes)| assert!(bytes.iter().all(|b| u64::from(*b) == *i)));
    match n % 3 {
        0 => thread::spawn(check).join().unwrap(),
        1 => kahn::spawn(check).join().unwrap(),
        _ => kahn::thread::Builder::new().exclusive_home(true).spawn(check).unwrap().join().unwrap(),
    }
}

fn small_allocations(n: u64) {
    let mut boxes: Vec<Box<[u64; 5]>> = Vec::new();
    for i in 0..400 {
        boxes.push(Box::new([n, i, n ^ i, i, n]));
        if i % 100 == 7 {
            hop(n + i);
        }
        if i % 2 == 1 {
            let index = usize::try_from(n % (boxes.len() as u64)).unwrap();
            drop(boxes.swap_remove(index));
        }
    }
    boxes.iter().for_each(|one| assert!(one[0] == n && one[2] == n ^ one[1] && one[1] == one[3]));
}

fn caught_panic(n: u64) {
    let caught = catch_unwind(|| {
        hops(n);
        resume_unwind(Box::new(n));
    });
    hop(n);
    assert_eq!(*caught.unwrap_err().downcast::<u64>().unwrap(), n);
    assert!(!thread::panicking());
}

fn park_while_unwinding(n: u64) {
    struct Parks<'a>(u64, &'a Cell<u32>);
    impl Drop for Parks<'_> {
        fn drop(&mut self) {
            assert!(thread::panicking());
            hops(self.0);
            assert!(thread::panicking());
            let inner = catch_unwind(|| {
                hop(self.0);
                resume_unwind(Box::new(1_u8));
            });
            assert!(inner.is_err() && thread::panicking());
            hop(self.0);
            self.1.set(self.1.get() + 1);
        }
    }
    let dropped = Cell::new(0);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _a = Parks(n, &dropped);
        let _b = Parks(n / 3, &dropped);
        resume_unwind(Box::new(n));
    }));
    assert_eq!(*caught.unwrap_err().downcast::<u64>().unwrap(), n);
    assert_eq!(dropped.get(), 2);
    assert!(!thread::panicking());
}

fn identity(n: u64) {
    let id = thread::current().id();
    // SAFETY: the call has no preconditions.
    let pthread = unsafe { libc::pthread_self() };
    hops(n);
    assert_eq!(thread::current().id(), id);
    assert_eq!(thread::current().name(), Some("lives"));
    // SAFETY: as above.
    assert_eq!(unsafe { libc::pthread_self() }, pthread);
}

fn backtrace(n: u64) {
    if n % 16 != 0 {
        return hop(n);
    }
    let trace = Backtrace::force_capture();
    hop(n);
    assert!(trace.to_string().contains("backtrace"));
}

fn command(n: u64) {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    if RUNNING.fetch_add(1, Ordering::Relaxed) < 2 {
        let mut child = Command::new("/bin/true").spawn().unwrap();
        hop(n);
        assert!(child.wait().unwrap().success());
        let output = Command::new("/bin/echo").arg("text").output().unwrap();
        assert_eq!(output.stdout, b"text\n");
    }
    RUNNING.fetch_sub(1, Ordering::Relaxed);
}

fn name_look_up(n: u64) {
    let mut all = ("localhost", 80).to_socket_addrs().unwrap();
    hop(n);
    assert!(all.all(|address| address.ip().is_loopback()));
}
