//! Where to open facilities while the customers are still coming: a quadrant of the map is an actor, which becomes four
//! when those that it serves have too far to go.
//!
//! Customers go down the tree to the quadrant where they are. That one settles them, and word of it goes up to the root,
//! which lets the next customer in; on its way it is passed on to other quadrants nearby if facilities were opened. So
//! parents tell children and children parents, and to park for room might make them wait in a circle. There are never
//! more than `WINDOW` customers on the way, down or up, and no more news of facilities than customers: with room for
//! all of them, which is taken as it is needed, no tell parks.
//!
//! What is checked, beside the numbers: each customer is served once, in the quadrant where it is; has no farther to go
//! than to the middle of that; and the costs, kept up to date as facilities open, are what the distances come to.

use std::sync::Arc;

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, spawn};

use crate::bench::{Bench, Random, Size, expect, tell};
use crate::outcome::{Outcome, outcome};

pub const BENCH: Bench =
    Bench { name: "facility-location", about: "a tree of quadrants that splits as customers come", run };

const SIDE: f64 = 500.0;
/// How much a quadrant's customers may have to go, as a multiple of what a facility costs.
const ALPHA: f64 = 2.0;
/// How far up the news of a facility are passed on.
const CUTOFF: u32 = 3;
const WINDOW: usize = 64;

#[derive(Clone, Copy)]
struct Point {
    x: f64,
    y: f64,
}

impl Point {
    fn distance(self, other: Point) -> f64 {
        let (x, y) = (self.x - other.x, self.y - other.y);
        (x * x + y * y).sqrt()
    }
}

#[derive(Clone, Copy)]
struct Square {
    corner: Point,
    side: f64,
}

impl Square {
    const MAP: Square = Square { corner: Point { x: 0.0, y: 0.0 }, side: SIDE };

    fn middle(self) -> Point {
        Point { x: self.corner.x + self.side / 2.0, y: self.corner.y + self.side / 2.0 }
    }

    fn quarter_of(self, point: Point) -> usize {
        let middle = self.middle();
        usize::from(point.x >= middle.x) + 2 * usize::from(point.y >= middle.y)
    }

    fn quarters(self) -> [Square; 4] {
        let side = self.side / 2.0;
        [0, 1, 2, 3].map(|i| {
            let (x, y) = (f64::from(i % 2) * side, f64::from(i / 2) * side);
            Square { corner: Point { x: self.corner.x + x, y: self.corner.y + y }, side }
        })
    }

    fn contains(self, point: Point) -> bool {
        let inside = |from: f64, at: f64| (from..from + self.side).contains(&at);
        inside(self.corner.x, point.x) && inside(self.corner.y, point.y)
    }
}

type Facilities = Arc<[Point]>;

/// Each quadrant has a facility in its middle.
struct Quadrant {
    above: Above,
    square: Square,
    facilities: Vec<Point>,
    /// Whom it serves itself, and how far the nearest facility is.
    customers: Vec<(Point, f64)>,
    cost: f64,
    children: Vec<ActorRef<ToQuadrant>>,
    room: usize,
    sum: Sum,
    missing: usize,
}

enum Above {
    Entrance(ActorRef<ToEntrance>),
    /// The parent, and which of its quarters this is.
    Parent(ActorRef<ToQuadrant>, usize),
}

enum ToQuadrant {
    Customer(Point),
    /// Somewhere else, nearby.
    Opened(Facilities),
    /// From a child.
    Settled {
        quarter: usize,
        opened: Option<Facilities>,
        levels: u32,
    },
    Close,
    /// From a child, which is closed.
    Closed(Sum),
}

/// What is below, and what it costs.
#[derive(Clone, Copy, Default)]
struct Sum {
    customers: usize,
    /// Of the places where they are, whatever their order.
    trace: u64,
    quadrants: usize,
    cost: f64,
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.customers += other.customers;
        self.trace = self.trace.wrapping_add(other.trace);
        self.quadrants += other.quadrants;
        self.cost += other.cost;
    }
}

fn trace(customers: impl IntoIterator<Item = Point>) -> u64 {
    let one = |point: Point| point.x.to_bits().wrapping_mul(3) ^ point.y.to_bits();
    customers.into_iter().map(one).fold(0, u64::wrapping_add)
}

