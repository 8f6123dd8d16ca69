//! How long evidence takes: the tests, fed with what is to be expected instead of what was seen.

use super::{
    Frame,
    mixture::Purse,
    null::{Edge, Pair, Refute},
    numbers::{exp, ln},
    quantile::{self, Ladder},
    split::Tuning,
};
use crate::domain::{
    bound::Direction,
    check::Trial,
    sample::{Histogram, Measure, Sample},
    tolerance::Tolerance,
};

/// The batches that a time is fed in. Few: nothing is learned of the first, and so much evidence is lost as a real
/// watch loses because what it learns is not exact (`scripts/calibrate` holds both together).
const BATCHES: u32 = 8;
/// Nobody waits longer than this, in seconds: ten years.
const FOREVER: f64 = 3.2e8;
/// A regression that is larger than this is not searched for.
const LARGEST: f64 = 1000.0;
/// The normal bound that one in ten is above.
const ONE_IN_TEN: f64 = 1.281_551_565_544_600_4;

/// What both sides are expected to show in a second.
#[derive(Clone, Debug, PartialEq)]
pub enum Traffic {
    /// Events, and the part of them that is bad.
    Ratio { candidate: f64, candidate_bad: f64, baseline: f64, baseline_bad: f64 },
    /// Observations by bucket; their quantile `p` is tested. Of the baseline so many are known from before.
    Quantile { bounds: Vec<f64>, candidate: Vec<f64>, baseline: Vec<f64>, recorded: Vec<f64>, p: f64 },
}

impl Traffic {
    /// Of all the traffic of today, `share` goes to a candidate whose part of bad events is this.
    pub fn of_ratio(events: f64, bad: f64, share: f64, candidate_bad: f64) -> Self {
        Traffic::Ratio {
            candidate: events * share,
            candidate_bad,
            baseline: events * (1.0 - share),
            baseline_bad: bad,
        }
    }

    /// The same of a histogram, where every observation of the candidate is so many times as large; `seconds` is the
    /// time in which it was seen. Where all traffic goes to the candidate, what was seen is what is known of the
    /// baseline.
    pub fn of_histogram(seen: &Histogram, seconds: f64, p: f64, share: f64, factor: f64) -> Self {
        let rate = |count: f64, part: f64| count / seconds * part;
        let baseline = seen.counts.iter().map(|c| rate(*c as f64, 1.0 - share)).collect();
        let known = if share < 1.0 { 0.0 } else { 1.0 };
        let recorded = seen.counts.iter().map(|c| *c as f64 * known).collect();
        let mut below = 0.0;
        let mut candidate: Vec<f64> = Vec::with_capacity(seen.counts.len());
        for bound in &seen.bounds {
            let upto = at_or_below(seen, bound / factor);
            candidate.push(rate(upto - below, share));
            below = upto;
        }
        candidate.push(rate(seen.total() as f64 - below, share));
        Traffic::Quantile { bounds: seen.bounds.clone(), candidate, baseline, recorded, p }
    }

    /// The logarithm of the evidence that is to be expected after so many seconds.
    pub fn expected(&self, edge: Edge, refute: Refute, seconds: f64, tuning: Tuning) -> f64 {
        match self {
            Traffic::Ratio { candidate, candidate_bad, baseline, baseline_bad } => {
                let part = seconds / f64::from(BATCHES);
                let batch = Pair {
                    candidate: candidate * part,
                    candidate_bad: candidate * part * candidate_bad,
                    baseline: baseline * part,
                    baseline_bad: baseline * part * baseline_bad,
                };
                let (mut purse, mut past) = (Purse::default(), Pair::default());
                for _ in 0..BATCHES {
                    purse.bet(past, batch, edge, refute, 1.0);
                    past.add(batch);
                }
                purse.ln_e()
            }
            Traffic::Quantile { bounds, candidate, baseline, recorded, p } => {
                let ladder = |counts: Vec<u64>| Ladder::of_buckets(bounds, &counts);
                let mine = ladder(candidate.iter().map(|rate| (rate * seconds).round() as u64).collect());
                let known = baseline.iter().zip(recorded).map(|(rate, known)| rate * seconds + known);
                let theirs = ladder(known.map(|count| count.round() as u64).collect());
                quantile::ln_e(&mine, &theirs, *p, edge, refute, tuning)
            }
        }
    }

