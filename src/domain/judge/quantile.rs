//! One quantile of two streams of observations, compared at every moment.
//!
//! S. Howard and A. Ramdas, *Sequential estimation of quantiles with applications to A/B testing and best-arm
//! identification*, 2022 (the beta-binomial boundary of their confseq package). Of N observations as many lie
//! above the true quantile `p` as a coin of chance 1 − p would have it, so the game of [`super::split`] is fair
//! there. Nobody knows where it is: for two streams the evidence is the least, over all places `x`, of the sum of
//! both streams' evidence against "my quantile is here" (the candidate's: "at most here"). Its inverse is a p-value
//! that may be looked at after every observation.
//!
//! Where the count at `x` is known within limits only (several equal observations, the inside of a bucket), the
//! count between them that is worst for the evidence is taken. Merging buckets widens the limits and so never
//! raises the evidence.

use super::{
    null::{Edge, Refute},
    split::{Split, Tuning},
};

/// Observations in rising order: steps between places, with the counts at or below them.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// Where one step ends and the next begins; one fewer than `steps`.
    cuts: Vec<Cut>,
    /// For places in this step: of all observations, so many at least and so many at most are not above.
    steps: Vec<(u64, u64)>,
    total: u64,
}

/// The end of a step: its place and whether the place itself still belongs to the step before.
type Cut = (f64, bool);

impl Ladder {
    /// Of single observations, in any order; what is not a number is left out.
    pub fn of_values(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().filter(|v| !v.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        let mut ladder = Ladder { cuts: Vec::new(), steps: vec![(0, 0)], total: sorted.len() as u64 };
        let mut upto = 0;
        for group in sorted.chunk_by(|a, b| a == b) {
            let Some(&value) = group.first() else { continue };
            let before = upto;
            upto += group.len() as u64;
            ladder.cuts.extend([(value, false), (value, true)]);
            ladder.steps.extend([(before, upto), (upto, upto)]);
        }
        ladder
    }

    /// Of buckets: `counts[i]` of them at most `bounds[i]` and above the bound before; the rest above all bounds.
    pub fn of_buckets(bounds: &[f64], counts: &[u64]) -> Self {
        let total = counts.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
        let mut upto = 0u64;
        let mut steps = Vec::with_capacity(bounds.len() + 1);
        for count in counts.iter().take(bounds.len()) {
            let before = upto;
            upto = upto.saturating_add(*count);
            steps.push((before, upto));
        }
        steps.push((upto, total));
        Ladder { cuts: bounds.iter().take(steps.len() - 1).map(|b| (*b, true)).collect(), steps, total }
    }

    /// The step that `place` is in.
    fn step_at(&self, place: f64) -> usize {
        self.cuts.partition_point(|(cut, belongs)| *cut < place || (*cut == place && !belongs))
    }
}

/// One stream's game about its quantile.
struct Arm<'a> {
    ladder: &'a Ladder,
    split: Split,
    /// The number above at which the evidence is least.
    calm: f64,
}

impl<'a> Arm<'a> {
    fn new(ladder: &'a Ladder, p: f64, tuning: Tuning) -> Self {
        let split = Split::tuned(1.0 - p, tuning);
        Arm { ladder, split, calm: split.calm(ladder.total as f64) }
    }

    /// The least evidence where between `least` and `most` observations are not above.
    fn evidence(&self, least: u64, most: u64) -> f64 {
        let total = self.ladder.total;
        let above = self.calm.clamp((total - most.min(total)) as f64, (total - least.min(total)) as f64);
        self.split.ln_e(above, total as f64 - above)
    }

    /// Against "the quantile is in this step", for each step.
    fn here(&self) -> Vec<f64> {
        self.ladder.steps.iter().map(|(least, most)| self.evidence(*least, *most)).collect()
    }

