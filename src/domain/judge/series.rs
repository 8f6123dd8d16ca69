//! Gathering polls into a series that stays small however long the watch.
//!
//! The tests are fed batches. A batch closes when it is as long as a set part of the watch so far: short ones at
//! the beginning, where a moment counts, long ones later, and never more than a few hundred (the number grows with the logarithm
//! of the time). When a batch ends depends on the clock alone, never on what is in it, so the tests stay valid.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Frame,
    evidence::Standing,
    null::Pair,
    quantile::{Comparison, Ladder},
};
use crate::domain::{
    bound::Bound,
    record::{Poll, Series},
    sample::{Histogram, Measure, Sample},
};

/// A side is silent when it has been quiet for so many times the longest pause it had before.
pub(super) const SILENT_GAPS: u64 = 3;

/// However long the windows, no more polls than this are kept.
const POLLS_MAX: usize = 4096;

impl Series {
    /// Adds one complete poll and forgets those no bound looks back at.
    pub fn push(&mut self, frame: &Frame<'_>, mut poll: Poll) {
        let check = frame.check;
        for sample in [&mut poll.candidate, &mut poll.baseline] {
            if !sample.is_number() {
                self.no_numbers = self.no_numbers.saturating_add(1);
                *sample = Sample::Empty;
            }
        }
        self.candidate.add(&poll.candidate);
        self.baseline.add(&poll.baseline);
        let begun_ms = self.begun_ms().unwrap_or(poll.from_ms);
        for (sample, heard_ms, gap_ms) in [
            (&poll.candidate, &mut self.heard_ms.0, &mut self.gap_ms.0),
            (&poll.baseline, &mut self.heard_ms.1, &mut self.gap_ms.1),
        ] {
            // of events only the bad ones are known: an answer of none is one
            if sample.events() > 0 || matches!(sample, Sample::Events(_)) {
                let pause = match *heard_ms {
                    // before the first nobody knows whether it was a pause or the time until it began
                    0 => poll.from_ms.saturating_sub(begun_ms) / SILENT_GAPS,
                    heard_ms => poll.from_ms.saturating_sub(heard_ms),
                };
                *gap_ms = (*gap_ms).max(pause);
                *heard_ms = poll.to_ms;
            }
        }
        tally(&mut self.candidate_values, &poll.candidate, check.measure);
        tally(&mut self.baseline_values, &poll.baseline, check.measure);
        let mut evidence = std::mem::take(&mut self.evidence);
        self.weigh(frame, &mut evidence);
        self.evidence = evidence;
        self.batch(frame, &poll);
        let keep_ms = millis(check.longest_window());
        let newest_ms = poll.to_ms;
        self.polls.push_back(poll);
        let in_a_row = check.fail.iter().chain(&check.warn).filter_map(in_a_row).max().unwrap_or(1);
        while self.polls.len() > POLLS_MAX
            || (self.polls.len() > in_a_row
                && self.polls.front().is_some_and(|p| p.to_ms.saturating_add(keep_ms) < newest_ms))
        {
            self.polls.pop_front();
        }
    }

    fn batch(&mut self, frame: &Frame<'_>, poll: &Poll) {
        let open = match self.open.take() {
            None => poll.clone(),
            Some(mut open) => {
                open.candidate.add(&poll.candidate);
                open.baseline.add(&poll.baseline);
                open.to_ms = poll.to_ms;
                open
            }
        };
        let span = open.to_ms.saturating_sub(open.from_ms);
        let over = span.saturating_mul(batches_in(frame.check.measure)) >= open.to_ms;
        self.open = Some(open);
        if over {
            self.close_batch(frame);
        }
    }

    /// When its first poll began.
    pub fn begun_ms(&self) -> Option<u64> {
        self.batches.first().or(self.open.as_ref()).map(|batch| batch.from_ms)
    }

    /// Ends the batch that is open: where a watch ends, all of it counts.
    pub fn close_batch(&mut self, frame: &Frame<'_>) {
        let Some(batch) = self.open.take() else { return };
        if frame.check.measure == Measure::Ratio {
            let before: Vec<Pair> = self.batches.iter().map(|batch| frame.pair(batch)).collect();
            let now = frame.pair(&batch);
            for trial in frame.trials() {
                let evidence = self.evidence.entry(trial.key()).or_default();
                evidence.weigh_ratio(frame, trial, &before, now, batch.to_ms);
            }
        }
        for standing in self.evidence.values_mut() {
            standing.note_peak(batch.to_ms);
        }
        self.batches.push(batch);
    }

