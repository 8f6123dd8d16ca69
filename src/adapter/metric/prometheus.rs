//! `prometheus`: numbers from a Prometheus server, or from one that speaks its API.
//!
//! `value` is any PromQL that yields one number. `bad`, `total` and `histogram` are selectors of counters, and their
//! events are counted exactly: the raw points inside the window (`SELECTOR[window]` at its end) and, of each series, the
//! last point before it (`last_over_time(SELECTOR[1h])` at its start). `increase()` would extrapolate to fractions, and
//! would lose what came between the last point before the window and the first one in it; here, windows that touch add
//! up to what was counted. A value smaller than the one before is a counter that began again. A series that is new in the
//! window began at 0, unless nothing of `total` (or of the histogram) was there before the window: then the window only
//! begins, and the answer is empty.

use std::collections::BTreeMap;

use async_trait::async_trait;
use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;

use super::wanted::{Percentile, Wanted, unit_of};
use crate::{
    adapter::web::{Address, CONCURRENT_MAX, Web, address, concurrently},
    domain::{
        duration::Span,
        names::{EntryName, TargetName},
        sample::{Measure, Sample},
        template::{fill, words_of},
        value::Unit,
    },
    port::{
        Ask, Context, Fault, Metric, Reach, Secret, Window,
        adapter::{Adapter, MetricAdapter, Setting, Shape},
        metric::Measured,
    },
};

mod api;
mod count;

pub struct Prometheus;

const PROVIDER: &str = "prometheus";
/// A scrape every 15 s, Prometheus's own example; what is scraped later than this is missed.
const LAG: Span = Span::from_secs(15);

/// A server that speaks the Prometheus HTTP API.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server: `http://prometheus:9090`.
    url: String,
    /// PromQL that yields one number: `sum(rate(x_total{side="{{side}}"}[1m]))`.
    value: Option<String>,
    /// Selector of the counters of bad events: `http_requests_total{side="{{side}}",code=~"5.."}`.
    bad: Option<String>,
    /// Selector of the counters of all events, the bad ones included.
    total: Option<String>,
    /// Selector of a histogram's buckets: `http_seconds_bucket{side="{{side}}"}`.
    histogram: Option<String>,
    /// The percentile of the histogram: `p95`.
    at: Option<Percentile>,
    /// Sent as `Authorization: Bearer`.
    token: Option<Secret>,
    /// How long after an event the server has it (15s): at least its scrape interval.
    lag: Option<Span>,
}

impl Config {
    fn wanted(&self) -> Result<Wanted<String>, String> {
        let wanted = Wanted::of(&self.value, (&self.bad, &self.total), (&self.histogram, self.at))?;
        wanted.map(|query| {
            words_of(query)?;
            match query.trim() {
                "" => Err("a query is empty".to_string()),
                query => Ok(query.to_string()),
            }
        })
    }
}

impl Adapter for Prometheus {
    const NAME: &'static str = "prometheus";
    const SUMMARY: &'static str = "counters, histograms and PromQL from a Prometheus server";
    type Config = Config;
}

impl MetricAdapter for Prometheus {
    fn shape(config: &Config) -> Result<Shape, String> {
        let wanted = config.wanted()?;
        let unit = match &wanted {
            Wanted::Histogram { buckets, .. } => {
                unit_of(buckets.split('{').next().unwrap_or_default().trim())
            }
            _ => Unit::COUNT,
        };
        Ok(wanted.shape(Measure::Gauge, unit))
    }

    fn connect(checks: Vec<(EntryName, Config)>, setting: &Setting) -> Result<Box<dyn Metric>, String> {
        let mut known = BTreeMap::new();
        let mut lag = Span::default();
        for (name, config) in checks {
            let shape = Self::shape(&config)?;
            lag = lag.max(config.lag.unwrap_or(LAG));
            let address = Address::new(config.url.trim_end_matches('/'))?;
            if address.is_relative() || config.url.contains(['?', '#']) {
                return Err(format!("{name}: `url` must be the server's, such as http://prometheus:9090"));
            }
            let check = Check {
                wanted: config.wanted()?,
                address,
                token: config.token,
                unit: setting.units.get(&name).copied().unwrap_or(shape.unit),
            };
            known.insert(name, check);
        }
        Ok(Box::new(Source { checks: known, setting: setting.clone(), web: Web::new(PROVIDER), lag }))
    }
}

struct Check {
    wanted: Wanted<String>,
    address: Address,
    token: Option<Secret>,
    unit: Unit,
}

struct Source {
    checks: BTreeMap<EntryName, Check>,
    setting: Setting,
    web: Web,
    lag: Span,
}

#[async_trait]
impl Metric for Source {
    fn reach(&self, check: &EntryName, target: &TargetName) -> Reach {
        let Some(check) = self.checks.get(check) else {
            return Reach::None;
        };
        let mut words = check.address.words().clone();
        // each was read once before
        words.extend(check.wanted.parts().into_iter().flat_map(|query| words_of(query).unwrap_or_default()));
        address::reach(&words, false, target, &self.setting.services)
    }

