//! Groups: their members, and which members a broadcast reaches.

mod support;

use kahn_actors::{
    Actor, ActorRef, Builder, ChildSpec, Context, Delivered, ExitReason, Group, Mailbox, Overflow, Strategy,
    Supervisor, spawn,
};
use kahn_channels::{Receiver, Sender, bounded};
use support::{everywhere, rounds, until, within};

/// Says what it was told; panics at zero.
struct Member(Sender<u32>);

impl Actor for Member {
    type Message = u32;

    fn handle(&mut self, n: u32, _: &mut Context<Self>) -> Result<(), ExitReason> {
        assert_ne!(n, 0, "as told");
        Ok(self.0.send(n)?)
    }
}

fn member() -> (ActorRef<u32>, Receiver<u32>) {
    let (told, is_told) = bounded(100);
    (spawn(Member(told)), is_told)
}

/// One that has its mailbox full, and handles what is there when the sender is dropped.
fn full(overflow: Overflow) -> (ActorRef<u32>, Sender<()>, Receiver<u32>) {
    let (told, is_told) = bounded(100);
    let (hold, held) = bounded::<()>(0);
    let slow = Builder::new().mailbox(1).overflow(overflow).spawn_loop(move |mailbox: &mut Mailbox<u32>| {
        held.recv().unwrap_err();
        while let Ok(n) = mailbox.recv() {
            told.send(n)?;
        }
        Ok(())
    });
    slow.tell(1).unwrap();
    (slow, hold, is_told)
}

fn delivered(told: usize, missed: usize) -> Delivered {
    let mut delivered = Delivered::default();
    (delivered.told, delivered.missed) = (told, missed);
    delivered
}

#[test]
fn actor_is_a_member_from_join_to_leave() {
    everywhere(|| {
        let group = Group::new();
        assert!(group.is_empty());
        let ((one, _one), (two, _two)) = (member(), member());
        assert!(group.join(&one) && group.join(&two) && !group.join(&two));
        assert_eq!(group.members(), [one.clone(), two.clone()]);
        assert!(group.contains(&two));
        assert!(group.leave(&one) && !group.leave(&one));
        assert_eq!((group.clone().members(), group.len()), (vec![two], 1));
    });
}

#[test]
fn broadcast_reaches_every_member_in_the_senders_order() {
    everywhere(|| {
        let members = [member(), member(), member()];
        let group: Group<u32> = members.iter().map(|(actor, _)| actor).collect();
        for n in 1..=5 {
            assert_eq!(group.broadcast(n), delivered(3, 0));
        }
        for (_, told) in &members {
            assert_eq!(told.iter().take(5).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        }
        assert_eq!(Group::new().broadcast(1), delivered(0, 0));
    });
}

#[test]
fn broadcast_waits_for_a_slow_member_last() {
    everywhere(|| {
        let (slow, hold, slow_is_told) = full(Overflow::Park);
        let (quick, is_told) = member();
        let group: Group<u32> = [&slow, &quick].into_iter().collect();
        let broadcast = kahn_core::spawn({
            let group = group.clone();
            move || group.broadcast(7)
        });
        assert_eq!(is_told.recv(), Ok(7));
        assert_eq!(slow.len(), 1);
        drop(hold);
        assert_eq!(broadcast.join().unwrap(), delivered(2, 0));
        assert_eq!((slow_is_told.recv(), slow_is_told.recv()), (Ok(1), Ok(7)));
    });
}

#[test]
fn try_broadcast_counts_members_without_room() {
    everywhere(|| {
        let (parks, hold, is_told) = full(Overflow::Park);
        let (fails, _hold, _told) = full(Overflow::Fail);
        let (drops, _hold, _told) = full(Overflow::DropOldest);
        let group: Group<u32> = [&parks, &fails, &drops].into_iter().collect();
        assert_eq!(group.try_broadcast(7), delivered(1, 2));
        drop(hold);
        assert_eq!(is_told.recv(), Ok(1));
        assert_eq!(group.broadcast(8), delivered(2, 1));
        assert_eq!(is_told.recv(), Ok(8));
    });
}

#[test]
fn actor_that_ends_leaves_its_groups() {
    everywhere(|| {
        let group = Group::new();
        let ends: [fn(&ActorRef<u32>); 3] = [|a| a.stop(), |a| a.kill(), |a| a.tell(0).unwrap()];
        for end in ends {
            let (actor, _told) = member();
            assert!(group.join(&actor));
            end(&actor);
            actor.join();
            assert_eq!(group.len(), 0);
            assert!(!group.join(&actor));
            assert_eq!(group.broadcast(1), delivered(0, 0));
        }
    });
}

#[test]
fn group_does_not_keep_its_members_alive() {
    everywhere(|| {
        let (actor, told) = member();
        let (group, address) = (Group::new(), actor.address());
        group.join(&actor);
        assert_eq!(group.broadcast(5).told, 1);
        drop(actor);
        assert!(address.join().is_normal());
        assert_eq!((told.recv(), group.len()), (Ok(5), 0));
    });
}

#[test]
fn restarted_actor_is_still_a_member() {
    everywhere(|| {
        let (told, is_told) = bounded(10);
        let spec = ChildSpec::new("member", move || Member(told.clone()));
        let supervisor = Supervisor::new(Strategy::OneForOne).child(spec).spawn();
        let group = Group::new();
        group.join(&supervisor.actor_ref::<u32>("member").unwrap());
        assert_eq!(group.broadcast(0).told, 1);
        assert_eq!(group.broadcast(3).told, 1);
        assert_eq!(is_told.recv(), Ok(3));
        supervisor.stop();
        until(|| group.is_empty());
    });
}

/// Takes all that it is told, and says nothing: others tell it how much they like.
struct Quiet;

impl Actor for Quiet {
    type Message = u32;

    fn handle(&mut self, _: u32, _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

/// Members come, go and die while others tell them.
#[test]
fn group_with_many_changes_leaks_nothing() {
    within(|| {
        let group = Group::new();
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let group = &group;
                scope.spawn(move || {
                    for round in 0..rounds(300) {
                        let actor = spawn(Quiet);
                        assert!(group.join(&actor));
                        match (round + thread) % 4 {
                            0 => actor.kill(),
                            1 => assert!(group.leave(&actor)),
                            2 => actor.stop(),
                            _ => {}
                        }
                        group.try_broadcast(round as u32);
                        let address = actor.address();
                        drop(actor);
                        address.join();
                        assert!(!group.contains(&address));
                    }
                });
            }
        });
        assert_eq!(group.len(), 0);
    });
}
