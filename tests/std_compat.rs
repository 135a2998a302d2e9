//! Everything in std's `thread`, `sync` and `time` that is stable in the oldest supported Rust exists in kahn, with
//! the same name and shape. One source text is compiled and run twice: with std's names and with kahn's.

#![allow(clippy::disallowed_methods, reason = "std's are what is compared with")]

/// The text. `$root` is the crate.
macro_rules! program {
    ($root:ident) => {
        use std::cell::{Cell, RefCell};
        use std::time::Duration as D;

        use $root::sync::*;
        use $root::thread::{self, *};
        use $root::time::{Duration, Instant, SystemTime, SystemTimeError, UNIX_EPOCH};

        /// The rest of what is shown is not the same in all versions of std.
        #[track_caller]
        fn shows(value: &dyn std::fmt::Debug, beginning: &str) {
            let shown = format!("{value:?}");
            assert!(shown.starts_with(beginning), "{shown}");
        }

        pub fn mutex() {
            static LOCK: Mutex<i32> = Mutex::new(1);
            let guard: LockResult<MutexGuard<'_, i32>> = LOCK.lock();
            let other: TryLockResult<MutexGuard<'_, i32>> = LOCK.try_lock();
            assert!(matches!(other, Err(TryLockError::WouldBlock)));
            shows(&LOCK, "Mutex");
            assert_eq!(format!("{0:?} {0}", guard.unwrap()), "1 1");
            let mut lock: Mutex<[i32; 2]> = [1, 2].into();
            lock.get_mut().unwrap()[0] = 3;
            let unsized_lock: &Mutex<[i32]> = &lock;
            assert_eq!(unsized_lock.lock().unwrap().len(), 2);
            let _ = std::panic::catch_unwind(|| {
                let _guard = lock.lock().unwrap();
                std::panic::resume_unwind(Box::new(1))
            });
            let error: PoisonError<MutexGuard<'_, _>> = lock.lock().unwrap_err();
            assert_eq!((error.get_ref()[0], error.into_inner()[1]), (3, 2));
            assert!(lock.is_poisoned());
            lock.clear_poison();
            assert_eq!(lock.into_inner().unwrap(), [3, 2]);
            assert_eq!(*Mutex::<u8>::default().lock().unwrap(), 0);
        }

        pub fn rwlock() {
            static LOCK: RwLock<i32> = RwLock::new(1);
            let one: LockResult<RwLockReadGuard<'_, i32>> = LOCK.read();
            let two: TryLockResult<RwLockReadGuard<'_, i32>> = LOCK.try_read();
            assert_eq!(format!("{} {:?}", one.unwrap(), two.unwrap()), "1 1");
            let writer: LockResult<RwLockWriteGuard<'_, i32>> = LOCK.write();
            let other: TryLockResult<RwLockWriteGuard<'_, i32>> = LOCK.try_write();
            assert!(matches!(other, Err(TryLockError::WouldBlock)));
            shows(&LOCK, "RwLock");
            assert_eq!(format!("{0:?} {0}", writer.unwrap()), "1 1");
            let mut lock: RwLock<u8> = 1.into();
            *lock.get_mut().unwrap() = 2;
            assert!(!lock.is_poisoned());
            lock.clear_poison();
            assert_eq!(lock.into_inner().unwrap() + *RwLock::<u8>::default().read().unwrap(), 2);
        }

        pub fn condvar() {
            static LOCK: Mutex<i32> = Mutex::new(1);
            static CHANGED: Condvar = Condvar::new();
            let soon = D::from_millis(1);
            let other = thread::spawn(|| {
                *LOCK.lock().unwrap() += 1;
                CHANGED.notify_all();
            });
            let mut guard = LOCK.lock().unwrap();
            while *guard == 1 {
                guard = CHANGED.wait(guard).unwrap();
            }
            let guard = CHANGED.wait_while(guard, |n| *n == 1).unwrap();
            let (guard, result) = CHANGED.wait_timeout_while(guard, soon, |n| *n == 2).unwrap();
            let _: WaitTimeoutResult = result;
            assert!(result.timed_out());
            let (_guard, _) = CHANGED.wait_timeout(guard, soon).unwrap();
            CHANGED.notify_one();
            shows(&result, "WaitTimeoutResult");
            shows(&Condvar::default(), "Condvar");
            other.join().unwrap();
        }

        pub fn once() {
            static ONCE: Once = Once::new();
            ONCE.call_once(|| ());
            ONCE.call_once_force(|state: &OnceState| assert!(!state.is_poisoned()));
            ONCE.wait();
            ONCE.wait_force();
            assert!(ONCE.is_completed());
            shows(&ONCE, "Once");

            static CELL: OnceLock<String> = OnceLock::new();
            assert_eq!((CELL.get(), CELL.set("one".into())), (None, Ok(())));
            assert_eq!(CELL.get_or_init(|| unreachable!()), CELL.wait());
            let mut cell: OnceLock<i32> = 1.into();
            *cell.get_mut().unwrap() += 1;
            assert!(cell.clone() == cell);
            shows(&cell, "OnceLock(2)");
            assert_eq!((cell.take(), cell.into_inner()), (Some(2), None));
            shows(&OnceLock::<i32>::default(), "OnceLock");

            static LAZY: LazyLock<i32> = LazyLock::new(|| 7);
            assert_eq!((*LAZY, *LazyLock::force(&LAZY)), (7, 7));
            shows(&*LAZY, "7");
            shows(&LAZY, "LazyLock(7)");
            shows(&LazyLock::<i32>::default(), "LazyLock");
        }

        pub fn barrier() {
            let barrier = Barrier::new(1);
            let result: BarrierWaitResult = barrier.wait();
            assert!(result.is_leader());
            shows(&barrier, "Barrier");
            shows(&result, "BarrierWaitResult");
        }

        pub fn threads() {
            let builder: Builder = Builder::new().name("named".into()).stack_size(256 << 10);
            shows(&builder, "Builder");
            let handle: JoinHandle<usize> = builder.spawn(|| thread::current().name().unwrap().len()).unwrap();
            let other: Thread = handle.thread().clone();
            other.unpark();
            let _: bool = handle.is_finished();
            let value: thread::Result<usize> = handle.join();
            assert_eq!((value.unwrap(), other.name()), (5, Some("named")));
            let id: ThreadId = thread::current().id();
            assert_ne!(id, other.id());
            assert!(std::collections::HashSet::from([id]).contains(&id));
            shows(&other, "Thread");
            shows(&id, "ThreadId");
            assert!(!thread::panicking());
            thread::yield_now();
            thread::sleep(D::ZERO);
            thread::current().unpark();
            thread::park();
            thread::park_timeout(D::ZERO);
            assert!(thread::available_parallelism().unwrap().get() > 0);
            assert!(thread::spawn(|| -> () { std::panic::resume_unwind(Box::new(1)) }).join().is_err());
        }

        pub fn scopes() {
            fn more<'scope>(s: &'scope Scope<'scope, '_>) -> ScopedJoinHandle<'scope, i32> {
                s.spawn(move || s.spawn(|| 1).join().unwrap() + 1)
            }
            let words = vec![1, 2];
            let mut changed = 0;
            let sum = thread::scope(|s| {
                s.spawn(|| changed = 1);
                let named = Builder::new().name("scoped".into()).spawn_scoped(s, || words.len() as i32).unwrap();
                assert_eq!(named.thread().name(), Some("scoped"));
                let _: bool = named.is_finished();
                more(s).join().unwrap() + named.join().unwrap()
            });
            assert_eq!((sum, changed), (4, 1));
        }

        pub fn locals() {
            static_keys!($root);
            fn access() -> std::result::Result<usize, AccessError> {
                TEXT.try_with(String::len)
            }
            assert_eq!((TEXT.with(String::len), access()), (4, Ok(4)));
            assert_eq!((CELL.get(), CELL.replace(2), CELL.take()), (1, 1, 2));
            CELL.set(3);
            assert_eq!(REF.replace(vec![2]), [1]);
            REF.with_borrow_mut(|list| list.push(3));
            assert_eq!((REF.with_borrow(Vec::len), REF.take()), (2, vec![2, 3]));
            REF.set(vec![]);
            let _: &LocalKey<String> = &TEXT;
        }

        pub fn time() {
            let _: (Duration, Instant) = (Duration::ZERO, Instant::now());
            let since: std::result::Result<D, SystemTimeError> = SystemTime::now().duration_since(UNIX_EPOCH);
            assert!(since.is_ok());
        }

        /// For each type: whether it is `UnwindSafe`, `RefUnwindSafe`, `Send`, `Sync`, `Unpin`.
        pub fn marks() -> Vec<(&'static str, [bool; 5])> {
            type C = Cell<i32>;
            type R = std::rc::Rc<i32>;
            type A<'a> = &'a mut i32;
            marks![
                Mutex<C>, MutexGuard<'static, i32>, MutexGuard<'static, C>, MutexGuard<'static, R>,
                RwLock<C>, RwLock<R>, RwLockReadGuard<'static, i32>, RwLockReadGuard<'static, C>,
                RwLockWriteGuard<'static, i32>, RwLockWriteGuard<'static, C>,
                Condvar, WaitTimeoutResult, Barrier, BarrierWaitResult, Once,
                OnceLock<i32>, OnceLock<C>, OnceLock<A<'static>>, OnceLock<R>,
                LazyLock<i32>, LazyLock<C>, LazyLock<A<'static>>, LazyLock<i32, Box<dyn FnOnce() -> i32 + Send>>,
                Thread, ThreadId, Builder, LocalKey<i32>, LocalKey<C>, LocalKey<R>, AccessError,
                Scope<'static, 'static>, ScopedJoinHandle<'static, i32>, ScopedJoinHandle<'static, R>,
            ]
        }

        pub const ALL: &[fn()] = &[mutex, rwlock, condvar, once, barrier, threads, scopes, locals, time];
    };
}

