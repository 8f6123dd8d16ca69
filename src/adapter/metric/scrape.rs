//! `scrape`: numbers from pages in the Prometheus text format, counted from look to look.
//!
//! - `value` of a counter is the events since the last look, of a gauge its value now (the mean over several pages).
//! - `bad` and `total` are events since the last look; `total` counts all of them, the bad ones included.
//! - `histogram` is the observations since the last look, by bucket.
//!
//! A counter is what `# TYPE` calls one; where it says nothing, a name that ends in `_total`, `_count`, `_sum` or
//! `_bucket`. A counter without series counts 0 as long as its metric is on the page at all, else nothing is known.
//! A page's first look only begins, so what an instance counted before is never taken for news. Only whole events are
//! reported.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    exposition::Kind,
    memory::{Memory, Page, digest},
    selector::{Filter, Selector},
    wanted::{Buckets, Percentile, Wanted, one_or_list, unit_of, whole},
};
use crate::{
    adapter::web::{Address, CONCURRENT_MAX, Request, Web, address, concurrently},
    domain::{
        names::{EntryName, TargetName},
        sample::{Measure, Sample},
        value::Unit,
    },
    port::{
        Ask, Context, Fault, Metric, Reach, Window,
        adapter::{Adapter, MetricAdapter, Setting, Shape},
        metric::Measured,
    },
};

mod page;

use page::Catch;

pub struct Scrape;

const PROVIDER: &str = "scrape";
const READ: &str = "read the metrics";

/// Pages in the Prometheus text format.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// One URL or several. A path such as `/metrics` is asked of every instance of the side.
    #[schemars(schema_with = "one_or_list")]
    url: Vec<String>,
    /// A counter or a gauge: `queue_depth{queue="mail"}`.
    value: Option<String>,
    /// The bad events: `http_requests_total{code=~"5.."}`.
    bad: Option<String>,
    /// All events, the bad ones included.
    total: Option<String>,
    /// A histogram without its `_bucket`: `http_request_duration_seconds`.
    histogram: Option<String>,
    /// The percentile of the histogram: `p95`.
    at: Option<Percentile>,
    /// Labels that every series must have: `{side: "{{side}}"}`.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl Config {
    fn wanted(&self) -> Result<Wanted<Selector>, String> {
        let wanted = Wanted::of(&self.value, (&self.bad, &self.total), (&self.histogram, self.at))?;
        let is_histogram = matches!(wanted, Wanted::Histogram { .. });
        wanted.map(|text| {
            let mut selector = Selector::new(text)?;
            if is_histogram && !selector.metric.ends_with("_bucket") {
                selector.metric.push_str("_bucket");
            }
            for (label, value) in &self.labels {
                crate::domain::template::words_of(value)?;
                selector = selector.and(label, value);
            }
            Ok(selector)
        })
    }
}

impl Adapter for Scrape {
    const NAME: &'static str = "scrape";
    const SUMMARY: &'static str = "counters, gauges and histograms from a /metrics page";
    type Config = Config;
}

impl MetricAdapter for Scrape {
    fn shape(config: &Config) -> Result<Shape, String> {
        let wanted = config.wanted()?;
        let metric = wanted.parts().first().map_or("", |selector| selector.metric.as_str());
        let value = if named_counter(metric) { Measure::Events } else { Measure::Gauge };
        Ok(wanted.shape(value, unit_of(metric)))
    }

    fn connect(checks: Vec<(EntryName, Config)>, setting: &Setting) -> Result<Box<dyn Metric>, String> {
        let mut known = BTreeMap::new();
        for (name, config) in checks {
            let shape = Self::shape(&config)?;
            if config.url.is_empty() {
                return Err(format!("{name}: `url` names no page"));
            }
            let check = Check {
                wanted: config.wanted()?,
                addresses: config.url.iter().map(|url| Address::new(url)).collect::<Result<_, _>>()?,
                unit: setting.units.get(&name).copied().unwrap_or(shape.unit),
            };
            known.insert(name, check);
        }
        Ok(Box::new(Source { checks: known, setting: setting.clone(), web: Web::new(PROVIDER) }))
    }
}

struct Check {
    wanted: Wanted<Selector>,
    addresses: Vec<Address>,
    unit: Unit,
}

