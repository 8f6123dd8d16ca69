//! Two streams of yes and no, compared batch by batch, the rates learned on the way.
//!
//! R. Turner, A. Ly and P. Grünwald, *Generic E-variables for exact sequential k-sample tests that allow for
//! optional stopping*, arXiv 2106.02693. Before each batch both rates are estimated from all batches before it,
//! with 0.18 of a bad and of a good event added; the batch then multiplies the stake by
//!
//! ```text
//! Bin(x_c; n_c, θ_c) Bin(x_b; n_b, θ_b) / [Bin(x_c; n_c, θ_c°) Bin(x_b; n_b, θ_b°)]
//! ```
//!
//! where θ° is the allowed pair of rates nearest to θ, that is the one of smallest Kullback-Leibler divergence
//! (for "no difference" the pooled rate). For any convex set of allowed rates this has a mean of at most 1 under each of them: the
//! mean is `(1 + u)^n_c (1 + v)^n_b ≤ exp(n_c u + n_b v)`, where the exponent is the derivative of the
//! divergence at its minimum towards an allowed pair, which is not positive. A half-plane is convex, so one
//! test serves `1.2x baseline`, `baseline + 0.5pp` and `5%` alike. Where the estimate itself is allowed the
//! factor is 1.

use super::{
    null::{Edge, Pair, Refute},
    numbers::ln_ratio,
};

/// Added to the bad and to the good events before a rate is estimated (Turner, Ly and Grünwald, section 4).
const PRIOR: f64 = 0.18;
/// No rate is taken for smaller, or for nearer to 1.
const LEAST_RATE: f64 = 1e-15;

/// The logarithm of the factor by which `batch` multiplies the stake, all of `past` having come before it.
pub fn ln_factor(past: Pair, batch: Pair, edge: Edge, refute: Refute) -> f64 {
    // of a side that was never seen nothing was learned: a bet on its prior would only be lost
    if past.candidate == 0.0 || (past.baseline == 0.0 && edge.times > 0.0) {
        return 0.0;
    }
    let candidate = (past.candidate_bad + PRIOR) / (past.candidate + 2.0 * PRIOR);
    let baseline = (past.baseline_bad + PRIOR) / (past.baseline + 2.0 * PRIOR);
    let allowed = match refute {
        Refute::AtMost => candidate <= edge.at(baseline),
        Refute::AtLeast => candidate >= edge.at(baseline),
    };
    if allowed {
        return 0.0;
    }
    let Some((near_candidate, near_baseline)) = nearest(candidate, baseline, batch, edge) else {
        return 0.0;
    };
    ln_likelihoods(batch.candidate_bad, batch.candidate, candidate, near_candidate)
        + ln_likelihoods(batch.baseline_bad, batch.baseline, baseline, near_baseline)
}

/// `ln [θ^x (1 − θ)^(n − x)]` over the same with `other`.
fn ln_likelihoods(bad: f64, all: f64, theta: f64, other: f64) -> f64 {
    let good = all - bad;
    let part = |count: f64, a: f64, b: f64| if count == 0.0 { 0.0 } else { count * ln_ratio(a, b) };
    part(bad, theta, other) + part(good, 1.0 - theta, 1.0 - other)
}

/// The pair on the edge that is nearest to the estimate, each side weighing as many events as the batch has.
/// `None` where no rates between 0 and 1 are on the edge.
fn nearest(candidate: f64, baseline: f64, batch: Pair, edge: Edge) -> Option<(f64, f64)> {
    let Edge { times, plus } = edge;
    if times == 0.0 {
        return (0.0..=1.0).contains(&plus).then_some((rate(plus), baseline));
    }
    // where on the edge both rates are between 0 and 1
    let (low, high) = ((-plus / times).max(0.0), ((1.0 - plus) / times).min(1.0));
    if low >= high {
        return None;
    }
    if batch.baseline == 0.0 {
        let on_edge = ((candidate - plus) / times).clamp(low, high);
        return Some((rate(edge.at(on_edge)), rate(on_edge)));
    }
    let on_edge = match plus == 0.0 {
        true => root_on_ray(candidate, baseline, batch, times),
        false => root_on_line(candidate, baseline, batch, edge, (low, high)),
    };
    Some((rate(edge.at(on_edge)), rate(on_edge)))
}

/// Never 0 or 1: one event would refute it with certainty.
fn rate(theta: f64) -> f64 {
    theta.clamp(LEAST_RATE, 1.0 - LEAST_RATE)
}

