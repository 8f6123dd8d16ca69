//! The judge: from what was seen to what it means. Pure.
//!
//! [`series`] gathers polls and feeds the tests, [`verdict`] says what they mean for a check, [`words`] in a sentence.
//!
//! | file | question | from |
//! |---|---|---|
//! | [`mixture`] | is one ratio worse than another, or than a level? | a mixture of the next two |
//! | [`clusters`] | how many bad events come together? | dispersion of quasi-likelihood |
//! | [`two_sample`] | the same, both rates learned on the way | Turner, Ly and Grünwald |
//! | [`wager`] | the same, no rate known | likelihood ratios of Poisson counts |
//! | [`split`] | does a share of events agree with what it should be? | beta-binomial martingale |
//! | [`quantile`] | is one quantile worse than another? | Howard and Ramdas |
//! | [`rank`] | do the values of a gauge lie higher? | Mann and Whitney, once |
//! | `likely` | may so much be chance, looked at once? how long would a pass take? | normal distribution; `forecast` |
//! | [`gauge`] | a gauge, by ranks or signs | `rank` |
//! | [`threshold`] | a number against a level, over a time | plain comparison |
//! | [`truth`] | does the traffic go where it was sent? | `split` |
//!
//! All but `rank` and `threshold` may be looked at after every poll: the chance that they *ever* alarm falsely
//! stays below the rate that was chosen.

pub mod clusters;
pub mod evidence;
pub mod forecast;
pub mod gauge;
mod likely;
pub mod mixture;
pub mod null;
pub mod numbers;
pub mod quantile;
pub mod rank;
pub mod series;
pub mod split;
pub mod threshold;
pub mod truth;
pub mod two_sample;
pub mod verdict;
pub mod wager;
pub mod words;

pub use verdict::judge;

use self::{
    null::{Edge, Pair},
    split::Tuning,
};
use super::{
    bound::{Bound, Direction, Level},
    check::{Check, Trial},
    names::TargetName,
    record::{Evidence, Poll, Series},
    sample::{Measure, Sample},
    tolerance::Tolerance,
    value::Kind,
};

/// The number of observations at which a prior is sharpest.
pub const SHARPEST_AT: f64 = 1000.0;

/// That all is well is shown with a confidence of 95 %, a usual one for a bound: E of 20.
pub const SHOWN_WELL: f64 = 20.0;

/// What a series is judged by.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    pub check: &'a Check,
    /// What the baseline showed last before the shift.
    pub recorded: Option<&'a Sample>,
    /// What it showed before the release moved any traffic.
    pub before: Option<&'a Sample>,
    /// Tests of this unit that decide: they share the false alarms that are accepted.
    pub tests: usize,
}

impl<'a> Frame<'a> {
    /// Of one target, by what is known of its baseline. What is held against what was recorded has what was recorded
    /// before the shift, and not what the baseline showed since.
    pub fn of(
        check: &'a Check,
        target: &TargetName,
        recorded: &'a Evidence,
        before: &'a Evidence,
        tests: usize,
    ) -> Self {
        let known = |all: &'a Evidence| all.get(&check.name).and_then(|targets| targets.get(target));
        let last = if check.against_recorded { before } else { recorded };
        Frame { check, recorded: known(last), before: known(before), tests }
    }

    /// The baseline's side, where it has traffic and is what the check compares with.
    pub(super) fn live<'s>(&self, series: &'s Series) -> Option<&'s Sample> {
        Some(&series.baseline).filter(|b| b.events() > 0 && !self.check.against_recorded)
    }
}

impl Frame<'_> {
    /// The false alarms that one test may raise over a whole watch.
    pub fn alpha(&self) -> f64 {
        self.check.alpha.get() / self.tests.max(1) as f64
    }

    pub fn tuning(&self) -> Tuning {
        Tuning { alpha: self.alpha(), sharpest_at: SHARPEST_AT }
    }

    /// The bound as a test reads it. A level that was broken before the release already is judged on change: as
    /// `worse than baseline`.
    pub fn trial(&self, bound: &Bound) -> Option<Trial> {
        let trial = self.check.trial(bound)?;
        Some(if self.was_bad(bound) { self.tolerated(trial.worse) } else { trial })
    }

    /// All bounds that are tested, each edge once: two bounds of one edge are one test.
    pub fn trials(&self) -> Vec<Trial> {
        let mut trials: Vec<Trial> = Vec::new();
        for trial in self.check.fail.iter().chain(&self.check.warn).filter_map(|bound| self.trial(bound)) {
            if !trials.contains(&trial) {
                trials.push(trial);
            }
        }
        trials
    }

    /// What is tolerated of a level that was broken already. Of a percentage that should be high it is the part that
    /// is missing that may grow, where that is stricter: 98.9 % go to 98.7 %, and not to 82 %.
    pub(super) fn tolerated(&self, worse: Direction) -> Trial {
        let trial = self.check.tolerated(worse);
        let before = self.before.and_then(|before| before.number(self.check.measure));
        match (worse, self.check.kind, self.check.tolerate, before) {
            (Direction::Below, Kind::Ratio, Tolerance::Times(factor), Some(before)) => {
                let missing = Edge { times: factor, plus: 1.0 - factor };
                let stricter = missing.at(before) > trial.edge.at(before);
                Trial { edge: if stricter { missing } else { trial.edge }, worse }
            }
            _ => trial,
        }
    }

    /// Whether a fixed level was broken before the release already.
    pub fn was_bad(&self, bound: &Bound) -> bool {
        let Bound::Beyond { direction, level: Level::Fixed(value), .. } = bound else { return false };
        if let (Some(Sample::Histogram(h)), Measure::Quantile(p)) = (self.before, self.check.measure)
            && h.total() < Check::LEAST_EVENTS
        {
            // of few observations it is shown by those that lie beyond for sure
            let (beyond, expected) = match direction {
                Direction::Above => (h.surely_above(value.number), 1.0 - p),
                Direction::Below => (h.surely_upto(value.number), p),
            };
            let (low, _) = split::interval(beyond as f64, h.total() as f64, 1.0 / SHOWN_WELL, self.tuning());
            return low > expected;
        }
        let before = match self.before {
            // a few bad events are no proof of a bad rate
            Some(Sample::Counts { bad, total }) => {
                let (low, high) =
                    split::interval(*bad as f64, *total as f64, 1.0 / SHOWN_WELL, self.tuning());
                Some(if *direction == Direction::Above { low } else { high })
            }
            other => other.and_then(|r| r.number(self.check.measure)),
        };
        before.is_some_and(|before| direction.beyond(before, value.number))
    }

    /// A batch's counts on both sides; what is no count is nothing.
    pub fn pair(&self, batch: &Poll) -> Pair {
        let counts = |sample: &Sample| match sample {
            Sample::Counts { bad, total } => ((*bad).min(*total) as f64, *total as f64),
            _ => (0.0, 0.0),
        };
        let (candidate_bad, candidate) = counts(&batch.candidate);
        let (baseline_bad, baseline) =
            if self.check.against_recorded { (0.0, 0.0) } else { counts(&batch.baseline) };
        Pair { candidate_bad, candidate, baseline_bad, baseline }
    }
}

#[cfg(test)]
mod numerics_tests;
