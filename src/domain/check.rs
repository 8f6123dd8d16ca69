//! A check: one question put to the metrics, and what counts as a bad answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::{bound::Bound, names::EntryName, sample::Measure, value::Kind};

/// One check of the file, without its source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    pub name: EntryName,
    pub measure: Measure,
    pub kind: Kind,
    /// Any of these broken is a `fail`.
    pub fail: Vec<Bound>,
    /// Any of these broken is told.
    pub warn: Vec<Bound>,
    /// Events of the candidate below which there is no `pass`.
    pub needs: u64,
    /// Compare with what was recorded before the shift even where the baseline has traffic.
    pub against_recorded: bool,
    /// Tried out: it tells and does not decide.
    pub shadow: bool,
}

impl Check {
    pub fn needs_baseline(&self) -> bool {
        self.fail.iter().chain(&self.warn).any(Bound::needs_baseline)
    }

    /// The longest trailing time any bound looks back over.
    pub fn longest_window(&self) -> Duration {
        self.windows().max().unwrap_or_default()
    }

    /// The trailing times its bounds look back over.
    pub fn windows(&self) -> impl Iterator<Item = Duration> {
        self.fail.iter().chain(&self.warn).filter_map(|b| b.window().map(|s| s.get()))
    }
}
