//! A database that commands of the user's snapshot.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf};

use super::store::Store;
use crate::{
    adapter::{
        command::run::check,
        process::{Ended, Job, Stopped, ending, killed, with_tail},
    },
    domain::{names::EntryName, record::Artifact},
    port::{
        Context, Database, Fault, Finding, Found, Grade, Progress, Treat,
        adapter::{Adapter, DatabaseAdapter, Setting},
    },
};

/// Commands for `sh -eu` that take and restore snapshots of anything.
///
/// The last line `command` prints is the snapshot's id; it is noted in tidegate's state folder, so that the
/// same attempt never runs it twice. Where that folder does not outlive the job, `find` tells whether there
/// is one already. tidegate believes these commands: only with `verify` is anything proved.
pub struct Run {
    name: EntryName,
    config: Config,
    folder: PathBuf,
    store: Store,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Takes the snapshot `TIDEGATE_SNAPSHOT_KEY` and prints its id last.
    command: String,
    /// Prints the id of the snapshot `TIDEGATE_SNAPSHOT_KEY`, or nothing if there is none.
    #[serde(default)]
    find: Option<String>,
    /// Exits 0 if `TIDEGATE_SNAPSHOT` (the id) is whole.
    #[serde(default)]
    verify: Option<String>,
    /// Restores `TIDEGATE_SNAPSHOT` into a new database `TIDEGATE_INTO`, which must not exist.
    #[serde(default)]
    restore: Option<String>,
    /// Deletes `TIDEGATE_SNAPSHOT`; one that is gone is a success.
    #[serde(default)]
    delete: Option<String>,
}

impl Adapter for Run {
    const NAME: &'static str = "run";
    const SUMMARY: &'static str = "Shell commands that snapshot and restore anything";
    const SHORT: Option<&'static str> = Some("command");
    type Config = Config;
}

impl DatabaseAdapter for Run {
    fn connect(name: &EntryName, config: Config, setting: &Setting) -> Result<Box<dyn Database>, String> {
        let Config { command, find, verify, restore, delete } = &config;
        check(command)?;
        for command in [find, verify, restore, delete].into_iter().flatten() {
            check(command)?;
        }
        let store = Store::new("run", "none", name, None, setting);
        Ok(Box::new(Run { name: name.clone(), config, folder: setting.base.clone(), store }))
    }
}

#[async_trait]
impl Database for Run {
    async fn find(&self, cx: &Context, key: &str) -> Result<Found, Fault> {
        match self.store.find(key)? {
            Found::Absent => self.ask(cx, key).await,
            known => Ok(known),
        }
    }

    async fn snapshot(&self, cx: &Context, key: &str, progress: &dyn Progress) -> Result<Artifact, Fault> {
        // One process at a time; whoever waited finds the other's snapshot.
        let _claim = self.store.claim(cx, key).await?;
        let refuse = |why: String| Fault::permanent("run", "take the snapshot", self.name.as_str(), why);
        let found = match self.store.find(key)? {
            // It is this process that holds the claim.
            Found::Absent | Found::Running(_) => self.ask(cx, key).await?,
            known => known,
        };
        match found {
            Found::Ready(artifact) => {
                self.store.note(key, &artifact)?;
                return Ok(artifact);
            }
            Found::Failed(why) => return Err(refuse(why)),
            Found::Absent | Found::Running(_) => {}
        }
        let at = cx.clock().now();
        let variables = [("SNAPSHOT_KEY", key)];
        let ended =
            self.run(cx, &self.config.command, &variables, "take the snapshot", Some(progress)).await?;
        let id = ended.answer.ok_or_else(|| {
            refuse("the command ended well but printed no id".into())
                .hint("its last line must be the snapshot's id, such as a path")
        })?;
        let artifact = Artifact { at, ..self.artifact(cx, id) };
        self.store.note(key, &artifact)?;
        Ok(artifact)
    }

    async fn verify(&self, cx: &Context, artifact: &Artifact) -> Result<(), Fault> {
        if let Some(verify) = &self.config.verify {
            self.run(cx, verify, &[("SNAPSHOT", &artifact.id)], "verify the snapshot", None).await?;
        }
        Ok(())
    }

