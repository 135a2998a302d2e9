//! A supervisor keeps nothing that grows: no record of children that are gone, or of restarts that are over.
//!
//! One test does all of this, because it counts the allocations of the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};
use std::time::Duration;

use kahn_actors::{Actor, Backoff, ChildSpec, ChildState, Context, ExitReason, Supervisor, SupervisorRef};

struct Counting;

static IN_USE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: as the system's, and counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size() as isize, SeqCst);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size() as isize, SeqCst);
        // SAFETY: passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Fails when it is told anything.
struct Fails;

impl Actor for Fails {
    type Message = ();

    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Err(ExitReason::Killed)
    }
}

/// What `f` leaves behind, if it is done `times` times, after it has been done once.
fn left(times: usize, mut f: impl FnMut(usize)) -> isize {
    f(0);
    let before = IN_USE.load(SeqCst);
    (1..=times).for_each(f);
    IN_USE.load(SeqCst) - before
}

fn fail(supervisor: &SupervisorRef, id: &str) {
    supervisor.actor_ref::<()>(id).unwrap().tell(()).unwrap();
}

#[test]
fn ended_children_and_restarts_leave_no_memory_behind() {
    kahn_core::Runtime::builder().workers(1).build().unwrap().run(|| {
        let supervisor = Supervisor::default().intensity(1_000, Duration::from_millis(1)).spawn();
        let waits = |number: usize| {
            let (id, backoff) = (number.to_string(), Backoff::constant(Duration::from_secs(3600)));
            supervisor.start_child(ChildSpec::new(&*id, || Fails).backoff(backoff)).unwrap();
            fail(&supervisor, &id);
            while supervisor.children()[0].state == ChildState::Running {
                kahn_core::yield_now();
            }
            supervisor.terminate_child(&id).unwrap();
            supervisor.delete_child(&id).unwrap();
        };
        let bytes = left(2_000, waits);
        assert!(bytes < 8_000, "2,000 children that were deleted while they waited left {bytes} bytes");
        supervisor.stop();

        // As many restarts as it likes, for ever.
        let supervisor = Supervisor::default()
            .intensity(usize::MAX, Duration::MAX)
            .child(ChildSpec::new("a", || Fails))
            .spawn();
        let restarts = || supervisor.children()[0].restarts;
        let restart = |number| {
            fail(&supervisor, "a");
            while restarts() != number as u64 + 1 {
                kahn_core::yield_now();
            }
        };
        let bytes = left(10_000, restart);
        assert!(bytes < 8_000, "10,000 restarts left {bytes} bytes");
        supervisor.stop();
    });
}
