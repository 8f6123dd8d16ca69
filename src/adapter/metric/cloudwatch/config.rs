//! The options of a check, and the question they put.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    preset::Preset,
    query::{Query, Stat, Use},
    wanted::{Term, Wanted},
};
use crate::{
    adapter::aws::Access,
    domain::{duration::Span, template::words_of},
};

pub(super) const PERIOD: Span = Span::from_secs(60);
/// Periods divide it; in seconds.
pub(super) const HOUR: i64 = 3600;

/// Numbers from CloudWatch: a preset, or series of your own. Write one of `preset`, `bad` with `total`, `count`, `value`,
/// `histogram` with `at`, or `alarm`.
///
/// A side is known by its dimensions: `{{side}}`, `{{version}}`, or what its target calls it, as in
/// `{{label.target_group}}` and `{{label.load_balancer}}` (`ecs_alb`), `{{label.cluster}}` and `{{label.service}}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    preset: Option<Preset>,
    /// A series of bad events.
    bad: Option<Query>,
    /// A series of all events, the bad ones included. Where it has a number and `bad` has none, nothing was bad.
    total: Option<Query>,
    /// A series of bad events where all of them are not known, as in `more than 10 in 5m`; with `total` no number means
    /// none of them, without it no number means that nothing is known.
    count: Option<Query>,
    /// A series of values; of several periods the mean.
    value: Option<Query>,
    /// A metric of which a percentile is wanted.
    histogram: Option<Query>,
    /// The percentile of `histogram`: `p95`.
    at: Option<Stat>,
    /// Name or ARN of an alarm: 1 while it rings, as in `above 0`. One that rang before the release opened and has not
    /// stopped since counts as silent; without enough data it says nothing.
    pub(super) alarm: Option<String>,
    /// What one number stands for (1m): whole minutes that divide an hour.
    pub(super) period: Option<Span>,
    /// How long after its end a period's number is complete (2m).
    pub(super) lag: Option<Span>,
    /// Who asks, and where (the same as the service's target).
    pub(super) aws: Option<Access>,
}

/// What a check asks.
pub(super) enum Question {
    Preset(Preset),
    Series(Wanted<Term>),
    Alarm(String),
}

impl Config {
    pub(super) fn question(&self) -> Result<Question, String> {
        let series = |name: &str, query: &Query, wanted: Use<'_>| {
            query
                .series(wanted)
                .map(|series| vec![Term::of(series)])
                .map_err(|why| format!("`{name}`: {why}"))
        };
        let events = |name: &str, query: &Query| series(name, query, Use::Events);
        let chosen = (&self.preset, &self.bad, &self.count, &self.value, &self.histogram, &self.alarm);
        match (chosen, &self.total, &self.at) {
            ((Some(preset), None, None, None, None, None), None, None) => Ok(Question::Preset(preset.clone())),
            ((None, Some(bad), None, None, None, None), Some(total), None) => Ok(Question::Series(Wanted::Ratio {
                bad: events("bad", bad)?,
                total: events("total", total)?,
            })),
            ((None, None, Some(count), None, None, None), total, None) => Ok(Question::Series(Wanted::Events {
                bad: events("count", count)?,
                total: total.as_ref().map_or(Ok(Vec::new()), |total| events("total", total))?,
            })),
            ((None, None, None, Some(value), None, None), None, None) => {
                Ok(Question::Series(Wanted::Value(series("value", value, Use::Value)?)))
            }
            ((None, None, None, None, Some(histogram), None), None, Some(at)) if at.is_percentile() => {
                Ok(Question::Series(Wanted::Value(series("histogram", histogram, Use::At(at))?)))
            }
            ((None, None, None, None, Some(_), None), None, _) => {
                Err("`histogram` needs a percentile, such as `at: p95`".into())
            }
            ((None, None, None, None, None, Some(alarm)), None, None) => {
                words_of(alarm)?;
                match alarm.trim() {
                    "" => Err("`alarm` names no alarm".into()),
                    alarm => Ok(Question::Alarm(alarm.to_string())),
                }
            }
            ((None, Some(_), None, None, None, None), None, _) => {
                Err("`bad` needs `total`: what it is a part of; or write `count`".into())
            }
            ((None, None, None, None, None, None), Some(_), _) => {
                Err("`total` needs `bad`: the part that is counted".into())
            }
            _ => Err("write one of `preset`, `bad` with `total`, `count`, `value`, `histogram` with `at`, or `alarm`".into()),
        }
    }

    /// In seconds.
    pub(super) fn period(&self) -> Result<i64, String> {
        let period = self.period.unwrap_or(PERIOD).get();
        match i64::try_from(period.as_millis()) {
            Ok(ms) if ms >= 60_000 && ms % 60_000 == 0 && HOUR * 1000 % ms == 0 => Ok(ms / 1000),
            _ => Err("`period` must be whole minutes that divide an hour: 1m, 5m, 10m, …, 1h".into()),
        }
    }
}
