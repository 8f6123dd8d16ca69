//! The unit of a release, connected: what the config builds and the engine drives.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    domain::{
        check::Check,
        duration::Span,
        names::{EntryName, EnvironmentName, TargetName, UnitName},
        share::Share,
        stage::Stages,
    },
    port::{Command, Database, Finding, Journal, Metric, Target},
};

/// Everything one `tidegate.yml` releases in one environment.
pub struct Unit {
    pub name: UnitName,
    pub environment: EnvironmentName,
    /// In the order of the file.
    pub services: Vec<Service>,
    pub databases: Vec<DatabaseEntry>,
    pub migrations: Vec<Migration>,
    pub stages: Stages,
    pub checks: Vec<CheckEntry>,
    /// By adapter name; each answers all checks that name it.
    pub sources: BTreeMap<String, Box<dyn Metric>>,
    pub smoke: Vec<Step>,
    pub hooks: Vec<Hook>,
    pub when: When,
    pub finish: Finish,
    pub journal: Box<dyn Journal>,
    /// The config as text, and its SHA-256 in hex; both go into the journal.
    pub text: String,
    pub digest: String,
    /// What the file says and hardly means.
    pub doubts: Vec<Finding>,
}

pub struct Service {
    pub name: TargetName,
    pub target: Box<dyn Target>,
    /// Brings the candidate up where the target does not do so itself.
    pub deploy: Option<Step>,
    /// Takes the old side down at `finish` where the target does not do so itself.
    pub retire: Option<Step>,
    /// What to deploy, with `{{release}}` in it.
    pub artifact: Option<String>,
    /// Stages of its own: a ramp that is walked by itself.
    pub stages: Option<Stages>,
    /// The stage in which a target that cannot be split goes over.
    pub switch_at: Share,
    /// How long requests in flight get before the old side is taken down.
    pub drain: Duration,
    /// The public face.
    pub url: Option<String>,
    /// Reaches the candidate while it has no traffic.
    pub test_url: Option<String>,
}

impl Service {
    /// The share the target really has when the release stands at `stage`.
    pub fn share_at(&self, stage: Share) -> Share {
        match self.target.caps().splits {
            true => self.target.nearest(stage),
            false if stage >= self.switch_at => Share::ALL,
            false => Share::NONE,
        }
    }
}

/// One step that runs something, within its limit.
pub struct Step {
    pub name: EntryName,
    pub command: Box<dyn Command>,
    pub limit: Duration,
}

pub struct DatabaseEntry {
    pub name: EntryName,
    pub database: Box<dyn Database>,
    /// Our own snapshots older than this are deleted at `finish`.
    pub keep: Option<Span>,
    /// How long a snapshot or restore may take.
    pub limit: Duration,
}

pub struct Migration {
    pub up: Step,
    pub undo: Option<Step>,
    /// Prints the revision; equal before and after means that nothing ran.
    pub revision: Option<Step>,
    pub verify: Option<Step>,
    /// The point of no return: no automatic way back after it.
    pub contract: bool,
}

pub struct CheckEntry {
    pub check: Check,
    /// Key in `Unit::sources`.
    pub source: String,
    /// Only this service; all that the source knows otherwise.
    pub service: Option<TargetName>,
}

pub struct Hook {
    /// `before_deploy`, `after_finish`
    pub moment: String,
    pub step: Step,
}

/// What `rollout` does at a verdict that is not `pass`, or when it is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    pub fail: Reaction,
    pub insufficient: Reaction,
    pub error: Reaction,
    pub cancelled: Reaction,
    /// Traffic is counted elsewhere than it was sent: hold or pass.
    pub elsewhere: Reaction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Stay where it is and say so.
    Hold,
    /// Watch this much longer, once per verdict.
    Extend(Span),
    Rollback,
    /// Of `insufficient` only: go on as if it had passed, and say so.
    Pass,
}

impl Default for When {
    fn default() -> Self {
        When {
            fail: Reaction::Rollback,
            insufficient: Reaction::Hold,
            error: Reaction::Hold,
            cancelled: Reaction::Hold,
            elsewhere: Reaction::Hold,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// How long the old side is kept after the last stage.
    pub keep_old: Span,
    /// How long after the finish the checks are asked again.
    pub recheck: Vec<Span>,
}

impl Default for Finish {
    fn default() -> Self {
        Finish { keep_old: Span::from_secs(3600), recheck: Vec::new() }
    }
}

impl Unit {
    pub fn service(&self, name: &TargetName) -> Option<&Service> {
        self.services.iter().find(|s| &s.name == name)
    }

    pub fn hooks_at<'a>(&'a self, moment: &'a str) -> impl Iterator<Item = &'a Hook> {
        self.hooks.iter().filter(move |h| h.moment == moment)
    }
}
