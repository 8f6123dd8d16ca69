//! A series as the file writes it: a metric, or math over several.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{
    template::{Words, fill, words_of},
    value::Unit,
};

/// Metrics under one expression.
const INPUTS_MAX: usize = 100;

/// One series: `{namespace: Shop, metric: Failed, dimensions: {Side: "{{side}}"}}`, or metric math:
/// `{math: "late / all", queries: {late: {…}, all: {…}}}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// `AWS/SQS`, `Shop`.
    namespace: Option<String>,
    /// `ApproximateAgeOfOldestMessage`.
    metric: Option<String>,
    /// `Sum`, `Average`, `Maximum`, `SampleCount`, `p99`, `tm95`, … (`Sum` where events are counted, else `Average`).
    stat: Option<Stat>,
    /// All dimensions of the metric: CloudWatch adds nothing up over those left away.
    #[serde(default)]
    dimensions: BTreeMap<String, String>,
    /// An expression over `queries` that yields one series: `errors / requests`.
    math: Option<String>,
    /// What the names in `math` stand for.
    #[serde(default)]
    queries: BTreeMap<String, Input>,
}

/// A metric that `math` calls by a name.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    namespace: String,
    metric: String,
    stat: Option<Stat>,
    #[serde(default)]
    dimensions: BTreeMap<String, String>,
}

/// A statistic in CloudWatch's own spelling.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Stat(String);

impl TryFrom<String> for Stat {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        const PLAIN: [&str; 6] = ["Sum", "Average", "Minimum", "Maximum", "SampleCount", "IQM"];
        let number = |text: &str| text.parse::<f64>().is_ok_and(|n| n > 0.0 && n <= 100.0);
        let short =
            ["p", "tm", "wm", "tc", "ts"].iter().any(|kind| text.strip_prefix(kind).is_some_and(number));
        let range = ["TM(", "WM(", "TC(", "TS(", "PR("].iter().any(|kind| {
            let inside = text.strip_prefix(kind).and_then(|rest| rest.strip_suffix(')'));
            inside.is_some_and(|r| {
                r.contains(':') && r.bytes().all(|b| b.is_ascii_digit() || b".%:".contains(&b))
            })
        });
        match PLAIN.contains(&text.as_str()) || short || range {
            true => Ok(Stat(text)),
            false => Err(format!(
                "`{text}` is not a statistic: write Sum, Average, Maximum, SampleCount, p99 or tm95"
            )),
        }
    }
}

impl Stat {
    pub fn is_percentile(&self) -> bool {
        self.0.starts_with('p')
    }

    /// Whether values of several periods add up.
    fn adds_up(&self) -> bool {
        self.0 == "Sum" || self.0 == "SampleCount" || self.0.to_lowercase().starts_with("tc")
    }
}

/// What a series is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use<'a> {
    /// Its values are counts of events.
    Events,
    Value,
    /// This percentile of its values.
    At(&'a Stat),
}

/// One metric with one statistic; after `fill`, without words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    pub namespace: String,
    pub name: String,
    pub stat: String,
    pub dimensions: BTreeMap<String, String>,
}

/// What yields one series; after `fill`, without words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    Metric(Metric),
    Math { expression: String, inputs: BTreeMap<String, Metric> },
}

impl Query {
    /// The series, or what is wrong with it.
    pub fn series(&self, wanted: Use<'_>) -> Result<Series, String> {
        let series = match (&self.namespace, &self.metric, &self.math) {
            (Some(namespace), Some(metric), None) if self.queries.is_empty() => {
                metric_of(namespace, metric, self.stat.as_ref(), &self.dimensions, wanted)
                    .map(Series::Metric)?
            }
            (None, None, Some(math)) if self.stat.is_none() && self.dimensions.is_empty() => {
                self.math(math, wanted)?
            }
            (None, None, None) if !self.queries.is_empty() => {
                return Err("`queries` need `math`: the expression over them".into());
            }
            _ => {
                return Err("write a series as `namespace` with `metric`, or as `math` with `queries`".into());
            }
        };
        series.words()?;
        Ok(series)
    }