impl Quadrant {
    fn spawn(
        above: Above,
        square: Square,
        facilities: Vec<Point>,
        customers: Vec<Point>,
        room: usize,
    ) -> ActorRef<ToQuadrant> {
        let near =
            |point: Point| facilities.iter().map(|at| at.distance(point)).fold(f64::INFINITY, f64::min);
        let customers: Vec<_> = customers.into_iter().map(|point| (point, near(point))).collect();
        let cost = customers.iter().map(|(_, far)| far).sum();
        Builder::new().mailbox(room).spawn(Quadrant {
            above,
            square,
            facilities,
            customers,
            cost,
            children: Vec::new(),
            room,
            sum: Sum::default(),
            missing: 0,
        })
    }

    fn tell_above(
        &self,
        of_root: ToEntrance,
        of_child: impl FnOnce(usize) -> ToQuadrant,
    ) -> Result<(), ExitReason> {
        match &self.above {
            Above::Entrance(entrance) => entrance.tell(of_root)?,
            Above::Parent(parent, quarter) => parent.tell(of_child(*quarter))?,
        }
        Ok(())
    }

    fn settled(&self, opened: Option<Facilities>, levels: u32) -> Result<(), ExitReason> {
        let count = opened.as_ref().map_or(0, |opened| opened.len());
        let of_child = |quarter| ToQuadrant::Settled { quarter, opened, levels };
        self.tell_above(ToEntrance::Settled { opened: count }, of_child)
    }

    fn settle(&mut self, customer: Point, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        if !self.square.contains(customer) {
            return Err(ExitReason::failed("a customer has come to the wrong quadrant"));
        }
        let far = self.facilities.iter().map(|at| at.distance(customer)).fold(f64::INFINITY, f64::min);
        self.customers.push((customer, far));
        self.cost += far;
        let opened = (self.cost > ALPHA * SIDE * 2_f64.sqrt()).then(|| self.split(ctx));
        self.settled(opened, 0)
    }

    /// Becomes four. Answers their facilities.
    fn split(&mut self, ctx: &mut Context<Self>) -> Facilities {
        let quarters = self.square.quarters();
        let opened = quarters.map(Square::middle);
        self.facilities.extend(opened);
        let mut customers = [const { Vec::new() }; 4];
        for (customer, _) in self.customers.drain(..) {
            customers[self.square.quarter_of(customer)].push(customer);
        }
        self.cost = 0.0;
        for (i, customers) in customers.into_iter().enumerate() {
            let above = Above::Parent(ctx.me(), i);
            self.children.push(Self::spawn(
                above,
                quarters[i],
                self.facilities.clone(),
                customers,
                self.room,
            ));
        }
        self.facilities.clear();
        opened.into()
    }

    fn hear_of(&mut self, opened: &Facilities) -> Result<(), ExitReason> {
        if self.children.is_empty() {
            for (customer, far) in &mut self.customers {
                let near = opened.iter().map(|at| at.distance(*customer)).fold(*far, f64::min);
                self.cost -= *far - near;
                *far = near;
            }
            self.facilities.extend_from_slice(opened);
        }
        self.children.iter().try_for_each(|child| Ok(child.tell(ToQuadrant::Opened(opened.clone()))?))
    }

    fn check(&self) -> Result<(), ExitReason> {
        if !self.children.is_empty() && !self.customers.is_empty() {
            return Err(ExitReason::failed("a quadrant has become four, and still serves customers"));
        }
        let middle = self.square.middle();
        let is_served = |(point, far): &(Point, f64)| {
            self.square.contains(*point) && *far <= point.distance(middle) && *far >= 0.0
        };
        if !self.customers.iter().all(is_served) {
            return Err(ExitReason::failed("a customer passes by the facility of its quadrant"));
        }
        let cost: f64 = self.customers.iter().map(|(_, far)| far).sum();
        if (cost - self.cost).abs() > 1e-6 * (1.0 + cost) {
            return Err(ExitReason::failed(format!("a cost of {} is said to be {}", cost, self.cost)));
        }
        Ok(())
    }

