//! A tree of a thousand actors under load, with a kill or a panic every millisecond. At the end every message was
//! handled once, in the order of its sender, or was in hand when its actor ended, or was a dead letter. Every actor
//! is there and replies, and the process uses no more memory than at the beginning.
//!
//! Runs for two seconds, or for `KAHN_CHAOS_SECONDS`.

mod support;

use std::alloc::{GlobalAlloc, Layout, System as Std};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kahn_actors::{
    Actor, ActorRef, AskError, ChildSpec, Context, ExitReason, Reply, Restart, Strategy, Supervisor,
    SupervisorRef, TellError, dead_letters,
};

/// Supervisors, and actors below each.
const UPPER: usize = 10;
const LOWER: usize = 100;
const CLIENTS: usize = 8;

/// What is allocated and not freed.
struct Counting;

static IN_USE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: std's allocator, with a sum kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size() as isize, SeqCst);
        // SAFETY: the caller's promise is passed on.
        unsafe { Std.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size() as isize, SeqCst);
        // SAFETY: as above.
        unsafe { Std.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What became of the messages.
#[derive(Default)]
struct Fates {
    made: AtomicU64,
    handled: AtomicU64,
    /// In hand when the actor ended.
    cut_short: AtomicU64,
    /// Dropped without having been in hand.
    dropped: AtomicU64,
    /// Handed back to the sender, as the actor had ended.
    refused: AtomicU64,
    /// Handed back to the sender, as the mailbox was full.
    full: AtomicU64,
    /// By sender and actor, the last message that was in hand.
    last: Vec<[AtomicU64; CLIENTS]>,
}

struct Token {
    fates: Arc<Fates>,
    stage: Stage,
}

enum Stage {
    Sent,
    InHand,
    Over,
}

impl Token {
    fn new(fates: &Arc<Fates>) -> Token {
        fates.made.fetch_add(1, SeqCst);
        Token { fates: fates.clone(), stage: Stage::Sent }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let count = match self.stage {
            Stage::Sent => &self.fates.dropped,
            Stage::InHand => &self.fates.cut_short,
            Stage::Over => return,
        };
        count.fetch_add(1, SeqCst);
    }
}

enum What {
    Number { client: usize, number: u64 },
    Ask(Reply<u64>),
    Panic,
}

struct Message(Token, What);

struct Leaf {
    place: usize,
}

impl Actor for Leaf {
    type Message = Message;

    fn handle(&mut self, Message(mut token, what): Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
        token.stage = Stage::InHand;
        match what {
            What::Number { client, number } => {
                let before = token.fates.last[self.place][client].swap(number, SeqCst);
                // Aborts: a panic is nothing special here.
                if before >= number {
                    eprintln!("actor {} had message {number} of client {client} after {before}", self.place);
                    std::process::abort();
                }
                match number % 64 {
                    0 => kahn_core::sleep(Duration::from_micros(number % 100)),
                    n if n % 4 == 0 => kahn_core::yield_now(),
                    _ => {}
                }
            }
            What::Ask(reply) => {
                kahn_core::yield_now();
                let _ = reply.send(token.fates.handled.load(SeqCst));
            }
            What::Panic => std::panic::resume_unwind(Box::new("chaos")),
        }
        token.stage = Stage::Over;
        token.fates.handled.fetch_add(1, SeqCst);
        Ok(())
    }
}

struct World {
    root: SupervisorRef,
    fates: Arc<Fates>,
    over: AtomicBool,
    asks: AtomicUsize,
}

impl World {
    fn new() -> World {
        let last = (0..UPPER * LOWER).map(|_| Default::default()).collect();
        let fates = Arc::new(Fates { last, ..Fates::default() });
        let patient = |strategy| Supervisor::new(strategy).intensity(usize::MAX >> 8, Duration::from_secs(1));
        let root = (0..UPPER)
            .fold(patient(Strategy::OneForOne), |root, upper| {
                root.child(ChildSpec::supervisor(upper.to_string(), move || {
                    (0..LOWER).fold(patient(Strategy::OneForOne), |supervisor, lower| {
                        let make = move || Leaf { place: upper * LOWER + lower };
                        supervisor.child(ChildSpec::new(lower.to_string(), make).restart(Restart::Permanent))
                    })
                }))
            })
            .spawn();
        World { root, fates, over: AtomicBool::new(false), asks: AtomicUsize::new(0) }
    }

    /// The actor at a place, once it is there: its supervisor may be on its way up.
    fn leaf(&self, place: usize) -> ActorRef<Message> {
        loop {
            let supervisor = self.root.supervisor(&(place / LOWER).to_string()).unwrap();
            match supervisor.actor_ref(&(place % LOWER).to_string()) {
                Ok(leaf) => return leaf,
                Err(_) => kahn_core::yield_now(),
            }
        }
    }

    fn message(&self, what: What) -> Message {
        Message(Token::new(&self.fates), what)
    }

    fn refuse(&self, error: TellError<Message>) {
        // One that finds the mailbox full is no dead letter.
        let counts = u64::from(error.is_dead());
        self.fates.full.fetch_add(1 - counts, SeqCst);
        let mut message = error.into_inner();
        message.0.stage = Stage::Over;
        self.fates.refused.fetch_add(counts, SeqCst);
    }

    /// Tells and asks at random, and looks a reference up again when its actor has gone with its supervisor.
    fn client(&self, client: usize) {
        let mut random = Random(client as u64 + 1);
        let mut leaves: Vec<_> = (0..UPPER * LOWER).map(|place| self.leaf(place)).collect();
        let mut number = 0;
        while !self.over.load(SeqCst) {
            let place = random.below(leaves.len());
            number += 1;
            if number % 16 == 0 {
                let asked = leaves[place].ask_timeout(Duration::MAX, |reply| self.message(What::Ask(reply)));
                self.asks.fetch_add(1, SeqCst);
                match asked {
                    Ok(_) | Err(AskError::NoReply) => {}
                    Err(AskError::Dead) => leaves[place] = self.leaf(place),
                    Err(other) => panic!("{other}"),
                }
            } else if let Err(error) = leaves[place].tell(self.message(What::Number { client, number })) {
                assert!(error.is_dead());
                self.refuse(error);
                leaves[place] = self.leaf(place);
            }
        }
    }

    /// Ends one every millisecond, and answers how many.
    fn chaos(&self, time: Duration) -> u64 {
        let mut random = Random(77);
        let mut leaves: Vec<_> = (0..UPPER * LOWER).map(|place| self.leaf(place)).collect();
        let (start, mut ends) = (Instant::now(), 0);
        while start.elapsed() < time {
            // What was late is made up for.
            kahn_core::time::sleep_until(start + Duration::from_millis(ends));
            let place = random.below(UPPER * LOWER);
            match random.below(200) {
                0 => self.root.supervisor(&(place / LOWER).to_string()).unwrap().kill(),
                n if n % 2 == 0 => leaves[place].kill(),
                _ => match leaves[place].try_tell(self.message(What::Panic)) {
                    Ok(()) => {}
                    Err(error) => {
                        if error.is_dead() {
                            leaves[place] = self.leaf(place);
                        }
                        self.refuse(error);
                    }
                },
            }
            ends += 1;
        }
        ends
    }

    /// All actors answer. One may have been told to end, and does first.
    fn all_answer(&self) {
        for place in 0..UPPER * LOWER {
            loop {
                let asked =
                    self.leaf(place).ask_timeout(Duration::MAX, |reply| self.message(What::Ask(reply)));
                match asked {
                    Ok(_) => break,
                    Err(AskError::NoReply | AskError::Dead) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
    }
}

struct Random(u64);

impl Random {
    /// xorshift64*.
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }
}

/// What a tree of this kind takes that has had its share of chaos for so long.
fn round(seconds: f64) -> (u64, u64) {
    let dead_before = dead_letters::count();
    let world = World::new();
    let ends = kahn_core::scope(|scope| {
        for client in 0..CLIENTS {
            let world = &world;
            scope.spawn(move || world.client(client));
        }
        let ends = world.chaos(Duration::from_secs_f64(seconds));
        world.over.store(true, SeqCst);
        ends
    });
    world.all_answer();
    world.root.stop();
    let World { fates, asks, root, .. } = world;
    drop(root);
    // An actor that died with its supervisor may be on its way still.
    support::until(|| Arc::strong_count(&fates) == 1);
    let of = |count: &AtomicU64| count.load(SeqCst);
    let dead = dead_letters::count() - dead_before;
    let sum =
        of(&fates.handled) + of(&fates.cut_short) + of(&fates.dropped) + of(&fates.refused) + of(&fates.full);
    assert_eq!(of(&fates.made), sum, "each message has one fate");
    // An ask that is refused drops its message, which is a dead letter as one that is handed back.
    assert_eq!(of(&fates.dropped) + of(&fates.refused), dead, "what was not in hand is a dead letter");
    assert!(of(&fates.cut_short) <= ends * LOWER as u64, "an end cuts one message short");
    assert!(asks.load(SeqCst) > 0 && of(&fates.handled) > 0 && of(&fates.cut_short) > 0);
    (ends, of(&fates.handled))
}

#[test]
fn tree_under_load_with_an_end_every_millisecond_loses_nothing() {
    let seconds =
        std::env::var("KAHN_CHAOS_SECONDS").map_or(2.0, |text| text.parse().expect("a number of seconds"));
    kahn_core::Runtime::builder().workers(2).build().unwrap().run(|| {
        // Pools and buffers grow to what they need.
        round(seconds / 4.0);
        let before = IN_USE.load(SeqCst);
        let (ends, handled) = round(seconds * 0.75);
        let after = IN_USE.load(SeqCst);
        println!("{ends} ends, {handled} messages, {before} bytes in use before and {after} after");
        assert!(after < before + before / 2 + (1 << 20), "{before} bytes in use before, {after} after");
    });
}