    fn math(&self, math: &str, wanted: Use<'_>) -> Result<Series, String> {
        if let Use::At(_) = wanted {
            return Err(
                "a percentile is taken of a metric: give one of the `queries` the `stat` p95 instead".into(),
            );
        }
        if self.queries.is_empty() || self.queries.len() > INPUTS_MAX {
            return Err(format!("`math` needs from 1 to {INPUTS_MAX} `queries`"));
        }
        let mut inputs = BTreeMap::new();
        for (name, input) in &self.queries {
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !plain || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
                return Err(format!(
                    "`{name}` cannot stand in math: begin with a small letter, then letters, digits, _"
                ));
            }
            // what counts in the end is up to the expression
            let default = if wanted == Use::Events { Use::Events } else { Use::Value };
            let stat = input.stat.clone().or(match default {
                Use::Events => Some(Stat("Sum".into())),
                _ => None,
            });
            let metric =
                metric_of(&input.namespace, &input.metric, stat.as_ref(), &input.dimensions, Use::Value)?;
            inputs.insert(name.clone(), metric);
        }
        let mut used = BTreeSet::new();
        for name in names_in(math) {
            if inputs.contains_key(name) {
                used.insert(name);
            } else if name == "METRICS" {
                return Err(
                    "METRICS() would take the metrics of all checks: name those that are meant".into()
                );
            } else if name.starts_with(|c: char| c.is_ascii_lowercase()) {
                let known: Vec<&str> = inputs.keys().map(String::as_str).collect();
                return Err(format!("`{name}` in `math` is none of the `queries`: {}", known.join(", ")));
            }
        }
        if let Some(unused) = inputs.keys().find(|name| !used.contains(name.as_str())) {
            return Err(format!("`{unused}` is not used in `math`"));
        }
        Ok(Series::Math { expression: math.to_string(), inputs })
    }
}

fn metric_of(
    namespace: &str,
    name: &str,
    stat: Option<&Stat>,
    dimensions: &BTreeMap<String, String>,
    wanted: Use<'_>,
) -> Result<Metric, String> {
    if namespace.trim().is_empty() || name.trim().is_empty() {
        return Err("`namespace` and `metric` must not be empty".into());
    }
    // CloudWatch's own limit
    if dimensions.len() > 30 || dimensions.iter().any(|(name, value)| name.is_empty() || value.is_empty()) {
        return Err(format!("the dimensions of `{name}`: at most 30, none of them empty"));
    }
    let stat = match (wanted, stat) {
        (Use::At(_), Some(_)) => return Err("`at` is the statistic already: leave `stat` away".into()),
        (Use::At(at), None) => at.0.clone(),
        (Use::Events, Some(stat)) if !stat.adds_up() => {
            return Err(format!(
                "`{name}` is to count events: its `stat` must be Sum or SampleCount, not {}",
                stat.0
            ));
        }
        (_, Some(stat)) => stat.0.clone(),
        (Use::Events, None) => "Sum".into(),
        (Use::Value, None) => "Average".into(),
    };
    Ok(Metric { namespace: namespace.into(), name: name.into(), stat, dimensions: dimensions.clone() })
}

impl Metric {
    fn texts(&self) -> impl Iterator<Item = &String> {
        [&self.namespace, &self.name].into_iter().chain(self.dimensions.values())
    }

    fn fill(&self, words: &Words) -> Result<Metric, String> {
        let fill = |text: &String| fill(text, words, str::to_string);
        let mut dimensions = BTreeMap::new();
        for (name, value) in &self.dimensions {
            dimensions.insert(name.clone(), fill(value)?);
        }
        Ok(Metric {
            namespace: fill(&self.namespace)?,
            name: fill(&self.name)?,
            stat: self.stat.clone(),
            dimensions,
        })
    }

