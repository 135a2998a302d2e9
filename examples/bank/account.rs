//! The account actor. It has at most one outgoing transfer in progress. Until that is done it accepts deposits and
//! stashes further orders.

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kahn::actor::{Actor, ActorRef, AskError, Context, ExitReason, Reply};
use kahn::sync::Mutex;

use crate::book::{Book, Transfer};
use crate::plan::{Order, Plan, Step};

/// How long a transfer is suspended after its ask would have been a deadlock.
const SUSPENSION: Duration = Duration::from_micros(100);

pub enum Message {
    /// From a teller. The reply is sent when the receiving account has confirmed the deposit.
    Transfer(Order, Reply<()>),
    /// From the paying account. The reply is sent when the deposit is in the book.
    Deposit(Transfer, Reply<()>),
    Balance(Reply<i64>),
    /// From the account itself: resume the pending transfer.
    Resume,
}

/// The state that all accounts share.
pub struct Bank {
    pub plan: Plan,
    pub repeated_deposits: AtomicU64,
    pub deadlocks_avoided: AtomicU64,
    is_forgetful: bool,
    book: Book,
    accounts: OnceLock<Vec<ActorRef<Message>>>,
    /// The planned panics that have happened. Each happens once.
    injected: Mutex<HashSet<(u64, Step)>>,
}

impl Bank {
    pub fn new(plan: Plan, is_forgetful: bool) -> Bank {
        Bank {
            plan,
            repeated_deposits: AtomicU64::new(0),
            deadlocks_avoided: AtomicU64::new(0),
            is_forgetful,
            book: Book::new(&plan),
            accounts: OnceLock::new(),
            injected: Mutex::default(),
        }
    }

    /// Stores the references of the accounts. They stay valid when accounts are restarted, so this is called once.
    pub fn open(&self, accounts: Vec<ActorRef<Message>>) {
        self.accounts.set(accounts).expect("a bank is opened once");
    }

    pub fn account(&self, number: u64) -> &ActorRef<Message> {
        &self.accounts.get().expect("the bank is open")[number as usize]
    }

    /// Returns how many planned panics have happened.
    pub fn injected_panics(&self) -> u64 {
        self.injected.lock().expect("no thread panics while it holds this lock").len() as u64
    }

    /// Called at each step of a transfer. Panics if the plan says so and this step has not panicked before.
    fn maybe_panic(&self, order: &Order, step: Step) {
        if self.plan.panics_at(order.id, step)
            && self
                .injected
                .lock()
                .expect("no thread panics while it holds this lock")
                .insert((order.id, step))
        {
            // Unlike `panic!`, this does not call the panic hook, which would print a message.
            resume_unwind(Box::new(format!("injected into transfer {} at {step:?}", order.id)));
        }
    }
}

pub struct Account {
    number: u64,
    bank: Arc<Bank>,
    /// The reply for the transfer in progress. A panic drops it with the rest of the actor, and the teller asks again.
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
        self.bank.maybe_panic(&order, Step::Ordered);
        let (is_done, pending) =
            self.bank.book.page(self.number, |page| (page.is_done(&order), page.pending.map(|p| p.order.id)));
        match pending {
            _ if is_done => drop(reply.send(())),
            Some(id) if id == order.id => self.teller = Some(reply),
            Some(_) => ctx.stash(Message::Transfer(order, reply)),
            None => {
                self.bank.book.page(self.number, |page| page.debit(order));
                self.teller = Some(reply);
                self.pay(ctx)?;
            }
        }
        Ok(())
    }

    /// Starts or resumes the pending transfer. Returns when it is done, or suspended because the ask would be a
    /// deadlock.
    fn pay(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        let Some(transfer) = self.bank.book.page(self.number, |page| page.pending) else { return Ok(()) };
        self.bank.maybe_panic(&transfer.order, Step::Debited);
        let receiver = self.bank.account(transfer.order.to);
        // Relaxed, here and below: the atomics are counters, and no other memory depends on them.
        loop {
            match receiver.ask(|reply| Message::Deposit(transfer, reply)) {
                Ok(()) => break,
                // The receiver has panicked, before or after it has recorded the deposit.
                Err(AskError::NoReply | AskError::Timeout) => {
                    self.bank.repeated_deposits.fetch_add(1, Ordering::Relaxed);
                }
                Err(AskError::Deadlock(_)) => {
                    self.bank.deadlocks_avoided.fetch_add(1, Ordering::Relaxed);
                    ctx.send_after(SUSPENSION, Message::Resume);
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.bank.maybe_panic(&transfer.order, Step::Confirmed);
        self.bank.book.page(self.number, |page| page.confirm());
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
        // A pending transfer at the start means that the account has panicked in the middle of it.
        if self.bank.book.page(self.number, |page| page.pending.is_some()) {
            ctx.send_after(Duration::ZERO, Message::Resume);
        }
        Ok(())
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Transfer(order, reply) => self.transfer(order, reply, ctx)?,
            Message::Resume => self.pay(ctx)?,
            Message::Deposit(transfer, reply) => {
                self.bank.maybe_panic(&transfer.order, Step::Received);
                self.bank.book.page(self.number, |page| page.deposit(transfer, self.bank.is_forgetful));
                self.bank.maybe_panic(&transfer.order, Step::Deposited);
                let _ = reply.send(());
            }
            Message::Balance(reply) => {
                let _ = reply.send(self.bank.book.page(self.number, |page| page.balance));
            }
        }
        Ok(())
    }
}
