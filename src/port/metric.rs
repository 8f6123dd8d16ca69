//! A source of numbers about both sides.

use async_trait::async_trait;
use std::{collections::BTreeMap, time::Duration};

use super::{Context, Fault};
use crate::domain::{
    names::{EntryName, Role, SideName, TargetName},
    observed::Instance,
    sample::Sample,
    template::Words,
};

/// One source; it answers all checks of the file that name it, in as few calls as it can.
#[async_trait]
pub trait Metric: Send + Sync {
    /// How `check` applies to `target`.
    fn reach(&self, check: &EntryName, target: &TargetName) -> Reach;

    /// Answers every ask for the interval `window`, in the order of the asks. Sources that count (a
    /// scraped counter) answer what came since `cursor` and return the new one; without a cursor they
    /// answer `Sample::Empty` and begin. Sources with a memory of their own use the window's times. One
    /// ask may fail alone; the call as a whole fails only where nothing can be said.
    /// Changes nothing. Faults: `Permanent`, `Temporary`.
    async fn measure(
        &self,
        cx: &Context,
        asks: &[Ask],
        window: Window,
        cursor: Option<&serde_json::Value>,
    ) -> Result<Measured, Fault>;

    /// How long after an event the source knows of it. Windows end this much in the past.
    fn lag(&self) -> Duration {
        Duration::ZERO
    }
}

/// Answers to one call.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// One per ask, in their order.
    pub samples: Vec<Result<Sample, Fault>>,
    /// To be handed back with the next call, by this process or another.
    pub cursor: Option<serde_json::Value>,
}

/// How a check applies to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The source does not know this target, or the question was asked of another one already.
    None,
    /// One number that says nothing about sides (an SQL count): asked once, no baseline.
    Whole,
    /// Asked of each side.
    Sides,
}

/// One question: this check, of this side of this target.
#[derive(Clone, Debug)]
pub struct Ask {
    pub check: EntryName,
    pub target: TargetName,
    pub role: Role,
    pub side: SideName,
    /// What the target showed of the side a moment ago.
    pub instances: Vec<Instance>,
    /// What the target calls the side in other systems.
    pub labels: BTreeMap<String, String>,
    /// What `{{…}}` stands for in this question.
    pub words: Words,
    /// When the release opened; nothing before it is its doing.
    pub opened: Option<jiff::Timestamp>,
}

/// An interval of wall-clock time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: jiff::Timestamp,
    pub to: jiff::Timestamp,
    /// Events from before this moment are another split's and must not be in the answer. Where it is later than
    /// `to`, there is nothing to be told yet.
    pub not_before: Option<jiff::Timestamp>,
}

impl Window {
    pub fn new(from: jiff::Timestamp, to: jiff::Timestamp) -> Self {
        Window { from, to, not_before: None }
    }

    /// From where on its events count.
    pub fn begin(&self) -> jiff::Timestamp {
        self.not_before.map_or(self.from, |floor| floor.max(self.from))
    }

    pub fn length(&self) -> Duration {
        Duration::try_from(self.to.duration_since(self.begin())).unwrap_or_default()
    }
}
