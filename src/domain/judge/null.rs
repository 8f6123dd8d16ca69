//! What is still allowed: the hypothesis that a test tries to refute.

/// `candidate = times × baseline + plus`: the edge between allowed and harmful. `above 5%` is (0, 0.05),
/// `above 1.2x baseline` (1.2, 0), `above baseline + 0.5pp` (1, 0.005).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge {
    pub times: f64,
    pub plus: f64,
}

impl Edge {
    /// The candidate's value on the edge.
    pub fn at(self, baseline: f64) -> f64 {
        self.times * baseline + self.plus
    }

    /// The same edge between the parts that are *not* bad: 1 − candidate and 1 − baseline.
    pub fn complement(self) -> Edge {
        Edge { times: self.times, plus: 1.0 - self.times - self.plus }
    }
}

/// Which side of the edge a test tries to refute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refute {
    /// "At most the edge": what is refuted is that all is well. Evidence of harm.
    AtMost,
    /// "At least the edge": what is refuted is that there is harm. Evidence that all is well.
    AtLeast,
}

/// Bad events of all events on both sides, in one batch or in many.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pair {
    pub candidate_bad: f64,
    pub candidate: f64,
    pub baseline_bad: f64,
    pub baseline: f64,
}

impl Pair {
    pub fn add(&mut self, later: Pair) {
        self.candidate_bad += later.candidate_bad;
        self.candidate += later.candidate;
        self.baseline_bad += later.baseline_bad;
        self.baseline += later.baseline;
    }

    /// Good for bad.
    pub fn complement(self) -> Pair {
        Pair {
            candidate_bad: self.candidate - self.candidate_bad,
            baseline_bad: self.baseline - self.baseline_bad,
            ..self
        }
    }
}
