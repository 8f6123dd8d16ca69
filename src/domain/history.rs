//! Replaying the journal: from records to where a release stands.
//!
//! A sequence that no tidegate could have written is refused: acting on a history that is not
//! understood is how traffic gets lost.

use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

use super::{
    names::{Attempt, EntryName, ReleaseName, SideName, TargetName},
    record::{
        Aim, Artifact, Closing, Direction, Event, Evidence, FORMAT, Holder, Opened, Outcome, Record,
        SmokePhase, Step, Watched,
    },
    share::{Share, Split},
    verdict::{Judgement, Verdict},
};

/// What the records of the newest attempt say.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Number of the last record; 0 in an empty journal.
    pub last: u64,
    /// Nonce of the last record.
    pub head: Option<String>,
    pub lease: Option<Lease>,
    /// The newest attempt, open or closed.
    pub release: Option<Release>,
}

/// The process that may act, as far as the records say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub holder: Holder,
    pub seconds: u64,
    pub rollback: bool,
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Release {
    pub attempt: Attempt,
    pub opened: Opened,
    pub opened_at: Timestamp,
    /// The run that opened it, and the one that last wrote of it.
    pub opened_by: String,
    /// Random per attempt: keeps snapshots of a journal that was lost from being taken for this one's.
    pub nonce: String,
    pub last_run: String,
    /// The candidate's shares as last confirmed or adopted.
    pub split: Split,
    /// The record that confirmed them, and when.
    pub split_since: u64,
    pub split_at: Timestamp,
    /// How the traffic went since the opening.
    pub course: Vec<Stood>,
    /// An intent without an answer.
    pub pending: Option<Pending>,
    pub snapshots: BTreeMap<EntryName, Artifact>,
    /// In the order in which they ran.
    pub migrations: Vec<Migrated>,
    pub deployed: BTreeMap<TargetName, SideName>,
    /// Whether the smoke tests of a phase passed, the last time they ran.
    pub smoked: BTreeMap<Phase, bool>,
    pub verdicts: Vec<Judged>,
    /// The watch at the present split, as far as it got.
    pub watched: Option<Watched>,
    /// The baseline as it was last recorded before a shift.
    pub recorded: Evidence,
    /// The baseline as it was before any traffic had moved.
    pub before: Evidence,
    pub hotfix: Option<String>,
    pub hooks: BTreeSet<(String, EntryName)>,
    /// A rollback has begun: no forward step any more.
    pub undoing: bool,
    /// Why a rollback was asked for that has not begun: until traffic moves, it is still wanted.
    pub asked_back: Option<String>,
    /// Why a rollback is incomplete.
    pub stuck: Option<String>,
    /// Why the last step failed, until another one succeeds.
    pub failed: Option<String>,
    pub retired: bool,
    pub closed: Option<Closed>,
    /// The re-checks after the finish that were made: seconds after it.
    pub rechecked: BTreeSet<u64>,
}

/// Order and identity for `SmokePhase` as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Candidate,
    Public,
}

impl From<SmokePhase> for Phase {
    fn from(phase: SmokePhase) -> Self {
        match phase {
            SmokePhase::Candidate => Phase::Candidate,
            SmokePhase::Public => Phase::Public,
        }
    }
}

/// Where the traffic stood from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stood {
    pub at: Timestamp,
    pub split: Split,
}

#[derive(Clone, Debug)]
pub struct Pending {
    pub seq: u64,
    pub step: Step,
}

#[derive(Clone, Debug)]
pub struct Migrated {
    pub migration: EntryName,
    pub contract: bool,
    pub revision_before: Option<String>,
    pub nothing_ran: bool,
    pub undone: bool,
    /// It was begun, and whether it ended is not known.
    pub uncertain: bool,
}

#[derive(Clone, Debug)]
pub struct Judged {
    pub seq: u64,
    pub at: Timestamp,
    pub split: Split,
    pub verdict: Verdict,
    pub judgements: Vec<Judgement>,
    /// How long had been watched by then, in milliseconds.
    pub watched_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    pub how: Closing,
    pub seq: u64,
    pub at: Timestamp,
    pub reason: Option<String>,
}

