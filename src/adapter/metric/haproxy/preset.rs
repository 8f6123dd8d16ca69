//! The questions that HAProxy's own numbers answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::counters::Counters;
use crate::{
    domain::{
        sample::{Measure, Sample},
        value::Unit,
    },
    port::adapter::Shape,
};

/// What to ask HAProxy for:
///
/// - `errors`: the part of the requests that failed: answered with 5xx, not answered, cut off, or not
///   connected after all retries (in `mode tcp` the last three, of all connections). A retry that
///   succeeded is no error.
/// - `5xx`: answers of the service with a 5xx, counted; not those that HAProxy made up for it.
/// - `response_time`: the mean time to answer, of the last 1024 requests of each server, so it moves slowly
///   where there is little traffic; nothing where no request was answered since the last look.
/// - `queue`: requests waiting for the side's servers.
/// - `sessions`: sessions under way at the side's servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("enum" = ["errors", "5xx", "response_time", "queue", "sessions"]))]
pub enum Preset {
    Errors,
    FiveXx,
    ResponseTime,
    Queue,
    Sessions,
}

const PRESETS: [(&str, Preset); 5] = [
    ("errors", Preset::Errors),
    ("5xx", Preset::FiveXx),
    ("response_time", Preset::ResponseTime),
    ("queue", Preset::Queue),
    ("sessions", Preset::Sessions),
];

impl TryFrom<String> for Preset {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if let Some((_, preset)) = PRESETS.iter().find(|(name, _)| *name == text) {
            return Ok(*preset);
        }
        let known: Vec<_> = PRESETS.iter().map(|(name, _)| *name).collect();
        let known = known.join(", ");
        let quantile = text.strip_prefix('p').is_some_and(|n| n.parse::<f64>().is_ok());
        Err(if quantile || text.starts_with("latency") {
            format!(
                "HAProxy keeps no `{text}`, only a mean (`response_time`): ask a histogram of the service itself, \
                 `scrape: {{url: …, histogram: …, at: {}}}`",
                if quantile { &text } else { "p95" }
            )
        } else {
            format!("HAProxy has no preset `{text}`; known: {known}")
        })
    }
}

impl From<Preset> for String {
    fn from(preset: Preset) -> String {
        let name = PRESETS.iter().find(|(_, p)| *p == preset).map(|(name, _)| *name);
        name.unwrap_or_default().to_string()
    }
}

impl Preset {
    pub fn shape(self) -> Shape {
        let shape = |measure, unit| Shape { measure, unit };
        match self {
            Preset::Errors => shape(Measure::Ratio, Unit::RATIO),
            Preset::FiveXx => shape(Measure::Events, Unit::COUNT),
            Preset::ResponseTime => shape(Measure::Gauge, Unit::SECONDS),
            Preset::Queue | Preset::Sessions => shape(Measure::Gauge, Unit::COUNT),
        }
    }

    /// The answer for a side whose servers show this now, and what came since the last look, if there was one.
    pub fn sample(self, servers: &[(&Counters, Option<&Counters>)]) -> Sample {
        let now = |part: fn(&Counters) -> u64| {
            Sample::Gauge(servers.iter().map(|(now, _)| part(now)).fold(0, u64::saturating_add) as f64)
        };
        match self {
            Preset::Queue => return now(|c| c.queued),
            Preset::Sessions => return now(|c| c.sessions),
            Preset::Errors | Preset::FiveXx | Preset::ResponseTime => {}
        }
        let Some(came) = servers.iter().map(|(_, came)| *came).collect::<Option<Vec<_>>>() else {
            return Sample::Empty;
        };
        let sum = |part: fn(&Counters) -> u64| came.iter().map(|c| part(c)).fold(0, u64::saturating_add);
        match self {
            Preset::Errors => match sum(Counters::total) {
                0 => Sample::Empty,
                total => Sample::Counts { bad: sum(Counters::bad), total },
            },
            Preset::FiveXx => match came.iter().any(|c| c.answered.is_some()) {
                true => Sample::Events(sum(|c| c.failed)),
                // in `mode tcp` nobody reads status codes
                false => Sample::Empty,
            },
            _ => mean_response(servers),
        }
    }
}

/// The mean of the servers' means, each weighed by what it answered since the last look.
fn mean_response(servers: &[(&Counters, Option<&Counters>)]) -> Sample {
    let answered = |came: Option<&Counters>| came.and_then(|c| c.answered).unwrap_or(0) as f64;
    let total: f64 = servers.iter().map(|(_, came)| answered(*came)).sum();
    if total == 0.0 {
        return Sample::Empty;
    }
    let sum: f64 = servers.iter().map(|(now, came)| now.response_ms as f64 * answered(*came)).sum();
    Sample::Gauge(sum / total / 1000.0)
}