struct Source {
    checks: BTreeMap<EntryName, Check>,
    setting: Setting,
    web: Web,
}

/// What one ask needs.
struct Plan<'a> {
    check: &'a Check,
    /// Of the ask in the cursor.
    key: String,
    filters: Wanted<Filter>,
    urls: Vec<String>,
}

#[async_trait]
impl Metric for Source {
    fn reach(&self, check: &EntryName, target: &TargetName) -> Reach {
        let Some(check) = self.checks.get(check) else {
            return Reach::None;
        };
        let mut words: std::collections::BTreeSet<String> =
            check.addresses.iter().flat_map(|address| address.words().clone()).collect();
        words.extend(check.wanted.parts().into_iter().flat_map(Selector::words));
        let of_instances = check.addresses.iter().any(Address::is_relative);
        address::reach(&words, of_instances, target, &self.setting.services)
    }

    async fn measure(
        &self,
        cx: &Context,
        asks: &[Ask],
        _: Window,
        cursor: Option<&serde_json::Value>,
    ) -> Result<Measured, Fault> {
        let plans: Vec<Result<Plan<'_>, Fault>> = asks.iter().map(|ask| self.plan(ask)).collect();
        // each page is read once, for all that is wanted of it
        let mut pages: BTreeMap<&str, Vec<&Filter>> = BTreeMap::new();
        for plan in plans.iter().flatten() {
            for url in &plan.urls {
                pages.entry(url).or_default().extend(plan.filters.parts());
            }
        }
        let mut work = Vec::with_capacity(pages.len());
        for (url, filters) in &pages {
            work.push(page::read(&self.web, cx, Request::get(*url), filters));
        }
        let read = concurrently(CONCURRENT_MAX, work).await;
        let mut read: BTreeMap<&str, Result<std::vec::IntoIter<Catch>, Fault>> =
            pages.keys().copied().zip(read.into_iter().map(|page| page.map(Vec::into_iter))).collect();

        let mut memory = Memory::read(cursor);
        let mut asked = Vec::new();
        let mut samples = Vec::with_capacity(plans.len());
        for plan in &plans {
            let plan = match plan {
                Ok(plan) => plan,
                Err(fault) => {
                    samples.push(Err(fault.clone()));
                    continue;
                }
            };
            // takes every page's part in the order it was ordered, also where another page failed
            let mut caught = Vec::with_capacity(plan.urls.len());
            let mut failed = None;
            for url in &plan.urls {
                match read.get_mut(url.as_str()) {
                    Some(Ok(catches)) => {
                        let parts = plan.filters.map(|_| catches.next().ok_or(()));
                        caught.extend(parts.ok().map(|parts| (url.as_str(), parts)));
                    }
                    Some(Err(fault)) => failed = Some(fault.clone()),
                    None => {}
                }
            }
            samples.push(match failed {
                Some(fault) => Err(fault),
                None => answer(plan, caught, &mut memory)
                    .map_err(|why| Fault::permanent(PROVIDER, READ, plan.urls_shown(), why)),
            });
            asked.push(plan.key.clone());
        }
        let cursor =
            memory.write(&asked).map_err(|why| Fault::permanent(PROVIDER, READ, "all pages", why))?;
        Ok(Measured { samples, cursor: Some(cursor) })
    }
}

impl Source {
    fn plan(&self, ask: &Ask) -> Result<Plan<'_>, Fault> {
        let wrong = |why: String| Fault::permanent(PROVIDER, READ, ask.check.as_str(), why);
        let check = self.checks.get(&ask.check).ok_or_else(|| wrong("there is no such check".into()))?;
        let mut urls = Vec::new();
        for address in &check.addresses {
            urls.extend(address.urls(ask).map_err(wrong)?);
        }
        urls.sort();
        urls.dedup();
        Ok(Plan {
            check,
            key: format!("{}/{}/{}", ask.check, ask.target, ask.side),
            filters: check.wanted.map(|selector| selector.fill(&ask.words)).map_err(wrong)?,
            urls,
        })
    }
}

impl Plan<'_> {
    fn urls_shown(&self) -> String {
        let shown: Vec<_> = self.urls.iter().take(3).map(|url| crate::adapter::web::shown(url)).collect();
        shown.join(", ")
    }
}

