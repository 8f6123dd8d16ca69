//! What goes out with one identity to one region: one call for all series, one for all alarms.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Part, Plan, alarm,
    config::HOUR,
    data::{self, Answers, Interval, Key},
    memory::{ceil, floor},
};
use crate::{adapter::aws::Aws, port::Context};

/// What is asked with one identity in one region.
pub struct Way {
    aws: Arc<Aws>,
    keys: BTreeSet<Key>,
    names: BTreeSet<String>,
    interval: Option<Interval>,
}

impl Way {
    pub(super) fn of<'a>(plans: impl Iterator<Item = &'a Plan<'a>>) -> BTreeMap<String, Way> {
        let mut ways: BTreeMap<String, Way> = BTreeMap::new();
        for plan in plans {
            let (name, aws) = &plan.aws;
            let way = ways.entry(name.clone()).or_insert_with(|| Way {
                aws: aws.clone(),
                keys: BTreeSet::new(),
                names: BTreeSet::new(),
                interval: None,
            });
            match &plan.part {
                Part::Alarm { name, .. } => {
                    way.names.insert(name.clone());
                }
                Part::Series { wanted, periods } => {
                    let (Some(first), Some(last)) = (periods.first(), periods.last()) else { continue };
                    let (from, to) = (*first, last + plan.check.period);
                    let known = way.interval.unwrap_or(Interval { from, to });
                    way.interval = Some(Interval { from: known.from.min(from), to: known.to.max(to) });
                    for term in wanted.parts() {
                        way.keys.extend(term.all().map(|series| (series.clone(), plan.check.period)));
                    }
                }
            }
        }
        ways
    }

    pub async fn series(&self, cx: &Context) -> Answers {
        let Some(interval) = self.interval else { return Answers::new() };
        let mixed = self.keys.iter().any(|(_, period)| Some(period) != self.keys.first().map(|(_, p)| p));
        // periods begin where the interval does: where they differ, at an hour, which all of them divide
        let interval = match mixed {
            true => Interval { from: floor(interval.from, HOUR), to: ceil(interval.to, HOUR) },
            false => interval,
        };
        data::read(&self.aws, cx, &self.keys, interval).await
    }

    pub async fn alarms(&self, cx: &Context) -> alarm::Alarms {
        match self.names.is_empty() {
            true => Ok(BTreeMap::new()),
            false => alarm::read(&self.aws, cx, &self.names).await,
        }
    }
}