/// On `candidate = times × baseline` the slope of the divergence is 0 where a quadratic is.
fn root_on_ray(candidate: f64, baseline: f64, batch: Pair, times: f64) -> f64 {
    let (n, m) = (batch.candidate, batch.baseline);
    // the pooled rate; near 1 the quadratic's roots would be too close to tell
    if times == 1.0 {
        return (n * candidate + m * baseline) / (n + m);
    }
    let a = times * (n + m);
    let b = n * (candidate + times) + m * (1.0 + times * baseline);
    let c = n * candidate + m * baseline;
    2.0 * c / (b + (b * b - 4.0 * a * c).max(0.0).sqrt())
}

/// The divergence is convex along the edge: its slope rises through 0 between `low` and `high`.
fn root_on_line(candidate: f64, baseline: f64, batch: Pair, edge: Edge, (low, high): (f64, f64)) -> f64 {
    let slope = |t: f64| {
        let rate = edge.at(t);
        batch.candidate * edge.times * (rate - candidate) / (rate * (1.0 - rate))
            + batch.baseline * (t - baseline) / (t * (1.0 - t))
    };
    let (mut low, mut high) = (low, high);
    for _ in 0..70 {
        let middle = 0.5 * (low + high);
        if slope(middle) > 0.0 { high = middle } else { low = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(candidate_bad: f64, candidate: f64, baseline_bad: f64, baseline: f64) -> Pair {
        Pair { candidate_bad, candidate, baseline_bad, baseline }
    }

    const SAME: Edge = Edge { times: 1.0, plus: 0.0 };

    #[test]
    fn nothing_is_said_before_something_was_learned() {
        for edge in [SAME, Edge { times: 1.2, plus: 0.0 }, Edge { times: 0.8, plus: 0.0 }] {
            for refute in [Refute::AtMost, Refute::AtLeast] {
                let first = pair(9.0, 10.0, 0.0, 90.0);
                assert_eq!(ln_factor(Pair::default(), first, edge, refute), 0.0);
                assert_eq!(ln_factor(pair(9.0, 10.0, 0.0, 0.0), first, edge, refute), 0.0);
            }
        }
    }

    #[test]
    fn for_no_difference_the_nearest_allowed_rate_is_the_pooled_one() {
        let (c, b) = nearest(0.03, 0.01, pair(0.0, 100.0, 0.0, 900.0), SAME).unwrap();
        assert!((c - 0.012).abs() < 1e-15 && (b - 0.012).abs() < 1e-15);
        // the same root, found on the line
        let line = root_on_line(0.03, 0.01, pair(0.0, 100.0, 0.0, 900.0), SAME, (0.0, 1.0));
        assert!((line - 0.012).abs() < 1e-15);
    }

    #[test]
    fn where_all_was_bad_the_pooled_rate_keeps_its_digits() {
        let past = pair(20576.0, 20576.0, 13.0, 14.0);
        let found = ln_factor(past, pair(1769.0, 6644.0, 0.0, 2.0), SAME, Refute::AtMost);
        assert!((found + 6_526.337_328_288_5).abs() < 1e-6, "{found}");
    }

    #[test]
    fn no_allowed_pair_of_rates_makes_it_a_winning_game() {
        // the mean factor over all outcomes of a batch, for rates all over the allowed half-plane
        let choose = |n: u32, k: u32| (0..k).fold(1.0, |c, i| c * f64::from(n - i) / f64::from(i + 1));
        let bin = |n: u32, k: u32, p: f64| choose(n, k) * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32);
        for edge in [
            SAME,
            Edge { times: 1.5, plus: 0.0 },
            Edge { times: 1.0, plus: 0.05 },
            Edge { times: 0.0, plus: 0.2 },
        ] {
            for (past, refute) in [
                (pair(30.0, 50.0, 10.0, 80.0), Refute::AtMost),
                (pair(1.0, 50.0, 40.0, 80.0), Refute::AtLeast),
            ] {
                for tenth in 0..=10 {
                    let baseline = f64::from(tenth) / 10.0;
                    for (candidate, on_edge) in
                        [(edge.at(baseline), true), (0.5 * edge.at(baseline), false), (1.0, false)]
                    {
                        let allowed = on_edge
                            || match refute {
                                Refute::AtMost => candidate <= edge.at(baseline),
                                Refute::AtLeast => candidate >= edge.at(baseline),
                            };
                        if !allowed || !(0.0..=1.0).contains(&candidate) {
                            continue;
                        }
                        let (n, m) = (4, 7);
                        let mut mean = 0.0;
                        for x in 0..=n {
                            for y in 0..=m {
                                let batch = pair(x.into(), n.into(), y.into(), m.into());
                                mean += bin(n, x, candidate)
                                    * bin(m, y, baseline)
                                    * ln_factor(past, batch, edge, refute).exp();
                            }
                        }
                        assert!(mean <= 1.0 + 1e-9, "{edge:?} {refute:?} {candidate} {baseline}: {mean}");
                    }
                }
            }
        }
    }
}
