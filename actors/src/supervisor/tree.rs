//! The supervisor's message handlers, and its handler for a child's end. [`stops`](super::stops) holds how children are
//! stopped, and [`restarts`](super::restarts) what follows a failure.
//!
//! A supervisor does one thing at a time. While it starts or stops a child, it waits in that handler.

use kahn_core::primitives::now;
use kahn_core::wait::run_shielded_catching;

use super::SupervisorActor;
use super::child::{ChildSpec, Restart};
use super::children::ChildState;
use super::error::{ChildError, StartError};
use super::event::Event;
use super::order::Request;
use super::restarts::RestartContext;
use super::strategy::{AutoShutdown, Next, next};
use crate::actor::{Actor, Context};
use crate::ask_cycle::while_waiting;
use crate::cell::{AnyActor, Goal, id_of};
use crate::exit::ExitReason;
use crate::links::demonitor;
use crate::signal::{Down, DownCause};
use crate::supervision::{monitor_of, resume, start_of};

impl Actor for SupervisorActor {
    type Message = Request;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        // The supervisor's children do not end because an actor ends that was linked to the supervisor.
        ctx.trap_exits(true);
        self.reporter.name(ctx.any());
        let mut specs = core::mem::take(&mut self.specs).into_iter();
        // A stop ends the supervisor when it has started, so it starts no further child.
        while !ctx.is_stopping()
            && let Some(spec) = specs.next()
        {
            let child = spec.id.clone();
            if let Err(error) = self.add(ctx.any(), spec, false) {
                self.stop_all(ctx.any());
                return Err(StartError { child, error }.into());
            }
        }
        // What the other specifications own is the user's. Its destructor must not end the supervisor.
        run_shielded_catching(|| drop(specs));
        Ok(())
    }

    fn handle(&mut self, request: Request, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        let me = ctx.any();
        match request {
            Request::Start(spec, done) => drop(done.send(self.add(me, *spec, true))),
            Request::Restart(id, done) => drop(done.send(self.restart(me, &id))),
            Request::Terminate(id, done) => {
                let number = self.children.find(&id);
                drop(done.send(self.terminate(me, &id)));
                return number.map_or(Ok(()), |number| self.waits_no_more(ctx, number));
            }
            Request::Delete(id, done) => drop(done.send(self.delete(&id))),
            Request::Children(reply) => {
                let _ = reply.send(self.children.iter().map(|(_, child)| child.info()).collect());
            }
            Request::Inspect(id, inspect) => {
                let number = self.children.find(&id);
                inspect(number.and_then(|number| self.children.get(number)).map(|child| &*child.kept));
            }
            Request::BackoffOver(number) => return self.backoff_over(ctx, number),
        }
        Ok(())
    }

    fn down(&mut self, down: Down, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.ended(ctx, down)
    }

    fn stopped(&mut self, _: &ExitReason, ctx: &mut Context<Self>) {
        self.stop_all(ctx.any());
    }
}

impl SupervisorActor {
    /// Handles the end of an actor that the supervisor monitors or is linked to.
    pub(super) fn ended(&mut self, ctx: &mut impl RestartContext, down: Down) -> Result<(), ExitReason> {
        let number = match down.cause {
            DownCause::Monitor(monitor) => self.children.ended(monitor),
            // The monitor of the child tells of the same end.
            DownCause::Link if self.is_child(&down) => return Ok(()),
            DownCause::Link => None,
        };
        let Some((number, child)) = number.and_then(|number| Some((number, self.children.get(number)?)))
        else {
            self.reporter.report(&Event::Unknown(down));
            return Ok(());
        };
        let (id, restart, significant) = (child.spec.id.clone(), child.spec.restart, child.spec.significant);
        let lived = now().saturating_duration_since(child.since);
        let reason = down.reason;
        self.reporter.report(&Event::Ended(id.clone(), reason.clone()));
        if next(restart, &reason) == Next::Restart {
            return self.failed(ctx, number, reason, Some(lived));
        }
        self.children.rest(number);
        if significant && self.ends_with_significant() {
            self.reporter.report(&Event::AutoShutdown(id));
            return Err(ExitReason::Shutdown);
        }
        Ok(())
    }

