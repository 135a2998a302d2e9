//! Cancels and timeouts around the steps of a `Stepped` actor.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn_actors::testing::{Step, Stepped};
use kahn_actors::{Actor, Context, ExitReason};
use kahn_core::time::timeout;
use support::{everywhere, until};

const SHORT: Duration = Duration::from_millis(2);

/// Where the actor parks.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Started,
    Handle,
    Stopped,
}

/// Parks at one place, and counts its calls of `stopped` and its drops.
struct Parks {
    at: At,
    begun: Arc<AtomicUsize>,
    stopped: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Parks {
    fn new(at: At) -> Parks {
        Parks { at, begun: Arc::default(), stopped: Arc::default(), dropped: Arc::default() }
    }

    fn reaches(&self, at: At) {
        if self.at == at {
            self.begun.fetch_add(1, SeqCst);
            kahn_core::sleep(Duration::MAX);
        }
    }
}

impl Drop for Parks {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, SeqCst);
    }
}

impl Actor for Parks {
    type Message = ();

    fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.reaches(At::Started);
        Ok(())
    }

    fn handle(&mut self, (): (), ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.reaches(At::Handle);
        ctx.stop();
        Ok(())
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
        self.stopped.fetch_add(1, SeqCst);
        self.reaches(At::Stopped);
    }
}

#[test]
fn timeout_around_a_step_elapses_and_kills_the_actor() {
    everywhere(|| {
        let actor = Parks::new(At::Handle);
        let (stopped, dropped) = (actor.stopped.clone(), actor.dropped.clone());
        let mut parks = Stepped::start(actor);
        assert!(timeout(SHORT, || parks.deliver(())).is_err());
        assert!(matches!(parks.exit(), Some(ExitReason::Killed)), "{:?}", parks.exit());
        assert_eq!((stopped.load(SeqCst), dropped.load(SeqCst)), (0, 1));
        assert_eq!(parks.deliver(()), Step::Ended);
        assert!(parks.actor_ref().tell(()).unwrap_err().is_dead());
    });
}

#[test]
fn timeout_around_the_start_of_a_stepped_actor_elapses() {
    everywhere(|| {
        let actor = Parks::new(At::Started);
        let dropped = actor.dropped.clone();
        assert!(timeout(SHORT, || Stepped::start(actor)).is_err());
        assert_eq!(dropped.load(SeqCst), 1);
    });
}

#[test]
fn timeout_in_stopped_of_a_stepped_actor_elapses_after_the_end() {
    everywhere(|| {
        let actor = Parks::new(At::Stopped);
        let (stopped, dropped) = (actor.stopped.clone(), actor.dropped.clone());
        let mut parks = Stepped::start(actor);
        assert!(timeout(SHORT, || parks.deliver(())).is_err());
        assert!(parks.exit().is_some_and(ExitReason::is_normal), "{:?}", parks.exit());
        assert_eq!((stopped.load(SeqCst), dropped.load(SeqCst)), (1, 1));
    });
}

#[test]
fn timeout_inside_a_handler_of_a_stepped_actor_ends_only_itself() {
    struct Bounded;
    impl Actor for Bounded {
        type Message = ();
        fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
            assert!(timeout(SHORT, || kahn_core::sleep(Duration::MAX)).is_err());
            Ok(())
        }
    }
    everywhere(|| {
        let mut bounded = Stepped::start(Bounded);
        assert_eq!(timeout(Duration::from_secs(1000), || bounded.deliver(())), Ok(Step::Handled));
    });
}

#[test]
fn cancel_in_a_step_cancels_the_green_thread() {
    everywhere(|| {
        for at in [At::Started, At::Handle, At::Stopped] {
            let actor = Parks::new(at);
            let (begun, dropped) = (actor.begun.clone(), actor.dropped.clone());
            let after = Arc::new(AtomicUsize::new(0));
            let goes_on = after.clone();
            let thread = kahn_core::spawn(move || {
                let mut parks = Stepped::start(actor);
                parks.deliver(());
                goes_on.fetch_add(1, SeqCst);
            });
            until(|| begun.load(SeqCst) == 1);
            thread.cancel();
            assert!(thread.join().is_err_and(|error| error.is_cancelled()));
            assert_eq!((after.load(SeqCst), dropped.load(SeqCst)), (0, 1));
        }
    });
}
