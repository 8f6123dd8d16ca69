//! Counts from 0 to 10¹², rates of false alarms down to 10⁻¹², a million batches: numbers all the way.

use proptest::{collection::vec, prelude::*};

use std::time::Duration;

use super::{
    Frame, judge,
    mixture::Purse,
    null::{Edge, Pair, Refute},
    quantile::{self, Ladder},
    rank::Ranks,
    split::{Split, Tuning, interval},
    two_sample,
    verdict::Moment,
    wager,
};
use crate::domain::{
    bound::Bound,
    check::Check,
    names::EntryName,
    record::{Poll, Series},
    sample::{Histogram, Measure, Sample},
    value::Kind,
    verdict::Judgement,
};

const BIG: u64 = 1_000_000_000_000;
const TUNING: Tuning = Tuning { alpha: 0.01, sharpest_at: 1000.0 };

/// Small counts as often as large ones.
fn count() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..10u64, 0..10_000u64, 0..=BIG, Just(BIG)]
}

fn side() -> impl Strategy<Value = (f64, f64)> {
    (count(), count()).prop_map(|(a, b)| (a.min(b) as f64, a.max(b) as f64))
}

fn batch() -> impl Strategy<Value = Pair> {
    (side(), side()).prop_map(|((candidate_bad, candidate), (baseline_bad, baseline))| Pair {
        candidate_bad,
        candidate,
        baseline_bad,
        baseline,
    })
}

fn edge() -> impl Strategy<Value = Edge> {
    prop_oneof![
        Just(Edge { times: 1.0, plus: 0.0 }),
        Just(Edge { times: 1.2, plus: 0.0 }),
        Just(Edge { times: 1000.0, plus: 0.0 }),
        Just(Edge { times: 1.0, plus: 0.005 }),
        Just(Edge { times: 1.0, plus: -0.005 }),
        Just(Edge { times: 1.0 / 1.2, plus: 0.0 }),
        Just(Edge { times: 0.0, plus: 0.05 }),
        Just(Edge { times: 0.0, plus: 0.0 }),
        Just(Edge { times: 0.0, plus: 1.0 }),
        (0.0..5.0f64, -0.5..0.5f64).prop_map(|(times, plus)| Edge { times, plus }),
    ]
}

fn refute() -> impl Strategy<Value = Refute> {
    prop_oneof![Just(Refute::AtMost), Just(Refute::AtLeast)]
}

fn buckets() -> impl Strategy<Value = Vec<u64>> {
    vec(count(), 6..=6)
}

const BOUNDS: [f64; 5] = [0.05, 0.1, 0.3, 1.0, 5.0];

/// A measure, and what its source may answer.
fn seen(of: usize) -> (Measure, BoxedStrategy<Sample>) {
    let odd = proptest::sample::select(vec![f64::MAX, f64::MIN, f64::NAN, f64::INFINITY]);
    let number = prop_oneof![Just(0.0), -1e3..1e3f64, any::<f64>(), odd];
    let (measure, sample) = match of {
        0 => (
            Measure::Ratio,
            side().prop_map(|(bad, total)| Sample::Counts { bad: bad as u64, total: total as u64 }).boxed(),
        ),
        1 => (
            Measure::Quantile(0.95),
            buckets()
                .prop_map(|counts| Sample::Histogram(Histogram { bounds: BOUNDS.to_vec(), counts }))
                .boxed(),
        ),
        2 => (Measure::Gauge, number.prop_map(Sample::Gauge).boxed()),
        3 => (Measure::Events, count().prop_map(Sample::Events).boxed()),
        _ => (
            Measure::Probes,
            (0..9u32, 0..9u32)
                .prop_map(|(a, b)| Sample::Probes { asked: a.max(b), failed: a.min(b) })
                .boxed(),
        ),
    };
    (measure, prop_oneof![1 => Just(Sample::Empty), 9 => sample].boxed())
}

fn bound() -> impl Strategy<Value = Bound> {
    let sentences = [
        "worse than baseline",
        "above 5%",
        "above baseline + 0.5pp",
        "below baseline - 10%",
        "above 5x baseline for 20s",
        "above 2% for 5s",
        "more than 10 in 30s",
        "3 failures in a row",
        "above 0",
    ];
    proptest::sample::select(sentences.to_vec()).prop_map(|sentence| sentence.parse().unwrap())
}

