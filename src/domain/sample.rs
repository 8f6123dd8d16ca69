//! What a metric source answered for one interval.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::Kind;

/// One answer for one interval. Numbers are in their kind's own unit (fraction, seconds, bytes).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sample {
    /// The source answered, and there was nothing to count or no value. Not an error, and not zero.
    #[default]
    Empty,
    /// Bad events of all events.
    Counts { bad: u64, total: u64 },
    /// Events, where only the bad ones are known.
    Events(u64),
    /// A value at the end of the interval.
    Gauge(f64),
    /// Observations by bucket.
    Histogram(Histogram),
    /// Health probes: how many were asked and how many of them failed.
    Probes { asked: u32, failed: u32 },
}

/// Observations counted in buckets: `counts[i]` of them were at most `bounds[i]` (and above the bound
/// before), the last of `counts` were above every bound.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Histogram {
    /// Upper bounds, rising and finite.
    pub bounds: Vec<f64>,
    /// One more than `bounds`.
    pub counts: Vec<u64>,
}

impl Histogram {
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Adds another histogram of the same buckets; of others, nothing is added and `false` comes back.
    pub fn add(&mut self, other: &Histogram) -> bool {
        if self.counts.is_empty() {
            *self = other.clone();
            return true;
        }
        if self.bounds != other.bounds || self.counts.len() != other.counts.len() {
            return false;
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
        true
    }

    /// Observations that lie above `limit` wherever they lie in their bucket.
    pub fn surely_above(&self, limit: f64) -> u64 {
        let lower = std::iter::once(f64::NEG_INFINITY).chain(self.bounds.iter().copied());
        lower
            .zip(&self.counts)
            .filter(|(lower, _)| *lower >= limit)
            .fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// Observations at or below `limit` wherever they lie in their bucket.
    pub fn surely_upto(&self, limit: f64) -> u64 {
        let buckets = self.bounds.iter().zip(&self.counts);
        buckets.filter(|(bound, _)| **bound <= limit).fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// Whether the `q` quantile lies above every bound.
    pub fn overflows(&self, q: f64) -> bool {
        let beyond = self.counts.get(self.bounds.len()).copied().unwrap_or(0);
        let inside = self.total().saturating_sub(beyond) as f64;
        beyond > 0 && inside < q.clamp(0.0, 1.0) * self.total() as f64
    }

    /// The `q` quantile (0 to 1) by linear interpolation within its bucket, as Prometheus's
    /// `histogram_quantile` does; above the last bound it is the last bound. `None` without observations.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let total = self.total();
        if total == 0 || self.bounds.is_empty() {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * total as f64;
        let mut below = 0.0;
        for (i, &count) in self.counts.iter().enumerate() {
            let count = count as f64;
            let Some(&upper) = self.bounds.get(i) else {
                break;
            };
            if below + count >= rank && count > 0.0 {
                let lower = match i.checked_sub(1).and_then(|j| self.bounds.get(j)) {
                    Some(&bound) => bound,
                    None if upper > 0.0 => 0.0,
                    None => return Some(upper),
                };
                return Some(lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0));
            }
            below += count;
        }
        self.bounds.last().copied()
    }
}

/// How a check's samples become the one number that bounds speak of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Bad of all, as a fraction.
    Ratio,
    /// A plain value.
    Gauge,
    /// This quantile (0 to 1) of a histogram.
    Quantile(f64),
    /// Events in the time.
    Events,
    /// Health probes.
    Probes,
}

impl Measure {
    /// The kind of number this measure yields, where it is not the source's own unit.
    pub fn fixed_kind(self) -> Option<Kind> {
        match self {
            Measure::Ratio | Measure::Probes => Some(Kind::Ratio),
            Measure::Events => Some(Kind::Count),
            Measure::Gauge | Measure::Quantile(_) => None,
        }
    }
}

impl Sample {
    /// The number this sample stands for; `None` where nothing was seen.
    pub fn number(&self, measure: Measure) -> Option<f64> {
        match (self, measure) {
            (Sample::Empty, _) => None,
            (Sample::Counts { total: 0, .. }, _) => None,
            (Sample::Counts { bad, .. }, Measure::Events) => Some(*bad as f64),
            (Sample::Counts { bad, total }, _) => Some(*bad as f64 / *total as f64),
            (Sample::Events(n), _) => Some(*n as f64),
            (Sample::Gauge(value), _) => Some(*value),
            (Sample::Histogram(h), Measure::Quantile(q)) => h.quantile(q),
            (Sample::Histogram(_), _) => None,
            (Sample::Probes { asked: 0, .. }, _) => None,
            (Sample::Probes { asked, failed }, _) => Some(f64::from(*failed) / f64::from(*asked)),
        }
    }

