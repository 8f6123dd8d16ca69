//! Numbers that HAProxy itself counts, server by server, for services that stand behind it.

mod counters;
mod preset;
#[cfg(test)]
mod tests;

pub use preset::Preset;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

use crate::{
    adapter::{
        haproxy_api::{
            PROVIDER, Socket,
            tables::{Table, Unreadable, info},
        },
        target::haproxy as target,
    },
    document::de::from_node,
    domain::{
        names::{EntryName, TargetName},
        sample::Sample,
    },
    port::{
        Ask, Context, Fault, Metric, Reach, Treat, Window,
        adapter::{Adapter, MetricAdapter, Setting, Shape},
        metric::Measured,
    },
};
use counters::{Counters, Cursor, Process, Reading};

/// Numbers of HAProxy's own for services whose target is `haproxy`, taken from their socket and backend; a
/// socket of level `user` is enough.
///
/// Counts are what came between two looks. When HAProxy was reloaded or its counters were cleared in
/// between, they are what came since, and what came before is lost. Where no server can be reached at all,
/// HAProxy answers 503 by itself; that belongs to no side and is not seen here.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub preset: Preset,
}

pub struct Haproxy {
    presets: BTreeMap<EntryName, Preset>,
    places: BTreeMap<TargetName, Place>,
}

/// Where the counters of a service are.
struct Place {
    socket: Socket,
    backend: String,
    sides: target::Sides,
}

impl Adapter for Haproxy {
    const NAME: &'static str = "haproxy";
    const SUMMARY: &'static str = "errors and times as HAProxy counts them, for services behind it";
    const SHORT: Option<&'static str> = Some("preset");
    type Config = Config;
}

impl MetricAdapter for Haproxy {
    fn shape(config: &Config) -> Result<Shape, String> {
        Ok(config.preset.shape())
    }

    fn connect(checks: Vec<(EntryName, Config)>, setting: &Setting) -> Result<Box<dyn Metric>, String> {
        let mut places = BTreeMap::new();
        for service in setting.services.iter().filter(|s| s.kind == target::Haproxy::NAME) {
            let path = format!("services.{}.{}", service.name, service.kind);
            let config: target::Config = from_node(&service.options, &path).map_err(|e| e.to_string())?;
            let place = Place {
                socket: Socket::parse(&config.socket, &setting.base)?,
                backend: config.backend.to_string(),
                sides: config.sides,
            };
            places.insert(service.name.clone(), place);
        }
        if places.is_empty() {
            return Err("no service has a `haproxy` target, so there is nothing to read".into());
        }
        let presets = checks.into_iter().map(|(name, config)| (name, config.preset)).collect();
        Ok(Box::new(Haproxy { presets, places }))
    }
}

#[async_trait]
impl Metric for Haproxy {
    fn reach(&self, check: &EntryName, target: &TargetName) -> Reach {
        match self.presets.contains_key(check) && self.places.contains_key(target) {
            true => Reach::Sides,
            false => Reach::None,
        }
    }

    async fn measure(
        &self,
        cx: &Context,
        asks: &[Ask],
        _: Window,
        cursor: Option<&serde_json::Value>,
    ) -> Result<Measured, Fault> {
        // a cursor of another version is no cursor
        let before: Cursor = cursor.and_then(|c| serde_json::from_value(c.clone()).ok()).unwrap_or_default();
        let sockets: BTreeSet<_> =
            asks.iter().filter_map(|ask| Some(&self.places.get(&ask.target)?.socket)).collect();
        let mut answers = BTreeMap::new();
        for socket in sockets {
            answers.insert(socket, ask(cx, socket).await);
        }
        if let Some(fault) = all_failed(&answers) {
            return Err(fault);
        }
        let mut after = Cursor::default();
        let targets: BTreeSet<_> = asks.iter().map(|ask| &ask.target).collect();
        for target in targets {
            let Some(place) = self.places.get(target) else { continue };
            let reading = match answers.get(&place.socket) {
                Some(Ok(answer)) => answer.reading(place).ok(),
                _ => None,
            };
            // where this look failed, the next one counts from the last that did not
            if let Some(reading) = reading.or_else(|| before.targets.get(target).cloned()) {
                after.targets.insert(target.clone(), reading);
            }
        }
        let samples = asks.iter().map(|ask| self.sample(ask, &answers, &before)).collect();
        let cursor = serde_json::to_value(&after).ok();
        Ok(Measured { samples, cursor })
    }
}

impl Haproxy {
    fn sample(
        &self,
        ask: &Ask,
        answers: &BTreeMap<&Socket, Result<Answer, Fault>>,
        before: &Cursor,
    ) -> Result<Sample, Fault> {
        let refuse =
            |why: String| Fault::permanent(PROVIDER, "read the counters", ask.target.to_string(), why);
        let (Some(preset), Some(place)) = (self.presets.get(&ask.check), self.places.get(&ask.target)) else {
            return Err(refuse(format!("check {} does not know it", ask.check)));
        };
        let Some(side) = place.sides.0.iter().find(|side| side.name == ask.side) else {
            return Err(refuse(format!("there is no side {}", ask.side)));
        };
        let answer = match answers.get(&place.socket) {
            Some(Ok(answer)) => answer,
            Some(Err(fault)) => return Err(fault.clone()),
            None => return Err(refuse("it was not asked".into())),
        };
        let now = answer.reading(place)?;
        let came = before.targets.get(&ask.target).map(|before| now.since(before));
        let servers: Vec<_> = side
            .servers
            .iter()
            .filter_map(|server| {
                let came = came.as_ref().and_then(|came| came.get(server.as_str()));
                Some((now.servers.get(server.as_str())?, came))
            })
            .collect();
        Ok(preset.sample(&servers))
    }
}

/// What a socket answered.
struct Answer {
    process: Process,
    stat: Table,
    object: String,
}

async fn ask(cx: &Context, socket: &Socket) -> Result<Answer, Fault> {
    const OPERATION: &str = "read the counters";
    let object = socket.to_string();
    let answer = socket.call(cx, "show info;show stat -1 6 -1").await;
    let answer = answer.map_err(|failed| failed.reading(OPERATION, &object))?;
    let unreadable = |why: Unreadable| Fault::new(why.treat, PROVIDER, OPERATION, &object, why.detail);
    let stat = Table::stat(&answer).map_err(unreadable)?;
    Ok(Answer { process: Process::of(&info(&answer)), stat, object })
}

impl Answer {
    fn reading(&self, place: &Place) -> Result<Reading, Fault> {
        let rows = self.stat.rows().filter(|r| r.text("pxname") == place.backend);
        let servers: BTreeMap<_, _> = rows.map(|r| (r.text("svname"), Counters::of(r))).collect();
        let wanted = place.sides.0.iter().flat_map(|side| &side.servers);
        let mut found = BTreeMap::new();
        for server in wanted {
            let Some(counters) = servers.get(server.as_str()) else {
                let detail = format!("backend {} has no server {server}", place.backend);
                return Err(Fault::permanent(PROVIDER, "read the counters", &self.object, detail));
            };
            found.insert(server.to_string(), counters.clone());
        }
        Ok(Reading { process: self.process.clone(), servers: found })
    }
}

/// The fault of a call in which no socket could be read; one that may go away, if there is one.
fn all_failed(answers: &BTreeMap<&Socket, Result<Answer, Fault>>) -> Option<Fault> {
    if answers.values().any(Result::is_ok) {
        return None;
    }
    let faults = || answers.values().filter_map(|answer| answer.as_ref().err());
    faults().find(|fault| fault.treat == Treat::Temporary).or_else(|| faults().next()).cloned()
}
