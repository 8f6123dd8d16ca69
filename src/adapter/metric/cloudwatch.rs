//! Numbers from CloudWatch: presets for AWS's own services, any metric, metric math, alarms.
//!
//! CloudWatch keeps a number for each period, and for some time that number is still growing. So only periods count that
//! begin after the watch began and ended longer ago than `lag`; the cursor says which were answered, so that none counts
//! twice and one without a number may still come late. Between two periods nothing is asked, and the answer is empty. All
//! checks and sides go out in one call, all alarms in another.

mod alarm;
mod config;
mod data;
mod memory;
mod preset;
mod query;
mod wanted;
mod way;

pub use config::Config;
pub use preset::Preset;
pub use query::Query;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, join, join_all};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    adapter::aws::{Access, Aws, PROVIDER},
    document::de::from_node,
    domain::{
        duration::Span,
        names::{EntryName, Role, TargetName},
        sample::{Measure, Sample},
        template::{fill, words_of},
        value::Unit,
    },
    port::{
        Ask, Context, Fault, Metric, Reach, Window,
        adapter::{Adapter, MetricAdapter, ServiceSetting, Setting, Shape},
        metric::Measured,
    },
};
use config::{PERIOD, Question};
use data::Answers;
use memory::Memory;
use preset::Family;
use query::Series;
use wanted::{Points, Term, Wanted};
use way::Way;

const OPERATION: &str = "read the metrics";
/// AWS's services publish every minute, and a minute's number is complete a minute or two after it.
const LAG: Span = Span::from_secs(120);
/// A period without a number is asked for again for so long.
const LATE: i64 = 300;
/// What is recorded of the baseline goes back so far: it served before the release opened.
const RECORDED: i64 = 900;
/// CloudWatch keeps periods of a minute for fifteen days.
const KEPT: i64 = 14 * 86_400;

pub struct CloudWatch;

impl Adapter for CloudWatch {
    const NAME: &'static str = "cloudwatch";
    const SUMMARY: &'static str =
        "errors, times and use of AWS services, metric math and alarms from CloudWatch";
    const SHORT: Option<&'static str> = Some("preset");
    type Config = Config;
}

impl MetricAdapter for CloudWatch {
    fn shape(config: &Config) -> Result<Shape, String> {
        config.period()?;
        let shape = |measure, unit| Ok(Shape { measure, unit });
        match config.question()? {
            Question::Preset(preset) => Ok(preset.shape()),
            Question::Series(Wanted::Ratio { .. } | Wanted::Requests(_)) => {
                shape(Measure::Ratio, Unit::RATIO)
            }
            Question::Series(Wanted::Events { .. }) => shape(Measure::Events, Unit::COUNT),
            Question::Series(Wanted::Value(terms)) => {
                shape(Measure::Gauge, terms.first().map_or(Unit::COUNT, |term| term.series.unit()))
            }
            Question::Alarm(_) => shape(Measure::Gauge, Unit::COUNT),
        }
    }

    fn interval(config: &Config) -> Duration {
        match config.alarm {
            Some(_) => Duration::ZERO,
            None => config.period.unwrap_or(PERIOD).get(),
        }
    }

    fn connect(checks: Vec<(EntryName, Config)>, setting: &Setting) -> Result<Box<dyn Metric>, String> {
        let mut known = BTreeMap::new();
        for (name, config) in checks {
            let shape = Self::shape(&config)?;
            let question = config.question()?;
            if let Question::Preset(preset) = &question {
                let kinds = preset.family().kinds();
                if !setting.services.iter().any(|service| kinds.contains(&service.kind)) {
                    return Err(format!(
                        "{name}: no service has a target of the kind {}, so this preset has nothing to read",
                        kinds.join(" or ")
                    ));
                }
            }
            let check = Check {
                question,
                period: config.period()?,
                lag: seconds(config.lag.unwrap_or(LAG).get()),
                unit: setting.units.get(&name).copied().unwrap_or(shape.unit),
                access: config.aws,
            };
            known.insert(name, check);
        }
        let series = known.values().filter(|check| !matches!(check.question, Question::Alarm(_)));
        let lag = series.map(|check| check.lag).max().unwrap_or(0);
        Ok(Box::new(Source { checks: known, setting: setting.clone(), lag }))
    }
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_millis().div_ceil(1000)).unwrap_or(i64::MAX / 2)
}

struct Check {
    question: Question,
    /// Seconds.
    period: i64,
    /// Seconds.
    lag: i64,
    unit: Unit,
    access: Option<Access>,
}

