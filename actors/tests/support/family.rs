//! Children for supervisors, which record what happens to them.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kahn_actors::{Actor, ActorRef, ChildSpec, Context, Event, ExitReason, Reply, Supervisor, SupervisorRef};

use super::until;

/// What has happened, in order.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn add(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    /// All since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub fn count(&self, text: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|entry| entry.contains(text)).count()
    }

    /// Waits until this has happened so many times.
    #[track_caller]
    pub fn wait(&self, text: &str, times: usize) {
        until(|| self.count(text) >= times);
    }

    /// What a supervisor reports, too: `has` as part of its texts tells it from what children write.
    pub fn events(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let log = self.clone();
        move |event| log.add(event.to_string())
    }
}

type Call = Box<dyn FnOnce(&mut Context<Kid>) + Send>;

pub enum Order {
    Panic,
    End(ExitReason),
    /// Waits for ever.
    Park,
    /// Waits until it is asked to stop, then panics.
    PanicWhenAsked,
    Sync(Reply<()>),
    /// Waits in `stopped` until it may go on.
    StopWhen(Arc<AtomicBool>),
    Call(Call),
}

/// Writes `+name` when it starts, `-name` in `stopped`, `~name` when it is dropped.
pub struct Kid {
    name: String,
    log: Log,
    fails: Arc<AtomicBool>,
    stop_when: Option<Arc<AtomicBool>>,
}

impl Actor for Kid {
    type Message = Order;

    fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
        if self.fails.load(SeqCst) {
            self.log.add(format!("!{}", self.name));
            return Err(ExitReason::failed("as told"));
        }
        self.log.add(format!("+{}", self.name));
        Ok(())
    }

    fn handle(&mut self, order: Order, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match order {
            Order::Panic => panic!("as told"),
            Order::End(reason) => return Err(reason),
            Order::Park => {
                self.log.add(format!("{} parks", self.name));
                kahn_core::sleep(Duration::MAX);
            }
            Order::PanicWhenAsked => {
                self.log.add(format!("{} parks", self.name));
                until(|| ctx.is_stopping());
                panic!("as told");
            }
            Order::Sync(reply) => drop(reply.send(())),
            Order::StopWhen(when) => self.stop_when = Some(when),
            Order::Call(f) => f(ctx),
        }
        Ok(())
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
        self.log.add(format!("-{}", self.name));
        if let Some(when) = &self.stop_when {
            until(|| when.load(SeqCst));
        }
    }
}

impl Drop for Kid {
    fn drop(&mut self) {
        // It ends slowly, so that a supervisor that does not wait for its end is noticed.
        kahn_core::yield_now();
        self.log.add(format!("~{}", self.name));
    }
}

/// A kid whose start fails while `fails` is set.
pub fn faulty(name: &str, log: &Log, fails: &Arc<AtomicBool>) -> ChildSpec {
    let (own, log, fails) = (name.to_owned(), log.clone(), fails.clone());
    ChildSpec::new(name, move || Kid {
        name: own.clone(),
        log: log.clone(),
        fails: fails.clone(),
        stop_when: None,
    })
}

pub fn kid(name: &str, log: &Log) -> ChildSpec {
    faulty(name, log, &Arc::default())
}

/// As often as they like.
pub fn patient(supervisor: Supervisor) -> Supervisor {
    supervisor.intensity(1_000_000, Duration::MAX)
}

#[track_caller]
pub fn order(supervisor: &SupervisorRef, id: &str, order: Order) {
    if supervisor.actor_ref::<Order>(id).unwrap().tell(order).is_err() {
        panic!("{id} is dead");
    }
}

/// Waits until a child handles messages, and with it everything that the supervisor did before.
#[track_caller]
pub fn sync(supervisor: &SupervisorRef, id: &str) {
    let kid: ActorRef<Order> = supervisor.actor_ref(id).unwrap();
    assert_eq!(kid.ask_timeout(Duration::MAX, Order::Sync), Ok(()));
}

/// Fails a child, and waits until its supervisor has dealt with it.
#[track_caller]
pub fn fail(supervisor: &SupervisorRef, log: &Log, id: &str, reason: ExitReason) {
    let text = format!("{id} has ended");
    let before = log.count(&text);
    order(supervisor, id, Order::End(reason));
    log.wait(&text, before + 1);
    supervisor.children();
}
