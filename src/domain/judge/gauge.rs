//! A gauge that may not be worse than its baseline: by ranks, once, at the end of a watch. Where only one number is
//! known of the baseline, by signs.

use super::{
    Frame, SHOWN_WELL,
    numbers::ln,
    rank::{Ranks, p_above},
    threshold::Look,
    verdict::{Answer, Reading, Why},
};
use crate::domain::{
    bound::{Bound, Direction},
    check::Trial,
    record::Poll,
    sample::{Measure, Sample},
    verdict::{Shift, Test, Tested},
};

/// Ranks and signs say nothing of fewer values than this on a side.
const RANK_VALUES_MIN: usize = 8;
/// What is asked only at the end is asked again where a watch goes on after its end. The errors that are accepted are
/// shared: the first time has so much of them, and each later one as much of what is left.
const FIRST_ASKED: f64 = 0.75;

impl Look<'_> {
    /// A gauge, by its ranks, once.
    pub(super) fn ranked(&self, bound: &Bound, trial: Trial, last: bool) -> Reading {
        let values = |of: fn(&Poll) -> &Sample| -> Vec<f64> {
            let all = self.series.batches.iter().chain(&self.series.open);
            all.filter_map(|batch| of(batch).number(Measure::Gauge)).filter(|v| v.is_finite()).collect()
        };
        let reference = self.reference();
        let candidate = values(|batch| &batch.candidate);
        let baseline = match (reference.recorded, reference.number) {
            // of what was recorded one number is known
            (true, Some(number)) => vec![number],
            _ => values(|batch| &batch.baseline),
        };
        // so many times of what is negative lies on the other side
        let edge = |b: f64| match trial.worse {
            Direction::Above => trial.edge.at(b).max(b),
            Direction::Below => trial.edge.at(b).min(b),
        };
        let allowed: Vec<f64> = baseline.iter().map(|b| edge(*b)).collect();
        // where no value lies beyond any that is allowed, there is nothing to weigh
        let none_beyond = !allowed.is_empty()
            && candidate.iter().all(|c| allowed.iter().all(|limit| !trial.worse.beyond(*c, *limit)));
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
            _ if none_beyond => Answer::Within,
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
            recorded_error: 0.0,
            more_ms: None,
            shift: match last && !few && !reference.recorded {
                true => shift(&candidate, &baseline),
                false => None,
            },
        };
        Reading {
            answer,
            candidate: self.series.candidate_number(Measure::Gauge),
            limit: reference.number.map(|b| trial.edge.at(b)),
            tested: Some(tested),
            shown_well: p_well <= missed && !none_beyond,
            ..self.against(bound, &reference)
        }
    }
}

/// Fewer values than this could not show harm whatever they were.
pub(super) fn values_needed(alpha: f64, against_recorded: bool) -> usize {
    let least = |n: usize| if against_recorded { 0.5f64.powi(n as i32) } else { Ranks::least_p(n, n) };
    (RANK_VALUES_MIN..).find(|n| least(*n) <= alpha).unwrap_or(RANK_VALUES_MIN)
}

/// How far the candidate's values lie from the baseline's.
fn shift(candidate: &[f64], baseline: &[f64]) -> Option<Shift> {
    let (low, estimate, high) = Ranks::new(candidate, baseline).persistent().shift(0.05)?;
    let known = |limit: f64| Some(limit).filter(|limit| limit.is_finite());
    Some(Shift { estimate, low: known(low), high: known(high) })
}

/// Values that a gauge must have by the end of a watch to be compared with its baseline.
pub fn values_at_the_end(frame: &Frame<'_>, against_recorded: bool) -> usize {
    values_needed(frame.alpha() * FIRST_ASKED, against_recorded)
}
