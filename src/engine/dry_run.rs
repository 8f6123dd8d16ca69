//! `--dry-run`: the same engine over ports that look and do not touch.
//!
//! Writes are told instead of done, and what they would have changed is shown to later looks, so that a
//! whole rollout can be played through. This is the only place that knows of dry runs, but for the watch,
//! which does not wait.

use async_trait::async_trait;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::unit::{DatabaseEntry, Hook, Migration, Service, Step, Unit};
use crate::{
    domain::{
        names::SideName,
        observed::{Health, Instance, Observed},
        record::{Artifact, Record},
        share::Share,
    },
    port::{
        Appended, Caps, Change, Command, Context, Database, Fault, Finding, Found, Journal, Output, Pace,
        Progress, Target, Task, Watching,
    },
};

/// Replaces every port that can write.
pub fn dry(unit: Unit, tell: Arc<dyn Progress>) -> Unit {
    let step = |step: Step| Step { command: Box::new(DryCommand(tell.clone())), ..step };
    Unit {
        services: unit
            .services
            .into_iter()
            .map(|s| Service {
                target: Box::new(DryTarget {
                    inner: s.target,
                    name: s.name.to_string(),
                    tell: tell.clone(),
                    brought_up: s.deploy.is_some(),
                    overlay: Mutex::default(),
                }),
                deploy: s.deploy.map(step),
                retire: s.retire.map(step),
                ..s
            })
            .collect(),
        databases: unit
            .databases
            .into_iter()
            .map(|d| DatabaseEntry {
                database: Box::new(DryDatabase { inner: d.database, name: d.name.to_string() }),
                ..d
            })
            .collect(),
        migrations: unit
            .migrations
            .into_iter()
            .map(|m| Migration {
                up: step(m.up),
                undo: m.undo.map(step),
                revision: m.revision.map(step),
                verify: m.verify.map(step),
                ..m
            })
            .collect(),
        smoke: unit.smoke.into_iter().map(step).collect(),
        hooks: unit.hooks.into_iter().map(|h| Hook { step: step(h.step), ..h }).collect(),
        journal: Box::new(DryJournal { inner: unit.journal, written: Mutex::default() }),
        ..unit
    }
}

/// Progress of a run that only looks: each line says so.
pub struct Told(pub Arc<dyn Progress>);

impl Progress for Told {
    fn line(&self, line: &str) {
        self.0.line(&format!("dry run: {line}"));
    }

    fn output(&self, step: &str, line: &str) {
        self.0.output(step, line);
    }

    fn waiting(&self, subject: &str, text: &str) {
        self.0.waiting(subject, text);
    }

    /// One look is no watch: nothing is shown that could be taken for a verdict.
    fn watching(&self, _: &Watching<'_>) {}
}

#[derive(Default)]
struct Overlay {
    shares: BTreeMap<SideName, Share>,
    deployed: Option<SideName>,
}

struct DryTarget {
    inner: Box<dyn Target>,
    name: String,
    tell: Arc<dyn Progress>,
    /// A step of the file would bring the idle side up.
    brought_up: bool,
    overlay: Mutex<Overlay>,
}

#[async_trait]
impl Target for DryTarget {
    fn caps(&self) -> Caps {
        self.inner.caps()
    }

    fn pace(&self) -> Pace {
        self.inner.pace()
    }

    fn nearest(&self, share: Share) -> Share {
        self.inner.nearest(share)
    }

    async fn observe(&self, cx: &Context) -> Result<Observed, Fault> {
        let mut observed = self.inner.observe(cx).await?;
        let overlay = self.overlay.lock().unwrap_or_else(PoisonError::into_inner);
        for side in &mut observed.sides {
            let idle = side.share == Share::NONE;
            if let Some(share) = overlay.shares.get(&side.name) {
                side.share = *share;
            }
            // A candidate that would have been deployed would be waited for until it is healthy.
            if (idle && self.brought_up) || overlay.deployed.as_ref() == Some(&side.name) {
                if side.instances.is_empty() {
                    let name = format!("{} (not yet there)", side.name);
                    side.instances.push(Instance { name, address: None, health: Health::Up });
                }
                for instance in &mut side.instances {
                    instance.health = Health::Up;
                }
            }
        }
        Ok(observed)
    }

