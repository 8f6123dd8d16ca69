//! Bad events come in clusters: a client that tries again, one request that fails a whole page. Ten of them are then
//! worth less than ten that came each by itself, and tests that count them alarm far too often.
//!
//! How large the clusters are shows in how much more two batches that follow one another differ than independent
//! events would let them: each pair of batches is a table of four numbers, whose χ² is 1 on average where events are
//! independent, and the mean size of the cluster that an event is in (as it is seen by an event) where they are not
//! (the dispersion of quasi-likelihood; P. McCullagh and J. Nelder, *Generalized Linear Models*, 1989, section
//! 4.5). With a baseline it is the candidate's part of the bad events that is held against that of the next batch:
//! what moves both sides together, or a harm that lasts, does not count.
//!
//! The logarithm of what a batch multiplies a stake by is divided by the size that was found *before* the batch. Of a
//! factor whose mean is at most 1, a root's mean is at most 1 (Jensen), so the tests stay as valid as they were.

use super::null::Pair;

/// As many events as this are taken to have come each by itself before the first is seen.
const BEFORE: f64 = 10.0;
/// No pair of batches counts as more events than this.
const MOST: f64 = 10.0;

/// The mean size of an event's cluster, at least 1, by batches that followed one another.
pub fn size(batches: impl Iterator<Item = Pair>, with_baseline: bool) -> f64 {
    let (mut weights, mut sum) = (BEFORE, BEFORE);
    let mut before: Option<Pair> = None;
    for batch in batches {
        if let Some(earlier) = before.replace(batch) {
            let ways = |pair: Pair| match with_baseline {
                true => (pair.candidate_bad, pair.baseline_bad),
                false => (pair.candidate_bad, pair.candidate - pair.candidate_bad),
            };
            if let Some((weight, excess)) = table(ways(earlier), ways(batch)) {
                weights += weight;
                sum += weight * excess;
            }
        }
    }
    (sum / weights).max(1.0)
}

/// Of two batches with these events of two kinds: their weight, and χ².
fn table((a, b): (f64, f64), (c, d): (f64, f64)) -> Option<(f64, f64)> {
    let (first, second, all) = (a + b, c + d, a + b + c + d);
    let margins = (a + c) * (b + d) * first * second;
    if margins <= 0.0 || all < 2.0 {
        return None;
    }
    let off = a * d - b * c;
    // all − 1 in place of all: the mean over all tables of these margins is 1
    let excess = off / margins * off * (all - 1.0);
    Some(((a + c).min(b + d).min(MOST), excess))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(candidate_bad: f64, baseline_bad: f64) -> Pair {
        Pair { candidate_bad, candidate: 100.0, baseline_bad, baseline: 900.0 }
    }

    #[test]
    fn chi_squared_of_independent_events_is_1_on_average() {
        // all tables with the margins (4, 6) and (5, 5), by their chances
        let choose = |n: u32, k: u32| (0..k).fold(1.0, |c, i| c * f64::from(n - i) / f64::from(i + 1));
        let mean: f64 = (0..=4)
            .map(|a| {
                let chance = choose(5, a) * choose(5, 4 - a) / choose(10, 4);
                let of = (f64::from(a), f64::from(5 - a));
                chance * table(of, (f64::from(4 - a), f64::from(1 + a))).unwrap().1
            })
            .sum();
        assert!((mean - 1.0).abs() < 1e-12, "{mean}");
    }

    #[test]
    fn events_that_come_together_are_told_from_those_that_do_not() {
        let even = [pair(1.0, 9.0), pair(0.0, 8.0), pair(2.0, 10.0), pair(1.0, 9.0)];
        assert_eq!(size(even.iter().copied().cycle().take(60), true), 1.0);
        let clustered = [pair(0.0, 9.0), pair(8.0, 9.0), pair(0.0, 12.0), pair(0.0, 7.0)];
        let found = size(clustered.iter().copied().cycle().take(60), true);
        assert!((3.0..9.0).contains(&found), "{found}");
        assert!(size(clustered.iter().copied().cycle().take(60), false) > 3.0, "without a baseline too");
    }

    #[test]
    fn an_incident_on_both_sides_is_no_cluster() {
        let calm = std::iter::repeat_n(pair(2.0, 18.0), 20);
        let incident = calm.clone().chain(std::iter::repeat_n(pair(20.0, 180.0), 20)).chain(calm);
        assert_eq!(size(incident, true), 1.0);
    }

    #[test]
    fn counts_of_a_million_millions_are_numbers() {
        let huge = |part: f64| Pair {
            candidate_bad: 1e12 * part,
            candidate: 1e12,
            baseline_bad: 1e12,
            baseline: 1e12,
        };
        for batches in [[huge(1.0), huge(0.0)], [huge(0.0), huge(0.0)], [huge(0.5), huge(0.500_001)]] {
            for with_baseline in [true, false] {
                let found = size(batches.into_iter(), with_baseline);
                assert!(found.is_finite() && found >= 1.0, "{found}");
            }
        }
        assert_eq!(size(std::iter::empty(), true), 1.0);
    }
}