    /// The unit of what AWS itself publishes, where a bare number would mislead.
    fn unit(&self) -> Unit {
        let counted = ["SampleCount", "TC(", "PR("].iter().any(|stat| self.stat.starts_with(stat));
        match (self.namespace.as_str(), self.name.as_str()) {
            _ if counted => Unit::COUNT,
            ("AWS/ApplicationELB", "TargetResponseTime") => Unit::SECONDS,
            ("AWS/Lambda", "Duration" | "PostRuntimeExtensionsDuration") => Unit::MILLISECONDS,
            ("AWS/ApiGateway", "Latency" | "IntegrationLatency") => Unit::MILLISECONDS,
            ("AWS/ECS" | "AWS/RDS" | "AWS/EC2", "CPUUtilization" | "MemoryUtilization") => Unit::PERCENT,
            _ => Unit::COUNT,
        }
    }
}

impl Series {
    /// The words its texts ask for; unknown ones are refused.
    pub fn words(&self) -> Result<BTreeSet<String>, String> {
        let mut words = BTreeSet::new();
        let mut texts: Vec<&String> = Vec::new();
        match self {
            Series::Metric(metric) => texts.extend(metric.texts()),
            Series::Math { expression, inputs } => {
                texts.push(expression);
                texts.extend(inputs.values().flat_map(Metric::texts));
            }
        }
        for text in texts {
            words.extend(words_of(text)?);
        }
        Ok(words)
    }

    pub fn fill(&self, words: &Words) -> Result<Series, String> {
        Ok(match self {
            Series::Metric(metric) => Series::Metric(metric.fill(words)?),
            Series::Math { expression, inputs } => {
                let mut filled = BTreeMap::new();
                for (name, input) in inputs {
                    filled.insert(name.clone(), input.fill(words)?);
                }
                Series::Math { expression: fill(expression, words, in_quotes)?, inputs: filled }
            }
        })
    }

    pub fn unit(&self) -> Unit {
        match self {
            Series::Metric(metric) => metric.unit(),
            Series::Math { .. } => Unit::COUNT,
        }
    }

    /// How many of a call's queries it takes.
    pub fn size(&self) -> usize {
        match self {
            Series::Metric(_) => 1,
            Series::Math { inputs, .. } => 1 + inputs.len(),
        }
    }
}

/// A value inside a quoted text of an expression, such as a SEARCH.
fn in_quotes(value: &str) -> String {
    value.chars().filter(|c| !matches!(c, '\'' | '"' | '\\')).collect()
}

/// The names in an expression, outside of its quoted texts.
fn names_in(expression: &str) -> Vec<&str> {
    pieces(expression).into_iter().filter(|piece| is_name(piece)).collect()
}

/// The expression with other names for its inputs: those of one call must differ.
pub fn renamed(expression: &str, new: impl Fn(&str) -> Option<String>) -> String {
    let renamed =
        pieces(expression).into_iter().map(|piece| match is_name(piece).then(|| new(piece)).flatten() {
            Some(name) => name,
            None => piece.to_string(),
        });
    renamed.collect()
}

