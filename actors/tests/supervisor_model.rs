//! Random trees with random failures, compared with a model. The model is a few functions over plain data. Both
//! record every start and every end. Starts fail, children wait for their backoffs, and are stopped and started by
//! hand. Failures that occur at the same time, whose order no model can predict, are in `supervisor_bursts.rs`.

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kahn_actors::{
    Actor, ActorRef, Backoff, ChildError, ChildSpec, ChildState, Context, ExitReason, Restart,
    Strategy as Restarts, Supervisor, SupervisorRef,
};
use proptest::prelude::*;
use support::within;

/// Longer than a step takes. Less than what the watch against hangs has, so that a failure becomes a smaller one.
const PATIENCE: Duration = Duration::from_secs(20);

/// What has happened, and how many of the next starts of each kid fail.
#[derive(Clone, Debug, Default)]
struct World {
    log: Vec<String>,
    fails: HashMap<String, u32>,
}

impl World {
    /// A kid starts, or fails to.
    fn start(&mut self, id: &str) -> bool {
        let fails = self.fails.entry(id.to_owned()).or_default();
        let starts = *fails == 0;
        *fails = fails.saturating_sub(1);
        self.log.push(format!("{}{id}", if starts { '+' } else { '!' }));
        starts
    }

    fn end(&mut self, id: &str) {
        self.log.push(format!("~{id}"));
    }
}

/// A tree, as it is specified and as it is.
#[derive(Clone, Debug)]
struct Tree {
    restarts: Restarts,
    max: usize,
    used: usize,
    children: Vec<Node>,
}

#[derive(Clone, Debug)]
struct Node {
    id: String,
    restart: Restart,
    delay: Delay,
    state: ChildState,
    /// It waits for the end of a backoff that has none.
    is_stuck: bool,
    count: u64,
    lower: Option<Tree>,
    /// As it was specified.
    fresh: Option<Tree>,
}

/// How long it waits before a restart.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Delay {
    None,
    Short,
    Endless,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Normal,
    Shutdown,
    Failed,
    Panic,
    Kill,
}

#[derive(Clone, Debug)]
enum Step {
    /// A kid ends, and so many of its next starts fail.
    End(prop::sample::Index, End, u32),
    Terminate(prop::sample::Index),
    Restart(prop::sample::Index),
}

impl Node {
    fn waits(&self) -> bool {
        self.state == ChildState::Restarting
    }

    fn start(&mut self, world: &mut World) -> bool {
        let starts = match &self.fresh {
            None => {
                let starts = world.start(&self.id);
                if !starts {
                    world.end(&self.id);
                }
                starts
            }
            Some(fresh) => self.lower.insert(fresh.clone()).start(world),
        };
        self.state = if starts { ChildState::Running } else { ChildState::Stopped };
        starts
    }

    fn stop(&mut self, world: &mut World) {
        if self.state != ChildState::Running {
            return;
        }
        self.state = ChildState::Stopped;
        match &mut self.lower {
            None => world.end(&self.id),
            Some(lower) => lower.stop(world),
        }
    }
}

impl Tree {
    fn start(&mut self, world: &mut World) -> bool {
        let starts = self.children.iter_mut().all(|child| {
            child.state = ChildState::Stopped;
            child.start(world)
        });
        if !starts {
            self.stop(world);
        }
        starts
    }

    fn stop(&mut self, world: &mut World) {
        self.children.iter_mut().rev().for_each(|child| child.stop(world));
    }

    fn group(&self, place: usize) -> std::ops::Range<usize> {
        match self.restarts {
            Restarts::OneForOne => place..place + 1,
            Restarts::OneForAll => 0..self.children.len(),
            _ => place..self.children.len(),
        }
    }

    /// Returns whether a waiting child may start: no child that it starts with, or after, is stuck.
    fn may_start(&self, place: usize) -> bool {
        let stuck = |place: usize| self.children[place].is_stuck;
        self.children[place].waits()
            && !(0..self.children.len()).any(|other| self.group(other).contains(&place) && stuck(other))
    }

