//! What can go wrong at one call.

use std::time::Duration;
use tidegate::port::Treat;

use crate::runs::What;

/// The engine's deadline of one call in every simulated run.
pub const CALL: Duration = Duration::from_secs(10);
/// A write lands at the latest this long after it was sent: its deadline, and as much again on the way.
pub const LANDS: Duration = Duration::from_secs(20);

/// One fault at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The call fails before it has any effect.
    Refused(Treat),
    /// The effect is there, the answer is lost.
    Lost,
    /// The answer is what was true one change ago.
    Stale,
    /// The call answers after its deadline; a write lands that much later still.
    Late(Duration),
    /// A share is accepted, and nothing comes of it.
    Ignored,
    /// The process is killed before the effect.
    KillBefore,
    /// The process is killed after the effect.
    KillAfter,
    /// The process is killed, and its write lands this much after it was sent.
    Orphan(Duration),
    /// Another process starts.
    Second(Second),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Second {
    Rollout,
    Rollback,
}

impl Second {
    pub fn what(self) -> What {
        match self {
            Second::Rollout => What::Rollout,
            Second::Rollback => What::Rollback,
        }
    }
}

/// What a call is, as far as faults are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// Asks and changes nothing.
    Read,
    /// Asks a place that may answer with an older truth.
    Look,
    /// Sends a change to something that goes on without us.
    Write,
    /// The same, and it sets a share.
    Share,
    /// Runs something that dies with us.
    Work,
}

impl Nature {
    /// Whether it may have its effect without us.
    pub fn sends(self) -> bool {
        matches!(self, Nature::Write | Nature::Share)
    }
}

impl Kind {
    /// Whether this can happen to such a call.
    pub fn fits(self, nature: Nature) -> bool {
        match self {
            Kind::Stale => nature == Nature::Look,
            Kind::Ignored => nature == Nature::Share,
            Kind::Orphan(_) => nature.sends(),
            Kind::Lost => nature.sends() || nature == Nature::Work,
            _ => true,
        }
    }
}
