//! A bank whose accounts panic in the middle of transfers without losing money.
//!
//! Shows supervised actors, `ask` inside `ask`, detection of `ask` deadlocks, `stash`, and how a protocol survives the
//! restart of an actor.
//!
//! ```text
//! cargo run --release --example bank
//! cargo run --release --example bank -- --accounts 10 --panic-every 5 --seed 7
//! cargo run --release --example bank -- --forgetful
//! ```
//!
//! Each account is an actor, and a supervisor restarts it after a panic. A transfer is an ask within an ask: a teller
//! asks the paying account, which asks the receiving account. Both accounts may panic before, between or after the
//! steps of a transfer. The asker then gets `AskError::NoReply`. It does not know which steps were done, so it asks
//! again.
//!
//! Two rules conserve the money:
//!
//! 1. An account's state is in the `book`, which outlives the actor and changes by one whole step at a time.
//! 2. Orders and deposits have numbers, so a repeated one takes effect once. `--forgetful` turns this off for deposits, to
//!    show that the audit at the end then fails.
//!
//! Two accounts that pay each other at the same time would wait for each other. The second ask fails with
//! `AskError::Deadlock` before it is sent. Its account then suspends the transfer for a moment, in which it can receive
//! the other deposit, and resumes it.
//!
//! `account.rs` has the actor, `book.rs` its durable state, `plan.rs` the transfers and the planned panics.

mod account;
mod book;
mod plan;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kahn::actor::{AskError, ChildSpec, Strategy, Supervisor};
use kahn::scope;

use account::{Account, Bank, Message};
use plan::Plan;

const USAGE: &str = "\
Transfers money between accounts that panic, and checks all balances at the end.

usage: bank [--accounts N] [--tellers N] [--transfers N] [--panic-every N] [--seed N] [--forgetful]

  --accounts N      the number of accounts, each with a balance of 1000 (1000)
  --tellers N       how many transfers are in progress at a time, at most (64)
  --transfers N     the number of transfers (20000)
  --panic-every N   on average one of N steps of a transfer panics; 0 for none (100)
  --seed N          the same seed makes the same transfers and the same panics (1)
  --forgetful       accounts forget which deposits they have received, so a repeated one counts twice

Exit code: 0 if the audit succeeds, 1 if not; 2 for a bad argument.
";

const MAX_ACCOUNTS: u64 = 1_000_000;
const MAX_TELLERS: u64 = 100_000;
const MAX: u64 = 100_000_000;

#[kahn::main]
fn main() -> ExitCode {
    let (plan, is_forgetful) = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("bank: {message}");
            return ExitCode::from(2);
        }
    };
    let mut report = String::new();
    let audited = run(plan, is_forgetful, &mut report);
    // A closed pipe is no failure: the exit code has the result.
    let _ = io::stdout().write_all(report.as_bytes());
    match audited {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bank: {message}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<(Plan, bool)>, String> {
    let mut plan = Plan { seed: 1, accounts: 1000, tellers: 64, transfers: 20_000, panic_every: 100 };
    let mut is_forgetful = false;
    while let Some(arg) = args.next() {
        let mut number = |min: u64, max: u64| {
            let value = args.next().unwrap_or_default();
            let number = value.parse().ok().filter(|number| (min..=max).contains(number));
            number.ok_or_else(|| format!("{arg} needs a number from {min} to {max}, not {value:?}"))
        };
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--accounts" => plan.accounts = number(2, MAX_ACCOUNTS)?,
            "--tellers" => plan.tellers = number(1, MAX_TELLERS)?,
            "--transfers" => plan.transfers = number(1, MAX)?,
            "--panic-every" => plan.panic_every = number(0, MAX)?,
            "--seed" => plan.seed = number(0, u64::MAX)?,
            "--forgetful" => is_forgetful = true,
            _ => return Err(format!("{arg}: no such option, try --help")),
        }
    }
    Ok(Some((plan, is_forgetful)))
}

