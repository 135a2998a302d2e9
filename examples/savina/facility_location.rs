//! Online facility location: decides where to open facilities while customers arrive. A quadrant of the map is an actor
//! with a facility in its middle. It splits into four quadrants when the distances of its customers add up to too much.
//!
//! A customer goes down the tree of quadrants to the leaf that contains it, and the leaf serves it. The leaf then sends
//! `Settled` up the tree to the entrance, which admits the next customer. If the leaf has split, `Settled` has the new
//! facilities, and the ancestors up to `CUTOFF` levels send them to their other quadrants.
//!
//! No deadlock: parents tell children and children tell parents, so a park could close a cycle, and no tell may park.
//! At most `WINDOW` customers are on their way down or up, and there are no more `Opened` messages than customers. A
//! mailbox has space for all of them; it allocates only what it uses.
//!
//! Checks: each customer is served once, in the quadrant that contains it, by a facility that is no farther than the
//! middle of that quadrant. The costs, which are updated when facilities open, equal the sums of the distances.

use std::sync::Arc;

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, spawn};

use crate::bench::{Bench, Random, Size, expect, tell};
use crate::results::{ResultSender, wait_for_result};

pub const BENCH: Bench =
    Bench { name: "facility-location", about: "a tree of quadrants that split while customers arrive", run };

const SIDE: f64 = 500.0;
/// A quadrant splits when the distances of its customers add up to more than this multiple of the cost of a facility.
const ALPHA: f64 = 2.0;
/// How many ancestors of a new facility send it to their other quadrants.
const CUTOFF: u32 = 3;
/// How many customers may be on their way at a time.
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

/// A leaf of the tree serves customers. An inner quadrant has children instead.
struct Quadrant {
    parent: Parent,
    square: Square,
    facilities: Vec<Point>,
    /// The customers, and the distance of the nearest facility from each.
    customers: Vec<(Point, f64)>,
    cost: f64,
    children: Vec<ActorRef<ToQuadrant>>,
    mailbox: usize,
    /// The sum over the children that are closed.
    sum: Sum,
    /// How many children are not closed.
    missing: usize,
}

enum Parent {
    Entrance(ActorRef<ToEntrance>),
    /// A quadrant, and the number of the quarter of it that this is.
    Quadrant(ActorRef<ToQuadrant>, usize),
}

enum ToQuadrant {
    Customer(Point),
    /// Facilities that were opened in a quadrant nearby.
    Opened(Facilities),
    /// From a child: a customer is served, and `opened` are the facilities of a quadrant that split for it.
    Settled {
        quarter: usize,
        opened: Option<Facilities>,
        levels: u32,
    },
    Close,
    /// From a child that is closed.
    Closed(Sum),
}

/// The totals of a quadrant and its descendants.
#[derive(Clone, Copy, Default)]
struct Sum {
    customers: usize,
    /// A hash of the customers' positions that does not depend on their order.
    position_hash: u64,
    quadrants: usize,
    cost: f64,
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.customers += other.customers;
        self.position_hash = self.position_hash.wrapping_add(other.position_hash);
        self.quadrants += other.quadrants;
        self.cost += other.cost;
    }
}

fn position_hash(customers: impl IntoIterator<Item = Point>) -> u64 {
    let hash = |point: Point| point.x.to_bits().wrapping_mul(3) ^ point.y.to_bits();
    customers.into_iter().map(hash).fold(0, u64::wrapping_add)
}

/// Returns the distance from `point` to the nearest facility.
fn nearest(facilities: &[Point], point: Point) -> f64 {
    facilities.iter().map(|facility| facility.distance(point)).fold(f64::INFINITY, f64::min)
}

impl Quadrant {
    fn spawn(
        parent: Parent,
        square: Square,
        facilities: Vec<Point>,
        customers: Vec<Point>,
        mailbox: usize,
    ) -> ActorRef<ToQuadrant> {
        let customers: Vec<_> =
            customers.into_iter().map(|point| (point, nearest(&facilities, point))).collect();
        let cost = customers.iter().map(|(_, distance)| distance).sum();
        Builder::new().mailbox(mailbox).spawn(Quadrant {
            parent,
            square,
            facilities,
            customers,
            cost,
            children: Vec::new(),
            mailbox,
            sum: Sum::default(),
            missing: 0,
        })
    }

    fn tell_parent(
        &self,
        to_entrance: ToEntrance,
        to_quadrant: impl FnOnce(usize) -> ToQuadrant,
    ) -> Result<(), ExitReason> {
        match &self.parent {
            Parent::Entrance(entrance) => entrance.tell(to_entrance)?,
            Parent::Quadrant(parent, quarter) => parent.tell(to_quadrant(*quarter))?,
        }
        Ok(())
    }

    fn send_settled(&self, opened: Option<Facilities>, levels: u32) -> Result<(), ExitReason> {
        let count = opened.as_ref().map_or(0, |opened| opened.len());
        let to_quadrant = |quarter| ToQuadrant::Settled { quarter, opened, levels };
        self.tell_parent(ToEntrance::Settled { opened: count }, to_quadrant)
    }

    /// Serves a customer in this leaf, and splits the leaf if its cost is too high.
    fn settle(&mut self, customer: Point, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        if !self.square.contains(customer) {
            return Err(ExitReason::failed("a customer arrived at the wrong quadrant"));
        }
        let distance = nearest(&self.facilities, customer);
        self.customers.push((customer, distance));
        self.cost += distance;
        let opened = (self.cost > ALPHA * SIDE * 2_f64.sqrt()).then(|| self.split(ctx));
        self.send_settled(opened, 0)
    }