fn is_name(piece: &str) -> bool {
    piece.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// Names, quoted texts, and what is between them; together they are the whole.
fn pieces(expression: &str) -> Vec<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut pieces = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '\'' | '"' => rest[1..].find(first).map_or(rest.len(), |i| i + 2),
            // `1e3` and `p99` are each one piece
            c if word(c) => rest.find(|c: char| !word(c)).unwrap_or(rest.len()),
            _ => rest.find(|c: char| word(c) || c == '\'' || c == '"').unwrap_or(rest.len()),
        };
        let (piece, after) = rest.split_at(end);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{de::from_node, node::parse};

    fn query(text: &str) -> Result<Query, String> {
        from_node(&parse(text).unwrap(), "checks.x.cloudwatch.value").map_err(|e| e.to_string())
    }

    fn refusal(text: &str, wanted: Use<'_>) -> String {
        query(text).and_then(|query| query.series(wanted)).unwrap_err()
    }

    #[test]
    fn a_metric_takes_the_statistic_that_its_use_needs() {
        let stat = |text: &str, wanted| match query(text).unwrap().series(wanted).unwrap() {
            Series::Metric(metric) => metric.stat,
            other => panic!("{other:?}"),
        };
        let p95 = Stat("p95".into());
        assert_eq!(stat("{namespace: Shop, metric: Failed}", Use::Events), "Sum");
        assert_eq!(stat("{namespace: Shop, metric: Depth}", Use::Value), "Average");
        assert_eq!(stat("{namespace: Shop, metric: Depth, stat: p99.9}", Use::Value), "p99.9");
        assert_eq!(stat("{namespace: Shop, metric: Time}", Use::At(&p95)), "p95");
    }

    #[test]
    fn statistics_of_which_periods_do_not_add_up_count_no_events() {
        let why = refusal("{namespace: Shop, metric: Failed, stat: Average}", Use::Events);
        assert!(why.contains("must be Sum or SampleCount"), "{why}");
        for text in ["TC(:0.5)", "tc90", "SampleCount"] {
            let text = format!("{{namespace: Shop, metric: Time, stat: '{text}'}}");
            assert!(query(&text).unwrap().series(Use::Events).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, why) in [
            ("{namespace: Shop}", "`namespace` with `metric`"),
            (
                "{namespace: Shop, metric: A, math: a, queries: {a: {namespace: S, metric: A}}}",
                "write a series as",
            ),
            ("{queries: {a: {namespace: S, metric: A}}}", "need `math`"),
            ("{math: a}", "needs from 1 to 100"),
            ("{math: a + b, queries: {a: {namespace: S, metric: A}}}", "`b` in `math` is none"),
            ("{math: '1', queries: {a: {namespace: S, metric: A}}}", "`a` is not used"),
            ("{math: A, queries: {A: {namespace: S, metric: A}}}", "begin with a small letter"),
            ("{math: SUM(METRICS()), queries: {a: {namespace: S, metric: A}}}", "of all checks"),
            ("{namespace: S, metric: A, dimensions: {X: ''}}", "none of them empty"),
            ("{namespace: S, metric: A, dimensions: {X: '{{sied}}'}}", "not known"),
            ("{namespace: S, metric: A, stat: P95}", "not a statistic"),
            ("{namespace: S, metric: A, stat: p101}", "not a statistic"),
            ("{namespace: S, metric: A, statistic: Sum}", "did you mean `stat`"),
        ] {
            let error = refusal(text, Use::Value);
            assert!(error.contains(why), "{text}: {error}");
        }
        let p95 = Stat("p95".into());
        let math = "{math: a, queries: {a: {namespace: S, metric: A}}}";
        assert!(refusal(math, Use::At(&p95)).contains("taken of a metric"));
        assert!(refusal("{namespace: S, metric: A, stat: p90}", Use::At(&p95)).contains("leave `stat` away"));
    }

    #[test]
    fn names_are_replaced_outside_of_quotes_and_nowhere_else() {
        let new = |name: &str| (name == "errors").then(|| "q1_0".to_string());
        let text = "100*errors/(errors1+1e3) + SUM(SEARCH('errors \"errors\"', 'Sum', 60)) - my_errors";
        let expected = "100*q1_0/(errors1+1e3) + SUM(SEARCH('errors \"errors\"', 'Sum', 60)) - my_errors";
        assert_eq!(renamed(text, new), expected);
        assert_eq!(renamed("errors", new), "q1_0");
        assert_eq!(renamed("'open errors", new), "'open errors");
    }

    #[test]
    fn words_are_filled_in_everywhere() {
        let text = r#"{math: "a + SUM(SEARCH('{Shop} Side=\"{{side}}\"', 'Sum'))",
                       queries: {a: {namespace: Shop, metric: A, dimensions: {Group: "{{label.target_group}}"}}}}"#;
        let series = query(text).unwrap().series(Use::Value).unwrap();
        let words: Vec<_> = series.words().unwrap().into_iter().collect();
        assert_eq!(words, ["label.target_group", "side"]);
        assert!(series.fill(&Words::default()).unwrap_err().contains("stands for nothing"));
        let words = Words::default().with("side", "bl\"ue").with("label.target_group", "targetgroup/x/1");
        let Series::Math { expression, inputs } = series.fill(&words).unwrap() else { panic!() };
        assert_eq!(
            expression, "a + SUM(SEARCH('{Shop} Side=\"blue\"', 'Sum'))",
            "a word does not end a quote"
        );
        assert_eq!(inputs["a"].dimensions["Group"], "targetgroup/x/1");
    }
}
