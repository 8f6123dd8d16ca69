//! The calls to RDS, the same for instances and clusters.

use aws_config::SdkConfig;
use aws_sdk_rds::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{DbCluster, DbInstance, Filter, SourceType},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use std::{sync::Arc, time::Duration};

use super::told::{Snapshot, Status, tag_list};
use crate::{
    adapter::aws::{Aws, Intent, PROVIDER, call},
    port::{Context, Fault},
};

const SERVICE: &str = "rds";
const PAGE: i32 = 100;
const PAGES_MAX: usize = 100;
/// What a write may take before its outcome counts as unknown.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// What the reason of a failure is worth: a look that hangs, and others after it.
const EVENTS_LIMIT: Duration = Duration::from_secs(40);

/// What is snapshotted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Instance(String),
    Cluster(String),
}

impl Source {
    pub fn id(&self) -> &str {
        match self {
            Source::Instance(id) | Source::Cluster(id) => id,
        }
    }

    pub fn snapshot_id_max(&self) -> usize {
        match self {
            Source::Instance(_) => 255,
            Source::Cluster(_) => 63,
        }
    }
}

pub struct Api {
    pub aws: Arc<Aws>,
    pub source: Source,
}

/// What became of asking for a snapshot.
pub enum Created {
    Begun,
    Exists,
    /// The database is in a state in which RDS takes none.
    State(String),
    Quota(String),
    NoSource,
}

/// An error that is an answer.
pub struct Refused {
    pub code: String,
    pub message: String,
}

impl Refused {
    pub fn is(&self, code: &str) -> bool {
        self.code.starts_with(code)
    }
}

/// Errors by the beginning of their code: `DBSnapshotNotFound` is also called `DBSnapshotNotFoundFault`.
#[expect(clippy::result_large_err, reason = "the SDK's own error, as `call` takes it")]
pub fn answered<T, E: ProvideErrorMetadata>(
    answer: Result<T, SdkError<E, HttpResponse>>,
    codes: &[&str],
) -> Result<Result<T, Refused>, SdkError<E, HttpResponse>> {
    match answer {
        Ok(done) => Ok(Ok(done)),
        Err(SdkError::ServiceError(error)) => {
            let code = error.err().code().unwrap_or_default();
            match codes.iter().any(|known| code.starts_with(known)) {
                true => Ok(Err(Refused {
                    code: code.into(),
                    message: error.err().message().unwrap_or_default().into(),
                })),
                false => Err(SdkError::ServiceError(error)),
            }
        }
        Err(other) => Err(other),
    }
}

impl Api {
    /// The database itself; `None` if there is none.
    pub async fn status(&self, cx: &Context) -> Result<Option<Status>, Fault> {
        Ok(match &self.source {
            Source::Instance(id) => self.instance(cx, id).await?.map(|instance| Status {
                status: instance.db_instance_status.unwrap_or_default(),
                engine: instance.engine.unwrap_or_default(),
                engine_version: instance.engine_version.unwrap_or_default(),
                encrypted: instance.storage_encrypted.unwrap_or_default(),
                kms_key: instance.kms_key_id,
                multi_az: Some(instance.multi_az.unwrap_or_default()),
                member_of: instance.db_cluster_identifier.filter(|id| !id.is_empty()),
            }),
            Source::Cluster(id) => self.cluster(cx, id).await?.map(|cluster| Status {
                status: cluster.status.unwrap_or_default(),
                engine: cluster.engine.unwrap_or_default(),
                engine_version: cluster.engine_version.unwrap_or_default(),
                encrypted: cluster.storage_encrypted.unwrap_or_default(),
                kms_key: cluster.kms_key_id,
                multi_az: None,
                member_of: None,
            }),
        })
    }

    pub async fn instance(&self, cx: &Context, id: &str) -> Result<Option<DbInstance>, Fault> {
        let intent = Intent::read(SERVICE, "DescribeDBInstances", id);
        let answer = call(&self.aws, cx, &intent, |config: SdkConfig| {
            let request = Client::new(&config).describe_db_instances().db_instance_identifier(id);
            async move { answered(request.send().await, &["DBInstanceNotFound"]) }
        });
        Ok(answer.await?.ok().and_then(|found| found.db_instances.unwrap_or_default().into_iter().next()))
    }

    pub async fn cluster(&self, cx: &Context, id: &str) -> Result<Option<DbCluster>, Fault> {
        let intent = Intent::read(SERVICE, "DescribeDBClusters", id);
        let answer = call(&self.aws, cx, &intent, |config: SdkConfig| {
            let request = Client::new(&config).describe_db_clusters().db_cluster_identifier(id);
            async move { answered(request.send().await, &["DBClusterNotFound"]) }
        });
        Ok(answer.await?.ok().and_then(|found| found.db_clusters.unwrap_or_default().into_iter().next()))
    }

