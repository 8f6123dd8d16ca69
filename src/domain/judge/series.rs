//! Gathering polls into a series that stays small however long the watch.

use std::time::Duration;

use crate::domain::{
    check::Check,
    record::{Poll, Series},
    sample::{Measure, Sample},
};

/// However long the windows, no more polls than this are kept.
const POLLS_MAX: usize = 4096;

impl Series {
    /// Adds one complete poll and forgets those no bound of `check` looks back at.
    pub fn push(&mut self, check: &Check, poll: Poll) {
        self.candidate.add(&poll.candidate);
        self.baseline.add(&poll.baseline);
        tally(&mut self.candidate_values, &poll.candidate, check.measure);
        tally(&mut self.baseline_values, &poll.baseline, check.measure);
        let keep_ms = millis(check.longest_window());
        let newest_ms = poll.to_ms;
        self.polls.push_back(poll);
        let in_a_row = check.fail.iter().chain(&check.warn).filter_map(in_a_row).max().unwrap_or(1);
        while self.polls.len() > POLLS_MAX
            || (self.polls.len() > in_a_row
                && self.polls.front().is_some_and(|p| p.from_ms.saturating_add(keep_ms) < newest_ms))
        {
            self.polls.pop_front();
        }
    }

    /// The candidate's number over the whole watch.
    pub fn candidate_number(&self, measure: Measure) -> Option<f64> {
        overall(&self.candidate, self.candidate_values, measure)
    }

    /// The baseline's number over the whole watch.
    pub fn baseline_number(&self, measure: Measure) -> Option<f64> {
        overall(&self.baseline, self.baseline_values, measure)
    }

    /// What to record of the baseline for later: its totals, or the mean of its gauge.
    pub fn baseline_summary(&self, measure: Measure) -> Sample {
        match (&self.baseline, self.baseline_number(measure)) {
            (Sample::Gauge(_), Some(mean)) => Sample::Gauge(mean),
            (sample, _) => sample.clone(),
        }
    }
}

fn in_a_row(bound: &crate::domain::bound::Bound) -> Option<usize> {
    match bound {
        crate::domain::bound::Bound::FailuresInARow(n) => usize::try_from(*n).ok(),
        _ => None,
    }
}

fn tally(values: &mut (f64, u64), sample: &Sample, measure: Measure) {
    if let (Sample::Gauge(_), Some(number)) = (sample, sample.number(measure)) {
        values.0 += number;
        values.1 += 1;
    }
}

fn overall(total: &Sample, values: (f64, u64), measure: Measure) -> Option<f64> {
    match (total, values) {
        (Sample::Gauge(_), (sum, n)) if n > 0 => Some(sum / n as f64),
        (total, _) => total.number(measure),
    }
}

/// Whole milliseconds, saturating.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
