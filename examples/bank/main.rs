//! A bank whose accounts panic in the middle of transfers, and no money is lost.
//!
//! ```text
//! cargo run --release --example bank
//! cargo run --release --example bank -- --accounts 10 --panic-every 5 --seed 7
//! cargo run --release --example bank -- --forgetful
//! ```
//!
//! Each account is an actor, and a supervisor starts it again when it has panicked. A transfer is an ask within an ask: a
//! teller asks the account that pays, which asks the account that is paid. Either may panic before, between or after any
//! two steps of it; whoever asked then hears that there is no answer, does not know how far it came, and asks again.
//!
//! The money is conserved because of two things. What an account has to remember is in the `book`, which outlives it, and
//! changes by one whole step at a time. And whatever is asked twice counts once, since orders and deposits have numbers;
//! `--forgetful` leaves that away for deposits, and shows that the check at the end would find out.
//!
//! Two accounts that pay each other at once would wait for each other. Such an ask fails, as a deadlock, before it is sent:
//! the account lets go of the transfer for a moment, in which it can be paid, and then goes on with it.

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
Transfers money between accounts that panic, and checks that it is all there in the end.

usage: bank [--accounts N] [--tellers N] [--transfers N] [--panic-every N] [--seed N] [--forgetful]

  --accounts N      how many accounts there are, with 1000 each (1000)
  --tellers N       how many transfers are under way at a time, at most (64)
  --transfers N     how many there are in all (20000)
  --panic-every N   one of so many steps of transfers panics; 0 for none (100)
  --seed N          which: the same seed makes the same transfers and the same panics (1)
  --forgetful       accounts forget which deposits they had, so one that is repeated counts twice

Exit code: 0 if the money is conserved, 1 if not; 2 for a bad argument.
";

const ACCOUNTS_MOST: u64 = 1_000_000;
const TELLERS_MOST: u64 = 100_000;
const MOST: u64 = 100_000_000;

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
    // Whoever does not want to read it has the exit code.
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
        let mut number = |least: u64, most: u64| {
            let value = args.next().unwrap_or_default();
            let number = value.parse().ok().filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| format!("{arg} needs a number from {least} to {most}, not {value:?}"))
        };
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--accounts" => plan.accounts = number(2, ACCOUNTS_MOST)?,
            "--tellers" => plan.tellers = number(1, TELLERS_MOST)?,
            "--transfers" => plan.transfers = number(1, MOST)?,
            "--panic-every" => plan.panic_every = number(0, MOST)?,
            "--seed" => plan.seed = number(0, u64::MAX)?,
            "--forgetful" => is_forgetful = true,
            _ => return Err(format!("{arg}: no such option, try --help")),
        }
    }
    Ok(Some((plan, is_forgetful)))
}

/// Opens the bank, has the tellers do their work, and audits it.
fn run(plan: Plan, is_forgetful: bool, report: &mut String) -> Result<(), String> {
    let start = Instant::now();
    let bank = Arc::new(Bank::new(plan, is_forgetful));
    // Each account puts aside the orders of all tellers at worst.
    let room = plan.tellers as usize + 64;
    let spec = |number: u64| {
        let bank = bank.clone();
        ChildSpec::new(format!("account {number}"), move || Account::new(number, bank.clone())).mailbox(room)
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
            (0..plan.tellers).map(|teller| s.spawn(move || serve_clients(bank, teller))).collect();
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
        bank.struck(),
        bank.repeated.load(Ordering::Relaxed),
        bank.avoided.load(Ordering::Relaxed)
    );
    let audited = audit(&bank, report);
    supervisor.stop();
    audited
}

/// What one teller does: one order after the other, each until it is answered. Answers how often one was repeated.
fn serve_clients(bank: &Bank, teller: u64) -> Result<u64, AskError> {
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

/// Asks every account, and compares with the same transfers done one by one.
fn audit(bank: &Bank, report: &mut String) -> Result<(), String> {
    let plan = &bank.plan;
    let balances = (0..plan.accounts).map(|number| bank.account(number).ask(Message::Balance));
    let balances = balances.collect::<Result<Vec<_>, _>>().map_err(|error| format!("no audit: {error}"))?;
    let (held, brought) = (balances.iter().sum::<i64>(), plan.balances_at_first().iter().sum::<i64>());
    *report += &format!("the accounts hold {held}, brought in were {brought}\n");
    if held != brought {
        return Err(format!("the money is not conserved: {:+}", held - brought));
    }
    let expected = plan.balances_at_last();
    if let Some(number) = (0..balances.len()).find(|&number| balances[number] != expected[number]) {
        let (held, due) = (balances[number], expected[number]);
        return Err(format!("the transfers are not right: account {number} has {held}, not {due}"));
    }
    let (struck, planned) = (bank.struck(), plan.faults());
    if struck != planned {
        return Err(format!("{struck} panics were injected, not {planned}"));
    }
    *report += "the money is conserved, and each account has what is its own\n";
    Ok(())
}
