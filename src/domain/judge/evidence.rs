//! How the evidence of one test stands: what is kept from one batch to the next, in this job or a later one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Frame, SHOWN_WELL, clusters,
    mixture::Purse,
    null::{Edge, Pair},
    numbers::ln,
    quantile::Comparison,
    split,
};
use crate::domain::{bound::Direction, check::Trial, sample::Sample};

/// Evidence for both answers, as logarithms of E: E of 100 comes about by chance once in a hundred times at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// That the candidate is beyond the edge.
    pub harm: f64,
    /// That it is within.
    pub well: f64,
    /// The most that there ever was of harm, and when.
    pub peak: f64,
    pub peak_ms: u64,
    /// Some of it was held against what was recorded before the shift, which is known with an error of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub against_recorded: bool,
    /// Of ratios: what the bets stand at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purses: Option<Purses>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Purses {
    harm: Purse,
    well: Purse,
}

/// Of the errors that are accepted, of false alarms or of wrong proofs, this part is for what was recorded.
const RECORDED_PART: f64 = 0.5;

impl Standing {
    /// One more batch of a ratio; `before` is all before it, batch by batch.
    pub fn weigh_ratio(&mut self, frame: &Frame<'_>, trial: Trial, before: &[Pair], batch: Pair, at_ms: u64) {
        let mut past = Pair::default();
        before.iter().for_each(|pair| past.add(*pair));
        let purses = self.purses.get_or_insert_default();
        let (harm, well) = trial.refutes();
        let (mut harm_edge, mut well_edge) = (trial.edge, trial.edge);
        let alone = batch.candidate > 0.0 && batch.baseline == 0.0 && past.baseline == 0.0;
        if let (true, Some(edges)) = (alone, frame.recorded_edges(trial)) {
            self.against_recorded = true;
            (harm_edge, well_edge) = edges;
        }
        let with_baseline = harm_edge.times > 0.0;
        let clusters = clusters::size(before.iter().copied(), with_baseline);
        purses.harm.bet(past, batch, harm_edge, harm, clusters);
        purses.well.bet(past, batch, well_edge, well, clusters);
        (self.harm, self.well) = (purses.harm.ln_e(), purses.well.ln_e());
        self.note_peak(at_ms);
    }

    /// Everything that was observed so far.
    pub fn weigh_quantile(&mut self, trial: Trial, seen: &Comparison<'_>) {
        let (harm, well) = trial.refutes();
        (self.harm, self.well) = (seen.ln_e(trial.edge, harm), seen.ln_e(trial.edge, well));
    }

    /// Where a batch ends the most that there was is kept: what is judged again from its batches has it too.
    pub(super) fn note_peak(&mut self, at_ms: u64) {
        if self.harm > self.peak {
            (self.peak, self.peak_ms) = (self.harm, at_ms);
        }
    }
}

impl Frame<'_> {
    /// The chance that the recorded baseline lies outside of its limits.
    pub(super) fn recorded_error(&self) -> f64 {
        RECORDED_PART * self.alpha().min(1.0 / SHOWN_WELL)
    }

    /// The edges of both tests against the recorded baseline of a ratio: each has the rate that is worst for it.
    pub(super) fn recorded_edges(&self, trial: Trial) -> Option<(Edge, Edge)> {
        let (low, high) = self.recorded_rate().filter(|_| trial.edge.times > 0.0)?;
        let fixed = |baseline| Edge { times: 0.0, plus: trial.edge.at(baseline) };
        Some(match trial.worse {
            Direction::Above => (fixed(high), fixed(low)),
            Direction::Below => (fixed(low), fixed(high)),
        })
    }

    /// Between which rates the recorded baseline lies.
    fn recorded_rate(&self) -> Option<(f64, f64)> {
        match self.recorded {
            Some(Sample::Counts { bad, total }) if *total > 0 => {
                Some(split::interval(*bad as f64, *total as f64, self.recorded_error(), self.tuning()))
            }
            _ => None,
        }
    }

    /// How large E must be, as its logarithm, to count as harm.
    pub(super) fn enough_harm(&self, against_recorded: bool) -> f64 {
        self.enough(against_recorded, self.alpha())
    }

    /// The same to count as a proof that all is well.
    pub(super) fn enough_well(&self, against_recorded: bool) -> f64 {
        self.enough(against_recorded, 1.0 / SHOWN_WELL)
    }

    fn enough(&self, against_recorded: bool, accepted: f64) -> f64 {
        let recorded = if against_recorded { self.recorded_error() } else { 0.0 };
        ln(1.0 / (accepted - recorded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{check::Check, names::EntryName, sample::Measure, value::Kind};

    #[test]
    fn the_error_of_what_was_recorded_has_its_part_of_both_answers() {
        let name = EntryName::new("errors").unwrap();
        for (alpha, harm, well) in [("1%", 200.0, 1.0 / 0.045), ("50%", 1.0 / 0.475, 40.0)] {
            let check = Check {
                alpha: alpha.parse().unwrap(),
                ..Check::new(name.clone(), Measure::Ratio, Kind::Ratio)
            };
            let frame = Frame { check: &check, recorded: None, before: None, tests: 1 };
            assert!((frame.enough_harm(false) - ln(1.0 / check.alpha.get())).abs() < 1e-12);
            assert!((frame.enough_well(false) - ln(20.0)).abs() < 1e-12);
            assert!((frame.enough_harm(true) - ln(harm)).abs() < 1e-9);
            assert!((frame.enough_well(true) - ln(well)).abs() < 1e-9);
        }
    }
}
