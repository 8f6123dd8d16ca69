//! The journal's records: what must be remembered between one process and the next.
//!
//! Changes are absolute, so that doing one twice is harmless. What can be observed again is not
//! recorded. No secret enters: records hold names, shares, versions and evidence.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

use super::{
    judge::{evidence::Standing, truth::Truth},
    names::{EntryName, EnvironmentName, ReleaseName, SideName, TargetName, UnitName},
    observed::{Observed, Side},
    sample::Sample,
    share::{Share, Split},
    verdict::{Judgement, Verdict},
};

/// The version of the record format this build writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// One immutable object of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    pub format: u32,
    pub seq: u64,
    /// Number of the `opened` record of the attempt this belongs to; 0 before the first.
    pub opened: u64,
    /// When its writer says it was written. For people: no decision rests on it but bake times.
    pub at: Timestamp,
    /// Random per record: tells our own append from a rival's after a lost answer.
    pub nonce: String,
    pub holder: Holder,
    pub event: Event,
}

/// Who wrote a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Holder {
    /// The CI run, or `user@host`. The same for every attempt at that run: what an earlier one left is its own.
    pub run: String,
    /// Which attempt at the run, where the CI system counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The job's name within the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Random per process.
    pub process: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Where its log is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// `77, attempt 2, job deploy`.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.run)?;
        if let Some(attempt) = self.attempt.filter(|attempt| *attempt > 1) {
            write!(f, ", attempt {attempt}")?;
        }
        self.job.iter().try_for_each(|job| write!(f, ", job {job}"))
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// This process may act; also written again to keep the lease alive.
    Lease {
        seconds: u64,
    },
    /// A rollback takes the lease from whoever holds it.
    Preempt {
        seconds: u64,
        reason: String,
    },
    Released,
    Opened(Opened),
    /// About to change something. No action without it.
    Intent {
        step: Step,
    },
    /// Done and read back.
    Confirmed {
        intent: u64,
        outcome: Outcome,
    },
    /// Not done, or done in part; `settled` says that the targets stand again as before the step.
    Failed {
        intent: u64,
        why: String,
        settled: bool,
    },
    /// Smoke tests ran.
    Smoked {
        phase: SmokePhase,
        failed: Vec<EntryName>,
        passed: Vec<EntryName>,
    },
    /// What the baseline showed before the first shift.
    Recorded {
        samples: Evidence,
        seconds: u64,
    },
    /// A watch that is not over: where the counters stand, what was seen so far.
    Watched(Watched),
    /// A verdict with its evidence.
    Judged {
        split: Split,
        verdict: Verdict,
        judgements: Vec<Judgement>,
        watched: Watched,
    },
    /// A person went past the gate.
    Hotfix {
        reason: String,
    },
    /// A person accepted what was found as the state to go on from.
    Adopted {
        split: Split,
    },
    /// The split went back to the baseline without a record of ours.
    RevertedOutside,
    Closed {
        how: Closing,
        reason: Option<String>,
    },
    /// The checks were asked again after a finish; which of the times after it were due, in seconds.
    Rechecked {
        after_seconds: Vec<u64>,
        verdict: Verdict,
        judgements: Vec<Judgement>,
    },
}

impl Event {
    /// The beginning of an attempt.
    pub fn opened(&self) -> Option<&Opened> {
        match self {
            Event::Opened(opened) => Some(opened),
            _ => None,
        }
    }

    /// The sentences in it, which may quote what others said.
    pub fn texts(&mut self) -> Box<dyn Iterator<Item = &mut String> + '_> {
        match self {
            Event::Preempt { reason, .. } | Event::Hotfix { reason } => Box::new(std::iter::once(reason)),
            Event::Failed { why, .. } => Box::new(std::iter::once(why)),
            Event::Closed { reason, .. } => Box::new(reason.iter_mut()),
            Event::Judged { judgements, .. } | Event::Rechecked { judgements, .. } => {
                Box::new(judgements.iter_mut().map(|j| &mut j.sentence))
            }
            _ => Box::new(std::iter::empty()),
        }
    }
}

/// The first record of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Opened {
    pub unit: UnitName,
    pub environment: EnvironmentName,
    pub release: ReleaseName,
    pub targets: BTreeMap<TargetName, Origin>,
    /// SHA-256 of the config text, hex.
    pub config_digest: String,
    /// The config as it was, so that a rollback runs under it.
    pub config: String,
    /// Counters at this moment, so that what the baseline shows before the shift can be told.
    #[serde(default)]
    pub cursors: Cursors,
    /// An attempt that goes back to this version after a `finish`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverse_to: Option<ReleaseName>,
}

impl Opened {
    /// What the baseline ran, as far as it says so: one version, or one per service where they differ.
    pub fn baseline_version(&self) -> Option<String> {
        let versions: Vec<(&TargetName, &str)> = (self.targets.iter())
            .filter_map(|(target, origin)| {
                let side = origin.sides.iter().find(|side| side.name == origin.baseline)?;
                Some((target, side.version.as_deref()?))
            })
            .collect();
        let (_, first) = versions.first()?;
        if versions.iter().all(|(_, version)| version == first) {
            return Some((*first).to_string());
        }
        Some(
            versions
                .iter()
                .map(|(target, version)| format!("{target}={version}"))
                .collect::<Vec<_>>()
                .join(","),
        )
    }
}

