//! The place of an actor's panic is recorded. The test sets the panic hook, so it has a process of its own.

mod support;

use std::panic::{set_hook, take_hook};

use kahn_actors::{Actor, Builder, Context, ExitReason};
use kahn_core::Runtime;
use support::{rounds, within};

/// However many others have the actor's lock at the moment.
#[test]
fn exit_reason_has_the_place_of_the_panic() {
    struct Panics;
    impl Actor for Panics {
        type Message = bool;
        fn handle(&mut self, panics: bool, _: &mut Context<Self>) -> Result<(), ExitReason> {
            assert!(!panics, "as told");
            Ok(())
        }
    }
    // Before there is an actor. Hundreds of reports would hide that of this test.
    let before = take_hook();
    set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some("as told") {
            before(info);
        }
    }));
    let runtime = Runtime::builder().workers(2).build().unwrap();
    within(|| {
        runtime.run(|| {
            for _ in 0..rounds(300) {
                let actor = Builder::new().mailbox(1_000_000).spawn(Panics);
                let tellers: Vec<_> = (0..2)
                    .map(|_| {
                        let actor = actor.clone();
                        std::thread::spawn(move || {
                            (0..1000).take_while(|_| actor.tell(false).is_ok()).count()
                        })
                    })
                    .collect();
                actor.tell(true).unwrap();
                match actor.join() {
                    ExitReason::Panicked { location, .. } => {
                        assert!(location.expect("a place").contains("panic_place.rs"));
                    }
                    other => panic!("{other}"),
                }
                kahn_core::blocking(|| tellers.into_iter().for_each(|teller| assert!(teller.join().is_ok())));
            }
        });
    });
}