/// Opens the bank, lets the tellers do all transfers, and audits the accounts.
fn run(plan: Plan, is_forgetful: bool, report: &mut String) -> Result<(), String> {
    let start = Instant::now();
    let bank = Arc::new(Bank::new(plan, is_forgetful));
    // The worst case: one account stashes the orders of all tellers.
    let mailbox = plan.tellers as usize + 64;
    let spec = |number: u64| {
        let bank = bank.clone();
        ChildSpec::new(format!("account {number}"), move || Account::new(number, bank.clone()))
            .mailbox(mailbox)
    };
    let supervisor = (0..plan.accounts)
        .map(spec)
        .fold(Supervisor::new(Strategy::OneForOne), Supervisor::child)
        .intensity(usize::MAX, Duration::from_secs(1))
        .spawn();
    let accounts = (0..plan.accounts).map(|number| supervisor.actor_ref(&format!("account {number}")));
    bank.open(accounts.collect::<Result<_, _>>().map_err(|error| error.to_string())?);

    let repeated = scope(|s| {
        let bank = &bank;
        let tellers: Vec<_> =
            (0..plan.tellers).map(|teller| s.spawn(move || execute_orders(bank, teller))).collect();
        tellers
            .into_iter()
            .map(|teller| teller.join().expect("a teller does not panic"))
            .sum::<Result<u64, AskError>>()
    });
    let repeated = repeated.map_err(|error| format!("the bank is closed: {error}"))?;
    let time = start.elapsed();
    let restarts: u64 = supervisor.children().iter().map(|child| child.restarts).sum();
    *report += &format!(
        "{} transfers between {} accounts by {} tellers in {:.3} s\n",
        plan.transfers,
        plan.accounts,
        plan.tellers,
        time.as_secs_f64()
    );
    *report += &format!(
        "{} panics, {restarts} restarts, {repeated} orders and {} deposits repeated, {} deadlocks avoided\n",
        bank.injected_panics(),
        bank.repeated_deposits.load(Ordering::Relaxed),
        bank.deadlocks_avoided.load(Ordering::Relaxed)
    );
    let audited = audit(&bank, report);
    supervisor.stop();
    audited
}

/// Sends one teller's orders in turn and repeats each until its account confirms it. Returns the number of repeated
/// orders.
fn execute_orders(bank: &Bank, teller: u64) -> Result<u64, AskError> {
    let mut repeated = 0;
    for order in bank.plan.orders_of(teller) {
        loop {
            match bank.account(order.from).ask(|reply| Message::Transfer(order, reply)) {
                Ok(()) => break,
                Err(AskError::NoReply | AskError::Timeout) => repeated += 1,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(repeated)
}

/// Compares the balance of every account with the balance that the same transfers, done one by one, lead to.
fn audit(bank: &Bank, report: &mut String) -> Result<(), String> {
    let plan = &bank.plan;
    let balances = (0..plan.accounts).map(|number| bank.account(number).ask(Message::Balance));
    let balances = balances.collect::<Result<Vec<_>, _>>().map_err(|error| format!("no audit: {error}"))?;
    let (total, initial) = (balances.iter().sum::<i64>(), plan.initial_balances().iter().sum::<i64>());
    *report += &format!("the accounts hold {total} in all, and held {initial} at the start\n");
    if total != initial {
        return Err(format!("the money is not conserved: {:+}", total - initial));
    }
    let expected = plan.final_balances();
    if let Some(number) = (0..balances.len()).find(|&number| balances[number] != expected[number]) {
        let (balance, expected) = (balances[number], expected[number]);
        return Err(format!("account {number} has a balance of {balance}, not {expected}"));
    }
    let (injected, planned) = (bank.injected_panics(), plan.panics());
    if injected != planned {
        return Err(format!("{injected} panics were injected, not {planned}"));
    }
    *report += "the money is conserved, and every account has the expected balance\n";
    Ok(())
}
