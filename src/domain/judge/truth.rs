//! Does the traffic go where it was sent? Setting a share is not moving traffic: connections stick, rules are
//! wrong, a change takes its time to arrive. Before it has, the numbers speak of another split.
//!
//! The share of the requests that was counted on the candidate is held against the share that was set. It agrees
//! within a factor of [`BAND`] of the odds (10 % agrees with 6.9 % to 14.3 %, 50 % with 40 % to 60 %): weights are
//! rounded, and requests come in connections. Outside of it, a mismatch counts once chance is ruled out (the
//! two-sided game of [`super::split`] against the nearest edge of the band).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{numbers::ln, split::Split};
use crate::domain::share::Share;

/// The odds may be off by this factor.
const BAND: f64 = 1.5;
/// A mismatch counts when chance would show it this rarely.
const MISMATCH: f64 = 0.001;
/// Agreement counts when chance would hide a mismatch this rarely.
const AGREEMENT: f64 = 0.05;
/// Weight of the prior, in requests.
const WEIGHT: f64 = 20.0;
/// Looks that one answer is made of, before it is asked anew.
const LOOKS: u32 = 8;

/// What is known of one target's traffic since its split was confirmed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Truth {
    /// Requests counted since the last answer, on the candidate and on the baseline.
    pub seen: (u64, u64),
    looks: u32,
    pub state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Too few requests to say.
    #[default]
    Unknown,
    Agrees,
    /// The candidate's observed share of so many requests.
    Off {
        observed: f64,
        requests: u64,
    },
}

impl Truth {
    /// One more look. Returns whether the traffic has arrived just now, after it had been elsewhere: what was seen
    /// before says nothing of this split.
    pub fn look(&mut self, set: Share, candidate: u64, baseline: u64) -> bool {
        let was_off = matches!(self.state, State::Off { .. });
        self.seen.0 = self.seen.0.saturating_add(candidate);
        self.seen.1 = self.seen.1.saturating_add(baseline);
        self.looks += 1;
        match compare(set, self.seen.0, self.seen.1) {
            State::Unknown => return false,
            found => {
                // an answer that stays the same gathers no more than some looks, or a change would drown in it
                if found != self.state || self.looks >= LOOKS {
                    (self.seen, self.looks) = ((0, 0), 0);
                }
                self.state = found;
            }
        }
        was_off && self.state == State::Agrees
    }
}

/// Whether the counted share agrees with the one that was set.
pub fn compare(set: Share, candidate: u64, baseline: u64) -> State {
    let (c, b) = (candidate as f64, baseline as f64);
    let share = set.fraction();
    if share <= 0.0 || share >= 1.0 || c + b == 0.0 {
        return State::Unknown;
    }
    let observed = c / (c + b);
    let odds = share / (1.0 - share);
    let edge = |odds: f64| odds / (1.0 + odds);
    let (low, high) = (edge(odds / BAND), edge(odds * BAND));
    let refutes = |theta: f64, alpha: f64| Split::new(theta, WEIGHT).ln_e(c, b) >= ln(1.0 / alpha);
    if observed < low && refutes(low, MISMATCH) || observed > high && refutes(high, MISMATCH) {
        return State::Off { observed, requests: candidate.saturating_add(baseline) };
    }
    // agreement needs as much: that the edges themselves are refuted from within
    let inside = observed > low && observed < high;
    if inside && refutes(low, AGREEMENT) && refutes(high, AGREEMENT) { State::Agrees } else { State::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(text: &str) -> Share {
        text.parse().unwrap()
    }

    #[test]
    fn a_share_agrees_only_when_both_edges_are_ruled_out() {
        assert_eq!(compare(share("10%"), 1, 9), State::Unknown);
        assert_eq!(compare(share("10%"), 100, 900), State::Agrees);
        assert_eq!(compare(share("50%"), 520, 480), State::Agrees);
        assert!(matches!(compare(share("10%"), 0, 500), State::Off { observed: 0.0, .. }));
        assert!(matches!(compare(share("10%"), 500, 500), State::Off { .. }));
        assert_eq!(compare(share("100%"), 500, 0), State::Unknown, "there is nothing to compare with");
        assert_eq!(compare(share("10%"), 3, 10), State::Unknown, "so few may be chance");
    }

    #[test]
    fn traffic_that_arrives_late_begins_the_judging_anew() {
        let mut truth = Truth::default();
        assert!(!truth.look(share("10%"), 0, 400));
        assert!(matches!(truth.state, State::Off { .. }));
        let arrived = (0..4).map(|_| truth.look(share("10%"), 100, 900)).collect::<Vec<_>>();
        assert_eq!(arrived.iter().filter(|a| **a).count(), 1, "{arrived:?}");
        assert_eq!(truth.state, State::Agrees);
    }

    #[test]
    fn a_mismatch_that_comes_later_is_seen_within_some_looks() {
        let mut truth = Truth::default();
        for _ in 0..100 {
            truth.look(share("10%"), 100, 900);
        }
        assert_eq!(truth.state, State::Agrees);
        let looks = (0..20).take_while(|_| {
            truth.look(share("10%"), 600, 400);
            truth.state == State::Agrees
        });
        assert!(looks.count() <= 8);
    }
}