    /// Against "the quantile is in this step or on its harmless side".
    fn here_or_better(&self, refute: Refute) -> Vec<f64> {
        let total = self.ladder.total;
        let steps = self.ladder.steps.iter();
        steps
            .map(|(least, most)| match refute {
                Refute::AtMost => self.evidence(0, *most),
                Refute::AtLeast => self.evidence(*least, total),
            })
            .collect()
    }
}

/// The logarithm of the evidence that the candidate's quantile `p` (0 < p < 1) is beyond `edge` of the
/// baseline's: above it for [`Refute::AtMost`], below it for [`Refute::AtLeast`]. Not above 0 where there is none.
pub fn ln_e(
    candidate: &Ladder,
    baseline: &Ladder,
    p: f64,
    edge: Edge,
    refute: Refute,
    tuning: Tuning,
) -> f64 {
    let mine = Arm::new(candidate, p, tuning).here_or_better(refute);
    if edge.times == 0.0 {
        return mine.get(candidate.step_at(edge.plus)).copied().unwrap_or(0.0);
    }
    let theirs = Arm::new(baseline, p, tuning).here();
    // the candidate's places, seen from the baseline's side of the edge
    let cut = |i: usize| candidate.cuts.get(i).map(|(x, belongs)| ((x - edge.plus) / edge.times, *belongs));
    let (mut i, mut j, mut least) = (0, 0, f64::INFINITY);
    while let (Some(a), Some(b)) = (mine.get(i), theirs.get(j)) {
        least = least.min(a + b);
        match (cut(i), baseline.cuts.get(j).copied()) {
            (Some(mine), Some(theirs)) => {
                let order = mine.0.total_cmp(&theirs.0).then(mine.1.cmp(&theirs.1));
                i += usize::from(order.is_le());
                j += usize::from(order.is_ge());
            }
            (Some(_), None) => i += 1,
            (None, Some(_)) => j += 1,
            (None, None) => break,
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAME: Edge = Edge { times: 1.0, plus: 0.0 };

    fn p_value(shift: f64, p: f64) -> f64 {
        let baseline = Ladder::of_values((1..=1000).map(f64::from));
        let candidate = Ladder::of_values((1..=1000).map(|v| f64::from(v) + shift));
        let tuning = Tuning { alpha: 0.05, sharpest_at: 100.0 };
        (-ln_e(&candidate, &baseline, p, SAME, Refute::AtMost, tuning)).exp().min(1.0)
    }

    #[test]
    fn published_p_values_are_met() {
        assert!((p_value(70.0, 0.5) - 0.814_704).abs() < 1e-6, "{}", p_value(70.0, 0.5));
        assert!((p_value(100.0, 0.5) - 0.005_494_7).abs() < 1e-7, "{}", p_value(100.0, 0.5));
    }

    #[test]
    fn a_faster_candidate_is_no_harm() {
        assert_eq!(p_value(-300.0, 0.5), 1.0);
    }

    #[test]
    fn a_change_inside_one_bucket_cannot_be_seen() {
        let bounds = [0.1, 0.2, 0.4];
        let tuning = Tuning { alpha: 0.01, sharpest_at: 1000.0 };
        let baseline = Ladder::of_buckets(&bounds, &[0, 10_000, 0, 0]);
        let same_bucket = Ladder::of_buckets(&bounds, &[0, 10_000, 0, 0]);
        let next_bucket = Ladder::of_buckets(&bounds, &[0, 0, 10_000, 0]);
        let harm = |c: &Ladder| ln_e(c, &baseline, 0.95, SAME, Refute::AtMost, tuning);
        assert!(harm(&same_bucket) <= 0.0);
        assert!(harm(&next_bucket) > 100.0);
        let well = |c: &Ladder, times: f64| {
            ln_e(c, &baseline, 0.95, Edge { times, plus: 0.0 }, Refute::AtLeast, tuning)
        };
        assert!(well(&same_bucket, 1.2) <= 0.0, "within one bucket 1.2x cannot be ruled out");
        assert!(well(&same_bucket, 2.1) > 100.0, "more than the bucket's width can");
    }
}