    /// Seconds until the evidence is expected to be `enough` (ln E): half of all watches have it by then. `None`: it
    /// never will.
    pub fn seconds(&self, edge: Edge, refute: Refute, enough: f64, tuning: Tuning) -> Option<f64> {
        least(1.0, FOREVER, |seconds| self.expected(edge, refute, seconds, tuning) >= enough)
    }
}

/// The smallest factor by which a candidate must be worse for its harm to be shown within `seconds`, nine times in
/// ten. `traffic` tells what a candidate that is worse by a factor shows.
pub fn smallest_found(
    traffic: impl Fn(f64) -> Traffic,
    edge: Edge,
    refute: Refute,
    seconds: f64,
    enough: f64,
    tuning: Tuning,
) -> Option<f64> {
    let enough = nearly_always(enough);
    least(1.0, LARGEST, |factor| traffic(factor).expected(edge, refute, seconds, tuning) >= enough)
}

/// What a watch of one check can show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// What today's number must have become for its harm to be shown within the watch, nine times in ten.
    pub smallest: Option<f64>,
    /// Seconds until the harm that must not slip through is shown, nine times in ten.
    pub find: Option<f64>,
    /// Seconds until a candidate that is no worse than the baseline is shown to be within the edge, on average.
    pub proof: Option<f64>,
}

impl Outlook {
    /// Of a watch of `bake` seconds with `share` of the traffic (0 < share ≤ 1), where all traffic together showed
    /// `seen` in so many seconds. Where all goes to the candidate, it is held against what was seen. `None` of what no
    /// test is made of.
    pub fn of(
        frame: &Frame<'_>,
        trial: Trial,
        seen: &Sample,
        seconds: f64,
        share: f64,
        bake: f64,
    ) -> Option<Self> {
        if seen.events() == 0 || share.is_nan() || share <= 0.0 {
            return None;
        }
        let measure = frame.check.measure;
        let today = seen.number(measure)?;
        // no bad event at all is less than one
        let today = match seen {
            Sample::Counts { total, .. } if trial.worse == Direction::Above => today.max(0.5 / *total as f64),
            _ => today,
        };
        let worse =
            Worse { today, of_the_rest: trial.worse == Direction::Below && measure == Measure::Ratio };
        let traffic = |factor: f64| match (seen, measure) {
            (Sample::Counts { total, .. }, _) => {
                let bad = worse.by(trial.worse, factor);
                Traffic::of_ratio(*total as f64 / seconds, today, share, bad.clamp(0.0, 1.0))
            }
            (Sample::Histogram(h), Measure::Quantile(p)) => {
                let factor = if trial.worse == Direction::Above { factor } else { 1.0 / factor };
                Traffic::of_histogram(h, seconds, p, share, factor)
            }
            _ => Traffic::of_ratio(0.0, 0.0, share, 0.0),
        };
        let (tuning, (harm, well)) = (frame.tuning(), trial.refutes());
        let known = Frame { recorded: Some(seen), ..*frame };
        let recorded = known.recorded_edges(trial).filter(|_| share >= 1.0 || frame.check.against_recorded);
        let (harm_edge, well_edge) = recorded.unwrap_or((trial.edge, trial.edge));
        let (enough_harm, enough_well) =
            (known.enough_harm(recorded.is_some()), known.enough_well(recorded.is_some()));
        let smallest = smallest_found(traffic, harm_edge, harm, bake, enough_harm, tuning);
        let named = match frame.check.find {
            Tolerance::Times(factor) => factor,
            points => worse.factor(points.edge(trial.worse).at(today), trial.worse),
        };
        Some(Outlook {
            smallest: smallest.map(|factor| worse.by(trial.worse, factor)),
            find: traffic(named.min(LARGEST)).seconds(harm_edge, harm, nearly_always(enough_harm), tuning),
            proof: traffic(1.0).seconds(well_edge, well, enough_well, tuning),
        })
    }
}

