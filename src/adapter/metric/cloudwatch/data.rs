//! `GetMetricData`: many series in one call.

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::{
    Client,
    primitives::DateTime,
    types::{Dimension, MetricDataQuery, MetricDataResult, MetricStat, ScanBy, StatusCode},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    query::{Metric, Series, renamed},
    wanted::Points,
};
use crate::{
    adapter::aws::{Aws, Intent, call},
    port::{Context, Fault, Treat},
};

pub const SERVICE: &str = "cloudwatch";
const OPERATION: &str = "GetMetricData";
/// What one call takes.
const QUERIES_MAX: usize = 500;
/// Of 100 800 values each: more than a fortnight of every check a file may sensibly have.
const PAGES_MAX: usize = 20;
/// Calls to find out which of the series a refusal was about.
const SEARCH_MAX: usize = 40;

/// A series in periods of so many seconds.
pub type Key = (Series, i64);
/// What is known of each series that was asked for.
pub type Answers = BTreeMap<Key, Result<Points, Fault>>;

/// An interval in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    pub from: i64,
    pub to: i64,
}

/// Reads all series over the interval: one call per 500 queries and page. A series that CloudWatch refuses fails alone.
pub async fn read(aws: &Arc<Aws>, cx: &Context, keys: &BTreeSet<Key>, interval: Interval) -> Answers {
    let mut todo = chunks(keys);
    let mut answers = Answers::new();
    let mut searched = 0;
    while let Some(chunk) = todo.pop() {
        match read_chunk(aws, cx, &chunk, interval).await {
            Ok(found) => answers.extend(chunk.into_iter().zip(found)),
            // one query that makes no sense makes the whole call fail
            Err(fault) if is_about_a_query(&fault) && chunk.len() > 1 && searched < SEARCH_MAX => {
                searched += 2;
                let (first, second) = chunk.split_at(chunk.len() / 2);
                todo.push(first.to_vec());
                todo.push(second.to_vec());
            }
            Err(fault) => answers.extend(chunk.into_iter().map(|key| (key, Err(fault.clone())))),
        }
    }
    answers
}

fn chunks(keys: &BTreeSet<Key>) -> Vec<Vec<Key>> {
    let mut chunks: Vec<Vec<Key>> = Vec::new();
    let mut room = 0;
    for key in keys {
        let size = key.0.size();
        match chunks.last_mut().filter(|_| size <= room) {
            Some(chunk) => chunk.push(key.clone()),
            None => {
                chunks.push(vec![key.clone()]);
                room = QUERIES_MAX;
            }
        }
        room = room.saturating_sub(size);
    }
    chunks
}

fn is_about_a_query(fault: &Fault) -> bool {
    let codes = ["Validation", "InvalidParameter", "MissingRequiredParameter"];
    fault.treat == Treat::Permanent && codes.iter().any(|code| fault.detail.starts_with(code))
}

async fn read_chunk(
    aws: &Arc<Aws>,
    cx: &Context,
    keys: &[Key],
    interval: Interval,
) -> Result<Vec<Result<Points, Fault>>, Fault> {
    let object = match keys {
        [key] => shown(&key.0),
        keys => format!("{} series", keys.len()),
    };
    let intent = Intent::read(SERVICE, OPERATION, object);
    let queries: Vec<MetricDataQuery> =
        keys.iter().enumerate().flat_map(|(n, key)| queries(n, key)).collect();
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    let mut token: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let (queries, token_now) = (queries.clone(), token.clone());
        let page = call(aws, cx, &intent, move |config: SdkConfig| {
            let request = Client::new(&config)
                .get_metric_data()
                .set_metric_data_queries(Some(queries.clone()))
                .start_time(DateTime::from_secs(interval.from))
                .end_time(DateTime::from_secs(interval.to))
                .scan_by(ScanBy::TimestampAscending)
                .set_next_token(token_now.clone());
            async move { request.send().await }
        })
        .await?;
        token = page.next_token.filter(|token| !token.is_empty());
        for result in page.metric_data_results.unwrap_or_default() {
            found.entry(result.id.clone().unwrap_or_default()).or_default().add(result, token.is_some());
        }
        if token.is_none() {
            let each = keys.iter().enumerate();
            return Ok(each
                .map(|(n, key)| found.remove(&id(n)).unwrap_or_default().points(&key.0))
                .collect());
        }
    }
    let many = Fault::permanent(
        "aws",
        "cloudwatch:GetMetricData",
        &intent.object,
        format!("more than {PAGES_MAX} pages"),
    );
    Err(many.hint("watch with fewer checks, or a longer `period`"))
}

/// What came of one series, over all pages.
#[derive(Default)]
struct Found {
    points: Points,
    label: Option<String>,
    several: bool,
    /// Of the newest page.
    status: Option<StatusCode>,
    messages: Vec<String>,
}

impl Found {
    fn add(&mut self, result: MetricDataResult, more: bool) {
        self.several |= self.status.is_some() && self.label != result.label;
        self.label = result.label;
        self.status = Some(match result.status_code {
            // the rest is on the pages that follow
            Some(StatusCode::PartialData) if more => StatusCode::Complete,
            Some(status) => status,
            None => StatusCode::Complete,
        });
        let values = result.values.unwrap_or_default();
        for (time, value) in result.timestamps.unwrap_or_default().iter().zip(values) {
            if value.is_finite() {
                self.points.insert(time.secs(), value);
            }
        }
        for message in result.messages.unwrap_or_default().into_iter().take(4) {
            self.messages.extend(message.value.or(message.code));
        }
    }