    /// Whether it can be compared with anything: a gauge may answer NaN or infinity.
    pub fn is_number(&self) -> bool {
        match self {
            // sums of them must be numbers too
            Sample::Gauge(value) => value.abs() < 1e150,
            Sample::Histogram(h) => h.bounds.iter().all(|b| !b.is_nan()),
            _ => true,
        }
    }

    /// How many events stand behind it; a gauge or a round of probes counts as one.
    pub fn events(&self) -> u64 {
        match self {
            Sample::Empty => 0,
            Sample::Counts { total, .. } => *total,
            Sample::Events(n) => *n,
            Sample::Gauge(_) => 1,
            Sample::Histogram(h) => h.total(),
            Sample::Probes { asked, .. } => u64::from(*asked > 0),
        }
    }

    /// The requests that it counts on one side; `None` of what counts no requests.
    pub fn requests(&self) -> Option<u64> {
        match self {
            Sample::Counts { total, .. } => Some(*total),
            Sample::Histogram(h) => Some(h.total()),
            _ => None,
        }
    }

    /// Whether a check of this measure can be asked of it. Nothing answers everything.
    pub fn answers(&self, measure: Measure) -> bool {
        match self {
            Sample::Empty => true,
            Sample::Counts { .. } => matches!(measure, Measure::Ratio | Measure::Events),
            Sample::Events(_) => measure == Measure::Events,
            Sample::Gauge(_) => measure == Measure::Gauge,
            Sample::Histogram(_) => matches!(measure, Measure::Quantile(_)),
            Sample::Probes { .. } => measure == Measure::Probes,
        }
    }

    /// The bad events in it.
    pub fn bad(&self) -> u64 {
        match self {
            Sample::Counts { bad, .. } => *bad,
            Sample::Events(n) => *n,
            Sample::Probes { failed, .. } => u64::from(*failed),
            _ => 0,
        }
    }

    /// Adds a later interval's sample. Counts and buckets add up; of gauges the later one stays.
    pub fn add(&mut self, later: &Sample) {
        match (&mut *self, later) {
            (_, Sample::Empty) => {}
            (Sample::Counts { bad, total }, Sample::Counts { bad: b, total: t }) => {
                *bad = bad.saturating_add(*b);
                *total = total.saturating_add(*t);
            }
            (Sample::Events(n), Sample::Events(m)) => *n = n.saturating_add(*m),
            (Sample::Histogram(mine), Sample::Histogram(theirs)) => {
                if !mine.add(theirs) {
                    *self = later.clone();
                }
            }
            (Sample::Probes { asked, failed }, Sample::Probes { asked: a, failed: f }) => {
                *asked = asked.saturating_add(*a);
                *failed = failed.saturating_add(*f);
            }
            (mine, later) => *mine = later.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_interpolated_within_its_bucket() {
        let h = Histogram { bounds: vec![0.1, 0.2, 0.4], counts: vec![50, 40, 10, 0] };
        assert_eq!(h.quantile(0.5), Some(0.1));
        assert_eq!(h.quantile(0.9), Some(0.2));
        assert!((h.quantile(0.95).unwrap() - 0.3).abs() < 1e-12);
        assert_eq!(Histogram::default().quantile(0.5), None);
        let over = Histogram { bounds: vec![0.1], counts: vec![0, 7] };
        assert_eq!(over.quantile(0.5), Some(0.1));
    }

    #[test]
    fn nothing_seen_is_no_number() {
        assert_eq!(Sample::Empty.number(Measure::Ratio), None);
        assert_eq!(Sample::Counts { bad: 0, total: 0 }.number(Measure::Ratio), None);
        assert_eq!(Sample::Counts { bad: 1, total: 4 }.number(Measure::Ratio), Some(0.25));
    }

    #[test]
    fn counts_add_up_and_the_last_gauge_stays() {
        let mut counts = Sample::Empty;
        for _ in 0..3 {
            counts.add(&Sample::Counts { bad: 1, total: 10 });
            counts.add(&Sample::Empty);
        }
        assert_eq!(counts, Sample::Counts { bad: 3, total: 30 });
        let mut gauge = Sample::Gauge(1.0);
        gauge.add(&Sample::Gauge(2.0));
        assert_eq!(gauge, Sample::Gauge(2.0));
    }
}