    async fn restore(
        &self,
        cx: &Context,
        artifact: &Artifact,
        into: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, Fault> {
        let restore = self.config.restore.as_ref().ok_or_else(|| {
            Fault::permanent("run", "restore", &artifact.id, "there is no command for it")
                .hint(format!("give databases.{} a `restore:` command", self.name))
        })?;
        let variables = [("SNAPSHOT", artifact.id.as_str()), ("INTO", into)];
        self.run(cx, restore, &variables, "restore", Some(progress)).await?;
        Ok(vec![
            format!("the restore command of {} ended well: {} into {into}", self.name, artifact.id),
            format!("it lacks everything written after {}", artifact.at),
        ])
    }

    async fn list(&self, _: &Context) -> Result<Vec<Artifact>, Fault> {
        self.store.list()
    }

    async fn delete(&self, cx: &Context, artifact: &Artifact) -> Result<(), Fault> {
        if !self.store.list()?.iter().any(|known| known.id == artifact.id) {
            // Gone already, or not ours.
            return Ok(());
        }
        let delete = self.config.delete.as_ref().ok_or_else(|| {
            Fault::permanent("run", "delete the snapshot", &artifact.id, "there is no command for it")
                .hint(format!("give databases.{} a `delete:` command, or leave `keep` out", self.name))
        })?;
        self.run(cx, delete, &[("SNAPSHOT", &artifact.id)], "delete the snapshot", None).await?;
        self.store.forget(artifact)
    }

    async fn preflight(&self, _: &Context) -> Vec<Finding> {
        let about = format!("databases.{}", self.name);
        let mut found = Vec::new();
        if self.config.verify.is_none() {
            let text = "its snapshots are not verified by anyone; a `verify:` command would do it";
            found.push(Finding::new(Grade::Unknown, &about, text));
        }
        if self.config.restore.is_none() {
            let text = "there is no `restore:` command: going back is by hand";
            found.push(Finding::new(Grade::Warn, &about, text));
        }
        found
    }
}

impl Run {
    /// Asks the `find` command.
    async fn ask(&self, cx: &Context, key: &str) -> Result<Found, Fault> {
        let Some(find) = &self.config.find else { return Ok(Found::Absent) };
        let ended = self.run(cx, find, &[("SNAPSHOT_KEY", key)], "find the snapshot", None).await;
        // A look changes nothing, whatever became of it.
        let ended = ended.map_err(|fault| match fault.treat {
            Treat::OutcomeUnknown => Fault { treat: Treat::Temporary, ..fault },
            _ => fault,
        })?;
        Ok(match ended.answer {
            Some(id) => Found::Ready(self.artifact(cx, id)),
            None => Found::Absent,
        })
    }

    fn artifact(&self, cx: &Context, id: String) -> Artifact {
        let source = format!("{} by command", self.name);
        Artifact { id, bytes: None, checksum: None, source, at: cx.clock().now() }
    }

    async fn run(
        &self,
        cx: &Context,
        command: &str,
        variables: &[(&str, &str)],
        operation: &str,
        progress: Option<&dyn Progress>,
    ) -> Result<Ended, Fault> {
        let variables: BTreeMap<_, _> =
            variables.iter().map(|(name, value)| (format!("TIDEGATE_{name}"), value.to_string())).collect();
        let step = format!("databases.{}", self.name);
        let job = Job::shell(command, &self.folder).variables(&variables);
        let ended = job
            .run(cx, &mut |_, line| {
                if let Some(progress) = progress {
                    progress.output(&step, line);
                }
            })
            .await;
        match ended {
            Ok(ended) if ended.status.success() => Ok(ended),
            Ok(ended) => {
                Err(Fault::permanent("run", operation, &step, with_tail(&ending(ended.status), &ended.tail)))
            }
            Err(Stopped::NotStarted(why)) => Err(Fault::permanent("run", operation, &step, why)),
            Err(Stopped::TimedOut { limit, tail }) => {
                Err(Fault::outcome_unknown("run", operation, &step, with_tail(&killed(limit), &tail)))
            }
            Err(Stopped::Lost(why)) => Err(Fault::outcome_unknown("run", operation, &step, why)),
        }
    }
}
