//! `local!` keys on green threads and on OS threads: the interface of std's keys, and the end of the values.
#![cfg(not(any(kahn_loom, kahn_threads, miri)))]

use std::cell::{Cell, RefCell};
use std::panic::{catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use kahn_core::thread::AccessError;

type Log = Arc<Mutex<Vec<&'static str>>>;

/// Runs `f` to its end and beyond, the dropping of its values, on either kind of thread. Answers what is in the log
/// then.
fn on_each_kind(f: fn(&Log)) -> [Vec<&'static str>; 2] {
    let take = |log: Log| Arc::into_inner(log).expect("all else is gone").into_inner().unwrap();
    let green = Log::default();
    kahn_core::run(|| {
        let log = green.clone();
        kahn_core::spawn(move || f(&log)).join().unwrap();
    });
    let os = Log::default();
    let log = os.clone();
    std::thread::spawn(move || f(&log)).join().unwrap();
    [take(green), take(os)]
}

/// Says when it is dropped, and then does `more`.
struct Noted(&'static str, Log, fn(&Log));

impl Drop for Noted {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(self.0);
        (self.2)(&self.1);
    }
}

type Slot = RefCell<Option<Noted>>;

kahn_core::local! {
    static FIRST: Slot = const { RefCell::new(None) };
    static SECOND: Slot = RefCell::new(None);
    static THIRD: Slot = RefCell::new(None)
}

#[test]
fn youngest_value_is_dropped_first() {
    let dropped = on_each_kind(|log| {
        FIRST.set(Some(Noted("first", log.clone(), |_| ())));
        SECOND.set(Some(Noted("second", log.clone(), |_| ())));
        THIRD.set(Some(Noted("third", log.clone(), |_| ())));
        // Not made anew, so no younger than before.
        FIRST.with_borrow_mut(|first| first.as_mut().unwrap().0 = "first, changed");
    });
    for dropped in dropped {
        assert_eq!(dropped, ["third", "second", "first, changed"]);
    }
}

#[test]
fn panic_in_a_destructor_ends_there() {
    let dropped = on_each_kind(|log| {
        FIRST.set(Some(Noted("first", log.clone(), |_| ())));
        SECOND.set(Some(Noted("second", log.clone(), |_| resume_unwind(Box::new("on purpose")))));
        THIRD.set(Some(Noted("third", log.clone(), |_| resume_unwind(Box::new("on purpose")))));
    });
    for dropped in dropped {
        assert_eq!(dropped, ["third", "second", "first"]);
    }
}

#[test]
fn destructor_may_use_keys_and_park() {
    let dropped = on_each_kind(|log| {
        FIRST.set(Some(Noted("first", log.clone(), |_| ())));
        SECOND.set(Some(Noted("second", log.clone(), |log| {
            kahn_core::spawn(|| ()).join().unwrap();
            // There, and for the next round to drop.
            assert!(FIRST.with_borrow(Option::is_none));
            FIRST.set(Some(Noted("first again", log.clone(), |log| {
                SECOND.set(Some(Noted("second again", log.clone(), |_| ())));
            })));
        })));
    });
    for dropped in dropped {
        assert_eq!(dropped, ["second", "first", "first again", "second again"]);
    }
}

/// The values of its key's destructors that only make more are leaked in the end, and the thread ends.
#[test]
fn destructors_that_never_end_are_cut_off() {
    fn again(log: &Log) {
        FIRST.set(Some(Noted("again", log.clone(), again)));
    }
    let count = |on: fn(fn())| {
        static LOG: Mutex<Option<Log>> = Mutex::new(None);
        let log = Log::default();
        *LOG.lock().unwrap() = Some(log.clone());
        on(|| again(LOG.lock().unwrap().as_ref().unwrap()));
        log.lock().unwrap().len()
    };
    assert_eq!(count(|f| std::thread::spawn(f).join().unwrap()), 5);
    assert_eq!(count(|f| kahn_core::run(move || kahn_core::spawn(f).join().unwrap())), 5);
}

/// An OS thread's other thread-locals that are dropped later find that the values are gone.
#[test]
fn access_after_the_end_is_an_error() {
    struct Late(Arc<Mutex<Option<Result<(), AccessError>>>>);
    impl Drop for Late {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = Some(FIRST.try_with(|_| ()));
        }
    }
    thread_local! {
        static BEFORE: RefCell<Option<Late>> = const { RefCell::new(None) };
        static AFTER: RefCell<Option<Late>> = const { RefCell::new(None) };
    }
    let found = [(); 2].map(|()| Arc::new(Mutex::new(None)));
    let [before, after] = found.clone();
    std::thread::spawn(move || {
        BEFORE.set(Some(Late(before)));
        FIRST.with(|_| ());
        AFTER.set(Some(Late(after)));
    })
    .join()
    .unwrap();
    // Std does not say which goes first: one of the two comes after ours.
    let found = found.map(|found| found.lock().unwrap().expect("it was dropped"));
    let error = found.iter().find_map(|found| found.err()).expect("one comes after ours");
    assert_eq!(error.to_string(), "the thread's local values have been dropped");
}

#[test]
fn cell_and_refcell_keys_have_stds_methods() {
    kahn_core::local! {
        static CELL: Cell<u32> = Cell::new(1);
        static REF: RefCell<Vec<u32>> = RefCell::new(vec![1]);
        static UNTOUCHED: Cell<u32> = panic!("it is set first");
        static UNTOUCHED_REF: RefCell<u32> = panic!("it is set first");
    }
    let check = || {
        assert_eq!((CELL.get(), CELL.replace(2), CELL.take(), CELL.get()), (1, 1, 2, 0));
        assert_eq!(REF.replace(vec![2]), [1]);
        assert_eq!(REF.take(), [2]);
        REF.set(vec![3]);
        REF.with_borrow_mut(|vec| vec.push(4));
        assert_eq!(REF.with_borrow(Vec::len), 2);
        // As in std, the first `set` asks no initialiser.
        UNTOUCHED.set(5);
        UNTOUCHED_REF.set(6);
        assert_eq!((UNTOUCHED.get(), UNTOUCHED_REF.take()), (5, 6));
        REF.with_borrow(|_| assert!(catch_unwind(|| REF.set(vec![])).is_err(), "it is borrowed"));
    };
    std::thread::spawn(check).join().unwrap();
    kahn_core::run(|| kahn_core::spawn(check).join().unwrap());
}

/// An initialiser that uses its own key: the value that is made last is the one.
#[test]
fn initializer_may_use_its_own_key() {
    thread_local! { static DEPTH: Cell<u32> = const { Cell::new(0) } }
    kahn_core::local! {
        static KEY: Cell<u32> = {
            DEPTH.set(DEPTH.get() + 1);
            Cell::new(if DEPTH.get() < 3 { KEY.get() + 1 } else { 10 })
        };
    }
    std::thread::spawn(|| {
        assert_eq!(KEY.get(), 12);
        KEY.with(|key| assert_eq!(key.replace(1), 12));
        assert_eq!(KEY.get(), 1);
    })
    .join()
    .unwrap();
}

mod inner {
    kahn_core::local! {}
    kahn_core::local! {
        /// Documented.
        #[allow(dead_code, reason = "shows that a key takes attributes")]
        pub(crate) static SHARED: u32 = 7;
        #[cfg(any())]
        static LEFT_OUT: NoSuchType = no_such_value;
        pub(super) static OTHER: u32 = { let seven = 7; seven + 1 }
    }
}

#[test]
fn macro_accepts_the_forms_of_stds() {
    assert_eq!(inner::SHARED.with(|n| *n) + inner::OTHER.with(|n| *n), 15);
}
