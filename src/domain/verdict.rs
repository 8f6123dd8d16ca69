//! Verdicts: what the evidence says, for one check and for the unit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

use super::{
    names::{EntryName, TargetName},
    value::Kind,
};

/// The answer to one check, or to all of them. Ordered by how bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Enough evidence, within bounds.
    Pass,
    /// The bake is over and the evidence is not there.
    Insufficient,
    /// The source could not be read for too long.
    Error,
    /// Evidence of harm.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Pass => "pass",
            Verdict::Insufficient => "insufficient",
            Verdict::Error => "error",
            Verdict::Fail => "fail",
        })
    }
}

/// Where one check of one target stands after the polls so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judgement {
    pub check: EntryName,
    pub target: TargetName,
    /// The verdict if the bake were over now.
    pub verdict: Verdict,
    /// Whether a `warn` bound is broken.
    pub warned: bool,
    /// What was seen, against what, with how many events.
    pub sentence: String,
    pub kind: Kind,
    /// The candidate's number; absent where nothing was seen.
    pub candidate: Option<f64>,
    /// The baseline's number, where one was asked for.
    pub baseline: Option<f64>,
    /// The bound nearest to being broken, and its level in numbers.
    pub bound: String,
    pub limit: Option<f64>,
    /// Events of the candidate behind the number.
    pub events: u64,
    /// Whether the baseline was what had been recorded before the shift instead of live traffic.
    pub against_recorded: bool,
    /// A check that is tried out: it tells and does not decide.
    #[serde(default)]
    pub shadow: bool,
    /// A check without `fail` only tells.
    pub decides: bool,
}

/// The unit's verdict: the worst over the checks that decide. Without any, `pass`.
pub fn worst<'a>(judgements: impl IntoIterator<Item = &'a Judgement>) -> Verdict {
    judgements
        .into_iter()
        .filter(|j| j.decides && !j.shadow)
        .map(|j| j.verdict)
        .max()
        .unwrap_or(Verdict::Pass)
}
