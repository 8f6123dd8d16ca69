//! A watch as the product has it: every poll is pushed into a series, and the judge looks after each.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tidegate::domain::{
    bound::Bound,
    check::Check,
    judge::{Frame, judge, verdict::Moment},
    names::{EntryName, TargetName},
    record::{Poll, Series},
    sample::{Measure, Sample},
    tolerance::Tolerance,
    value::Kind,
    verdict::Verdict,
};

pub const POLL_MS: u64 = 10_000;

/// What came of a watch, by the number of polls (the first is 1).
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub failed: Option<usize>,
    /// The first look that would have passed.
    pub passed: Option<usize>,
    pub passed_at_the_end: bool,
}

/// `worse than baseline`.
pub fn worse(measure: Measure, tolerate: f64, alpha: f64) -> Option<Check> {
    let kind = match measure {
        Measure::Ratio => Kind::Ratio,
        Measure::Quantile(_) => Kind::Time,
        _ => Kind::Count,
    };
    Some(Check {
        fail: vec![Bound::Worse],
        tolerate: Tolerance::Times(tolerate),
        alpha: format!("{}%", alpha * 100.0).parse().ok()?,
        ..Check::new(EntryName::new("check").ok()?, measure, kind)
    })
}

/// Watches one stream of polls under several checks at once, which differ in nothing but alpha and tolerance.
pub fn watch(checks: &[Check], polls: usize, seen: impl Iterator<Item = (Sample, Sample)>) -> Vec<Outcome> {
    watch_against(checks, None, polls, seen)
}

/// The same where this was recorded of the baseline before.
pub fn watch_against(
    checks: &[Check],
    recorded: Option<&Sample>,
    polls: usize,
    seen: impl Iterator<Item = (Sample, Sample)>,
) -> Vec<Outcome> {
    let Ok(target) = TargetName::new("target") else { return Vec::new() };
    let mut all: Vec<(Frame<'_>, Series, Outcome)> = checks
        .iter()
        .map(|check| {
            (Frame { check, recorded, before: recorded, tests: 1 }, Series::default(), Outcome::default())
        })
        .collect();
    for (index, (candidate, baseline)) in seen.take(polls).enumerate() {
        let to_ms = (index as u64 + 1) * POLL_MS;
        for (frame, series, outcome) in &mut all {
            if outcome.failed.is_some() {
                continue;
            }
            let poll = Poll {
                from_ms: to_ms - POLL_MS,
                to_ms,
                candidate: candidate.clone(),
                baseline: baseline.clone(),
            };
            let before = series.evidence.clone();
            series.push(frame, poll);
            let last = index + 1 == polls;
            if last {
                series.close_batch(frame);
            }
            // a look at evidence that has not changed has the same answer
            if !last && before == series.evidence {
                continue;
            }
            let moment = Moment { watched: Duration::from_millis(to_ms), last };
            match judge(frame, &target, series, moment).verdict {
                Verdict::Fail => outcome.failed = Some(index + 1),
                Verdict::Pass => {
                    outcome.passed.get_or_insert(index + 1);
                    outcome.passed_at_the_end = last;
                }
                _ => {}
            }
        }
    }
    all.into_iter().map(|(.., outcome)| outcome).collect()
}

/// Does something for every run, on all processors; the results are in the runs' order.
pub fn runs<T: Send>(runs: u64, one: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let worker = || {
        let mut mine = Vec::new();
        loop {
            let run = next.fetch_add(1, Ordering::Relaxed);
            if run >= runs {
                return mine;
            }
            mine.push((run, one(run)));
        }
    };
    let mut all: Vec<(u64, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|w| w.join().unwrap_or_default()).collect()
    });
    all.sort_by_key(|(run, _)| *run);
    all.into_iter().map(|(_, result)| result).collect()
}

/// Of so many runs, the number that an event of this chance exceeds once in a hundred times, or in a thousand.
pub fn binomial_bound(runs: u64, chance: f64, above: f64) -> u64 {
    let n = runs as f64;
    // a logarithm: of many runs none at all is rarer than any float
    let mut term = n * (-chance).ln_1p();
    let (mut k, mut sum) = (0, term.exp());
    while 1.0 - sum > above && k < runs {
        k += 1;
        term += ((n - k as f64 + 1.0) / k as f64 * chance / (1.0 - chance)).ln();
        sum += term.exp();
    }
    k
}

/// How often and when, over all runs.
#[derive(Clone, Debug)]
pub struct Found {
    pub at: Vec<Option<usize>>,
}

impl Found {
    pub fn count(&self) -> u64 {
        self.at.iter().flatten().count() as u64
    }

    pub fn share(&self) -> f64 {
        self.count() as f64 / self.at.len().max(1) as f64
    }

    /// The poll by which half of all runs had it.
    pub fn median(&self) -> Option<usize> {
        let mut at: Vec<usize> = self.at.iter().flatten().copied().collect();
        at.sort_unstable();
        at.get(self.at.len().div_ceil(2).saturating_sub(1)).copied()
    }

    pub fn cell(&self) -> String {
        match self.median() {
            Some(poll) => format!("{:.3}/{poll}", self.share()),
            None => format!("{:.3}", self.share()),
        }
    }
}
