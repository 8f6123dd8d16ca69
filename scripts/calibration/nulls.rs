//! False alarms: nothing is wrong, or exactly what is tolerated, and the judge looks at every poll.

use rand_chacha::ChaCha8Rng;
use tidegate::domain::{
    judge::{
        null::{Edge, Refute},
        numbers::ln,
        quantile::{self, Ladder},
        rank::{Ranks, p_above},
        split::Tuning,
    },
    sample::{Measure, Sample},
};

use super::{
    watch::{Found, Outcome, runs, watch, watch_against, worse},
    world::{Latency, REQUESTS, Ratios, SIGMA, counts, gauge, rng},
};

pub const ALPHAS: [f64; 2] = [0.01, 0.05];
/// Where a prior is sharpest in the product (`judge::SHARPEST_AT`): used where single values are tested, which
/// the product's samples do not hold.
pub const SHARPEST_AT: f64 = tidegate::domain::judge::SHARPEST_AT;
const SAME: Edge = Edge { times: 1.0, plus: 0.0 };

/// Of a ratio: for each of [`ALPHAS`] when it alarmed. `tolerate` 1 is the hardest null; the candidate is worse by
/// `factor`.
pub fn ratio(world: Ratios, tolerate: f64, polls: usize, n: u64, seed: u64, cell: &str) -> Vec<Found> {
    transposed(&outcomes(world, &[tolerate], polls, n, seed, cell), |o| o.failed)
}

/// The same with all that came of it; the checks are the tolerances, each with each alpha.
pub fn outcomes(
    world: Ratios,
    tolerate: &[f64],
    polls: usize,
    n: u64,
    seed: u64,
    cell: &str,
) -> Vec<Vec<Outcome>> {
    let checks: Vec<_> =
        (tolerate.iter()).flat_map(|t| ALPHAS.iter().filter_map(|a| worse(Measure::Ratio, *t, *a))).collect();
    runs(n, |run| {
        let seen = world.polls(rng(seed, cell, run)).map(|[c, b]| (counts(c), counts(b)));
        watch(&checks, polls, seen)
    })
}

/// A ratio with all traffic on the candidate, against what was recorded of as many polls of the baseline.
pub fn against_recorded(
    world: Ratios,
    tolerate: f64,
    recorded: usize,
    polls: usize,
    n: u64,
    seed: u64,
    cell: &str,
) -> Vec<Found> {
    let checks: Vec<_> = ALPHAS.iter().filter_map(|a| worse(Measure::Ratio, tolerate, *a)).collect();
    let all = runs(n, |run| {
        let mut known = Sample::Empty;
        let before = Ratios { share: 0.0, ..world };
        for [_, baseline] in before.polls(rng(seed, cell, run)).take(recorded) {
            known.add(&counts(baseline));
        }
        let after = Ratios { share: 1.0, ..world };
        let seen = after.polls(rng(seed, &format!("{cell}, after"), run));
        watch_against(&checks, Some(&known), polls, seen.map(|[c, _]| (counts(c), Sample::Empty)))
    });
    transposed(&all, |o| o.failed)
}

pub fn transposed(all: &[Vec<Outcome>], of: impl Fn(&Outcome) -> Option<usize>) -> Vec<Found> {
    let checks = all.first().map_or(0, Vec::len);
    (0..checks).map(|i| Found { at: all.iter().map(|run| run.get(i).and_then(&of)).collect() }).collect()
}

/// A world of latencies: the candidate's are so many times the baseline's.
#[derive(Clone, Copy, Debug)]
pub struct Latencies {
    pub p: f64,
    pub share: f64,
    pub factor: f64,
    pub baseline: Latency,
}

impl Latencies {
    /// The baseline's quantile is exactly at a bucket's bound: what the buckets hide nothing of.
    pub fn at_bound(p: f64, share: f64) -> Self {
        let z = tidegate::domain::judge::numbers::normal_bound(1.0 - p);
        Latencies { p, share, factor: 1.0, baseline: Latency { median: 0.1 / (SIGMA * z).exp() } }
    }

    fn sides(self) -> [(Latency, u64); 2] {
        let mine = (REQUESTS as f64 * self.share).round() as u64;
        [(Latency { median: self.baseline.median * self.factor }, mine), (self.baseline, REQUESTS - mine)]
    }

