//! Two sets of values compared by rank: the Mann-Whitney U test with ties, and the Hodges-Lehmann interval.
//!
//! H. Mann and D. Whitney, *On a test of whether one of two random variables is stochastically larger than the
//! other*, 1947; J. Hodges and E. Lehmann, *Estimates of location based on rank tests*, 1963. With d the number of
//! pairs (x, y) with x > y, ties counting a half, less half of all pairs:
//!
//! ```text
//! z = (d − sgn(d)/2)/σ,  σ² = (mn/12)[(m + n + 1) − Σ(t³ − t)/((m + n)(m + n − 1))]
//! ```
//!
//! It is a test for one look: asked once, at the end of a watch. It takes values as independent. The points of a
//! gauge rarely are, and then it alarms far too often; [`Ranks::persistent`] widens σ by what the values' own
//! correlation from one point to the next asks for.

use special::Beta as _;

use super::numbers::{normal_above, normal_bound};

/// Up to so many values in all, none of them equal, the exact distribution is used.
const EXACT_UP_TO: usize = 50;

/// Two sets of values in the order they came in.
pub struct Ranks<'a> {
    x: &'a [f64],
    y: &'a [f64],
    sorted_x: Vec<f64>,
    sorted_y: Vec<f64>,
    /// σ is multiplied by this.
    wider: f64,
}

impl<'a> Ranks<'a> {
    /// All values must be numbers.
    pub fn new(x: &'a [f64], y: &'a [f64]) -> Self {
        let sorted = |values: &[f64]| {
            let mut values = values.to_vec();
            values.sort_by(f64::total_cmp);
            values
        };
        Ranks { x, y, sorted_x: sorted(x), sorted_y: sorted(y), wider: 1.0 }
    }

    /// For values that follow one another: σ as for as many independent values as these are worth, which with a
    /// correlation r of each with the next is one for (1 + r)/(1 − r) of them (a first-order autoregression's).
    /// Of both sets the more persistent one counts: the correlation is itself an estimate.
    pub fn persistent(self) -> Self {
        let worth = independent(correlation(self.x).max(correlation(self.y)));
        Ranks { wider: (1.0 / worth).sqrt(), ..self }
    }

    /// U: pairs with x > y, a tie counting a half.
    pub fn u(&self) -> f64 {
        self.pairs_above(0.0)
    }

    /// Pairs with x − y > `shift`, a tie counting a half.
    fn pairs_above(&self, shift: f64) -> f64 {
        let (mut below, mut upto, mut twice) = (0, 0, 0u64);
        for x in &self.sorted_x {
            while self.sorted_y.get(below).is_some_and(|y| x - y > shift) {
                below += 1;
            }
            upto = upto.max(below);
            while self.sorted_y.get(upto).is_some_and(|y| x - y >= shift) {
                upto += 1;
            }
            twice += (below + upto) as u64;
        }
        twice as f64 / 2.0
    }

    fn pairs(&self) -> f64 {
        self.x.len() as f64 * self.y.len() as f64
    }

    /// σ, with the ties among all values.
    fn sigma(&self) -> f64 {
        let mut all: Vec<f64> = self.sorted_x.iter().chain(&self.sorted_y).copied().collect();
        all.sort_by(f64::total_cmp);
        let n = all.len() as f64;
        let ties: f64 = all
            .chunk_by(|a, b| a == b)
            .map(|group| {
                let t = group.len() as f64;
                t * t * t - t
            })
            .sum();
        self.wider * (self.pairs() / 12.0 * ((n + 1.0) - ties / (n * (n - 1.0)))).max(0.0).sqrt()
    }

    fn tied(&self) -> bool {
        let mut all: Vec<f64> = self.sorted_x.iter().chain(&self.sorted_y).copied().collect();
        all.sort_by(f64::total_cmp);
        all.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
    }

    /// The chance of a U at least as large where both sets come from one source: small where x is the larger.
    /// By the normal distribution with correction for continuity.
    pub fn p_greater(&self) -> f64 {
        let (d, sigma) = (self.u() - 0.5 * self.pairs(), self.sigma());
        if sigma == 0.0 { 1.0 } else { normal_above((d - 0.5) / sigma) }
    }

    /// The same from the exact distribution, where that is known: few values, no two of them equal, and
    /// independent.
    pub fn p_greater_exact(&self) -> Option<f64> {
        let (m, n) = (self.x.len(), self.y.len());
        if m == 0 || n == 0 || m + n > EXACT_UP_TO || self.wider > 1.0 || self.tied() {
            return None;
        }
        let ways = ways(m, n);
        let all: f64 = ways.iter().sum();
        let from = self.u() as usize;
        Some(ways.iter().skip(from).sum::<f64>() / all)
    }

