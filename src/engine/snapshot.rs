//! `snapshot-db`: every database of the unit, once per attempt.

use futures_util::future::join_all;
use std::collections::BTreeMap;

use super::{
    Engine,
    ledger::Ledger,
    outcome::{Changed, Done},
    unit::DatabaseEntry,
};
use crate::{
    domain::{
        duration::spoken,
        history::{Pending, Release},
        judge::series::millis,
        names::EntryName,
        record::{Artifact, Event, Outcome, Step},
        value::Kind,
    },
    error::{Failure, Told},
    port::{Fault, Found},
};

impl Engine<'_> {
    pub async fn snapshot_db(&self) -> Result<Done, Failure> {
        let ledger = Ledger::load(self).await?;
        if let Some(release) = self.quiet(&ledger, "snapshot_db")
            && self.unit.databases.iter().all(|d| release.snapshots.contains_key(&d.name))
        {
            self.bind(release.attempt.opened);
            let done = match self.unit.databases.len() {
                0 => "the unit has no databases: nothing to snapshot",
                _ => "this attempt has its snapshots already: nothing to do",
            };
            return Ok(Done::new(done).next("tidegate migrate"));
        }
        self.leased_from(ledger, async |ledger| {
            self.ensure_open(ledger).await?;
            self.hooks(ledger, "before_snapshot_db").await?;
            let done = self.snapshot(ledger).await?;
            self.hooks(ledger, "after_snapshot_db").await?;
            Ok(done)
        })
        .await
    }

    async fn snapshot(&self, ledger: &mut Ledger<'_>) -> Result<Done, Failure> {
        let Some(release) = ledger.history.open().cloned() else { return Err(super::open::no_release()) };
        if self.unit.databases.is_empty() {
            return Ok(Done::new("the unit has no databases: nothing to snapshot").next("tidegate migrate"));
        }
        let key = self.snapshot_key(&release);
        let missing: Vec<&DatabaseEntry> =
            self.unit.databases.iter().filter(|d| !release.snapshots.contains_key(&d.name)).collect();
        if missing.is_empty() {
            let done = "this attempt has its snapshots already: nothing to do";
            return Ok(Done::new(done).next("tidegate migrate"));
        }
        let began = self.clock.elapsed();
        let intent = match &release.pending {
            Some(Pending { seq, step: Step::Snapshot { .. } }) => *seq,
            Some(Pending { step, .. }) => {
                return Err(super::refusal::explain(&crate::domain::decision::Halt::StepOpen {
                    step: step.clone(),
                }));
            }
            None => {
                self.stop.check()?;
                let keys = missing.iter().map(|d| (d.name.clone(), key.clone())).collect();
                ledger.fence().await?;
                ledger.append(Event::Intent { step: Step::Snapshot { keys } }).await?
            }
        };
        ledger.fence().await?;
        self.acting();
        let takes = join_all(missing.iter().map(|d| async { (d.name.clone(), self.take(d, &key).await) }));
        let results = self.stop.or(self.alive(ledger, takes)).await??;
        let mut artifacts: BTreeMap<EntryName, Artifact> = BTreeMap::new();
        let mut failures = Vec::new();
        for (name, result) in results {
            match result {
                Ok(artifact) => {
                    artifacts.insert(name, artifact);
                }
                Err(fault) => failures.push((name, fault)),
            }
        }
        let some_taken = !artifacts.is_empty();
        if let Some((name, fault)) = failures.into_iter().next() {
            ledger.append(Event::Failed { intent, why: fault.to_string(), settled: true }).await?;
            self.facts().touch(if some_taken { Changed::Partial } else { Changed::None });
            let message = format!("snapshot of {name} failed: {fault}; traffic and data are unchanged");
            let hint = fault.hint.unwrap_or_else(|| {
                "mend it and run `tidegate snapshot-db` again: those taken are kept".into()
            });
            return Err(Failure::Step(Told::new(message, hint)));
        }
        let took_ms = millis(self.clock.elapsed().saturating_sub(began));
        ledger
            .append(Event::Confirmed {
                intent,
                outcome: Outcome { took_ms, artifacts: artifacts.clone(), ..Outcome::default() },
            })
            .await?;
        self.facts().touch(Changed::All);
        ledger.tell(self);
        let took = spoken(self.clock.elapsed().saturating_sub(began));
        Ok(Done::new(format!(
            "{} snapshot{} taken and verified in {took}",
            artifacts.len(),
            if artifacts.len() == 1 { "" } else { "s" }
        ))
        .next("tidegate migrate"))
    }

    /// Finds the snapshot of this key or takes it.
    async fn take(&self, entry: &DatabaseEntry, key: &str) -> Result<Artifact, Fault> {
        let cx = self.within(entry.limit);
        let late = || {
            Fault::temporary("database", "snapshot", entry.name.to_string(), "not done within its limit")
                .hint("give the database a longer `limit`")
        };
        let began = self.clock.elapsed();
        let found = cx.bounded(entry.database.find(&cx, key)).await.map_err(|_| late())??;
        let artifact = match found {
            Found::Ready(artifact) => artifact,
            Found::Absent | Found::Failed(_) | Found::Running(_) => {
                cx.bounded(entry.database.snapshot(&cx, key, self.progress)).await.map_err(|_| late())??
            }
        };
        let size = artifact.bytes.map_or(String::new(), |b| format!("{}, ", Kind::Bytes.show(b as f64)));
        let took = spoken(self.clock.elapsed().saturating_sub(began));
        self.progress.line(&format!("snapshot {}: {size}{took}   {}", entry.name, artifact.id));
        Ok(artifact)
    }

    /// The same attempt always gives the same key.
    fn snapshot_key(&self, release: &Release) -> String {
        let plain = |text: &str| -> String {
            text.chars()
                .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
                .collect()
        };
        let (unit, environment) = (plain(self.unit.name.as_str()), plain(self.unit.environment.as_str()));
        let attempt = &release.attempt;
        let nonce = release.nonce.get(..6).unwrap_or(&release.nonce);
        format!("{unit}-{environment}-{}-{}-{nonce}", plain(attempt.release.as_str()), attempt.opened)
    }
}
