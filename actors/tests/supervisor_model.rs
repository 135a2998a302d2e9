//! Random trees with random failures end as the rules say: each is run beside a model, which is a few pure functions over
//! plain data, and both write down every start and every end.

mod support;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use kahn_actors::{
    Actor, ActorRef, ChildSpec, ChildState, Context, ExitReason, Restart, Strategy as Restarts, Supervisor,
    SupervisorRef,
};
use proptest::prelude::*;
use support::{until, within};

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
    state: ChildState,
    count: u64,
    lower: Option<Tree>,
    /// As it was specified.
    fresh: Option<Tree>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Normal,
    Shutdown,
    Failed,
    Panic,
    Kill,
}

impl Node {
    fn start(&mut self, log: &mut Vec<String>) {
        self.state = ChildState::Running;
        match &self.fresh {
            None => log.push(format!("+{}", self.id)),
            Some(fresh) => self.lower.insert(fresh.clone()).start(log),
        }
    }

    fn stop(&mut self, log: &mut Vec<String>) {
        if self.state != ChildState::Running {
            return;
        }
        self.state = ChildState::Stopped;
        match &mut self.lower {
            None => log.push(format!("~{}", self.id)),
            Some(lower) => lower.stop(log),
        }
    }
}

impl Tree {
    fn start(&mut self, log: &mut Vec<String>) {
        self.children.iter_mut().for_each(|child| child.start(log));
    }

    fn stop(&mut self, log: &mut Vec<String>) {
        self.children.iter_mut().rev().for_each(|child| child.stop(log));
    }

    /// A child that ran has ended by itself. Answers whether the supervisor goes on.
    fn ended(&mut self, place: usize, orderly: bool, log: &mut Vec<String>) -> bool {
        self.children[place].state = ChildState::Stopped;
        match self.children[place].restart {
            Restart::Temporary => {
                self.children.remove(place);
                return true;
            }
            Restart::Transient if orderly => return true,
            _ => {}
        }
        self.used += 1;
        if self.used > self.max {
            self.stop(log);
            return false;
        }
        let group = match self.restarts {
            Restarts::OneForOne => place..place + 1,
            Restarts::OneForAll => 0..self.children.len(),
            _ => place..self.children.len(),
        };
        self.children[group.clone()].iter_mut().rev().for_each(|child| child.stop(log));
        let failed = self.children[place].id.clone();
        for child in &mut self.children[group] {
            if child.restart != Restart::Temporary || child.id == failed {
                child.count += 1;
                child.start(log);
            }
        }
        self.children
            .retain(|child| child.state == ChildState::Running || child.restart != Restart::Temporary);
        true
    }

    /// A kid below has ended. Answers whether the supervisor goes on.
    fn end(&mut self, path: &[usize], end: End, log: &mut Vec<String>) -> bool {
        let (place, rest) = (path[0], &path[1..]);
        match &mut self.children[place].lower {
            Some(lower) => lower.end(rest, end, log) || self.ended(place, true, log),
            None => {
                log.push(format!("~{}", self.children[place].id));
                self.ended(place, matches!(end, End::Normal | End::Shutdown), log)
            }
        }
    }

    /// Where the kids are that run.
    fn kids(&self) -> Vec<Vec<usize>> {
        let running = |(_, child): &(usize, &Node)| child.state == ChildState::Running;
        let below = |(place, child): (usize, &Node)| match &child.lower {
            None => vec![vec![place]],
            Some(lower) => lower.kids().into_iter().map(|path| [vec![place], path].concat()).collect(),
        };
        self.children.iter().enumerate().filter(running).flat_map(below).collect()
    }

    fn build(&self, log: &Log) -> Supervisor {
        self.children.iter().fold(
            Supervisor::new(self.restarts).intensity(self.max, Duration::MAX),
            |supervisor, child| {
                let (id, log) = (child.id.clone(), log.clone());
                let spec = match child.fresh.clone() {
                    None => ChildSpec::new(child.id.as_str(), move || Kid(id.clone(), log.clone())),
                    Some(lower) => ChildSpec::supervisor(child.id.as_str(), move || lower.build(&log)),
                };
                supervisor.child(spec.restart(child.restart))
            },
        )
    }