    /// The instances of a cluster; RDS allows 16.
    pub async fn members(&self, cx: &Context, cluster: &str) -> Result<Vec<DbInstance>, Fault> {
        let intent = Intent::read(SERVICE, "DescribeDBInstances", cluster);
        let filter = Filter::builder().name("db-cluster-id").values(cluster).build();
        let found = call(&self.aws, cx, &intent, |config: SdkConfig| {
            let request = Client::new(&config).describe_db_instances().filters(filter.clone());
            request.max_records(PAGE).send()
        });
        Ok(found.await?.db_instances.unwrap_or_default())
    }

    pub async fn snapshot(&self, cx: &Context, id: &str) -> Result<Option<Snapshot>, Fault> {
        match &self.source {
            Source::Instance(_) => {
                let intent = Intent::read(SERVICE, "DescribeDBSnapshots", id);
                let answer = call(&self.aws, cx, &intent, |config: SdkConfig| {
                    let request = Client::new(&config).describe_db_snapshots().db_snapshot_identifier(id);
                    async move { answered(request.send().await, &["DBSnapshotNotFound"]) }
                });
                let found = answer.await?.ok().and_then(|found| found.db_snapshots).unwrap_or_default();
                Ok(found.into_iter().next().map(Snapshot::from))
            }
            Source::Cluster(_) => {
                let intent = Intent::read(SERVICE, "DescribeDBClusterSnapshots", id);
                let answer = call(&self.aws, cx, &intent, |config: SdkConfig| {
                    let request = Client::new(&config)
                        .describe_db_cluster_snapshots()
                        .db_cluster_snapshot_identifier(id);
                    async move { answered(request.send().await, &["DBClusterSnapshotNotFound"]) }
                });
                let found =
                    answer.await?.ok().and_then(|found| found.db_cluster_snapshots).unwrap_or_default();
                Ok(found.into_iter().next().map(Snapshot::from))
            }
        }
    }