    async fn measure(
        &self,
        cx: &Context,
        asks: &[Ask],
        window: Window,
        _: Option<&serde_json::Value>,
    ) -> Result<Measured, Fault> {
        let plans: Vec<Result<Plan<'_>, Fault>> = asks.iter().map(|ask| self.plan(ask, window)).collect();
        // equal queries of one server are asked once
        let mut queries: BTreeMap<&Query, Option<&str>> = BTreeMap::new();
        for plan in plans.iter().flatten() {
            for query in plan.queries.parts().into_iter().flat_map(Asked::all) {
                queries.insert(query, plan.token.as_deref());
            }
        }
        let mut work = Vec::with_capacity(queries.len());
        for (query, token) in &queries {
            work.push(api::ask(&self.web, cx, query, *token));
        }
        let answers = concurrently(CONCURRENT_MAX, work).await;
        let answers: BTreeMap<&Query, Result<api::Data, Fault>> =
            queries.keys().copied().zip(answers).collect();
        let samples =
            plans.iter().map(|plan| plan.as_ref().map_err(Clone::clone)?.answer(&answers)).collect();
        Ok(Measured { samples, cursor: None })
    }

    fn lag(&self) -> std::time::Duration {
        self.lag.get()
    }
}

/// One instant query of one server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Query {
    server: String,
    promql: String,
    time: jiff::Timestamp,
    /// Two checks may ask the same with different tokens.
    token: Option<String>,
}

/// What is asked for one part of a check.
enum Asked {
    Number(Query),
    /// Raw points in the window, and the last ones before it.
    Points {
        inside: Query,
        before: Query,
    },
}

impl Asked {
    fn all(&self) -> Vec<&Query> {
        match self {
            Asked::Number(query) => vec![query],
            Asked::Points { inside, before } => vec![inside, before],
        }
    }
}

struct Plan<'a> {
    check: &'a Check,
    queries: Wanted<Asked>,
    token: Option<String>,
    empty: bool,
    /// What the server knows by now is from before the moment that counts: asked all the same, so that a server that
    /// cannot be read is known, and left out.
    early: bool,
}

impl Source {
    fn plan(&self, ask: &Ask, window: Window) -> Result<Plan<'_>, Fault> {
        let wrong = |why: String| Fault::permanent(PROVIDER, api::READ, ask.check.as_str(), why);
        let check = self.checks.get(&ask.check).ok_or_else(|| wrong("there is no such check".into()))?;
        let server = check.address.fill(&ask.words).map_err(wrong)?;
        Url::parse(&server).map_err(|e| wrong(format!("`url` is not a URL: {e}")))?;
        let token = match &check.token {
            Some(secret) => Some(secret.resolve(&*self.setting.env).map_err(wrong)?),
            None => None,
        };
        let query = |promql: String, time| Query {
            server: server.clone(),
            promql,
            time,
            token: token.as_deref().map(super::memory::digest),
        };
        let counts = !matches!(check.wanted, Wanted::Value(_));
        let early = window.not_before.is_some_and(|floor| floor > window.to);
        let window = if early { Window { not_before: None, ..window } } else { window };
        let length = window.length().as_millis();
        let queries = check.wanted.map(|text| {
            let filled = fill(text, &ask.words, in_quotes)?;
            Ok(match counts {
                false => Asked::Number(query(filled, window.to)),
                true => Asked::Points {
                    inside: query(format!("{filled}[{length}ms]"), window.to),
                    before: query(format!("last_over_time({filled}[1h])"), window.begin()),
                },
            })
        });
        Ok(Plan { check, queries: queries.map_err(wrong)?, empty: counts && length == 0, early, token })
    }
}

impl Plan<'_> {
    fn answer(&self, answers: &BTreeMap<&Query, Result<api::Data, Fault>>) -> Result<Sample, Fault> {
        let sample = self.sample(answers)?;
        Ok(if self.early { Sample::Empty } else { sample })
    }

    fn sample(&self, answers: &BTreeMap<&Query, Result<api::Data, Fault>>) -> Result<Sample, Fault> {
        if self.empty {
            return Ok(Sample::Empty);
        }
        let find = |query: &Query| match answers.get(query) {
            Some(answer) => answer.as_ref().map_err(Clone::clone),
            None => Err(api::wrong(query, "it was not asked")),
        };
        match &self.queries {
            Wanted::Value(Asked::Number(query)) => {
                let number = find(query)?.number().map_err(|why| api::wrong(query, why))?;
                Ok(number.map_or(Sample::Empty, |number| Sample::Gauge(self.check.unit.normal(number))))
            }
            Wanted::Ratio { bad, total } => {
                let total = points(total, find)?;
                let bad = points(bad, find)?;
                Ok(count::ratio(&bad, &total))
            }
            Wanted::Histogram { buckets, .. } => {
                let points = points(buckets, find)?;
                let wrong = |why| match buckets {
                    Asked::Number(query) | Asked::Points { inside: query, .. } => api::wrong(query, why),
                };
                count::histogram(&points, self.check.unit).map_err(wrong)
            }
            Wanted::Value(Asked::Points { inside, .. }) => Err(api::wrong(inside, "a value has no points")),
        }
    }
}

fn points<'a>(
    asked: &Asked,
    find: impl Fn(&Query) -> Result<&'a api::Data, Fault>,
) -> Result<count::Points<'a>, Fault> {
    match asked {
        Asked::Points { inside, before } => Ok(count::Points {
            inside: find(inside)?.matrix().map_err(|why| api::wrong(inside, why))?,
            before: find(before)?.vector().map_err(|why| api::wrong(before, why))?,
        }),
        Asked::Number(query) => Err(api::wrong(query, "points were not asked for")),
    }
}

/// A value inside a PromQL text. In a pattern (`=~`) its characters keep their meaning there.
fn in_quotes(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n")
}
