//! How the evidence of one test stands: what is kept from one batch to the next, in this job or a later one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Frame,
    mixture::Purse,
    null::{Edge, Pair},
    quantile::Comparison,
    split,
};
use crate::domain::{check::Trial, sample::Sample};

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

/// Of the accepted false alarms, this part is for the error of what was recorded.
const RECORDED_PART: f64 = 0.5;

impl Standing {
    /// One more batch of a ratio; `past` is all before it.
    pub fn weigh_ratio(&mut self, frame: &Frame<'_>, trial: Trial, past: Pair, batch: Pair, at_ms: u64) {
        let purses = self.purses.get_or_insert_default();
        let (harm, well) = trial.refutes();
        let (mut harm_edge, mut well_edge) = (trial.edge, trial.edge);
        if let (true, Some((low, high))) =
            (batch.baseline == 0.0 && trial.edge.times > 0.0, frame.recorded_rate())
        {
            self.against_recorded = true;
            let fixed = |baseline| Edge { times: 0.0, plus: trial.edge.at(baseline) };
            // each test has the recorded rate that is worst for it
            let (for_harm, for_well) = match trial.worse {
                crate::domain::bound::Direction::Above => (high, low),
                crate::domain::bound::Direction::Below => (low, high),
            };
            (harm_edge, well_edge) = (fixed(for_harm), fixed(for_well));
        }
        purses.harm.bet(past, batch, harm_edge, harm);
        purses.well.bet(past, batch, well_edge, well);
        (self.harm, self.well) = (purses.harm.ln_e(), purses.well.ln_e());
        self.note_peak(at_ms);
    }

    /// Everything that was observed so far.
    pub fn weigh_quantile(&mut self, trial: Trial, seen: &Comparison<'_>, at_ms: u64) {
        let (harm, well) = trial.refutes();
        (self.harm, self.well) = (seen.ln_e(trial.edge, harm), seen.ln_e(trial.edge, well));
        self.note_peak(at_ms);
    }

    fn note_peak(&mut self, at_ms: u64) {
        if self.harm > self.peak {
            (self.peak, self.peak_ms) = (self.harm, at_ms);
        }
    }
}

impl Frame<'_> {
    /// Between which rates the recorded baseline lies.
    fn recorded_rate(&self) -> Option<(f64, f64)> {
        match self.recorded {
            Some(Sample::Counts { bad, total }) if *total > 0 => {
                Some(split::interval(*bad as f64, *total as f64, RECORDED_PART * self.alpha(), self.tuning()))
            }
            _ => None,
        }
    }

    /// How large E must be, as its logarithm, to count as harm.
    pub(super) fn enough_harm(&self, standing: &Standing) -> f64 {
        let part = if standing.against_recorded { 1.0 - RECORDED_PART } else { 1.0 };
        super::numbers::ln(1.0 / (part * self.alpha()))
    }
}
