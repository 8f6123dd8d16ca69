//! What one invocation must not forget while it runs: which attempt it is about, and which of its writes
//! may still land.

use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use super::{Engine, ledger::Ledger};
use crate::{
    domain::names::TargetName,
    error::{Failure, Told},
};

#[derive(Default)]
pub(crate) struct Course {
    /// Number of the attempt that this invocation opened or went on with.
    attempt: Option<u64>,
    /// Something was sent to a provider, or a step of the file ran.
    acted: bool,
    /// Until when a write without an answer may land, on `clock.elapsed()`.
    landing: BTreeMap<TargetName, Duration>,
    /// The same for the writes of a run that this one took the lease from.
    foreign: Option<Duration>,
}

impl Engine<'_> {
    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this invocation is about this attempt and no other.
    pub(crate) fn bind(&self, attempt: u64) {
        self.course().attempt.get_or_insert(attempt);
    }

    /// Refuses to go on with another attempt than the one this invocation began with.
    pub(crate) fn still_bound(&self, ledger: &Ledger<'_>) -> Result<(), Failure> {
        let newest = ledger.history.release.as_ref();
        match self.course().attempt {
            Some(mine) if newest.is_none_or(|r| r.attempt.opened != mine || r.closed.is_some()) => {
                Err(closed_meanwhile())
            }
            _ => Ok(()),
        }
    }

    /// The attempt this invocation is about, once it is known.
    pub(crate) fn bound(&self) -> Option<u64> {
        self.course().attempt
    }

    /// Something outside is about to be changed.
    pub(crate) fn acting(&self) {
        self.course().acted = true;
    }

    /// A write is about to be sent: it may land until its deadline, and as long again on the way. Returns
    /// what was known before, for [`Engine::answered`].
    pub(crate) fn sending(&self, target: &TargetName) -> Option<Duration> {
        let until = self.clock.elapsed().saturating_add(self.landing_time());
        let mut course = self.course();
        course.acted = true;
        course.landing.insert(target.clone(), until)
    }

    /// The write was answered: it has landed, or never will. An earlier one may still.
    pub(crate) fn answered(&self, target: &TargetName, before: Option<Duration>) {
        let mut course = self.course();
        match before {
            Some(until) => course.landing.insert(target.clone(), until),
            None => course.landing.remove(target),
        };
    }

    /// How long after it was sent a write without an answer may land.
    pub(crate) fn landing_time(&self) -> Duration {
        self.timing.call * 2
    }

    /// The lease was taken from a run that may have sent a write just before.
    pub(crate) fn preempted(&self) {
        let until = self.clock.elapsed().saturating_add(self.landing_time());
        self.course().foreign = Some(until);
    }

    /// How much longer a write of this invocation, or of one it preempted, may land.
    pub(crate) fn may_land(&self) -> Duration {
        let now = self.clock.elapsed();
        let course = self.course();
        course
            .landing
            .values()
            .chain(&course.foreign)
            .max()
            .map_or(Duration::ZERO, |until| until.saturating_sub(now))
    }

    /// "Nothing was changed" is said only where nothing was.
    pub(crate) fn truthful(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Unreachable(told) if self.course().acted => {
                let message = told.message.trim_end_matches("; nothing was changed");
                Failure::Step(Told {
                    message: format!("{message}; what was done before is in the journal"),
                    hint: told.hint.or_else(|| Some("run the same command again: it goes on".into())),
                    misconfigured: told.misconfigured,
                })
            }
            other => other,
        }
    }
}

pub(crate) fn closed_meanwhile() -> Failure {
    Failure::Held(Told::new(
        "another run closed the release meanwhile; nothing more was changed",
        "`tidegate status` tells how",
    ))
}
