//! Names of actors: which actor has a name, for how long, and the errors of a name that is taken or absent.

mod support;

use std::sync::Barrier;

use kahn_actors::registry::{self, RegisterError, Registry, WhereisError};
use kahn_actors::{
    Actor, ActorRef, Builder, ChildSpec, Context, Down, ExitReason, Mailbox, Reply, Strategy, Supervisor,
    spawn,
};
use kahn_channels::{Sender, bounded};
use kahn_core::Runtime;
use support::{everywhere, rounds, until, within};

enum Order {
    Ping(Reply<&'static str>),
    Panic,
    Fail,
}

struct Server;

impl Actor for Server {
    type Message = Order;

    fn handle(&mut self, order: Order, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match order {
            Order::Ping(reply) => drop(reply.send("pong")),
            Order::Panic => panic!("as told"),
            Order::Fail => return Err(ExitReason::failed("as told")),
        }
        Ok(())
    }
}

/// Takes other messages.
fn other() -> ActorRef<u8> {
    Builder::new().spawn_loop(|mailbox: &mut Mailbox<u8>| {
        while mailbox.recv().is_ok() {}
        Ok(())
    })
}

fn ping(server: &ActorRef<Order>) -> &'static str {
    server.ask(Order::Ping).unwrap()
}

#[test]
fn actor_is_found_by_its_name_until_it_is_unregistered() {
    everywhere(|| {
        let names = Registry::new();
        let server = spawn(Server);
        names.register("server", &server).unwrap();
        names.register("alias", &server).unwrap();
        assert_eq!(names.whereis::<Order>("server").unwrap(), server);
        assert_eq!(ping(&names.clone().whereis("alias").unwrap()), "pong");
        assert_eq!(names.address("server"), Some(server.address()));

        assert!(names.unregister("server"));
        assert!(!names.unregister("server"));
        assert_eq!(names.whereis::<Order>("server"), Err(not_found(&names, "server")));
        assert_eq!(names.names(), ["alias"]);
    });
}

fn not_found(names: &Registry, name: &str) -> WhereisError {
    let error = names.whereis::<Order>(name).unwrap_err();
    assert!(matches!(&error, WhereisError::NotFound { name: of, .. } if **of == *name));
    error
}

#[test]
fn taken_name_is_an_error_that_names_the_holder() {
    everywhere(|| {
        let names = Registry::new();
        let (first, second) = (Builder::new().name("first").spawn(Server), other());
        names.register("x", &first).unwrap();
        let error = names.register("x", &second).unwrap_err();
        assert!(matches!(&error, RegisterError::Taken { by, .. } if *by == first.id()));
        assert_eq!(
            error.to_string(),
            "the name \"x\" is taken by first; unregister it first, or choose another name"
        );
        assert!(names.register("x", &first).is_err());
        assert_eq!(ping(&names.whereis("x").unwrap()), "pong");
    });
}

#[test]
fn lookup_with_another_message_type_is_an_error_that_names_both_types() {
    everywhere(|| {
        let names = Registry::new();
        names.register("x", other()).unwrap();
        let error = names.whereis::<String>("x").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the actor registered as \"x\" takes messages of type u8, not alloc::string::String"
        );
        assert!(names.whereis::<u8>("x").is_ok());
    });
}

#[test]
fn name_is_free_after_every_kind_of_end() {
    everywhere(|| {
        let names = Registry::new();
        let ends: [fn(&ActorRef<Order>); 4] = [
            |server| server.stop(),
            |server| server.kill(),
            |server| server.tell(Order::Panic).unwrap(),
            |server| server.tell(Order::Fail).unwrap(),
        ];
        for end in ends {
            let server = spawn(Server);
            names.register("x", &server).unwrap();
            end(&server);
            server.join();
            assert!(names.names().is_empty());
            not_found(&names, "x");
            assert!(!names.unregister("x"));
            let dead = names.register("y", &server).unwrap_err();
            assert!(matches!(dead, RegisterError::Dead { .. }), "{dead}");
        }
    });
}

/// Registers itself as `x` when the one that it monitors has ended.
struct Heir {
    names: Registry,
    of: ActorRef<Order>,
    done: Sender<Result<(), RegisterError>>,
}

impl Actor for Heir {
    type Message = ();

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        ctx.monitor(&self.of);
        Ok(self.done.send(Ok(()))?)
    }

    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }

    fn down(&mut self, _: Down, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(self.done.send(self.names.register("x", ctx.me()))?)
    }
}