    pub fn buckets(self, mut rng: ChaCha8Rng) -> impl Iterator<Item = (Sample, Sample)> {
        let [(c, n), (b, m)] = self.sides();
        std::iter::repeat_with(move || (c.buckets(&mut rng, n), b.buckets(&mut rng, m)))
    }
}

/// Histograms, by the product's path.
pub fn histogram(world: Latencies, polls: usize, n: u64, seed: u64, cell: &str) -> Vec<Found> {
    let checks: Vec<_> = ALPHAS.iter().filter_map(|a| worse(Measure::Quantile(world.p), 1.0, *a)).collect();
    let all = runs(n, |run| watch(&checks, polls, world.buckets(rng(seed, cell, run))));
    transposed(&all, |o| o.failed)
}

/// Single values: the quantile's test itself, at every poll, for each alpha.
pub fn values(
    world: Latencies,
    alphas: &[f64],
    sharpest_at: f64,
    polls: usize,
    n: u64,
    seed: u64,
    cell: &str,
) -> Vec<Found> {
    let all = runs(n, |run| {
        let mut rng = rng(seed, cell, run);
        let [(c, n), (b, m)] = world.sides();
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        let mut first = vec![None; alphas.len()];
        for poll in 1..=polls {
            mine.extend(c.values(&mut rng, n));
            theirs.extend(b.values(&mut rng, m));
            // nearly sorted already the next time
            mine.sort_by(f64::total_cmp);
            theirs.sort_by(f64::total_cmp);
            let ladder = |values: &[f64]| Ladder::of_values(values.iter().copied());
            let (mine, theirs) = (ladder(&mine), ladder(&theirs));
            for (first, alpha) in first.iter_mut().zip(alphas).filter(|(first, _)| first.is_none()) {
                let tuning = Tuning { alpha: *alpha, sharpest_at };
                let harm = quantile::ln_e(&mine, &theirs, world.p, SAME, Refute::AtMost, tuning);
                *first = (harm >= ln(1.0 / alpha)).then_some(poll);
            }
            if first.iter().all(Option::is_some) {
                break;
            }
        }
        first
    });
    (0..alphas.len())
        .map(|i| Found { at: all.iter().map(|run| run.get(i).copied().flatten()).collect() })
        .collect()
}

/// Gauges held against the one number that is recorded of a baseline, once at the end of 60 polls.
pub fn signs(correlation: f64, n: u64, seed: u64, cell: &str) -> Vec<Found> {
    let all = runs(n, |run| {
        let values: Vec<f64> = gauge(&mut rng(seed, cell, run), correlation).take(60).collect();
        p_above(&values, 0.0)
    });
    let at = |alpha: &f64| all.iter().map(|p| (p <= alpha).then_some(60)).collect();
    ALPHAS.iter().map(|alpha| Found { at: at(alpha) }).collect()
}

/// Gauges, compared by rank once at the end of 60 polls: by the product, and as plain Mann-Whitney.
pub fn gauges(correlation: f64, n: u64, seed: u64, cell: &str) -> (Vec<Found>, Vec<Found>) {
    let checks: Vec<_> = ALPHAS.iter().filter_map(|a| worse(Measure::Gauge, 1.0, *a)).collect();
    let world = |run| {
        let mut rng = rng(seed, cell, run);
        let mine: Vec<f64> = gauge(&mut rng, correlation).take(60).collect();
        let theirs: Vec<f64> = gauge(&mut rng, correlation).take(60).collect();
        (mine, theirs)
    };
    let product = runs(n, |run| {
        let (mine, theirs) = world(run);
        watch(&checks, 60, mine.into_iter().zip(theirs).map(|(c, b)| (Sample::Gauge(c), Sample::Gauge(b))))
    });
    let plain = runs(n, |run| {
        let (mine, theirs) = world(run);
        Ranks::new(&mine, &theirs).p()
    });
    let plain =
        ALPHAS.iter().map(|alpha| Found { at: plain.iter().map(|p| (p <= alpha).then_some(60)).collect() });
    (transposed(&product, |o| o.failed), plain.collect())
}
