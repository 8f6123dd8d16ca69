//! Plain bounds: the numbers seen against the sentences of the file.
//!
//! - Without `for`, counts and histograms are judged over the whole watch, gauges by their newest value
//!   (compared with the baseline: by the means of both).
//! - With `for`, every complete poll of the trailing time must be beyond the level, at least two of them.
//! - Below `needs` events nothing passes. It may fail earlier by curtailment: when so many bad events have
//!   come that even if all further ones up to `needs` were good, the bound would be broken.

use std::time::Duration;

use super::series::millis;
use crate::domain::{
    bound::{Bound, Direction, Level},
    check::Check,
    names::TargetName,
    record::{Poll, Series},
    sample::{Measure, Sample},
    verdict::{Judgement, Verdict},
};

/// A gauge is compared with its baseline only from this many values on each side.
const GAUGE_VALUES_MIN: u64 = 2;

/// What one bound says.
#[derive(Clone, Debug, PartialEq)]
struct Reading {
    answer: Answer,
    candidate: Option<f64>,
    baseline: Option<f64>,
    limit: Option<f64>,
    recorded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Within,
    Broken,
    /// Not enough was seen to say.
    Open(&'static str),
}

/// Judges one check of one target by all that was seen so far. `recorded` is what the baseline showed
/// before the shift; `watched` the time since the split was confirmed.
pub fn judge(
    check: &Check,
    target: &TargetName,
    series: &Series,
    recorded: Option<&Sample>,
    watched: Duration,
) -> Judgement {
    let look = Look { check, series, recorded, watched_ms: millis(watched) };
    let fails: Vec<(&Bound, Reading)> = check.fail.iter().map(|b| (b, look.read(b))).collect();
    let warns: Vec<(&Bound, Reading)> = check.warn.iter().map(|b| (b, look.read(b))).collect();
    let broken = |r: &&(&Bound, Reading)| r.1.answer == Answer::Broken;
    let warned = warns.iter().any(|r| broken(&r));
    let open = fails.iter().find_map(|(_, r)| match r.answer {
        Answer::Open(why) => Some(why),
        _ => None,
    });
    let (verdict, why) = if fails.iter().any(|r| broken(&r)) {
        (Verdict::Fail, None)
    } else if let Some(why) = look.too_little().or(open) {
        (Verdict::Insufficient, Some(why))
    } else {
        (Verdict::Pass, None)
    };
    let shown = fails.iter().find(broken).or(warns.iter().find(broken)).or(fails.first()).or(warns.first());
    let (bound, reading) = match shown {
        Some((bound, reading)) => (bound.to_string(), reading.clone()),
        None => (String::new(), look.plain()),
    };
    Judgement {
        check: check.name.clone(),
        target: target.clone(),
        verdict,
        warned,
        sentence: look.sentence(&bound, &reading, verdict, warned, why),
        kind: check.kind,
        candidate: reading.candidate,
        baseline: reading.baseline,
        bound,
        limit: reading.limit,
        events: series.candidate.events(),
        against_recorded: reading.recorded,
        shadow: check.shadow,
        decides: !check.fail.is_empty(),
    }
}

struct Look<'a> {
    check: &'a Check,
    series: &'a Series,
    recorded: Option<&'a Sample>,
    watched_ms: u64,
}