    /// The best of both.
    pub fn p(&self) -> f64 {
        self.p_greater_exact().unwrap_or_else(|| self.p_greater())
    }

    /// The smallest p that any values of these numbers could show.
    pub fn least_p(m: usize, n: usize) -> f64 {
        let (few, all) = (m.min(n), m + n);
        // one over the number of ways to choose the ranks of the fewer
        (0..few).fold(1.0, |p, i| p * (i + 1) as f64 / (all - i) as f64)
    }

    /// The shift from y to x (Hodges-Lehmann: the median of all differences), and the limits between which it
    /// lies with a confidence of 1 − `alpha`. A limit that cannot be told is infinite.
    pub fn shift(&self, alpha: f64) -> Option<(f64, f64, f64)> {
        let pairs = self.x.len().checked_mul(self.y.len()).filter(|n| *n > 0)? as u64;
        let edge = 0.5 * self.pairs() + 0.5 + normal_bound(alpha / 2.0) * self.within_sigma();
        let outside = (self.pairs() - edge).floor();
        let (low, high) = match outside >= 0.0 {
            true => (self.difference(outside as u64), self.difference(pairs - 1 - outside as u64)),
            false => (f64::NEG_INFINITY, f64::INFINITY),
        };
        let middle = 0.5 * (self.difference((pairs - 1) / 2) + self.difference(pairs / 2));
        Some((low, middle, high))
    }

    /// σ with the ties within each set only: those between the sets go as one is shifted.
    fn within_sigma(&self) -> f64 {
        let n = (self.x.len() + self.y.len()) as f64;
        let ties = |values: &[f64]| -> f64 {
            values.chunk_by(|a, b| a == b).map(|g| (g.len() as f64).powi(3) - g.len() as f64).sum()
        };
        let ties = ties(&self.sorted_x) + ties(&self.sorted_y);
        self.wider * (self.pairs() / 12.0 * ((n + 1.0) - ties / (n * (n - 1.0)))).max(0.0).sqrt()
    }

    /// The difference x − y with `k` smaller ones among all pairs, found without making the pairs.
    fn difference(&self, k: u64) -> f64 {
        let ends = |v: &[f64]| (v.first().copied().unwrap_or(0.0), v.last().copied().unwrap_or(0.0));
        let ((x_low, x_high), (y_low, y_high)) = (ends(&self.sorted_x), ends(&self.sorted_y));
        let (mut low, mut high) = (key(x_low - y_high), key(x_high - y_low));
        // halving the floats between, by their order
        while low < high {
            let middle = low.midpoint(high);
            if self.at_most(unkey(middle)) > k { high = middle } else { low = middle + 1 }
        }
        unkey(low)
    }

    /// Pairs whose difference is at most `limit`.
    fn at_most(&self, limit: f64) -> u64 {
        let (mut above, mut count) = (self.sorted_y.len(), 0u64);
        for x in self.sorted_x.iter().rev() {
            // y from here on are large enough
            while above > 0 && self.sorted_y.get(above - 1).is_some_and(|y| x - y <= limit) {
                above -= 1;
            }
            count += (self.sorted_y.len() - above) as u64;
        }
        count
    }
}

/// The chance that so many of the values lie above the limit where only half of all do: the sign test, for a side
/// of which only one number is known. Values that follow one another count as fewer, as in [`Ranks::persistent`].
pub fn p_above(values: &[f64], limit: f64) -> f64 {
    let above = values.iter().filter(|value| **value > limit).count() as f64;
    if above == 0.0 {
        return 1.0;
    }
    let worth = independent(correlation(values));
    let (above, all) = (above * worth, values.len() as f64 * worth);
    let (p, q) = (above, all - above + 1.0);
    0.5.inc_beta(p, q, p.ln_beta(q))
}

/// What one value of many is worth where each has this correlation with the next.
fn independent(correlation: f64) -> f64 {
    let r = correlation.clamp(0.0, 0.95);
    (1.0 - r) / (1.0 + r)
}

