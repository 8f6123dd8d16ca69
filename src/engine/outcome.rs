//! What a command leaves for the report.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

use crate::{
    domain::{
        duration::spoken,
        judge::{SHOWN_WELL, words::odds},
        names::{Attempt, EntryName, TargetName},
        record::{Artifact, Poll, Series},
        sample::Sample,
        share::{Split, in_percent},
        value::Kind,
        verdict::{Judgement, Tested, Verdict},
    },
    port::Finding,
};

/// How a command that succeeded ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    /// The result in one sentence.
    pub sentence: String,
    /// The command that follows.
    pub next: Option<String>,
    /// When it is due, for a release that waits.
    pub next_at: Option<Timestamp>,
    /// The bake outlasts the job: run the same command again when it is due.
    pub waiting: bool,
}

impl Done {
    pub fn new(sentence: impl Into<String>) -> Self {
        Done { sentence: sentence.into(), ..Done::default() }
    }

    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

/// What is known about the release, gathered while the command runs.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub attempt: Option<Attempt>,
    pub state: State,
    pub changed: Changed,
    /// The candidate's share per target, as confirmed.
    pub split: Split,
    pub verdict: Option<Verdict>,
    pub judgements: Vec<Judgement>,
    pub findings: Vec<Finding>,
    pub snapshots: BTreeMap<EntryName, Artifact>,
    /// What the baseline ran when the release opened.
    pub baseline_version: Option<String>,
    /// Why the gate was passed without a verdict.
    pub hotfix: Option<String>,
    pub timeline: Vec<Moment>,
    /// Lines for people below the sentence.
    pub details: Vec<String>,
    /// What verdicts rest on, where that was asked for.
    pub evidence: Vec<Shown>,
}

/// What one judgement rests on.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Shown {
    /// The attempt and its split: `v1.2.3#12 at 10 %`.
    pub of: String,
    /// When it was judged.
    pub at: Timestamp,
    pub watched_ms: u64,
    pub judgement: Judgement,
    pub series: Series,
}

/// How a bound was tested, and how far the evidence went.
fn tested(tested: &Tested) -> String {
    let percent = |part: f64| Kind::Ratio.show(part);
    let of_all = match tested.tests {
        1 => String::new(),
        tests => format!(", {} divided among {tests} tests", percent(tested.alpha * tests as f64)),
    };
    format!(
        "tested by {}; false alarms {}{of_all}; evidence of harm {}:1 (a fail from {}:1), that all is well {}:1 (a proof from {SHOWN_WELL}:1)",
        tested.test,
        percent(tested.alpha),
        odds(tested.harm),
        odds(tested.enough),
        odds(tested.well),
    )
}

/// Rows of a table of evidence.
const ROWS: usize = 12;

impl Shown {
    /// Both sides over the time, in few rows: each the number of what came since the row before.
    pub fn table(&self) -> Vec<String> {
        let batches: Vec<&Poll> = self.series.batches.iter().chain(&self.series.open).collect();
        let kind = self.judgement.kind;
        let measure = self.judgement.measure;
        let show = |sample: &Sample| match (sample, measure.and_then(|m| sample.number(m))) {
            (_, None) => "-".to_string(),
            (Sample::Counts { bad, total }, Some(n)) => format!("{} ({bad} of {total})", kind.show(n)),
            (_, Some(n)) => kind.show(n),
        };
        let per_row = batches.len().div_ceil(ROWS).max(1);
        let mut lines: Vec<String> = self.judgement.tested.iter().map(tested).collect();
        for group in batches.chunks(per_row) {
            let (mut candidate, mut baseline) = (Sample::Empty, Sample::Empty);
            for batch in group {
                candidate.add(&batch.candidate);
                baseline.add(&batch.baseline);
            }
            let until = group.last().map_or(0, |batch| batch.to_ms);
            let until = spoken(std::time::Duration::from_millis(until));
            lines.push(format!(
                "{until:>9}   candidate {:<24} baseline {}",
                show(&candidate),
                show(&baseline)
            ));
        }
        lines
    }
}

/// Where the traffic stood from a moment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Moment {
    pub at: Timestamp,
    /// The candidate's share per service in percent.
    #[serde(rename = "split_percent", serialize_with = "in_percent")]
    #[schemars(with = "BTreeMap<TargetName, f64>")]
    pub split: Split,
}

impl Facts {
    /// Something was changed.
    pub fn touch(&mut self, changed: Changed) {
        self.changed = self.changed.max(changed);
    }
}

/// Where the release stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No release is open.
    #[default]
    None,
    Open,
    Waiting,
    Finished,
    RolledBack,
    Stuck,
}

/// What this command changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    #[default]
    None,
    /// Everything that was to be changed.
    All,
    /// Some of it; the journal says what.
    Partial,
}
