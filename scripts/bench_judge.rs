//! The Rust side of `scripts/bench judge`: prints a name and a number for each thing that is measured.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures time and prints it")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use tidegate::domain::{
    bound::Bound,
    check::Check,
    judge::{
        Frame, judge,
        mixture::Purse,
        null::{Edge, Pair, Refute},
        rank::Ranks,
        two_sample,
        verdict::Moment,
    },
    names::{EntryName, TargetName},
    record::{Poll, Series},
    sample::{Histogram, Measure, Sample},
    value::Kind,
};

const POLL_MS: u64 = 10_000;
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

fn main() -> Result<(), String> {
    let batch = Pair { candidate_bad: 1.0, candidate: 100.0, baseline_bad: 9.0, baseline: 900.0 };
    let past = Pair { candidate_bad: 61.0, candidate: 3000.0, baseline_bad: 260.0, baseline: 27_000.0 };
    let edge = Edge { times: 1.0, plus: 0.0 };
    show(
        "a2_ns",
        each(10_000, || two_sample::ln_factor(black_box(past), black_box(batch), edge, Refute::AtMost)),
    );
    let mut purse = Purse::default();
    show(
        "mixture_ns",
        each(10_000, || purse.bet(black_box(past), black_box(batch), edge, Refute::AtMost, 1.0)),
    );
    let (x, y) = (normal(1, 60), normal(2, 60));
    show("ranks_ns", each(1000, || Ranks::new(black_box(&x), black_box(&y)).p_greater()));
    let (x, y) = (normal(3, 10_000), normal(4, 10_000));
    show("interval_ns", each(1, || Ranks::new(black_box(&x), black_box(&y)).shift(0.05)));
    show("checks_ns", checks()?);
    // from ten thousand polls to a million
    let checks: Vec<Check> =
        [Measure::Ratio, Measure::Gauge, Measure::Quantile(0.95)].into_iter().filter_map(check).collect();
    let mut watches: Vec<(&Check, Series)> = checks.iter().map(|check| (check, Series::default())).collect();
    let mut push = |polls: std::ops::Range<u64>| {
        for (check, series) in &mut watches {
            let frame = Frame { check, recorded: None, before: None, tests: 1 };
            polls.clone().for_each(|index| series.push(&frame, poll(check.measure, index)));
        }
    };
    push(0..10_000);
    let before = resident_kib();
    push(10_000..1_000_000);
    println!("grown_kib {}", resident_kib().saturating_sub(before));
    Ok(())
}

fn show(name: &str, took: Duration) {
    println!("{name} {}", took.as_nanos());
}

/// One call, of so many in a round; the best of some rounds, because others only ever add.
fn each<T>(calls: u32, mut call: impl FnMut() -> T) -> Duration {
    let round = || {
        let begun = Instant::now();
        for _ in 0..calls {
            black_box(call());
        }
        begun.elapsed() / calls
    };
    std::iter::repeat_with(round).take(15).min().unwrap_or_default()
}

fn normal(seed: u64, n: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.sample(StandardNormal)).collect()
}

fn check(measure: Measure) -> Option<Check> {
    let kind = match measure {
        Measure::Ratio => Kind::Ratio,
        Measure::Quantile(_) => Kind::Time,
        _ => Kind::Count,
    };
    Some(Check { fail: vec![Bound::Worse], ..Check::new(EntryName::new("check").ok()?, measure, kind) })
}

/// What both sides show in the next poll; every poll another.
fn poll(measure: Measure, index: u64) -> Poll {
    let side = |scale: u64| match measure {
        Measure::Ratio => Sample::Counts { bad: scale * (index % 3), total: scale * 100 },
        Measure::Quantile(_) => {
            let counts = [0, 1, 4, 12, 30, 28, 14, 6, 3, 1, 1, 0].map(|n| scale * (n + n * index % 3));
            Sample::Histogram(Histogram { bounds: BOUNDS.to_vec(), counts: counts.to_vec() })
        }
        _ => Sample::Gauge((index * 7919 % 101) as f64 + scale as f64),
    };
    Poll { from_ms: index * POLL_MS, to_ms: (index + 1) * POLL_MS, candidate: side(1), baseline: side(9) }
}

/// 100 ratios and 100 quantiles of twelve buckets, an hour into the watch: the next poll of both sides, pushed and
/// judged.
fn checks() -> Result<Duration, String> {
    let target = TargetName::new("api").map_err(|e| e.to_string())?;
    let measures = (0..200).map(|i| if i % 2 == 0 { Measure::Ratio } else { Measure::Quantile(0.95) });
    let mut all: Vec<(Check, Series)> =
        measures.filter_map(check).map(|check| (check, Series::default())).collect();
    let mut look = |index: u64| {
        for (check, series) in &mut all {
            let frame = Frame { check, recorded: None, before: None, tests: 200 };
            series.push(&frame, poll(check.measure, index));
            let moment = Moment { watched: Duration::from_millis((index + 1) * POLL_MS), last: false };
            black_box(judge(&frame, &target, series, moment));
        }
    };
    (0..360).for_each(&mut look);
    let mut index = 360;
    let next = || {
        look(index);
        index += 1;
    };
    Ok(each(1, next))
}

/// Resident memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
