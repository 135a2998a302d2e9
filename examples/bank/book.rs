//! The durable state of the accounts: a page for each, which stands for a record on a disk. Every method changes a page
//! by one whole step and cannot panic in the middle. A restarted account therefore finds its page before or after a
//! step.

use std::collections::HashMap;

use kahn::sync::Mutex;

use crate::plan::{Order, Plan};

pub struct Book(Vec<Mutex<Page>>);

#[derive(Default)]
pub struct Page {
    pub balance: i64,
    /// The transfer that is debited and not yet confirmed by the receiver.
    pub pending: Option<Transfer>,
    /// The number of transfers that this account has begun.
    sent: u64,
    /// For each paying account, the number of its last transfer that was received.
    received: HashMap<u64, u64>,
    /// For each teller, the id of its last order that was done.
    done: HashMap<u64, u64>,
}

#[derive(Clone, Copy)]
pub struct Transfer {
    pub order: Order,
    /// The number of this transfer among those of the paying account.
    pub number: u64,
}

impl Book {
    pub fn new(plan: &Plan) -> Book {
        let page = |balance| Mutex::new(Page { balance, ..Page::default() });
        Book(plan.initial_balances().into_iter().map(page).collect())
    }

    /// Calls `f` with an account's page.
    pub fn page<R>(&self, account: u64, f: impl FnOnce(&mut Page) -> R) -> R {
        f(&mut self.0[account as usize].lock().expect("no thread panics while it holds a page"))
    }
}

impl Page {
    pub fn is_done(&self, order: &Order) -> bool {
        self.done.get(&order.teller).is_some_and(|&last| last >= order.id)
    }

    /// Takes the money from the balance and makes the transfer pending.
    pub fn debit(&mut self, order: Order) {
        self.sent += 1;
        self.balance -= order.amount;
        self.pending = Some(Transfer { order, number: self.sent });
    }

    /// Adds the money to the balance, unless this transfer has been received before.
    pub fn deposit(&mut self, Transfer { order, number }: Transfer, is_forgetful: bool) {
        let last = self.received.entry(order.from).or_default();
        if *last < number || is_forgetful {
            *last = number;
            self.balance += order.amount;
        }
    }

    /// Marks the pending transfer as done.
    pub fn confirm(&mut self) {
        if let Some(Transfer { order, .. }) = self.pending.take() {
            self.done.insert(order.teller, order.id);
        }
    }
}
