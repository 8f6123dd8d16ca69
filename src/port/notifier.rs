//! Those who hear how a release goes.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Fault};
use crate::domain::names::{Attempt, EnvironmentName, UnitName};

/// Told best effort: what cannot be said changes no result. Telling the same twice leaves one thing, because
/// an adapter finds what it made before by the attempt and keeps no memory of its own.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// `None`: it has nothing to say or to update at this occasion. Faults: any; the caller shows them.
    async fn post(&self, cx: &Context, news: &News) -> Result<Option<Posted>, Fault>;
}

/// What a release came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// It was opened.
    Opened,
    /// The candidate's share was confirmed.
    Stage,
    /// A check crossed its `warn`, which changes nothing.
    Warn,
    /// A verdict that is evidence of harm, or a step that failed.
    Fail,
    /// All traffic is at the baseline again, as confirmed.
    RolledBack,
    /// A rollback is incomplete: a human is needed now.
    Stuck,
    /// It serves all traffic and is closed.
    Finished,
    /// A re-check after that found harm.
    Recheck,
}

impl Occasion {
    pub const ALL: [Occasion; 8] = [
        Occasion::Opened,
        Occasion::Stage,
        Occasion::Warn,
        Occasion::Fail,
        Occasion::RolledBack,
        Occasion::Stuck,
        Occasion::Finished,
        Occasion::Recheck,
    ];
}

/// One piece of news.
#[derive(Clone, Debug)]
pub struct News {
    pub occasion: Occasion,
    pub unit: UnitName,
    pub environment: EnvironmentName,
    pub attempt: Attempt,
    pub sentence: String,
    /// Where the run's log is.
    pub log: Option<String>,
    /// As Markdown in which nothing from outside is markup; the whole story where the command has ended.
    pub page: String,
}

impl News {
    /// What tells this attempt from every other one, here and in other environments:
    /// `shop/production/v1.2.3#12`.
    pub fn mark(&self) -> String {
        format!("{}/{}/{}", self.unit, self.environment, self.attempt)
    }
}

/// What an adapter made or updated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Its number at the other side.
    pub id: String,
    /// Where a person finds it.
    pub url: Option<String>,
}
