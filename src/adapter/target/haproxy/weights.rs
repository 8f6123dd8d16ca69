//! From shares to weights and back, and in which order weights change.

use crate::domain::share::{Share, of_weights as shares};

/// HAProxy's largest weight.
pub const WEIGHT_MAX: u64 = 256;

/// What the weights of a split add up to where nothing speaks for another sum: room in both directions.
const SUM_LIKED: u64 = 250;

/// How finely two sides of so many servers can be split. All servers of a side have one weight, so a side's
/// sum is a multiple of its servers; sums are multiples of both numbers of servers, so that the same shares
/// can be set whichever side is the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    servers: [u64; 2],
    /// Least common multiple of the two numbers of servers.
    step: u64,
    /// The most steps that a side's sum may have.
    steps_max: u64,
}

/// The weight of every server of each side.
pub type Weights = [u64; 2];

impl Scale {
    /// `None` where a side has no server, or there are too many for weights up to 256.
    pub fn new(servers: [usize; 2]) -> Option<Self> {
        let servers = servers.map(|n| n as u64);
        let (a, b) = (servers[0], servers[1]);
        if a == 0 || b == 0 {
            return None;
        }
        let step = a / gcd(a, b) * b;
        let steps_max = WEIGHT_MAX * a.min(b) / step;
        (steps_max > 0).then_some(Scale { servers, step, steps_max })
    }

    /// The weights that come nearest to the first side having `share`. A share of something never becomes
    /// nothing, nor a part the whole.
    pub fn weights(&self, share: Share) -> Weights {
        let steps = if share.basis_points() > 5000 {
            let [rest, part] = self.steps(share.rest());
            [part, rest]
        } else {
            self.steps(share)
        };
        [0, 1].map(|side| steps[side] * self.step / self.servers[side])
    }

    /// Steps of a share of half at most, and of the rest: the nearest pair, then the one whose weights
    /// add up best, then the larger.
    fn steps(&self, share: Share) -> [u64; 2] {
        let liked = (SUM_LIKED / self.step.div_ceil(self.servers[0].min(self.servers[1]))).max(2);
        let part = u64::from(share.basis_points());
        if part == 0 {
            return [0, liked.min(self.steps_max)];
        }
        let pairs = (1..=self.steps_max).flat_map(|mine| {
            // the best partner of `mine` is one of the two whole numbers around mine * (1 - share) / share
            let other = mine * (10_000 - part) / part;
            [other, other + 1].map(|other| [mine, other.clamp(1, self.steps_max)])
        });
        // |m / (m + o) - p / 10000| as the fraction off / sum, compared without rounding
        let off = |[m, o]: [u64; 2]| ((m * 10_000).abs_diff(part * (m + o)), m + o);
        let best = pairs.min_by(|&a, &b| {
            let ((off_a, sum_a), (off_b, sum_b)) = (off(a), off(b));
            (off_a * sum_b)
                .cmp(&(off_b * sum_a))
                .then_with(|| sum_a.abs_diff(liked).cmp(&sum_b.abs_diff(liked)))
                .then_with(|| sum_b.cmp(&sum_a))
        });
        best.unwrap_or([1, 1])
    }

    /// The share of the first side with these weights on all its servers.
    pub fn share(&self, weights: Weights) -> Share {
        shares([weights[0] * self.servers[0], weights[1] * self.servers[1]])[0]
    }

    pub fn nearest(&self, share: Share) -> Share {
        self.share(self.weights(share))
    }

    /// The smallest share above nothing.
    pub fn smallest(&self) -> Share {
        shares([1, self.steps_max])[0]
    }