    /// All manual snapshots of the database, in pages.
    pub async fn snapshots(&self, cx: &Context) -> Result<Vec<Snapshot>, Fault> {
        let (mut all, mut marker) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let (page, next): (Vec<Snapshot>, Option<String>) = match &self.source {
                Source::Instance(id) => {
                    let intent = Intent::read(SERVICE, "DescribeDBSnapshots", id);
                    let answer = call(&self.aws, cx, &intent, |config: SdkConfig| {
                        let request = Client::new(&config).describe_db_snapshots().db_instance_identifier(id);
                        let request = request.snapshot_type("manual").max_records(PAGE);
                        let request = request.set_marker(marker.clone());
                        async move { answered(request.send().await, &["DBInstanceNotFound"]) }
                    });
                    match answer.await? {
                        Ok(page) => {
                            let found = page.db_snapshots.unwrap_or_default();
                            (found.into_iter().map(Snapshot::from).collect(), page.marker)
                        }
                        Err(_) => (Vec::new(), None),
                    }
                }
                Source::Cluster(id) => {
                    let intent = Intent::read(SERVICE, "DescribeDBClusterSnapshots", id);
                    let answer = call(&self.aws, cx, &intent, |config: SdkConfig| {
                        let request =
                            Client::new(&config).describe_db_cluster_snapshots().db_cluster_identifier(id);
                        let request = request.snapshot_type("manual").max_records(PAGE);
                        let request = request.set_marker(marker.clone());
                        async move { answered(request.send().await, &["DBClusterNotFound"]) }
                    });
                    match answer.await? {
                        Ok(page) => {
                            let found = page.db_cluster_snapshots.unwrap_or_default();
                            (found.into_iter().map(Snapshot::from).collect(), page.marker)
                        }
                        Err(_) => (Vec::new(), None),
                    }
                }
            };
            all.extend(page);
            match next.filter(|next| !next.is_empty()) {
                Some(next) => marker = Some(next),
                None => return Ok(all),
            }
        }
        let why = format!("there are more than {} of them", all.len());
        Err(Fault::permanent(PROVIDER, "list the snapshots", self.source.id(), why))
    }

    pub async fn create_snapshot(
        &self,
        cx: &Context,
        id: &str,
        tags: &[(String, String)],
    ) -> Result<Created, Fault> {
        let (cx, tags) = (&cx.within(WRITE_LIMIT), tag_list(tags));
        let refused = match &self.source {
            Source::Instance(instance) => {
                let intent = Intent::write(SERVICE, "CreateDBSnapshot", instance);
                let answer = call(&self.aws, cx, &intent, |config: SdkConfig| {
                    let request = Client::new(&config).create_db_snapshot().db_instance_identifier(instance);
                    let request = request.db_snapshot_identifier(id).set_tags(Some(tags.clone()));
                    async move { answered(request.send().await, &CREATE_REFUSED) }
                });
                answer.await?.map(|_| ())
            }
            Source::Cluster(cluster) => {
                let intent = Intent::write(SERVICE, "CreateDBClusterSnapshot", cluster);
                let answer = call(&self.aws, cx, &intent, |config: SdkConfig| {
                    let request =
                        Client::new(&config).create_db_cluster_snapshot().db_cluster_identifier(cluster);
                    let request = request.db_cluster_snapshot_identifier(id).set_tags(Some(tags.clone()));
                    async move { answered(request.send().await, &CREATE_REFUSED) }
                });
                answer.await?.map(|_| ())
            }
        };
        Ok(match refused {
            Ok(()) => Created::Begun,
            Err(refused) if refused.code.contains("AlreadyExists") => Created::Exists,
            Err(refused) if refused.is("SnapshotQuotaExceeded") => Created::Quota(refused.message),
            Err(refused) if refused.code.contains("NotFound") => Created::NoSource,
            Err(refused) => Created::State(refused.message),
        })
    }

    /// One that is gone already is a success.
    pub async fn delete_snapshot(&self, cx: &Context, id: &str) -> Result<(), Fault> {
        let cx = &cx.within(WRITE_LIMIT);
        match &self.source {
            Source::Instance(_) => {
                let intent = Intent::write(SERVICE, "DeleteDBSnapshot", id);
                let answer = call(&self.aws, cx, &intent, |config: SdkConfig| {
                    let request = Client::new(&config).delete_db_snapshot().db_snapshot_identifier(id);
                    async move { answered(request.send().await, &["DBSnapshotNotFound"]) }
                });
                answer.await.map(|_| ())
            }
            Source::Cluster(_) => {
                let intent = Intent::write(SERVICE, "DeleteDBClusterSnapshot", id);
                let answer = call(&self.aws, cx, &intent, |config: SdkConfig| {
                    let request =
                        Client::new(&config).delete_db_cluster_snapshot().db_cluster_snapshot_identifier(id);
                    async move { answered(request.send().await, &["DBClusterSnapshotNotFound"]) }
                });
                answer.await.map(|_| ())
            }
        }
    }

    /// What RDS noted about a snapshot, for the reason of a failure; empty where it cannot be had.
    pub async fn events(&self, cx: &Context, snapshot: &str) -> String {
        let intent = Intent::read(SERVICE, "DescribeEvents", snapshot);
        let kind = match &self.source {
            Source::Instance(_) => SourceType::DbSnapshot,
            Source::Cluster(_) => SourceType::DbClusterSnapshot,
        };
        let cx = &cx.within(EVENTS_LIMIT);
        let found = call(&self.aws, cx, &intent, |config: SdkConfig| {
            let request = Client::new(&config).describe_events().source_identifier(snapshot);
            request.source_type(kind.clone()).duration(24 * 60).max_records(20).send()
        });
        let events = found.await.ok().and_then(|found| found.events).unwrap_or_default();
        let told: Vec<String> = events.into_iter().filter_map(|event| event.message).collect();
        match told.is_empty() {
            true => String::new(),
            false => format!(": {}", told.join("; ")),
        }
    }

    /// Manual snapshots that there are, and the most there may be.
    pub async fn quota(&self, cx: &Context) -> Result<Option<(i64, i64)>, Fault> {
        let name = match &self.source {
            Source::Instance(_) => "ManualSnapshots",
            Source::Cluster(_) => "ManualClusterSnapshots",
        };
        let intent = Intent::read(SERVICE, "DescribeAccountAttributes", "the account");
        let found = call(&self.aws, cx, &intent, |config: SdkConfig| {
            Client::new(&config).describe_account_attributes().send()
        });
        let quotas = found.await?.account_quotas.unwrap_or_default();
        let quota = quotas.into_iter().find(|quota| quota.account_quota_name.as_deref() == Some(name));
        Ok(quota.and_then(|quota| Some((quota.used?, quota.max?))))
    }
}

const CREATE_REFUSED: [&str; 9] = [
    "DBSnapshotAlreadyExists",
    "DBClusterSnapshotAlreadyExists",
    "InvalidDBInstanceState",
    "InvalidDBClusterState",
    "InvalidDBClusterSnapshotState",
    "SnapshotQuotaExceeded",
    "ClusterSnapshotQuotaExceeded",
    "DBInstanceNotFound",
    "DBClusterNotFound",
];
