//! What a verdict says: one sentence of what was seen, against what, how many events, and how sure.

use std::time::Duration;

use super::{
    gauge::values_needed,
    numbers::{exp, ln},
    threshold::{GAUGE_VALUES_MIN, Look},
    verdict::{Reading, Why},
};
use crate::domain::{
    bound::{Bound, Direction},
    check::Check,
    duration::spoken,
    sample::Sample,
    verdict::{Test, Verdict},
};

impl Look<'_> {
    /// The bound, with what the test allows.
    pub(super) fn bound_in_words(&self, bound: &Bound) -> String {
        match bound {
            Bound::Worse => format!("{bound} ({} tolerated)", self.frame.check.tolerate),
            _ => bound.to_string(),
        }
    }

    pub(super) fn sentence(
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
        let apart = reading.tested.as_ref().and_then(|tested| tested.shift).map_or(String::new(), |shift| {
            let signed = |n: f64| format!("{}{}", if n < 0.0 { "-" } else { "+" }, show(n.abs()));
            let between = match (shift.low, shift.high) {
                (Some(low), Some(high)) => format!(", {} to {} with 95 %", signed(low), signed(high)),
                _ => String::new(),
            };
            format!(" (difference {}{between})", signed(shift.estimate))
        });
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
        format!("{}: {seen}{against}{apart}{bound}: {state}", check.name)
    }

    fn sure_of_well(&self, reading: &Reading) -> String {
        match &reading.tested {
            Some(tested) if reading.shown_well => {
                format!(", shown with a confidence of 95 % (evidence {} to 1)", odds(tested.well))
            }
            Some(tested) if tested.test == Test::Rank => {
                let (seen, needed) = (self.series.candidate_values.1, self.frame.check.least_events());
                match seen < needed {
                    true => format!(", none of {seen} values lies beyond what is allowed"),
                    false => format!(", no sign of harm, and enough values were seen ({seen} of {needed})"),
                }
            }
            Some(_) => {
                let (seen, needed) = (self.series.candidate.events(), self.frame.check.least_events());
                match reading.limit.zip(reading.candidate) {
                    Some((limit, number)) if number > limit && self.frame.check.worse == Direction::Above => {
                        format!(", as it may be chance: enough events were seen ({seen} of {needed})")
                    }
                    _ => format!(", by its number: enough events were seen ({seen} of {needed})"),
                }
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
                    "too few events of the candidate to pass ({events} of {needed} needed){}",
                    self.by_time(events, needed)
                )
            }
            Why::FewBaselineEvents => {
                let needed = self.frame.check.least_events().min(Check::LEAST_EVENTS);
                format!("too few events of the baseline ({} of {needed} needed)", self.reference().events)
            }
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
            Why::NotForSoLong => "beyond it all the time, and not yet for so long".into(),
            Why::AtTheEnd => "compared once, at the end of the watch".into(),
            Why::Undecided => {
                let longer = match reading.tested.as_ref().and_then(|t| t.more_ms) {
                    Some(ms) => {
                        format!("; at the present rate about {} more", spoken(Duration::from_millis(ms)))
                    }
                    None => "; as it looks it will not come to a pass".into(),
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

/// How sure it is.
fn sure_of_harm(reading: &Reading) -> String {
    reading.tested.as_ref().map_or(String::new(), |tested| {
        // what was recorded may lie outside of its limits, whatever is seen now
        let chance = |ln_e: f64| ln(1.0 / (exp(-ln_e) + tested.recorded_error));
        format!(
            "; chance alone would show this at most once in {} watches, and once in {} is accepted",
            odds(chance(tested.harm)),
            odds(chance(tested.enough))
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
