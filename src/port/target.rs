//! A thing that receives traffic and can be split between two sides.

use async_trait::async_trait;
use std::time::Duration;

use super::{Context, Fault, Finding};
use crate::domain::{
    names::{ReleaseName, SideName},
    observed::Observed,
    share::{Share, SideShares},
};

/// One service behind one provider.
#[async_trait]
pub trait Target: Send + Sync {
    /// What this target can do. Constant for its life, known without a call.
    fn caps(&self) -> Caps;

    /// Whether a release's name alone says what is deployed, so that an old one can be deployed again;
    /// otherwise why not.
    fn deploys_by_name(&self) -> Result<(), String> {
        Ok(())
    }

    /// How long its answers may take, where that is longer than usual.
    fn pace(&self) -> Pace {
        Pace::default()
    }

    /// The nearest share the provider can really set (weights are whole numbers). Confirmations compare
    /// with this. Idempotent, and exact at 0 and 100 %.
    fn nearest(&self, share: Share) -> Share {
        share
    }

    /// Shares the target may show while it goes from one to the other, where a change is not one write.
    fn between(&self, _from: Share, _to: Share) -> Vec<Share> {
        Vec::new()
    }

    /// Looks at both sides now. Changes nothing. Faults: `Permanent` (no such backend, denied),
    /// `Temporary` (unreachable).
    async fn observe(&self, cx: &Context) -> Result<Observed, Fault>;

    /// Reads how the traffic is split now, by the cheapest call that proves it: a shift is confirmed by
    /// this. Faults as in [`Target::observe`].
    async fn split(&self, cx: &Context) -> Result<SideShares, Fault> {
        Ok(self.observe(cx).await?.sides.into_iter().map(|side| (side.name, side.share)).collect())
    }

    /// Asks for an absolute change and returns as soon as the provider has accepted it; the engine
    /// observes until it is true. Doing it twice is harmless. Faults: `Permanent` and `Temporary` mean
    /// that nothing was changed; everything else is `OutcomeUnknown`.
    async fn apply(&self, cx: &Context, change: &Change) -> Result<(), Fault>;

    /// What a person should know before a release: permissions, odd settings, what a reload would lose.
    async fn preflight(&self, cx: &Context) -> Vec<Finding>;
}

/// What a target can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The two sides, in the order of the file.
    pub sides: [SideName; 2],
    /// It brings a candidate up by itself; else the service needs `deploy: {run: …}`.
    pub deploys: bool,
    /// It takes the old side down by itself at `finish`, and can bring a side back up to capacity.
    pub retires: bool,
    /// Between two writers the later one is refused by the provider.
    pub precondition: bool,
    /// Shares other than 0 and 100 %.
    pub splits: bool,
}

/// The least time to give a target. What is zero is left to the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// One look, or one change of the share.
    pub call: Duration,
    /// From an accepted change of the share until it reads back.
    pub settle: Duration,
    /// From a deploy until the side is healthy.
    pub healthy: Duration,
    /// Between two looks in a long wait.
    pub look: Duration,
}

/// An absolute change. Sides not named are left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The share of each side; together the whole.
    Share(SideShares),
    /// Bring this side up with this release, and its artifact where one is declared, and scale it like the
    /// other one. Files may have to be sent: this one change has as long as a deploy may take.
    Deploy { side: SideName, release: ReleaseName, artifact: Option<String> },
    /// Bring this side, which serves or is to serve again, back to capacity with what it runs.
    Revive { side: SideName },
    /// Take this side out of service; it carries no traffic.
    Retire { side: SideName },
}
