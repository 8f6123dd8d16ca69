//! What is promised, asked with few runs.

use super::{
    nulls::{self, ALPHAS, Latencies},
    watch::{Found, binomial_bound},
    world::Ratios,
};

/// A right judge breaks one of these once in a thousand seeds.
const UNLIKELY: f64 = 0.001;
/// By this poll half of all watches have found twice the errors (the two-sample test alone: 13).
pub const TWICE_BY: usize = 13;

/// What was asked, and whether it was kept.
pub struct Promise {
    pub words: String,
    pub kept: bool,
}

pub fn all(runs: u64, seed: u64) -> Vec<Promise> {
    let mut promises = Vec::new();
    let mut quiet = |what: &str, alpha: f64, found: &Found| {
        let most = binomial_bound(runs, alpha, UNLIKELY);
        promises.push(Promise {
            words: format!(
                "{what}, α {alpha}: {} false alarms in {runs} watches (at most {most})",
                found.count()
            ),
            kept: found.count() <= most,
        });
    };
    for (rate, share) in [(0.001, 0.5), (0.01, 0.1), (0.3, 0.1)] {
        let cell = format!("null of {rate} at {share}");
        let found = nulls::ratio(Ratios::new(share, rate, 1.0), 1.0, 60, runs, seed, &cell);
        ALPHAS.iter().zip(&found).for_each(|(alpha, found)| quiet(&cell, *alpha, found));
    }
    let incident = Ratios { incident: true, ..Ratios::new(0.1, 0.01, 1.0) };
    let found = nulls::ratio(incident, 1.0, 60, runs, seed, "incident");
    ALPHAS.iter().zip(&found).for_each(|(alpha, found)| quiet("an incident on both sides", *alpha, found));
    for p in [0.5, 0.95] {
        let cell = format!("quantile {p} in buckets");
        let found = nulls::histogram(Latencies::at_bound(p, 0.1), 60, runs, seed, &cell);
        ALPHAS.iter().zip(&found).for_each(|(alpha, found)| quiet(&cell, *alpha, found));
    }
    let (independent, _) = nulls::gauges(0.0, runs, seed, "gauge");
    ALPHAS.iter().zip(&independent).for_each(|(alpha, found)| quiet("a gauge", *alpha, found));
    let world = Ratios::new(0.5, 0.01, 1.0);
    let found = nulls::against_recorded(world, 1.0, 5, 60, runs, seed, "recorded");
    ALPHAS.iter().zip(&found).for_each(|(alpha, found)| quiet("against what was recorded", *alpha, found));
    let signs = nulls::signs(0.5, runs, seed, "signs");
    ALPHAS.iter().zip(&signs).for_each(|(alpha, found)| quiet("a gauge against one number", *alpha, found));
    // that a release at the edge of what is tolerated passes by proof
    let edge = nulls::outcomes(Ratios::new(0.5, 0.05, 1.2), &[1.2], 60, runs, seed, "edge");
    let passed = nulls::transposed(&edge, |o| o.passed);
    if let Some(passed) = passed.first() {
        quiet("a pass of what is 1.2x worse", 0.05, passed);
    }
    let twice = nulls::ratio(Ratios::new(0.1, 0.01, 2.0), 1.0, 60, runs, seed, "twice");
    let at = twice.last().and_then(Found::median);
    promises.push(Promise {
        words: format!("twice the errors of 1 %, α 0.05: half are found by poll {at:?} (at most {TWICE_BY})"),
        kept: at.is_some_and(|at| at <= TWICE_BY),
    });
    promises
}
