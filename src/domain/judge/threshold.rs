//! Plain bounds: the numbers seen against the sentences of the file.
//!
//! - Gauges are compared by their newest value (with a baseline: by the means of both).
//! - With `for`, every complete poll of the trailing time must be beyond the level, at least two of them.
//! - Events and probes are counted.
//!
//! A fixed level that was broken before the release already is lifted to what is tolerated of it.

use super::{
    Frame,
    series::{millis, pooled},
    verdict::{Answer, Reading, Why},
};
use crate::domain::{
    bound::{Bound, Direction, Level},
    record::{Poll, Series},
    sample::{Measure, Sample},
};

/// A gauge is compared with its baseline only from this many values on each side.
pub(super) const GAUGE_VALUES_MIN: u64 = 2;

/// One look at all that was seen so far.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub frame: &'a Frame<'a>,
    pub series: &'a Series,
    pub watched_ms: u64,
}

impl Look<'_> {
    pub(super) fn read(&self, bound: &Bound) -> Reading {
        match bound {
            Bound::MoreThan { events, within } => {
                let sum = self.bad_within(millis(within.get()));
                self.counted(sum as f64, *events as f64, sum > *events)
            }
            Bound::FailuresInARow(n) => {
                let asked = self.series.polls.iter().rev().filter(|p| p.candidate != Sample::Empty);
                let run = asked.take_while(|p| p.candidate.bad() > 0).count();
                self.counted(run as f64, f64::from(*n), run >= *n as usize)
            }
            Bound::Beyond { direction, level, hold: Some(span) } => {
                self.held(bound, *direction, level, millis(span.get()))
            }
            Bound::Beyond { direction, level, hold: None } => self.newest(bound, *direction, level),
            // of what is neither ratio, quantile nor gauge nothing is known of a baseline
            Bound::Worse => Reading { answer: Answer::Open(Why::NoBaseline), ..self.plain() },
        }
    }

    fn counted(&self, seen: f64, limit: f64, broken: bool) -> Reading {
        Reading {
            answer: if broken { Answer::Broken } else { Answer::Within },
            candidate: Some(seen),
            limit: Some(limit),
            ..Reading::default()
        }
    }

    /// A gauge or probes, without a time to last for.
    fn newest(&self, bound: &Bound, direction: Direction, level: &Level) -> Reading {
        let measure = self.frame.check.measure;
        let absolute_gauge = measure == Measure::Gauge && !level.needs_baseline();
        let candidate = match absolute_gauge {
            true => self.series.candidate.number(measure),
            false => self.series.candidate_number(measure),
        };
        let reference = self.reference();
        let limit = self.limit(bound, direction, level, reference.number);
        let few = measure == Measure::Gauge
            && level.needs_baseline()
            && (self.series.candidate_values.1 < GAUGE_VALUES_MIN || reference.events < GAUGE_VALUES_MIN);
        let answer = match (candidate, limit) {
            (None, _) => Answer::Open(Why::Nothing),
            (_, None) => Answer::Open(Why::NoBaseline),
            _ if few => Answer::Open(Why::FewValues),
            (Some(number), Some(limit)) if direction.beyond(number, limit) => Answer::Broken,
            _ => Answer::Within,
        };
        Reading { answer, candidate, limit, ..self.against(bound, &reference) }
    }

    /// Every complete poll of the trailing time.
    fn held(&self, bound: &Bound, direction: Direction, level: &Level, hold_ms: u64) -> Reading {
        let measure = self.frame.check.measure;
        let reference = self.reference();
        let limit = self.limit(bound, direction, level, reference.number);
        let mut reading = Reading { limit, baseline: None, ..self.against(bound, &reference) };
        // what the baseline shows in one poll is little, and may be nothing: all of the time counts
        let live = pooled(self.trailing(hold_ms).map(|poll| &poll.baseline), measure);
        let baseline = live.filter(|_| !reference.recorded).or(reference.number);
        let (mut polls, mut all_beyond) = (0u32, true);
        if let Some(limit) = self.limit(bound, direction, level, baseline) {
            for number in self.trailing(hold_ms).filter_map(|poll| poll.candidate.number(measure)) {
                polls += 1;
                all_beyond &= direction.beyond(number, limit);
                reading.candidate = Some(number);
            }
            reading.limit = Some(limit);
            reading.baseline = baseline.filter(|_| level.needs_baseline());
        }
        reading.answer = match polls {
            0 if reading.limit.is_none() => Answer::Open(Why::NoBaseline),
            0 => Answer::Open(Why::Nothing),
            2.. if all_beyond && self.seen_ms() >= hold_ms => Answer::Broken,
            // all that was seen was beyond it, for less than that time
            _ if all_beyond && self.seen_ms() < hold_ms => Answer::Open(Why::NotForSoLong),
            _ => Answer::Within,
        };
        reading
    }

    /// The bad events of the trailing time. Of a poll that began before it, the part that lies within is taken.
    fn bad_within(&self, window_ms: u64) -> u64 {
        let start_ms = self.watched_ms.saturating_sub(window_ms);
        let part = |poll: &Poll| {
            let (long, inside) = (
                poll.to_ms.saturating_sub(poll.from_ms),
                poll.to_ms.saturating_sub(start_ms.max(poll.from_ms)),
            );
            match poll.from_ms >= start_ms {
                true => poll.candidate.bad(),
                false => (poll.candidate.bad() as f64 * inside as f64 / long.max(1) as f64) as u64,
            }
        };
        self.series.polls.iter().map(part).fold(0, u64::saturating_add)
    }

    /// The complete polls of the trailing time, oldest first; the newest one however long it lasted.
    fn trailing(&self, window_ms: u64) -> impl Iterator<Item = &Poll> {
        let newest_ms = self.series.polls.back().map_or(u64::MAX, |poll| poll.from_ms);
        let start_ms = self.watched_ms.saturating_sub(window_ms).min(newest_ms);
        self.series.polls.iter().filter(move |p| p.from_ms >= start_ms)
    }

    /// The level in numbers; lifted where it was broken before.
    fn limit(
        &self,
        bound: &Bound,
        direction: Direction,
        level: &Level,
        baseline: Option<f64>,
    ) -> Option<f64> {
        let plain = level.limit(baseline)?;
        let before = self.frame.before.and_then(|r| r.number(self.frame.check.measure));
        match (self.was_bad(bound), before) {
            (true, Some(before)) => {
                let tolerated = self.frame.tolerated(direction).edge.at(before);
                Some(if direction == Direction::Above { plain.max(tolerated) } else { plain.min(tolerated) })
            }
            _ => Some(plain),
        }
    }

    /// What is told of the baseline where the bound speaks of it.
    pub(super) fn against(&self, bound: &Bound, reference: &Reference) -> Reading {
        let was_bad = self.was_bad(bound);
        let asked = bound.needs_baseline() || was_bad;
        Reading {
            baseline: reference.number.filter(|_| asked),
            recorded: reference.recorded && asked,
            was_bad,
            ..Reading::default()
        }
    }

    /// Whether a fixed level was broken before the release already. One value of a gauge is no proof of it: the
    /// baseline must be beyond the level still, where it is known.
    fn was_bad(&self, bound: &Bound) -> bool {
        let Bound::Beyond { direction, level, .. } = bound else { return false };
        let level = level.limit(None);
        let still = |number: f64| level.is_none_or(|level| direction.beyond(number, level));
        self.frame.was_bad(bound)
            && (self.frame.check.measure != Measure::Gauge || self.reference().number.is_none_or(still))
    }

    /// How long the series is: since its first poll began.
    pub(super) fn seen_ms(&self) -> u64 {
        self.watched_ms.saturating_sub(self.series.begun_ms().unwrap_or(0))
    }

    /// What the candidate is compared with.
    pub(super) fn reference(&self) -> Reference {
        let measure = self.frame.check.measure;
        let live = self.series.baseline_number(measure).filter(|_| !self.frame.check.against_recorded);
        match (live, self.frame.recorded) {
            (Some(number), _) => {
                let events = match measure {
                    Measure::Gauge => self.series.baseline_values.1,
                    _ => self.series.baseline.events(),
                };
                Reference { number: Some(number), events, recorded: false }
            }
            (None, Some(sample)) => {
                let events = if measure == Measure::Gauge { GAUGE_VALUES_MIN } else { sample.events() };
                Reference { number: sample.number(measure), events, recorded: true }
            }
            (None, None) => Reference { number: None, events: 0, recorded: false },
        }
    }

    /// The candidate's number, where no bound is asked about.
    pub(super) fn plain(&self) -> Reading {
        Reading { candidate: self.series.candidate_number(self.frame.check.measure), ..Reading::default() }
    }
}

/// The baseline as it is known.
pub(super) struct Reference {
    pub number: Option<f64>,
    /// What stands behind the number.
    pub events: u64,
    /// It was recorded before the shift.
    pub recorded: bool,
}
