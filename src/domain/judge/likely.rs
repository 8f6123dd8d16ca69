//! What the numbers of one look make likely: whether so much harm may be chance, and how long a pass would take.

use super::{forecast::Traffic, numbers::normal_above, threshold::Look};
use crate::domain::{
    bound::Direction,
    check::Trial,
    sample::{Measure, Sample},
};

impl Look<'_> {
    /// The chance of so much harm, looked at once, where the candidate lies on the edge: by the normal distribution,
    /// with half an event added on each side of both rates; of a quantile by the observations that lie beyond for sure.
    pub(super) fn chance(&self, trial: Trial) -> Option<f64> {
        let rate = |sample: &Sample| match sample {
            Sample::Counts { bad, total } => {
                let (bad, total) = ((*bad).min(*total) as f64 + 0.5, *total as f64 + 1.0);
                let rate = bad / total;
                Some((rate, rate * (1.0 - rate) / total))
            }
            _ => None,
        };
        let live = self.frame.live(self.series);
        if let (Measure::Quantile(p), Sample::Histogram(mine)) =
            (self.frame.check.measure, &self.series.candidate)
        {
            let (baseline, of_theirs) = match (live.or(self.frame.recorded), trial.edge.times > 0.0) {
                (Some(Sample::Histogram(theirs)), true) => {
                    (theirs.quantile(p)?, 1.0 / theirs.total().max(1) as f64)
                }
                (_, true) => return None,
                (_, false) => (0.0, 0.0),
            };
            let limit = trial.edge.at(baseline);
            let (beyond, expected) = match trial.worse {
                Direction::Above => (mine.surely_above(limit), 1.0 - p),
                Direction::Below => (mine.surely_upto(limit), p),
            };
            let total = mine.total().max(1) as f64;
            let spread = (p * (1.0 - p) * (1.0 / total + of_theirs)).sqrt();
            return Some(normal_above((beyond as f64 / total - expected) / spread));
        }
        let (mine, its_own) = rate(&self.series.candidate)?;
        let (theirs, of_theirs) = match trial.edge.times > 0.0 {
            true => rate(live.or(self.frame.recorded)?)?,
            false => (0.0, 0.0),
        };
        let beyond = mine - trial.edge.at(theirs);
        let spread = (its_own + trial.edge.times * trial.edge.times * of_theirs).sqrt();
        let worse = if trial.worse == Direction::Above { beyond } else { -beyond };
        Some(normal_above(worse / spread))
    }

    /// How much longer it takes to show that all is well, the present rates being the true ones. Where the candidate
    /// shows harm so far, as if it were no worse than the baseline.
    pub(super) fn more_ms(&self, trial: Trial, against_recorded: bool) -> Option<u64> {
        let seconds = self.seen_ms() as f64 / 1000.0;
        if seconds <= 0.0 {
            return None;
        }
        let live = self.frame.live(self.series);
        let (_, well) = trial.refutes();
        let mut edge = trial.edge;
        let traffic = match (&self.series.candidate, live.or(self.frame.recorded), self.frame.check.measure) {
            (Sample::Counts { bad, total }, baseline, _) => {
                let (base_bad, base_total) = match baseline {
                    Some(Sample::Counts { bad, total }) if trial.edge.times > 0.0 => (*bad, *total),
                    _ => (0, 0),
                };
                if let (None, Some((_, for_well))) = (live, self.frame.recorded_edges(trial)) {
                    edge = for_well;
                }
                let rate =
                    bad.saturating_add(base_bad) as f64 / total.saturating_add(base_total).max(1) as f64;
                Traffic::Ratio {
                    candidate: *total as f64 / seconds,
                    candidate_bad: rate,
                    baseline: live.map_or(0.0, |_| base_total as f64 / seconds),
                    baseline_bad: rate,
                }
            }
            (Sample::Histogram(mine), Some(Sample::Histogram(theirs)), Measure::Quantile(p)) => {
                let scaled =
                    |scale: f64| -> Vec<f64> { theirs.counts.iter().map(|c| *c as f64 * scale).collect() };
                let part = mine.total() as f64 / theirs.total().max(1) as f64;
                let none = vec![0.0; theirs.counts.len()];
                let (baseline, recorded) = match live {
                    Some(_) => (scaled(1.0 / seconds), none),
                    None => (none, scaled(1.0)),
                };
                let candidate = scaled(part / seconds);
                Traffic::Quantile { bounds: theirs.bounds.clone(), candidate, baseline, recorded, p }
            }
            _ => return None,
        };
        let needed =
            traffic.seconds(edge, well, self.frame.enough_well(against_recorded), self.frame.tuning())?;
        Some((((needed - seconds).max(seconds / 10.0)) * 1000.0) as u64)
    }
}