/// In how many orders of `m` and `n` values U is 0, 1, 2 …: the coefficients of the Gaussian binomial.
fn ways(m: usize, n: usize) -> Vec<f64> {
    let most = m * n;
    let mut ways = vec![0.0; most + 1];
    if let Some(first) = ways.first_mut() {
        *first = 1.0;
    }
    for i in 1..=n {
        // times (1 − q^(m+i))
        for k in (m + i..=most).rev() {
            let less = ways.get(k - m - i).copied().unwrap_or(0.0);
            if let Some(way) = ways.get_mut(k) {
                *way -= less;
            }
        }
        // over (1 − q^i)
        for k in i..=most {
            let more = ways.get(k - i).copied().unwrap_or(0.0);
            if let Some(way) = ways.get_mut(k) {
                *way += more;
            }
        }
    }
    ways
}

/// The correlation of each value with the next. Of few values it comes out too small, on average by (1 + 3r)/n
/// (F. Marriott and J. Pope, *Bias in the estimation of autocorrelations*, 1954); that is made good.
fn correlation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n.max(1.0);
    let spread: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    let along: f64 = values.windows(2).map(|w| w.iter().map(|v| v - mean).product::<f64>()).sum();
    if spread > 0.0 && n > 3.0 { (n * along / spread + 1.0) / (n - 3.0) } else { 0.0 }
}

/// Numbers in the order of the floats.
fn key(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn unkey(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values_are_met() {
        let ranks = Ranks::new(&[10.0, 20.0, 30.0, 40.0], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(ranks.u(), 16.0);
        assert!((2.0 * ranks.p_greater() - 0.030_382_822_0).abs() < 1e-10);
        assert!((2.0 * ranks.p_greater_exact().unwrap() - 0.028_571_428_6).abs() < 1e-10);
        assert_eq!(ranks.shift(0.05), Some((6.0, 22.5, 39.0)));
        let x = [1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 4.0, 5.0, 6.0, 9.0];
        let y = [2.0, 3.0, 4.0, 5.0, 5.0, 6.0, 7.0, 7.0, 8.0, 10.0];
        assert_eq!(Ranks::new(&x, &y).u(), 28.5);
        let (other_way, sigma) = (Ranks::new(&y, &x), Ranks::new(&x, &y).sigma());
        assert!((2.0 * other_way.p_greater() - 0.109_568_929_8).abs() < 1e-10, "{}", other_way.p_greater());
        assert!((2.0 * normal_above(21.5 / sigma) - 0.101_373_284_7).abs() < 1e-10);
        assert_eq!(other_way.p_greater_exact(), None, "there are ties");
    }

    #[test]
    fn the_k_th_difference_is_found_without_making_all() {
        let (x, y) = ([3.0, -1.5, 0.0, 7.25], [2.0, -4.0, 1.0]);
        let mut all: Vec<f64> = x.iter().flat_map(|x| y.iter().map(move |y| x - y)).collect();
        all.sort_by(f64::total_cmp);
        let ranks = Ranks::new(&x, &y);
        for (k, difference) in all.iter().enumerate() {
            assert_eq!(ranks.difference(k as u64), *difference);
        }
    }

    #[test]
    fn values_that_follow_one_another_prove_less() {
        let wave: Vec<f64> = (0..60).map(|i| f64::from(i / 15 % 2)).collect();
        let other: Vec<f64> = (0..60).map(|i| f64::from((i + 10) / 15 % 2) * 0.9).collect();
        let plain = Ranks::new(&wave, &other).p();
        let careful = Ranks::new(&wave, &other).persistent().p();
        assert!(careful > plain && careful < 0.5, "{plain} {careful}");
    }

    #[test]
    fn signs_are_a_coin_where_values_are_independent() {
        let values = |above: usize, all: usize| -> Vec<f64> {
            // no two alike next to one another, so that they are not taken to follow one another
            (0..all).map(|i| if (i * 7 + 3) % all < above { 2.0 } else { 0.0 }).collect()
        };
        // P(Bin(20, 1/2) ≥ 15) and ≥ 20
        assert!((p_above(&values(15, 20), 1.0) - 0.020_694_732_666_015_625).abs() < 1e-12);
        assert!((p_above(&values(20, 20), 1.0) - 0.5f64.powi(20)).abs() < 1e-15);
        assert_eq!(p_above(&values(0, 20), 1.0), 1.0);
        assert_eq!(p_above(&[], 1.0), 1.0);
        // ten in a row and then none: they follow one another
        let steps: Vec<f64> = (0..20).map(|i| if i < 15 { 2.0 } else { 0.0 }).collect();
        assert!(p_above(&steps, 1.0) > 0.1);
    }

    #[test]
    fn few_values_can_show_little() {
        assert!((Ranks::least_p(4, 4) - 1.0 / 70.0).abs() < 1e-15);
        assert_eq!(Ranks::least_p(0, 9), 1.0);
    }
}
