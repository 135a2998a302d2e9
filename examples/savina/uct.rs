//! An unbalanced tree of actors that grows at random. Each node asks the control actor whether it may have children.
//! When no node is left that can grow, the nodes are visited from the root.
//!
//! No deadlock: a node gets `Try`, `Grow` and `Visit` at most once each, and one message from each child. Its mailbox
//! is never full, so the control and the parents never park. Nodes could park when they tell the control, which always
//! continues. But a parked node keeps its stack, and all nodes tell the control, so its mailbox has space for a message
//! from each.

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Random, Size, ask, burn_cpu, expect};
use crate::results::{ReplyTo, ResultSender, wait_for_result};

pub const BENCH: Bench =
    Bench { name: "uct", about: "a tree of actors grows at random and is then visited", run };

/// A node has this many children or none.
const CHILDREN: usize = 10;
/// The mean of the work of a node, in rounds of `burn_cpu`, and its standard deviation.
const MEAN: f64 = 500.0;
const DEVIATION: f64 = 100.0;
/// The probability that one of the children is urgent.
const URGENT_PERCENT: u64 = 50;

/// The properties of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    nodes: u64,
    urgent: u64,
    /// The sum of the work of all nodes.
    work: u64,
    height: u32,
}

struct Control {
    random: Random,
    max_nodes: u64,
    /// The properties that the tree must have when it has grown.
    granted: Tally,
    /// The number of nodes that have not asked yet.
    to_ask: u64,
    root: Option<ActorRef<ToNode>>,
    /// The reply to `Grow`, which gets `granted`.
    reply: Option<Reply<Tally>>,
}

enum ToControl {
    Grow { max_nodes: u64, done: ResultSender<Tally>, reply: Reply<Tally> },
    MayGrow { node: ActorRef<ToNode>, height: u32 },
}

struct Node {
    control: Option<ActorRef<ToControl>>,
    reply_to: Option<ReplyTo<ToNode, Tally>>,
    height: u32,
    is_urgent: bool,
    work: u64,
    children: Vec<ActorRef<ToNode>>,
    /// The sum over the children that have been visited.
    tally: Tally,
    /// The number of children that have not sent their tally.
    missing: usize,
}

enum ToNode {
    /// Ask the control for children.
    Try,
    Grow(Growth),
    Visit,
    /// From a child that has been visited.
    Tally(Tally),
}

/// The children that a node may have.
struct Growth {
    urgent: Option<usize>,
    /// The work of each child.
    work: [u32; CHILDREN],
}

impl Control {
    fn growth(&mut self) -> Growth {
        let urgent = self.random.chance(URGENT_PERCENT).then(|| self.random.below(CHILDREN as u64) as usize);
        let work = [(); CHILDREN].map(|()| {
            // The sum of twelve uniform numbers is nearly normal, with a variance of one.
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
            ToControl::Grow { max_nodes, done, reply } => {
                self.max_nodes = max_nodes;
                self.reply = Some(reply);
                self.granted.nodes = 1;
                let root = spawn(Node::new(ctx.me(), ReplyTo::Caller(done), 0, false, 0));
                self.grant(&root, 0)?;
                self.root = Some(root);
            }
            ToControl::MayGrow { node, height } => {
                self.to_ask -= 1;
                let is_below_max = self.granted.nodes + CHILDREN as u64 <= self.max_nodes;
                if is_below_max && self.random.chance(50) {
                    self.grant(&node, height)?;
                }
            }
        }
        if self.to_ask == 0
            && let (Some(root), Some(reply)) = (self.root.take(), self.reply.take())
        {
            root.tell(ToNode::Visit)?;
            let _ = reply.send(self.granted);
        }
        Ok(())
    }
}

impl Node {
    fn new(
        control: ActorRef<ToControl>,
        reply_to: ReplyTo<ToNode, Tally>,
        height: u32,
        is_urgent: bool,
        work: u32,
    ) -> Node {
        let (control, reply_to) = (Some(control), Some(reply_to));
        let (children, work) = (Vec::new(), work.into());
        Node { control, reply_to, height, is_urgent, work, children, tally: Tally::default(), missing: 0 }
    }

    fn grow(&mut self, growth: Growth, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        let Some(control) = self.control.take() else {
            return Err(ExitReason::failed("a node was told to grow twice"));
        };
        for (i, work) in growth.work.into_iter().enumerate() {
            let (reply_to, is_urgent) = (ReplyTo::Parent(ctx.me()), growth.urgent == Some(i));
            let child = Node::new(control.clone(), reply_to, self.height + 1, is_urgent, work);
            self.children.push(spawn(child));
        }
        if let Some(urgent) = growth.urgent {
            // The urgent child is the first to get `Try` and `Visit`.
            self.children.swap(0, urgent);
        }
        Ok(self.children.iter().try_for_each(|child| child.tell(ToNode::Try))?)
    }

    fn visit(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        burn_cpu(self.work);
        self.missing = self.children.len();
        for child in self.children.drain(..) {
            child.tell(ToNode::Visit)?;
        }
        if self.missing == 0 { self.finish(ctx) } else { Ok(()) }
    }

    /// Sends the tally of this node and its descendants, and stops. Without the stop the node would not end, because
    /// parents and children hold references to each other.
    fn finish(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.tally.nodes += 1;
        self.tally.urgent += u64::from(self.is_urgent);
        self.tally.work += self.work;
        self.tally.height = self.tally.height.max(self.height);
        ctx.stop();
        let tally = self.tally;
        self.reply_to.take().map_or(Ok(()), |reply_to| reply_to.send(tally, ToNode::Tally))
    }
}

impl Actor for Node {
    type Message = ToNode;

    fn handle(&mut self, message: ToNode, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToNode::Try => {
                burn_cpu(self.work);
                if let Some(control) = &self.control {
                    control.tell(ToControl::MayGrow { node: ctx.me(), height: self.height })?;
                }
            }
            ToNode::Grow(growth) => self.grow(growth, ctx)?,
            ToNode::Visit => self.visit(ctx)?,
            ToNode::Tally(tally) => {
                self.tally.nodes += tally.nodes;
                self.tally.urgent += tally.urgent;
                self.tally.work += tally.work;
                self.tally.height = self.tally.height.max(tally.height);
                self.missing -= 1;
                if self.missing == 0 {
                    self.finish(ctx)?;
                }
            }
        }
        Ok(())
    }
}

fn run(size: Size) -> Result<String, String> {
    let max_nodes = size.pick(200_000, 500);
    let control = Control {
        random: Random::new(42),
        max_nodes: 0,
        granted: Tally::default(),
        to_ask: 0,
        root: None,
        reply: None,
    };
    let mut granted = Tally::default();
    let visited = wait_for_result(|done| {
        let control = Builder::new().mailbox(max_nodes as usize).spawn(control);
        granted = ask(&control, |reply| ToControl::Grow { max_nodes, done, reply })?;
        Ok(())
    })?;
    expect("the tree", visited, granted)?;
    let children = CHILDREN as u64;
    expect("its nodes", visited.nodes, 1 + (max_nodes - 1) / children * children)?;
    Ok(format!("{} nodes, {} of them urgent, height {}", visited.nodes, visited.urgent, visited.height))
}
