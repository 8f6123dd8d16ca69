//! A number that an SQL query answers.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use tokio::task::JoinSet;

use crate::{
    adapter::sql_client::Session,
    domain::{
        names::{EntryName, TargetName},
        sample::{Measure, Sample},
        template::{self, Words, words_of},
        value::Unit,
    },
    port::{
        Ask, Context, Fault, Metric, Reach, SqlAddress, Window,
        adapter::{Adapter, Environment, MetricAdapter, Setting, Shape},
        excerpt,
        metric::Measured,
    },
};

/// The first value of the first row of a query, asked read-only at each poll.
///
/// NULL and no row at all are no data; true is 1 and false is 0. A query without `{{…}}` says something of
/// the whole and is asked once; with `{{service}}` once per service; with `{{side}}`, `{{version}}` or
/// `{{role}}` once per side, so that bounds can speak of the baseline.
pub struct Sql {
    checks: BTreeMap<EntryName, Check>,
    /// The one that is asked about where the query names no service.
    first: Option<TargetName>,
    env: Environment,
}

struct Check {
    query: String,
    words: BTreeSet<String>,
    database: EntryName,
    address: SqlAddress,
    unit: Unit,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// One statement. What `{{…}}` stands for may hold letters, digits and `. _ : + / -` only.
    query: String,
    /// The entry under `databases` to ask; not needed where there is only one.
    #[serde(default)]
    database: Option<EntryName>,
}

impl Adapter for Sql {
    const NAME: &'static str = "sql";
    const SUMMARY: &'static str = "The number an SQL query answers";
    const SHORT: Option<&'static str> = Some("query");
    type Config = Config;
}

impl MetricAdapter for Sql {
    fn shape(config: &Config) -> Result<Shape, String> {
        words_of(&config.query)?;
        Ok(Shape { measure: Measure::Gauge, unit: Unit::COUNT })
    }

    fn connect(checks: Vec<(EntryName, Config)>, setting: &Setting) -> Result<Box<dyn Metric>, String> {
        let mut known = BTreeMap::new();
        for (name, config) in checks {
            let (database, address) =
                address(config.database.as_ref(), setting).map_err(|e| format!("{name}: {e}"))?;
            let words = words_of(&config.query).map_err(|e| format!("{name}: {e}"))?;
            let unit = setting.units.get(&name).copied().unwrap_or(Unit::COUNT);
            known.insert(name, Check { query: config.query, words, database, address, unit });
        }
        let first = setting.services.first().map(|s| s.name.clone());
        Ok(Box::new(Sql { checks: known, first, env: setting.env.clone() }))
    }
}

#[async_trait]
impl Metric for Sql {
    fn reach(&self, check: &EntryName, target: &TargetName) -> Reach {
        let Some(check) = self.checks.get(check) else { return Reach::None };
        let asks = |word: &str| check.words.contains(word);
        if asks("side") || asks("version") || asks("role") {
            Reach::Sides
        } else if asks("service") || self.first.as_ref() == Some(target) {
            Reach::Whole
        } else {
            Reach::None
        }
    }

    async fn measure(
        &self,
        cx: &Context,
        asks: &[Ask],
        _window: Window,
        _cursor: Option<&serde_json::Value>,
    ) -> Result<Measured, Fault> {
        let mut by_database: BTreeMap<&EntryName, (&SqlAddress, Vec<Question>)> = BTreeMap::new();
        let mut samples: Vec<Option<Result<Sample, Fault>>> = Vec::new();
        for (place, ask) in asks.iter().enumerate() {
            let fault = |why| Fault::permanent("sql", "ask", ask.check.to_string(), why);
            let question = match self.checks.get(&ask.check) {
                None => Err(fault("this check is not known here".to_string())),
                Some(check) => fill(&check.query, &ask.words).map_err(fault).map(|query| (check, query)),
            };
            samples.push(match question {
                Err(fault) => Some(Err(fault)),
                Ok((check, query)) => {
                    let (_, questions) =
                        by_database.entry(&check.database).or_insert_with(|| (&check.address, Vec::new()));
                    questions.push(Question { place, query, unit: check.unit });
                    None
                }
            });
        }
        // Databases at the same time: one that hangs does not keep the others from answering.
        let mut running = JoinSet::new();
        for (address, questions) in by_database.into_values() {
            running.spawn(answer(cx.clone(), address.clone(), self.env.clone(), questions));
        }
        while let Some(done) = running.join_next().await {
            for (place, answer) in done.unwrap_or_default() {
                if let Some(sample) = samples.get_mut(place) {
                    *sample = Some(answer);
                }
            }
        }
        let lost = || Err(Fault::temporary("sql", "ask", "a database", "the question was lost"));
        let samples = samples.into_iter().map(|s| s.unwrap_or_else(lost)).collect();
        Ok(Measured { samples, cursor: None })
    }
}

