//! Thousands of random questions, ties and extremes among them, answered by `oracle.py` and by the judge.
//!
//! The tolerance is relative to the larger of 1 and the number itself, for logarithms of E as for p: 1e-9 unless a
//! test says why not.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use rand::{Rng, RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tidegate::domain::judge::{
    mixture::Purse,
    null::{Edge, Pair, Refute},
    numbers::{normal_above, normal_bound},
    quantile::{self, Ladder},
    rank::Ranks,
    split::{Split, Tuning, interval},
    two_sample, wager,
};

const CLOSE: f64 = 1e-9;

/// Asks all questions of one kind at once. A number that is not finite comes back as none.
fn ask(name: &str, questions: &[Value]) -> Vec<Vec<Option<f64>>> {
    let python =
        std::env::var_os("TIDEGATE_TEST_SCIPY").map(|folder| PathBuf::from(folder).join("bin/python"));
    let python = python.filter(|python| python.exists());
    assert!(
        python.is_some(),
        "SciPy is missing: run `. scripts/setup; need_scipy` first, or all of `scripts/test`"
    );
    let python = python.unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/judge/oracle.py");
    let mut child =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(json!({ name: questions }).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "oracle.py ended with {}", output.status);
    let mut answers: Value = serde_json::from_slice(&output.stdout).unwrap();
    let answers: Vec<Vec<Option<f64>>> = serde_json::from_value(answers[name].take()).unwrap();
    assert_eq!(answers.len(), questions.len());
    answers
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Holds our answers against the oracle's; a question it has no answer to is not counted.
fn hold(name: &str, questions: &[Value], ours: &[Vec<f64>], tolerance: f64, least: usize) {
    let mut compared = 0;
    for ((question, theirs), ours) in questions.iter().zip(ask(name, questions)).zip(ours) {
        for (at, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
            let Some(theirs) = theirs else { continue };
            compared += 1;
            let off = (ours - theirs).abs() / theirs.abs().max(1.0);
            assert!(off <= tolerance, "{name}, answer {at}: ours {ours}, theirs {theirs}, of {question}");
        }
    }
    assert!(compared >= least, "only {compared} answers were compared");
}

/// Few distinct numbers, many, huge, tiny.
fn values(rng: &mut ChaCha8Rng, many: std::ops::Range<usize>) -> Vec<f64> {
    let (n, kind) = (rng.random_range(many), rng.random_range(0..5));
    (0..n)
        .map(|_| match kind {
            0 => f64::from(rng.random_range(0..4)),
            1 => f64::from(rng.random_range(-50..50)) / 4.0,
            2 => rng.random_range(-1.0..1.0) * 1e150,
            3 => rng.random_range(0.0..1.0) * 1e-150,
            _ => rng.random_range(0.0..1.0),
        })
        .collect()
}

/// As often small as large.
fn count(rng: &mut impl Rng, most: f64) -> f64 {
    if rng.random_bool(0.15) { 0.0 } else { most.powf(rng.random_range(0.0..1.0)).round() }
}

fn part_of(rng: &mut impl Rng, all: f64) -> f64 {
    match rng.random_range(0..6) {
        0 => 0.0,
        1 => all,
        2 => (all * 0.01).round(),
        _ => (all * rng.random_range(0.0..1.0f64)).round(),
    }
}

fn pair(rng: &mut ChaCha8Rng, most: f64) -> [f64; 4] {
    let (n, m) = (count(rng, most), count(rng, most));
    [part_of(rng, n), n, part_of(rng, m), m]
}

fn as_pair([candidate_bad, candidate, baseline_bad, baseline]: [f64; 4]) -> Pair {
    Pair { candidate_bad, candidate, baseline_bad, baseline }
}

fn refute(at_most: bool) -> Refute {
    if at_most { Refute::AtMost } else { Refute::AtLeast }
}

fn tuning(rng: &mut ChaCha8Rng) -> Tuning {
    Tuning {
        alpha: *[0.05, 0.01, 1e-6].choose(rng).unwrap(),
        sharpest_at: *[10.0, 100.0, 1000.0].choose(rng).unwrap(),
    }
}

#[test]
fn ranks_are_those_of_scipy() {
    let mut rng = rng(1);
    let (mut questions, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..3000 {
        let (x, y) = (values(&mut rng, 1..40), values(&mut rng, 1..40));
        let (ranks, other) = (Ranks::new(&x, &y), Ranks::new(&y, &x));
        let (greater, less) = (ranks.p_greater(), other.p_greater());
        let exact = ranks.p_greater_exact();
        questions.push(json!([x, y]));
        ours.push(vec![ranks.u(), greater, (2.0 * greater.min(less)).min(1.0), exact.unwrap_or(f64::NAN)]);
    }
    hold("ranks", &questions, &ours, CLOSE, 10_000);
}

#[test]
fn the_shift_and_its_limits_are_those_of_all_differences() {
    let mut rng = rng(2);
    let (mut questions, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..1500 {
        let (x, y) = (values(&mut rng, 1..25), values(&mut rng, 1..25));
        let alpha = *[0.5, 0.05, 0.01].choose(&mut rng).unwrap();
        let (low, middle, high) = Ranks::new(&x, &y).shift(alpha).unwrap();
        questions.push(json!([x, y, alpha]));
        ours.push(vec![low, middle, high]);
    }
    // not one bit is off: a limit is a difference
    hold("shift", &questions, &ours, 0.0, 3500);
}

#[test]
fn a_share_s_evidence_is_that_of_sixty_digits() {
    let mut rng = rng(3);
    let (mut questions, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..2000 {
        let theta = *[0.001, 0.1, 0.5, 0.93].choose(&mut rng).unwrap();
        let k = *[1.0, 10.0, 20.0, 1000.0].choose(&mut rng).unwrap();
        let total = count(&mut rng, 1e12);
        // near the share, or anywhere
        let c = match rng.random_bool(0.5) {
            true => (total * theta + rng.random_range(-4.0..4.0) * (total * theta).sqrt())
                .round()
                .clamp(0.0, total),
            false => part_of(&mut rng, total),
        };
        let split = Split::new(theta, k);
        questions.push(json!([c, total - c, theta, k]));
        ours.push(vec![split.ln_e(c, total - c)]);
    }
    hold("split", &questions, &ours, CLOSE, 2000);
}

#[test]
fn a_share_s_one_sided_evidence_is_that_of_scipy() {
    let mut rng = rng(4);
    let (mut questions, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..2000 {
        let theta = *[0.01, 0.1, 0.5, 0.9].choose(&mut rng).unwrap();
        let total = count(&mut rng, 1e4);
        let c = part_of(&mut rng, total);
        let split = Split::new(theta, 10.0);
        questions.push(json!([c, total - c, theta, 10.0]));
        ours.push(vec![split.ln_e(c, total - c), split.ln_e_above(c, total - c)]);
    }
    // the incomplete beta function is summed up to 1e-15 of itself: a small one loses digits
    hold("split", &questions, &ours, 1e-8, 3000);
}

#[test]
fn an_interval_for_every_look_is_wider_than_one_for_a_single_look() {
    let mut rng = rng(5);
    let (mut questions, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..1000 {
        let total = count(&mut rng, 1e6).max(1.0);
        let c = part_of(&mut rng, total);
        let alpha = *[0.05, 0.01, 1e-6].choose(&mut rng).unwrap();
        // each limit alone may have all of alpha
        questions.push(json!([c, total, 2.0 * alpha]));
        ours.push(interval(c, total, alpha, Tuning { alpha, sharpest_at: 1000.0 }));
    }
    for ((question, theirs), (low, high)) in questions.iter().zip(ask("interval", &questions)).zip(ours) {
        let (one_low, one_high) = (theirs[0].unwrap(), theirs[1].unwrap());
        assert!(low <= one_low + 1e-12 && high >= one_high - 1e-12, "{question}: {low} {high} in {theirs:?}");
    }
}

#[test]
fn normal_tails_and_bounds_are_those_of_scipy() {
    let mut rng = rng(6);
    let (mut questions, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..2000 {
        let z = rng.random_range(-37.0..37.0f64);
        let part = 10f64.powf(rng.random_range(-300.0..-1e-6));
        questions.push(json!([z, part]));
        ours.push((normal_above(z), normal_bound(part)));
    }
    for ((question, theirs), (above, bound)) in questions.iter().zip(ask("normal", &questions)).zip(ours) {
        let (tail, z) = (theirs[0].unwrap(), theirs[1].unwrap());
        // relative to the tail itself, however small
        assert!((above / tail - 1.0).abs() < CLOSE, "{question}: {above} for {tail}");
        assert!((bound - z).abs() < CLOSE * z.abs().max(1.0), "{question}: {bound} for {z}");
    }
}

#[test]
fn two_samples_evidence_is_that_of_its_definition() {
    let mut rng = rng(7);
    // Of a rate next to 1 the part that is not bad has few digits, ours and theirs: all bad is held less closely.
    for (all_bad, tolerance) in [(false, CLOSE), (true, 1e-4)] {
        let (mut questions, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..2000 {
            let (mut past, batch) = (pair(&mut rng, 1e6), pair(&mut rng, 1e4));
            for side in [0, 2] {
                if past[side] > 0.9 * past[side + 1] && !all_bad {
                    past[side] = (past[side + 1] * rng.random_range(0.0..0.9f64)).round();
                }
            }
            let (times, plus) = *[(1.0, 0.0), (1.0, 0.0), (1.2, 0.0), (0.8, 0.0), (1.0, 0.005), (2.0, -0.01)]
                .choose(&mut rng)
                .unwrap();
            let at_most = rng.random_bool(0.7);
            questions.push(json!([past, batch, times, plus, at_most]));
            let edge = Edge { times, plus };
            ours.push(vec![two_sample::ln_factor(as_pair(past), as_pair(batch), edge, refute(at_most))]);
        }
        hold("two_sample", &questions, &ours, tolerance, 1900);
    }
}

#[test]
fn a_wager_s_evidence_is_that_of_its_definition() {
    let mut rng = rng(8);
    let (mut questions, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..3000 {
        let batch = pair(&mut rng, 1e6);
        let (times, plus) =
            *[(1.0, 0.0), (1.2, 0.0), (0.8, 0.0), (1.0, 0.005), (1.0, -0.01)].choose(&mut rng).unwrap();
        let level = *[0.0, 0.25, 0.5, 0.8, 1.5, 2.0, 3.0, 6.0].choose(&mut rng).unwrap();
        questions.push(json!([batch, times, plus, level]));
        ours.push(vec![wager::ln_factor(as_pair(batch), Edge { times, plus }, level)]);
    }
    hold("wager", &questions, &ours, CLOSE, 2000);
}

#[test]
fn a_purse_holds_what_its_words_say() {
    let mut rng = rng(9);
    let (mut questions, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let times = *[1.0, 1.2].choose(&mut rng).unwrap();
        let rates = [rng.random_range(0.0..0.1), rng.random_range(0.0..0.1)];
        let (mut purse, mut past, mut batches) = (Purse::default(), Pair::default(), Vec::new());
        for _ in 0..12 {
            let mut side = |rate: f64| {
                let all = count(&mut rng, 1000.0);
                (((all * rate * 2.0 * rng.random_range(0.0..1.0f64)).round()).min(all), all)
            };
            let ((c, n), (b, m)) = (side(rates[0]), side(rates[1]));
            batches.push([c, n, b, m]);
            let batch = as_pair([c, n, b, m]);
            purse.bet(past, batch, Edge { times, plus: 0.0 }, Refute::AtMost, 1.0);
            past.add(batch);
        }
        questions.push(json!([batches, times]));
        ours.push(vec![purse.ln_e()]);
    }
    hold("mixture", &questions, &ours, CLOSE, 300);
}

#[test]
fn a_quantile_s_evidence_is_the_least_over_all_places() {
    let mut rng = rng(10);
    let (mut questions, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..600 {
        let (candidate, baseline) = (values(&mut rng, 1..60), values(&mut rng, 1..60));
        let p = *[0.1, 0.5, 0.9, 0.99].choose(&mut rng).unwrap();
        let (times, plus) = *[(1.0, 0.0), (1.0, 0.0), (2.0, 0.0), (0.5, 0.25)].choose(&mut rng).unwrap();
        let (at_most, tuning) = (rng.random_bool(0.6), tuning(&mut rng));
        questions.push(json!([
            candidate,
            baseline,
            p,
            times,
            plus,
            at_most,
            tuning.alpha,
            tuning.sharpest_at
        ]));
        let (mine, theirs) = (Ladder::of_values(candidate), Ladder::of_values(baseline));
        ours.push(vec![quantile::ln_e(&mine, &theirs, p, Edge { times, plus }, refute(at_most), tuning)]);
    }
    // SciPy's betaln loses digits where the prior is next to nothing
    hold("quantile", &questions, &ours, 1e-8, 600);
}

#[test]
fn a_histogram_s_evidence_is_the_least_over_all_buckets() {
    let mut rng = rng(11);
    let (mut questions, mut ours) = (Vec::new(), Vec::new());
    let bounds = [0.1, 0.25, 0.5, 1.0, 2.5];
    for _ in 0..1000 {
        let mut side = || -> Vec<u64> { (0..=bounds.len()).map(|_| count(&mut rng, 1e4) as u64).collect() };
        let (candidate, baseline) = (side(), side());
        let p = *[0.5, 0.9, 0.99].choose(&mut rng).unwrap();
        let (at_most, tuning) = (rng.random_bool(0.6), tuning(&mut rng));
        questions.push(json!([candidate, baseline, p, at_most, tuning.alpha, tuning.sharpest_at]));
        let ladder = |counts: &[u64]| Ladder::of_buckets(&bounds, counts);
        let edge = Edge { times: 1.0, plus: 0.0 };
        ours.push(vec![quantile::ln_e(
            &ladder(&candidate),
            &ladder(&baseline),
            p,
            edge,
            refute(at_most),
            tuning,
        )]);
    }
    // SciPy's betaln loses digits where the prior is next to nothing
    hold("buckets", &questions, &ours, 1e-8, 1000);
}