    async fn apply(&self, _: &Context, change: &Change) -> Result<(), Fault> {
        let mut overlay = self.overlay.lock().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::Share(shares) => {
                let words: Vec<String> =
                    shares.iter().map(|(side, share)| format!("{side} {share}")).collect();
                self.tell.line(&format!("would set {}: {}", self.name, words.join(", ")));
                overlay.shares = shares.clone();
            }
            Change::Deploy { side, .. } => {
                self.tell.line(&format!("would deploy {} {side}", self.name));
                overlay.deployed = Some(side.clone());
            }
            Change::Revive { side } => self.tell.line(&format!("would scale {} {side} up", self.name)),
            Change::Retire { side } => self.tell.line(&format!("would retire {} {side}", self.name)),
        }
        Ok(())
    }

    async fn preflight(&self, cx: &Context) -> Vec<Finding> {
        self.inner.preflight(cx).await
    }
}

struct DryDatabase {
    inner: Box<dyn Database>,
    name: String,
}

#[async_trait]
impl Database for DryDatabase {
    async fn find(&self, cx: &Context, key: &str) -> Result<Found, Fault> {
        self.inner.find(cx, key).await
    }

    async fn snapshot(&self, cx: &Context, key: &str, progress: &dyn Progress) -> Result<Artifact, Fault> {
        progress.line(&format!("would snapshot {} as {key}", self.name));
        Ok(Artifact {
            id: key.to_string(),
            bytes: None,
            checksum: None,
            source: "dry run".into(),
            at: cx.clock().now(),
        })
    }

    async fn verify(&self, cx: &Context, artifact: &Artifact) -> Result<(), Fault> {
        self.inner.verify(cx, artifact).await
    }

    async fn restore(
        &self,
        _: &Context,
        artifact: &Artifact,
        into: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, Fault> {
        progress.line(&format!("would restore {} of {} into {into}", artifact.id, self.name));
        Ok(Vec::new())
    }

    async fn list(&self, cx: &Context) -> Result<Vec<Artifact>, Fault> {
        self.inner.list(cx).await
    }

    async fn delete(&self, _: &Context, _: &Artifact) -> Result<(), Fault> {
        Ok(())
    }

    async fn preflight(&self, cx: &Context) -> Vec<Finding> {
        self.inner.preflight(cx).await
    }
}

struct DryCommand(Arc<dyn Progress>);

#[async_trait]
impl Command for DryCommand {
    async fn run(&self, _: &Context, task: &Task, _: &dyn Progress) -> Result<Output, Fault> {
        self.0.line(&format!("would run {}", task.name));
        Ok(Output { answer: None, summary: "not run".into() })
    }
}

/// Keeps what would have been appended in memory.
struct DryJournal {
    inner: Box<dyn Journal>,
    written: Mutex<Vec<Record>>,
}

impl DryJournal {
    fn written(&self) -> Vec<Record> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Journal for DryJournal {
    async fn head(&self, cx: &Context) -> Result<Option<Record>, Fault> {
        match self.written().pop() {
            Some(last) => Ok(Some(last)),
            None => self.inner.head(cx).await,
        }
    }

    async fn read(&self, cx: &Context, seq: u64) -> Result<Option<Record>, Fault> {
        match self.written().into_iter().find(|r| r.seq == seq) {
            Some(record) => Ok(Some(record)),
            None => self.inner.read(cx, seq).await,
        }
    }

    async fn load(&self, cx: &Context, from: u64) -> Result<Vec<Record>, Fault> {
        let written = self.written();
        let first = written.first().map_or(u64::MAX, |r| r.seq);
        let mut records = if from < first { self.inner.load(cx, from).await? } else { Vec::new() };
        records.retain(|r| r.seq < first);
        records.extend(written.into_iter().filter(|r| r.seq >= from));
        Ok(records)
    }

    async fn append(&self, _: &Context, record: &Record) -> Result<Appended, Fault> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
        Ok(Appended::Done)
    }

    async fn preflight(&self, cx: &Context) -> Vec<Finding> {
        self.inner.preflight(cx).await
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn lease_seconds(&self) -> u64 {
        self.inner.lease_seconds()
    }
}
