//! What a check wants to know, in the words that `scrape` and `prometheus` share: a value, bad of all, or a quantile.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::{
    domain::{
        sample::{Histogram, Measure},
        value::Unit,
    },
    port::adapter::Shape,
};

/// `p95`, `p99.9`: kept as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Percentile(pub f64);

impl TryFrom<String> for Percentile {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let percent: Option<f64> = text.strip_prefix('p').and_then(|number| number.parse().ok());
        match percent {
            Some(percent) if percent > 0.0 && percent < 100.0 => Ok(Percentile(percent / 100.0)),
            _ => Err(format!("`{text}` is not a percentile: write p50, p95 or p99.9")),
        }
    }
}

impl JsonSchema for Percentile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Percentile".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": r"^p\d{1,2}(\.\d+)?$"})
    }
}

/// One question, with whatever stands for a metric in it.
#[derive(Clone, Debug)]
pub enum Wanted<T> {
    Value(T),
    Ratio { bad: T, total: T },
    Histogram { buckets: T, at: Percentile },
}

impl<'a> Wanted<&'a str> {
    /// Exactly one of the three forms; the message says which are there.
    pub fn of(
        value: &'a Option<String>,
        (bad, total): (&'a Option<String>, &'a Option<String>),
        (histogram, at): (&'a Option<String>, Option<Percentile>),
    ) -> Result<Self, String> {
        match (value, bad, total, histogram, at) {
            (Some(value), None, None, None, None) => Ok(Wanted::Value(value)),
            (None, Some(bad), Some(total), None, None) => Ok(Wanted::Ratio { bad, total }),
            (None, None, None, Some(buckets), Some(at)) => Ok(Wanted::Histogram { buckets, at }),
            (None, Some(_), None, ..) => Err("`bad` needs `total`: what it is a part of".into()),
            (None, None, Some(_), ..) => Err("`total` needs `bad`: the part that is counted".into()),
            (None, None, None, Some(_), None) => Err("`histogram` needs `at`, such as `at: p95`".into()),
            _ => Err("write one of `value`, `bad` with `total`, or `histogram` with `at`".into()),
        }
    }
}

impl<T> Wanted<T> {
    pub fn map<U, E>(&self, mut change: impl FnMut(&T) -> Result<U, E>) -> Result<Wanted<U>, E> {
        Ok(match self {
            Wanted::Value(value) => Wanted::Value(change(value)?),
            Wanted::Ratio { bad, total } => Wanted::Ratio { bad: change(bad)?, total: change(total)? },
            Wanted::Histogram { buckets, at } => Wanted::Histogram { buckets: change(buckets)?, at: *at },
        })
    }

    pub fn parts(&self) -> Vec<&T> {
        match self {
            Wanted::Value(part) | Wanted::Histogram { buckets: part, .. } => vec![part],
            Wanted::Ratio { bad, total } => vec![bad, total],
        }
    }

