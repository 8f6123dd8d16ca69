//! CloudWatch over rpc-v2-cbor: `GetMetricData` and `DescribeAlarms`. Metrics are events with times; a test moves
//! the clock, and what happened a moment ago is not in a metric yet.

use ciborium::Value;
use std::collections::{BTreeMap, BTreeSet};
use tidegate::port::{Clock as _, clock::SystemClock};

use super::{
    ACCOUNT, Answer, REGION, Request, Response, State,
    server::{cbor, error},
};

/// Namespace, name, dimensions.
pub type Metric = (String, String, BTreeMap<String, String>);

#[derive(Clone, Default)]
pub struct CloudWatch {
    /// Seconds since 1970; the machine's clock where a test does not say.
    pub now: Option<i64>,
    /// Seconds until an event is in its metric.
    pub delay: i64,
    /// Values that one page takes; as many as AWS's where a test does not say.
    pub page: Option<usize>,
    /// `PartialData`, `Forbidden`, `InternalError`: what is said of the metrics of these names instead of all their values.
    pub status: BTreeMap<String, String>,
    /// What `GetMetricData` was asked, page by page.
    pub asked: Vec<Asked>,
    events: BTreeMap<Metric, Vec<(i64, f64)>>,
    steady: BTreeMap<Metric, f64>,
    alarms: BTreeMap<String, Alarm>,
}

/// One call of `GetMetricData`.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub from: i64,
    pub to: i64,
    pub queries: usize,
    pub expressions: Vec<String>,
}

#[derive(Clone)]
struct Alarm {
    state: String,
    since: i64,
    composite: bool,
}

