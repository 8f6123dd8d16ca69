//! Verdicts: what the evidence says, for one check and for the unit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

use super::{
    names::{EntryName, TargetName},
    sample::Measure,
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
    /// How its numbers come about; absent of what no check of the file asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<Measure>,
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
    /// Where the bound was tested: how the evidence stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<Tested>,
}

/// What a test found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tested {
    pub test: Test,
    /// The chance of a false alarm that this one test may have over the whole watch.
    pub alpha: f64,
    /// So many tests share the check's `alpha`.
    pub tests: usize,
    /// The most evidence of harm there was, as ln E: harm is shown at `enough`.
    pub harm: f64,
    pub enough: f64,
    /// The chance that the recorded baseline lies outside of the limits it was taken to lie within; part of `alpha`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recorded_error: f64,
    /// Evidence that all is well, as ln E: shown from ln 20.
    pub well: f64,
    /// When the most evidence of harm was there, in milliseconds since the watch began.
    pub at_ms: u64,
    /// How much longer it takes to show that all is well, in milliseconds, if the present rates are the true ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_ms: Option<u64>,
    /// By ranks: how far the candidate lies from the baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
}

fn is_zero(part: &f64) -> bool {
    *part == 0.0
}

/// By how much one side's values are larger than the other's, in the check's unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shift {
    pub estimate: f64,
    /// Between these with a confidence of 95 %; absent where the values cannot tell.
    pub low: Option<f64>,
    pub high: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Ratios: a mixture of bets and the two-sample test.
    Mixture,
    /// Quantiles: the beta-binomial game on both sides.
    Quantile,
    /// Gauges: ranks, once, at the end.
    Rank,
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Test::Mixture => "a mixture of bets",
            Test::Quantile => "its quantile at every moment",
            Test::Rank => "ranks, once",
        })
    }
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