struct Question {
    place: usize,
    query: String,
    unit: Unit,
}

/// Asks one database everything over one connection.
async fn answer(
    cx: Context,
    address: SqlAddress,
    env: Environment,
    questions: Vec<Question>,
) -> Vec<(usize, Result<Sample, Fault>)> {
    let mut answers = Vec::with_capacity(questions.len());
    let mut session = match Session::open(&cx, &address, &env).await {
        Ok(session) => session,
        Err(fault) => return questions.into_iter().map(|q| (q.place, Err(fault.clone()))).collect(),
    };
    let mut open = u32::try_from(questions.len()).unwrap_or(u32::MAX);
    for question in questions {
        // A slow one leaves the others their share of the time.
        let answer = session.ask(&cx.within(cx.left() / open.max(1)), &question.query).await;
        open = open.saturating_sub(1);
        let sample = answer.and_then(|answer| match answer.number() {
            Ok(Some(number)) => Ok(Sample::Gauge(question.unit.normal(number))),
            Ok(None) => Ok(Sample::Empty),
            Err(why) => Err(Fault::permanent("sql", "ask", question.query.trim(), why)),
        });
        answers.push((question.place, sample));
    }
    answers
}

/// The database an entry means: the named one, or the only one.
pub fn address(name: Option<&EntryName>, setting: &Setting) -> Result<(EntryName, SqlAddress), String> {
    let known = || match setting.sql.is_empty() {
        true => "no entry under `databases` speaks SQL".to_string(),
        false => {
            let names: Vec<_> = setting.sql.keys().map(EntryName::as_str).collect();
            format!("databases that speak SQL: {}", names.join(", "))
        }
    };
    let mut all = setting.sql.iter();
    let found = match name {
        Some(name) => {
            setting.sql.get_key_value(name).ok_or_else(|| format!("database `{name}` is not there"))
        }
        None => match (all.next(), all.next()) {
            (Some(only), None) => Ok(only),
            _ => Err("`database` is missing".to_string()),
        },
    };
    found.map(|(name, address)| (name.clone(), address.clone())).map_err(|why| format!("{why}; {}", known()))
}

/// Fills a query in. Inside quotes or outside, no value can end what it stands in or begin a comment;
/// others are refused rather than escaped, since only the server knows where they stand.
pub fn fill(query: &str, words: &Words) -> Result<String, String> {
    for word in words_of(query)? {
        let Some(value) = words.get(&word) else { continue };
        let harmless = |c: char| c.is_ascii_alphanumeric() || "._:+/-".contains(c);
        if !value.chars().all(harmless) || value.contains("--") {
            let shown = excerpt(value, 60);
            return Err(format!(
                "{{{{{word}}}}} is `{shown}`; in SQL it may hold letters, digits and . _ : + / - only, and no --"
            ));
        }
    }
    template::fill(query, words, str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_values_are_filled_in() {
        let words = |value: &str| Words::default().with("version", value);
        let query = "select 1 where v = '{{version}}'";
        let filled = fill(query, &words("v1.2.3+build/7:x"));
        assert_eq!(filled.as_deref(), Ok("select 1 where v = 'v1.2.3+build/7:x'"));
        for bad in ["1' or '1", "a--b", "a;b", "a b", "ü", "a\\", "$1", "\n"] {
            assert!(fill(query, &words(bad)).is_err(), "{bad}");
        }
        assert!(fill(query, &Words::default()).is_err());
    }
}