pub fn metric(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Metric {
    let dimensions = dimensions.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    (namespace.into(), name.into(), dimensions.collect())
}

impl CloudWatch {
    /// Something happened at this second: a request that took so long, a count of so many.
    pub fn event(&mut self, metric: Metric, at: i64, value: f64) {
        self.events.entry(metric).or_default().push((at, value));
    }

    /// A metric that shows the same in every minute there ever was: as its sum, and as every other statistic.
    pub fn steady(&mut self, metric: Metric, value: f64) {
        self.steady.insert(metric, value);
    }

    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`, from this second on.
    pub fn alarm(&mut self, name: &str, state: &str, since: i64) {
        let composite = self.alarms.get(name).is_some_and(|alarm| alarm.composite);
        self.alarms.insert(name.into(), Alarm { state: state.into(), since, composite });
    }

    /// The same of a composite alarm.
    pub fn composite(&mut self, name: &str, state: &str, since: i64) {
        self.alarms.insert(name.into(), Alarm { state: state.into(), since, composite: true });
    }

    fn now(&self) -> i64 {
        self.now.unwrap_or_else(|| SystemClock::default().now().as_second())
    }

    pub fn answer(&mut self, request: &Request, _others: &mut State) -> Answer {
        let expected = format!("/service/GraniteServiceVersion20100801/operation/{}", request.operation);
        let cbor_spoken = request.header("smithy-protocol") == "rpc-v2-cbor"
            && request.header("content-type") == "application/cbor"
            && request.method == "POST"
            && request.path == expected;
        if !cbor_spoken {
            return Answer::unknown(request);
        }
        let answer = match ciborium::from_reader(request.body.as_slice()) {
            Err(_) => Err(("SerializationException", "the body is not CBOR".to_string())),
            Ok(Value::Map(input)) => match request.operation.as_str() {
                "GetMetricData" => self.get_metric_data(&Fields::of(input)),
                "DescribeAlarms" => self.describe_alarms(&Fields::of(input)),
                _ => return Answer::unknown(request),
            },
            Ok(_) => Err(("SerializationException", "the body is not a map".to_string())),
        };
        let (object, response) = match answer {
            Ok((object, value)) => (object, cbor(200, &value)),
            Err((code, message)) => (String::new(), refused(request, code, &message)),
        };
        Answer::new(request, object, response)
    }

    fn get_metric_data(&mut self, input: &Fields) -> Outcome {
        input.known(&[
            "MetricDataQueries",
            "StartTime",
            "EndTime",
            "NextToken",
            "ScanBy",
            "MaxDatapoints",
        ])?;
        let (from, to) = (input.time("StartTime")?, input.time("EndTime")?);
        if from >= to {
            return invalid("The parameter StartTime must be less than the parameter EndTime.");
        }
        let queries = input.list("MetricDataQueries")?;
        if queries.is_empty() || queries.len() > 500 {
            return invalid(format!("MetricDataQueries must have 1 to 500 members, not {}", queries.len()));
        }
        let descending = match input.text("ScanBy")?.as_deref() {
            None | Some("TimestampDescending") => true,
            Some("TimestampAscending") => false,
            Some(other) => return invalid(format!("ScanBy {other}")),
        };
        let queries: Vec<Query> = queries.into_iter().map(Query::of).collect::<Result<_, _>>()?;
        let mut ids = BTreeSet::new();
        for query in &queries {
            if !ids.insert(query.id.clone()) {
                return invalid(format!("The value {} for parameter Id is not unique", query.id));
            }
        }
        if !queries.iter().any(|query| query.returned) {
            return invalid("At least one query must return data");
        }
        let mut series: BTreeMap<String, Points> = BTreeMap::new();
        let mut results: Vec<(String, String, Points)> = Vec::new();
        let mut left = queries.iter().collect::<Vec<_>>();
        // metrics first: expressions stand on them
        left.sort_by_key(|query| matches!(query.what, What::Expression { .. }));
        for query in &left {
            match &query.what {
                What::Metric { metric, period, stat } => {
                    let points = self.points(metric, from, to, *period, stat);
                    series.insert(query.id.clone(), points.clone());
                    results.push((query.id.clone(), metric.1.clone(), points));
                }
                What::Expression { text, .. } if text.starts_with("SEARCH(") => {
                    let wanted = text.split(['{', ',', '}']).nth(1).unwrap_or_default().to_string();
                    let found: Vec<Metric> =
                        self.events.keys().filter(|metric| metric.0 == wanted).cloned().collect();
                    for metric in found {
                        let points = self.points(&metric, from, to, 60, "Sum");
                        results.push((query.id.clone(), format!("{metric:?}"), points));
                    }
                }
                What::Expression { text, .. } => {
                    let points = math::evaluate(text, &series).map_err(|why| {
                        ("ValidationError", format!("Error in expression '{}': {why}", query.id))
                    })?;
                    series.insert(query.id.clone(), points.clone());
                    results.push((query.id.clone(), query.id.clone(), points));
                }
            }
        }
        let returned: BTreeSet<&String> = queries.iter().filter(|q| q.returned).map(|q| &q.id).collect();
        results.retain(|(id, ..)| returned.contains(id));
        if descending {
            return invalid("the double scans upwards only");
        }
        let statuses: BTreeMap<String, String> = queries
            .iter()
            .filter_map(|query| Some((query.id.clone(), self.status.get(query.names(&queries)?)?.clone())))
            .collect();
        self.asked.push(Asked {
            from,
            to,
            queries: queries.len(),
            expressions: queries.iter().filter_map(Query::expression).collect(),
        });
        self.paged(results, &statuses, input.text("NextToken")?)
    }

    fn paged(
        &self,
        results: Vec<(String, String, Points)>,
        statuses: &BTreeMap<String, String>,
        token: Option<String>,
    ) -> Outcome {
        let size = self.page.unwrap_or(100_800);
        let first = match &token {
            None => 0,
            Some(token) => match token.strip_prefix("after-").and_then(|n| n.parse::<usize>().ok()) {
                Some(n) if n > 0 && n % size == 0 => n,
                _ => return Err(("InvalidNextToken", format!("the token {token} is not known"))),
            },
        };
        let (mut position, mut told) = (0, Vec::new());
        for (id, label, points) in results {
            let begin = position;
            position += points.len();
            let inside: Vec<(i64, f64)> = points
                .iter()
                .enumerate()
                .filter(|(n, _)| (first..first + size).contains(&(begin + n)))
                .map(|(_, (time, value))| (*time, *value))
                .collect();
            if inside.is_empty() && !(first == 0 && points.is_empty()) {
                continue;
            }
            let (status, inside) = match statuses.get(&id) {
                Some(status) => (status.as_str(), inside.into_iter().take(1).collect()),
                None if position > (first + size).max(begin) => ("PartialData", inside),
                None => ("Complete", inside),
            };
            told.push(map(vec![
                ("Id", Value::Text(id)),
                ("Label", Value::Text(label)),
                ("Timestamps", Value::Array(inside.iter().map(|(time, _)| timestamp(*time)).collect())),
                ("Values", Value::Array(inside.iter().map(|(_, value)| Value::Float(*value)).collect())),
                ("StatusCode", Value::Text(status.into())),
            ]));
        }
        let mut answer = vec![("MetricDataResults", Value::Array(told))];
        if position > first + size {
            answer.push(("NextToken", Value::Text(format!("after-{}", first + size))));
        }
        Ok((String::new(), map(answer)))
    }

    /// The periods of a metric, from `from` rounded down to a minute on; of the newest only what is known by now.
    fn points(&self, metric: &Metric, from: i64, to: i64, period: i64, stat: &str) -> Points {
        let known = self.now() - self.delay;
        let mut points = Points::new();
        let mut start = from.div_euclid(60) * 60;
        while start < to {
            let end = start + period;
            let mut values: Vec<f64> = self
                .events
                .get(metric)
                .into_iter()
                .flatten()
                .filter(|(at, _)| (start..end).contains(at) && *at <= known)
                .map(|(_, value)| *value)
                .collect();
            values.sort_by(f64::total_cmp);
            if let Some(value) = statistic(stat, &values) {
                points.insert(start, value);
            }
            let elapsed = (known - start).clamp(0, period);
            if let Some(steady) = self.steady.get(metric).filter(|_| elapsed > 0) {
                let value = if stat == "Sum" { (steady * elapsed as f64 / 60.0).floor() } else { *steady };
                points.insert(start, value);
            }
            start = end;
        }
        points
    }

    fn describe_alarms(&self, input: &Fields) -> Outcome {
        input.known(&["AlarmNames", "AlarmTypes", "MaxRecords", "NextToken"])?;
        let texts = |name: &str| -> Result<Vec<String>, Refusal> {
            let list = input.list(name)?;
            list.iter().map(|v| v.as_text().map(str::to_string).ok_or(wrong(name))).collect()
        };
        let (names, types) = (texts("AlarmNames")?, texts("AlarmTypes")?);
        if names.len() > 100 || input.number("MaxRecords")?.is_some_and(|n| !(1..=100).contains(&n)) {
            return invalid("at most 100 names, and 1 to 100 records");
        }
        if input.text("NextToken")?.is_some() {
            return Err(("InvalidNextToken", "there was no other page".into()));
        }
        let wanted = |composite: bool| {
            let kind = if composite { "CompositeAlarm" } else { "MetricAlarm" };
            // without types there are no composite alarms in the answer
            let asked = if types.is_empty() { !composite } else { types.iter().any(|t| t == kind) };
            let mut shown = Vec::new();
            for (name, alarm) in &self.alarms {
                if asked && alarm.composite == composite && (names.is_empty() || names.contains(name)) {
                    shown.push(alarm.shown(name));
                }
            }
            Value::Array(shown)
        };
        let answer = vec![("MetricAlarms", wanted(false)), ("CompositeAlarms", wanted(true))];
        Ok((names.join(","), map(answer)))
    }
}

impl Alarm {
    fn shown(&self, name: &str) -> Value {
        map(vec![
            ("AlarmName", Value::Text(name.into())),
            ("AlarmArn", Value::Text(format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"))),
            ("StateValue", Value::Text(self.state.clone())),
            ("StateUpdatedTimestamp", timestamp(self.since)),
            ("StateTransitionedTimestamp", timestamp(self.since)),
        ])
    }
}

type Points = BTreeMap<i64, f64>;
type Refusal = (&'static str, String);
type Outcome = Result<(String, Value), Refusal>;

fn invalid<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(("ValidationError", message.into()))
}

fn wrong(name: &str) -> Refusal {
    ("SerializationException", format!("{name} is of another type"))
}

/// The error in both of its places: services that once spoke the Query protocol name the code in a header too.
fn refused(request: &Request, code: &str, message: &str) -> Response {
    error(request, 400, code, message).header("x-amzn-query-error", format!("{code};Sender"))
}

fn map(fields: Vec<(&str, Value)>) -> Value {
    Value::Map(fields.into_iter().map(|(name, value)| (Value::Text(name.into()), value)).collect())
}

fn timestamp(seconds: i64) -> Value {
    Value::Tag(1, Box::new(Value::Float(seconds as f64)))
}

/// A statistic as CloudWatch reckons it; nothing where nothing happened.
fn statistic(stat: &str, sorted: &[f64]) -> Option<f64> {
    let (first, last) = (sorted.first()?, sorted.last()?);
    let sum: f64 = sorted.iter().sum();
    Some(match stat {
        "Sum" => sum,
        "Average" => sum / sorted.len() as f64,
        "Minimum" => *first,
        "Maximum" => *last,
        "SampleCount" => sorted.len() as f64,
        percentile => {
            let part: f64 = percentile.strip_prefix('p')?.parse::<f64>().ok()? / 100.0;
            let rank = (part * sorted.len() as f64).ceil() as usize;
            *sorted.get(rank.saturating_sub(1))?
        }
    })
}

struct Query {
    id: String,
    returned: bool,
    what: What,
}

enum What {
    Metric { metric: Metric, period: i64, stat: String },
    Expression { text: String },
}

impl Query {
    fn of(value: Value) -> Result<Query, Refusal> {
        let Value::Map(fields) = value else { return Err(wrong("MetricDataQueries")) };
        let fields = Fields::of(fields);
        fields.known(&["Id", "MetricStat", "Expression", "Label", "ReturnData", "Period", "AccountId"])?;
        let id = fields.text("Id")?.unwrap_or_default();
        let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain || !id.starts_with(|c: char| c.is_ascii_lowercase()) || id.len() > 255 {
            return invalid(format!("The value {id} for parameter Id must match ^[a-z][a-zA-Z0-9_]*$"));
        }
        let returned = fields.bool("ReturnData")?.unwrap_or(true);
        let what = match (fields.map("MetricStat")?, fields.text("Expression")?) {
            (Some(stat), None) if fields.number("Period")?.is_none() => metric_stat(&stat)?,
            (None, Some(text)) if !text.is_empty() && text.len() <= 2048 => {
                period(fields.number("Period")?)?;
                What::Expression { text }
            }
            _ => {
                return invalid(format!(
                    "{id}: either MetricStat or Expression, and Period with Expression only"
                ));
            }
        };
        Ok(Query { id, returned, what })
    }

    fn expression(&self) -> Option<String> {
        match &self.what {
            What::Expression { text } => Some(text.clone()),
            What::Metric { .. } => None,
        }
    }

    /// The metric's name, or of an expression that of its first input.
    fn names<'a>(&'a self, all: &'a [Query]) -> Option<&'a str> {
        match &self.what {
            What::Metric { metric, .. } => Some(&metric.1),
            What::Expression { text } => {
                all.iter().find(|q| q.id != self.id && text.contains(&q.id)).and_then(|q| match &q.what {
                    What::Metric { metric, .. } => Some(metric.1.as_str()),
                    What::Expression { .. } => None,
                })
            }
        }
    }
}

fn metric_stat(fields: &Fields) -> Result<What, Refusal> {
    fields.known(&["Metric", "Period", "Stat", "Unit"])?;
    let Some(metric) = fields.map("Metric")? else { return invalid("MetricStat needs a Metric") };
    metric.known(&["Namespace", "MetricName", "Dimensions"])?;
    let (namespace, name) = (metric.text("Namespace")?, metric.text("MetricName")?);
    let (Some(namespace), Some(name)) = (namespace, name) else {
        return invalid("Metric needs Namespace and MetricName");
    };
    let mut dimensions = BTreeMap::new();
    for value in metric.list("Dimensions")? {
        let Value::Map(dimension) = value else { return Err(wrong("Dimensions")) };
        let dimension = Fields::of(dimension);
        dimension.known(&["Name", "Value"])?;
        let (name, value) =
            (dimension.text("Name")?.unwrap_or_default(), dimension.text("Value")?.unwrap_or_default());
        if name.is_empty() || value.is_empty() || dimensions.insert(name, value).is_some() {
            return invalid("a dimension is empty or there twice");
        }
    }
    if dimensions.len() > 30 {
        return invalid("more than 30 dimensions");
    }
    let period = period(fields.number("Period")?)?;
    let stat = fields.text("Stat")?.unwrap_or_default();
    let percentile =
        stat.strip_prefix('p').and_then(|n| n.parse::<f64>().ok()).is_some_and(|n| n > 0.0 && n <= 100.0);
    if !percentile && !["Sum", "Average", "Minimum", "Maximum", "SampleCount"].contains(&stat.as_str()) {
        return invalid(format!("The value {stat} for parameter Stat is not supported"));
    }
    Ok(What::Metric { metric: (namespace, name, dimensions), period, stat })
}

fn period(period: Option<i64>) -> Result<i64, Refusal> {
    match period {
        Some(n) if n > 0 && (n % 60 == 0 || [1, 5, 10, 20, 30].contains(&n)) => Ok(n),
        other => invalid(format!("The value {other:?} for parameter Period is not a multiple of 60")),
    }
}

/// The members of a structure.
struct Fields(BTreeMap<String, Value>);

impl Fields {
    fn of(map: Vec<(Value, Value)>) -> Self {
        Fields(map.into_iter().filter_map(|(name, value)| Some((name.into_text().ok()?, value))).collect())
    }

    fn known(&self, names: &[&str]) -> Result<(), Refusal> {
        match self.0.keys().find(|name| !names.contains(&name.as_str())) {
            Some(name) => invalid(format!("the double does not know the parameter {name}")),
            None => Ok(()),
        }
    }

    fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        value.as_text().map(|text| Some(text.to_string())).ok_or(wrong(name))
    }

    fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        value.as_integer().and_then(|n| i64::try_from(n).ok()).map(Some).ok_or(wrong(name))
    }

    fn bool(&self, name: &str) -> Result<Option<bool>, Refusal> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or(wrong(name))
    }

    fn list(&self, name: &str) -> Result<Vec<Value>, Refusal> {
        let Some(value) = self.0.get(name) else { return Ok(Vec::new()) };
        value.as_array().cloned().ok_or(wrong(name))
    }

    fn map(&self, name: &str) -> Result<Option<Fields>, Refusal> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        value.as_map().map(|map| Some(Fields::of(map.clone()))).ok_or(wrong(name))
    }

    fn time(&self, name: &str) -> Result<i64, Refusal> {
        let Some(Value::Tag(1, value)) = self.0.get(name) else { return Err(wrong(name)) };
        match value.as_ref() {
            Value::Float(seconds) => Ok(*seconds as i64),
            Value::Integer(seconds) => i64::try_from(*seconds).map_err(|_| wrong(name)),
            _ => Err(wrong(name)),
        }
    }
}

/// Metric math as far as the four operations and `SUM(m)` of one series go. A period that one of the inputs
/// lacks has no result.
mod math {
    use super::Points;
    use std::collections::BTreeMap;

    pub fn evaluate(text: &str, series: &BTreeMap<String, Points>) -> Result<Points, String> {
        let mut parser = Parser { rest: text.trim(), series };
        let value = parser.sum()?;
        match (parser.rest.is_empty(), value) {
            (true, Value::Series(points)) => Ok(points),
            (true, Value::Number(_)) => Err("the result is not a time series".into()),
            (false, _) => Err(format!("unexpected `{}`", parser.rest)),
        }
    }

    enum Value {
        Number(f64),
        Series(Points),
    }

    struct Parser<'a> {
        rest: &'a str,
        series: &'a BTreeMap<String, Points>,
    }

    impl Parser<'_> {
        fn take(&mut self, token: char) -> bool {
            let found = self.rest.strip_prefix(token);
            self.rest = found.unwrap_or(self.rest).trim_start();
            found.is_some()
        }

        fn sum(&mut self) -> Result<Value, String> {
            let mut left = self.product()?;
            loop {
                if self.take('+') {
                    left = join(left, self.product()?, |a, b| a + b);
                } else if self.take('-') {
                    left = join(left, self.product()?, |a, b| a - b);
                } else {
                    return Ok(left);
                }
            }
        }

        fn product(&mut self) -> Result<Value, String> {
            let mut left = self.one()?;
            loop {
                if self.take('*') {
                    left = join(left, self.one()?, |a, b| a * b);
                } else if self.take('/') {
                    left = join(left, self.one()?, |a, b| a / b);
                } else {
                    return Ok(left);
                }
            }
        }

        fn one(&mut self) -> Result<Value, String> {
            if self.take('(') {
                let inner = self.sum()?;
                return if self.take(')') { Ok(inner) } else { Err("`)` is missing".into()) };
            }
            let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || "._".contains(c)));
            let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
            self.rest = rest.trim_start();
            if let Ok(number) = word.parse() {
                return Ok(Value::Number(number));
            }
            if word == "SUM" && self.take('(') {
                let inner = self.sum()?;
                return if self.take(')') { Ok(inner) } else { Err("`)` is missing".into()) };
            }
            match self.series.get(word) {
                Some(points) => Ok(Value::Series(points.clone())),
                None => Err(format!("unknown id or function `{word}`")),
            }
        }
    }

    fn join(left: Value, right: Value, with: impl Fn(f64, f64) -> f64) -> Value {
        match (left, right) {
            (Value::Number(a), Value::Number(b)) => Value::Number(with(a, b)),
            (Value::Number(a), Value::Series(b)) => {
                Value::Series(b.into_iter().map(|(time, b)| (time, with(a, b))).collect())
            }
            (Value::Series(a), Value::Number(b)) => {
                Value::Series(a.into_iter().map(|(time, a)| (time, with(a, b))).collect())
            }
            (Value::Series(a), Value::Series(b)) => Value::Series(
                a.into_iter().filter_map(|(time, a)| Some((time, with(a, *b.get(&time)?)))).collect(),
            ),
        }
    }
}