/// A journal that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    #[error("record {seq} has format {format}, and this tidegate reads up to {FORMAT}: use a newer tidegate")]
    Newer { seq: u64, format: u32 },
    #[error("record {found} follows record {last}: a record is missing or out of place")]
    Gap { last: u64, found: u64 },
    #[error("record {seq} cannot follow what is before it: {why}")]
    Illegal { seq: u64, why: &'static str },
}

impl History {
    /// Replays records in order. The first must be an `opened`, or the first of the journal.
    pub fn replay(records: &[Record]) -> Result<History, Corrupt> {
        let mut history = History::default();
        for record in records {
            history.push(record)?;
        }
        Ok(history)
    }

    /// Adds the next record.
    pub fn push(&mut self, record: &Record) -> Result<(), Corrupt> {
        if record.format > FORMAT {
            return Err(Corrupt::Newer { seq: record.seq, format: record.format });
        }
        if self.last != 0 && record.seq != self.last + 1 {
            return Err(Corrupt::Gap { last: self.last, found: record.seq });
        }
        let illegal = |why| Corrupt::Illegal { seq: record.seq, why };
        match &record.event {
            Event::Lease { seconds } => self.hold(record, *seconds, false),
            Event::Preempt { seconds, reason } => {
                self.hold(record, *seconds, true);
                if let Some(release) = self.release.as_mut().filter(|release| release.closed.is_none()) {
                    release.asked_back = Some(reason.clone());
                }
            }
            Event::Released => {
                if self.lease.as_ref().is_some_and(|l| l.holder.process == record.holder.process) {
                    self.lease = None;
                }
            }
            Event::Opened(opened) => {
                if self.release.as_ref().is_some_and(|r| r.closed.is_none()) {
                    return Err(illegal("another attempt is open"));
                }
                if record.opened != record.seq {
                    return Err(illegal("an opening record must bear its own number"));
                }
                self.release = Some(Release::open(record, opened));
            }
            event => match (&mut self.release, self.last) {
                (Some(release), _) => release.push(record, event).map_err(illegal)?,
                (None, _) => return Err(illegal("no attempt is open")),
            },
        }
        if self.lease.is_none()
            && matches!(record.event, Event::Opened(_) | Event::Intent { .. } | Event::Confirmed { .. })
        {
            // Loading begins at `opened`, which hides the lease before it: its holder wrote this.
            self.hold(record, 0, false);
        }
        self.last = record.seq;
        self.head = Some(record.nonce.clone());
        Ok(())
    }

    fn hold(&mut self, record: &Record, seconds: u64, rollback: bool) {
        self.lease = Some(Lease { holder: record.holder.clone(), seconds, rollback });
    }

    /// The attempt that is open.
    pub fn open(&self) -> Option<&Release> {
        self.release.as_ref().filter(|r| r.closed.is_none())
    }

    /// The number a new record of this attempt carries as `opened`.
    pub fn opened_seq(&self) -> u64 {
        self.release.as_ref().map_or(0, |r| r.attempt.opened)
    }
}

impl Release {
    fn open(record: &Record, opened: &Opened) -> Self {
        Release {
            attempt: Attempt { release: opened.release.clone(), opened: record.seq },
            opened: opened.clone(),
            opened_at: record.at,
            opened_by: record.holder.run.clone(),
            nonce: record.nonce.clone(),
            last_run: record.holder.run.clone(),
            split: opened.targets.iter().map(|(t, o)| (t.clone(), o.share)).collect(),
            split_since: record.seq,
            split_at: record.at,
            course: vec![Stood {
                at: record.at,
                split: opened.targets.iter().map(|(t, o)| (t.clone(), o.share)).collect(),
            }],
            pending: None,
            snapshots: BTreeMap::new(),
            migrations: Vec::new(),
            deployed: BTreeMap::new(),
            smoked: BTreeMap::new(),
            verdicts: Vec::new(),
            watched: None,
            recorded: Evidence::new(),
            before: Evidence::new(),
            hotfix: None,
            hooks: BTreeSet::new(),
            asked_back: None,
            undoing: false,
            stuck: None,
            failed: None,
            retired: false,
            closed: None,
            rechecked: BTreeSet::new(),
        }
    }

