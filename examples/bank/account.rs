//! An account. It has one transfer of its own under way at a time; meanwhile it is paid, but pays nobody else.

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kahn::actor::{Actor, ActorRef, AskError, Context, ExitReason, Reply};
use kahn::sync::Mutex;

use crate::book::{Book, Transfer};
use crate::plan::{Order, Plan, Step};

/// How long an account only is paid, after a transfer of its own would have been a deadlock, until it goes on with that.
const PAUSE: Duration = Duration::from_micros(100);

pub enum Message {
    /// A teller's. Answered when the money has arrived.
    Transfer(Order, Reply<()>),
    /// Another account's. Answered when the money is written down.
    Deposit(Transfer, Reply<()>),
    Balance(Reply<i64>),
    /// Its own: it has a transfer to go on with.
    Continue,
}

/// What all accounts share.
pub struct Bank {
    pub plan: Plan,
    pub repeated: AtomicU64,
    pub avoided: AtomicU64,
    is_forgetful: bool,
    book: Book,
    accounts: OnceLock<Vec<ActorRef<Message>>>,
    struck: Mutex<HashSet<(u64, Step)>>,
}

impl Bank {
    pub fn new(plan: Plan, is_forgetful: bool) -> Bank {
        Bank {
            plan,
            repeated: AtomicU64::new(0),
            avoided: AtomicU64::new(0),
            is_forgetful,
            book: Book::new(&plan),
            accounts: OnceLock::new(),
            struck: Mutex::default(),
        }
    }

    /// References stay valid when accounts are started again, so this is done once.
    pub fn open(&self, accounts: Vec<ActorRef<Message>>) {
        self.accounts.set(accounts).expect("a bank is opened once");
    }

    pub fn account(&self, number: u64) -> &ActorRef<Message> {
        &self.accounts.get().expect("the bank is open")[number as usize]
    }

    /// How many panics there were.
    pub fn struck(&self) -> u64 {
        self.struck.lock().expect("nobody panics in there").len() as u64
    }

    /// Panics, if the plan says so, the first time.
    fn pass(&self, order: &Order, step: Step) {
        if self.plan.is_fatal(order.id, step)
            && self.struck.lock().expect("nobody panics in there").insert((order.id, step))
        {
            // A panic that no hook prints.
            resume_unwind(Box::new(format!("transfer {} cut off: {step:?}", order.id)));
        }
    }
}

pub struct Account {
    number: u64,
    bank: Arc<Bank>,
    /// Who waits for the transfer that is under way. Lost in a panic, as everything here: the teller asks again.
    teller: Option<Reply<()>>,
}

impl Account {
    pub fn new(number: u64, bank: Arc<Bank>) -> Account {
        Account { number, bank, teller: None }
    }

    fn transfer(
        &mut self,
        order: Order,
        reply: Reply<()>,
        ctx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        self.bank.pass(&order, Step::Ordered);
        let (is_done, pending) =
            self.bank.book.page(self.number, |page| (page.is_done(&order), page.pending.map(|p| p.order.id)));
        match pending {
            _ if is_done => drop(reply.send(())),
            Some(id) if id == order.id => self.teller = Some(reply),
            Some(_) => ctx.stash(Message::Transfer(order, reply)),
            None => {
                self.bank.book.page(self.number, |page| page.write_off(order));
                self.teller = Some(reply);
                self.pay(ctx)?;
            }
        }
        Ok(())
    }

    /// Goes on with the transfer that is under way, until it is done or would be a deadlock.
    fn pay(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        let Some(transfer) = self.bank.book.page(self.number, |page| page.pending) else { return Ok(()) };
        self.bank.pass(&transfer.order, Step::WrittenOff);
        let paid = self.bank.account(transfer.order.to);
        // Relaxed, here and below: mere counts.
        loop {
            match paid.ask(|reply| Message::Deposit(transfer, reply)) {
                Ok(()) => break,
                // It has panicked, before or after it has the money.
                Err(AskError::NoReply | AskError::Timeout) => {
                    self.bank.repeated.fetch_add(1, Ordering::Relaxed);
                }
                Err(AskError::Deadlock(_)) => {
                    self.bank.avoided.fetch_add(1, Ordering::Relaxed);
                    ctx.send_after(PAUSE, Message::Continue);
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.bank.pass(&transfer.order, Step::Confirmed);
        self.bank.book.page(self.number, |page| page.close());
        if let Some(teller) = self.teller.take() {
            let _ = teller.send(());
        }
        ctx.unstash_all();
        Ok(())
    }
}

impl Actor for Account {
    type Message = Message;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        // There is something to go on with if it panicked in the middle.
        if self.bank.book.page(self.number, |page| page.pending.is_some()) {
            ctx.send_after(Duration::ZERO, Message::Continue);
        }
        Ok(())
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Transfer(order, reply) => self.transfer(order, reply, ctx)?,
            Message::Continue => self.pay(ctx)?,
            Message::Deposit(transfer, reply) => {
                self.bank.pass(&transfer.order, Step::Received);
                self.bank.book.page(self.number, |page| page.deposit(transfer, self.bank.is_forgetful));
                self.bank.pass(&transfer.order, Step::Deposited);
                let _ = reply.send(());
            }
            Message::Balance(reply) => {
                let _ = reply.send(self.bank.book.page(self.number, |page| page.balance));
            }
        }
        Ok(())
    }
}
