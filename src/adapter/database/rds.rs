//! Databases of RDS, by its own snapshots: instances, Aurora, Multi-AZ and Neptune clusters, DocumentDB.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    adapter::aws::{Access, Aws},
    domain::{names::EntryName, record::Artifact},
    port::{
        Context, Database, Fault, Finding, Found, Progress, Treat,
        adapter::{Adapter, DatabaseAdapter, Setting},
    },
};
use api::{Api, Created, Source};
use name::{Owner, identifier, snapshot_id, tag_value};
use told::{Snapshot, State, Status};
use wait::Pauses;

mod api;
mod name;
mod preflight;
mod restore;
mod restore_cluster;
mod told;
mod wait;

/// How often a snapshot that was begun may not be seen.
const ABSENT_MAX: u32 = 3;

/// A database of Amazon RDS: an instance, or a cluster (Aurora, Multi-AZ, Neptune), by its own snapshots.
///
/// The snapshot's identifier comes from the attempt, so an attempt never takes two, and a run that was cut
/// off finds the one it began. Only snapshots with tidegate's tags are believed, listed and deleted. The
/// database must be `available`; a Single-AZ instance suspends I/O for seconds to minutes meanwhile.
///
/// A restore makes a new instance or cluster with the original's network, security groups, parameter
/// groups, class and tags; a restore that was cut off is continued when it is asked for again.
pub struct Rds;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RdsConfig {
    /// The identifier of a DB instance that is in no cluster.
    #[serde(default)]
    instance: Option<String>,
    /// The identifier of a cluster, instead of `instance`.
    #[serde(default)]
    cluster: Option<String>,
    /// Region, profile, role, endpoint.
    #[serde(default)]
    aws: Access,
}

impl Adapter for Rds {
    const NAME: &'static str = "rds";
    const SUMMARY: &'static str = "An RDS instance or Aurora cluster, by its own snapshots";
    type Config = RdsConfig;
}

impl DatabaseAdapter for Rds {
    fn connect(name: &EntryName, config: RdsConfig, setting: &Setting) -> Result<Box<dyn Database>, String> {
        let source = match (config.instance, config.cluster) {
            (Some(instance), None) => Source::Instance(identifier(&instance)?),
            (None, Some(cluster)) => Source::Cluster(identifier(&cluster)?),
            _ => return Err("write `instance` or `cluster`, one of them".into()),
        };
        Ok(Box::new(Snapshots::new(Self::NAME, name, source, &config.aws, setting)))
    }
}

/// A cluster of Amazon DocumentDB, by its own snapshots. DocumentDB answers to the API of RDS: the
/// permissions are those of `rds`, and so is all that is said there of clusters.
pub struct DocumentDb;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentDbConfig {
    /// The identifier of the cluster; elastic clusters are another service.
    cluster: String,
    /// Region, profile, role, endpoint.
    #[serde(default)]
    aws: Access,
}

impl Adapter for DocumentDb {
    const NAME: &'static str = "documentdb";
    const SUMMARY: &'static str = "A DocumentDB cluster, by its own snapshots";
    const SHORT: Option<&'static str> = Some("cluster");
    type Config = DocumentDbConfig;
}

impl DatabaseAdapter for DocumentDb {
    fn connect(
        name: &EntryName,
        config: DocumentDbConfig,
        setting: &Setting,
    ) -> Result<Box<dyn Database>, String> {
        let source = Source::Cluster(identifier(&config.cluster)?);
        Ok(Box::new(Snapshots::new(Self::NAME, name, source, &config.aws, setting)))
    }
}

/// The snapshots of one instance or cluster.
struct Snapshots {
    /// The adapter's name, for messages.
    kind: &'static str,
    name: EntryName,
    owner: Owner,
    api: Api,
}

