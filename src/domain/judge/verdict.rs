//! What the evidence means for one check of one target.
//!
//! - `fail`: a test has shown harm, or a plain bound is broken.
//! - `pass`: a test has shown that all is within the edge; or as many events were seen as the file declares to be
//!   enough, and there is no sign of harm.
//! - `insufficient`: neither. Not to be shown worse is no proof of being well.

use std::time::Duration;

use super::{
    Frame,
    numbers::ln,
    series::{SILENT_GAPS, millis},
    threshold::Look,
};
use crate::domain::{
    bound::{Bound, Direction},
    check::{Check, Trial},
    names::TargetName,
    record::Series,
    sample::{Measure, Sample},
    verdict::{Judgement, Test, Tested, Verdict},
};

/// What has been declared to be enough events passes below this evidence of harm (E): chance shows more of it to one
/// healthy release in three at most, and mostly to one in some dozens.
const SIGN_OF_HARM: f64 = 3.0;
/// And where chance alone would show as much as this often, looked at once.
const CHANCE_LEAST: f64 = 0.02;
/// A side that had events is silent when this many were to be expected since the last.
const SILENT_EVENTS: f64 = 12.0;
/// And when it has been quiet for this part of the watch.
const SILENT_LEAST: u64 = 10;
/// Gauges, probes and counts of bad events are silent when there was no answer for this part of the watch.
const SILENT_PART: u64 = 3;

/// When it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Since the split was confirmed.
    pub watched: Duration,
    /// The watch ends here: what may be asked only once is asked now.
    pub last: bool,
}

