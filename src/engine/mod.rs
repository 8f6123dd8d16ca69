//! The only loop that acts: observe, decide, record, act, confirm.
//!
//! One file per command, and three that they share: `ledger` (the journal, the lease, fencing), `shift`
//! (the loop that moves traffic) and `watch` (the loop that looks at metrics). Whatever changes something
//! goes through a port; nothing here knows a provider.

pub mod course;
pub mod deploy;
pub mod dry_run;
pub mod evidence;
mod finish;
pub mod ledger;
pub mod measure;
pub mod migrate;
pub mod observe;
pub mod open;
pub mod outcome;
pub mod plan;
pub mod preflight;
pub mod ramp;
pub mod recheck;
pub mod refusal;
pub mod replay;
pub mod restore;
mod reverse;
pub mod rollback;
pub mod rollout;
mod run;
pub mod shift;
pub mod smoke;
pub mod snapshot;
pub mod status;
pub mod step;
pub mod stop;
pub mod unit;
pub mod watch;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    domain::{
        names::{ReleaseName, TargetName},
        record::Holder,
        share::Share,
    },
    error::Failure,
    port::{Clock, Context, Progress},
};
use outcome::Facts;
use stop::Stop;
use unit::Unit;

/// One invocation.
pub struct Engine<'a> {
    pub unit: &'a Unit,
    pub clock: Arc<dyn Clock>,
    pub holder: Holder,
    pub progress: &'a dyn Progress,
    pub stop: Stop,
    pub options: Options,
    pub timing: Timing,
    /// What is known for the report, however the command ends.
    facts: Arc<Mutex<Facts>>,
    course: Arc<Mutex<course::Course>>,
    /// The service with stages of its own that this part of a rollout moves.
    ramp: Option<TargetName>,
}

/// What the person, or the workflow, asked for beyond the command itself.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub release: Option<ReleaseName>,
    /// Only these services; all if empty.
    pub services: Vec<TargetName>,
    pub dry_run: bool,
    /// Go past the gate, for this reason.
    pub hotfix: Option<String>,
    /// Walk only the last stage.
    pub skip_canary: bool,
    /// Let a rollback go past an unhealthy baseline, a contracting migration, or to a version unknown here.
    pub force: bool,
    /// What to do with another release that is open.
    pub supersede: Option<Supersede>,
    /// When the job must be over; longer bakes end as `waiting`.
    pub time_limit: Option<Duration>,
    /// How far a rollout is to go.
    pub goal: Option<Share>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supersede {
    Finish,
    Rollback,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// One call to a provider.
    pub call: Duration,
    /// From an accepted change until it reads back.
    pub settle: Duration,
    /// From `deploy`, or before a rollback, until a side is healthy.
    pub healthy: Duration,
    /// Between two looks while waiting.
    pub look: Duration,
    /// Between a look and the one that has to agree with it.
    pub second_look: Duration,
    /// How long a metric source may be unreadable before the verdict is `error`.
    pub error_after: Duration,
    /// A person said these: no target gets more time because it is slow.
    pub said: bool,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            call: Duration::from_secs(10),
            settle: Duration::from_secs(30),
            healthy: Duration::from_secs(600),
            look: Duration::from_millis(500),
            second_look: Duration::from_millis(50),
            error_after: Duration::from_secs(180),
            said: false,
        }
    }
}

impl<'a> Engine<'a> {
    pub fn new(
        unit: &'a Unit,
        clock: Arc<dyn Clock>,
        holder: Holder,
        progress: &'a dyn Progress,
        stop: Stop,
        options: Options,
        mut timing: Timing,
    ) -> Self {
        // Leases and fences reckon with the slowest call there is.
        let slowest = unit.services.iter().map(|s| s.target.pace().call).max();
        if let (Some(slowest), false) = (slowest, timing.said) {
            timing.call = timing.call.max(slowest);
        }
        Engine {
            unit,
            clock,
            holder,
            progress,
            stop,
            options,
            timing,
            facts: Arc::default(),
            course: Arc::default(),
            ramp: None,
        }
    }

    /// What is known so far.
    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same invocation going on after a signal was heard: for the rollback that the signal calls for.
    pub(crate) fn calm(&self) -> Engine<'a> {
        let stop = if self.stop.requested().is_some() { Stop::never() } else { self.stop.clone() };
        Engine { stop, ..self.again() }
    }

    /// The same invocation of a rollout that is to go so far.
    pub fn with_goal(&self, goal: Share) -> Engine<'a> {
        let mut again = self.again();
        again.options.goal = Some(goal);
        again
    }

    /// The same invocation.
    fn again(&self) -> Engine<'a> {
        Engine {
            unit: self.unit,
            clock: self.clock.clone(),
            holder: self.holder.clone(),
            progress: self.progress,
            stop: self.stop.clone(),
            options: self.options.clone(),
            timing: self.timing,
            facts: self.facts.clone(),
            course: self.course.clone(),
            ramp: self.ramp.clone(),
        }
    }

    /// How long something may take with this target, which may need more time than others.
    pub(crate) fn at_least(&self, usual: Duration, its_own: Duration) -> Duration {
        if self.timing.said { usual } else { usual.max(its_own) }
    }

    /// The context of one call to a provider.
    pub(crate) fn call(&self) -> Context {
        Context::new(self.clock.clone(), self.timing.call)
    }

    /// The context of a longer piece of work.
    pub(crate) fn within(&self, limit: Duration) -> Context {
        Context::new(self.clock.clone(), limit)
    }

    /// Refuses `--service` where half a unit would be left behind.
    pub(crate) fn whole_unit(&self, command: &str) -> Result<(), Failure> {
        if self.options.services.is_empty() {
            return Ok(());
        }
        Err(Failure::usage(format!("`{command}` is about the whole unit: it takes no `--service`")))
    }

    /// The services this invocation is about.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = &'a unit::Service> {
        self.unit
            .services
            .iter()
            .filter(|s| self.options.services.is_empty() || self.options.services.contains(&s.name))
    }
}