    /// Lets those of a group wait that are meant. Temporary ones go.
    fn hold(&mut self, group: std::ops::Range<usize>, is_meant: impl Fn(&Node) -> bool, world: &mut World) {
        for place in group.rev() {
            let child = &mut self.children[place];
            if is_meant(child) {
                child.stop(world);
                child.state = ChildState::Restarting;
                if child.restart == Restart::Temporary {
                    self.children.remove(place);
                }
            }
        }
    }

    /// A child should run and does not. Answers whether the supervisor goes on, as do those that follow.
    fn failed(&mut self, place: usize, world: &mut World) -> bool {
        self.used += 1;
        if self.used > self.max {
            self.stop(world);
            return false;
        }
        self.children[place].is_stuck = self.children[place].delay == Delay::Endless;
        self.hold(self.group(place), |_| true, world);
        self.go_on(world)
    }

    fn go_on(&mut self, world: &mut World) -> bool {
        let Some(first) = (0..self.children.len()).find(|place| self.may_start(*place)) else { return true };
        self.hold(self.group(first), |child| child.state == ChildState::Running, world);
        while let Some(place) = (0..self.children.len()).find(|place| self.may_start(*place)) {
            self.children[place].count += 1;
            if !self.children[place].start(world) {
                return self.failed(place, world);
            }
        }
        true
    }

    /// A child that ran has ended by itself.
    fn ended(&mut self, place: usize, orderly: bool, world: &mut World) -> bool {
        self.children[place].state = ChildState::Stopped;
        match self.children[place].restart {
            Restart::Temporary => {
                self.children.remove(place);
                true
            }
            Restart::Transient if orderly => true,
            _ => self.failed(place, world),
        }
    }

    /// A kid below has ended.
    fn end(&mut self, path: &[usize], end: End, world: &mut World) -> bool {
        self.at(path, world, |tree, place, world| {
            world.end(&tree.children[place].id);
            tree.ended(place, matches!(end, End::Normal | End::Shutdown), world)
        })
    }

    fn terminate(&mut self, path: &[usize], world: &mut World) -> bool {
        self.at(path, world, |tree, place, world| {
            let child = &mut tree.children[place];
            child.stop(world);
            child.state = ChildState::Stopped;
            child.is_stuck = false;
            if child.restart == Restart::Temporary {
                tree.children.remove(place);
            }
            tree.go_on(world)
        })
    }

    fn restart(&mut self, path: &[usize], world: &mut World) -> bool {
        self.at(path, world, |tree, place, world| {
            let child = &mut tree.children[place];
            if child.state == ChildState::Stopped {
                child.count += 1;
                child.start(world);
            }
            true
        })
    }

    /// Does something with a child of one of the supervisors.
    fn at(
        &mut self,
        path: &[usize],
        world: &mut World,
        f: impl FnOnce(&mut Tree, usize, &mut World) -> bool,
    ) -> bool {
        match path {
            [place] => f(self, *place, world),
            [place, rest @ ..] => {
                let lower = self.children[*place].lower.as_mut().expect("it is a supervisor that runs");
                lower.at(rest, world, f) || self.ended(*place, true, world)
            }
            [] => unreachable!("a path has a step"),
        }
    }

    /// Where the children are, of supervisors that run.
    fn paths(&self) -> Vec<Vec<usize>> {
        let below = |(place, child): (usize, &Node)| {
            let lower =
                child.lower.iter().filter(|_| child.state == ChildState::Running).flat_map(Tree::paths);
            let lower = lower.map(|path| [vec![place], path].concat()).collect::<Vec<_>>();
            [vec![vec![place]], lower].concat()
        };
        self.children.iter().enumerate().flat_map(below).collect()
    }

    fn child(&self, path: &[usize]) -> &Node {
        let child = &self.children[path[0]];
        if path.len() == 1 { child } else { child.lower.as_ref().expect("it is there").child(&path[1..]) }
    }

    /// Where the kids are that run.
    fn kids(&self) -> Vec<Vec<usize>> {
        let runs = |path: &Vec<usize>| {
            let child = self.child(path);
            child.fresh.is_none() && child.state == ChildState::Running
        };
        self.paths().into_iter().filter(runs).collect()
    }

