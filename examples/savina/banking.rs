//! Transfers between accounts. The paying account asks the receiving account, and handles no message until it has the
//! reply. The receiving account may itself wait for a third one.
//!
//! No deadlock: an account pays only to accounts with higher numbers, so no cycle of asks can form. The teller has
//! space for the replies to all its orders. With less, the teller could park at a full account that parks at the full
//! teller.

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Random, Size, ask, ask_in_actor, expect, finish, stop_all};

pub const BENCH: Bench =
    Bench { name: "banking", about: "transfers between accounts that ask each other", run };

const BALANCE: i64 = 1_000_000;

struct Account(i64);

enum ToAccount {
    Pay { amount: i64, to: ActorRef<ToAccount>, teller: ActorRef<ToTeller> },
    Receive { amount: i64, done: Reply<()> },
    Balance(Reply<i64>),
}

struct Teller {
    accounts: Vec<ActorRef<ToAccount>>,
    transfers: Vec<Transfer>,
    left: usize,
    done: Option<Reply<Vec<Transfer>>>,
}

enum ToTeller {
    Start(Reply<Vec<Transfer>>),
    Done,
}

#[derive(Clone, Copy)]
struct Transfer {
    from: usize,
    to: usize,
    amount: i64,
}

impl Transfer {
    fn draw(random: &mut Random, accounts: usize) -> Transfer {
        let from = random.below((accounts / 10 * 8) as u64) as usize;
        let to = from + 1 + random.below((accounts - from - 1) as u64) as usize;
        Transfer { from, to, amount: random.below(1000) as i64 }
    }
}

impl Actor for Account {
    type Message = ToAccount;

    fn handle(&mut self, message: ToAccount, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToAccount::Pay { amount, to, teller } => {
                self.0 -= amount;
                ask_in_actor(&to, |done| ToAccount::Receive { amount, done })?;
                teller.tell(ToTeller::Done)?;
            }
            ToAccount::Receive { amount, done } => {
                self.0 += amount;
                let _ = done.send(());
            }
            ToAccount::Balance(reply) => drop(reply.send(self.0)),
        }
        Ok(())
    }
}

impl Actor for Teller {
    type Message = ToTeller;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.accounts.iter().for_each(|account| ctx.link(account));
        Ok(())
    }

    fn handle(&mut self, message: ToTeller, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToTeller::Start(done) => {
                self.done = Some(done);
                for &Transfer { from, to, amount } in &self.transfers {
                    let (to, teller) = (self.accounts[to].clone(), ctx.me());
                    self.accounts[from].tell(ToAccount::Pay { amount, to, teller })?;
                }
            }
            ToTeller::Done => self.left -= 1,
        }
        if self.left == 0 {
            let transfers = std::mem::take(&mut self.transfers);
            finish(&mut self.done, transfers, ctx);
        }
        Ok(())
    }
}

fn run(size: Size) -> Result<String, String> {
    let (count, transfers) = size.pick((1000, 50_000), (20, 500));
    let accounts: Vec<_> = (0..count).map(|_| spawn(Account(BALANCE))).collect();
    let mut random = Random::new(0);
    let teller = Builder::new().mailbox(transfers + 1).spawn(Teller {
        accounts: accounts.clone(),
        transfers: (0..transfers).map(|_| Transfer::draw(&mut random, count)).collect(),
        left: transfers,
        done: None,
    });
    let mut expected = vec![BALANCE; count];
    for Transfer { from, to, amount } in ask(&teller, ToTeller::Start)? {
        expected[from] -= amount;
        expected[to] += amount;
    }
    let balances =
        accounts.iter().map(|account| ask(account, ToAccount::Balance)).collect::<Result<Vec<i64>, _>>()?;
    stop_all(&accounts);
    let total: i64 = balances.iter().sum();
    expect("the balances", balances, expected)?;
    expect("the total", total, BALANCE * count as i64)?;
    Ok(format!("{transfers} transfers between {count} accounts, the total is unchanged"))
}
