//! `restore-db`: a snapshot into a new database, never over the old one. It opens no release and holds no
//! lease: nothing of a release depends on it.

use super::{
    Engine,
    ledger::Ledger,
    outcome::{Changed, Done},
};
use crate::{
    domain::{names::EntryName, record::Artifact},
    error::{Failure, Told},
};

impl Engine<'_> {
    /// Restores the snapshot `from` (its id; the open attempt's if absent) of `database` into `into`.
    pub async fn restore_db(
        &self,
        database: &EntryName,
        from: Option<&str>,
        into: &str,
    ) -> Result<Done, Failure> {
        let Some(entry) = self.unit.databases.iter().find(|d| &d.name == database) else {
            let known: Vec<&str> = self.unit.databases.iter().map(|d| d.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_string() } else { known.join(", ") };
            return Err(Failure::usage(format!("there is no database `{database}`; known: {known}")));
        };
        let artifact = self.find_artifact(entry, from).await?;
        let cx = self.within(entry.limit);
        let left = "nothing was overwritten";
        let verified = self.stop.or(cx.bounded(entry.database.verify(&cx, &artifact))).await?;
        match verified {
            Ok(Ok(())) => self.progress.line(&format!("verified {}", artifact.id)),
            Ok(Err(fault)) => return Err(Failure::in_step(&fault, left)),
            Err(_) => {
                return Err(Failure::Step(Told::plain(format!(
                    "verifying {} took longer than the limit; {left}",
                    artifact.id
                ))));
            }
        }
        let restored =
            self.stop.or(cx.bounded(entry.database.restore(&cx, &artifact, into, self.progress))).await?;
        match restored {
            Ok(Ok(next)) => {
                let mut facts = self.facts();
                facts.touch(Changed::All);
                facts.details.extend(next);
                Ok(Done::new(format!("restored {} of {} into {into}", artifact.id, database)))
            }
            Ok(Err(fault)) => Err(Failure::in_step(&fault, left)),
            Err(_) => Err(Failure::Step(Told::new(
                format!(
                    "the restore into {into} took longer than the limit of {} s and was ended; {left}",
                    entry.limit.as_secs()
                ),
                format!("drop {into}, give the database a longer `limit`, and run it again"),
            ))),
        }
    }

    async fn find_artifact(
        &self,
        entry: &super::unit::DatabaseEntry,
        from: Option<&str>,
    ) -> Result<Artifact, Failure> {
        let cx = self.call();
        let listed = cx.bounded(entry.database.list(&cx)).await;
        let list = match listed {
            Ok(Ok(list)) => list,
            Ok(Err(fault)) => return Err(Failure::before_any_write(&fault)),
            Err(_) => {
                return Err(Failure::Unreachable(Told::plain(
                    "listing the snapshots took too long; nothing was changed",
                )));
            }
        };
        let wanted = match from {
            Some(id) => Some(id.to_string()),
            None => {
                let ledger = Ledger::load(self).await?;
                ledger
                    .history
                    .release
                    .as_ref()
                    .and_then(|r| r.snapshots.get(&entry.name))
                    .map(|a| a.id.clone())
            }
        };
        let newest = list.last().cloned();
        match wanted {
            None => newest
                .ok_or_else(|| Failure::usage(format!("there is no snapshot of {} of ours", entry.name))),
            Some(id) => list.iter().find(|a| a.id == id).cloned().ok_or_else(|| {
                let ids: Vec<&str> = list.iter().rev().take(10).map(|a| a.id.as_str()).collect();
                Failure::Usage {
                    message: format!("there is no snapshot `{id}` of {}", entry.name),
                    hint: Some(format!(
                        "known, newest first: {}",
                        if ids.is_empty() { "none".into() } else { ids.join(", ") }
                    )),
                }
            }),
        }
    }
}
