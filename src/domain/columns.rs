//! Batches in the journal: by column, or a histogram's bounds and every field's name would be written hundreds of
//! times. A journal in commit messages has no room for that.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    record::Poll,
    sample::{Histogram, Sample},
};

/// Batches, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Columns {
    /// When each began and ended, in milliseconds since the watch began.
    from_ms: Vec<u64>,
    to_ms: Vec<u64>,
    candidate: Column,
    baseline: Column,
}

/// One side's samples; `null` where there was nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Column {
    /// Bad events and all events.
    Counts(Vec<Option<(u64, u64)>>),
    Gauges(Vec<Option<f64>>),
    Histograms {
        bounds: Vec<f64>,
        counts: Vec<Option<Vec<u64>>>,
    },
    /// Of more than one kind.
    Samples(Vec<Sample>),
}

impl Default for Column {
    fn default() -> Self {
        Column::Samples(Vec::new())
    }
}

impl Column {
    fn of(samples: Vec<&Sample>) -> Self {
        let first = samples.iter().find(|sample| ***sample != Sample::Empty);
        let column = match first {
            Some(Sample::Counts { .. }) => all(&samples, |sample| match sample {
                Sample::Counts { bad, total } => Some((*bad, *total)),
                _ => None,
            })
            .map(Column::Counts),
            Some(Sample::Gauge(_)) => all(&samples, |sample| match sample {
                Sample::Gauge(value) => Some(*value),
                _ => None,
            })
            .map(Column::Gauges),
            Some(Sample::Histogram(h)) => all(&samples, |sample| match sample {
                Sample::Histogram(other) if other.bounds == h.bounds => Some(other.counts.clone()),
                _ => None,
            })
            .map(|counts| Column::Histograms { bounds: h.bounds.clone(), counts }),
            _ => None,
        };
        column.unwrap_or_else(|| Column::Samples(samples.into_iter().cloned().collect()))
    }

    fn samples(self) -> Vec<Sample> {
        fn each<T>(values: Vec<Option<T>>, sample: impl Fn(T) -> Sample) -> Vec<Sample> {
            values.into_iter().map(|value| value.map_or(Sample::Empty, &sample)).collect()
        }
        match self {
            Column::Counts(counts) => each(counts, |(bad, total)| Sample::Counts { bad, total }),
            Column::Gauges(values) => each(values, Sample::Gauge),
            Column::Histograms { bounds, counts } => {
                each(counts, |counts| Sample::Histogram(Histogram { bounds: bounds.clone(), counts }))
            }
            Column::Samples(samples) => samples,
        }
    }
}

/// Every sample that is one, as this kind; `None` if one is of another kind.
fn all<T>(samples: &[&Sample], read: impl Fn(&Sample) -> Option<T>) -> Option<Vec<Option<T>>> {
    samples
        .iter()
        .map(|sample| if **sample == Sample::Empty { Some(None) } else { read(sample).map(Some) })
        .collect()
}

/// For serde: `#[serde(serialize_with = …)]`.
pub fn serialize<S: Serializer>(batches: &[Poll], serializer: S) -> Result<S::Ok, S::Error> {
    Columns {
        from_ms: batches.iter().map(|b| b.from_ms).collect(),
        to_ms: batches.iter().map(|b| b.to_ms).collect(),
        candidate: Column::of(batches.iter().map(|b| &b.candidate).collect()),
        baseline: Column::of(batches.iter().map(|b| &b.baseline).collect()),
    }
    .serialize(serializer)
}

/// For serde: `#[serde(deserialize_with = …)]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Poll>, D::Error> {
    let columns = Columns::deserialize(deserializer)?;
    let times = columns.from_ms.into_iter().zip(columns.to_ms);
    let samples = columns.candidate.samples().into_iter().zip(columns.baseline.samples());
    Ok(times
        .zip(samples)
        .map(|((from_ms, to_ms), (candidate, baseline))| Poll { from_ms, to_ms, candidate, baseline })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::Series;

    fn there_and_back(samples: Vec<Sample>) -> String {
        let polls = samples.into_iter().enumerate().map(|(i, candidate)| {
            let from_ms = i as u64 * 1000;
            Poll { from_ms, to_ms: from_ms + 1000, candidate, baseline: Sample::Empty }
        });
        let series = Series { batches: polls.collect(), ..Series::default() };
        let text = serde_json::to_string(&series).unwrap();
        assert_eq!(serde_json::from_str::<Series>(&text).unwrap(), series, "{text}");
        text
    }

    #[test]
    fn what_is_written_by_column_is_read_back() {
        let histogram = |bounds: &[f64]| {
            Sample::Histogram(Histogram { bounds: bounds.to_vec(), counts: vec![3; bounds.len() + 1] })
        };
        let counts = there_and_back(vec![Sample::Counts { bad: 1, total: 9 }, Sample::Empty]);
        assert!(counts.contains(r#""counts":[[1,9],null]"#), "{counts}");
        there_and_back(vec![Sample::Empty, Sample::Gauge(0.1), Sample::Gauge(-3.5e-9)]);
        let same = there_and_back(vec![histogram(&[0.1, 0.2]); 30]);
        assert_eq!(same.matches("0.2").count(), 1, "{same}");
        // a release that changed its buckets
        there_and_back(vec![histogram(&[0.1]), histogram(&[0.2])]);
        there_and_back(vec![Sample::Events(4), Sample::Probes { asked: 2, failed: 1 }, Sample::Gauge(1.0)]);
        there_and_back(vec![]);
    }
}
