//! A check: one question put to the metrics, and what counts as a bad answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

use super::{
    bound::{Bound, Direction},
    judge::null::{Edge, Refute},
    names::EntryName,
    sample::Measure,
    tolerance::Tolerance,
    value::{Kind, Value},
};

/// One check of the file, without its source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    pub name: EntryName,
    pub measure: Measure,
    pub kind: Kind,
    /// Any of these broken is a `fail`.
    pub fail: Vec<Bound>,
    /// Any of these broken is told.
    pub warn: Vec<Bound>,
    /// Events of the candidate that are declared to be enough for a `pass`.
    pub needs: Option<u64>,
    pub alpha: Alpha,
    /// What `worse than baseline` allows.
    pub tolerate: Tolerance,
    /// The harm that must not slip through: `plan` tells how long that takes to show.
    pub find: Tolerance,
    /// Which way is worse, for `worse than baseline`.
    pub worse: Direction,
    /// Compare with what was recorded before the shift even where the baseline has traffic.
    pub against_recorded: bool,
    /// Tried out: it tells and does not decide.
    pub shadow: bool,
}

/// A bound as a test reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    pub edge: Edge,
    pub worse: Direction,
}

impl Trial {
    /// What is refuted where there is harm, and where all is well.
    pub fn refutes(self) -> (Refute, Refute) {
        match self.worse {
            Direction::Above => (Refute::AtMost, Refute::AtLeast),
            Direction::Below => (Refute::AtLeast, Refute::AtMost),
        }
    }

    /// Under this name its evidence is kept: another edge is another test.
    pub fn key(self) -> String {
        let word = if self.worse == Direction::Above { "above" } else { "below" };
        format!("{word} {}x + {}", self.edge.times, self.edge.plus)
    }
}

impl Check {
    /// A check that asks for nothing yet, as the file has it where it says no more.
    pub fn new(name: EntryName, measure: Measure, kind: Kind) -> Self {
        Check {
            name,
            measure,
            kind,
            fail: Vec::new(),
            warn: Vec::new(),
            needs: None,
            alpha: Alpha::default(),
            tolerate: Tolerance::TOLERATED,
            find: Tolerance::FOUND,
            worse: Direction::Above,
            against_recorded: false,
            shadow: false,
        }
    }

    /// Events of the candidate below which a plain bound has no `pass`, where none are declared.
    pub const LEAST_EVENTS: u64 = 100;

    /// Whether events stand behind its numbers, of which there may be too few.
    pub fn counts(&self) -> bool {
        matches!(self.measure, Measure::Ratio | Measure::Quantile(_))
    }

    /// Events of the candidate below which a plain bound has no `pass`.
    pub fn least_events(&self) -> u64 {
        self.needs.unwrap_or(Self::LEAST_EVENTS)
    }

    pub fn needs_baseline(&self) -> bool {
        self.fail.iter().chain(&self.warn).any(Bound::needs_baseline)
    }

    /// Whether what the baseline showed before the shift says something: a level that was broken already is judged on
    /// change.
    pub fn remembers(&self) -> bool {
        self.fail.iter().chain(&self.warn).any(|b| matches!(b, Bound::Beyond { .. } | Bound::Worse))
    }

    /// The longest trailing time any bound looks back over.
    pub fn longest_window(&self) -> Duration {
        self.windows().max().unwrap_or_default()
    }

    /// The trailing times its bounds look back over.
    pub fn windows(&self) -> impl Iterator<Item = Duration> {
        self.fail.iter().chain(&self.warn).filter_map(|b| b.window().map(|s| s.get()))
    }

    /// The bound as a sequential test of counts reads it; `None` for bounds that are compared plainly: those
    /// over a trailing time, and all of gauges, events and probes.
    pub fn trial(&self, bound: &Bound) -> Option<Trial> {
        if !self.counts() {
            return None;
        }
        match bound {
            Bound::Worse => Some(self.tolerated(self.worse)),
            Bound::Beyond { direction, level, hold: None } => {
                Some(Trial { edge: level.edge(), worse: *direction })
            }
            _ => None,
        }
    }

    /// The edge of what is tolerated, on this side of the baseline.
    pub fn tolerated(&self, worse: Direction) -> Trial {
        Trial { edge: self.tolerate.edge(worse), worse }
    }

    /// Bounds that decide by a test, each of which may alarm falsely; with those that only warn, where they count.
    pub fn deciding_tests(&self, warnings: bool) -> usize {
        let warns = self.warn.iter().filter(|_| warnings);
        match self.shadow {
            true => 0,
            false => (self.fail.iter().chain(warns))
                .filter(|b| **b == Bound::Worse || self.trial(b).is_some())
                .count(),
        }
    }
}

/// The chance of a false alarm that is accepted, over a whole watch: `1%`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = r"^\d+(\.\d+)?(e-\d+)? ?%$"))]
pub struct Alpha(f64);

impl Alpha {
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for Alpha {
    fn default() -> Self {
        Alpha(0.01)
    }
}

impl FromStr for Alpha {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let value = text.parse::<Value>().ok().filter(|v| v.kind == Kind::Ratio);
        let alpha = value.map(|v| v.number).filter(|a| (1e-12..=0.5).contains(a));
        alpha.map(Alpha).ok_or_else(|| {
            format!("`{text}`: write the chance of a false alarm as a percentage above 0 and at most 50%, such as `1%`")
        })
    }
}

written_as_text!(Alpha);
impl fmt::Display for Alpha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", (self.0 * 1e14).round() / 1e12)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_false_alarm_rate_is_a_small_percentage() {
        for text in ["1%", "0.1%", "5%", "0.0000000001%"] {
            assert_eq!(text.parse::<Alpha>().unwrap().to_string(), text);
        }
        for bad in ["1", "0%", "60%", "-1%", "1s", "NaN%", ""] {
            assert!(bad.parse::<Alpha>().unwrap_err().contains("such as `1%`"), "{bad}");
        }
    }
}