/// What the pages of one ask say together.
fn answer(
    plan: &Plan<'_>,
    caught: Vec<(&str, Wanted<Catch>)>,
    memory: &mut Memory,
) -> Result<Sample, String> {
    if let Wanted::Value(filter) = &plan.filters {
        let typed = caught.iter().find_map(|(_, part)| part.parts().first().and_then(|catch| catch.kind));
        if !is_counter(&filter.metric, typed) {
            return gauge(plan, &caught);
        }
    }
    let mut came = Came::default();
    for (url, catch) in &caught {
        let raw: Page = catch.parts().iter().flat_map(|part| part.page()).collect();
        let since = memory.advance(&plan.key, url, &raw);
        came.known |= match catch {
            Wanted::Ratio { total, .. } => total.known,
            Wanted::Value(part) | Wanted::Histogram { buckets: part, .. } => part.known,
        };
        let Some(since) = since else {
            continue;
        };
        came.begun = true;
        match catch {
            Wanted::Value(part) => came.total += part.sum(&since),
            Wanted::Ratio { bad, total } => {
                came.bad += bad.sum(&since);
                came.total += total.sum(&since);
            }
            Wanted::Histogram { buckets, .. } => {
                for (series, caught) in &buckets.series {
                    let le = caught.le.ok_or("a bucket has no `le`, or one that is not a number")?;
                    came.buckets.add(le, since.get(series).copied().unwrap_or_default());
                    came.any_bucket = true;
                }
            }
        }
    }
    came.sample(&plan.filters, plan.check.unit)
}

/// What came since the last look.
#[derive(Default)]
struct Came {
    /// Whether any page was looked at before.
    begun: bool,
    /// Whether the metric is on any page.
    known: bool,
    bad: f64,
    total: f64,
    buckets: Buckets,
    any_bucket: bool,
}

impl Came {
    fn sample(self, wanted: &Wanted<Filter>, unit: Unit) -> Result<Sample, String> {
        if !self.begun || !self.known {
            return Ok(Sample::Empty);
        }
        Ok(match wanted {
            Wanted::Value(_) => Sample::Events(whole(self.total)),
            // a page is not written in one instant: a bad event may be counted just before it is counted at all
            Wanted::Ratio { .. } => {
                Sample::Counts { bad: whole(self.bad), total: whole(self.total.max(self.bad)) }
            }
            Wanted::Histogram { .. } if !self.any_bucket => Sample::Empty,
            Wanted::Histogram { .. } => Sample::Histogram(self.buckets.histogram(unit)?),
        })
    }
}

/// The value now; the mean over several pages, so that sides of different size can be compared.
fn gauge(plan: &Plan<'_>, caught: &[(&str, Wanted<Catch>)]) -> Result<Sample, String> {
    let mut values = Vec::new();
    for (_, catch) in caught {
        for part in catch.parts() {
            if part.series.len() > 1 {
                return Err(format!("{} series match; narrow them to one with labels", part.series.len()));
            }
            values.extend(part.series.values().map(|series| series.raw));
        }
    }
    if values.iter().any(|value| value.is_infinite()) {
        return Err("the value is infinite, which cannot be compared".into());
    }
    if values.is_empty() {
        return Ok(Sample::Empty);
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    Ok(Sample::Gauge(plan.check.unit.normal(mean)))
}

fn named_counter(metric: &str) -> bool {
    ["_total", "_count", "_sum", "_bucket"].iter().any(|suffix| metric.ends_with(suffix))
}

fn is_counter(metric: &str, typed: Option<Kind>) -> bool {
    match typed {
        Some(Kind::Counter) => true,
        Some(Kind::Gauge) => false,
        Some(Kind::Histogram | Kind::Summary | Kind::Other) | None => named_counter(metric),
    }
}

/// A stable name of a series: its metric and its labels in order.
fn series_name(metric: &str, labels: &super::selector::Labels<'_>) -> String {
    let mut sorted: Vec<_> = labels.iter().collect();
    sorted.sort();
    let mut text = metric.to_string();
    for (name, value) in sorted {
        text.push_str(&format!("\u{0}{name}\u{0}{value}"));
    }
    digest(&text)
}
