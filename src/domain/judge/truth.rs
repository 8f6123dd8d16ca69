//! Does the traffic go where it was sent? Setting a share is not moving traffic: connections stick, rules are
//! wrong, a change takes its time to arrive. Before it has, the numbers speak of another split.
//!
//! The share of the requests that was counted on the candidate is held against the share that was set. It agrees
//! within a factor of [`BAND`] of the odds (10 % agrees with 6.9 % to 14.3 %, 50 % with 40 % to 60 %): weights are
//! rounded, and requests come in connections. Outside of it, a mismatch counts once chance is ruled out (the
//! two-sided game of [`super::split`] against the nearest edge of the band). Few requests prove no agreement; a
//! mismatch is over when they rule out that the traffic still goes where it went.

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
/// Sources tell in steps of their own, and not of both sides at the same moment: nothing is said of fewer answers than
/// this of the side that answered more often. One answer that is missing is then still within the band.
const ANSWERS_MIN: u32 = 4;
/// Answers that are taken together as the newest.
const ANSWERS: u32 = 8;
/// Traffic that arrived more often than this comes and goes.
const ARRIVALS_MAX: u32 = 3;

/// Requests on the candidate and on the baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counted {
    pub candidate: u64,
    pub baseline: u64,
    /// How many looks brought some of each.
    answers: (u32, u32),
}

impl Counted {
    fn add(&mut self, candidate: u64, baseline: u64) {
        self.candidate = self.candidate.saturating_add(candidate);
        self.baseline = self.baseline.saturating_add(baseline);
        self.answers.0 = self.answers.0.saturating_add(u32::from(candidate > 0));
        self.answers.1 = self.answers.1.saturating_add(u32::from(baseline > 0));
    }

    fn answers(&self) -> u32 {
        self.answers.0.max(self.answers.1)
    }

    pub fn total(&self) -> u64 {
        self.candidate.saturating_add(self.baseline)
    }

    fn compare(&self, set: Share) -> State {
        match self.answers() < ANSWERS_MIN {
            true => State::Unknown,
            false => compare(set, self.candidate, self.baseline),
        }
    }
}

/// What is known of one target's traffic since its split was confirmed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Truth {
    /// What was counted since the last answer.
    pub seen: Counted,
    /// The same of the newest looks: a change would drown in all that came before.
    recent: Counted,
    pub state: State,
    /// It agreed at some time.
    agreed: bool,
    /// How often it arrived after it had been elsewhere.
    pub arrivals: u32,
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

/// Traffic that had been elsewhere goes where it was sent, from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It never had before: what was seen so far says nothing of this split.
    First,
    Again,
}

impl Truth {
    /// One more look. Tells when the traffic has arrived just now.
    pub fn look(&mut self, set: Share, candidate: u64, baseline: u64) -> Option<Arrival> {
        let before = self.state;
        self.seen.add(candidate, baseline);
        self.recent.add(candidate, baseline);
        let found = match self.recent.compare(set) {
            off @ State::Off { .. } => off,
            _ => self.seen.compare(set),
        };
        let window_ends = self.recent.answers() >= ANSWERS;
        if window_ends {
            self.recent = Counted::default();
        }
        match (before, found) {
            (State::Off { observed, requests }, State::Unknown)
                if moved(observed, requests, set, &self.seen) =>
            {
                self.begin(State::Unknown);
            }
            (_, State::Unknown) => return None,
            (State::Off { .. }, State::Off { .. }) => self.begin(found),
            _ if found != before => self.begin(found),
            // an answer that stays the same gathers no more than some looks
            _ if window_ends => self.seen = Counted::default(),
            _ => {}
        }
        let off = |state| matches!(state, State::Off { .. });
        let arrived = off(before) && !off(self.state);
        let arrival = if self.agreed { Arrival::Again } else { Arrival::First };
        self.agreed |= self.state == State::Agrees;
        self.arrivals = self.arrivals.saturating_add(u32::from(arrived));
        arrived.then_some(arrival)
    }

    /// Counts anew from an answer on.
    fn begin(&mut self, state: State) {
        (self.seen, self.recent, self.state) = (Counted::default(), Counted::default(), state);
    }