impl Check {
    /// The words its texts ask for.
    fn words(&self) -> BTreeSet<String> {
        // each was read once before
        match &self.question {
            Question::Preset(_) => BTreeSet::new(),
            Question::Series(wanted) => {
                wanted.parts().iter().flat_map(|term| term.series.words().unwrap_or_default()).collect()
            }
            Question::Alarm(alarm) => words_of(alarm).unwrap_or_default(),
        }
    }
}

struct Source {
    checks: BTreeMap<EntryName, Check>,
    setting: Setting,
    /// Of the check that waits longest, in seconds.
    lag: i64,
}

#[async_trait]
impl Metric for Source {
    fn reach(&self, check: &EntryName, target: &TargetName) -> Reach {
        let services = &self.setting.services;
        let (Some(check), Some(service)) =
            (self.checks.get(check), services.iter().find(|service| &service.name == target))
        else {
            return Reach::None;
        };
        let sides = |reached| if reached { Reach::Sides } else { Reach::None };
        if let Question::Preset(preset) = &check.question {
            return sides(preset.family().kinds().contains(&service.kind));
        }
        let words = check.words();
        let by_side = |word: &String| {
            ["side", "version", "role"].contains(&word.as_str()) || word.starts_with("label.")
        };
        if words.iter().any(by_side) {
            sides(words.iter().all(|word| is_told_by(word, service.kind)))
        } else if words.contains("service") || services.first().is_some_and(|first| &first.name == target) {
            Reach::Whole
        } else {
            Reach::None
        }
    }

    async fn measure(
        &self,
        cx: &Context,
        asks: &[Ask],
        window: Window,
        cursor: Option<&serde_json::Value>,
    ) -> Result<Measured, Fault> {
        let mut memory = Memory::read(cursor);
        let moment = Moment {
            begin: window.from.as_second().saturating_add(self.lag),
            now: window.to.as_second().saturating_add(self.lag),
            recording: asks.iter().all(|ask| ask.role == Role::Baseline),
            first: cursor.is_none() && window.from >= window.to,
        };
        let plans: Vec<_> = asks.iter().map(|ask| self.plan(ask, asks, moment, &mut memory)).collect();
        let ways = Way::of(plans.iter().flatten());
        let mut work = Vec::with_capacity(ways.len());
        for way in ways.values() {
            let (series, alarms): (BoxFuture<'_, _>, BoxFuture<'_, _>) =
                (Box::pin(way.series(cx)), Box::pin(way.alarms(cx)));
            work.push(join(series, alarms));
        }
        let answers = join_all(work).await;
        let answers: BTreeMap<&String, (Answers, alarm::Alarms)> = ways.keys().zip(answers).collect();
        let mut samples = Vec::with_capacity(asks.len());
        for (ask, plan) in asks.iter().zip(&plans) {
            let sample = match plan {
                Ok(plan) => plan.answer(ask, &answers, moment, &mut memory),
                Err(fault) => Err(fault.clone()),
            };
            samples.push(sample);
        }
        match samples.iter().all(Result::is_err).then(|| samples.first().cloned()).flatten() {
            Some(Err(fault)) => Err(fault),
            _ => Ok(Measured { samples, cursor: memory.write() }),
        }
    }

    fn lag(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.lag).unwrap_or_default())
    }
}

/// Whether a target of this kind tells the label that `word` names. Of other kinds nothing is known.
fn is_told_by(word: &str, kind: &str) -> bool {
    let family = match word.strip_prefix("label.") {
        Some("load_balancer" | "target_group") => Family::Alb,
        Some("cluster") => Family::Ecs,
        Some("functions" | "alias" | "versions") => Family::Lambda,
        _ => return true,
    };
    family.kinds().contains(&kind)
}

/// When a question is asked.
#[derive(Clone, Copy)]
struct Moment {
    /// Where a question that is new begins, in seconds.
    begin: i64,
    now: i64,
    /// Only the baseline is asked: what it showed is to be recorded.
    recording: bool,
    /// A first look at no time at all only begins.
    first: bool,
}

/// What one ask needs.
struct Plan<'a> {
    check: &'a Check,
    /// The way into AWS, and what it is called.
    aws: (String, Arc<Aws>),
    part: Part,
}