/// What a factor of harm makes of today's number. Of a ratio that should be high it is what is missing that grows.
#[derive(Clone, Copy)]
struct Worse {
    today: f64,
    of_the_rest: bool,
}

impl Worse {
    fn by(self, worse: Direction, factor: f64) -> f64 {
        match (worse, self.of_the_rest) {
            (Direction::Above, _) => self.today * factor,
            (Direction::Below, true) => 1.0 - self.rest() * factor,
            (Direction::Below, false) => self.today / factor,
        }
    }

    /// The factor that makes this of it.
    fn factor(self, number: f64, worse: Direction) -> f64 {
        match (worse, self.of_the_rest) {
            (Direction::Above, _) => number / self.today.max(f64::MIN_POSITIVE),
            (Direction::Below, true) => (1.0 - number) / self.rest(),
            (Direction::Below, false) => self.today / number.max(f64::MIN_POSITIVE),
        }
    }

    /// What is missing, and never nothing.
    fn rest(self) -> f64 {
        (1.0 - self.today).max(1e-6)
    }
}

/// How much evidence must be expected so that there is `enough` nine times in ten: its logarithm, of mean μ, has a
/// variance of about 2μ.
pub fn nearly_always(enough: f64) -> f64 {
    let half = ONE_IN_TEN * std::f64::consts::SQRT_2 / 2.0;
    let root = half + (half * half + enough).sqrt();
    root * root
}

