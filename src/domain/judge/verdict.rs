//! What the evidence means for one check of one target, and the sentence that says it.
//!
//! - `fail`: a test has shown harm, or a plain bound is broken.
//! - `pass`: a test has shown that all is within the edge; or as many events were seen as the file declares to be
//!   enough, and there is no sign of harm.
//! - `insufficient`: neither. Not to be shown worse is no proof of being well.

use std::time::Duration;

use super::{
    Frame, SHOWN_WELL,
    forecast::Traffic,
    numbers::{exp, ln},
    rank::{Ranks, p_above},
    series::{SILENT_GAPS, millis},
    threshold::{GAUGE_VALUES_MIN, Look},
};
use crate::domain::{
    bound::{Bound, Direction},
    check::Trial,
    duration::spoken,
    names::TargetName,
    record::Series,
    sample::{Measure, Sample},
    verdict::{Judgement, Test, Tested, Verdict},
};

/// What has been declared to be enough events passes below this evidence of harm (E): chance shows more of it to one
/// healthy release in three at most, and mostly to one in some dozens.
const SIGN_OF_HARM: f64 = 3.0;
/// Ranks and signs say nothing of fewer values than this on a side.
const RANK_VALUES_MIN: usize = 8;
/// A side that had events is silent when this many were to be expected since the last.
const SILENT_EVENTS: f64 = 12.0;
/// And when it has been quiet for this part of the watch.
const SILENT_LEAST: u64 = 10;
/// A gauge that had values, or probes, are silent when there were none for this part of the watch.
const SILENT_PART: u64 = 3;
/// What is asked only at the end is asked again where a watch goes on after its end. The errors that are accepted are
/// shared: the first time has so much of them, and each later one as much of what is left.
const FIRST_ASKED: f64 = 0.75;

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
        let harmless = !off_scale && evidence.harm < ln(SIGN_OF_HARM);
        let answer = if evidence.peak >= enough {
            Answer::Broken
        } else if candidate.is_none() {
            Answer::Open(Why::Nothing)
        } else if limit.is_none() {
            Answer::Open(Why::NoBaseline)
        } else if shown_well {
            Answer::Within
        } else if let (Bound::Worse, declared) = (bound, check.needs) {
            match declared {
                Some(needs) if events < needs => Answer::Open(Why::FewEvents),
                Some(_) if harmless => Answer::Within,
                Some(_) => Answer::Open(Why::Undecided),
                None => Answer::Open(Why::Undecided),
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
            harm: evidence.peak,
            enough,
            well: evidence.well,
            at_ms: evidence.peak_ms,
            more_ms: (last && undecided).then(|| self.more_ms(trial, evidence.against_recorded)).flatten(),
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

    /// How much longer it takes to show that all is well, the present rates being the true ones. Where the candidate
    /// shows harm so far, as if it were no worse than the baseline.
    fn more_ms(&self, trial: Trial, against_recorded: bool) -> Option<u64> {
        let seconds = self.seen_ms() as f64 / 1000.0;
        if seconds <= 0.0 {
            return None;
        }
        let live =
            Some(&self.series.baseline).filter(|b| b.events() > 0 && !self.frame.check.against_recorded);
        let (_, well) = trial.refutes();
        let mut edge = trial.edge;
        let traffic = match (&self.series.candidate, live.or(self.frame.recorded), self.frame.check.measure) {
            (Sample::Counts { bad, total }, baseline, _) => {
                let (base_bad, base_total) = match baseline {
                    Some(Sample::Counts { bad, total }) if trial.edge.times > 0.0 => (*bad, *total),
                    _ => (0, 0),
                };
                if let (None, Some((_, for_well))) = (live, self.frame.recorded_edges(trial)) {
                    edge = for_well;
                }
                let rate =
                    bad.saturating_add(base_bad) as f64 / total.saturating_add(base_total).max(1) as f64;
                Traffic::Ratio {
                    candidate: *total as f64 / seconds,
                    candidate_bad: rate,
                    baseline: live.map_or(0.0, |_| base_total as f64 / seconds),
                    baseline_bad: rate,
                }
            }
            (Sample::Histogram(mine), Some(Sample::Histogram(theirs)), Measure::Quantile(p)) => {
                let scaled =
                    |scale: f64| -> Vec<f64> { theirs.counts.iter().map(|c| *c as f64 * scale).collect() };
                let part = mine.total() as f64 / theirs.total().max(1) as f64;
                let none = vec![0.0; theirs.counts.len()];
                let (baseline, recorded) = match live {
                    Some(_) => (scaled(1.0 / seconds), none),
                    None => (none, scaled(1.0)),
                };
                let candidate = scaled(part / seconds);
                Traffic::Quantile { bounds: theirs.bounds.clone(), candidate, baseline, recorded, p }
            }
            _ => return None,
        };
        let needed =
            traffic.seconds(edge, well, self.frame.enough_well(against_recorded), self.frame.tuning())?;
        Some((((needed - seconds).max(seconds / 10.0)) * 1000.0) as u64)
    }

    /// A gauge, by its ranks, once.
    fn ranked(&self, bound: &Bound, trial: Trial, last: bool) -> Reading {
        let values = |of: fn(&crate::domain::record::Poll) -> &Sample| -> Vec<f64> {
            let all = self.series.batches.iter().chain(&self.series.open);
            all.filter_map(|batch| of(batch).number(Measure::Gauge)).filter(|v| v.is_finite()).collect()
        };
        let reference = self.reference();
        let candidate = values(|batch| &batch.candidate);
        let allowed: Vec<f64> = match (reference.recorded, reference.number) {
            // of what was recorded one number is known
            (true, Some(number)) => vec![trial.edge.at(number)],
            _ => values(|batch| &batch.baseline).into_iter().map(|b| trial.edge.at(b)).collect(),
        };
        // it is asked once; where a watch goes on after its end, of what was left for later
        let left = (1.0 - FIRST_ASKED).powi(self.series.asked.min(60) as i32) * FIRST_ASKED;
        let (alpha, missed) = (self.frame.alpha() * left, left / SHOWN_WELL);
        let needed = values_needed(alpha, reference.recorded);
        let few = candidate.len() < needed || (!reference.recorded && allowed.len() < needed);
        let (above, below) = match (last && !few, allowed.first()) {
            (true, Some(limit)) if reference.recorded => {
                let mirrored: Vec<f64> = candidate.iter().map(|value| -value).collect();
                (p_above(&candidate, *limit), p_above(&mirrored, -limit))
            }
            (true, _) => {
                let greater = |x: &[f64], y: &[f64]| Ranks::new(x, y).persistent().p();
                (greater(&candidate, &allowed), greater(&allowed, &candidate))
            }
            (false, _) => (1.0, 1.0),
        };
        let (p_harm, p_well) = match trial.worse {
            Direction::Above => (above, below),
            Direction::Below => (below, above),
        };
        let declared = self.frame.check.needs.is_some_and(|needs| candidate.len() as u64 >= needs);
        let answer = match (candidate.is_empty(), allowed.is_empty(), last) {
            (true, ..) => Answer::Open(Why::Nothing),
            (_, true, _) => Answer::Open(Why::NoBaseline),
            (.., false) => Answer::Open(Why::AtTheEnd),
            _ if few => Answer::Open(Why::FewValues),
            _ if p_harm <= alpha => Answer::Broken,
            _ if p_well <= missed || (declared && p_harm > 1.0 / SHOWN_WELL) => Answer::Within,
            _ => Answer::Open(Why::Undecided),
        };
        let tested = Tested {
            test: Test::Rank,
            alpha,
            tests: self.frame.tests.max(1),
            harm: -ln(p_harm.max(f64::MIN_POSITIVE)),
            enough: ln(1.0 / alpha),
            well: -ln(p_well.max(f64::MIN_POSITIVE)),
            at_ms: self.watched_ms,
            more_ms: None,
        };
        Reading {
            answer,
            candidate: self.series.candidate_number(Measure::Gauge),
            limit: reference.number.map(|b| trial.edge.at(b)),
            tested: Some(tested),
            shown_well: p_well <= missed,
            ..self.against(bound, &reference)
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
        let counts = matches!(check.measure, Measure::Ratio | Measure::Quantile(_));
        let plain = check.fail.iter().any(|bound| self.frame.trial(bound).is_none());
        if counts && plain && series.candidate.events() < check.least_events() {
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
                Sample::Gauge(_) | Sample::Probes { .. } => ms > self.seen_ms() / SILENT_PART,
                // of events only the bad ones are known: none is as it should be
                Sample::Events(_) | Sample::Empty => false,
            };
            stopped.then_some(Why::Silent { side, ms })
        };
        let compared =
            self.frame.check.fail.iter().any(Bound::needs_baseline) && !self.frame.check.against_recorded;
        let (heard, gap) = (series.heard_ms, series.gap_ms);
        silent("candidate", &series.candidate, heard.0, gap.0)
            .or_else(|| silent("baseline", &series.baseline, heard.1, gap.1).filter(|_| compared))
    }

    /// The bound, with what the test allows.
    fn bound_in_words(&self, bound: &Bound) -> String {
        match bound {
            Bound::Worse => format!("{bound} ({} tolerated)", self.frame.check.tolerate),
            _ => bound.to_string(),
        }
    }

    fn sentence(
        &self,
        kind: Option<&Bound>,
        bound: &str,
        reading: &Reading,
        verdict: Verdict,
        warned: bool,
        why: Option<Why>,
    ) -> String {
        let check = self.frame.check;
        let counted = matches!(kind, Some(Bound::MoreThan { .. } | Bound::FailuresInARow(_)));
        let show = |n: f64| if counted { format!("{n}") } else { check.kind.show(n) };
        let behind = |sample: Option<&Sample>| match sample {
            Some(Sample::Counts { bad, total }) if !counted => format!(" ({bad} of {total})"),
            Some(Sample::Histogram(h)) => format!(" ({} observations)", h.total()),
            _ => String::new(),
        };
        let seen = match reading.candidate {
            None => "nothing seen".to_string(),
            Some(n) => format!("{}{}", show(n), behind(Some(&self.series.candidate))),
        };
        let against = match (reading.baseline, reading.recorded) {
            (Some(b), true) => {
                format!(", baseline {}{} (against recorded)", show(b), behind(self.frame.recorded))
            }
            (Some(b), false) => format!(", baseline {}{}", show(b), behind(Some(&self.series.baseline))),
            (None, _) => String::new(),
        };
        let changed = match reading.was_bad {
            true => format!(
                " (broken before the release already: judged on change, {} tolerated)",
                check.tolerate
            ),
            false => String::new(),
        };
        let bound = if bound.is_empty() { String::new() } else { format!("; bound: {bound}{changed}") };
        let state = match (verdict, why) {
            (Verdict::Fail, _) => format!("broken{}", sure_of_harm(reading)),
            (_, Some(why)) => self.open_in_words(why, reading),
            (_, None) if warned => format!("warned{}", sure_of_harm(reading)),
            (_, None) => format!("within{}", self.sure_of_well(reading)),
        };
        format!("{}: {seen}{against}{bound}: {state}", check.name)
    }

    fn sure_of_well(&self, reading: &Reading) -> String {
        match &reading.tested {
            Some(tested) if reading.shown_well => {
                format!(", shown with a confidence of 95 % (evidence {} to 1)", odds(tested.well))
            }
            Some(tested) if tested.test == Test::Rank => {
                let (seen, needed) = (self.series.candidate_values.1, self.frame.check.least_events());
                format!(", no sign of harm, and enough values were seen ({seen} of {needed})")
            }
            Some(_) => {
                let (seen, needed) = (self.series.candidate.events(), self.frame.check.least_events());
                format!(", by its number: enough events were seen ({seen} of {needed})")
            }
            None => String::new(),
        }
    }

    fn open_in_words(&self, why: Why, reading: &Reading) -> String {
        let events = self.series.candidate.events();
        match why {
            Why::Nothing => "the candidate showed nothing".into(),
            Why::NotANumber => "the candidate showed nothing but values that are no numbers".into(),
            Why::Silent { side, ms } => {
                format!("the {side} showed nothing more for {}", spoken(Duration::from_millis(ms)))
            }
            Why::NoBaseline => "there is no baseline to compare with".into(),
            Why::FewEvents => {
                let needed = self.frame.check.least_events();
                format!(
                    "too few events of the candidate ({events} of {needed} needed){}",
                    self.by_time(events, needed)
                )
            }
            Why::FewBaselineEvents => "too few events of the baseline".into(),
            Why::FewValues => {
                let baseline = if reading.recorded { u64::MAX } else { self.series.baseline_values.1 };
                let seen = self.series.candidate_values.1.min(baseline);
                let needed = (reading.tested.as_ref())
                    .map_or(GAUGE_VALUES_MIN, |tested| values_needed(tested.alpha, reading.recorded) as u64);
                let each = if reading.recorded { "" } else { " on each side" };
                format!(
                    "too few values to compare ({seen} of {needed} needed{each}){}",
                    self.by_time(seen, needed)
                )
            }
            Why::AtTheEnd => "compared once, at the end of the watch".into(),
            Why::Undecided => {
                let longer = match reading.tested.as_ref().and_then(|t| t.more_ms) {
                    Some(ms) => {
                        format!("; at the present rate about {} more", spoken(Duration::from_millis(ms)))
                    }
                    None => String::new(),
                };
                format!("neither harm nor its absence is shown yet{longer}")
            }
        }
    }

    /// When so many events will have been seen.
    fn by_time(&self, events: u64, needed: u64) -> String {
        if events == 0 || needed <= events {
            return String::new();
        }
        let ms = (needed - events) as f64 * self.seen_ms() as f64 / events as f64;
        format!("; at the present rate about {} more", spoken(Duration::from_millis(ms as u64)))
    }
}

/// Fewer values than this could not show harm whatever they were.
fn values_needed(alpha: f64, against_recorded: bool) -> usize {
    let least = |n: usize| if against_recorded { 0.5f64.powi(n as i32) } else { Ranks::least_p(n, n) };
    (RANK_VALUES_MIN..).find(|n| least(*n) <= alpha).unwrap_or(RANK_VALUES_MIN)
}

/// Values that a gauge must have by the end of a watch to be compared with its baseline.
pub fn values_at_the_end(frame: &Frame<'_>, against_recorded: bool) -> usize {
    values_needed(frame.alpha() * FIRST_ASKED, against_recorded)
}

/// How sure it is.
fn sure_of_harm(reading: &Reading) -> String {
    reading.tested.as_ref().map_or(String::new(), |tested| {
        format!(
            "; chance alone would show this at most once in {} watches, and once in {} is accepted",
            odds(tested.harm),
            odds(tested.enough)
        )
    })
}

/// E of a logarithm, in two digits that a person can read.
pub fn odds(ln_e: f64) -> String {
    if ln_e > ln(1e9) {
        return "a billion".into();
    }
    let e = exp(ln_e).max(1.0);
    let magnitude = 10f64.powi((libm::log10(e).floor() as i32 - 1).max(0));
    format!("{}", (e / magnitude + 1e-9).floor() * magnitude)
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
