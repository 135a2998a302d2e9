//! A tour of supervisors. Each scene builds a supervision tree, makes children fail, and prints the supervisor's events
//! as a timeline.
//!
//! Shows `Supervisor`, its strategies, restart intensity, backoff, significant children and ordered shutdown.
//!
//! ```text
//! cargo run --example supervisor_tour
//! cargo run --example supervisor_tour -- one-for-all backoff
//! ```
//!
//! A supervisor starts its children in order. When a child exits, the child's `Restart` says whether to restart it, and
//! the supervisor's `Strategy` says which siblings are restarted with it. When children fail more often than the
//! intensity allows, the supervisor itself fails, and its own supervisor decides. The timeline comes from `on_event`.
//!
//! Each scene is a function: read `one_for_one` first. Exit code: 0, or 2 for an unknown scene.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kahn::actor::{
    Actor, AutoShutdown, Backoff, ChildSpec, Context, Event, ExitReason, Reply, Restart, Shutdown, Strategy,
    Supervisor, SupervisorRef,
};

const USAGE: &str = "\
Shows what supervisors do when their children fail, as a timeline.

usage: supervisor_tour [SCENE…]      (all scenes if none is named)
";

type Scene = (&'static str, &'static str, fn(&Timeline));

const SCENES: &[Scene] = &[
    ("one-for-one", "a child that panics is restarted and keeps its mailbox", one_for_one),
    ("one-for-all", "children that depend on each other are restarted together", one_for_all),
    ("rest-for-one", "a failed child is restarted with those started after it", rest_for_one),
    ("restart", "which exits restart a permanent, a transient and a temporary child", restarts),
    ("backoff", "a start that fails is retried after growing delays", backoff),
    ("intensity", "a supervisor whose child fails too often fails itself", intensity),
    ("significant", "the last significant child to exit stops its supervisor", significant),
    ("shutdown", "children are stopped in reverse order, and killed when they are late", shutdown),
];

fn main() -> ExitCode {
    let mut scenes = Vec::new();
    for arg in std::env::args().skip(1) {
        match SCENES.iter().find(|(name, ..)| *name == arg) {
            Some(scene) => scenes.push(scene),
            None if arg == "--help" || arg == "-h" => {
                print(&USAGE);
                SCENES.iter().for_each(|(name, about, _)| print(&format_args!("  {name:13} {about}")));
                return ExitCode::SUCCESS;
            }
            None => {
                let names: Vec<_> = SCENES.iter().map(|(name, ..)| *name).collect();
                eprintln!("supervisor_tour: there is no scene {arg:?}; there are {}", names.join(", "));
                return ExitCode::from(2);
            }
        }
    }
    if scenes.is_empty() {
        scenes.extend(SCENES);
    }
    // The timeline shows the panics, so the panic hook must not print them, too.
    std::panic::set_hook(Box::new(|_| {}));
    kahn::run(|| {
        for (name, about, show) in scenes {
            print(&format_args!("{name}: {about}"));
            show(&Timeline::new());
            print(&"");
        }
    });
    ExitCode::SUCCESS
}

