//! From the periods of series to one sample.

use std::collections::{BTreeMap, BTreeSet};

use super::query::Series;
use crate::domain::{sample::Sample, value::Unit};

/// Values by the second at which their period begins.
pub type Points = BTreeMap<i64, f64>;

/// What a check asks for, with whatever stands for a series in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted<T> {
    /// A value; of several the largest.
    Value(Vec<T>),
    /// Bad events of all; several add up.
    Ratio { bad: Vec<T>, total: Vec<T> },
    /// Bad events. CloudWatch has no number where nothing was bad: `total` tells that from a source that is silent.
    Events { bad: Vec<T>, total: Vec<T> },
    /// Failed requests of all that a load balancer gave to a side.
    Requests(Requests<T>),
}

/// What a load balancer counts of one target group, and what it counts of itself.
///
/// It answers a 502 or 504 of its own for a target that hangs or breaks off. Those are counted of the whole load
/// balancer, never of a group. Of the group they are requests without an answer, and so are WebSockets (101),
/// clients that went away (460) and whatever began in one minute and ended in the next. So a request without an
/// answer failed only where the load balancer made up an answer: the smaller of the two numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Requests<T> {
    pub given: Vec<T>,
    /// Answered by a target with a 2xx, 3xx or 4xx.
    pub well: Vec<T>,
    /// Answered by a target with a 5xx.
    pub failed: Vec<T>,
    /// Connections that a target refused; the load balancer answers for it.
    pub unreached: Vec<T>,
    /// 502 and 504 of the whole load balancer.
    pub made_up: Vec<T>,
}

impl<T> Requests<T> {
    fn all(&self) -> impl Iterator<Item = &T> {
        [&self.given, &self.well, &self.failed, &self.unreached, &self.made_up].into_iter().flatten()
    }
}

impl Requests<Term<&Points>> {
    /// Failed ones of this period, at least 0.
    fn bad(&self, period: i64) -> f64 {
        let count = |terms: &[Term<&Points>]| sum(terms, period).unwrap_or_default().max(0.0);
        let failed = count(&self.failed);
        let unanswered = (count(&self.given) - count(&self.well) - failed).clamp(0.0, count(&self.made_up));
        failed + unanswered.max(count(&self.unreached))
    }
}

/// A series that is part of the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Term<S = Series> {
    pub series: S,
    /// Stands in for `series` in periods in which that has no number, where this side has all the traffic.
    pub alone: Option<S>,
}

impl Term {
    pub fn of(series: Series) -> Self {
        Term { series, alone: None }
    }

    /// Every series it may need.
    pub fn all(&self) -> impl Iterator<Item = &Series> {
        [Some(&self.series), self.alone.as_ref()].into_iter().flatten()
    }
}

impl<T> Wanted<T> {
    pub fn map<U, E>(&self, mut change: impl FnMut(&T) -> Result<U, E>) -> Result<Wanted<U>, E> {
        let mut all = |terms: &[T]| terms.iter().map(&mut change).collect::<Result<Vec<U>, E>>();
        Ok(match self {
            Wanted::Value(terms) => Wanted::Value(all(terms)?),
            Wanted::Ratio { bad, total } => Wanted::Ratio { bad: all(bad)?, total: all(total)? },
            Wanted::Events { bad, total } => Wanted::Events { bad: all(bad)?, total: all(total)? },
            Wanted::Requests(of) => Wanted::Requests(Requests {
                given: all(&of.given)?,
                well: all(&of.well)?,
                failed: all(&of.failed)?,
                unreached: all(&of.unreached)?,
                made_up: all(&of.made_up)?,
            }),
        })
    }

    pub fn parts(&self) -> Vec<&T> {
        match self {
            Wanted::Value(terms) => terms.iter().collect(),
            Wanted::Ratio { bad, total } | Wanted::Events { bad, total } => bad.iter().chain(total).collect(),
            Wanted::Requests(of) => of.all().collect(),
        }
    }
}

impl Wanted<Term<&Points>> {
    /// The sample of these periods, and those of them of which nothing is known yet.
    pub fn sample(&self, periods: &BTreeSet<i64>, unit: Unit) -> (Sample, BTreeSet<i64>) {
        let mut missing = BTreeSet::new();
        let (mut bad_sum, mut total_sum, mut values, mut known) = (0.0, 0.0, 0.0, 0_u32);
        for &period in periods {
            let (bad, total) = match self {
                Wanted::Value(terms) => (largest(terms, period), None),
                Wanted::Ratio { bad, total } => (sum(bad, period), sum(total, period)),
                Wanted::Events { bad, total } => (sum(bad, period), sum(total, period)),
                Wanted::Requests(of) => (Some(of.bad(period)), sum(&of.given, period)),
            };
            let there = match self {
                // bad events whose total is not there yet would look like all of them
                Wanted::Ratio { .. } | Wanted::Requests(_) => total.is_some(),
                _ => bad.is_some() || total.is_some(),
            };
            if !there {
                missing.insert(period);
                continue;
            }
            let bad = bad.unwrap_or_default();
            known += 1;
            values += bad;
            bad_sum += bad.max(0.0);
            total_sum += total.unwrap_or_default().max(bad);
        }
        let sample = match self {
            _ if known == 0 => Sample::Empty,
            Wanted::Value(_) => Sample::Gauge(unit.normal(values / f64::from(known))),
            Wanted::Ratio { .. } | Wanted::Requests(_) => {
                Sample::Counts { bad: whole(bad_sum), total: whole(total_sum) }
            }
            Wanted::Events { .. } => Sample::Events(whole(bad_sum)),
        };
        (sample, missing)
    }
}

