//! The cursor: which periods of each question were answered.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::port::Ask;

const VERSION: u32 = 1;
/// Periods that may still come late, of one question.
const MISSING_MAX: usize = 60;

/// What was answered, by question.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    version: u32,
    asks: BTreeMap<String, Answered>,
}

/// How far one question was answered, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// Periods that begin before this were answered.
    pub until: i64,
    /// Except for these, which had no number yet: their beginnings.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub missing: BTreeSet<i64>,
}

impl Memory {
    /// Reads a cursor; one of another shape is none.
    pub fn read(cursor: Option<&serde_json::Value>) -> Self {
        let kept = cursor.and_then(|cursor| Memory::deserialize(cursor).ok());
        kept.filter(|memory| memory.version == VERSION)
            .unwrap_or(Memory { version: VERSION, asks: BTreeMap::new() })
    }

    pub fn write(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }

    /// How far this question was answered; one that is new begins at `begin`.
    pub fn of(&mut self, ask: &Ask, begin: i64) -> &mut Answered {
        let key = format!("{}/{}/{}", ask.check, ask.target, ask.side);
        self.asks.entry(key).or_insert(Answered { until: begin, missing: BTreeSet::new() })
    }
}

impl Answered {
    /// The periods to ask for when all that end by `now` are complete: the new ones and those still missing. None where
    /// no new one is complete. `oldest` bounds how far back it goes.
    pub fn periods(&self, period: i64, now: i64, oldest: i64) -> BTreeSet<i64> {
        let end = floor(now, period);
        let first = ceil(self.until.max(oldest), period);
        let mut periods = BTreeSet::new();
        let mut start = first;
        while start < end {
            periods.insert(start);
            start += period;
        }
        if !periods.is_empty() {
            // of another grid are those of a check that has changed since
            periods.extend(self.missing.iter().filter(|start| **start < first && *start % period == 0));
        }
        periods
    }

    /// Notes that these were answered but for the `missing` ones, of which those before `forget` will not come any more.
    pub fn answered(&mut self, asked: &BTreeSet<i64>, missing: BTreeSet<i64>, period: i64, forget: i64) {
        let Some(last) = asked.last() else { return };
        self.until = self.until.max(last + period);
        self.missing = missing.into_iter().filter(|start| *start >= forget).rev().take(MISSING_MAX).collect();
    }
}

pub fn floor(time: i64, period: i64) -> i64 {
    time.div_euclid(period) * period
}

pub fn ceil(time: i64, period: i64) -> i64 {
    floor(time.saturating_add(period - 1), period)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(starts: &[i64]) -> BTreeSet<i64> {
        starts.iter().copied().collect()
    }

    #[test]
    fn only_whole_periods_after_the_beginning_are_asked_for() {
        let answered = Answered { until: 601, missing: BTreeSet::new() };
        assert_eq!(answered.periods(60, 719, 0), set(&[]), "660 to 720 is not over");
        assert_eq!(answered.periods(60, 720, 0), set(&[660]));
        assert_eq!(answered.periods(60, 799, 0), set(&[660, 720]));
        assert_eq!(answered.periods(60, 500, 0), set(&[]), "a clock that went back");
        assert_eq!(answered.periods(300, 1_250, 0), set(&[900]));
        assert_eq!(answered.periods(60, 860, 790), set(&[]), "what is too old is not asked for");
    }

    #[test]
    fn no_period_is_counted_twice_and_a_late_one_is_not_lost() {
        let mut answered = Answered { until: 600, missing: BTreeSet::new() };
        let asked = answered.periods(60, 720, 0);
        answered.answered(&asked, set(&[600]), 60, 300);
        assert_eq!(answered.periods(60, 779, 0), set(&[]), "nothing new, so nothing is asked");
        let asked = answered.periods(60, 780, 0);
        assert_eq!(asked, set(&[600, 720]));
        answered.answered(&asked, set(&[600]), 60, 660);
        assert_eq!(answered, Answered { until: 780, missing: set(&[]) }, "it will not come any more");
    }

    #[test]
    fn what_is_missing_is_bounded() {
        let mut answered = Answered::default();
        let asked = answered.periods(60, 60 * 1000, 0);
        assert_eq!(asked.len(), 1000);
        answered.answered(&asked, asked.clone(), 60, 0);
        assert_eq!((answered.missing.len(), answered.missing.first()), (MISSING_MAX, Some(&(60 * 940))));
    }
}