impl Look<'_> {
    fn read(&self, bound: &Bound) -> Reading {
        match bound {
            Bound::MoreThan { events, within } => {
                let sum: u64 = self
                    .trailing(millis(within.get()))
                    .map(|p| p.candidate.bad())
                    .fold(0, u64::saturating_add);
                let answer = if sum > *events { Answer::Broken } else { Answer::Within };
                Reading {
                    answer,
                    candidate: Some(sum as f64),
                    baseline: None,
                    limit: Some(*events as f64),
                    recorded: false,
                }
            }
            Bound::FailuresInARow(n) => {
                let asked = self.series.polls.iter().rev().filter(|p| p.candidate != Sample::Empty);
                let run = asked.take_while(|p| p.candidate.bad() > 0).count();
                let answer = if run >= *n as usize { Answer::Broken } else { Answer::Within };
                Reading {
                    answer,
                    candidate: Some(run as f64),
                    baseline: None,
                    limit: Some(f64::from(*n)),
                    recorded: false,
                }
            }
            Bound::Beyond { direction, level, hold: Some(span) } => {
                self.held(*direction, level, millis(span.get()))
            }
            Bound::Beyond { direction, level, hold: None } => self.overall(*direction, level),
        }
    }

    /// Over the whole watch.
    fn overall(&self, direction: Direction, level: &Level) -> Reading {
        let measure = self.check.measure;
        let absolute_gauge = measure == Measure::Gauge && !level.needs_baseline();
        let candidate = match absolute_gauge {
            true => self.series.polls.iter().rev().find_map(|p| p.candidate.number(measure)),
            false => self.series.candidate_number(measure),
        };
        let (baseline, base_events, recorded) = self.reference();
        let limit = level.limit(baseline);
        let mut reading = Reading {
            answer: Answer::Within,
            candidate,
            baseline: baseline.filter(|_| level.needs_baseline()),
            limit,
            recorded: recorded && level.needs_baseline(),
        };
        reading.answer = match (candidate, limit) {
            (None, _) => Answer::Open("the candidate showed nothing"),
            (_, None) => Answer::Open("there is no baseline to compare with"),
            (Some(number), Some(limit)) => {
                let beyond = direction.beyond(number, limit);
                match self.thin(level, base_events) {
                    Some(_)
                        if beyond
                            && self.decided_early(direction, limit)
                            && base_events_suffice(level, base_events, self.check.needs) =>
                    {
                        Answer::Broken
                    }
                    Some(why) => Answer::Open(why),
                    None if beyond => Answer::Broken,
                    None => Answer::Within,
                }
            }
        };
        reading
    }

    /// Too few events to compare numbers, and on which side.
    fn thin(&self, level: &Level, base_events: u64) -> Option<&'static str> {
        match self.check.measure {
            Measure::Ratio | Measure::Quantile(_) => {
                if self.series.candidate.events() < self.check.needs {
                    Some("too few events of the candidate")
                } else if !base_events_suffice(level, base_events, self.check.needs) {
                    Some("too few events of the baseline")
                } else {
                    None
                }
            }
            Measure::Gauge
                if level.needs_baseline()
                    && (self.series.candidate_values.1 < GAUGE_VALUES_MIN
                        || base_events < GAUGE_VALUES_MIN) =>
            {
                Some("too few values to compare")
            }
            _ => None,
        }
    }

    /// Whether the bad events already seen break the bound even if all others up to `needs` were good.
    fn decided_early(&self, direction: Direction, limit: f64) -> bool {
        self.check.measure == Measure::Ratio
            && direction == Direction::Above
            && self.series.candidate.bad() as f64 > limit * self.check.needs as f64
    }

    /// Every complete poll of the trailing time.
    fn held(&self, direction: Direction, level: &Level, hold_ms: u64) -> Reading {
        let measure = self.check.measure;
        let (overall, _, recorded) = self.reference();
        let mut reading = Reading {
            answer: Answer::Within,
            candidate: None,
            baseline: None,
            limit: level.limit(overall),
            recorded: recorded && level.needs_baseline(),
        };
        let (mut polls, mut all_beyond) = (0u32, true);
        for poll in self.trailing(hold_ms) {
            let Some(number) = poll.candidate.number(measure) else {
                continue;
            };
            let baseline = if recorded { overall } else { poll.baseline.number(measure).or(overall) };
            let Some(limit) = level.limit(baseline) else {
                continue;
            };
            polls += 1;
            all_beyond &= direction.beyond(number, limit);
            reading.candidate = Some(number);
            reading.limit = Some(limit);
            reading.baseline = baseline.filter(|_| level.needs_baseline());
        }
        reading.answer = if polls == 0 {
            Answer::Open(if reading.limit.is_none() {
                "there is no baseline to compare with"
            } else {
                "the candidate showed nothing"
            })
        } else if all_beyond && polls >= 2 && self.watched_ms >= hold_ms {
            Answer::Broken
        } else {
            Answer::Within
        };
        reading
    }

    /// The complete polls of the trailing time, oldest first.
    fn trailing(&self, window_ms: u64) -> impl Iterator<Item = &Poll> {
        let start_ms = self.watched_ms.saturating_sub(window_ms);
        self.series.polls.iter().filter(move |p| p.from_ms >= start_ms)
    }

    /// The baseline's number, the events behind it, and whether it was recorded earlier.
    fn reference(&self) -> (Option<f64>, u64, bool) {
        let measure = self.check.measure;
        let live = self.series.baseline_number(measure).filter(|_| !self.check.against_recorded);
        match (live, self.recorded) {
            (Some(number), _) => {
                let events = if measure == Measure::Gauge {
                    self.series.baseline_values.1
                } else {
                    self.series.baseline.events()
                };
                (Some(number), events, false)
            }
            (None, Some(sample)) => {
                let events = if measure == Measure::Gauge { GAUGE_VALUES_MIN } else { sample.events() };
                (sample.number(measure), events, true)
            }
            (None, None) => (None, 0, false),
        }
    }

    /// What keeps a check from passing whatever its bounds say.
    fn too_little(&self) -> Option<&'static str> {
        let events = self.series.candidate.events();
        match self.check.measure {
            Measure::Ratio | Measure::Quantile(_) if events == 0 => Some("the candidate showed nothing"),
            Measure::Ratio | Measure::Quantile(_) if events < self.check.needs => {
                Some("too few events of the candidate")
            }
            _ if self.series.candidate == Sample::Empty => Some("the candidate showed nothing"),
            _ => None,
        }
    }

    fn plain(&self) -> Reading {
        Reading {
            answer: Answer::Within,
            candidate: self.series.candidate_number(self.check.measure),
            baseline: None,
            limit: None,
            recorded: false,
        }
    }

    fn sentence(
        &self,
        bound: &str,
        reading: &Reading,
        verdict: Verdict,
        warned: bool,
        why: Option<&'static str>,
    ) -> String {
        let show = |n: f64| match bound.starts_with("more than") || bound.contains("in a row") {
            true => format!("{n}"),
            false => self.check.kind.show(n),
        };
        let seen = match (&self.series.candidate, reading.candidate) {
            (_, None) => "nothing seen".to_string(),
            (Sample::Counts { bad, total }, Some(n)) => format!("{} ({bad} of {total})", show(n)),
            (Sample::Histogram(h), Some(n)) => format!("{} ({} observations)", show(n), h.total()),
            (_, Some(n)) => show(n),
        };
        let against = match (reading.baseline, reading.recorded) {
            (Some(b), true) => format!(", baseline {} (against recorded)", show(b)),
            (Some(b), false) => format!(", baseline {}", show(b)),
            (None, _) => String::new(),
        };
        let bound = if bound.is_empty() { String::new() } else { format!("; bound: {bound}") };
        let state = match (verdict, why) {
            (Verdict::Fail, _) => "broken".to_string(),
            (_, Some(why)) if why.contains("too few events of the candidate") => {
                format!("{why} ({} of {} needed)", self.series.candidate.events(), self.check.needs)
            }
            (_, Some(why)) => why.to_string(),
            (_, None) if warned => "warned".to_string(),
            (_, None) => "within".to_string(),
        };
        format!("{}: {seen}{against}{bound}: {state}", self.check.name)
    }
}

fn base_events_suffice(level: &Level, base_events: u64, needs: u64) -> bool {
    !level.needs_baseline() || base_events >= needs
}

#[cfg(test)]
#[path = "threshold_tests.rs"]
mod tests;