    fn build(&self, world: &Shared) -> Supervisor {
        self.children.iter().fold(
            Supervisor::new(self.restarts).intensity(self.max, Duration::MAX),
            |supervisor, child| {
                let (id, world) = (child.id.clone(), world.clone());
                let spec = match child.fresh.clone() {
                    None => ChildSpec::new(child.id.as_str(), move || Kid(id.clone(), world.clone())),
                    Some(lower) => ChildSpec::supervisor(child.id.as_str(), move || lower.build(&world)),
                };
                let spec = spec.restart(child.restart);
                supervisor.child(match child.delay {
                    Delay::None => spec,
                    Delay::Short => spec.backoff(Backoff::constant(Duration::from_micros(50))),
                    Delay::Endless => spec.backoff(Backoff::constant(Duration::from_secs(3600))),
                })
            },
        )
    }

    /// Where the two differ.
    fn differs(&self, supervisor: &SupervisorRef) -> Option<String> {
        let real = supervisor.children();
        let real: Vec<_> = real.iter().map(|child| (&*child.id, child.state, child.restarts)).collect();
        let model: Vec<_> =
            self.children.iter().map(|child| (&*child.id, child.state, child.count)).collect();
        if real != model {
            return Some(format!("{real:?} is not {model:?}"));
        }
        self.children.iter().find_map(|child| match (&child.lower, child.state) {
            (Some(lower), ChildState::Running) => match supervisor.supervisor(&child.id) {
                Ok(real) => lower.differs(&real),
                Err(error) => Some(error.to_string()),
            },
            _ => None,
        })
    }

    /// Waits until the supervisors have heard of what changes nothing but a list.
    fn agrees(&self, supervisor: &SupervisorRef) {
        let start = Instant::now();
        while let Some(difference) = self.differs(supervisor) {
            assert!(start.elapsed() < PATIENCE, "{difference}");
            kahn_core::yield_now();
        }
    }
}

type Shared = Arc<Mutex<World>>;

struct Kid(String, Shared);

impl Actor for Kid {
    type Message = End;

    fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
        if self.1.lock().unwrap().start(&self.0) { Ok(()) } else { Err(ExitReason::failed("as told")) }
    }

    fn handle(&mut self, end: End, _: &mut Context<Self>) -> Result<(), ExitReason> {
        Err(match end {
            End::Normal => ExitReason::Normal,
            End::Shutdown => ExitReason::Shutdown,
            End::Failed => ExitReason::failed("as told"),
            End::Panic => std::panic::resume_unwind(Box::new("as told")),
            End::Kill => unreachable!("nobody is told to be killed"),
        })
    }
}

impl Drop for Kid {
    fn drop(&mut self) {
        self.1.lock().unwrap().end(&self.0);
    }
}

fn restart() -> impl Strategy<Value = Restart> {
    prop_oneof![
        3 => Just(Restart::Permanent),
        2 => Just(Restart::Transient),
        1 => Just(Restart::Temporary),
    ]
}

fn delay() -> impl Strategy<Value = Delay> {
    prop_oneof![4 => Just(Delay::None), 2 => Just(Delay::Short), 2 => Just(Delay::Endless)]
}

fn node(lower: impl Strategy<Value = Option<Tree>>) -> impl Strategy<Value = Node> {
    (restart(), delay(), lower).prop_map(|(restart, delay, lower)| Node {
        id: String::new(),
        restart,
        delay,
        state: ChildState::Stopped,
        is_stuck: false,
        count: 0,
        fresh: lower.clone(),
        lower,
    })
}

fn level(node: impl Strategy<Value = Node>) -> impl Strategy<Value = Tree> {
    let strategies =
        prop_oneof![Just(Restarts::OneForOne), Just(Restarts::OneForAll), Just(Restarts::RestForOne)];
    (strategies, 0_usize..12, prop::collection::vec(node, 1..5)).prop_map(|(restarts, max, mut children)| {
        for (place, child) in children.iter_mut().enumerate() {
            child.id = place.to_string();
            let below = child.lower.iter_mut().chain(&mut child.fresh).flat_map(|tree| &mut tree.children);
            below.for_each(|child| child.id = format!("{place}.{}", child.id));
        }
        Tree { restarts, max, used: 0, children }
    })
}

