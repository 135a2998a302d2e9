//! Pools: which worker gets a message, and that workers are restarted.

mod support;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use kahn_actors::{
    Actor, ActorId, ActorRef, Address, AskError, ChildSpec, Context, ExitReason, Overflow, Pool, Reply,
    Routing, Strategy, Supervisor,
};
use kahn_channels::{Receiver, Sender, bounded};
use support::{everywhere, until, within};

enum Job {
    Who(Reply<ActorId>),
    /// Takes until the sender is dropped.
    Long(Receiver<()>),
    Panic,
}

struct Worker;

impl Actor for Worker {
    type Message = Job;

    fn handle(&mut self, job: Job, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match job {
            Job::Who(reply) => drop(reply.send(ctx.id())),
            Job::Long(until) => drop(until.recv()),
            Job::Panic => panic!("as told"),
        }
        Ok(())
    }
}

fn ids(pool: &Pool<Job>) -> Vec<ActorId> {
    pool.workers().iter().map(ActorRef::id).collect()
}

#[test]
fn round_robin_visits_every_worker() {
    everywhere(|| {
        let pool = Pool::builder(3).routing(Routing::RoundRobin).spawn(|| Worker).unwrap();
        let all = ids(&pool);
        for round in 0..9 {
            assert_eq!(pool.ask(Job::Who), Ok(all[round % 3]));
        }
        pool.stop();
    });
}

#[test]
fn least_loaded_chooses_an_idle_worker() {
    everywhere(|| {
        let pool = Pool::builder(3).spawn(|| Worker).unwrap();
        let (hold, held) = bounded::<()>(0);
        let [busy, full, free] = pool.workers() else { panic!("three") };
        busy.tell(Job::Long(held.clone())).unwrap();
        for _ in 0..5 {
            full.tell(Job::Long(held.clone())).unwrap();
        }
        until(|| busy.is_empty() && full.len() == 4);
        for _ in 0..20 {
            // It may be about to start, or to come back from its answer. Among three in a row, one looks at it last.
            until(|| (0..3).all(|_| pool.worker() == free));
            assert_eq!(pool.ask(Job::Who), Ok(free.id()));
        }
        free.tell(Job::Long(held.clone())).unwrap();
        until(|| free.is_empty());
        // Now two are equal, and take turns; five at one are more.
        let picked: HashSet<ActorId> = (0..6).map(|_| pool.worker().id()).collect();
        assert_eq!(picked, HashSet::from([busy.id(), free.id()]));
        drop(hold);
        pool.stop();
    });
}

#[test]
fn idle_workers_take_turns() {
    everywhere(|| {
        let pool = Pool::builder(4).spawn(|| Worker).unwrap();
        for worker in pool.workers() {
            worker.ask(Job::Who).unwrap();
        }
        let mut picked = HashSet::new();
        until(|| {
            picked.insert(pool.worker().id());
            picked.len() == 4
        });
        pool.stop();
    });
}

#[test]
fn key_maps_to_the_same_worker_in_every_pool_of_that_size() {
    everywhere(|| {
        let pools = [4, 4].map(|size| Pool::builder(size).spawn(|| Worker).unwrap());
        let place = |pool: &Pool<Job>, key: &str| {
            let worker = pool.worker_for(key);
            pool.workers().iter().position(|other| other == worker).unwrap()
        };
        for key in ["ann", "bob", "cid", "dan", "eve"] {
            assert_eq!(place(&pools[0], key), place(&pools[0].clone(), key));
            assert_eq!(place(&pools[0], key), place(&pools[1], key));
            // The owned form of a key is the same key.
            assert_eq!(pools[0].worker_for(key), pools[0].worker_for(&key.to_string()));
        }
        pools.iter().for_each(Pool::stop);
    });
}

#[test]
fn keys_spread_evenly_and_one_more_worker_moves_few_keys() {
    within(|| {
        const KEYS: usize = 20_000;
        let mut before: Option<Vec<usize>> = None;
        for size in 1..=8 {
            let pool = Pool::builder(size).spawn(|| Worker).unwrap();
            let places: HashMap<ActorId, usize> = ids(&pool).into_iter().zip(0..).collect();
            let now: Vec<usize> = (0..KEYS).map(|key| places[&pool.worker_for(&key).id()]).collect();
            for place in 0..size {
                let here = now.iter().filter(|&&other| other == place).count();
                assert!(here.abs_diff(KEYS / size) < KEYS / size / 5, "{here} of {KEYS} at one of {size}");
            }
            if let Some(before) = before {
                let moved = before.iter().zip(&now).filter(|(old, new)| old != new);
                assert!(moved.clone().all(|(_, new)| *new == size - 1), "all that move go to the new one");
                assert!(moved.count() < KEYS / size * 6 / 5);
            }
            before = Some(now);
            pool.stop();
        }
    });
}