    fn close(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        if self.missing > 0 {
            return Ok(());
        }
        self.check()?;
        let trace = trace(self.customers.iter().map(|(point, _)| *point));
        self.sum.add(Sum { customers: self.customers.len(), trace, quadrants: 1, cost: self.cost });
        // Parents and children refer to each other.
        ctx.stop();
        self.tell_above(ToEntrance::Closed(self.sum), |_| ToQuadrant::Closed(self.sum))
    }
}

impl Actor for Quadrant {
    type Message = ToQuadrant;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        // The failure of one is the failure of all.
        match &self.above {
            Above::Entrance(entrance) => ctx.link(entrance),
            Above::Parent(parent, _) => ctx.link(parent),
        }
        Ok(())
    }

    fn handle(&mut self, message: ToQuadrant, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToQuadrant::Customer(point) if self.children.is_empty() => self.settle(point, ctx),
            ToQuadrant::Customer(point) => {
                Ok(self.children[self.square.quarter_of(point)].tell(ToQuadrant::Customer(point))?)
            }
            ToQuadrant::Opened(opened) => self.hear_of(&opened),
            ToQuadrant::Settled { quarter, opened, levels } => {
                if let Some(opened) = opened.as_ref().filter(|_| levels < CUTOFF) {
                    for (i, child) in self.children.iter().enumerate() {
                        if i != quarter {
                            child.tell(ToQuadrant::Opened(opened.clone()))?;
                        }
                    }
                }
                self.settled(opened, levels + 1)
            }
            ToQuadrant::Close => {
                self.missing = self.children.len();
                for child in &self.children {
                    child.tell(ToQuadrant::Close)?;
                }
                self.close(ctx)
            }
            ToQuadrant::Closed(sum) => {
                self.sum.add(sum);
                self.missing -= 1;
                self.close(ctx)
            }
        }
    }
}

/// Lets the customers in.
struct Entrance {
    customers: Vec<Point>,
    root: Option<ActorRef<ToQuadrant>>,
    /// Customers on their way.
    inside: usize,
    opened: usize,
    done: Option<Outcome<(Sum, usize)>>,
}

enum ToEntrance {
    Open,
    Settled { opened: usize },
    Closed(Sum),
}

impl Actor for Entrance {
    type Message = ToEntrance;

    fn handle(&mut self, message: ToEntrance, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToEntrance::Open => {
                let room = self.customers.len() + WINDOW + 1;
                let facilities = vec![Square::MAP.middle()];
                let above = Above::Entrance(ctx.me());
                self.root = Some(Quadrant::spawn(above, Square::MAP, facilities, Vec::new(), room));
            }
            ToEntrance::Settled { opened } => {
                self.opened += opened;
                self.inside -= 1;
            }
            ToEntrance::Closed(sum) => {
                let _ = self.done.take().map(|done| done.send((sum, self.opened)));
                self.root = None;
                return Ok(());
            }
        }
        let Some(root) = &self.root else { return Ok(()) };
        while self.inside < WINDOW
            && let Some(customer) = self.customers.pop()
        {
            root.tell(ToQuadrant::Customer(customer))?;
            self.inside += 1;
        }
        if self.inside == 0 {
            root.tell(ToQuadrant::Close)?;
        }
        Ok(())
    }
}

fn run(size: Size) -> Result<String, String> {
    let count = size.pick(100_000, 1000);
    let mut random = Random::new(123_456);
    let mut place = || random.below(1 << 40) as f64 * SIDE / (1_u64 << 40) as f64;
    let customers: Vec<Point> = (0..count).map(|_| Point { x: place(), y: place() }).collect();
    let cost_of_one: f64 = customers.iter().map(|at| at.distance(Square::MAP.middle())).sum();
    let places = trace(customers.iter().copied());
    let (sum, opened) = outcome(|done| {
        let entrance = Entrance { customers, root: None, inside: 0, opened: 0, done: Some(done) };
        tell(&spawn(entrance), ToEntrance::Open)
    })?;
    expect("customers", sum.customers, count)?;
    expect("where the customers are", sum.trace, places)?;
    expect("facilities", sum.quadrants, 1 + opened)?;
    let far = sum.cost / count as f64;
    if far * 2.0 > cost_of_one / count as f64 {
        return Err(format!("{opened} facilities, and still the customers have {far:.1} to go"));
    }
    Ok(format!("{} facilities, {far:.1} away from a customer", sum.quadrants))
}