fn tree() -> impl Strategy<Value = Tree> {
    let lower = level(node(Just(None)));
    level(node(prop_oneof![3 => Just(None), 1 => lower.prop_map(Some)]))
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Normal), Just(End::Shutdown), Just(End::Failed), Just(End::Panic), Just(End::Kill)]
}

fn step() -> impl Strategy<Value = Step> {
    let fails = prop_oneof![4 => Just(0), 1 => 1_u32..4];
    prop_oneof![
        5 => (any::<prop::sample::Index>(), end(), fails).prop_map(|(kid, end, fails)| Step::End(kid, end, fails)),
        2 => any::<prop::sample::Index>().prop_map(Step::Terminate),
        2 => any::<prop::sample::Index>().prop_map(Step::Restart),
    ]
}

/// The supervisor of a child.
fn above(root: &SupervisorRef, tree: &Tree, path: &[usize]) -> SupervisorRef {
    let child = &tree.children[path[0]];
    match &child.lower {
        Some(lower) if path.len() > 1 => above(&root.supervisor(&child.id).unwrap(), lower, &path[1..]),
        _ => root.clone(),
    }
}

/// Takes a step in both. Answers whether the root goes on.
fn take(step: Step, tree: &mut Tree, world: &mut World, root: &SupervisorRef, real: &Shared) -> bool {
    let (index, places) = match &step {
        Step::End(index, ..) => (index, tree.kids()),
        Step::Terminate(index) => (index, tree.paths()),
        Step::Restart(index) => {
            // Of those that it is meant for, if there are any.
            let (stopped, others): (Vec<_>, _) =
                tree.paths().into_iter().partition(|path| tree.child(path).state == ChildState::Stopped);
            (index, if stopped.is_empty() { others } else { stopped })
        }
    };
    if places.is_empty() {
        return true;
    }
    let path = index.get(&places);
    let (supervisor, id) = (above(root, tree, path), tree.child(path).id.clone());
    match step {
        Step::End(_, end, fails) => {
            world.fails.insert(id.clone(), fails);
            real.lock().unwrap().fails.insert(id.clone(), fails);
            let kid: ActorRef<End> = supervisor.actor_ref(&id).unwrap();
            match end {
                End::Kill => kid.kill(),
                end => kid.tell(end).unwrap(),
            }
            tree.end(path, end, world)
        }
        Step::Terminate(_) => {
            supervisor.terminate_child(&id).unwrap();
            tree.terminate(path, world)
        }
        Step::Restart(_) => {
            let state = tree.child(path).state;
            let goes_on = tree.restart(path, world);
            match (supervisor.restart_child(&id), state) {
                (Err(ChildError::Running), ChildState::Running) => {}
                (Err(ChildError::Restarting), ChildState::Restarting) => {}
                (Ok(()), _) => assert_eq!(tree.child(path).state, ChildState::Running),
                (Err(ChildError::Failed(_)), _) => assert_eq!(tree.child(path).state, ChildState::Stopped),
                (other, state) => panic!("{other:?} of one that is {state:?}"),
            }
            goes_on
        }
    }
}

fn run(mut tree: Tree, steps: Vec<Step>) {
    let (real, mut world) = (Shared::default(), World::default());
    let root = tree.build(&real).spawn();
    tree.start(&mut world);
    let mut goes_on = true;
    for step in steps {
        goes_on = take(step, &mut tree, &mut world, &root, &real);
        let start = Instant::now();
        while real.lock().unwrap().log.len() < world.log.len() && start.elapsed() < PATIENCE {
            kahn_core::yield_now();
        }
        assert_eq!(real.lock().unwrap().log, world.log);
        if !goes_on {
            break;
        }
        tree.agrees(&root);
    }
    if goes_on {
        tree.stop(&mut world);
        root.stop();
    }
    assert!(matches!(root.join(), ExitReason::Shutdown));
    assert_eq!(real.lock().unwrap().log, world.log);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: support::rounds(800) as u32, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_with_random_failures_follow_the_model(
        tree in tree(),
        steps in prop::collection::vec(step(), 0..40),
        workers in 1_usize..4,
    ) {
        within(|| kahn_core::Runtime::builder().workers(workers).build().unwrap().run(|| run(tree, steps)));
    }
}