impl Snapshots {
    /// A snapshot that an attempt of this unit took. A copy that a person made of it keeps the tags, and has
    /// another identifier than they say.
    fn is_ours(&self, snapshot: &Snapshot) -> bool {
        self.owner.owns(&snapshot.tags) && snapshot.tags.get(name::SNAPSHOT) == Some(&snapshot.id)
    }
}

#[async_trait]
impl Database for Snapshots {
    async fn find(&self, cx: &Context, key: &str) -> Result<Found, Fault> {
        let Some(snapshot) = self.look(cx, key).await? else { return Ok(Found::Absent) };
        Ok(match snapshot.state() {
            State::Available => Found::Ready(self.artifact(&snapshot)),
            State::Running => Found::Running(snapshot.percent),
            State::Deleting => Found::Absent,
            State::Failed => Found::Failed(failed(&snapshot)),
        })
    }

    async fn snapshot(&self, cx: &Context, key: &str, progress: &dyn Progress) -> Result<Artifact, Fault> {
        match self.look(cx, key).await? {
            Some(snapshot) => match snapshot.state() {
                State::Available => return Ok(self.artifact(&snapshot)),
                State::Running => {}
                State::Failed | State::Deleting => {
                    self.remove(cx, &snapshot).await?;
                    self.until_gone(cx, key, progress).await?;
                    self.begin(cx, key, progress).await?;
                }
            },
            None => self.begin(cx, key, progress).await?,
        }
        self.until_available(cx, key, progress).await
    }

    /// Proves that the snapshot is there, ours, whole as AWS reckons it, and encrypted if its database is.
    /// RDS lets nobody read a snapshot; only a restore proves more.
    async fn verify(&self, cx: &Context, artifact: &Artifact) -> Result<(), Fault> {
        let snapshot = self.ours(cx, "verify the snapshot", &artifact.id).await?;
        let encrypted = self.api.status(cx).await?.is_some_and(|source| source.encrypted);
        match encrypted && !snapshot.encrypted {
            true => Err(self.permanent(
                "verify the snapshot",
                &artifact.id,
                "its database is encrypted, it is not",
            )),
            false => Ok(()),
        }
    }

    async fn restore(
        &self,
        cx: &Context,
        artifact: &Artifact,
        into: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, Fault> {
        self.restore_into(cx, artifact, into, progress).await
    }

    async fn list(&self, cx: &Context) -> Result<Vec<Artifact>, Fault> {
        let all = self.api.snapshots(cx).await?;
        let ours = all.iter().filter(|s| {
            s.state() == State::Available && self.is_ours(s) && s.at != jiff::Timestamp::UNIX_EPOCH
        });
        let mut ours: Vec<Artifact> = ours.map(|s| self.artifact(s)).collect();
        ours.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        Ok(ours)
    }

    async fn delete(&self, cx: &Context, artifact: &Artifact) -> Result<(), Fault> {
        let Some(snapshot) = self.api.snapshot(cx, &artifact.id).await? else { return Ok(()) };
        if !self.is_ours(&snapshot) || snapshot.of != self.api.source.id() {
            let why = format!("it is not ours: {}; it was left as it is", name::whose(&snapshot.tags));
            return Err(self.permanent("delete the snapshot", &artifact.id, why));
        }
        self.remove(cx, &snapshot).await
    }

    async fn preflight(&self, cx: &Context) -> Vec<Finding> {
        self.api.aws.introduced(cx, self.findings(cx)).await
    }
}

impl Snapshots {
    fn new(
        kind: &'static str,
        name: &EntryName,
        source: Source,
        access: &Access,
        setting: &Setting,
    ) -> Snapshots {
        let owner = Owner::new(setting.unit.as_str(), setting.environment.as_str(), name.as_str());
        let api = Api { aws: Aws::shared(access, setting), source };
        Snapshots { kind, name: name.clone(), owner, api }
    }

    fn id(&self, key: &str) -> String {
        snapshot_id(key, self.name.as_str(), self.api.source.snapshot_id_max())
    }

