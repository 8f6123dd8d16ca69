//! A database that can be snapshotted before a release and restored beside itself.

use async_trait::async_trait;

use super::{Context, Fault, Finding, Progress, Secret};
use crate::domain::record::Artifact;

/// One database of the unit.
#[async_trait]
pub trait Database: Send + Sync {
    /// Looks for the snapshot of this key. The key is the idempotency key: the same attempt always asks
    /// for the same one. Changes nothing.
    async fn find(&self, cx: &Context, key: &str) -> Result<Found, Fault>;

    /// Takes the snapshot, verifies it and returns it. It appears under its key only when it is whole:
    /// a process killed in the middle leaves nothing that `find` calls ready.
    async fn snapshot(&self, cx: &Context, key: &str, progress: &dyn Progress) -> Result<Artifact, Fault>;

    /// Reads the whole artifact and proves it undamaged. `Permanent` if it is not.
    async fn verify(&self, cx: &Context, artifact: &Artifact) -> Result<(), Fault>;

    /// Restores into a new database called `into`; an existing one is refused. Returns what a person has
    /// to do next, line by line.
    async fn restore(
        &self,
        cx: &Context,
        artifact: &Artifact,
        into: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, Fault>;

    /// Our own snapshots of this database, oldest first.
    async fn list(&self, cx: &Context) -> Result<Vec<Artifact>, Fault>;

    /// Deletes one of our own snapshots. One that is gone already is a success.
    async fn delete(&self, cx: &Context, artifact: &Artifact) -> Result<(), Fault>;

    /// Versions, space, permissions.
    async fn preflight(&self, cx: &Context) -> Vec<Finding>;
}

/// What is known of one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Absent,
    /// Being taken, this many percent done where the provider says so.
    Running(Option<u8>),
    Ready(Artifact),
    Failed(String),
}

/// Where SQL can be sent, for `sql` checks, migrations and smoke tests that name a database.
#[derive(Clone, Debug)]
pub enum SqlAddress {
    Postgres { url: Secret },
    Sqlite { path: std::path::PathBuf },
}