    fn push(&mut self, record: &Record, event: &Event) -> Result<(), &'static str> {
        let finished = self.closed.as_ref().map(|closed| closed.how == Closing::Finished);
        match (finished, event) {
            (None, Event::Rechecked { .. }) => return Err("a re-check of an attempt that is open"),
            (None, _) | (Some(true), Event::Rechecked { .. }) => {}
            (Some(_), _) => return Err("the attempt is closed"),
        }
        if record.opened != self.attempt.opened {
            return Err("it belongs to another attempt");
        }
        self.last_run = record.holder.run.clone();
        match event {
            Event::Intent { step } => self.intend(record.seq, step),
            Event::Confirmed { intent, outcome } => {
                let step = self.answer(*intent)?;
                self.done(record, step, outcome);
                Ok(())
            }
            Event::Failed { intent, why, settled } => {
                let step = self.answer(*intent)?;
                self.failed = Some(why.clone());
                if let Step::Share { aim: Aim::Undo, .. } = step {
                    self.stuck = Some(why.clone());
                }
                if !settled && matches!(step, Step::Share { .. } | Step::Migrate { .. }) {
                    // Nobody knows where the targets, or the data, stand: the next run must look again.
                    self.pending = Some(Pending { seq: *intent, step });
                }
                Ok(())
            }
            Event::Smoked { phase, failed, .. } => {
                self.smoked.insert((*phase).into(), failed.is_empty());
                Ok(())
            }
            Event::Recorded { samples, .. } => {
                self.recorded = samples.clone();
                self.before = samples.clone();
                Ok(())
            }
            Event::Watched(watched) => {
                if watched.since == self.split_since {
                    self.watched = Some(watched.clone());
                }
                Ok(())
            }
            Event::Judged { split, verdict, judgements, watched } => {
                self.verdicts.push(Judged {
                    seq: record.seq,
                    at: record.at,
                    split: split.clone(),
                    verdict: *verdict,
                    judgements: judgements.clone(),
                    watched_ms: watched.watched_ms,
                });
                if watched.since == self.split_since {
                    self.remember_baseline(watched);
                    // a watch that goes on after its end goes on with its evidence; but nothing waits for it any more:
                    // what becomes of a verdict somebody decides, and no schedule
                    self.watched = Some(Watched { goal: None, ..watched.clone() });
                }
                Ok(())
            }
            Event::Hotfix { reason } => {
                self.hotfix = Some(reason.clone());
                Ok(())
            }
            Event::Adopted { split } => {
                self.pending = None;
                self.move_to(record, split.clone());
                Ok(())
            }
            Event::RevertedOutside => {
                let origin = self.origin_split();
                self.pending = None;
                self.move_to(record, origin);
                Ok(())
            }
            Event::Closed { how, reason } => {
                if self.pending.is_some() {
                    return Err("a step is still open");
                }
                self.closed =
                    Some(Closed { how: *how, seq: record.seq, at: record.at, reason: reason.clone() });
                Ok(())
            }
            Event::Rechecked { after_seconds, .. } => {
                self.rechecked.extend(after_seconds);
                Ok(())
            }
            Event::Lease { .. } | Event::Preempt { .. } | Event::Released | Event::Opened(_) => Ok(()),
        }
    }

    fn intend(&mut self, seq: u64, step: &Step) -> Result<(), &'static str> {
        let undo = matches!(step, Step::Share { aim: Aim::Undo, .. });
        let back =
            undo || matches!(step, Step::Migrate { direction: Direction::Back, .. } | Step::Hook { .. });
        let begins = undo || matches!(step, Step::Hook { moment, .. } if moment == "before_rollback");
        if self.undoing && !back {
            return Err("a forward step after a rollback began");
        }
        if self.pending.is_some() && !undo {
            return Err("the step before has no answer");
        }
        self.undoing |= begins;
        self.remember_open_migration();
        self.pending = Some(Pending { seq, step: step.clone() });
        Ok(())
    }

    /// A rollback takes over from an open migration: what that did to the data is not forgotten with it.
    fn remember_open_migration(&mut self) {
        let Some(Pending {
            step: Step::Migrate { migration, direction: Direction::Up, contract, revision },
            ..
        }) = &self.pending
        else {
            return;
        };
        self.migrations.push(Migrated {
            migration: migration.clone(),
            contract: *contract,
            revision_before: revision.clone(),
            nothing_ran: false,
            undone: false,
            uncertain: true,
        });
    }

    fn answer(&mut self, intent: u64) -> Result<Step, &'static str> {
        match self.pending.take() {
            Some(pending) if pending.seq == intent => Ok(pending.step),
            Some(_) => Err("it answers another intent"),
            None => Err("it answers no intent"),
        }
    }

    fn done(&mut self, record: &Record, step: Step, outcome: &Outcome) {
        self.failed = None;
        match step {
            Step::Snapshot { .. } => self.snapshots.extend(outcome.artifacts.clone()),
            Step::Migrate { migration, direction: Direction::Up, contract, revision } => {
                self.migrations.push(Migrated {
                    migration,
                    contract,
                    revision_before: revision,
                    nothing_ran: outcome.nothing_ran,
                    undone: false,
                    uncertain: false,
                });
            }
            Step::Migrate { migration, direction: Direction::Back, .. } => {
                if let Some(done) =
                    self.migrations.iter_mut().rev().find(|m| m.migration == migration && !m.undone)
                {
                    done.undone = true;
                }
            }
            Step::Deploy { sides } => {
                self.deployed.extend(sides);
                self.smoked.clear();
            }
            Step::Share { moves, .. } => {
                self.stuck = None;
                let mut split = self.split.clone();
                split.extend(moves.into_iter().map(|(target, m)| (target, m.wanted)));
                self.move_to(record, split);
            }
            Step::Retire { .. } => self.retired = true,
            Step::Hook { moment, hook } => {
                self.hooks.insert((moment, hook));
            }
        }
    }

    fn move_to(&mut self, record: &Record, split: Split) {
        self.split = split;
        self.split_since = record.seq;
        self.split_at = record.at;
        self.asked_back = None;
        self.course.push(Stood { at: record.at, split: self.split.clone() });
        self.watched = None;
    }

    /// Keeps what the baseline showed during a watch, for later stages in which it has no traffic. What it showed
    /// where it had little left says less than what it showed before.
    fn remember_baseline(&mut self, watched: &Watched) {
        for (check, targets) in &watched.series {
            for (target, series) in targets {
                let seen = series.baseline_summary();
                if seen == super::sample::Sample::Empty {
                    continue;
                }
                let recorded = self.recorded.entry(check.clone()).or_default();
                let enough = recorded.get(target).map_or(0, super::sample::Sample::events) / 2;
                if seen.events() >= enough {
                    recorded.insert(target.clone(), seen);
                }
            }
        }
    }

    pub fn name(&self) -> &ReleaseName {
        &self.attempt.release
    }

    /// The candidate's shares when the release opened.
    pub fn origin_split(&self) -> Split {
        self.opened.targets.iter().map(|(t, o)| (t.clone(), o.share)).collect()
    }

    /// Whether what was watched since this record is still how the traffic stands.
    pub fn watched_still(&self, since: u64) -> bool {
        self.split_since == since && !self.undoing && self.pending.is_none()
    }

    /// Whether every target stands at `share`.
    pub fn stands_at(&self, share: Share) -> bool {
        self.split.values().all(|s| *s == share)
    }

    /// The lowest share over the targets: how far the whole unit has got.
    pub fn reached(&self) -> Share {
        self.split.values().copied().min().unwrap_or(Share::NONE)
    }

    /// The newest verdict for the present split, given after it was confirmed.
    pub fn verdict_here(&self) -> Option<&Judged> {
        self.verdicts.iter().rev().find(|j| j.seq > self.split_since && j.split == self.split)
    }

    /// The verdict that ended this attempt, if one did.
    pub fn failure(&self) -> Option<&Judged> {
        self.verdicts.iter().find(|j| j.verdict == Verdict::Fail)
    }

    /// Whether this migration ran in this attempt and was not taken back.
    pub fn has_migrated(&self, name: &EntryName) -> bool {
        self.migrations.iter().any(|m| &m.migration == name && !m.undone)
    }

    /// The contracting migration that ran, or may have run, and cannot be taken back by itself.
    pub fn frozen_by(&self) -> Option<&EntryName> {
        let open = match &self.pending {
            Some(Pending { step: Step::Migrate { migration, contract: true, .. }, .. }) => Some(migration),
            _ => None,
        };
        let ran = self.migrations.iter().find(|m| m.contract && !m.nothing_ran && !m.undone);
        ran.map(|m| &m.migration).or(open)
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
