//! A thing that receives traffic and can be split between two sides.

use async_trait::async_trait;
use std::collections::BTreeMap;

use super::{Context, Fault, Finding};
use crate::domain::{names::SideName, observed::Observed, share::Share};

/// One service behind one provider.
#[async_trait]
pub trait Target: Send + Sync {
    /// What this target can do. Constant for its life, known without a call.
    fn caps(&self) -> Caps;

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
    /// It takes the old side down by itself at `finish`.
    pub retires: bool,
    /// Between two writers the later one is refused by the provider.
    pub precondition: bool,
    /// Shares other than 0 and 100 %.
    pub splits: bool,
}

/// An absolute change. Sides not named are left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The share of each side; together the whole.
    Share(BTreeMap<SideName, Share>),
    /// Bring this side up, with this artifact where one is declared, and scale it like the other one.
    Deploy { side: SideName, artifact: Option<String> },
    /// Take this side out of service; it carries no traffic.
    Retire { side: SideName },
}
