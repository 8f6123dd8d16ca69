//! Logarithms, and what is made of them. Everything here is computed by `libm` and `special`, which do the
//! same arithmetic on every platform: a verdict that is replayed elsewhere comes out bit for bit the same.

use special::{Error as _, Gamma};

/// Natural logarithm; of 0 it is minus infinity.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// `ln(1 + x)`, exact where `x` is small.
pub fn ln_1p(x: f64) -> f64 {
    libm::log1p(x)
}

pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// `ln(a/b)`, exact where both are nearly the same.
pub fn ln_ratio(a: f64, b: f64) -> f64 {
    let off = (a - b) / b;
    if off.abs() < 0.5 { ln_1p(off) } else { ln(a) - ln(b) }
}

/// `ln(eᵃ + eᵇ + …)` without overflow; of nothing it is minus infinity.
pub fn ln_sum(terms: impl IntoIterator<Item = f64> + Clone) -> f64 {
    let most = terms.clone().into_iter().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + ln(terms.into_iter().map(|t| exp(t - most)).sum())
}

/// `ln B(p, q) − p ln θ − q ln(1 − θ)`: the beta function in units of a coin of odds θ.
///
/// The two parts grow with the counts and nearly cancel; written as deviances (C. Loader, *Fast and accurate
/// computation of binomial probabilities*, 2000) and remainders of Stirling's formula nothing cancels, and
/// counts of 10¹² keep their digits.
pub fn ln_beta_at(p: f64, q: f64, theta: f64) -> f64 {
    let n = p + q;
    deviance(p, n * theta)
        + deviance(q, n * (1.0 - theta))
        + 0.5 * ln(std::f64::consts::TAU * n / p / q)
        + stirling(p)
        + stirling(q)
        - stirling(n)
}

/// `x ln(x/m) + m − x`, at least 0.
fn deviance(x: f64, m: f64) -> f64 {
    let off = x - m;
    if off.abs() > 0.1 * (x + m) {
        return x * ln(x / m) - off;
    }
    // x ln((1+v)/(1−v)) + m − x as a series in v², v = (x − m)/(x + m)
    let v = off / (x + m);
    let (mut sum, mut power) = (off * v, 2.0 * x * v);
    for k in 1..200 {
        power *= v * v;
        let next = sum + power / f64::from(2 * k + 1);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

/// `ln Γ(z) − [(z − ½) ln z − z + ½ ln 2π]`, the remainder of Stirling's formula.
fn stirling(z: f64) -> f64 {
    const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;
    if z < 10.0 {
        return Gamma::ln_gamma(z).0 - ((z - 0.5) * ln(z) - z + HALF_LN_TAU);
    }
    let s = 1.0 / (z * z);
    let series = 1.0 / 1260.0 - s * (1.0 / 1680.0 - s * (1.0 / 1188.0 - s * (691.0 / 360_360.0 - s / 156.0)));
    (1.0 / 12.0 - s * (1.0 / 360.0 - s * series)) / z
}

/// How much of the standard normal distribution lies above `z`.
pub fn normal_above(z: f64) -> f64 {
    0.5 * (z * std::f64::consts::FRAC_1_SQRT_2).compl_error()
}

/// The `z` above which lies `part` of the standard normal distribution (0 < part < 1).
pub fn normal_bound(part: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    // each step halves what is unknown: after 80 of them no float lies between
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if normal_above(middle) > part { low = middle } else { high = middle }
    }
    high
}

/// Digamma, the derivative of `ln Γ`.
pub fn digamma(x: f64) -> f64 {
    Gamma::digamma(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beta_function_in_units_of_a_coin_keeps_its_digits() {
        // B(2, 3) = 1/12
        let plain = ln(1.0 / 12.0) - 2.0 * ln(0.3) - 3.0 * ln(0.7);
        assert!((ln_beta_at(2.0, 3.0, 0.3) - plain).abs() < 1e-14);
        // both sides as expected: only ½ ln(2π n / p q) is left
        let (p, q) = (3e11, 7e11);
        let left = 0.5 * ln(std::f64::consts::TAU * 1e12 / p / q);
        assert!((ln_beta_at(p, q, 0.3) - left).abs() < 1e-6, "{}", ln_beta_at(p, q, 0.3) - left);
    }

    #[test]
    fn a_normal_bound_has_its_part_above_it() {
        assert!((normal_bound(0.025) - 1.959_963_984_540_054).abs() < 1e-12);
        assert!((normal_bound(0.5)).abs() < 1e-12);
        for part in [1e-12, 1e-6, 0.01, 0.3, 0.9] {
            assert!((normal_above(normal_bound(part)) / part - 1.0).abs() < 1e-9, "{part}");
        }
    }

    #[test]
    fn sums_of_powers_neither_overflow_nor_vanish() {
        assert!((ln_sum([1e4, 1e4]) - (1e4 + ln(2.0))).abs() < 1e-9);
        assert_eq!(ln_sum([f64::NEG_INFINITY; 2]), f64::NEG_INFINITY);
        assert_eq!(ln_sum([]), f64::NEG_INFINITY);
    }
}