#[test]
fn name_is_free_when_a_monitor_reports_the_end() {
    everywhere(|| {
        for _ in 0..rounds(50) {
            let names = Registry::new();
            let server = spawn(Server);
            names.register("x", &server).unwrap();
            let (done, is_done) = bounded(1);
            let heir = spawn(Heir { names: names.clone(), of: server.clone(), done });
            is_done.recv().unwrap().unwrap();
            server.kill();
            assert_eq!(is_done.recv().unwrap(), Ok(()));
            assert_eq!(names.whereis("x").unwrap(), heir);
        }
    });
}

#[test]
fn name_keeps_its_actor_alive() {
    everywhere(|| {
        let names = Registry::new();
        names.register("x", spawn(Server)).unwrap();
        names.register("y", names.whereis::<Order>("x").unwrap()).unwrap();
        let address = names.address("x").unwrap();
        assert!(names.unregister("x"));
        assert_eq!(ping(&names.whereis("y").unwrap()), "pong");
        assert!(names.unregister("y"));
        assert!(address.join().is_normal());
    });
}

#[test]
fn dropping_a_registry_removes_its_names() {
    everywhere(|| {
        let names = Registry::new();
        names.register("x", spawn(Server)).unwrap();
        let address = names.address("x").unwrap();
        drop(names);
        assert!(address.join().is_normal());
    });
}

#[test]
fn name_survives_a_restart_and_ends_with_the_child() {
    everywhere(|| {
        let names = Registry::new();
        let supervisor =
            Supervisor::new(Strategy::OneForOne).child(ChildSpec::new("server", || Server)).spawn();
        names.register("x", supervisor.actor_ref::<Order>("server").unwrap()).unwrap();
        let server = names.whereis::<Order>("x").unwrap();
        server.tell(Order::Panic).unwrap();
        assert_eq!(ping(&server), "pong");
        assert_eq!(names.whereis::<Order>("x").unwrap(), server);

        supervisor.terminate_child("server").unwrap();
        not_found(&names, "x");
        supervisor.restart_child("server").unwrap();
        assert_eq!(ping(&names.whereis("x").unwrap()), "pong");

        supervisor.stop();
        not_found(&names, "x");
        until(|| names.register("x", other()).is_ok());
    });
}

#[test]
fn runtime_that_ends_frees_the_names_of_its_actors() {
    within(|| {
        let names = Registry::new();
        let runtime = Runtime::builder().workers(2).build().unwrap();
        runtime.run(|| names.register("x", spawn(Server)).unwrap());
        assert_eq!(names.names(), ["x"]);
        runtime.shutdown(std::time::Duration::from_secs(60)).unwrap();
        assert!(names.names().is_empty());
        assert_eq!(names.address("x"), None);
    });
}

#[test]
fn one_of_several_concurrent_registrations_succeeds() {
    within(|| {
        const CONTENDERS: usize = 4;
        let names = Registry::new();
        let barrier = Barrier::new(CONTENDERS);
        let held = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..CONTENDERS {
                scope.spawn(|| {
                    barrier.wait();
                    let mut got = 0;
                    while got < rounds(200) {
                        let server = spawn(Server);
                        until(|| names.register("x", &server).is_ok());
                        got += 1;
                        let holders = held.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert_eq!(holders, 0, "two have the name");
                        assert_eq!(names.whereis::<Order>("x").unwrap(), server);
                        held.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        server.stop();
                    }
                });
            }
        });
        until(|| names.names().is_empty());
    });
}

/// Registers an actor that is ending, and looks for what is left.
#[test]
fn actor_that_ends_while_it_is_registered_leaves_no_name() {
    within(|| {
        let names = Registry::new();
        for round in 0..rounds(2000) {
            let server = spawn(Server);
            let address = server.address();
            std::thread::scope(|scope| {
                scope.spawn(|| address.stop());
                scope.spawn(|| names.register(format!("x{}", round % 3), &server).ok());
            });
            server.join();
            assert!(names.names().is_empty());
            assert_eq!(format!("{names:?}"), "Registry([])");
        }
    });
}

#[test]
fn process_has_a_registry() {
    everywhere(|| {
        let server = spawn(Server);
        until(|| registry::register("of the process", &server).is_ok());
        assert!(registry::names().contains(&"of the process".to_string()));
        assert_eq!(registry::whereis::<Order>("of the process").unwrap(), server);
        assert!(registry::unregister("of the process"));
    });
}