enum Part {
    Series {
        wanted: Wanted<Term>,
        /// Beginnings of the periods to ask for; none where no new one is complete.
        periods: BTreeSet<i64>,
    },
    Alarm {
        name: String,
        /// What began before is not this release's doing.
        opened: Timestamp,
    },
}

impl Source {
    fn plan(&self, ask: &Ask, asks: &[Ask], moment: Moment, memory: &mut Memory) -> Result<Plan<'_>, Fault> {
        let wrong = |why: String| {
            Fault::permanent(
                PROVIDER,
                OPERATION,
                format!("{} of {} {}", ask.check, ask.target, ask.side),
                why,
            )
        };
        let check = self.checks.get(&ask.check).ok_or_else(|| wrong("there is no such check".into()))?;
        let aws = self.aws(check, &ask.target).map_err(wrong)?;
        let wanted = match &check.question {
            Question::Alarm(alarm) => {
                let begun = memory.of(ask, moment.begin).until;
                let name = fill(alarm, &ask.words, str::to_string).map_err(wrong)?;
                let opened = ask.opened.or_else(|| Timestamp::new(begun, 0).ok()).unwrap_or_default();
                return Ok(Plan { check, aws, part: Part::Alarm { name, opened } });
            }
            Question::Preset(preset) => preset.wanted(&ask.labels).map_err(|why| {
                wrong(why).hint("narrow the check to the services it is meant for: `service: NAME`")
            })?,
            Question::Series(wanted) => wanted
                .map(|term| Ok(Term::of(term.series.fill(&ask.words)?)))
                .map_err(|why: String| wrong(why))?,
        };
        let other =
            |other: &Ask| other.check == ask.check && other.target == ask.target && other.side != ask.side;
        let alone = !asks.iter().any(other);
        let wanted = wanted.map(|term| {
            Ok::<_, Fault>(Term { series: term.series.clone(), alone: term.alone.clone().filter(|_| alone) })
        })?;
        let begin = moment.begin - if moment.recording { RECORDED } else { 0 };
        let complete = moment.now.saturating_sub(check.lag);
        let answered = memory.of(ask, begin);
        let periods = match moment.first {
            true => BTreeSet::new(),
            false => answered.periods(check.period, complete, moment.now - KEPT),
        };
        Ok(Plan { check, aws, part: Part::Series { wanted, periods } })
    }

    /// The check's own way into AWS, else that of the service it is asked of.
    fn aws(&self, check: &Check, target: &TargetName) -> Result<(String, Arc<Aws>), String> {
        let access = match &check.access {
            Some(access) => access.clone(),
            None => self
                .setting
                .services
                .iter()
                .find(|s| &s.name == target)
                .map_or(Ok(Access::default()), of_target)?,
        };
        let name = serde_json::to_string(&access).unwrap_or_default();
        Ok((name, Aws::shared(&access, &self.setting)))
    }
}

fn of_target(service: &ServiceSetting) -> Result<Access, String> {
    match service.options.get("aws") {
        Some(node) => from_node(node, &format!("services.{}.{}.aws", service.name, service.kind))
            .map_err(|e| e.to_string()),
        None => Ok(Access::default()),
    }
}

impl Plan<'_> {
    fn answer(
        &self,
        ask: &Ask,
        answers: &BTreeMap<&String, (Answers, alarm::Alarms)>,
        moment: Moment,
        memory: &mut Memory,
    ) -> Result<Sample, Fault> {
        let unasked = || Fault::temporary(PROVIDER, OPERATION, ask.check.as_str(), "it was not asked");
        let (answers, alarms) = answers.get(&self.aws.0).ok_or_else(unasked)?;
        let (wanted, periods) = match &self.part {
            Part::Alarm { name, opened } => return alarm::sample(alarms, name, *opened),
            Part::Series { wanted, periods } => (wanted, periods),
        };
        let Some(last) = periods.last() else { return Ok(Sample::Empty) };
        let points = |series: &Series| -> Result<&Points, Fault> {
            let answer = answers.get(&(series.clone(), self.check.period)).ok_or_else(unasked)?;
            answer.as_ref().map_err(Clone::clone)
        };
        let known = wanted.map(|term| {
            Ok::<_, Fault>(Term {
                series: points(&term.series)?,
                alone: term.alone.as_ref().map(points).transpose()?,
            })
        })?;
        let (sample, missing) = known.sample(periods, self.check.unit);
        let forget = last.min(&moment.now) - LATE;
        memory.of(ask, moment.begin).answered(periods, missing, self.check.period, forget);
        Ok(sample)
    }
}
