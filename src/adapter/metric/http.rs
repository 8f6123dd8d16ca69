//! `http`: health probes, and single numbers from JSON answers.
//!
//! `http: /health` asks every instance of a side once per look; a whole URL is asked once. A probe that is refused, late
//! or answers something else than expected has failed: that is an answer, not a fault. `value` takes one number from what
//! a URL answers; there, no answer is a fault.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    adapter::web::{
        Address, BODY_BYTES_MAX, Expect, Pointed, Request, Usual, Web, address, concurrently, refusal, shown,
    },
    domain::{
        duration::Span,
        names::{EntryName, TargetName},
        sample::{Measure, Sample},
        template::Words,
        value::Unit,
    },
    port::{
        Ask, Context, Fault, Metric, Reach, Secret, Window,
        adapter::{Adapter, MetricAdapter, Setting, Shape},
        metric::Measured,
    },
};

pub struct Http;

const PROVIDER: &str = "http";
const READ: &str = "read the value";
/// The time limit of a probe where none is written.
pub const PROBE_LIMIT: Span = Span::from_secs(2);
/// Probes under way at the same time.
pub const PROBES_MAX: usize = 32;
const VALUE_LIMIT: Span = Span::from_secs(10);

/// A health probe, or a number in a JSON answer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A path that every instance of the side is asked for, or a whole URL that is asked once.
    path: Option<String>,
    /// What the probe's answer must be; status 200 unless it says otherwise.
    expect: Option<Expect>,
    /// The time limit of one request (2s; of a `value` 10s).
    within: Option<Span>,
    /// `URL#/pointer`: where a number stands in a JSON answer.
    value: Option<String>,
    /// Sent as `Authorization: Bearer`.
    token: Option<Secret>,
}

enum Wanted {
    Probe { address: Address, expect: Expect },
    Value(Pointed),
}

impl Config {
    fn wanted(&self) -> Result<Wanted, String> {
        match (&self.path, &self.value, &self.expect) {
            (Some(path), None, expect) => {
                Ok(Wanted::Probe { address: Address::new(path)?, expect: expect.clone().unwrap_or_default() })
            }
            (None, Some(_), Some(_)) => {
                Err("`expect` is for probes; a `value` is read or it is a fault".into())
            }
            (None, Some(value), None) => {
                let pointed = Pointed::new(value)?;
                match pointed.address.is_relative() {
                    false => Ok(Wanted::Value(pointed)),
                    true => Err("`value` needs a whole URL, such as https://…/credits#/left".into()),
                }
            }
            _ => Err("write either `path` (a probe) or `value` (a number)".into()),
        }
    }
}

impl Adapter for Http {
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "health probes of every instance, or a number from a JSON answer";
    const SHORT: Option<&'static str> = Some("path");
    type Config = Config;
}

impl MetricAdapter for Http {
    fn shape(config: &Config) -> Result<Shape, String> {
        Ok(match config.wanted()? {
            Wanted::Probe { .. } => Shape { measure: Measure::Probes, unit: Unit::RATIO },
            Wanted::Value(_) => Shape { measure: Measure::Gauge, unit: Unit::COUNT },
        })
    }

    fn connect(checks: Vec<(EntryName, Config)>, setting: &Setting) -> Result<Box<dyn Metric>, String> {
        let mut known = BTreeMap::new();
        for (name, config) in checks {
            let check = Check {
                wanted: config.wanted()?,
                within: config.within,
                token: config.token,
                unit: setting.units.get(&name).copied().unwrap_or(Unit::COUNT),
            };
            known.insert(name, check);
        }
        Ok(Box::new(Source { checks: known, setting: setting.clone(), web: Web::new(PROVIDER) }))
    }
}

struct Check {
    wanted: Wanted,
    within: Option<Span>,
    token: Option<Secret>,
    unit: Unit,
}

struct Source {
    checks: BTreeMap<EntryName, Check>,
    setting: Setting,
    web: Web,
}

#[async_trait]
impl Metric for Source {
    fn reach(&self, check: &EntryName, target: &TargetName) -> Reach {
        let none = BTreeSet::new();
        let (words, of_instances) = match self.checks.get(check).map(|check| &check.wanted) {
            Some(Wanted::Probe { address, .. }) => (address.words(), address.is_relative()),
            Some(Wanted::Value(pointed)) => (pointed.address.words(), false),
            None => (&none, false),
        };
        match self.checks.contains_key(check) {
            true => address::reach(words, of_instances, target, &self.setting.services),
            false => Reach::None,
        }
    }

    async fn measure(
        &self,
        cx: &Context,
        asks: &[Ask],
        _: Window,
        _: Option<&serde_json::Value>,
    ) -> Result<Measured, Fault> {
        let mut work = Vec::with_capacity(asks.len());
        for ask in asks {
            work.push(self.answer(cx, ask));
        }
        Ok(Measured { samples: concurrently(PROBES_MAX, work).await, cursor: None })
    }
}

impl Source {
    async fn answer(&self, cx: &Context, ask: &Ask) -> Result<Sample, Fault> {
        let wrong = |why: String| Fault::permanent(PROVIDER, READ, ask.check.as_str(), why);
        let check = self.checks.get(&ask.check).ok_or_else(|| wrong("there is no such check".into()))?;
        let token = match &check.token {
            Some(secret) => Some(secret.resolve(&*self.setting.env).map_err(wrong)?),
            None => None,
        };
        let request = |url: String| match &token {
            Some(token) => Request::get(url).bearer(token).map_err(wrong),
            None => Ok(Request::get(url)),
        };
        match &check.wanted {
            Wanted::Probe { address, expect } => {
                let within = check.within.unwrap_or(PROBE_LIMIT);
                let probe = Probe { web: &self.web, expect, words: &ask.words, within };
                let mut work = Vec::new();
                for url in address.urls(ask).map_err(wrong)? {
                    work.push(probe.ask(cx, request(url)?));
                }
                let asked = work.len();
                let failed =
                    concurrently(PROBES_MAX, work).await.iter().filter(|answer| answer.is_err()).count();
                let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                match asked {
                    0 => Ok(Sample::Empty),
                    _ => Ok(Sample::Probes { asked: count(asked), failed: count(failed) }),
                }
            }
            Wanted::Value(pointed) => {
                let url = pointed.address.fill(&ask.words).map_err(wrong)?;
                let object = shown(&url);
                let cx = cx.within(check.within.unwrap_or(VALUE_LIMIT).get());
                let response = self.web.ask(&cx, READ, request(url)?, BODY_BYTES_MAX).await?;
                if let Some((treat, why)) = refusal(response.status) {
                    return Err(Fault::new(treat, PROVIDER, READ, object, why));
                }
                let number =
                    pointed.number(&response).map_err(|why| Fault::permanent(PROVIDER, READ, object, why))?;
                Ok(number.map_or(Sample::Empty, |number| Sample::Gauge(check.unit.normal(number))))
            }
        }
    }
}

/// One way to ask an instance whether it is well.
pub(crate) struct Probe<'a> {
    pub web: &'a Web,
    pub expect: &'a Expect,
    pub words: &'a Words,
    pub within: Span,
}

impl Probe<'_> {
    /// `Err` is why it is not well.
    pub(crate) async fn ask(&self, cx: &Context, request: Request) -> Result<(), String> {
        let cx = cx.within(self.within.get());
        let answer = self.web.ask(&cx, "probe", request, BODY_BYTES_MAX).await;
        let response = answer.map_err(|fault| fault.detail)?;
        match self.expect.unmet(Usual::Ok, self.words, &response) {
            None => Ok(()),
            Some(unmet) => Err(unmet),
        }
    }
}