/// One target as it was when the release opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    pub baseline: SideName,
    pub candidate: SideName,
    /// What the candidate's share was: 0, unless another tool had begun.
    pub share: Share,
    pub sides: Vec<Side>,
}

/// One step that changes something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Database to the key of its snapshot.
    Snapshot {
        keys: BTreeMap<EntryName, String>,
    },
    Migrate {
        migration: EntryName,
        direction: Direction,
        contract: bool,
        revision: Option<String>,
    },
    Deploy {
        sides: BTreeMap<TargetName, SideName>,
    },
    Share {
        aim: Aim,
        moves: BTreeMap<TargetName, Move>,
    },
    Retire {
        sides: BTreeMap<TargetName, SideName>,
    },
    Hook {
        moment: String,
        hook: EntryName,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Up,
    Back,
}

/// Why shares move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// To the split asked for, up or down.
    Forward,
    /// Back to what was recorded at `opened`.
    Undo,
}

/// The candidate's share of one target before and after a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Move {
    pub candidate: SideName,
    pub before: Share,
    pub wanted: Share,
    /// Shares the target may show in the middle of the change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub between: Vec<Share>,
}

impl Move {
    /// The side that gets more traffic, and how much it has then.
    pub fn gaining<'o>(&self, seen: &'o Observed) -> (Option<&'o Side>, Share) {
        match self.wanted > self.before {
            true => (seen.side(&self.candidate), self.wanted),
            false => (seen.other(&self.candidate), self.wanted.rest()),
        }
    }
}

/// What a confirmed step left behind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// Milliseconds from the intent to the confirmation.
    pub took_ms: u64,
    /// Snapshots taken, by database.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub artifacts: BTreeMap<EntryName, Artifact>,
    /// The revision a migration left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// A migration that found nothing to do has nothing to undo.
    #[serde(default)]
    pub nothing_ran: bool,
}

/// A snapshot that can be restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// What `restore-db` takes: a path, a snapshot id.
    pub id: String,
    pub bytes: Option<u64>,
    /// SHA-256, hex.
    pub checksum: Option<String>,
    /// What was dumped: server, version, database.
    pub source: String,
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SmokePhase {
    /// Against the candidate, before it has traffic.
    Candidate,
    /// Against the public face.
    Public,
}

/// By check, then by target: what a side showed.
pub type Evidence = BTreeMap<EntryName, BTreeMap<TargetName, Sample>>;

/// By metric adapter: where its counters stood. The adapter's own form.
pub type Cursors = BTreeMap<String, serde_json::Value>;

/// A watch at one split, kept so that the next process goes on with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Watched {
    pub split: Split,
    /// Number of the record that confirmed the split.
    pub since: u64,
    /// Milliseconds from the first poll at this split to the last.
    pub watched_ms: u64,
    /// How far the rollout that had to leave was to go: it may be gone on with to there by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<Share>,
    /// When the last poll was.
    pub at: Timestamp,
    pub cursors: Cursors,
    pub series: BTreeMap<EntryName, BTreeMap<TargetName, Series>>,
    /// The bake counts from here, in the milliseconds of `watched_ms`: the traffic arrived late, or an earlier watch
    /// came to its end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub counted_from_ms: u64,
    /// Whether the traffic goes where it was sent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub truth: BTreeMap<TargetName, Truth>,
}

/// What one check saw of one target so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// Everything since the split was confirmed.
    pub candidate: Sample,
    pub baseline: Sample,
    /// Sum and number of the values polled, for the mean of a gauge.
    pub candidate_values: (f64, u64),
    pub baseline_values: (f64, u64),
    /// The trailing polls that bounds look back over, oldest first.
    pub polls: std::collections::VecDeque<Poll>,
    /// Everything in batches, oldest first: what the tests were fed, and what a replay is fed. The longer the watch
    /// the longer its batches, so that there are never many.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "super::columns")]
    #[schemars(with = "super::columns::Columns")]
    pub batches: Vec<Poll>,
    /// The batch that has not been closed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Poll>,
    /// By the test's edge: how the evidence stands.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, Standing>,
    /// When the last events of the candidate and of the baseline came.
    #[serde(default)]
    pub heard_ms: (u64, u64),
    /// The longest pause between two polls that brought some: a source tells in steps of its own.
    #[serde(default)]
    pub gap_ms: (u64, u64),
    /// How often what is asked only at the end of a watch was asked already.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub asked: u32,
    /// Polls that answered with something that is no number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub no_numbers: u32,
}

fn is_zero<N: Default + PartialEq>(n: &N) -> bool {
    *n == N::default()
}

/// One complete poll.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Poll {
    /// Milliseconds since the watch began.
    pub from_ms: u64,
    pub to_ms: u64,
    pub candidate: Sample,
    pub baseline: Sample,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    Finished,
    RolledBack,
    /// Closed at no traffic because another release came.
    Abandoned,
    /// Closed at all traffic with a pass because another release came.
    Superseded,
}