/// Keys, which are made by macros of two names.
macro_rules! static_keys {
    (std) => {
        keys!(std::thread_local)
    };
    (kahn) => {
        keys!(kahn::thread::local)
    };
}
macro_rules! keys {
    ($($local:tt)*) => {
        $($local)*! {}
        $($local)*! {
            static CELL: Cell<u32> = const { Cell::new(1) };
            #[allow(dead_code)]
            pub(crate) static REF: RefCell<Vec<u32>> = RefCell::new(vec![1]);
            /// Documented.
            pub static TEXT: String = "text".into()
        }
    };
}

/// Whether a type has a trait: its own constant goes before that of the trait.
macro_rules! has {
    ($type:ty: $trait:path) => {{
        struct Of<T: ?Sized>(#[allow(dead_code)] std::marker::PhantomData<T>);
        #[allow(dead_code)]
        trait Otherwise {
            const HAS: bool = false;
        }
        impl<T: ?Sized> Otherwise for Of<T> {}
        #[allow(dead_code)]
        impl<T: ?Sized + $trait> Of<T> {
            const HAS: bool = true;
        }
        Of::<$type>::HAS
    }};
}
macro_rules! marks {
    ($($type:ty),* $(,)?) => {
        vec![$((stringify!($type), [
            has!($type: std::panic::UnwindSafe), has!($type: std::panic::RefUnwindSafe),
            has!($type: Send), has!($type: Sync), has!($type: Unpin),
        ])),*]
    };
}

mod with_std {
    program!(std);
}

mod with_kahn {
    program!(kahn);
}

/// Again, for green threads: it has statics, which are set once.
mod in_green_threads {
    program!(kahn);
}

#[test]
fn program_for_std_runs_on_both() {
    with_std::ALL.iter().for_each(|part| part());
    with_kahn::ALL.iter().for_each(|part| part());
    kahn::run(|| in_green_threads::ALL.iter().for_each(|part| part()));
}

#[test]
fn auto_traits_are_those_of_std() {
    assert_eq!(with_kahn::marks(), with_std::marks());
    assert_eq!(in_green_threads::marks(), with_std::marks());
}

/// Where std is stricter than it has to be, or has no such type.
#[test]
fn unwind_safe_types_are_those_of_std() {
    fn safe<T: std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    safe::<kahn::Runtime>();
    safe::<kahn::thread::JoinHandle<std::cell::Cell<i32>>>();
    safe::<kahn::sync::Semaphore>();
    safe::<kahn::sync::Permit<'static>>();
    safe::<kahn::sync::WaitGroup>();
}

#[test]
fn deadlock_report_is_an_error() {
    fn error<T: std::error::Error + Send + Sync + 'static>() {}
    error::<kahn::runtime::DeadlockReport>();
    error::<kahn::runtime::ShutdownError>();
    error::<kahn::thread::JoinError>();
    error::<kahn::thread::AccessError>();
    error::<kahn::time::Elapsed>();
}
