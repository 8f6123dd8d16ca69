//! Events counted from raw points.

use std::collections::BTreeMap;

use super::api::{Instant, Labels, Series};
use crate::{
    adapter::metric::{
        memory::increase,
        wanted::{Buckets, whole},
    },
    domain::{sample::Sample, value::Unit},
};

/// Points of counters in a window, and the last of each series before it.
pub(super) struct Points<'a> {
    pub inside: &'a [Series],
    pub before: &'a [Instant],
}

impl Points<'_> {
    /// How much each series grew.
    fn growth(&self) -> Vec<(&Labels, f64)> {
        let before: BTreeMap<&Labels, f64> =
            self.before.iter().filter_map(|one| Some((&one.metric, finite(one.value.number())?))).collect();
        let grown = |series: &Series| {
            let mut last = before.get(&series.metric).copied();
            let mut sum = 0.0;
            for now in series.values.iter().filter_map(|point| finite(point.number())) {
                sum += increase(last, now);
                last = Some(now);
            }
            sum
        };
        self.inside.iter().map(|series| (&series.metric, grown(series))).collect()
    }

    /// Whether anything can be said: there were points in the window, and something to count from.
    fn tells(&self) -> bool {
        !self.inside.is_empty() && !self.before.is_empty()
    }

    fn sum(&self) -> f64 {
        self.growth().iter().map(|(_, grown)| grown).sum()
    }
}

fn finite(number: Result<f64, String>) -> Option<f64> {
    number.ok().filter(|number| number.is_finite())
}

pub(super) fn ratio(bad: &Points<'_>, total: &Points<'_>) -> Sample {
    if !total.tells() {
        return Sample::Empty;
    }
    let (bad, total) = (bad.sum(), total.sum());
    Sample::Counts { bad: whole(bad), total: whole(total.max(bad)) }
}

pub(super) fn histogram(points: &Points<'_>, unit: Unit) -> Result<Sample, String> {
    if !points.tells() {
        return Ok(Sample::Empty);
    }
    let mut buckets = Buckets::default();
    for (labels, grown) in points.growth() {
        let le = labels.get("le").and_then(|le| le.parse().ok());
        buckets.add(le.ok_or("a series has no `le`: select a histogram's `…_bucket` series")?, grown);
    }
    Ok(Sample::Histogram(buckets.histogram(unit)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(inside: serde_json::Value, before: serde_json::Value) -> (Vec<Series>, Vec<Instant>) {
        let inside = inside.as_object().unwrap().iter().map(|(name, values)| {
            let values: Vec<_> = values.as_array().unwrap().iter().map(|v| (0, v.to_string())).collect();
            serde_json::json!({"metric": {"s": name}, "values": values})
        });
        let before =
            before.as_object().unwrap().iter().map(
                |(name, value)| serde_json::json!({"metric": {"s": name}, "value": (0, value.to_string())}),
            );
        (serde_json::from_value(inside.collect()).unwrap(), serde_json::from_value(before.collect()).unwrap())
    }

    fn sum(inside: serde_json::Value, before: serde_json::Value) -> f64 {
        let (inside, before) = points(inside, before);
        Points { inside: &inside, before: &before }.sum()
    }

    #[test]
    fn growth_is_counted_from_the_last_point_before_the_window() {
        use serde_json::json;
        assert_eq!(sum(json!({"a": [12, 15]}), json!({"a": 10})), 5.0);
        assert_eq!(
            sum(json!({"a": [12, 3, 4]}), json!({"a": 10})),
            2.0 + 4.0,
            "it began again in the window"
        );
        assert_eq!(sum(json!({"a": [4]}), json!({"a": 10})), 4.0, "it began again before its first point");
        assert_eq!(sum(json!({"a": [11], "b": [3]}), json!({"a": 10})), 4.0, "a new series began at 0");
        assert_eq!(sum(json!({}), json!({"a": 10})), 0.0);
    }

    #[test]
    fn without_anything_before_the_window_only_begins() {
        let (inside, before) = points(serde_json::json!({"a": [100_000]}), serde_json::json!({}));
        let total = Points { inside: &inside, before: &before };
        assert_eq!(ratio(&total, &total), Sample::Empty);
        assert_eq!(histogram(&total, Unit::SECONDS), Ok(Sample::Empty));
    }
}
