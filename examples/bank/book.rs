//! What outlives the accounts: a page for each, as on a disk. A page changes by one call, as a whole, in which nothing can
//! panic; so whoever comes back to it finds it before the step or after it.

use std::collections::HashMap;

use kahn::sync::Mutex;

use crate::plan::{Order, Plan};

pub struct Book(Vec<Mutex<Page>>);

#[derive(Default)]
pub struct Page {
    pub balance: i64,
    /// Money written off that is not known to have arrived.
    pub pending: Option<Transfer>,
    /// How many transfers were begun.
    sent: u64,
    /// The last transfer that came from each account.
    received: HashMap<u64, u64>,
    /// The last order done for each teller.
    done: HashMap<u64, u64>,
}

#[derive(Clone, Copy)]
pub struct Transfer {
    pub order: Order,
    /// Counts the transfers of the account that pays.
    pub number: u64,
}

impl Book {
    pub fn new(plan: &Plan) -> Book {
        let page = |balance| Mutex::new(Page { balance, ..Page::default() });
        Book(plan.balances_at_first().into_iter().map(page).collect())
    }

    /// Reads an account's page, or changes it.
    pub fn page<R>(&self, account: u64, f: impl FnOnce(&mut Page) -> R) -> R {
        f(&mut self.0[account as usize].lock().expect("nobody panics over a page"))
    }
}

impl Page {
    pub fn is_done(&self, order: &Order) -> bool {
        self.done.get(&order.teller).is_some_and(|&last| last >= order.id)
    }

    pub fn write_off(&mut self, order: Order) {
        self.sent += 1;
        self.balance -= order.amount;
        self.pending = Some(Transfer { order, number: self.sent });
    }

    /// Takes the money in, unless this transfer has been here.
    pub fn deposit(&mut self, Transfer { order, number }: Transfer, is_forgetful: bool) {
        let last = self.received.entry(order.from).or_default();
        if *last < number || is_forgetful {
            *last = number;
            self.balance += order.amount;
        }
    }

    pub fn close(&mut self) {
        if let Some(Transfer { order, .. }) = self.pending.take() {
            self.done.insert(order.teller, order.id);
        }
    }
}