fn at(term: &Term<&Points>, period: i64) -> Option<f64> {
    let instead = || term.alone.and_then(|points| points.get(&period));
    term.series.get(&period).or_else(instead).copied()
}

fn sum(terms: &[Term<&Points>], period: i64) -> Option<f64> {
    terms.iter().filter_map(|term| at(term, period)).reduce(|sum, value| sum + value)
}

fn largest(terms: &[Term<&Points>], period: i64) -> Option<f64> {
    terms.iter().filter_map(|term| at(term, period)).reduce(f64::max)
}

/// A count that CloudWatch keeps as a floating point number.
fn whole(count: f64) -> u64 {
    count.round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[(i64, f64)]) -> Points {
        values.iter().copied().collect()
    }

    fn of(series: &Points) -> Term<&Points> {
        Term { series, alone: None }
    }

    fn sample(wanted: &Wanted<Term<&Points>>, periods: &[i64]) -> (Sample, Vec<i64>) {
        let (sample, missing) = wanted.sample(&periods.iter().copied().collect(), Unit::MILLISECONDS);
        (sample, missing.into_iter().collect())
    }

    #[test]
    fn no_errors_among_requests_are_none_and_no_requests_are_nothing() {
        let (bad, total, none) = (points(&[(60, 3.0)]), points(&[(0, 10.0), (60, 10.0)]), points(&[]));
        let ratio = |bad, total| Wanted::Ratio { bad: vec![of(bad)], total: vec![of(total)] };
        let events = |bad, total| Wanted::Events { bad: vec![of(bad)], total: vec![of(total)] };
        assert_eq!(sample(&ratio(&bad, &total), &[0]), (Sample::Counts { bad: 0, total: 10 }, vec![]));
        assert_eq!(
            sample(&ratio(&bad, &total), &[0, 60, 120]),
            (Sample::Counts { bad: 3, total: 20 }, vec![120])
        );
        assert_eq!(
            sample(&ratio(&bad, &none), &[60]),
            (Sample::Empty, vec![60]),
            "their total is not there yet"
        );
        assert_eq!(sample(&events(&bad, &total), &[0]), (Sample::Events(0), vec![]));
        assert_eq!(sample(&events(&bad, &none), &[0, 60]), (Sample::Events(3), vec![0]));
        assert_eq!(sample(&events(&none, &none), &[0]), (Sample::Empty, vec![0]));
    }

    #[test]
    fn there_are_never_more_bad_events_than_events() {
        let (bad, more, total) = (points(&[(0, 4.0)]), points(&[(0, 2.0)]), points(&[(0, 5.0)]));
        let wanted = Wanted::Ratio { bad: vec![of(&bad), of(&more)], total: vec![of(&total)] };
        assert_eq!(sample(&wanted, &[0]).0, Sample::Counts { bad: 6, total: 6 });
    }

    #[test]
    fn a_request_without_an_answer_failed_where_the_load_balancer_answered_for_it() {
        let bad = |[given, well, failed, unreached, made_up]: [f64; 5]| {
            let all = [given, well, failed, unreached, made_up].map(|value| points(&[(0, value)]));
            let [given, well, failed, unreached, made_up] = all.each_ref().map(|points| vec![of(points)]);
            let wanted = Wanted::Requests(Requests { given, well, failed, unreached, made_up });
            match sample(&wanted, &[0]).0 {
                Sample::Counts { bad, total } => (bad, total),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(bad([100.0, 100.0, 0.0, 0.0, 0.0]), (0, 100));
        assert_eq!(bad([100.0, 80.0, 15.0, 0.0, 5.0]), (20, 100), "five hung");
        assert_eq!(bad([100.0, 80.0, 0.0, 0.0, 0.0]), (0, 100), "twenty WebSockets");
        assert_eq!(bad([100.0, 80.0, 0.0, 0.0, 3.0]), (3, 100), "three hung among them");
        assert_eq!(bad([100.0, 95.0, 0.0, 0.0, 70.0]), (5, 100), "the others are the other side's");
        assert_eq!(bad([100.0, 110.0, 0.0, 0.0, 9.0]), (0, 100), "ten began in the minute before");
        assert_eq!(
            bad([100.0, 90.0, 0.0, 10.0, 10.0]),
            (10, 100),
            "refused connections are not counted twice"
        );
        assert_eq!(bad([0.0, 0.0, 0.0, 4.0, 4.0]), (4, 4), "a dead target");
    }

    #[test]
    fn a_value_is_the_mean_of_its_periods_and_the_slowest_of_its_functions() {
        let (slow, fast) = (points(&[(0, 100.0), (60, 300.0)]), points(&[(0, 200.0)]));
        let wanted = Wanted::Value(vec![of(&slow), of(&fast)]);
        assert_eq!(sample(&wanted, &[0, 60, 120]), (Sample::Gauge(0.25), vec![120]));
        assert_eq!(sample(&wanted, &[]), (Sample::Empty, vec![]));
    }

    #[test]
    fn what_stands_in_counts_only_where_there_is_no_number() {
        let (version, alias) = (points(&[(0, 5.0)]), points(&[(0, 50.0), (60, 60.0)]));
        let term = || vec![Term { series: &version, alone: Some(&alias) }];
        let wanted = Wanted::Ratio { bad: Vec::new(), total: term() };
        assert_eq!(sample(&wanted, &[0, 60]).0, Sample::Counts { bad: 0, total: 65 });
    }
}