    /// The same series judged from its inputs alone, under this frame: what was worked out before is left behind.
    /// Where the frame looks back further than the polls that were kept, the batches stand in for them.
    #[must_use]
    pub fn replayed(&self, frame: &Frame<'_>) -> Series {
        let kept_ms = self.polls.front().map_or(0, |poll| poll.from_ms);
        let wanted_ms = self
            .polls
            .back()
            .map_or(0, |poll| poll.to_ms)
            .saturating_sub(millis(frame.check.longest_window()));
        let polls = match kept_ms <= wanted_ms {
            true => self.polls.clone(),
            false => self.batches.iter().chain(&self.open).cloned().collect(),
        };
        let mut again = Series {
            polls,
            candidate: self.candidate.clone(),
            baseline: self.baseline.clone(),
            candidate_values: self.candidate_values,
            baseline_values: self.baseline_values,
            heard_ms: self.heard_ms,
            gap_ms: self.gap_ms,
            no_numbers: self.no_numbers,
            asked: self.asked,
            ..Series::default()
        };
        let (mut candidate, mut baseline) = (Sample::Empty, Sample::Empty);
        // of a gauge there are fewer batches than there were values
        if frame.check.measure != Measure::Gauge && !(self.batches.is_empty() && self.open.is_none()) {
            (again.candidate, again.baseline) = (Sample::Empty, Sample::Empty);
            for batch in self.batches.iter().chain(&self.open) {
                again.candidate.add(&batch.candidate);
                again.baseline.add(&batch.baseline);
            }
        }
        for batch in self.batches.iter().chain(&self.open) {
            if let Measure::Quantile(_) = frame.check.measure {
                candidate.add(&batch.candidate);
                baseline.add(&batch.baseline);
                let upto =
                    Series { candidate: candidate.clone(), baseline: baseline.clone(), ..Series::default() };
                upto.weigh(frame, &mut again.evidence);
            }
            again.open = Some(batch.clone());
            again.close_batch(frame);
        }
        again
    }

    /// As it was when so many batches had been closed, as far as that is stored.
    #[must_use]
    pub fn upto(&self, batches: usize, measure: Measure) -> Series {
        let mut upto = Series::default();
        for batch in self.batches.iter().take(batches) {
            upto.candidate.add(&batch.candidate);
            upto.baseline.add(&batch.baseline);
            tally(&mut upto.candidate_values, &batch.candidate, measure);
            tally(&mut upto.baseline_values, &batch.baseline, measure);
            upto.polls.push_back(batch.clone());
            upto.batches.push(batch.clone());
        }
        upto
    }

    /// Weighs both histograms as they stand.
    fn weigh(&self, frame: &Frame<'_>, evidence: &mut BTreeMap<String, Standing>) {
        let (Measure::Quantile(p), Sample::Histogram(candidate)) = (frame.check.measure, &self.candidate)
        else {
            return;
        };
        let live = frame.live(self);
        let nothing = Histogram::default();
        let baseline = match live.or(frame.recorded) {
            Some(Sample::Histogram(baseline)) => baseline,
            _ => &nothing,
        };
        let ladder = |h: &Histogram| Ladder::of_buckets(&h.bounds, &h.counts);
        let (candidate, baseline) = (ladder(candidate), ladder(baseline));
        let seen = Comparison::new(&candidate, &baseline, p, frame.tuning());
        for trial in frame.trials() {
            let standing = evidence.entry(trial.key()).or_default();
            standing.weigh_quantile(trial, &seen);
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
    pub fn baseline_summary(&self) -> Sample {
        match (&self.baseline, self.baseline_values) {
            (Sample::Gauge(_), (sum, n)) if n > 0 => Sample::Gauge(sum / n as f64),
            (sample, _) => sample.clone(),
        }
    }
}

/// A batch is closed when it is as long as this part of the watch. A histogram's evidence does not depend on its
/// batches, and they are large.
fn batches_in(measure: Measure) -> u64 {
    match measure {
        Measure::Quantile(_) => 8,
        Measure::Gauge => 128,
        _ => 32,
    }
}

/// Both sides at one moment of a watch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub to_ms: u64,
    pub candidate: Option<f64>,
    pub baseline: Option<f64>,
}

/// How the numbers went: of counts and histograms all that had been seen by then, of gauges the values.
pub fn over_time(series: &Series, measure: Measure) -> Vec<Point> {
    let (mut candidate, mut baseline) = (Sample::Empty, Sample::Empty);
    let mut points = Vec::with_capacity(series.batches.len());
    for batch in series.batches.iter().chain(&series.open) {
        candidate.add(&batch.candidate);
        baseline.add(&batch.baseline);
        points.push(Point {
            to_ms: batch.to_ms,
            candidate: candidate.number(measure),
            baseline: baseline.number(measure),
        });
    }
    points
}

fn in_a_row(bound: &Bound) -> Option<usize> {
    match bound {
        Bound::FailuresInARow(n) => usize::try_from(*n).ok(),
        _ => None,
    }
}

fn tally(values: &mut (f64, u64), sample: &Sample, measure: Measure) {
    if let (Sample::Gauge(_), Some(number)) = (sample, sample.number(measure)) {
        values.0 += number;
        values.1 += 1;
    }
}

/// The number that all these samples make together.
pub(super) fn pooled<'s>(samples: impl Iterator<Item = &'s Sample>, measure: Measure) -> Option<f64> {
    let (mut total, mut values) = (Sample::Empty, (0.0, 0));
    for sample in samples {
        total.add(sample);
        tally(&mut values, sample, measure);
    }
    overall(&total, values, measure)
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