/// As a logarithm of something that is never negative: no NaN, and never plus infinity.
fn is_ln_e(x: f64) -> bool {
    !x.is_nan() && x < f64::INFINITY
}

proptest! {
    #[test]
    fn a_purse_is_never_negative_and_never_no_number(
        batches in vec(batch(), 1..20), edge in edge(), refute in refute(), clusters in 1.0..50.0f64,
    ) {
        let (mut purse, mut past) = (Purse::default(), Pair::default());
        for batch in batches {
            prop_assert!(is_ln_e(two_sample::ln_factor(past, batch, edge, refute)), "{past:?} {batch:?}");
            for level in [0.0, 0.5, 2.0] {
                prop_assert!(is_ln_e(wager::ln_factor(batch, edge, level)), "{batch:?} {level}");
            }
            purse.bet(past, batch, edge, refute, clusters);
            past.add(batch);
            prop_assert!(is_ln_e(purse.ln_e()), "{purse:?}");
        }
    }

    #[test]
    fn whatever_is_seen_is_judged_and_can_be_kept(
        (measure, polls) in (0..5usize).prop_flat_map(|of| {
            let (measure, sample) = seen(of);
            (Just(measure), vec((sample.clone(), sample, 1..100_000u64), 1..40))
        }),
        bounds in vec(bound(), 1..4), needs in prop_oneof![Just(None), (1..500u64).prop_map(Some)],
        recorded in any::<bool>(),
    ) {
        let kind = measure.fixed_kind().unwrap_or(Kind::Count);
        let name: EntryName = "check".parse().unwrap();
        let check = Check { fail: bounds, needs, ..Check::new(name, measure, kind) };
        let known = polls.first().map(|(_, baseline, _)| baseline.clone()).filter(|sample| recorded && sample.is_number());
        let frame = Frame { check: &check, recorded: known.as_ref(), before: known.as_ref(), tests: 3 };
        let (mut series, mut now_ms) = (Series::default(), 0);
        for (candidate, baseline, long) in polls {
            let (from_ms, to_ms) = (now_ms, now_ms + long);
            now_ms = to_ms;
            series.push(&frame, Poll { from_ms, to_ms, candidate, baseline });
            for last in [false, true] {
                let moment = Moment { watched: Duration::from_millis(now_ms), last };
                let judged = judge(&frame, &"api".parse().unwrap(), &series, moment);
                if let Some(tested) = &judged.tested {
                    prop_assert!(is_ln_e(tested.harm) && is_ln_e(tested.well), "{tested:?}");
                }
                let text = serde_json::to_string(&judged).unwrap();
                prop_assert_eq!(serde_json::from_str::<Judgement>(&text).unwrap(), judged, "{}", text);
            }
            let text = serde_json::to_string(&series).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Series>(&text).unwrap(), &series, "{}", text);
        }
    }

    #[test]
    fn a_split_is_never_no_number(
        (c, n) in side(), theta in prop_oneof![1e-12..1e-6f64, 1e-6..0.999_999f64], k in 1e-3..1e9f64,
        alpha in prop_oneof![Just(1e-12), 1e-9..0.5f64],
    ) {
        let split = Split::new(theta, k);
        prop_assert!(is_ln_e(split.ln_e(c, n - c)) && split.ln_e(c, n - c) > f64::NEG_INFINITY);
        let (low, high) = interval(c, n, alpha, Tuning { alpha, sharpest_at: 1000.0 });
        prop_assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high) && low <= high, "{low} {high}");
        if n > 0.0 {
            prop_assert!(low <= c / n + 1e-9 && high >= c / n - 1e-9, "{low} {high} {}", c / n);
        }
    }

    #[test]
    fn a_quantile_is_never_no_number(
        mine in buckets(), theirs in buckets(), p in 0.001..0.999f64, edge in edge(), refute in refute(),
    ) {
        let ladder = |counts: &[u64]| Ladder::of_buckets(&BOUNDS, counts);
        prop_assert!(is_ln_e(quantile::ln_e(&ladder(&mine), &ladder(&theirs), p, edge, refute, TUNING)));
    }

    #[test]
    fn merging_buckets_never_raises_the_evidence(
        mine in buckets(), theirs in buckets(), p in 0.01..0.99f64, gone in 0..5usize, refute in refute(),
        edge in prop_oneof![Just(Edge { times: 1.0, plus: 0.0 }), Just(Edge { times: 1.5, plus: 0.0 })],
    ) {
        let merged = |counts: &[u64]| {
            let (mut bounds, mut counts) = (BOUNDS.to_vec(), counts.to_vec());
            bounds.remove(gone);
            let moved = counts.remove(gone);
            counts[gone] += moved;
            Ladder::of_buckets(&bounds, &counts)
        };
        let ladder = |counts: &[u64]| Ladder::of_buckets(&BOUNDS, counts);
        let fine = quantile::ln_e(&ladder(&mine), &ladder(&theirs), p, edge, refute, TUNING);
        for (a, b) in [
            (merged(&mine), merged(&theirs)), (merged(&mine), ladder(&theirs)), (ladder(&mine), merged(&theirs)),
        ] {
            let coarse = quantile::ln_e(&a, &b, p, edge, refute, TUNING);
            prop_assert!(coarse <= fine + 1e-9 * fine.abs().max(1.0), "{coarse} > {fine}");
        }
    }

    #[test]
    fn buckets_never_prove_more_than_the_values_in_them(
        mine in vec(0.0..6.0f64, 1..200), theirs in vec(0.0..6.0f64, 1..200), p in 0.05..0.95f64, refute in refute(),
    ) {
        let edge = Edge { times: 1.0, plus: 0.0 };
        let bucketed = |values: &[f64]| {
            let mut counts = [0u64; 6];
            values.iter().for_each(|v| counts[BOUNDS.partition_point(|b| b < v)] += 1);
            Ladder::of_buckets(&BOUNDS, &counts)
        };
        let coarse = quantile::ln_e(&bucketed(&mine), &bucketed(&theirs), p, edge, refute, TUNING);
        let (mine, theirs) = (Ladder::of_values(mine), Ladder::of_values(theirs));
        prop_assert!(coarse <= quantile::ln_e(&mine, &theirs, p, edge, refute, TUNING) + 1e-9);
    }

    #[test]
    fn the_order_of_observations_is_irrelevant(mut values in vec(-1e3..1e3f64, 1..50), other in vec(-1e3..1e3f64, 1..50)) {
        let edge = Edge { times: 1.0, plus: 0.0 };
        let e = |values: &[f64]| {
            let (a, b) = (Ladder::of_values(values.iter().copied()), Ladder::of_values(other.iter().copied()));
            quantile::ln_e(&a, &b, 0.5, edge, Refute::AtMost, TUNING)
        };
        let (before, ranks_before) = (e(&values), Ranks::new(&values, &other).p());
        values.reverse();
        prop_assert_eq!(before, e(&values));
        prop_assert_eq!(ranks_before, Ranks::new(&values, &other).p());
    }

    #[test]
    fn ranks_give_a_chance(
        x in vec(prop_oneof![-3..3i32, -1000..1000i32], 0..30), y in vec(prop_oneof![-3..3i32, -1000..1000i32], 0..30),
    ) {
        let floats = |v: &[i32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        let (x, y) = (floats(&x), floats(&y));
        for ranks in [Ranks::new(&x, &y), Ranks::new(&x, &y).persistent()] {
            prop_assert!((0.0..=1.0).contains(&ranks.p()), "{}", ranks.p());
            if let Some((low, middle, high)) = ranks.shift(0.05) {
                prop_assert!(low <= middle && middle <= high);
            }
        }
    }
}

#[test]
fn a_million_batches_neither_overflow_nor_lose_the_stake() {
    let edge = Edge { times: 1.2, plus: 0.0 };
    for (bad, refute) in
        [(1.0, Refute::AtMost), (5.0, Refute::AtMost), (1.0, Refute::AtLeast), (5.0, Refute::AtLeast)]
    {
        let batch = Pair { candidate_bad: bad, candidate: 100.0, baseline_bad: 9.0, baseline: 900.0 };
        let (mut purse, mut past) = (Purse::default(), Pair::default());
        for _ in 0..1_000_000 {
            purse.bet(past, batch, edge, refute, 1.0);
            past.add(batch);
        }
        assert!(is_ln_e(purse.ln_e()) && purse.ln_e() > -1e9, "{bad} {refute:?}: {}", purse.ln_e());
    }
}