/// Prints a line. Ignores a closed pipe, as in `supervisor_tour | head`.
fn print(line: &dyn Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints events with the time since the start of the scene.
#[derive(Clone)]
struct Timeline {
    start: Instant,
    /// All texts so far, for `wait`.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Timeline {
    fn new() -> Timeline {
        Timeline { start: Instant::now(), seen: Arc::default() }
    }

    fn log(&self, source: &str, event: impl Display) {
        let text = event.to_string();
        print(&format_args!("{:9.1} ms  {source:8} {text}", self.start.elapsed().as_secs_f64() * 1e3));
        self.seen.lock().unwrap().push(text);
    }

    /// Returns a handler for `on_event` that logs the events of the supervisor `source`.
    fn handler(&self, source: &'static str) -> impl Fn(&Event) + Send + Sync + 'static {
        let timeline = self.clone();
        move |event| timeline.log(source, event)
    }

    /// Waits until `times` events contain `text`.
    fn wait(&self, text: &str, times: usize) {
        let count = || self.seen.lock().unwrap().iter().filter(|seen| seen.contains(text)).count();
        while count() < times {
            kahn::sleep(Duration::from_micros(200));
        }
    }
}

enum Order {
    Work,
    Panic,
    /// Parses the text as a number. Fails the actor with an error, by `?`, if it is not one.
    Parse(&'static str),
    Finish,
    /// Work that takes an hour.
    Overwork,
    Done(Reply<u32>),
}

/// An actor that follows orders and counts the work that it has done since its last start.
struct Worker {
    done: u32,
}

impl Actor for Worker {
    type Message = Order;

    fn handle(&mut self, order: Order, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match order {
            Order::Work => self.done += 1,
            Order::Panic => panic!("a bug after {} pieces of work", self.done),
            Order::Parse(text) => self.done = text.parse()?,
            Order::Finish => ctx.stop(),
            Order::Overwork => kahn::sleep(Duration::from_secs(3600)),
            Order::Done(reply) => drop(reply.send(self.done)),
        }
        Ok(())
    }
}

fn worker(id: &str) -> ChildSpec {
    ChildSpec::new(id, || Worker { done: 0 })
}

fn tell(supervisor: &SupervisorRef, id: &str, order: Order) {
    let worker = supervisor.actor_ref(id).expect("the scene started a child with this id");
    if worker.tell(order).is_err() {
        print(&format_args!("{id} has ended"));
    }
}

fn one_for_one(timeline: &Timeline) {
    let supervisor = Supervisor::new(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(1))
        .child(worker("baker"))
        .child(worker("butcher"))
        .on_event(timeline.handler("shop"))
        .spawn();
    let orders = [Order::Work, Order::Work, Order::Panic, Order::Work];
    orders.into_iter().for_each(|order| tell(&supervisor, "baker", order));
    // A reference names the mailbox, which survives a restart. The restarted actor handles the messages behind the one
    // that panicked.
    let done = supervisor.actor_ref("baker").unwrap().ask(Order::Done);
    timeline.log("customer", format!("the new baker has done {} piece of work", done.unwrap()));
    supervisor.stop();
}

fn one_for_all(timeline: &Timeline) {
    let supervisor = Supervisor::new(Strategy::OneForAll)
        .child(worker("reader"))
        .child(worker("parser"))
        .child(worker("writer"))
        .on_event(timeline.handler("pipeline"))
        .spawn();
    tell(&supervisor, "parser", Order::Parse("12 o'clock"));
    timeline.wait("writer has started", 2);
    supervisor.stop();
}

fn rest_for_one(timeline: &Timeline) {
    let supervisor = Supervisor::new(Strategy::RestForOne)
        .child(worker("store"))
        .child(worker("cache"))
        .child(worker("server"))
        .on_event(timeline.handler("service"))
        .spawn();
    tell(&supervisor, "cache", Order::Panic);
    timeline.wait("server has started", 2);
    supervisor.stop();
}

fn restarts(timeline: &Timeline) {
    let supervisor = Supervisor::new(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(1))
        .child(worker("permanent"))
        .child(worker("transient").restart(Restart::Transient))
        .child(worker("temporary").restart(Restart::Temporary))
        .on_event(timeline.handler("office"))
        .spawn();
    tell(&supervisor, "permanent", Order::Finish);
    timeline.wait("permanent has started", 2);
    tell(&supervisor, "transient", Order::Panic);
    timeline.wait("transient has started", 2);
    tell(&supervisor, "transient", Order::Finish);
    timeline.wait("transient has ended", 2);
    supervisor.actor_ref::<Order>("temporary").unwrap().kill();
    timeline.wait("temporary has ended", 1);
    for child in supervisor.children() {
        timeline
            .log("office", format!("{}: {:?}, restarted {} times", child.id, child.state, child.restarts));
    }
    supervisor.stop();
}

fn backoff(timeline: &Timeline) {
    let tries = AtomicU32::new(0);
    let connect = move || match tries.fetch_add(1, Relaxed) {
        2..=4 => panic!("connection refused"),
        _ => Worker { done: 0 },
    };
    let waits = Backoff::exponential(Duration::from_millis(2), Duration::from_secs(1)).jitter(0.25);
    let supervisor = Supervisor::new(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(1))
        .child(ChildSpec::new("client", connect).backoff(waits))
        .on_event(timeline.handler("network"))
        .spawn();
    tell(&supervisor, "client", Order::Panic);
    timeline.wait("client has started", 2);
    tell(&supervisor, "client", Order::Panic);
    timeline.wait("client has started", 3);
    supervisor.stop();
}

fn intensity(timeline: &Timeline) {
    let lower = {
        let timeline = timeline.clone();
        move || {
            Supervisor::new(Strategy::OneForOne)
                .intensity(2, Duration::from_secs(60))
                .child(worker("loser"))
                .on_event(timeline.handler("lower"))
        }
    };
    let supervisor = Supervisor::new(Strategy::OneForOne)
        .child(ChildSpec::supervisor("lower", lower))
        .on_event(timeline.handler("upper"))
        .spawn();
    for life in 1..=3 {
        tell(&supervisor.supervisor("lower").unwrap(), "loser", Order::Panic);
        timeline.wait("loser has ended", life);
    }
    timeline.wait("lower has started", 2);
    supervisor.stop();
}

fn significant(timeline: &Timeline) {
    let supervisor = Supervisor::new(Strategy::OneForOne)
        .auto_shutdown(AutoShutdown::AllSignificant)
        .child(worker("helper"))
        .child(worker("job 1").restart(Restart::Transient).significant(true))
        .child(worker("job 2").restart(Restart::Transient).significant(true))
        .on_event(timeline.handler("batch"))
        .spawn();
    for id in ["job 2", "job 1"] {
        tell(&supervisor, id, Order::Work);
        tell(&supervisor, id, Order::Finish);
        timeline.wait(&format!("{id} has ended"), 1);
    }
    let reason = supervisor.join();
    timeline.log("batch", format!("has ended: {reason}"));
}

fn shutdown(timeline: &Timeline) {
    let supervisor = Supervisor::new(Strategy::OneForOne)
        .child(worker("quick"))
        .child(worker("slow").shutdown(Shutdown::Timeout(Duration::from_millis(20))))
        .child(worker("doomed").shutdown(Shutdown::Kill))
        .child(ChildSpec::thread("thread", || kahn::sleep(Duration::from_secs(3600))))
        .on_event(timeline.handler("program"))
        .spawn();
    for id in ["slow", "doomed"] {
        tell(&supervisor, id, Order::Overwork);
        // An empty mailbox means that the worker has begun the order.
        let worker = supervisor.actor_ref::<Order>(id).unwrap();
        while !worker.is_empty() {
            kahn::yield_now();
        }
    }
    supervisor.stop();
    timeline.log("program", format!("has ended: {}", supervisor.join()));
}