    fn subject(&self) -> String {
        format!("snapshot {}", self.name)
    }

    fn permanent(&self, operation: &str, object: &str, why: impl std::fmt::Display) -> Fault {
        Fault::permanent(self.kind, operation, object, why)
    }

    /// The snapshot of this key. One of somebody else under its identifier is a fault.
    async fn look(&self, cx: &Context, key: &str) -> Result<Option<Snapshot>, Fault> {
        let id = self.id(key);
        let Some(snapshot) = self.api.snapshot(cx, &id).await? else { return Ok(None) };
        let ours = self.is_ours(&snapshot)
            && snapshot.tags.get(name::KEY) == Some(&tag_value(key))
            && snapshot.of == self.api.source.id();
        if ours {
            return Ok(Some(snapshot));
        }
        let why = format!(
            "there is a snapshot of {} under this identifier that is not ours: {}; it was left as it is",
            snapshot.of,
            name::whose(&snapshot.tags)
        );
        let hint = "rename or delete it if nobody needs it, or give this database another name in the file";
        Err(self.permanent("take the snapshot", &id, why).hint(hint))
    }

    /// A whole snapshot of ours.
    async fn ours(&self, cx: &Context, operation: &str, id: &str) -> Result<Snapshot, Fault> {
        let Some(snapshot) = self.api.snapshot(cx, id).await? else {
            return Err(self.permanent(operation, id, "it does not exist any more"));
        };
        if !self.is_ours(&snapshot) || snapshot.of != self.api.source.id() {
            return Err(self.permanent(
                operation,
                id,
                format!("it is not ours: {}", name::whose(&snapshot.tags)),
            ));
        }
        match snapshot.state() {
            State::Available => Ok(snapshot),
            _ => Err(self.permanent(operation, id, format!("its status is `{}`", snapshot.status))),
        }
    }

    /// Asks for the snapshot, once.
    async fn begin(&self, cx: &Context, key: &str, progress: &dyn Progress) -> Result<(), Fault> {
        const OPERATION: &str = "take the snapshot";
        let (id, source) = (self.id(key), self.api.source.id());
        if let Some(text) = self.ready(cx).await?.suspended() {
            progress.line(&format!("{}: {text}", self.subject()));
        }
        let mut tags = self.owner.tags();
        tags.push((name::KEY.into(), tag_value(key)));
        tags.push((name::SNAPSHOT.into(), id.clone()));
        match self.api.create_snapshot(cx, &id, &tags).await {
            Ok(Created::Begun) => Ok(()),
            // one who asked before us, or the same request twice
            Ok(Created::Exists) => self.look(cx, key).await.map(|_| ()),
            Ok(Created::State(why)) => Err(Fault::temporary(self.kind, OPERATION, source, why)
                .hint("nothing was taken; run it again when the database is available")),
            Ok(Created::Quota(why)) => Err(self.permanent(OPERATION, source, why).hint(
                "delete old manual snapshots, ask AWS for a higher quota, or let tidegate delete its own: \
                 `keep: 14d` beside the database",
            )),
            Ok(Created::NoSource) => Err(self.absent(OPERATION)),
            Err(fault) if fault.treat == Treat::OutcomeUnknown => match self.look(cx, key).await {
                Ok(Some(_)) => Ok(()),
                _ => Err(fault.hint("run it again: if the snapshot was begun after all, it is found")),
            },
            Err(fault) => Err(fault),
        }
    }

    fn absent(&self, operation: &str) -> Fault {
        let fault = self.permanent(operation, self.api.source.id(), "it does not exist in this region");
        fault.hint("look at the identifier, the region and the account: `aws rds describe-db-instances`, `aws rds describe-db-clusters`")
    }