    /// Whether it arrives and goes again, and again.
    pub fn comes_and_goes(&self) -> bool {
        self.arrivals > ARRIVALS_MAX
    }
}

/// Whether requests that went elsewhere go where they were set to go, as far as so few can tell: they lie within the
/// band, and what was observed before is ruled out, and half the way from there.
fn moved(observed: f64, requests: u64, set: Share, now: &Counted) -> bool {
    if now.answers() < ANSWERS_MIN {
        return false;
    }
    let (c, b, before) = (now.candidate as f64, now.baseline as f64, requests as f64);
    let odds = |share: f64| share / (1.0 - share);
    // none of a hundred is no share of zero
    let from = odds((observed * before + 0.5) / (before + 1.0));
    let to = odds(set.fraction());
    let half = (from * to).sqrt();
    let now = odds((c + 0.5) / (c + b + 1.0));
    let inside = now > to / BAND && now < to * BAND;
    let beyond = if from < to { now > half } else { now < half };
    inside && beyond && Split::new(half / (1.0 + half), WEIGHT).ln_e(c, b) >= ln(1.0 / AGREEMENT)
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

    fn off(candidate: u64, baseline: u64) -> Truth {
        let mut truth = Truth::default();
        (0..4).for_each(|_| assert_eq!(truth.look(share("10%"), candidate, baseline), None));
        assert!(matches!(truth.state, State::Off { .. }));
        truth
    }

    #[test]
    fn sources_that_tell_of_each_side_at_another_moment_show_no_mismatch() {
        let mut truth = Truth::default();
        for look in 0..200 {
            let (candidate, baseline) = if look % 2 == 0 { (150, 0) } else { (0, 150) };
            assert_eq!(truth.look(share("50%"), candidate, baseline), None);
            assert!(!matches!(truth.state, State::Off { .. }), "{truth:?}");
        }
        assert_eq!(truth.state, State::Agrees);
        let looks = (0..20).take_while(|_| {
            truth.look(share("50%"), 150, 0);
            truth.state == State::Agrees
        });
        assert!(looks.count() <= 8, "one that answers no more is one");
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
        let mut truth = off(0, 100);
        assert!(matches!(truth.state, State::Off { .. }));
        let arrived: Vec<_> = (0..4).filter_map(|_| truth.look(share("10%"), 100, 900)).collect();
        assert_eq!(arrived, [Arrival::First]);
        assert_eq!(truth.state, State::Agrees);
        // what was seen while it agreed stays, whatever comes between
        while truth.state == State::Agrees {
            assert_eq!(truth.look(share("10%"), 0, 1000), None);
        }
        let arrived: Vec<_> = (0..4).filter_map(|_| truth.look(share("10%"), 100, 900)).collect();
        assert_eq!((arrived, truth.arrivals), (vec![Arrival::Again], 2));
    }

    #[test]
    fn few_requests_are_enough_to_see_that_the_traffic_has_moved() {
        let mut truth = off(0, 75);
        let looks = (1..).find(|_| truth.look(share("10%"), 1, 9).is_some()).unwrap();
        assert!(looks <= 6, "{looks} looks of ten requests");
        assert_eq!(truth.state, State::Unknown, "too few to agree");
        // what stays outside of the band never arrives
        for (candidate, baseline) in [(0, 10), (2, 98), (5, 95), (4, 6)] {
            let mut truth = off(candidate * 1000, baseline * 1000);
            let arrived = (0..1000).find_map(|_| truth.look(share("10%"), candidate, baseline));
            assert_eq!(arrived, None, "{candidate} {baseline}");
        }
    }

    #[test]
    fn traffic_that_arrives_again_and_again_comes_and_goes() {
        let mut truth = Truth::default();
        let mut rounds = 0;
        while !truth.comes_and_goes() {
            (0..4).for_each(|_| assert_eq!(truth.look(share("10%"), 0, 5000), None));
            let arrived = (0..4).filter_map(|_| truth.look(share("10%"), 500, 4500)).count();
            assert_eq!(arrived, 1);
            rounds += 1;
        }
        assert!(rounds < 20, "{rounds}");
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