    /// Splits this leaf into four quadrants and returns their facilities.
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
            let parent = Parent::Quadrant(ctx.me(), i);
            let child = Self::spawn(parent, quarters[i], self.facilities.clone(), customers, self.mailbox);
            self.children.push(child);
        }
        self.facilities.clear();
        opened.into()
    }

    /// Updates the distances of the customers, or tells the children to do so.
    fn add_facilities(&mut self, opened: &Facilities) -> Result<(), ExitReason> {
        if self.children.is_empty() {
            for (customer, distance) in &mut self.customers {
                let new_distance = nearest(opened, *customer).min(*distance);
                self.cost -= *distance - new_distance;
                *distance = new_distance;
            }
            self.facilities.extend_from_slice(opened);
        }
        self.children.iter().try_for_each(|child| Ok(child.tell(ToQuadrant::Opened(opened.clone()))?))
    }

    fn check(&self) -> Result<(), ExitReason> {
        if !self.children.is_empty() && !self.customers.is_empty() {
            return Err(ExitReason::failed("a quadrant that has split still serves customers"));
        }
        let middle = self.square.middle();
        let is_served = |(point, distance): &(Point, f64)| {
            self.square.contains(*point) && *distance <= point.distance(middle) && *distance >= 0.0
        };
        if !self.customers.iter().all(is_served) {
            return Err(ExitReason::failed("a customer is outside of its quadrant, or has a wrong distance"));
        }
        let cost: f64 = self.customers.iter().map(|(_, distance)| distance).sum();
        if (cost - self.cost).abs() > 1e-6 * (1.0 + cost) {
            return Err(ExitReason::failed(format!("the cost is {}, expected {cost}", self.cost)));
        }
        Ok(())
    }

    /// Checks this quadrant and sends its totals to the parent, when all children are closed.
    fn close(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        if self.missing > 0 {
            return Ok(());
        }
        self.check()?;
        let position_hash = position_hash(self.customers.iter().map(|(point, _)| *point));
        self.sum.add(Sum { customers: self.customers.len(), position_hash, quadrants: 1, cost: self.cost });
        // Without the stop the quadrants would not end, because parents and children hold references to each other.
        ctx.stop();
        self.tell_parent(ToEntrance::Closed(self.sum), |_| ToQuadrant::Closed(self.sum))
    }
}

impl Actor for Quadrant {
    type Message = ToQuadrant;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        // The failure of one quadrant ends all.
        match &self.parent {
            Parent::Entrance(entrance) => ctx.link(entrance),
            Parent::Quadrant(parent, _) => ctx.link(parent),
        }
        Ok(())
    }

    fn handle(&mut self, message: ToQuadrant, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToQuadrant::Customer(point) if self.children.is_empty() => self.settle(point, ctx),
            ToQuadrant::Customer(point) => {
                Ok(self.children[self.square.quarter_of(point)].tell(ToQuadrant::Customer(point))?)
            }
            ToQuadrant::Opened(opened) => self.add_facilities(&opened),
            ToQuadrant::Settled { quarter, opened, levels } => {
                if let Some(opened) = opened.as_ref().filter(|_| levels < CUTOFF) {
                    for (i, child) in self.children.iter().enumerate() {
                        if i != quarter {
                            child.tell(ToQuadrant::Opened(opened.clone()))?;
                        }
                    }
                }
                self.send_settled(opened, levels + 1)
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

/// Admits customers to the map.
struct Entrance {
    customers: Vec<Point>,
    root: Option<ActorRef<ToQuadrant>>,
    /// The number of customers on their way.
    in_flight: usize,
    opened: usize,
    done: Option<ResultSender<(Sum, usize)>>,
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
                let mailbox = self.customers.len() + WINDOW + 1;
                let facilities = vec![Square::MAP.middle()];
                let parent = Parent::Entrance(ctx.me());
                self.root = Some(Quadrant::spawn(parent, Square::MAP, facilities, Vec::new(), mailbox));
            }
            ToEntrance::Settled { opened } => {
                self.opened += opened;
                self.in_flight -= 1;
            }
            ToEntrance::Closed(sum) => {
                let _ = self.done.take().map(|done| done.send((sum, self.opened)));
                self.root = None;
                return Ok(());
            }
        }
        let Some(root) = &self.root else { return Ok(()) };
        while self.in_flight < WINDOW
            && let Some(customer) = self.customers.pop()
        {
            root.tell(ToQuadrant::Customer(customer))?;
            self.in_flight += 1;
        }
        if self.in_flight == 0 {
            root.tell(ToQuadrant::Close)?;
        }
        Ok(())
    }
}

fn run(size: Size) -> Result<String, String> {
    let count = size.pick(100_000, 1000);
    let mut random = Random::new(123_456);
    let mut coordinate = || random.below(1 << 40) as f64 * SIDE / (1_u64 << 40) as f64;
    let customers: Vec<Point> = (0..count).map(|_| Point { x: coordinate(), y: coordinate() }).collect();
    let cost_of_one_facility: f64 = customers.iter().map(|at| at.distance(Square::MAP.middle())).sum();
    let positions = position_hash(customers.iter().copied());
    let (sum, opened) = wait_for_result(|done| {
        let entrance = Entrance { customers, root: None, in_flight: 0, opened: 0, done: Some(done) };
        tell(&spawn(entrance), ToEntrance::Open)
    })?;
    expect("customers", sum.customers, count)?;
    expect("the hash of the customers' positions", sum.position_hash, positions)?;
    expect("facilities", sum.quadrants, 1 + opened)?;
    let mean_distance = sum.cost / count as f64;
    if mean_distance * 2.0 > cost_of_one_facility / count as f64 {
        return Err(format!("{opened} facilities leave a mean distance of {mean_distance:.1}"));
    }
    Ok(format!("{} facilities, at a mean distance of {mean_distance:.1}", sum.quadrants))
}
