//! From shares to weights of target groups.

use crate::domain::share::{Share, of_weights};

/// The largest weight of a target group.
pub const WEIGHT_MAX: u64 = 999;

/// The weights that come nearest to the first side having `share`: of 100 where that is exact, of 1000
/// where that is, else the nearest pair. A share of something never becomes nothing, nor a part the whole.
pub fn weights(share: Share) -> [u64; 2] {
    if share.basis_points() > 5000 {
        let [rest, part] = weights(share.rest());
        return [part, rest];
    }
    let part = u64::from(share.basis_points());
    if part % 100 == 0 {
        return [part / 100, 100 - part / 100];
    }
    if part % 10 == 0 {
        return [part / 10, 1000 - part / 10];
    }
    let pairs = (1..=WEIGHT_MAX).flat_map(|mine| {
        let other = mine * (10_000 - part) / part;
        [other, other + 1].map(|other| [mine, other.clamp(1, WEIGHT_MAX)])
    });
    // |m / (m + o) - p / 10000| as the fraction off / sum, compared without rounding
    let off = |[m, o]: [u64; 2]| ((m * 10_000).abs_diff(part * (m + o)), m + o);
    let best = pairs.min_by(|&a, &b| {
        let ((off_a, sum_a), (off_b, sum_b)) = (off(a), off(b));
        (off_a * sum_b).cmp(&(off_b * sum_a)).then_with(|| sum_a.cmp(&sum_b))
    });
    best.unwrap_or([1, 1])
}

/// The nearest share that weights can say.
pub fn nearest(share: Share) -> Share {
    of_weights(weights(share))[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(points: u16) -> Share {
        Share::from_basis_points(points).unwrap()
    }

    #[test]
    fn weights_of_every_share_are_in_range_and_read_back_as_the_nearest() {
        for points in 0..=10_000 {
            let [a, b] = weights(share(points));
            assert!(a <= WEIGHT_MAX && b <= WEIGHT_MAX && a + b > 0, "{points}: {a} {b}");
            assert_eq!(weights(share(10_000 - points)), [b, a], "{points}");
            let near = nearest(share(points));
            assert_eq!(nearest(near), near, "{points}");
            assert_eq!(a == 0, points == 0);
            assert_eq!(b == 0, points == 10_000);
            let off = near.basis_points().abs_diff(points);
            assert!(off <= 5 || points.min(10_000 - points) < 10, "{points}: off by {off}");
        }
    }

    #[test]
    fn whole_percentages_and_tenths_are_exact() {
        assert_eq!(weights(share(1000)), [10, 90]);
        assert_eq!(weights(share(10_000)), [100, 0]);
        assert_eq!(weights(share(50)), [5, 995]);
        assert_eq!(weights(share(10)), [1, 999]);
        for points in (0..=10_000).step_by(10) {
            assert_eq!(nearest(share(points)), share(points));
        }
        // the smallest there is
        assert_eq!(nearest(share(1)), share(10));
    }
}
