//! Adapters enough for every section, the same whatever else is built: messages list what there is.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    adapter::{command, journal, metric, target},
    domain::{
        names::{EntryName, TargetName},
        record::Artifact,
        sample::Measure,
        value::Unit,
    },
    port::{
        Ask, Command, Context, Database, Fault, Finding, Found, Metric, Output, Progress, Reach, Secret,
        SqlAddress, Task, Window,
        adapter::{Adapter, CommandAdapter, DatabaseAdapter, MetricAdapter, Setting, Shape},
        metric::Measured,
    },
    registry::{CommandKind, DatabaseKind, JournalKind, MetricKind, Registry, TargetKind},
};

pub(super) static REGISTRY: Registry = Registry {
    targets: &[TargetKind::of::<target::haproxy::Haproxy>()],
    databases: &[DatabaseKind::of::<Postgres>()],
    metrics: &[
        MetricKind::of::<metric::haproxy::Haproxy>(),
        MetricKind::of::<metric::target::TargetHealth>(),
        MetricKind::of::<Probe>(),
        MetricKind::of::<Scrape>(),
    ],
    commands: &[
        CommandKind::of::<command::run::Run>(),
        CommandKind::of::<command::sql::Sql>(),
        CommandKind::of::<Http>(),
    ],
    journals: &[JournalKind::of::<journal::file::FileJournal>()],
    notifiers: &[],
};

/// A database whose only option is a secret.
struct Postgres;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PostgresConfig {
    /// Where it is.
    url: Secret,
    /// Tables to leave out.
    #[serde(default)]
    #[allow(dead_code)]
    without: Vec<String>,
}

impl Adapter for Postgres {
    const NAME: &'static str = "postgres";
    const SUMMARY: &'static str = "a database for tests";
    type Config = PostgresConfig;
}

impl DatabaseAdapter for Postgres {
    fn connect(_: &EntryName, _: PostgresConfig, _: &Setting) -> Result<Box<dyn Database>, String> {
        Ok(Box::new(Postgres))
    }

    fn sql(config: &PostgresConfig, _: &Setting) -> Option<SqlAddress> {
        Some(SqlAddress::Postgres { url: config.url.clone() })
    }
}

#[async_trait]
impl Database for Postgres {
    async fn find(&self, _: &Context, _: &str) -> Result<Found, Fault> {
        unreachable!()
    }
    async fn snapshot(&self, _: &Context, _: &str, _: &dyn Progress) -> Result<Artifact, Fault> {
        unreachable!()
    }
    async fn verify(&self, _: &Context, _: &Artifact) -> Result<(), Fault> {
        unreachable!()
    }
    async fn restore(
        &self,
        _: &Context,
        _: &Artifact,
        _: &str,
        _: &dyn Progress,
    ) -> Result<Vec<String>, Fault> {
        unreachable!()
    }
    async fn list(&self, _: &Context) -> Result<Vec<Artifact>, Fault> {
        unreachable!()
    }
    async fn delete(&self, _: &Context, _: &Artifact) -> Result<(), Fault> {
        unreachable!()
    }
    async fn preflight(&self, _: &Context) -> Vec<Finding> {
        unreachable!()
    }
}

/// Health probes.
struct Probe;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct ProbeConfig {
    path: String,
    /// What the answer must be.
    expect: Option<serde_json::Value>,
}

impl Adapter for Probe {
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "probes for tests";
    const SHORT: Option<&'static str> = Some("path");
    type Config = ProbeConfig;
}

impl MetricAdapter for Probe {
    fn shape(_: &ProbeConfig) -> Result<Shape, String> {
        Ok(Shape { measure: Measure::Probes, unit: Unit::RATIO })
    }
    fn connect(_: Vec<(EntryName, ProbeConfig)>, _: &Setting) -> Result<Box<dyn Metric>, String> {
        Ok(Box::new(Probe))
    }
}

/// Quantiles of a histogram in seconds.
struct Scrape;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct ScrapeConfig {
    url: String,
    histogram: String,
    #[serde(default = "p95")]
    at: String,
    headers: Option<std::collections::BTreeMap<String, Secret>>,
}

fn p95() -> String {
    "p95".into()
}

impl Adapter for Scrape {
    const NAME: &'static str = "scrape";
    const SUMMARY: &'static str = "a histogram for tests";
    type Config = ScrapeConfig;
}

impl MetricAdapter for Scrape {
    fn shape(config: &ScrapeConfig) -> Result<Shape, String> {
        match config.at.as_str() {
            "p95" => Ok(Shape { measure: Measure::Quantile(0.95), unit: Unit::SECONDS }),
            other => Err(format!("`{other}` is not a quantile")),
        }
    }
    fn connect(_: Vec<(EntryName, ScrapeConfig)>, _: &Setting) -> Result<Box<dyn Metric>, String> {
        Ok(Box::new(Probe))
    }
}

#[async_trait]
impl Metric for Probe {
    fn reach(&self, _: &EntryName, _: &TargetName) -> Reach {
        Reach::None
    }
    async fn measure(
        &self,
        _: &Context,
        _: &[Ask],
        _: Window,
        _: Option<&serde_json::Value>,
    ) -> Result<Measured, Fault> {
        unreachable!()
    }
}

/// A request with anything in it.
struct Http;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct HttpConfig {
    request: String,
    json: Option<serde_json::Value>,
    expect: Option<serde_json::Value>,
}

impl Adapter for Http {
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "a request for tests";
    const SHORT: Option<&'static str> = Some("request");
    type Config = HttpConfig;
}

impl CommandAdapter for Http {
    const SECTIONS: &'static [&'static str] = &["smoke"];
    fn connect(_: HttpConfig, _: &Setting) -> Result<Box<dyn Command>, String> {
        Ok(Box::new(Http))
    }
}

#[async_trait]
impl Command for Http {
    async fn run(&self, _: &Context, _: &Task, _: &dyn Progress) -> Result<Output, Fault> {
        unreachable!()
    }
}