    /// The database; a fault unless a snapshot can be taken of it now.
    async fn ready(&self, cx: &Context) -> Result<Status, Fault> {
        const OPERATION: &str = "take the snapshot";
        let Some(status) = self.api.status(cx).await? else { return Err(self.absent(OPERATION)) };
        if let Some(cluster) = &status.member_of {
            return Err(self
                .permanent(
                    OPERATION,
                    self.api.source.id(),
                    format!("it is a member of the cluster {cluster}"),
                )
                .hint(format!("RDS snapshots the cluster: write `rds: {{cluster: {cluster}}}`")));
        }
        if status.status == "available" {
            return Ok(status);
        }
        let why =
            format!("its status is `{}`, and RDS takes snapshots only of what is `available`", status.status);
        Err(Fault::temporary(self.kind, OPERATION, self.api.source.id(), why)
            .hint("nothing was taken; run it again when the database is available"))
    }

    async fn until_available(
        &self,
        cx: &Context,
        key: &str,
        progress: &dyn Progress,
    ) -> Result<Artifact, Fault> {
        const OPERATION: &str = "take the snapshot";
        let (id, mut absent) = (self.id(key), 0);
        let late =
            Fault::temporary(self.kind, OPERATION, &id, "not done within the limit; it goes on in AWS")
                .hint("run it again: the same snapshot is waited for; give the database a longer `limit`");
        let mut pauses = Pauses::new(cx, progress, self.subject());
        loop {
            let Some(snapshot) = self.look(cx, key).await? else {
                absent += 1;
                // what was just begun may take a moment to show
                if absent > ABSENT_MAX {
                    return Err(self.permanent(OPERATION, &id, "somebody deleted it meanwhile"));
                }
                pauses.pause("not to be seen yet", &late).await?;
                continue;
            };
            let text = match (snapshot.state(), snapshot.percent) {
                (State::Available, _) => return Ok(self.artifact(&snapshot)),
                (State::Running, Some(percent)) => format!("{}, {percent} %", snapshot.status),
                (State::Running, None) => snapshot.status.clone(),
                (State::Deleting, _) => {
                    return Err(self.permanent(OPERATION, &id, "somebody deletes it meanwhile"));
                }
                (State::Failed, _) => {
                    let why = format!("{}{}", failed(&snapshot), self.api.events(cx, &id).await);
                    let hint = "run it again: the failed one is deleted and another taken";
                    return Err(self.permanent(OPERATION, &id, why).hint(hint));
                }
            };
            pauses.pause(&text, &late).await?;
        }
    }

    /// Deletes a snapshot that was just seen to be ours.
    async fn remove(&self, cx: &Context, snapshot: &Snapshot) -> Result<(), Fault> {
        if snapshot.state() == State::Deleting {
            return Ok(());
        }
        let Err(fault) = self.api.delete_snapshot(cx, &snapshot.id).await else { return Ok(()) };
        // done after all, or by another: gone is gone
        match self.api.snapshot(cx, &snapshot.id).await {
            Ok(None) => Ok(()),
            Ok(Some(seen)) if seen.state() == State::Deleting => Ok(()),
            _ => Err(fault),
        }
    }

    async fn until_gone(&self, cx: &Context, key: &str, progress: &dyn Progress) -> Result<(), Fault> {
        let late = Fault::temporary(
            self.kind,
            "delete the failed snapshot",
            self.id(key),
            "not done within the limit",
        );
        let mut pauses = Pauses::new(cx, progress, self.subject());
        while self.look(cx, key).await?.is_some() {
            pauses.pause("deleting the failed one", &late).await?;
        }
        Ok(())
    }

    fn artifact(&self, snapshot: &Snapshot) -> Artifact {
        let source =
            format!("{} {}, {} {}", self.kind, snapshot.of, snapshot.engine, snapshot.engine_version);
        // RDS tells the size that was allocated and not that of the snapshot
        Artifact { id: snapshot.id.clone(), bytes: None, checksum: None, source, at: snapshot.at }
    }
}

fn failed(snapshot: &Snapshot) -> String {
    format!("AWS says that it is `{}`", snapshot.status)
}