    fn points(self, series: &Series) -> Result<Points, Fault> {
        let fault = |treat, why: &str| {
            let detail = match self.messages.is_empty() {
                true => why.to_string(),
                false => format!("{why}: {}", self.messages.join("; ")),
            };
            Fault::new(treat, "aws", "cloudwatch:GetMetricData", shown(series), detail)
        };
        match &self.status {
            Some(StatusCode::Complete) if self.several => {
                Err(fault(Treat::Permanent, "it yields several series; put SUM(…) or MAX(…) around it"))
            }
            Some(StatusCode::Complete) => Ok(self.points),
            Some(StatusCode::PartialData) => Err(fault(Treat::Temporary, "only part of the numbers came")),
            Some(StatusCode::InternalError) => Err(fault(Treat::Temporary, "CloudWatch failed (InternalError)")),
            Some(StatusCode::Forbidden) => Err(fault(Treat::Permanent, "not allowed (Forbidden)")
                .hint("the identity lacks `cloudwatch:GetMetricData` for it: docs/permissions.md has the least policy")),
            Some(other) => Err(fault(Treat::Temporary, &format!("status {}", other.as_str()))),
            None => Err(fault(Treat::Temporary, "the answer lacks it")),
        }
    }
}

fn id(n: usize) -> String {
    format!("q{n}")
}

/// The queries that one series takes. Names in an expression are those of the whole call, so they get numbers.
fn queries(n: usize, (series, period): &Key) -> Vec<MetricDataQuery> {
    // a period is at most an hour
    let period = i32::try_from(*period).unwrap_or(i32::MAX);
    match series {
        Series::Metric(metric) => {
            vec![
                MetricDataQuery::builder()
                    .id(id(n))
                    .metric_stat(stat(metric, period))
                    .return_data(true)
                    .build(),
            ]
        }
        Series::Math { expression, inputs } => {
            let input_id = |m: usize| format!("{}_{m}", id(n));
            let number = |name: &str| inputs.keys().position(|known| known == name).map(input_id);
            let mut queries: Vec<_> = inputs
                .values()
                .enumerate()
                .map(|(m, metric)| {
                    let query = MetricDataQuery::builder().id(input_id(m)).metric_stat(stat(metric, period));
                    query.return_data(false).build()
                })
                .collect();
            let expression = renamed(expression, number);
            let math = MetricDataQuery::builder().id(id(n)).expression(expression).period(period);
            queries.push(math.return_data(true).build());
            queries
        }
    }
}

fn stat(metric: &Metric, period: i32) -> MetricStat {
    let dimensions =
        metric.dimensions.iter().map(|(name, value)| Dimension::builder().name(name).value(value).build());
    let what = aws_sdk_cloudwatch::types::Metric::builder()
        .namespace(&metric.namespace)
        .metric_name(&metric.name)
        .set_dimensions(Some(dimensions.collect()));
    MetricStat::builder().metric(what.build()).period(period).stat(&metric.stat).build()
}

/// A series for people.
fn shown(series: &Series) -> String {
    match series {
        Series::Metric(metric) => {
            let dimensions: Vec<_> =
                metric.dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} {} ({})", metric.namespace, metric.name, dimensions.join(", "))
        }
        Series::Math { expression, .. } => format!("`{expression}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, inputs: usize) -> Key {
        let metric = |name: String| Metric {
            namespace: "Shop".into(),
            name,
            stat: "Sum".into(),
            dimensions: BTreeMap::new(),
        };
        let series = match inputs {
            0 => Series::Metric(metric(name.into())),
            n => Series::Math {
                expression: name.into(),
                inputs: (0..n).map(|n| (format!("i{n}"), metric(format!("{name}{n}")))).collect(),
            },
        };
        (series, 60)
    }

    #[test]
    fn a_call_takes_five_hundred_queries_and_no_expression_is_torn_apart() {
        let single: BTreeSet<Key> = (0..501).map(|n| key(&n.to_string(), 0)).collect();
        assert_eq!(chunks(&single).iter().map(Vec::len).collect::<Vec<_>>(), [500, 1]);
        let math: BTreeSet<Key> = (0..7).map(|n| key(&format!("a{n}"), 99)).collect();
        assert_eq!(chunks(&math).iter().map(Vec::len).collect::<Vec<_>>(), [5, 2]);
        assert!(chunks(&BTreeSet::new()).is_empty());
    }

    #[test]
    fn the_names_of_two_expressions_do_not_meet() {
        let key = key("i0 / i1", 2);
        let ids = |n| queries(n, &key).iter().map(|q| q.id.clone().unwrap()).collect::<Vec<_>>();
        assert_eq!(
            (ids(0), ids(12)),
            (
                vec!["q0_0".into(), "q0_1".into(), "q0".into()],
                vec!["q12_0".to_string(), "q12_1".into(), "q12".into()]
            )
        );
        assert_eq!(queries(12, &key)[2].expression(), Some("q12_0 / q12_1"));
    }
}
