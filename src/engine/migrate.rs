//! `migrate`: migrations up in file order, or back in the opposite order; each once per attempt.

use super::{
    Engine,
    ledger::Ledger,
    outcome::{Changed, Done},
    step::Subject,
    unit::Migration,
};
use crate::{
    domain::{
        history::{Pending, Release},
        judge::series::millis,
        record::{Direction, Event, Outcome, Step},
    },
    error::{Failure, Told},
    port::{Fault, Task, Treat},
};

/// What a person says of a migration whose end is not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assume {
    Done,
    NotRun,
}

impl Engine<'_> {
    /// Runs what has not run yet. `contract` declares all of them a point of no return for this release.
    pub async fn migrate(&self, contract: bool, assume: Option<Assume>) -> Result<Done, Failure> {
        let ledger = Ledger::load(self).await?;
        if let Some(release) = self.quiet(&ledger, "migrate")
            && self.unit.migrations.iter().all(|m| release.has_migrated(&m.up.name))
        {
            self.bind(release.attempt.opened);
            return Ok(migrated_already(self.unit.migrations.len()));
        }
        self.leased_from(ledger, async |ledger| {
            self.ensure_open(ledger).await?;
            self.hooks(ledger, "before_migrate").await?;
            let done = self.migrate_up(ledger, contract, assume).await?;
            self.hooks(ledger, "after_migrate").await?;
            Ok(done)
        })
        .await
    }

    async fn migrate_up(
        &self,
        ledger: &mut Ledger<'_>,
        contract: bool,
        assume: Option<Assume>,
    ) -> Result<Done, Failure> {
        let mut ran = 0;
        for migration in &self.unit.migrations {
            let Some(release) = ledger.history.open().cloned() else { return Err(super::open::no_release()) };
            if release.has_migrated(&migration.up.name) {
                continue;
            }
            self.one_up(ledger, &release, migration, contract || migration.contract, assume).await?;
            ran += 1;
        }
        Ok(match ran {
            0 => migrated_already(self.unit.migrations.len()),
            n => Done::new(format!("{n} migration{} done", if n == 1 { "" } else { "s" }))
                .next("tidegate deploy"),
        })
    }

    async fn one_up(
        &self,
        ledger: &mut Ledger<'_>,
        release: &Release,
        migration: &Migration,
        contract: bool,
        assume: Option<Assume>,
    ) -> Result<(), Failure> {
        let name = &migration.up.name;
        let task = self.task(Some(release), format!("migrations.{name}"), &Subject::unit());
        let began = self.clock.elapsed();
        let before = self.alive(ledger, self.revision(migration, &task)).await??;
        let intent = match &release.pending {
            Some(Pending {
                seq,
                step: Step::Migrate { migration: open, direction: Direction::Up, revision: recorded, .. },
            }) if open == name => {
                let ran = match (recorded, &before, assume) {
                    (Some(then), Some(now), _) if then == now => false,
                    (Some(_), Some(_), _) | (_, _, Some(Assume::Done)) => true,
                    (_, _, Some(Assume::NotRun)) => false,
                    _ => return Err(unknown_end(name.as_str())),
                };
                if ran {
                    self.progress.line(&format!("migration {name}: it had run before the last run ended"));
                    if let Err(fault) = self.alive(ledger, self.verify(migration, &task)).await?? {
                        return Err(failed_migration(name.as_str(), &fault));
                    }
                    ledger
                        .append(Event::Confirmed {
                            intent: *seq,
                            outcome: Outcome { revision: before, ..Outcome::default() },
                        })
                        .await?;
                    return Ok(());
                }
                *seq
            }
            Some(Pending { step, .. }) => {
                return Err(super::refusal::explain(&crate::domain::decision::Halt::StepOpen {
                    step: step.clone(),
                }));
            }
            None => {
                self.stop.check()?;
                ledger.fence().await?;
                let step = Step::Migrate {
                    migration: name.clone(),
                    direction: Direction::Up,
                    contract,
                    revision: before.clone(),
                };
                ledger.append(Event::Intent { step }).await?
            }
        };
        let recorded_before = match &release.pending {
            Some(Pending { step: Step::Migrate { revision, .. }, .. }) => revision.clone(),
            _ => before,
        };
        ledger.fence().await?;
        self.facts().touch(Changed::Partial);
        self.acting();
        let fail = match self.alive(ledger, self.run_step(&migration.up, &task)).await?? {
            Ok(output) => {
                self.progress.line(&format!("migration {name}: {}", output.summary));
                // It has run: whatever a check says of it, it is not run again blindly.
                self.alive(ledger, self.verify(migration, &task)).await??.err().map(|fault| (fault, false))
            }
            // A tool that ran and failed may be run again; one that nobody heard the end of may not.
            Err(fault) => {
                let known = fault.treat != Treat::OutcomeUnknown;
                Some((fault, known))
            }
        };
        if let Some((fault, settled)) = fail {
            ledger.append(Event::Failed { intent, why: fault.to_string(), settled }).await?;
            return Err(failed_migration(name.as_str(), &fault));
        }
        let after = self.alive(ledger, self.revision(migration, &task)).await??;
        let nothing_ran = recorded_before.is_some() && recorded_before == after;
        if let (Some(before), Some(after)) = (&recorded_before, &after) {
            self.progress.line(&format!("migration {name}: revision {before} -> {after}"));
        }
        let took_ms = millis(self.clock.elapsed().saturating_sub(began));
        let outcome = Outcome { took_ms, revision: after, nothing_ran, ..Outcome::default() };
        ledger.append(Event::Confirmed { intent, outcome }).await?;
        self.facts().changed = Changed::All;
        Ok(())
    }

    /// Takes back what this attempt migrated, last first. Called by a rollback that was asked to.
    pub(crate) async fn migrate_back(&self, ledger: &mut Ledger<'_>) -> Result<Vec<String>, Failure> {
        let mut undone = Vec::new();
        let Some(release) = ledger.history.open().cloned() else { return Ok(undone) };
        for done in release.migrations.iter().rev().filter(|m| !m.undone && !m.nothing_ran) {
            let name = &done.migration;
            if done.uncertain && done.revision_before.is_none() {
                return Err(Failure::Stuck(Told::new(
                    format!(
                        "traffic is back; whether the migration {name} ran is not known, and it has no `revision` to go back to: it is left as it is"
                    ),
                    "look into the database and take it back by hand",
                )));
            }
            let migration = self.unit.migrations.iter().find(|m| &m.up.name == name);
            let Some(undo) = migration.and_then(|m| m.undo.as_ref()) else {
                return Err(Failure::Stuck(Told::new(
                    format!("traffic is back, and the migration {name} has no `undo`: it stays"),
                    "take it back by hand, or restore the snapshot beside the database with `tidegate restore-db`",
                )));
            };
            let subject = Subject {
                extra: done.revision_before.iter().map(|r| ("REVISION_BEFORE", r.clone())).collect(),
                ..Subject::unit()
            };
            let task = self.task(Some(&release), format!("migrations.{name}.undo"), &subject);
            let step = Step::Migrate {
                migration: name.clone(),
                direction: Direction::Back,
                contract: false,
                revision: done.revision_before.clone(),
            };
            let intent = match ledger.history.open().and_then(|r| r.pending.as_ref()) {
                Some(open) if open.step == step => open.seq,
                _ => ledger.append(Event::Intent { step }).await?,
            };
            ledger.fence().await?;
            self.acting();
            match self.alive(ledger, self.run_step(undo, &task)).await?? {
                Ok(_) => {
                    ledger.append(Event::Confirmed { intent, outcome: Outcome::default() }).await?;
                    self.progress.line(&format!("migration {name}: taken back"));
                    undone.push(name.to_string());
                }
                Err(fault) => {
                    ledger.append(Event::Failed { intent, why: fault.to_string(), settled: false }).await?;
                    return Err(Failure::Stuck(Told::new(
                        format!(
                            "traffic is back, and taking back the migration {name} failed: {}",
                            fault.detail
                        ),
                        "mend it and run `tidegate rollback --migrations` again",
                    )));
                }
            }
        }
        Ok(undone)
    }

    async fn revision(&self, migration: &Migration, task: &Task) -> Result<Option<String>, Failure> {
        let Some(step) = &migration.revision else { return Ok(None) };
        match self.run_step(step, task).await? {
            Ok(output) => Ok(Some(output.answer.unwrap_or_default())),
            Err(fault) => Err(Failure::Step(Told::plain(format!(
                "cannot tell the revision of {}: {}; traffic is unchanged",
                migration.up.name, fault.detail
            )))),
        }
    }

    async fn verify(
        &self,
        migration: &Migration,
        task: &Task,
    ) -> Result<Result<(), crate::port::Fault>, Failure> {
        match &migration.verify {
            None => Ok(Ok(())),
            Some(step) => Ok(self.run_step(step, task).await?.map(|_| ())),
        }
    }
}

fn failed_migration(name: &str, fault: &Fault) -> Failure {
    let message = format!(
        "migration {name} failed: {}; traffic is unchanged, and what the migration did to the data is for its own tool to tell",
        fault.detail
    );
    let hint = fault.hint.clone().unwrap_or_else(|| {
        "mend it and run `tidegate migrate` again; or `tidegate rollback --migrations`".into()
    });
    Failure::Step(Told::new(message, hint))
}

fn migrated_already(migrations: usize) -> Done {
    Done::new(match migrations {
        0 => "the unit has no migrations: nothing to do",
        _ => "all migrations have run in this attempt: nothing to do",
    })
    .next("tidegate deploy")
}

fn unknown_end(name: &str) -> Failure {
    Failure::Step(Told::new(
        format!(
            "whether the migration {name} ran is not known: an earlier run was ended in the middle of it, and it has no `revision` to ask; nothing was changed"
        ),
        "look into the database; then `tidegate migrate --assume done` or `tidegate migrate --assume not-run`",
    ))
}
