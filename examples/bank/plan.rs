//! The transfers of a run, and the steps at which they panic, as functions of the seed. A run can therefore be
//! repeated, and its result checked, whatever the order in which the transfers happen.

const INITIAL_BALANCE: i64 = 1000;
const MAX_AMOUNT: u64 = 100;

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
    /// Unique among all orders.
    pub id: u64,
    pub teller: u64,
    pub from: u64,
    pub to: u64,
    pub amount: i64,
}

/// A point in a transfer at which the account may panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The paying account has the order.
    Ordered,
    /// The paying account has debited the money and not sent it.
    Debited,
    /// The receiving account has the deposit and not recorded it.
    Received,
    /// The receiving account has recorded the deposit and not replied.
    Deposited,
    /// The paying account has the reply and not recorded it.
    Confirmed,
}

const STEPS: [Step; 5] = [Step::Ordered, Step::Debited, Step::Received, Step::Deposited, Step::Confirmed];

impl Plan {
    fn order(&self, id: u64) -> Order {
        let mut random = Random(mixed(self.seed) ^ id);
        let from = random.below(self.accounts);
        // Any account but `from`.
        let to = (from + 1 + random.below(self.accounts - 1)) % self.accounts;
        let amount = 1 + random.below(MAX_AMOUNT) as i64;
        Order { id, teller: id % self.tellers, from, to, amount }
    }

    /// Returns a teller's orders with rising ids, which is the order in which the teller sends them.
    pub fn orders_of(&self, teller: u64) -> impl Iterator<Item = Order> {
        (teller..self.transfers).step_by(self.tellers as usize).map(|id| self.order(id))
    }

    /// Whether this step of this order panics when it is first reached.
    pub fn panics_at(&self, order: u64, step: Step) -> bool {
        let mut random = Random(mixed(!self.seed) ^ (order * STEPS.len() as u64 + step as u64));
        self.panic_every > 0 && random.below(self.panic_every) == 0
    }

    /// Returns how many panics are planned.
    pub fn panics(&self) -> u64 {
        let steps = (0..self.transfers).flat_map(|order| STEPS.map(|step| (order, step)));
        steps.filter(|&(order, step)| self.panics_at(order, step)).count() as u64
    }

    pub fn initial_balances(&self) -> Vec<i64> {
        vec![INITIAL_BALANCE; self.accounts as usize]
    }

    /// Does all transfers one by one and returns the balances.
    pub fn final_balances(&self) -> Vec<i64> {
        let mut balances = self.initial_balances();
        for Order { from, to, amount, .. } in (0..self.transfers).map(|id| self.order(id)) {
            balances[from as usize] -= amount;
            balances[to as usize] += amount;
        }
        balances
    }
}

/// The SplitMix64 generator.
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
