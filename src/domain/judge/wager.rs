//! A bet on bad events that knows neither rate: what one side's bad event wins, the other's loses.
//!
//! The bet names how far beyond the edge the candidate is said to be (`level` 2: twice what is allowed). With w
//! the candidate's part of a batch's events, K = (w·times·level + 1 − w)/(w·times + 1 − w) and u = level/K, the
//! batch multiplies the stake by
//!
//! ```text
//! u^(bad events of the candidate) × K^−(bad events of the baseline) × exp(−n_c · plus · (u − 1))
//! ```
//!
//! For all rates θ_c ≤ times·θ_b + plus its mean is at most 1, since `E[a^x] ≤ exp(n θ (a − 1))` for counts that
//! are binomial or Poisson, and the exponent n_c θ_c (u − 1) + n_b θ_b (1/K − 1) − n_c plus (u − 1) is
//! n_c (u − 1)(θ_c − times θ_b − plus). For levels below 1 all signs turn, and it is evidence that the candidate
//! is *within* the edge. With `plus` 0 it is the likelihood ratio of the candidate's share of the bad events
//! (the test of [`super::split`] with the share of *observed* events in place of a configured one, and one
//! alternative in place of a prior). No rate has to be learned first, so the first batch counts already.

use super::{
    null::{Edge, Pair},
    numbers::ln,
};

/// The logarithm of the factor by which `batch` multiplies the stake of a bet on `level` (at least 0, not 1).
pub fn ln_factor(batch: Pair, edge: Edge, level: f64) -> f64 {
    let all = batch.candidate + batch.baseline;
    if all == 0.0 {
        return 0.0;
    }
    let part = batch.candidate / all;
    let rest = batch.baseline / all;
    // an edge that does not follow the baseline: its events say nothing
    let k = match edge.times == 0.0 {
        true => 1.0,
        false => (part * edge.times * level + rest) / (part * edge.times + rest),
    };
    if !(k > 0.0 && k.is_finite()) {
        return 0.0;
    }
    let u = level / k;
    let times = |count: f64, ln: f64| if count == 0.0 { 0.0 } else { count * ln };
    times(batch.candidate_bad, ln(u))
        - times(batch.baseline_bad, ln(k))
        - batch.candidate * edge.plus * (u - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_allowed_pair_of_rates_makes_it_a_winning_game() {
        // for binomial counts the mean factor is a product of two powers
        for (times, plus) in [(1.0, 0.0), (1.2, 0.0), (1.0, 0.005), (0.0, 0.05), (5.0, 0.0)] {
            let edge = Edge { times, plus };
            for (n, m) in [(100.0, 900.0), (500.0, 500.0), (900.0, 100.0), (100.0, 0.0)] {
                for level in [0.0, 0.25, 0.8, 1.5, 2.0, 6.0] {
                    for baseline in [0.0, 1e-4, 0.01, 0.1, 0.19] {
                        let candidate = edge.at(baseline);
                        let at = |bad_c: f64, bad_b: f64| {
                            let batch =
                                Pair { candidate_bad: bad_c, candidate: n, baseline_bad: bad_b, baseline: m };
                            ln_factor(batch, edge, level)
                        };
                        let none = at(0.0, 0.0);
                        let (u, v) = ((at(1.0, 0.0) - none).exp(), (at(0.0, 1.0) - none).exp());
                        let mean = none
                            + n * (1.0 + candidate * (u - 1.0)).ln()
                            + if m > 0.0 { m * (1.0 + baseline * (v - 1.0)).ln() } else { 0.0 };
                        assert!(mean <= 1e-9, "{edge:?} {n} {m} {level} {baseline}: {mean}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_error_in_300_bounds_the_rate_at_1_percent() {
        let batch = Pair { candidate: 300.0, ..Pair::default() };
        let evidence = ln_factor(batch, Edge { times: 0.0, plus: 0.01 }, 0.0);
        assert!((evidence - 3.0).abs() < 1e-12, "e³ is 20: 95 %");
    }
}