/// The smallest number between the two, to 1 %, from which on `holds`; `None` if it does not at `most`.
fn least(from: f64, most: f64, holds: impl Fn(f64) -> bool) -> Option<f64> {
    let (mut low, mut high) = (from, from);
    while !holds(high) {
        if high >= most {
            return None;
        }
        low = high;
        high = (high * 2.0).min(most);
    }
    while ln(high / low) > 0.01 {
        let middle = (low * high).sqrt();
        if holds(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// Observations at or below `place`. Within a bucket the logarithm of the odds of lying below rises evenly with the
/// logarithm of the place, as the many shapes of latencies nearly have it (spread evenly over a wide bucket they would
/// seem to move by far more than they do). Below the first bound they are spread evenly.
fn at_or_below(seen: &Histogram, place: f64) -> f64 {
    let total = seen.total() as f64;
    let below = |count: f64| (count + 0.5) / (total + 1.0);
    let log_odds = |part: f64| ln(part / (1.0 - part));
    let (mut before, mut lower) = (0.0, 0.0);
    for (bound, count) in seen.bounds.iter().zip(&seen.counts) {
        let (bound, count) = (*bound, *count as f64);
        if place < bound {
            let (low, high) = (below(before), below(before + count));
            let part = match (place > lower, lower > 0.0, count > 0.0) {
                (true, true, true) => {
                    let way = ln(place / lower) / ln(bound / lower);
                    let odds = log_odds(low) + way * (log_odds(high) - log_odds(low));
                    (1.0 / (1.0 + exp(-odds)) - low) / (high - low)
                }
                (true, false, _) if bound > 0.0 => place / bound,
                _ => 0.0,
            };
            return before + count * part.clamp(0.0, 1.0);
        }
        before += count;
        lower = bound;
    }
    before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{check::Check, names::EntryName, value::Kind};

    const TUNING: Tuning = Tuning { alpha: 0.01, sharpest_at: 1000.0 };
    const SAME: Edge = Edge { times: 1.0, plus: 0.0 };

    #[test]
    fn twice_the_traffic_takes_half_the_time() {
        let seconds = |events: f64| {
            let traffic = Traffic::of_ratio(events, 0.01, 0.1, 0.02);
            traffic.seconds(SAME, Refute::AtMost, ln(100.0), TUNING).unwrap()
        };
        let (slow, fast) = (seconds(10.0), seconds(20.0));
        assert!((slow / fast - 2.0).abs() < 0.05, "{slow} {fast}");
    }

    #[test]
    fn what_is_no_worse_is_never_found() {
        let traffic = Traffic::of_ratio(1000.0, 0.01, 0.1, 0.01);
        assert_eq!(traffic.seconds(SAME, Refute::AtMost, ln(100.0), TUNING), None);
    }

    #[test]
    fn the_smallest_regression_found_shrinks_with_time() {
        let found = |seconds: f64| {
            smallest_found(
                |f| Traffic::of_ratio(100.0, 0.01, 0.1, 0.01 * f),
                SAME,
                Refute::AtMost,
                seconds,
                ln(100.0),
                TUNING,
            )
            .unwrap()
        };
        assert!(found(600.0) > 1.2 && found(600.0) < found(60.0), "{} {}", found(600.0), found(60.0));
    }

    #[test]
    fn a_slower_histogram_moves_up_its_buckets() {
        let seen = Histogram { bounds: vec![0.1, 0.2, 0.4, 0.8], counts: vec![900, 100, 0, 0, 0] };
        let Traffic::Quantile { candidate, .. } = Traffic::of_histogram(&seen, 100.0, 0.95, 0.5, 2.0) else {
            unreachable!()
        };
        assert_eq!(candidate, [2.25, 2.25, 0.5, 0.0, 0.0]);
        let traffic = |factor| Traffic::of_histogram(&seen, 100.0, 0.95, 0.5, factor);
        let found =
            smallest_found(traffic, Edge { times: 1.2, plus: 0.0 }, Refute::AtMost, 600.0, ln(100.0), TUNING);
        assert!(found.is_some_and(|f| (1.3..4.5).contains(&f)), "{found:?}");
    }

    fn check(bound: &str) -> Check {
        let name = EntryName::new("check").unwrap();
        Check { fail: vec![bound.parse().unwrap()], ..Check::new(name, Measure::Ratio, Kind::Ratio) }
    }

    fn outlook(check: &Check, seen: &Sample, share: f64) -> Outlook {
        let frame = Frame { check, recorded: None, before: None, tests: 1 };
        let trial = frame.trial(&check.fail[0]).unwrap();
        Outlook::of(&frame, trial, seen, 900.0, share, 600.0).unwrap()
    }

    #[test]
    fn all_traffic_is_held_against_what_was_recorded() {
        let check = check("worse than baseline");
        let seen = Sample::Counts { bad: 900, total: 90_000 };
        let (half, all) = (outlook(&check, &seen, 0.5), outlook(&check, &seen, 1.0));
        assert!(all.smallest.is_some_and(|rate| (0.0121..0.03).contains(&rate)), "{all:?}");
        assert!(all.find.is_some_and(|seconds| seconds < 600.0), "{all:?}");
        assert!(half.smallest.is_some() && half.proof.is_some(), "{half:?}");
        // what was recorded is itself known with an error: of little, 1.2x may never be ruled out
        let little = Sample::Counts { bad: 9, total: 900 };
        assert_eq!(outlook(&check, &little, 1.0).proof, None);
    }

    #[test]
    fn of_a_percentage_that_should_be_high_the_rest_grows() {
        let mut check = check("worse than baseline");
        check.worse = Direction::Below;
        check.tolerate = "0.5pp".parse().unwrap();
        check.find = "2pp".parse().unwrap();
        let seen = Sample::Counts { bad: 89_100, total: 90_000 };
        let seen = outlook(&check, &seen, 0.1);
        assert!(seen.smallest.is_some_and(|rate| (0.95..0.985).contains(&rate)), "{seen:?}");
        assert!(seen.find.is_some() && seen.proof.is_some(), "{seen:?}");
        check.fail = vec!["below 95%".parse().unwrap()];
        let fixed = outlook(&check, &Sample::Counts { bad: 89_100, total: 90_000 }, 0.1);
        assert!(fixed.smallest.is_some_and(|rate| (0.90..0.95).contains(&rate)), "{fixed:?}");
    }
}