    fn agrees(&self, supervisor: &SupervisorRef) {
        let real = supervisor.children();
        let real: Vec<_> = real.iter().map(|child| (&*child.id, child.state, child.restarts)).collect();
        let model: Vec<_> =
            self.children.iter().map(|child| (&*child.id, child.state, child.count)).collect();
        assert_eq!(real, model);
        for child in &self.children {
            if let (Some(lower), ChildState::Running) = (&child.lower, child.state) {
                lower.agrees(&supervisor.supervisor(&child.id).unwrap());
            }
        }
    }
}

type Log = Arc<Mutex<Vec<String>>>;

struct Kid(String, Log);

impl Actor for Kid {
    type Message = End;

    fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.1.lock().unwrap().push(format!("+{}", self.0));
        Ok(())
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
        self.1.lock().unwrap().push(format!("~{}", self.0));
    }
}

fn restart() -> impl Strategy<Value = Restart> {
    prop_oneof![
        3 => Just(Restart::Permanent),
        2 => Just(Restart::Transient),
        1 => Just(Restart::Temporary),
    ]
}

fn node(lower: impl Strategy<Value = Option<Tree>>) -> impl Strategy<Value = Node> {
    (restart(), lower).prop_map(|(restart, lower)| Node {
        id: String::new(),
        restart,
        state: ChildState::Running,
        count: 0,
        fresh: lower.clone(),
        lower,
    })
}

fn level(node: impl Strategy<Value = Node>) -> impl Strategy<Value = Tree> {
    let strategies =
        prop_oneof![Just(Restarts::OneForOne), Just(Restarts::OneForAll), Just(Restarts::RestForOne)];
    (strategies, 0_usize..6, prop::collection::vec(node, 1..5)).prop_map(|(restarts, max, mut children)| {
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

fn find(root: &SupervisorRef, tree: &Tree, path: &[usize]) -> ActorRef<End> {
    let child = &tree.children[path[0]];
    match &child.lower {
        None => root.actor_ref(&child.id).unwrap(),
        Some(lower) => find(&root.supervisor(&child.id).unwrap(), lower, &path[1..]),
    }
}

fn run(mut tree: Tree, ends: Vec<(prop::sample::Index, End)>) {
    let log = Log::default();
    let mut expected = Vec::new();
    let root = tree.build(&log).spawn();
    tree.start(&mut expected);
    let mut goes_on = true;
    for (which, end) in ends {
        let kids = tree.kids();
        if kids.is_empty() {
            break;
        }
        let path = which.get(&kids);
        let kid = find(&root, &tree, path);
        match end {
            End::Kill => kid.kill(),
            end => kid.tell(end).unwrap(),
        }
        goes_on = tree.end(path, end, &mut expected);
        until(|| log.lock().unwrap().len() >= expected.len());
        assert_eq!(*log.lock().unwrap(), expected);
        if !goes_on {
            break;
        }
        // The last thing that is written down may be an end, which is yet to be dealt with.
        let restarts = |supervisor: &SupervisorRef| {
            supervisor.children().iter().map(|child| child.restarts).sum::<u64>()
        };
        until(|| restarts(&root) >= tree.children.iter().map(|child| child.count).sum());
        let _ = kid;
        tree.settle(&root);
        tree.agrees(&root);
    }
    if goes_on {
        tree.stop(&mut expected);
        root.stop();
    }
    assert!(matches!(root.join(), ExitReason::Shutdown));
    assert_eq!(*log.lock().unwrap(), expected);
}

impl Tree {
    /// Waits until the supervisors have heard of ends that change nothing but a list.
    fn settle(&self, supervisor: &SupervisorRef) {
        let stopped = |children: &mut dyn Iterator<Item = ChildState>| {
            children.filter(|state| *state != ChildState::Running).count()
        };
        until(|| {
            let real = supervisor.children();
            real.len() == self.children.len()
                && stopped(&mut real.iter().map(|child| child.state))
                    == stopped(&mut self.children.iter().map(|child| child.state))
        });
        for child in &self.children {
            if let (Some(lower), ChildState::Running) = (&child.lower, child.state) {
                lower.settle(&supervisor.supervisor(&child.id).unwrap());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: support::rounds(150) as u32, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_with_random_failures_end_as_the_rules_say(
        tree in tree(),
        ends in prop::collection::vec((any::<prop::sample::Index>(), end()), 0..25),
        workers in 1_usize..4,
    ) {
        within(|| kahn_core::Runtime::builder().workers(workers).build().unwrap().run(|| run(tree, ends)));
    }
}
