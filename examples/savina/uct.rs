//! An unbalanced tree that grows while it runs: each node asks for leave to have children, and the control, which draws
//! lots, grants it or not. When nobody grows any more, the tree is walked through.
//!
//! A node hears of the control twice at most, and of each child once; its mailbox is never full, so the control and
//! the parents never park when they tell one. Nodes could park when they tell the control, which always goes on; but all
//! of them tell it, and one that is parked has a stack, so it has room for a message from each.

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Random, Size, ask, busy, expect};
use crate::outcome::{Above, Outcome, outcome};

pub const BENCH: Bench =
    Bench { name: "uct", about: "a tree of actors that grows at random, then is visited", run };

/// A node has none, or so many.
const CHILDREN: usize = 10;
/// Rounds of work of a node.
const MEAN: f64 = 500.0;
const DEVIATION: f64 = 100.0;
/// How often one of the children is urgent.
const URGENT_PERCENT: u64 = 50;

/// What is known of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    nodes: u64,
    urgent: u64,
    /// The rounds that all the nodes work.
    work: u64,
    height: u32,
}

struct Control {
    random: Random,
    most: u64,
    /// What the tree is to come to.
    granted: Tally,
    /// Nodes that have not asked yet.
    to_ask: u64,
    root: Option<ActorRef<ToNode>>,
    /// Who wants to know what was granted, when the tree has been visited.
    ledger: Option<Reply<Tally>>,
}

enum ToControl {
    Grow { most: u64, done: Outcome<Tally>, ledger: Reply<Tally> },
    MayGrow { node: ActorRef<ToNode>, height: u32 },
}

struct Node {
    control: Option<ActorRef<ToControl>>,
    above: Option<Above<ToNode, Tally>>,
    height: u32,
    is_urgent: bool,
    work: u64,
    children: Vec<ActorRef<ToNode>>,
    /// Of what is below, and how many children have not said theirs.
    tally: Tally,
    missing: usize,
}

enum ToNode {
    /// Ask for children.
    Try,
    Grow(Growth),
    Visit,
    Tally(Tally),
}

/// What a node that may grow is to do.
struct Growth {
    urgent: Option<usize>,
    /// The rounds that the children work.
    work: [u32; CHILDREN],
}

impl Control {
    fn growth(&mut self) -> Growth {
        let urgent = self.random.chance(URGENT_PERCENT).then(|| self.random.below(CHILDREN as u64) as usize);
        let work = [(); CHILDREN].map(|()| {
            // The sum of a dozen of these is nearly normal, with the variance one.
            let sum: f64 = (0..12).map(|_| self.random.below(1 << 20) as f64 / f64::from(1 << 20)).sum();
            (MEAN + DEVIATION * (sum - 6.0)).max(0.0) as u32
        });
        Growth { urgent, work }
    }

    fn grant(&mut self, node: &ActorRef<ToNode>, height: u32) -> Result<(), ExitReason> {
        let growth = self.growth();
        self.granted.nodes += CHILDREN as u64;
        self.granted.urgent += u64::from(growth.urgent.is_some());
        self.granted.work += growth.work.iter().map(|work| u64::from(*work)).sum::<u64>();
        self.granted.height = self.granted.height.max(height + 1);
        self.to_ask += CHILDREN as u64;
        Ok(node.tell(ToNode::Grow(growth))?)
    }
}

impl Actor for Control {
    type Message = ToControl;

    fn handle(&mut self, message: ToControl, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToControl::Grow { most, done, ledger } => {
                self.most = most;
                self.ledger = Some(ledger);
                self.granted.nodes = 1;
                let root = spawn(Node::new(ctx.me(), Above::Caller(done), 0, false, 0));
                self.grant(&root, 0)?;
                self.root = Some(root);
            }
            ToControl::MayGrow { node, height } => {
                self.to_ask -= 1;
                let has_room = self.granted.nodes + CHILDREN as u64 <= self.most;
                if has_room && self.random.chance(50) {
                    self.grant(&node, height)?;
                }
            }
        }
        if self.to_ask == 0
            && let (Some(root), Some(ledger)) = (self.root.take(), self.ledger.take())
        {
            root.tell(ToNode::Visit)?;
            let _ = ledger.send(self.granted);
        }
        Ok(())
    }
}

impl Node {
    fn new(
        control: ActorRef<ToControl>,
        above: Above<ToNode, Tally>,
        height: u32,
        is_urgent: bool,
        work: u32,
    ) -> Node {
        let (control, above) = (Some(control), Some(above));
        let (children, work) = (Vec::new(), work.into());
        Node { control, above, height, is_urgent, work, children, tally: Tally::default(), missing: 0 }
    }

    /// Tells what it knows of itself and of those below, and ends: parents and children refer to each other.
    fn leave(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.tally.nodes += 1;
        self.tally.urgent += u64::from(self.is_urgent);
        self.tally.work += self.work;
        self.tally.height = self.tally.height.max(self.height);
        ctx.stop();
        let tally = self.tally;
        self.above.take().map_or(Ok(()), |above| above.hand(tally, ToNode::Tally))
    }
}

impl Actor for Node {
    type Message = ToNode;

    fn handle(&mut self, message: ToNode, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToNode::Try => {
                busy(self.work);
                // Once is enough.
                if let Some(control) = self.control.take() {
                    control.tell(ToControl::MayGrow { node: ctx.me(), height: self.height })?;
                    // For its children, should it have any.
                    self.control = Some(control);
                }
            }
            ToNode::Grow(growth) => {
                let Some(control) = self.control.take() else {
                    return Err(ExitReason::failed("a node is to grow twice"));
                };
                for (i, work) in growth.work.into_iter().enumerate() {
                    let (above, is_urgent) = (Above::Parent(ctx.me()), growth.urgent == Some(i));
                    self.children.push(spawn(Node::new(
                        control.clone(),
                        above,
                        self.height + 1,
                        is_urgent,
                        work,
                    )));
                }
                if let Some(urgent) = growth.urgent {
                    // It comes first, now and when they are visited.
                    self.children.swap(0, urgent);
                }
                for child in &self.children {
                    child.tell(ToNode::Try)?;
                }
            }
            ToNode::Visit => {
                busy(self.work);
                self.missing = self.children.len();
                for child in self.children.drain(..) {
                    child.tell(ToNode::Visit)?;
                }
                if self.missing == 0 {
                    self.leave(ctx)?;
                }
            }
            ToNode::Tally(tally) => {
                self.tally.nodes += tally.nodes;
                self.tally.urgent += tally.urgent;
                self.tally.work += tally.work;
                self.tally.height = self.tally.height.max(tally.height);
                self.missing -= 1;
                if self.missing == 0 {
                    self.leave(ctx)?;
                }
            }
        }
        Ok(())
    }
}

fn run(size: Size) -> Result<String, String> {
    let most = size.pick(200_000, 500);
    let control = Control {
        random: Random::new(42),
        most: 0,
        granted: Tally::default(),
        to_ask: 0,
        root: None,
        ledger: None,
    };
    let mut granted = Tally::default();
    let visited = outcome(|done| {
        let control = Builder::new().mailbox(most as usize).spawn(control);
        granted = ask(&control, |ledger| ToControl::Grow { most, done, ledger })?;
        Ok(())
    })?;
    expect("what the tree is", visited, granted)?;
    let children = CHILDREN as u64;
    expect("its nodes", visited.nodes, 1 + (most - 1) / children * children)?;
    Ok(format!("{} nodes, {} of them urgent, {} high", visited.nodes, visited.urgent, visited.height))
}