    /// Returns whether a child has ended. A child is named by its id, but other actors may have the same name.
    fn is_child(&mut self, down: &Down) -> bool {
        let number = down.name.as_deref().and_then(|id| self.children.find(id));
        let child = number.and_then(|number| self.children.get(number));
        child.is_some_and(|child| id_of(child.any()) == down.id)
    }

    /// Returns why a child must not be added, if it must not.
    fn refusal(&mut self, spec: &ChildSpec) -> Option<ChildError> {
        if let Some(number) = self.children.find(&spec.id) {
            let is_active = self.children.get(number).is_some_and(|child| child.is_active());
            return Some(if is_active { ChildError::AlreadyStarted } else { ChildError::AlreadyPresent });
        }
        match (spec.significant, self.auto, spec.restart) {
            (true, AutoShutdown::Never, _) => Some(ChildError::SignificantInVain),
            (true, _, Restart::Permanent) => Some(ChildError::SignificantPermanent),
            _ => None,
        }
    }

    /// Adds a child and starts it.
    pub(super) fn add(
        &mut self,
        me: &AnyActor,
        mut spec: ChildSpec,
        is_dynamic: bool,
    ) -> Result<(), ChildError> {
        if let Some(error) = self.refusal(&spec) {
            // What the specification owns is the user's. Its destructor must not end the supervisor.
            run_shielded_catching(|| drop(spec));
            return Err(error);
        }
        let kept = spec.spawn(me);
        let number = self.children.add(spec, kept, is_dynamic, now());
        self.begin(me, number).map_err(|reason| {
            self.children.remove(number);
            ChildError::Failed(reason)
        })
    }

    /// Starts a child that is new or between two incarnations.
    fn begin(&mut self, me: &AnyActor, number: u64) -> Result<(), ExitReason> {
        let Some(child) = self.children.get(number) else { return Ok(()) };
        let (any, id) = (child.any().clone(), child.spec.id.clone());
        let started = while_waiting(me, &any, Goal::Start, || {
            resume(&any);
            start_of(&any)
        });
        let monitor = monitor_of(&any);
        match &started {
            Ok(()) => {
                self.children.runs(number, monitor, now());
                self.reporter.report(&Event::Started(id));
            }
            Err(reason) => {
                monitor.into_iter().for_each(|monitor| demonitor(me, monitor));
                self.reporter.report(&Event::StartFailed(id, reason.clone()));
            }
        }
        started
    }

    pub(super) fn start_again(&mut self, me: &AnyActor, number: u64) -> Result<(), ExitReason> {
        let Some(child) = self.children.get(number) else { return Ok(()) };
        child.restarts += 1;
        self.begin(me, number)
    }

    fn restart(&mut self, me: &AnyActor, id: &str) -> Result<(), ChildError> {
        let number = self.resting(id)?;
        self.start_again(me, number).map_err(|reason| {
            self.children.rest(number);
            ChildError::Failed(reason)
        })
    }

    pub(super) fn terminate(&mut self, me: &AnyActor, id: &str) -> Result<(), ChildError> {
        let number = self.children.find(id).ok_or(ChildError::NotFound)?;
        self.stop(me, number);
        self.children.rest(number);
        Ok(())
    }

    fn delete(&mut self, id: &str) -> Result<(), ChildError> {
        let number = self.resting(id)?;
        self.children.remove(number);
        Ok(())
    }

    /// Returns the number of the child with this id. The child must be stopped.
    fn resting(&mut self, id: &str) -> Result<u64, ChildError> {
        let number = self.children.find(id).ok_or(ChildError::NotFound)?;
        match self.children.get(number).map(|child| child.state()) {
            Some(ChildState::Running) => Err(ChildError::Running),
            Some(ChildState::Restarting) => Err(ChildError::Restarting),
            _ => Ok(number),
        }
    }

    /// Returns whether the present end of a significant child ends the supervisor.
    fn ends_with_significant(&self) -> bool {
        match self.auto {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => !self.children.has_active_significant(),
        }
    }
}
