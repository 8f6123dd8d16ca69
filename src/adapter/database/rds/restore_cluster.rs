//! A snapshot into a new cluster, with the original's surroundings and as many instances.

use aws_config::SdkConfig;
use aws_sdk_rds::{
    Client,
    types::{DbCluster, DbInstance, ServerlessV2ScalingConfiguration},
};

use super::{
    Snapshots,
    api::{Refused, answered},
    name::identifier,
    restore::{OPERATION, WRITE_LIMIT, iops, own_group, parameter_group, restored_tags, security_groups},
    told::{Snapshot, tag_list, tags_of},
    wait::Pauses,
};
use crate::{
    adapter::aws::{Intent, call},
    port::{Context, Fault, Progress},
};

const DOCUMENTDB: &str = "docdb";

impl Snapshots {
    pub(super) async fn restore_cluster(
        &self,
        cx: &Context,
        snapshot: &Snapshot,
        original: &str,
        into: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, Fault> {
        let begun = self.cluster_begun(cx, snapshot, into).await?;
        let old = self.api.cluster(cx, original).await?;
        let members = match &old {
            Some(old) if makes_its_own(old) => Vec::new(),
            Some(old) => by_role(old, self.api.members(cx, original).await?),
            None => Vec::new(),
        };
        let names: Result<Vec<String>, String> =
            (1..=members.len()).map(|number| identifier(&format!("{into}-{number}"))).collect();
        let names = names.map_err(|why| {
            self.permanent(OPERATION, into, format!("its instances get a number each: {why}"))
                .hint("choose a shorter name")
        })?;
        if !begun {
            progress.waiting(&self.restoring(), "asking for the new cluster");
            let asked = self.ask_for_cluster(cx, snapshot, into, old.as_ref()).await;
            if let Some(fault) = self.doubtful(into, asked)?
                && !self.cluster_begun(cx, snapshot, into).await?
            {
                return Err(fault);
            }
        }
        let cluster = self.until_cluster_up(cx, into, progress).await?;
        for (member, name) in members.iter().zip(&names) {
            self.member(cx, snapshot, into, name, member, progress).await?;
        }
        for name in &names {
            self.until_up(cx, name, progress).await?;
        }
        let endpoint = endpoint_of(&cluster);
        let old_endpoint = old.as_ref().map(endpoint_of);
        let mut lines =
            self.lines(snapshot, into, &endpoint, old_endpoint.as_deref(), cluster.deletion_protection);
        if let Some(reader) = &cluster.reader_endpoint {
            lines.insert(1, format!("endpoint for reading: {reader}"));
        }
        match &old {
            None => lines.push(format!(
                "{original} is gone, so RDS chose what the snapshot does not hold: default network, security \
                 group and parameter group; look at them before it is used"
            )),
            Some(_) if !names.is_empty() => lines.push(format!("instances: {}", names.join(", "))),
            Some(_) => {}
        }
        if names.is_empty() && !old.as_ref().is_some_and(makes_its_own) {
            lines.push(format!(
                "it has no instance yet, for there is none to copy the class from: aws rds create-db-instance \
                 --db-cluster-identifier {into} --db-instance-identifier {into}-1 --engine {} \
                 --db-instance-class CLASS",
                snapshot.engine
            ));
        }
        Ok(lines)
    }

    async fn cluster_begun(&self, cx: &Context, snapshot: &Snapshot, into: &str) -> Result<bool, Fault> {
        let found = self.api.cluster(cx, into).await?;
        self.begun(snapshot, into, found.map(|found| tags_of(found.tag_list)))
    }

    async fn ask_for_cluster(
        &self,
        cx: &Context,
        snapshot: &Snapshot,
        into: &str,
        old: Option<&DbCluster>,
    ) -> Result<Result<(), Refused>, Fault> {
        let intent = Intent::write("rds", "RestoreDBClusterFromSnapshot", into);
        let tags = tag_list(&restored_tags(snapshot, old.and_then(|old| old.tag_list.clone())));
        let cx = &cx.within(WRITE_LIMIT);
        let answer = call(&self.api.aws, cx, &intent, |config: SdkConfig| {
            let mut request = Client::new(&config)
                .restore_db_cluster_from_snapshot()
                .db_cluster_identifier(into)
                .snapshot_identifier(&snapshot.id)
                .engine(&snapshot.engine)
                .engine_version(&snapshot.engine_version)
                .set_tags(Some(tags.clone()));
            if let Some(old) = old {
                request = request
                    .set_db_subnet_group_name(old.db_subnet_group.clone())
                    .set_vpc_security_group_ids(security_groups(old.vpc_security_groups.as_deref()))
                    .set_db_cluster_parameter_group_name(own_group(old.db_cluster_parameter_group.as_ref()))
                    .set_port(old.port.filter(|&port| port > 0))
                    .set_deletion_protection(old.deletion_protection)
                    .set_storage_type(old.storage_type.clone().filter(|kind| !kind.is_empty()))
                    .set_enable_cloudwatch_logs_exports(
                        old.enabled_cloudwatch_logs_exports.clone().filter(|logs| !logs.is_empty()),
                    );
                // options that DocumentDB does not know
                if snapshot.engine != DOCUMENTDB {
                    request = request
                        .set_enable_iam_database_authentication(
                            old.iam_database_authentication_enabled.filter(|&on| on),
                        )
                        .set_copy_tags_to_snapshot(old.copy_tags_to_snapshot.filter(|&on| on))
                        .set_network_type(old.network_type.clone().filter(|kind| kind == "DUAL"))
                        .set_backtrack_window(old.backtrack_window.filter(|&window| window > 0));
                }
                if let Some(scaling) = &old.serverless_v2_scaling_configuration {
                    let scaling = ServerlessV2ScalingConfiguration::builder()
                        .set_min_capacity(scaling.min_capacity)
                        .set_max_capacity(scaling.max_capacity)
                        .set_seconds_until_auto_pause(scaling.seconds_until_auto_pause);
                    request = request.serverless_v2_scaling_configuration(scaling.build());
                }
                if old.engine_mode.as_deref() == Some("serverless") {
                    request = request.engine_mode("serverless");
                }
                if is_multi_az(old) {
                    request = request
                        .set_db_cluster_instance_class(old.db_cluster_instance_class.clone())
                        .set_iops(iops(old.storage_type.as_deref(), old.iops))
                        .set_publicly_accessible(old.publicly_accessible);
                }
            }
            async move { answered(request.send().await, &["DBClusterAlreadyExists"]) }
        });
        Ok(answer.await?.map(|_| ()))
    }

    async fn until_cluster_up(
        &self,
        cx: &Context,
        id: &str,
        progress: &dyn Progress,
    ) -> Result<DbCluster, Fault> {
        let (late, mut pauses) = (self.late(id), Pauses::new(cx, progress, self.restoring()));
        loop {
            let text = match self.api.cluster(cx, id).await? {
                None => format!("{id}: not to be seen yet"),
                Some(cluster) => match cluster.status.as_deref().unwrap_or_default() {
                    "available" => return Ok(cluster),
                    status => self.going_on(id, status)?,
                },
            };
            pauses.pause(&text, &late).await?;
        }
    }

    /// Whether the new cluster has this instance already; one of another cluster is a fault.
    async fn has_member(&self, cx: &Context, cluster: &str, name: &str) -> Result<bool, Fault> {
        let Some(found) = self.api.instance(cx, name).await? else { return Ok(false) };
        if found.db_cluster_identifier.as_deref() == Some(cluster) {
            return Ok(true);
        }
        let why = format!("an instance {name} exists already and is not of the cluster {cluster}");
        let hint = format!("rename it, or delete {cluster} and restore into another name");
        Err(self.permanent(OPERATION, name, why).hint(hint))
    }

    /// One instance of the new cluster, like one of the old.
    async fn member(
        &self,
        cx: &Context,
        snapshot: &Snapshot,
        cluster: &str,
        name: &str,
        like: &DbInstance,
        progress: &dyn Progress,
    ) -> Result<(), Fault> {
        if self.has_member(cx, cluster, name).await? {
            return Ok(());
        }
        progress.waiting(&self.restoring(), &format!("asking for {name}"));
        let intent = Intent::write("rds", "CreateDBInstance", name);
        let tags = restored_tags(snapshot, like.tag_list.clone());
        let writing = &cx.within(WRITE_LIMIT);
        let answer = call(&self.api.aws, writing, &intent, |config: SdkConfig| {
            let mut request = Client::new(&config)
                .create_db_instance()
                .db_instance_identifier(name)
                .db_cluster_identifier(cluster)
                .engine(&snapshot.engine)
                .set_db_instance_class(like.db_instance_class.clone())
                .set_promotion_tier(like.promotion_tier)
                .set_auto_minor_version_upgrade(like.auto_minor_version_upgrade)
                .set_tags(Some(tag_list(&tags)));
            // DocumentDB's instances have neither
            if snapshot.engine != DOCUMENTDB {
                request = request
                    .set_db_parameter_group_name(parameter_group(like))
                    .set_publicly_accessible(like.publicly_accessible);
            }
            async move { answered(request.send().await, &["DBInstanceAlreadyExists"]) }
        });
        let asked = answer.await.map(|answer| answer.map(|_| ()));
        match self.doubtful(name, asked)? {
            Some(fault) if !self.has_member(cx, cluster, name).await? => Err(fault),
            _ => Ok(()),
        }
    }
}

/// Writer first: the first instance of a new cluster becomes its writer.
fn by_role(cluster: &DbCluster, mut instances: Vec<DbInstance>) -> Vec<DbInstance> {
    let writer = |instance: &DbInstance| {
        let members = cluster.db_cluster_members.iter().flatten();
        let mut same = members.filter(|m| m.db_instance_identifier == instance.db_instance_identifier);
        same.any(|member| member.is_cluster_writer == Some(true))
    };
    instances.sort_by_key(|instance| (!writer(instance), instance.db_instance_identifier.clone()));
    instances
}

/// A Multi-AZ cluster: RDS makes its instances itself.
fn is_multi_az(cluster: &DbCluster) -> bool {
    cluster.db_cluster_instance_class.as_ref().is_some_and(|class| !class.is_empty())
}

/// Whether no instances are to be made for it.
fn makes_its_own(cluster: &DbCluster) -> bool {
    is_multi_az(cluster) || cluster.engine_mode.as_deref() == Some("serverless")
}

fn endpoint_of(cluster: &DbCluster) -> String {
    let host = cluster.endpoint.as_deref().unwrap_or("?");
    cluster.port.map_or(host.to_string(), |port| format!("{host}:{port}"))
}
