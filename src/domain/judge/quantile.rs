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

    /// Observations not above where the evidence is least.
    fn calm_below(&self) -> f64 {
        self.ladder.total as f64 - self.calm
    }

    /// Against "the quantile is in this step". It falls up to the [`Self::calm_step`] and rises from there.
    fn here(&self, step: usize) -> f64 {
        self.ladder.steps.get(step).map_or(f64::INFINITY, |(least, most)| self.evidence(*least, *most))
    }

    /// Against "the quantile is in this step or on its harmless side". Towards the harmful side it falls, until
    /// it is [`Self::at_floor`].
    fn here_or_better(&self, step: usize, refute: Refute) -> f64 {
        let total = self.ladder.total;
        self.ladder.steps.get(step).map_or(f64::INFINITY, |(least, most)| match refute {
            Refute::AtMost => self.evidence(0, *most),
            Refute::AtLeast => self.evidence(*least, total),
        })
    }

    /// The first step that has its calm.
    fn calm_step(&self) -> usize {
        let below = self.calm_below();
        let before = self.ladder.steps.partition_point(|(_, most)| (*most as f64) < below);
        before.min(self.ladder.steps.len().saturating_sub(1))
    }

    fn at_floor(&self, step: usize, refute: Refute) -> bool {
        self.ladder.steps.get(step).is_none_or(|(least, most)| match refute {
            Refute::AtMost => *most as f64 >= self.calm_below(),
            Refute::AtLeast => *least as f64 <= self.calm_below(),
        })
    }
}

/// Both streams as they stand, to be asked about several edges.
pub struct Comparison<'a> {
    mine: Arm<'a>,
    theirs: Arm<'a>,
}

impl<'a> Comparison<'a> {
    /// Of the quantile `p` (0 < p < 1).
    pub fn new(candidate: &'a Ladder, baseline: &'a Ladder, p: f64, tuning: Tuning) -> Self {
        Comparison { mine: Arm::new(candidate, p, tuning), theirs: Arm::new(baseline, p, tuning) }
    }

    /// The logarithm of the evidence that the candidate's quantile is beyond `edge` of the baseline's: above it
    /// for [`Refute::AtMost`], below it for [`Refute::AtLeast`]. Not above 0 where there is none.
    pub fn ln_e(&self, edge: Edge, refute: Refute) -> f64 {
        let (mine, theirs) = (&self.mine, &self.theirs);
        if edge.times == 0.0 {
            return mine.here_or_better(mine.ladder.step_at(edge.plus), refute);
        }
        // the candidate's places, seen from the baseline's side of the edge
        let seen = |(x, belongs): &Cut| ((x - edge.plus) / edge.times, *belongs);
        let order = |a: Cut, b: Cut| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        let (cuts, their_cuts) = (&mine.ladder.cuts, &theirs.ladder.cuts);
        // Evidence falls towards the baseline's calm from the harmless side, and behind it only as long as the
        // candidate's still falls: no place outside of that has the least.
        let calm = theirs.calm_step();
        let at_calm = match calm.checked_sub(1).and_then(|j| their_cuts.get(j)) {
            Some(cut) => cuts.partition_point(|mine| order(seen(mine), *cut).is_le()),
            None => 0,
        };
        let (mut i, mut j) = (at_calm, calm);
        if refute == Refute::AtLeast && !mine.at_floor(i, refute) {
            let floor = mine.ladder.steps.partition_point(|(least, _)| *least as f64 <= mine.calm_below());
            i = floor.saturating_sub(1);
            j = match i.checked_sub(1).and_then(|i| cuts.get(i)) {
                Some(cut) => their_cuts.partition_point(|theirs| order(*theirs, seen(cut)).is_le()),
                None => 0,
            };
        }
        let mut least = f64::INFINITY;
        loop {
            least = least.min(mine.here_or_better(i, refute) + theirs.here(j));
            let at_end = match refute {
                Refute::AtMost => mine.at_floor(i, refute),
                Refute::AtLeast => j >= calm,
            };
            if at_end {
                return least;
            }
            match (cuts.get(i), their_cuts.get(j)) {
                (Some(mine), Some(theirs)) => {
                    let order = order(seen(mine), *theirs);
                    i += usize::from(order.is_le());
                    j += usize::from(order.is_ge());
                }
                (Some(_), None) => i += 1,
                (None, Some(_)) => j += 1,
                (None, None) => return least,
            }
        }
    }
}

/// [`Comparison::ln_e`] of one edge.
pub fn ln_e(
    candidate: &Ladder,
    baseline: &Ladder,
    p: f64,
    edge: Edge,
    refute: Refute,
    tuning: Tuning,
) -> f64 {
    Comparison::new(candidate, baseline, p, tuning).ln_e(edge, refute)
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

    /// The least over all cells, none left out.
    fn over_all_places(
        mine: &Ladder,
        theirs: &Ladder,
        p: f64,
        edge: Edge,
        refute: Refute,
        tuning: Tuning,
    ) -> f64 {
        let (a, b) = (Arm::new(mine, p, tuning), Arm::new(theirs, p, tuning));
        let seen = |i: usize| mine.cuts.get(i).map(|(x, belongs)| ((x - edge.plus) / edge.times, *belongs));
        let (mut i, mut j, mut least) = (0, 0, f64::INFINITY);
        while i < mine.steps.len() && j < theirs.steps.len() {
            least = least.min(a.here_or_better(i, refute) + b.here(j));
            let order = match (seen(i), theirs.cuts.get(j)) {
                (Some(mine), Some(theirs)) => mine.0.total_cmp(&theirs.0).then(mine.1.cmp(&theirs.1)),
                (Some(_), None) => std::cmp::Ordering::Less,
                _ => std::cmp::Ordering::Greater,
            };
            i += usize::from(order.is_le());
            j += usize::from(order.is_ge());
        }
        least
    }

    proptest::proptest! {
        #[test]
        fn no_place_that_is_left_out_has_less(
            mine in proptest::collection::vec(-9..40i32, 0..60), theirs in proptest::collection::vec(-9..40i32, 0..60),
            p in 0.02..0.98f64, times in 0.3..3.0f64, plus in -5.0..5.0f64, alpha in 1e-9..0.5f64,
            sharpest_at in 1.0..1e4f64, many in 1..1000u64,
        ) {
            let tuning = Tuning { alpha, sharpest_at };
            let values = |v: &[i32]| Ladder::of_values(v.iter().map(|v| f64::from(*v)));
            let bounds = [-3.0, 0.0, 7.5, 12.0, 25.0];
            let buckets = |v: &[i32]| {
                let mut counts = [0u64; 6];
                v.iter().for_each(|v| counts[bounds.partition_point(|b| *b < f64::from(*v))] += many);
                Ladder::of_buckets(&bounds, &counts)
            };
            for (a, b) in [(values(&mine), values(&theirs)), (buckets(&mine), buckets(&theirs)), (values(&mine), buckets(&theirs))] {
                for refute in [Refute::AtMost, Refute::AtLeast] {
                    for edge in [SAME, Edge { times, plus }] {
                        let all = over_all_places(&a, &b, p, edge, refute, tuning);
                        let found = ln_e(&a, &b, p, edge, refute, tuning);
                        proptest::prop_assert!((found - all).abs() <= 1e-9 * all.abs().max(1.0), "{edge:?} {refute:?}: {found} for {all}");
                    }
                }
            }
        }
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
