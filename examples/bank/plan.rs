//! What is to happen, as a function of the seed: which transfers there are, and which of their steps panic. So a run can be
//! repeated, and checked, whatever the order in which things happen.

const BROUGHT: i64 = 1000;
const AMOUNT_MOST: u64 = 100;

#[derive(Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    pub accounts: u64,
    pub tellers: u64,
    pub transfers: u64,
    pub panic_every: u64,
}

#[derive(Clone, Copy)]
pub struct Order {
    /// Of all orders.
    pub id: u64,
    pub teller: u64,
    pub from: u64,
    pub to: u64,
    pub amount: i64,
}

/// A place in a transfer at which it can be cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The account that pays has the order.
    Ordered,
    /// It has written the money off, and not sent it.
    WrittenOff,
    /// The account that is paid has the deposit, and has not written it down.
    Received,
    /// It has, and has not said so.
    Deposited,
    /// The account that pays has heard so, and has not written it down.
    Confirmed,
}

const STEPS: [Step; 5] = [Step::Ordered, Step::WrittenOff, Step::Received, Step::Deposited, Step::Confirmed];

impl Plan {
    fn order(&self, id: u64) -> Order {
        let mut random = Random(mixed(self.seed) ^ id);
        let from = random.below(self.accounts);
        // Any other.
        let to = (from + 1 + random.below(self.accounts - 1)) % self.accounts;
        let amount = 1 + random.below(AMOUNT_MOST) as i64;
        Order { id, teller: id % self.tellers, from, to, amount }
    }

    /// In the order in which a teller does them: their ids rise.
    pub fn orders_of(&self, teller: u64) -> impl Iterator<Item = Order> {
        (teller..self.transfers).step_by(self.tellers as usize).map(|id| self.order(id))
    }

    /// Whether this step of this transfer panics, when it is first taken.
    pub fn is_fatal(&self, order: u64, step: Step) -> bool {
        let mut random = Random(mixed(!self.seed) ^ (order * STEPS.len() as u64 + step as u64));
        self.panic_every > 0 && random.below(self.panic_every) == 0
    }

    pub fn faults(&self) -> u64 {
        let steps = (0..self.transfers).flat_map(|order| STEPS.map(|step| (order, step)));
        steps.filter(|&(order, step)| self.is_fatal(order, step)).count() as u64
    }

    pub fn balances_at_first(&self) -> Vec<i64> {
        vec![BROUGHT; self.accounts as usize]
    }

    /// All transfers, one by one.
    pub fn balances_at_last(&self) -> Vec<i64> {
        let mut balances = self.balances_at_first();
        for Order { from, to, amount, .. } in (0..self.transfers).map(|id| self.order(id)) {
            balances[from as usize] -= amount;
            balances[to as usize] += amount;
        }
        balances
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0) % limit
    }
}

fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
