//! A snapshot into a new instance, with the original's surroundings.

use aws_config::SdkConfig;
use aws_sdk_rds::{
    Client,
    types::{DbInstance, VpcSecurityGroupMembership},
};
use std::time::Duration;

use super::{
    Snapshots,
    api::{Refused, Source, answered},
    name::{OURS, RESTORED, Tags, identifier},
    told::{Snapshot, tag_list, tags_of},
    wait::Pauses,
};
use crate::{
    adapter::aws::{Intent, call},
    domain::record::Artifact,
    port::{Context, Fault, Progress, Treat},
};

pub(super) const OPERATION: &str = "restore the snapshot";
/// What a write may take before its outcome counts as unknown.
pub(super) const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// Tags that a resource may have.
const TAGS_MAX: usize = 50;
/// What a small gp3 volume has and must not be asked for.
const GP3_IOPS: i32 = 3000;

impl Snapshots {
    pub(super) async fn restore_into(
        &self,
        cx: &Context,
        artifact: &Artifact,
        into: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, Fault> {
        let into = identifier(into).map_err(|why| {
            self.permanent(OPERATION, &artifact.id, why).hint("choose another name to restore into")
        })?;
        if into == self.api.source.id() {
            return Err(self.permanent(
                OPERATION,
                &into,
                "it is the database itself: a restore never goes over the old one",
            ));
        }
        let snapshot = self.ours(cx, OPERATION, &artifact.id).await?;
        match &self.api.source {
            Source::Instance(original) => {
                self.restore_instance(cx, &snapshot, original, &into, progress).await
            }
            Source::Cluster(original) => self.restore_cluster(cx, &snapshot, original, &into, progress).await,
        }
    }

    async fn restore_instance(
        &self,
        cx: &Context,
        snapshot: &Snapshot,
        original: &str,
        into: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, Fault> {
        let begun = self.instance_begun(cx, snapshot, into).await?;
        let old = self.api.instance(cx, original).await?;
        if !begun {
            progress.waiting(&self.restoring(), "asking for the new instance");
            let asked = self.ask_for_instance(cx, snapshot, into, old.as_ref()).await;
            if let Some(fault) = self.doubtful(into, asked)?
                && !self.instance_begun(cx, snapshot, into).await?
            {
                return Err(fault);
            }
        }
        let done = self.until_up(cx, into, progress).await?;
        let endpoint = endpoint_of(&done);
        let old_endpoint = old.as_ref().map(endpoint_of);
        let mut lines =
            self.lines(snapshot, into, &endpoint, old_endpoint.as_deref(), done.deletion_protection);
        match &old {
            Some(old) => lines.extend(not_carried(old)),
            None => lines.push(format!(
                "{original} is gone, so RDS chose what the snapshot does not hold: default network, security \
                 group and parameter group, one zone; look at them before it is used"
            )),
        }
        Ok(lines)
    }

    async fn instance_begun(&self, cx: &Context, snapshot: &Snapshot, into: &str) -> Result<bool, Fault> {
        let found = self.api.instance(cx, into).await?;
        self.begun(snapshot, into, found.map(|found| tags_of(found.tag_list)))
    }

    /// Whether a restore of this snapshot has begun under the new identifier. Anything else that has it is a
    /// fault.
    pub(super) fn begun(&self, snapshot: &Snapshot, into: &str, found: Option<Tags>) -> Result<bool, Fault> {
        let Some(tags) = found else { return Ok(false) };
        let why = match tags.get(RESTORED) {
            Some(from) if from == &snapshot.id => return Ok(true),
            Some(other) => format!("it exists already, restored from {other}"),
            None => "it exists already".to_string(),
        };
        let hint = "nothing was changed; choose a name that no instance or cluster has";
        Err(self.permanent(OPERATION, into, why).hint(hint))
    }

    /// The fault of an answer after which it must be looked whether it was done after all.
    pub(super) fn doubtful(
        &self,
        into: &str,
        asked: Result<Result<(), Refused>, Fault>,
    ) -> Result<Option<Fault>, Fault> {
        match asked {
            Ok(Ok(())) => Ok(None),
            // one who asked before us, or the same request twice
            Ok(Err(refused)) => {
                let why = format!("{}: {}", refused.code, refused.message);
                Ok(Some(self.permanent(OPERATION, into, why)))
            }
            Err(fault) if fault.treat == Treat::OutcomeUnknown => {
                Ok(Some(fault.hint("run it again: what was begun is found and continued")))
            }
            Err(fault) => Err(fault),
        }
    }

    async fn ask_for_instance(
        &self,
        cx: &Context,
        snapshot: &Snapshot,
        into: &str,
        old: Option<&DbInstance>,
    ) -> Result<Result<(), Refused>, Fault> {
        let intent = Intent::write("rds", "RestoreDBInstanceFromDBSnapshot", into);
        let tags = tag_list(&restored_tags(snapshot, old.and_then(|old| old.tag_list.clone())));
        let cx = &cx.within(WRITE_LIMIT);
        let answer = call(&self.api.aws, cx, &intent, |config: SdkConfig| {
            let mut request = Client::new(&config)
                .restore_db_instance_from_db_snapshot()
                .db_instance_identifier(into)
                .db_snapshot_identifier(&snapshot.id)
                .set_tags(Some(tags.clone()));
            if let Some(old) = old {
                let (iops, throughput) = storage(old);
                request = request
                    .set_db_instance_class(old.db_instance_class.clone())
                    .set_db_subnet_group_name(
                        old.db_subnet_group.as_ref().and_then(|group| group.db_subnet_group_name.clone()),
                    )
                    .set_vpc_security_group_ids(security_groups(old.vpc_security_groups.as_deref()))
                    .set_db_parameter_group_name(parameter_group(old))
                    .set_option_group_name(option_group(old))
                    .set_port(port(old))
                    .set_multi_az(old.multi_az)
                    .set_publicly_accessible(old.publicly_accessible)
                    .set_storage_type(old.storage_type.clone())
                    .set_iops(iops)
                    .set_storage_throughput(throughput)
                    .set_deletion_protection(old.deletion_protection)
                    .set_enable_iam_database_authentication(old.iam_database_authentication_enabled)
                    .set_auto_minor_version_upgrade(old.auto_minor_version_upgrade)
                    .set_copy_tags_to_snapshot(old.copy_tags_to_snapshot)
                    .set_network_type(old.network_type.clone())
                    .set_enable_cloudwatch_logs_exports(
                        old.enabled_cloudwatch_logs_exports.clone().filter(|logs| !logs.is_empty()),
                    )
                    .set_dedicated_log_volume(old.dedicated_log_volume.filter(|&on| on));
            }
            async move { answered(request.send().await, &["DBInstanceAlreadyExists"]) }
        });
        Ok(answer.await?.map(|_| ()))
    }

    pub(super) async fn until_up(
        &self,
        cx: &Context,
        id: &str,
        progress: &dyn Progress,
    ) -> Result<DbInstance, Fault> {
        let (late, mut pauses) = (self.late(id), Pauses::new(cx, progress, self.restoring()));
        loop {
            let text = match self.api.instance(cx, id).await? {
                None => format!("{id}: not to be seen yet"),
                Some(instance) => {
                    let status = instance.db_instance_status.clone().unwrap_or_default();
                    // while RDS optimizes, it serves
                    if status == "available" || status == "storage-optimization" {
                        return Ok(instance);
                    }
                    self.going_on(id, &status)?
                }
            };
            pauses.pause(&text, &late).await?;
        }
    }

    /// What a status that is not the wanted one means.
    pub(super) fn going_on(&self, id: &str, status: &str) -> Result<String, Fault> {
        const LOST: [&str; 5] =
            ["failed", "restore-error", "insufficient-capacity", "storage-full", "deleting"];
        if !LOST.contains(&status)
            && !status.starts_with("incompatible")
            && !status.starts_with("inaccessible")
        {
            return Ok(format!("{id}: {status}"));
        }
        let hint = "look at its events in the RDS console; the original is as it was; delete the new one and \
                    run it again";
        Err(self.permanent(OPERATION, id, format!("AWS says that it is `{status}`")).hint(hint))
    }

    pub(super) fn late(&self, id: &str) -> Fault {
        Fault::temporary(self.kind, OPERATION, id, "not done within the limit; it goes on in AWS").hint(
            "run it again with the same name: what was begun is continued; give the database a longer `limit`",
        )
    }

    pub(super) fn restoring(&self) -> String {
        format!("restore {}", self.name)
    }

    /// What a person has to do next.
    pub(super) fn lines(
        &self,
        snapshot: &Snapshot,
        into: &str,
        endpoint: &str,
        old: Option<&str>,
        protected: Option<bool>,
    ) -> Vec<String> {
        let original = self.api.source.id();
        let mut lines = vec![format!("endpoint: {endpoint}")];
        match old {
            Some(old) => {
                lines
                    .push(format!("point the application, or its DNS name, there: from {old} to {endpoint}"));
            }
            None => lines.push(format!("point the application, or its DNS name, to {endpoint}")),
        }
        lines.push(format!(
            "what was written after {}, the time of the snapshot, is not in it; users and passwords are those \
             of then",
            snapshot.at
        ));
        if old.is_some() {
            lines.push(format!("{original} is as it was: it still runs and costs until you delete it"));
        }
        if protected == Some(true) {
            lines.push(format!("{into} is protected against deletion, as {original} is"));
        }
        lines
    }
}

/// The original's own tags, and where this came from. AWS keeps `aws:` for itself; ours would make the
/// snapshots of the new database look like those of the old one.
pub(super) fn restored_tags(
    snapshot: &Snapshot,
    old: Option<Vec<aws_sdk_rds::types::Tag>>,
) -> Vec<(String, String)> {
    let own =
        tags_of(old).into_iter().filter(|(name, _)| !name.starts_with("aws:") && !name.starts_with(OURS));
    let mut tags: Vec<(String, String)> = own.take(TAGS_MAX - 1).collect();
    tags.push((RESTORED.into(), snapshot.id.clone()));
    tags
}

pub(super) fn security_groups(groups: Option<&[VpcSecurityGroupMembership]>) -> Option<Vec<String>> {
    let ids: Vec<String> = groups?.iter().filter_map(|group| group.vpc_security_group_id.clone()).collect();
    Some(ids).filter(|ids| !ids.is_empty())
}

/// A group that somebody made. RDS picks its default groups by the version of the snapshot, which may be
/// older than the database's by now. Theirs are `default.FAMILY` and `default:ENGINE-VERSION`, with characters
/// that no name of somebody's own group may have.
pub(super) fn own_group(name: Option<&String>) -> Option<String> {
    let of_rds = |name: &str| ["default.", "default:"].iter().any(|start| name.starts_with(start));
    name.filter(|name| !name.is_empty() && !of_rds(name)).cloned()
}

pub(super) fn parameter_group(instance: &DbInstance) -> Option<String> {
    own_group(instance.db_parameter_groups.as_ref()?.first()?.db_parameter_group_name.as_ref())
}

fn option_group(instance: &DbInstance) -> Option<String> {
    own_group(instance.option_group_memberships.as_ref()?.first()?.option_group_name.as_ref())
}

fn port(instance: &DbInstance) -> Option<i32> {
    let listens = instance.endpoint.as_ref().and_then(|endpoint| endpoint.port);
    listens.or(instance.db_instance_port).filter(|&port| port > 0)
}

/// IOPS and throughput, where RDS lets them be asked for.
fn storage(instance: &DbInstance) -> (Option<i32>, Option<i32>) {
    let iops = iops(instance.storage_type.as_deref(), instance.iops);
    let throughput = instance.storage_throughput.filter(|_| instance.storage_type.as_deref() == Some("gp3"));
    (iops, iops.and(throughput))
}

/// IOPS of a kind of storage that takes a number, where it is not the one that it has by itself.
pub(super) fn iops(kind: Option<&str>, iops: Option<i32>) -> Option<i32> {
    match kind {
        Some("io1" | "io2") => iops.filter(|&iops| iops > 0),
        Some("gp3") => iops.filter(|&iops| iops > GP3_IOPS),
        _ => None,
    }
}

pub(super) fn endpoint_of(instance: &DbInstance) -> String {
    match &instance.endpoint {
        Some(endpoint) => {
            let host = endpoint.address.as_deref().unwrap_or("?");
            endpoint.port.map_or(host.to_string(), |port| format!("{host}:{port}"))
        }
        None => "none yet".into(),
    }
}

/// What the original has and a restore cannot be asked for.
fn not_carried(old: &DbInstance) -> Vec<String> {
    let some = |list: Option<bool>| list.unwrap_or_default();
    let mut lacks = Vec::new();
    if old.monitoring_interval.is_some_and(|seconds| seconds > 0) {
        lacks.push("enhanced monitoring");
    }
    if some(old.performance_insights_enabled) {
        lacks.push("Performance Insights");
    }
    if old.max_allocated_storage.is_some_and(|most| Some(most) != old.allocated_storage) {
        lacks.push("storage autoscaling");
    }
    if old.associated_roles.as_ref().is_some_and(|roles| !roles.is_empty()) {
        lacks.push("IAM roles");
    }
    if old.domain_memberships.as_ref().is_some_and(|domains| !domains.is_empty()) {
        lacks.push("the Active Directory domain");
    }
    if old.read_replica_db_instance_identifiers.as_ref().is_some_and(|replicas| !replicas.is_empty()) {
        lacks.push("read replicas");
    }
    if old.master_user_secret.is_some() {
        lacks.push("the master password in Secrets Manager");
    }
    if lacks.is_empty() {
        return Vec::new();
    }
    vec![format!("set up by hand what a restore does not carry over: {}", lacks.join(", "))]
}