/// What one bound says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading {
    pub answer: Answer,
    pub candidate: Option<f64>,
    pub baseline: Option<f64>,
    pub limit: Option<f64>,
    /// The baseline was recorded before the shift.
    pub recorded: bool,
    /// The level was broken before the release already.
    pub was_bad: bool,
    pub tested: Option<Tested>,
    /// A test has shown that all is well.
    pub shown_well: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Answer {
    #[default]
    Within,
    Broken,
    /// Not enough was seen to say.
    Open(Why),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Why {
    Nothing,
    NotANumber,
    /// No more since so many milliseconds.
    Silent {
        side: &'static str,
        ms: u64,
    },
    NoBaseline,
    FewEvents,
    FewBaselineEvents,
    FewValues,
    /// Neither harm nor its absence is shown.
    Undecided,
    /// All the time beyond a level, and not yet for as long as it takes.
    NotForSoLong,
    /// A test that is made only once.
    AtTheEnd,
}

/// Judges one check of one target by all that was seen so far.
pub fn judge(frame: &Frame<'_>, target: &TargetName, series: &Series, moment: Moment) -> Judgement {
    let look = Look { frame, series, watched_ms: millis(moment.watched) };
    let check = frame.check;
    let read = |bound: &Bound| match frame.trial(bound) {
        Some(trial) => look.tested(bound, trial, moment.last),
        None if *bound == Bound::Worse && check.measure == Measure::Gauge => {
            look.ranked(bound, check.tolerated(check.worse), moment.last)
        }
        None => look.read(bound),
    };
    let fails: Vec<(&Bound, Reading)> = check.fail.iter().map(|b| (b, read(b))).collect();
    let warns: Vec<(&Bound, Reading)> = check.warn.iter().map(|b| (b, read(b))).collect();
    let broken = |r: &&(&Bound, Reading)| r.1.answer == Answer::Broken;
    let is_open = |r: &&(&Bound, Reading)| matches!(r.1.answer, Answer::Open(_));
    let warned = warns.iter().any(|r| broken(&r));
    let open = fails.iter().find(is_open).and_then(|(_, r)| match r.answer {
        Answer::Open(why) => Some(why),
        _ => None,
    });
    let (verdict, why) = if fails.iter().any(|r| broken(&r)) {
        (Verdict::Fail, None)
    } else if let Some(why) = look.missing().or(open) {
        (Verdict::Insufficient, Some(why))
    } else {
        (Verdict::Pass, None)
    };
    let shown = (fails.iter().find(broken))
        .or(warns.iter().find(broken))
        .or(fails.iter().find(is_open))
        .or(fails.first())
        .or(warns.first());
    let (bound, reading) = match shown {
        Some((bound, reading)) => (look.bound_in_words(bound), reading.clone()),
        None => (String::new(), look.plain()),
    };
    Judgement {
        check: check.name.clone(),
        target: target.clone(),
        verdict,
        warned,
        sentence: look.sentence(shown.map(|s| s.0), &bound, &reading, verdict, warned, why),
        kind: check.kind,
        measure: Some(check.measure),
        candidate: reading.candidate,
        baseline: reading.baseline,
        bound,
        limit: reading.limit,
        events: series.candidate.events(),
        against_recorded: reading.recorded,
        shadow: check.shadow,
        decides: !check.fail.is_empty(),
        tested: reading.tested,
    }
}

impl Look<'_> {
    /// A ratio or a quantile, by its sequential test.
    fn tested(&self, bound: &Bound, trial: Trial, last: bool) -> Reading {
        let (check, measure) = (self.frame.check, self.frame.check.measure);
        let reference = self.reference();
        let candidate = self.series.candidate_number(measure);
        let follows = trial.edge.times > 0.0;
        let limit = match follows {
            true => reference.number.map(|b| trial.edge.at(b)),
            false => Some(trial.edge.plus),
        };
        let evidence = self.series.evidence.get(&trial.key()).copied().unwrap_or_default();
        let enough = self.frame.enough_harm(evidence.against_recorded);
        let shown_well = evidence.well >= self.frame.enough_well(evidence.against_recorded);
        let events = self.series.candidate.events();
        // where the last bound is exceeded, the number is only the bound: how far beyond, the buckets cannot tell
        let off_scale = trial.worse == Direction::Above
            && matches!((&self.series.candidate, measure), (Sample::Histogram(h), Measure::Quantile(p)) if h.overflows(p));
        let inside =
            !off_scale && matches!((candidate, limit), (Some(c), Some(l)) if !trial.worse.beyond(c, l));
        let likely = self.chance(trial).map_or(inside, |chance| chance >= CHANCE_LEAST);
        let harmless = !off_scale && evidence.harm < ln(SIGN_OF_HARM) && likely;
        let harm = evidence.peak.max(evidence.harm);
        // what is judged on change is not judged more strictly than the file says
        let kept = self.frame.was_bad(bound) && self.keeps(bound, candidate);
        let answer = if harm >= enough && !kept {
            Answer::Broken
        } else if kept && events >= check.least_events() {
            Answer::Within
        } else if candidate.is_none() {
            Answer::Open(Why::Nothing)
        } else if limit.is_none() {
            Answer::Open(Why::NoBaseline)
        } else if shown_well {
            Answer::Within
        } else if let (Bound::Worse, declared) = (bound, check.needs) {
            match declared {
                Some(needs) if events < needs => Answer::Open(Why::FewEvents),
                Some(needs) if reference.events < needs.min(Check::LEAST_EVENTS) => {
                    Answer::Open(Why::FewBaselineEvents)
                }
                Some(_) if harmless => Answer::Within,
                _ => Answer::Open(Why::Undecided),
            }
        } else if events < check.least_events() {
            Answer::Open(Why::FewEvents)
        } else if follows && reference.events < check.least_events() {
            Answer::Open(Why::FewBaselineEvents)
        } else if inside {
            Answer::Within
        } else {
            Answer::Open(Why::Undecided)
        };
        let undecided = matches!(answer, Answer::Open(Why::Undecided | Why::FewEvents));
        let tested = Tested {
            test: if measure == Measure::Ratio { Test::Mixture } else { Test::Quantile },
            alpha: self.frame.alpha(),
            tests: self.frame.tests.max(1),
            harm,
            recorded_error: if evidence.against_recorded { self.frame.recorded_error() } else { 0.0 },
            enough,
            well: evidence.well,
            at_ms: if evidence.harm > evidence.peak { self.watched_ms } else { evidence.peak_ms },
            shift: None,
            // how long until a pass is asked where one is to be expected
            more_ms: (last && undecided && (inside || likely))
                .then(|| self.more_ms(trial, evidence.against_recorded))
                .flatten(),
        };
        Reading {
            answer,
            candidate,
            limit,
            tested: Some(tested),
            shown_well,
            ..self.against(bound, &reference)
        }
    }

    /// Whether the candidate's number is on the good side of the level that is written in the file.
    fn keeps(&self, bound: &Bound, candidate: Option<f64>) -> bool {
        match (bound, candidate) {
            (Bound::Beyond { direction, level, .. }, Some(number)) => {
                level.limit(None).is_some_and(|level| !direction.beyond(number, level))
            }
            _ => false,
        }
    }

    /// What keeps a check from passing whatever its bounds say.
    fn missing(&self) -> Option<Why> {
        let series = self.series;
        if series.no_numbers > 0 && series.candidate == Sample::Empty {
            return Some(Why::NotANumber);
        }
        if series.candidate.events() == 0 && !matches!(series.candidate, Sample::Events(_)) {
            return Some(Why::Nothing);
        }
        let check = self.frame.check;
        let plain = check.fail.iter().any(|bound| self.frame.trial(bound).is_none());
        if check.counts() && plain && series.candidate.events() < check.least_events() {
            return Some(Why::FewEvents);
        }
        let begun_ms = self.watched_ms.saturating_sub(self.seen_ms());
        let silent = |side, sample: &Sample, heard_ms: u64, gap_ms: u64| {
            let (ms, spoke_ms) =
                (self.watched_ms.saturating_sub(heard_ms), heard_ms.saturating_sub(begun_ms));
            // a source tells in steps of its own, and not of the newest moments
            let usual = gap_ms.saturating_mul(SILENT_GAPS).max(self.seen_ms() / SILENT_LEAST);
            let stopped = match sample {
                _ if ms <= usual || spoke_ms == 0 => false,
                Sample::Counts { .. } | Sample::Histogram(_) => {
                    sample.events() as f64 / spoke_ms as f64 * ms as f64 >= SILENT_EVENTS
                }
                Sample::Gauge(_) | Sample::Probes { .. } | Sample::Events(_) => {
                    ms > self.seen_ms() / SILENT_PART
                }
                Sample::Empty => false,
            };
            stopped.then_some(Why::Silent { side, ms })
        };
        let compared =
            self.frame.check.fail.iter().any(Bound::needs_baseline) && !self.frame.check.against_recorded;
        let (heard, gap) = (series.heard_ms, series.gap_ms);
        silent("candidate", &series.candidate, heard.0, gap.0)
            .or_else(|| silent("baseline", &series.baseline, heard.1, gap.1).filter(|_| compared))
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
