//! What safe code may rely on across a park: a green thread keeps its OS thread, and everything that belongs to
//! that OS thread.

mod support;

use std::cell::{Cell, RefCell};
use std::os::unix::process::ExitStatusExt;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn::channel::bounded;
use kahn::thread;
use support::{Counter, child_command, is_child, rounds, runtime, stderr, with_each_size, within};

/// Parks in one of several ways, and lets another green thread in between.
fn park_somehow(i: usize) {
    match i % 6 {
        0 => kahn::yield_now(),
        1 => kahn::sleep(Duration::from_micros(50)),
        2 => kahn::spawn(|| ()).join().unwrap(),
        3 => {
            let (tx, rx) = bounded(0);
            kahn::spawn(move || tx.send(1).unwrap());
            assert_eq!(rx.recv(), Ok(1));
        }
        4 => kahn::blocking(|| ()),
        _ => {
            let me = thread::current();
            kahn::spawn(move || me.unpark());
            thread::park();
        }
    }
}

#[test]
fn rc_lives_across_parks() {
    with_each_size(|| {
        let handles: Vec<_> = (0..rounds(100))
            .map(|seed| {
                kahn::spawn(move || {
                    let shared = Rc::new(Cell::new(0));
                    for i in 0..30 {
                        let other = shared.clone();
                        park_somehow(seed + i);
                        other.set(other.get() + 1);
                    }
                    assert_eq!((shared.get(), Rc::strong_count(&shared)), (30, 1));
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

/// The address of a thread-local of std's, and what a green thread finds behind it, are the same after every park.
#[test]
fn thread_local_is_the_same_after_a_park() {
    thread_local! {
        static COUNTS: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }
    with_each_size(|| {
        let handles: Vec<_> = (0..rounds(100))
            .map(|seed| {
                kahn::spawn(move || {
                    let index = COUNTS.with_borrow_mut(|counts| {
                        counts.push(0);
                        counts.len() - 1
                    });
                    let address = COUNTS.with(|counts| std::ptr::from_ref(counts).addr());
                    let home = std::thread::current().id();
                    for i in 0..30 {
                        park_somehow(seed + i);
                        assert_eq!(COUNTS.with(|counts| std::ptr::from_ref(counts).addr()), address);
                        COUNTS.with_borrow_mut(|counts| counts[index] += 1);
                        assert_eq!(COUNTS.with_borrow(|counts| counts[index]), i + 1);
                        assert_eq!(std::thread::current().id(), home);
                    }
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

/// A guard of a thread-local `RefCell` held across a park: green threads of this OS thread find it borrowed, others
/// do not.
#[test]
fn borrow_of_a_thread_local_is_held_across_a_park() {
    thread_local! {
        static CELL: RefCell<usize> = const { RefCell::new(0) };
    }
    let runtime = runtime(1);
    within("one worker", || {
        runtime.run(|| {
            let (tx, rx) = bounded(0);
            let holder = kahn::spawn(move || {
                CELL.with_borrow_mut(|value| {
                    rx.recv().unwrap();
                    *value += 1;
                    rx.recv().unwrap();
                });
            });
            tx.send(()).unwrap();
            assert!(CELL.with(|cell| cell.try_borrow().is_err()));
            tx.send(()).unwrap();
            holder.join().unwrap();
            assert_eq!(CELL.with_borrow(|value| *value), 1);
        });
    });
}

/// `spawn_local` keeps to its worker, so what it captures and answers need not be `Send`.
#[test]
fn local_green_thread_shares_what_is_not_send() {
    with_each_size(|| {
        for round in 0..rounds(50) {
            let shared = Rc::new(RefCell::new(Vec::new()));
            let home = std::thread::current().id();
            let handles: Vec<_> = (0..8)
                .map(|i| {
                    let shared = shared.clone();
                    kahn::spawn_local(move || {
                        park_somehow(round + i);
                        assert_eq!(std::thread::current().id(), home);
                        shared.borrow_mut().push(i);
                        Rc::new(i)
                    })
                })
                .collect();
            let sum: usize = handles.into_iter().map(|handle| *handle.join().unwrap()).sum();
            assert_eq!((sum, shared.borrow().len(), Rc::strong_count(&shared)), (28, 8, 1));
        }
    });
}

/// A local green thread whose handle is dropped, or that is cancelled: its `Rc`s are dropped on its own OS thread.
#[test]
fn values_that_are_not_send_are_dropped_on_their_worker() {
    struct Homely(std::thread::ThreadId, Rc<Cell<usize>>);
    impl Drop for Homely {
        fn drop(&mut self) {
            assert_eq!(std::thread::current().id(), self.0, "dropped on another OS thread");
            self.1.set(self.1.get() + 1);
        }
    }
    with_each_size(|| {
        let drops = Rc::new(Cell::new(0));
        let homely = || Homely(std::thread::current().id(), drops.clone());
        let n = rounds(200);
        for i in 0..n {
            let (captured, answered) = (homely(), homely());
            let handle = kahn::spawn_local(move || {
                let _captured = captured;
                park_somehow(i);
                answered
            });
            match i % 4 {
                0 => drop(handle),
                1 => drop(handle.join()),
                2 => handle.cancel(),
                _ => {
                    kahn::yield_now();
                    handle.cancel();
                    drop(handle.join());
                }
            }
        }
        support::until("all are dropped", || drops.get() == 2 * n);
    });
}

/// A receiver is `Send`; what it has received need not stay so while the green thread waits for the next.
#[test]
fn received_values_may_become_parts_of_values_that_are_not_send() {
    with_each_size(|| {
        let (tx, rx) = bounded(1);
        let consumer = kahn::spawn(move || {
            enum Link {
                Node(
                    #[expect(dead_code, reason = "only to be held")] usize,
                    #[expect(dead_code, reason = "only to be held")] Option<Rc<Link>>,
                ),
            }
            let mut links: Option<Rc<Link>> = None;
            let mut count = 0;
            for value in rx {
                links = Some(Rc::new(Link::Node(value, links.take())));
                count += 1;
            }
            drop(links);
            count
        });
        for i in 0..1000 {
            tx.send(i).unwrap();
        }
        drop(tx);
        assert_eq!(consumer.join().unwrap(), 1000);
    });
}

/// A scope waits for children that borrow, whatever else happens: panics, cancels of children, a cancel of itself.
#[test]
fn scope_outlives_its_borrows() {
    with_each_size(|| {
        for round in 0..rounds(300) {
            let inside = std::sync::Arc::new(AtomicUsize::new(0));
            let counter = Counter::new();
            let (inner, count) = (inside.clone(), counter.clone());
            let parent = kahn::spawn(move || {
                let data = vec![count.make(), count.make(), count.make()];
                let (data, inner) = (&data, &inner);
                kahn::scope(|s| {
                    for i in 0..6 {
                        let handle = s.spawn(move || {
                            inner.fetch_add(1, SeqCst);
                            let _leave = support::OnDrop(|| {
                                // What is borrowed is there to the end, also while unwinding.
                                assert_eq!(data.len(), 3);
                                inner.fetch_sub(1, SeqCst);
                            });
                            for j in 0..4 {
                                park_somehow(i + j + round);
                                if (i + round) % 7 == 0 && j == 2 {
                                    std::panic::resume_unwind(Box::new("on purpose"));
                                }
                            }
                        });
                        if (i + round) % 3 == 0 {
                            handle.cancel();
                        }
                        if (i + round) % 5 == 0 {
                            drop(handle.join());
                        }
                    }
                    if round % 4 == 0 {
                        std::panic::resume_unwind(Box::new("the body, on purpose"));
                    }
                });
            });
            let mut random = support::Random::new(round as u64);
            for _ in 0..random.below(30) {
                kahn::yield_now();
            }
            if round % 2 == 0 {
                parent.cancel();
            }
            drop(parent.join());
            assert_eq!(inside.load(SeqCst), 0, "a child was left behind");
            counter.assert_all_gone();
        }
    });
}

#[test]
fn scope_of_local_green_threads_borrows_what_is_not_send() {
    with_each_size(|| {
        let cell = Cell::new(0);
        kahn::scope(|s| {
            for i in 0..10 {
                let cell = &cell;
                s.spawn_local(move || {
                    park_somehow(i);
                    cell.set(cell.get() + 1);
                });
            }
        });
        assert_eq!(cell.get(), 10);
    });
}

/// A green thread may use the stack that it was given, many at once, again and again.
#[test]
fn recursion_within_the_stack_is_fine() {
    #[inline(never)]
    fn deep(levels: usize, parks: bool) -> usize {
        let frame = std::hint::black_box([levels as u8; 512]);
        if levels == 0 {
            if parks {
                kahn::yield_now();
            }
            return 0;
        }
        let below = deep(levels - 1, parks);
        // Read after the call, so that the frame has to be there.
        assert_eq!(frame[levels % 512], levels as u8);
        below + 1
    }
    with_each_size(|| {
        for _ in 0..3 {
            let handles: Vec<_> = (0..40)
                .map(|i| {
                    thread::Builder::new()
                        .stack_size(if i % 2 == 0 { 256 << 10 } else { 1 << 20 })
                        .spawn(move || deep(if i % 2 == 0 { 200 } else { 900 }, i % 3 == 0))
                        .unwrap()
                })
                .collect();
            let sum: usize = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
            assert_eq!(sum, 20 * 200 + 20 * 900);
        }
    });
}

/// Why this is forbidden: see "Known limits of soundness". The check is there to be turned on.
#[test]
fn check_finds_a_park_inside_a_thread_local_initializer() {
    const TEST: &str = "check_finds_a_park_inside_a_thread_local_initializer";
    thread_local! {
        static SLEEPS: usize = { kahn::sleep(Duration::from_millis(1)); 7 };
        static YIELDS: usize = { kahn::yield_now(); 7 };
        static RECEIVES: usize = bounded::<usize>(0).1.recv_timeout(Duration::from_millis(1)).unwrap_or(7);
        static WAITS: usize = {
            let (tx, rx) = bounded(0);
            let child = kahn::spawn(move || tx.send(7));
            let value = rx.recv().unwrap();
            child.join().unwrap().unwrap();
            value
        };
    }
    type Part = (&'static str, fn() -> usize);
    let parts: [Part; 4] = [
        ("sleeps", || SLEEPS.with(|n| *n)),
        ("yields", || YIELDS.with(|n| *n)),
        ("receives", || RECEIVES.with(|n| *n)),
        ("waits", || WAITS.with(|n| *n)),
    ];
    if let Some((_, part)) = parts.iter().find(|(name, _)| is_child(name)) {
        assert_eq!(runtime(1).run(part), 7);
        return;
    }
    for (name, _) in parts {
        let mut command = child_command(TEST, name);
        command.env("KAHN_CHECK", "other, thread_locals");
        let output = support::output_of(command);
        let text = stderr(&output);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{name}: {text}");
        assert!(text.contains("parks inside the initialiser of a `thread_local!`"), "{name}: {text}");
        assert!(text.contains("tests/soundness.rs:"), "{name}: {text}");
        // Without the check nothing looks.
        assert!(support::child(TEST, name).status.success());
    }
}

/// With the check, all else goes on as ever, on the smallest stacks, too.
#[test]
fn check_for_parks_in_initializers_reports_nothing_else() {
    const TEST: &str = "check_for_parks_in_initializers_reports_nothing_else";
    thread_local!(static LAZY: RefCell<Vec<usize>> = RefCell::new(vec![7]));
    kahn::thread::local!(static GREEN: usize = { kahn::yield_now(); 7 });
    thread_local!(static PARKS: usize = { kahn::yield_now(); 7 });
    if is_child(TEST) {
        // No other green thread comes to the values of a home that belongs to one.
        match kahn::thread::Builder::new().exclusive_home(true).spawn(|| PARKS.with(|n| *n)) {
            Ok(own) => assert_eq!(own.join().unwrap(), 7),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
        }
        for stack in [64 << 10, 256 << 10] {
            let runtime = kahn::Runtime::builder().workers(2).stack_size(stack).build().unwrap();
            let handles: Vec<_> = (0..200)
                .map(|i| {
                    runtime.spawn(move || {
                        for _ in 0..10 {
                            park_somehow(i);
                            LAZY.with(|lazy| {
                                let seen = lazy.borrow().len();
                                kahn::yield_now();
                                seen
                            });
                            assert_eq!(GREEN.with(|n| *n), 7);
                        }
                    })
                })
                .collect();
            handles.into_iter().for_each(|handle| handle.join().unwrap());
        }
        return;
    }
    let mut command = child_command(TEST, TEST);
    command.env("KAHN_CHECK", "thread_locals");
    let output = support::output_of(command);
    assert!(output.status.success(), "{:?}: {}", output.status, stderr(&output));
}
