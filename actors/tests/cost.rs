//! The cost of actors: bytes while they are idle, and allocations for tells and asks.
//!
//! One test does all of this, because it counts the allocations of the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use kahn_actors::{Actor, ActorRef, Context, ExitReason, Reply, spawn};
use kahn_core::Runtime;

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// What glibc's allocator takes for a request: eight bytes more, rounded up to sixteen.
fn taken(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16).max(32)
}

// SAFETY: as the system's, and counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, SeqCst);
        BYTES.fetch_add(taken(layout), SeqCst);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        BYTES.fetch_sub(taken(layout), SeqCst);
        // SAFETY: passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Sum(u64);

enum Message {
    Add(u64),
    Get(Reply<u64>),
}

impl Actor for Sum {
    type Message = Message;

    fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Add(n) => self.0 += n,
            Message::Get(reply) => drop(reply.send(self.0)),
        }
        Ok(())
    }
}

#[test]
fn actors_are_small_and_tells_and_asks_do_not_allocate() {
    Runtime::builder().workers(1).build().unwrap().run(|| {
        // 1. Idle, each having answered.
        const MANY: usize = 10_000;
        spawn(Sum(0)).ask(Message::Get).unwrap();
        let before = BYTES.load(SeqCst);
        let mut actors: Vec<ActorRef<Message>> = Vec::with_capacity(MANY);
        actors.extend((0..MANY).map(|n| spawn(Sum(n as u64))));
        for (n, actor) in actors.iter().enumerate() {
            assert_eq!(actor.ask(Message::Get), Ok(n as u64));
        }
        let each = (BYTES.load(SeqCst) - before) / MANY;
        assert!(each <= 264, "{each} bytes an actor, its reference included");
        // 2. Told and asked, at home.
        let actor = &actors[0];
        let calls = CALLS.load(SeqCst);
        for _ in 0..1000 {
            actor.tell(Message::Add(1)).unwrap_or_else(|_| panic!("it has ended"));
            while !actor.is_empty() {
                kahn_core::yield_now();
            }
        }
        assert_eq!(CALLS.load(SeqCst) - calls, 0, "allocations for 1000 tells");
        let calls = CALLS.load(SeqCst);
        (0..1000).for_each(|_| assert_eq!(actor.ask(Message::Get), Ok(1000)));
        assert_eq!(CALLS.load(SeqCst) - calls, 0, "allocations for 1000 asks");
        // 3. A burst: the buffer grows, and is given back.
        let before = BYTES.load(SeqCst);
        (0..100).for_each(|_| actor.tell(Message::Add(1)).unwrap_or_else(|_| panic!("it has ended")));
        assert!(BYTES.load(SeqCst) > before);
        assert_eq!(actor.ask(Message::Get), Ok(1100));
        assert_eq!(BYTES.load(SeqCst), before);
    });
}