    /// The shape of the answers, given what a plain value is.
    pub fn shape(&self, value: Measure, unit: Unit) -> Shape {
        match self {
            Wanted::Value(_) if value == Measure::Events => Shape { measure: value, unit: Unit::COUNT },
            Wanted::Value(_) => Shape { measure: value, unit },
            Wanted::Ratio { .. } => Shape { measure: Measure::Ratio, unit: Unit::RATIO },
            Wanted::Histogram { at, .. } => Shape { measure: Measure::Quantile(at.0), unit },
        }
    }
}

/// The unit that a metric's name states, as Prometheus's naming rules have it
/// (<https://prometheus.io/docs/practices/naming/>). A name that states none counts.
pub fn unit_of(metric: &str) -> Unit {
    let base = ["_total", "_bucket", "_count", "_sum"]
        .iter()
        .find_map(|suffix| metric.strip_suffix(suffix))
        .unwrap_or(metric);
    let named = |name: &str| Unit::try_from(name.to_string()).ok();
    let unit = match base.rsplit('_').next() {
        Some("seconds") => named("s"),
        Some("milliseconds" | "ms") => named("ms"),
        Some("bytes") => named("bytes"),
        Some("ratio") => named("ratio"),
        Some("percent") => named("%"),
        _ => None,
    };
    unit.unwrap_or(Unit::COUNT)
}

/// Collects cumulative buckets (`le`) of several series into one histogram.
#[derive(Debug, Default)]
pub struct Buckets {
    /// By upper bound: observations at or below it, and how many series had that bound.
    sums: BTreeMap<Bound, (f64, usize)>,
}

/// An upper bound, ordered.
#[derive(Clone, Copy, Debug)]
struct Bound(f64);

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Bound {}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Buckets {
    pub fn add(&mut self, le: f64, observations: f64) {
        let (sum, series) = self.sums.entry(Bound(le)).or_default();
        *sum += observations;
        *series += 1;
    }

    /// The histogram, its bounds brought to their kind's own unit. Refused where series have different buckets, which
    /// do not add up.
    pub fn histogram(&self, unit: Unit) -> Result<Histogram, String> {
        let Some((_, (_, series))) = self.sums.last_key_value().filter(|(le, _)| le.0 == f64::INFINITY)
        else {
            return Err("the buckets have no `le=\"+Inf\"`".into());
        };
        if self.sums.values().any(|(_, n)| n != series) {
            return Err("the series have different buckets, which do not add up; narrow the labels".into());
        }
        let mut histogram = Histogram::default();
        let mut below = 0.0_f64;
        for (le, (sum, _)) in &self.sums {
            let sum = sum.max(below);
            histogram.counts.push(whole(sum) - whole(below));
            if le.0.is_finite() {
                histogram.bounds.push(unit.normal(le.0));
            }
            below = sum;
        }
        Ok(histogram)
    }
}

/// A count that a source keeps as a floating point number.
pub fn whole(count: f64) -> u64 {
    count.round().max(0.0) as u64
}

/// Schema of a list that may be written as one.
pub fn one_or_list(_: &mut SchemaGenerator) -> Schema {
    let one = json_schema!({"type": "string"});
    json_schema!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_written_as_people_say_them() {
        assert_eq!(Percentile::try_from("p99.9".to_string()), Ok(Percentile(0.9990000000000001)));
        for bad in ["95", "p0", "p100", "p", "pNaN", "q95", "p-5"] {
            assert!(Percentile::try_from(bad.to_string()).is_err(), "{bad}");
        }
    }

    #[test]
    fn cumulative_buckets_become_counts_between_bounds() {
        let mut buckets = Buckets::default();
        for (le, n) in
            [(f64::INFINITY, 10.0), (0.1, 4.0), (0.5, 9.0), (0.1, 1.0), (0.5, 1.0), (f64::INFINITY, 1.0)]
        {
            buckets.add(le, n);
        }
        let histogram = buckets.histogram(Unit::SECONDS);
        assert_eq!(histogram, Ok(Histogram { bounds: vec![0.1, 0.5], counts: vec![5, 5, 1] }));
    }

    #[test]
    fn buckets_that_do_not_add_up_are_refused() {
        let mut buckets = Buckets::default();
        buckets.add(0.1, 1.0);
        assert!(buckets.histogram(Unit::SECONDS).unwrap_err().contains("+Inf"));
        buckets.add(f64::INFINITY, 1.0);
        buckets.add(f64::INFINITY, 1.0);
        assert!(buckets.histogram(Unit::SECONDS).unwrap_err().contains("different buckets"));
    }

    #[test]
    fn the_unit_is_the_one_the_name_states() {
        for (metric, unit) in [
            ("http_request_duration_seconds_bucket", "s"),
            ("process_resident_memory_bytes", "bytes"),
            ("latency_ms", "ms"),
            ("http_requests_total", "count"),
            ("seconds_behind", "count"),
        ] {
            assert_eq!(String::from(unit_of(metric)), unit, "{metric}");
        }
    }
}