    /// Shares of the first side while its share goes from one to another, server by server.
    pub fn between(&self, from: Share, to: Share) -> Vec<Share> {
        let (before, after) = (self.weights(from), self.weights(to));
        let mut sums = [before[0] * self.servers[0], before[1] * self.servers[1]];
        let mut seen = Vec::new();
        for side in order(sums, [after[0] * self.servers[0], after[1] * self.servers[1]]) {
            for _ in 0..self.servers[side] {
                sums[side] = sums[side] + after[side] - before[side];
                let share = shares(sums)[0];
                if ![self.share(before), self.share(after)].contains(&share) && !seen.contains(&share) {
                    seen.push(share);
                }
            }
        }
        seen
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Which side's weights to set first, so that the share on the way stays between the two ends: the side that
/// gains, unless that overshoots (the scale of the weights changes) and the other order does not. An order
/// that leaves no weight at all for a moment is never chosen.
pub fn order(before: [u64; 2], after: [u64; 2]) -> [usize; 2] {
    let (from, to) = (shares(before)[0], shares(after)[0]);
    if before == [0, 0] {
        let larger = usize::from(after[1] > after[0]);
        return [larger, 1 - larger];
    }
    let gaining = usize::from(to < from);
    let halfway = |first: usize| {
        let mut sums = before;
        sums[first] = after[first];
        sums
    };
    let inside = |first: usize| {
        let sums = halfway(first);
        let share = shares(sums)[0];
        sums[0] + sums[1] > 0 && share >= from.min(to) && share <= from.max(to)
    };
    let first = if inside(gaining) || !inside(1 - gaining) { gaining } else { 1 - gaining };
    [first, 1 - first]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Share> {
        (0..=10_000).map(|points| Share::from_basis_points(points).unwrap())
    }

    fn percent(text: &str) -> Share {
        text.parse().unwrap()
    }

    #[test]
    fn common_shares_are_exact_and_have_room() {
        let scale = Scale::new([1, 1]).unwrap();
        for (share, weights) in [
            ("0%", [0, 250]),
            ("1%", [2, 198]),
            ("5%", [13, 247]),
            ("10%", [25, 225]),
            ("25%", [63, 189]),
            ("50%", [125, 125]),
            ("90%", [225, 25]),
            ("100%", [250, 0]),
        ] {
            assert_eq!(scale.weights(percent(share)), weights, "{share}");
            assert_eq!(scale.nearest(percent(share)), percent(share));
        }
    }

    #[test]
    fn every_share_has_a_near_one_that_stays_put() {
        for (servers, off_max) in [([1, 1], 38), ([3, 3], 38), ([2, 3], 115), ([4, 1], 153)] {
            let scale = Scale::new(servers).unwrap();
            let mut last = Share::NONE;
            for share in all() {
                let near = scale.nearest(share);
                let off = near.basis_points().abs_diff(share.basis_points());
                assert!(off <= off_max, "{servers:?}: {share} became {near}");
                assert_eq!(scale.nearest(near), near, "{servers:?}: {share}");
                assert!(near >= last, "{servers:?}: {share}");
                assert_eq!(near == Share::NONE, share == Share::NONE, "{share}");
                assert_eq!(near == Share::ALL, share == Share::ALL, "{share}");
                let weights = scale.weights(share);
                assert!(weights.iter().all(|w| *w <= WEIGHT_MAX), "{servers:?}: {share}: {weights:?}");
                last = near;
            }
        }
    }

    #[test]
    fn from_one_percent_on_a_share_is_off_by_a_hundredth_of_itself_at_most() {
        let scale = Scale::new([1, 1]).unwrap();
        for share in all().filter(|s| (100..=9900).contains(&s.basis_points())) {
            let off = scale.nearest(share).basis_points().abs_diff(share.basis_points());
            assert!(off <= 15, "{share} is off by {off}");
        }
    }

    #[test]
    fn it_does_not_matter_which_side_is_the_candidate() {
        for servers in [[1, 1], [2, 3], [5, 1]] {
            let scale = Scale::new(servers).unwrap();
            for share in all() {
                assert_eq!(scale.nearest(share.rest()), scale.nearest(share).rest(), "{servers:?}: {share}");
            }
        }
    }

    #[test]
    fn sides_of_different_size_are_split_by_their_sums() {
        let scale = Scale::new([3, 1]).unwrap();
        let [three, one] = scale.weights(percent("50%"));
        assert_eq!(three * 3, one);
        assert_eq!(Scale::new([0, 1]), None);
        assert_eq!(Scale::new([1, 257]), None);
    }

    #[test]
    fn the_side_that_gains_is_raised_first() {
        assert_eq!(order([250, 0], [0, 250]), [1, 0]);
        assert_eq!(order([225, 25], [125, 125]), [1, 0]);
        assert_eq!(order([125, 125], [250, 0]), [0, 1]);
        assert_eq!(order([0, 0], [225, 25]), [0, 1]);
    }

    #[test]
    fn a_change_of_scale_does_not_overshoot() {
        // configured 100 and 0: green at 25 would have 20 % before blue is at 225
        assert_eq!(order([100, 0], [225, 25]), [0, 1]);
        assert_eq!(order([1, 1], [63, 189]), [1, 0]);
    }

    #[test]
    fn what_may_be_seen_on_the_way_lies_between_the_ends() {
        for servers in [[1, 1], [3, 3], [2, 1]] {
            let scale = Scale::new(servers).unwrap();
            for (from, to) in [("0%", "10%"), ("10%", "50%"), ("50%", "100%"), ("100%", "0%"), ("50%", "10%")]
            {
                let (from, to) = (percent(from), percent(to));
                let (low, high) = (scale.nearest(from.min(to)), scale.nearest(from.max(to)));
                let between = scale.between(from, to);
                assert!(between.iter().all(|s| *s > low && *s < high), "{servers:?} {from} {to} {between:?}");
            }
        }
        let scale = Scale::new([1, 1]).unwrap();
        assert_eq!(scale.between(percent("0%"), percent("100%")), [percent("50%")]);
    }
}