#[test]
fn worker_that_fails_is_started_again_in_its_place() {
    everywhere(|| {
        let made = Arc::new(AtomicU32::new(0));
        let counted = made.clone();
        let make = move || {
            counted.fetch_add(1, SeqCst);
            Worker
        };
        let pool = Pool::builder(3).name("crew").routing(Routing::RoundRobin).spawn(make).unwrap();
        let all = ids(&pool);
        assert_eq!(pool.workers()[1].name(), Some("crew 1"));
        assert_eq!(pool.supervisor().name(), Some("crew"));
        for _ in 0..3 {
            pool.tell(Job::Panic).unwrap();
        }
        // The mailboxes, with what is in them, are still there.
        for id in &all {
            assert_eq!(pool.ask(Job::Who), Ok(*id));
        }
        assert_eq!(made.load(SeqCst), 6);
        assert_eq!(ids(&pool), all);
        pool.stop();
    });
}

#[test]
fn pool_that_fails_too_often_ends() {
    everywhere(|| {
        let pool = Pool::builder(2).intensity(1, Duration::MAX).spawn(|| Worker).unwrap();
        pool.workers()[0].tell(Job::Panic).unwrap();
        pool.workers()[0].tell(Job::Panic).unwrap();
        assert!(matches!(pool.supervisor().join(), ExitReason::Shutdown));
        assert_eq!(pool.ask(Job::Who), Err(AskError::Dead));
        assert!(pool.tell(Job::Panic).unwrap_err().is_dead());
    });
}

#[test]
fn pool_ends_when_no_reference_is_left() {
    everywhere(|| {
        let pool = Pool::builder(2).spawn(|| Worker).unwrap();
        let (worker, supervisor) = (pool.worker().address(), pool.supervisor().address());
        let clone = pool.clone();
        drop(pool);
        assert!(clone.ask(Job::Who).is_ok());
        drop(clone);
        worker.join();
        supervisor.join();
    });
}

#[test]
fn worker_that_does_not_start_is_an_error() {
    struct Failing;
    impl Actor for Failing {
        type Message = Job;

        fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
            Err(ExitReason::failed("no disk"))
        }

        fn handle(&mut self, _: Job, _: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(())
        }
    }
    everywhere(|| {
        let error = Pool::builder(2).spawn(|| Failing).unwrap_err();
        assert!(error.to_string().contains("pool 0") && error.to_string().contains("no disk"), "{error}");
    });
}

#[test]
fn settings_reach_the_workers() {
    everywhere(|| {
        let pool = Pool::builder(2).mailbox(3).overflow(Overflow::Fail).spawn(|| Worker).unwrap();
        let worker = pool.worker_for("anything");
        assert_eq!(worker.capacity(), 3);
        let (hold, held) = bounded::<()>(0);
        let told = until_full(worker, &held);
        assert!((3..=4).contains(&told), "{told}");
        drop(hold);
        pool.stop();
    });
}

fn until_full(worker: &ActorRef<Job>, held: &Receiver<()>) -> usize {
    (0..).take_while(|_| worker.tell(Job::Long(held.clone())).is_ok()).count()
}

/// Has a pool, and ends with it.
struct Owner {
    pool: Option<Pool<Job>>,
    pools: Sender<Address>,
}

impl Actor for Owner {
    type Message = Job;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        let pool = Pool::builder(2).intensity(0, Duration::MAX).spawn(|| Worker)?;
        ctx.link(pool.supervisor());
        self.pools.send(pool.supervisor().address())?;
        self.pool = Some(pool);
        Ok(())
    }

    fn handle(&mut self, job: Job, _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(self.pool.as_ref().unwrap().worker_for(&0).tell(job)?)
    }
}

#[test]
fn pool_in_a_tree_ends_and_starts_with_its_owner() {
    everywhere(|| {
        let (pools, pool) = bounded(10);
        let spec = ChildSpec::new("owner", move || Owner { pool: None, pools: pools.clone() });
        let root = Supervisor::new(Strategy::OneForOne).intensity(5, Duration::MAX).child(spec).spawn();
        let owner = root.actor_ref::<Job>("owner").unwrap();
        let first = pool.recv().unwrap();
        // Too much for the pool, which takes its owner with it.
        owner.tell(Job::Panic).unwrap();
        let second = pool.recv().unwrap();
        first.join();
        assert!(second.is_alive());
        assert!(owner.ask(Job::Who).is_ok());
        // Now the other way round.
        owner.kill();
        let third = pool.recv().unwrap();
        second.join();
        assert!(third.is_alive());
        assert!(owner.ask(Job::Who).is_ok());
        root.stop();
        third.join();
    });
}
