//! The evidence of ratios: a purse that is spread over several bets.
//!
//! A fifth of the purse is kept back, the rest is spread over the two-sample test of [`super::two_sample`] and four
//! [`super::wager`]s. The purse multiplies as its parts do, on average, so it is as fair as they are: where all is
//! well, the chance that it ever grows to 1/α times what it was is at most α (Ville's inequality), however often
//! one looks. After each batch a fiftieth of what is kept back is spread over the bets (M. Herbster and
//! M. Warmuth, *Tracking the best expert*, 1998): harm that begins late finds stakes that
//! the time before did not eat up. Moving stakes between bets changes no mean.
//!
//! What a batch wins or loses is divided by the size of the clusters that bad events came in before
//! ([`super::clusters`]).
//!
//! Why not the two-sample test alone: it must learn both rates before it can bet on a difference. At 1 % of
//! errors, 10 % of 1 000 requests a batch, α 5 % and twice the errors it needs 13 batches, the mixture 11; of harm that
//! begins half-way it finds 68 % by the end of 60 batches, the mixture 77 % (`scripts/calibrate` prints both). The
//! wagers alone would do nearly as well on rare errors and much worse on common ones (30 % and more), where the
//! two-sample test shines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    null::{Edge, Pair, Refute},
    numbers::{ln, ln_sum},
    two_sample, wager,
};

/// What is bet on: so many times what is allowed.
const HARM: [f64; 4] = [1.5, 2.0, 3.0, 6.0];
/// The same for evidence that all is well: so small a part of what is allowed.
const WELL: [f64; 4] = [0.8, 0.5, 0.25, 0.0];
/// The parts of what is not kept back: the two-sample test's, then the wagers'.
const PARTS: [f64; 5] = [1.0 / 6.0, 1.0 / 6.0, 1.0 / 3.0, 1.0 / 6.0, 1.0 / 6.0];
const KEPT: f64 = 0.2;
/// This part of what is kept is spread after each batch.
const SPREAD: f64 = 0.02;

/// A purse between two batches: logarithms of its parts, of a purse that began with 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Purse {
    kept: f64,
    stakes: [f64; 5],
}

impl Default for Purse {
    fn default() -> Self {
        Purse { kept: ln(KEPT), stakes: PARTS.map(|part| ln(part * (1.0 - KEPT))) }
    }
}

/// A stake is never smaller: below, nothing it could still win would be seen, and JSON has no infinity.
const LEAST: f64 = -1e300;

impl Purse {
    /// The logarithm of what is in it: of E.
    pub fn ln_e(&self) -> f64 {
        ln_sum(self.stakes.into_iter().chain([self.kept]))
    }

    /// Bets on one more batch; `past` is all that came before it, of which bad events came in clusters of this mean
    /// size (at least 1).
    pub fn bet(&mut self, past: Pair, batch: Pair, edge: Edge, refute: Refute, clusters: f64) {
        let levels = match refute {
            Refute::AtMost => HARM,
            Refute::AtLeast => WELL,
        };
        let factors = std::iter::once(two_sample::ln_factor(past, batch, edge, refute))
            .chain(levels.into_iter().map(|level| wager::ln_factor(batch, edge, level)));
        let spread = self.kept + ln(SPREAD);
        for ((stake, factor), part) in self.stakes.iter_mut().zip(factors).zip(PARTS) {
            *stake = ln_sum([(*stake + factor / clusters).max(LEAST), spread + ln(part)]);
        }
        self.kept += ln(1.0 - SPREAD);
    }
}
