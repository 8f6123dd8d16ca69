//! Does a share of events agree with the share it should have? A beta-binomial mixture martingale.
//!
//! `c` of `c + b` events fell on one side, which should get each event with chance θ₀ independently of the
//! others. Betting on all other chances at once, with a beta distribution of mean θ₀ and weight `k` as the
//! prior (a = kθ₀, b = k(1 − θ₀)), multiplies the stake by
//!
//! ```text
//! E = B(a + c, b + b') / B(a, b) / (θ₀^c (1 − θ₀)^b')
//! ```
//!
//! which is a nonnegative martingale where θ₀ is true (Ville 1939; Robbins 1970; Howard, Ramdas, McAuliffe and
//! Sekhon, *Time-uniform, nonparametric, nonasymptotic confidence sequences*, 2021, proposition 7). It may be
//! looked at after every event: the chance that it *ever* reaches 1/α is at most α.

use special::Beta as _;

use super::numbers::{digamma, ln, ln_beta_at};

/// How a prior is laid.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// The false-alarm rate it is for.
    pub alpha: f64,
    /// The number of events at which it is sharpest.
    pub sharpest_at: f64,
}

/// Between which chances the true one lies, with a confidence of 1 − `alpha` at every moment of a watch: those
/// that `c` of `total` events do not refute. Howard, Ramdas and others, as above.
pub fn interval(c: f64, total: f64, alpha: f64, tuning: Tuning) -> (f64, f64) {
    let seen = if total > 0.0 { c / total } else { 0.5 };
    let enough = ln(1.0 / alpha);
    let refuted = |theta: f64| Split::tuned(theta, tuning).ln_e(c, total - c) >= enough;
    let edge = |mut kept: f64, mut gone: f64| {
        for _ in 0..60 {
            let middle = 0.5 * (kept + gone);
            if refuted(middle) { gone = middle } else { kept = middle }
        }
        gone
    };
    // an event that never, or always, came leaves its own end open
    let low = if c <= 0.0 { 0.0 } else { edge(seen.min(1.0 - 1e-15), 0.0) };
    let high = if c >= total { 1.0 } else { edge(seen.max(1e-15), 1.0) };
    (low, high)
}

/// The game against a chance of `theta` (0 < θ < 1), with a prior of weight `k` around it.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    theta: f64,
    /// The prior's counts.
    before: (f64, f64),
    at_start: f64,
}

impl Split {
    pub fn new(theta: f64, k: f64) -> Self {
        let before = (k * theta, k * (1.0 - theta));
        Split { theta, before, at_start: ln_beta_at(before.0, before.1, theta) }
    }

    /// With a prior that is sharpest after a number of events.
    pub fn tuned(theta: f64, tuning: Tuning) -> Self {
        let variance = theta * (1.0 - theta);
        let log = ln(1.0 / tuning.alpha);
        let rho = variance * tuning.sharpest_at / (2.0 * log + ln(1.0 + 2.0 * log));
        Split::new(theta, (rho - variance).max(1e-3 * variance) / variance)
    }

    /// The logarithm of E, two-sided: evidence that the chance is another than θ₀.
    pub fn ln_e(&self, c: f64, b: f64) -> f64 {
        ln_beta_at(self.before.0 + c, self.before.1 + b, self.theta) - self.at_start
    }

    /// The logarithm of E, one-sided: evidence that the chance is above θ₀. The prior is cut at θ₀.
    pub fn ln_e_above(&self, c: f64, b: f64) -> f64 {
        let above = |p: f64, q: f64| ln((1.0 - self.theta).inc_beta(q, p, q.ln_beta(p)));
        self.ln_e(c, b) + above(self.before.0 + c, self.before.1 + b) - above(self.before.0, self.before.1)
    }

    /// The number on the first side of `total` at which the two-sided evidence is least.
    pub fn calm(&self, total: f64) -> f64 {
        let odds = ln(self.theta) - ln(1.0 - self.theta);
        let (a, b) = self.before;
        // ψ(z) is nearly ln(z − ½), and its slope nearly this: Newton's steps, kept within what is left
        let steep = |z: f64| (1.0 + (0.5 + 1.0 / (6.0 * z)) / z) / z;
        let (mut low, mut high) = (0.0, total);
        let mut at = (self.theta * (a + b + total - 1.0) + 0.5 - a).clamp(low, high);
        for _ in 0..60 {
            let slope = digamma(a + at) - digamma(b + total - at) - odds;
            if slope > 0.0 {
                high = at
            } else {
                low = at
            }
            let mut next = at - slope / (steep(a + at) + steep(b + total - at));
            if !(low..=high).contains(&next) {
                next = 0.5 * (low + high);
            }
            if (next - at).abs() <= 1e-13 * total {
                return next;
            }
            at = next;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::{super::numbers::exp, *};

    #[test]
    fn published_values_are_met() {
        for (c, b, theta, k, two, one) in [
            (5.0, 9.0, 0.1, 10.0, 1.344_284_308, 2.269_661_726),
            (10.0, 45.0, 0.1, 10.0, 0.231_640_019, 1.126_939_727),
            (70.0, 30.0, 0.5, 100.0, 3.699_759_597, 4.390_676_777),
        ] {
            let split = Split::new(theta, k);
            assert!((split.ln_e(c, b) - two).abs() < 5e-10, "{}", split.ln_e(c, b));
            assert!((split.ln_e_above(c, b) - one).abs() < 5e-10, "{}", split.ln_e_above(c, b));
        }
    }

    #[test]
    fn it_is_a_fair_game_where_the_share_is_right() {
        // the mean of E over both outcomes of the next event is E
        let (theta, split) = (0.1, Split::new(0.1, 20.0));
        for (c, b) in [(0.0, 0.0), (3.0, 11.0), (40.0, 2.0)] {
            let next = theta * exp(split.ln_e(c + 1.0, b)) + (1.0 - theta) * exp(split.ln_e(c, b + 1.0));
            assert!((next / exp(split.ln_e(c, b)) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn an_interval_is_the_published_one() {
        let (low, high) = interval(700.0, 1000.0, 0.05, Tuning { alpha: 0.05, sharpest_at: 100.0 });
        assert!((low - 0.651_629).abs() < 1e-6 && (high - 0.745_949).abs() < 1e-6, "{low} {high}");
        let none = interval(0.0, 0.0, 0.05, Tuning { alpha: 0.05, sharpest_at: 100.0 });
        assert_eq!(none, (0.0, 1.0));
    }

    #[test]
    fn it_is_least_where_it_says() {
        for (theta, total) in [(0.1, 1000.0), (0.5, 7.0), (0.01, 50.0)] {
            let split = Split::new(theta, 10.0);
            let at = split.calm(total);
            let least = split.ln_e(at, total - at);
            for off in [-0.3, -0.01, 0.01, 0.3] {
                let c: f64 = at + off;
                assert!(c < 0.0 || split.ln_e(c, total - c) >= least, "{theta} {total} {off}");
            }
        }
    }
}
