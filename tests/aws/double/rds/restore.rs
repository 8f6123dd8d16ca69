//! Restores, and the instances of restored clusters.

use super::{Cluster, Form, Instance, Rds, Refusal, combination, identifier, invalid, need, only, tags};

const INSTANCE: [&str; 26] = [
    "DBInstanceIdentifier",
    "DBSnapshotIdentifier",
    "DBInstanceClass",
    "Port",
    "AvailabilityZone",
    "DBSubnetGroupName",
    "MultiAZ",
    "PubliclyAccessible",
    "AutoMinorVersionUpgrade",
    "LicenseModel",
    "Engine",
    "Iops",
    "StorageThroughput",
    "OptionGroupName",
    "Tags",
    "StorageType",
    "VpcSecurityGroupIds",
    "CopyTagsToSnapshot",
    "EnableIAMDatabaseAuthentication",
    "EnableCloudwatchLogsExports",
    "DBParameterGroupName",
    "DeletionProtection",
    "NetworkType",
    "AllocatedStorage",
    "DedicatedLogVolume",
    "CACertificateIdentifier",
];

const CLUSTER: [&str; 21] = [
    "DBClusterIdentifier",
    "SnapshotIdentifier",
    "Engine",
    "EngineVersion",
    "Port",
    "DBSubnetGroupName",
    "VpcSecurityGroupIds",
    "DBClusterParameterGroupName",
    "Tags",
    "DeletionProtection",
    "StorageType",
    "EnableCloudwatchLogsExports",
    "EnableIAMDatabaseAuthentication",
    "CopyTagsToSnapshot",
    "NetworkType",
    "BacktrackWindow",
    "EngineMode",
    "KmsKeyId",
    "DBClusterInstanceClass",
    "Iops",
    "PubliclyAccessible",
];

/// Of these, what DocumentDB's own API lacks.
const NOT_DOCUMENTDB: [&str; 5] = [
    "EnableIAMDatabaseAuthentication",
    "CopyTagsToSnapshot",
    "BacktrackWindow",
    "EngineMode",
    "DBParameterGroupName",
];

const MEMBER: [&str; 9] = [
    "DBInstanceIdentifier",
    "DBClusterIdentifier",
    "Engine",
    "DBInstanceClass",
    "PromotionTier",
    "AutoMinorVersionUpgrade",
    "DBParameterGroupName",
    "PubliclyAccessible",
    "Tags",
];

impl Rds {
    pub(super) fn restore_instance(&mut self, form: &Form) -> Result<String, Refusal> {
        only(form, &INSTANCE)?;
        let id = identifier(form, "DBInstanceIdentifier", 63)?;
        let tags = tags(form)?;
        let from = need(form, "DBSnapshotIdentifier")?.to_lowercase();
        let Some(snapshot) = self.snapshots.get(&from).cloned() else {
            return Err((404, "DBSnapshotNotFound", format!("DBSnapshot {from} not found.")));
        };
        if snapshot.status != "available" {
            return Err((400, "InvalidDBSnapshotState", format!("{from} is {}", snapshot.status)));
        }
        if self.instances.contains_key(&id) {
            return Err((400, "DBInstanceAlreadyExists", "DB instance already exists".into()));
        }
        let storage = text(form, "StorageType", "gp3");
        let speed = form.contains_key("Iops") || form.contains_key("StorageThroughput");
        match storage.as_str() {
            "gp3" if speed => {
                return Err(combination(
                    "You can't specify IOPS or storage throughput for engine postgres and a storage size less than 400.",
                ));
            }
            "io1" | "io2" if !form.contains_key("Iops") => {
                return Err(combination("You must specify IOPS for io1 and io2."));
            }
            _ => {}
        }
        if form.contains_key("AvailabilityZone") && is(form, "MultiAZ") {
            return Err(combination(
                "Requesting a specific availability zone is not valid for Multi-AZ instances.",
            ));
        }
        let new = Instance {
            class: text(form, "DBInstanceClass", "db.t3.micro"),
            engine: snapshot.engine,
            version: snapshot.version,
            status: "creating".into(),
            port: number(form, "Port", 5432)?,
            subnet_group: self.group(form, "DBSubnetGroupName", "default")?,
            security_groups: self.groups_of(form)?,
            parameter_group: self.group(form, "DBParameterGroupName", "default.postgres15")?,
            option_group: self.group(form, "OptionGroupName", "default:postgres-15")?,
            multi_az: is(form, "MultiAZ"),
            public: is(form, "PubliclyAccessible"),
            storage_type: storage,
            protected: is(form, "DeletionProtection"),
            iam: is(form, "EnableIAMDatabaseAuthentication"),
            auto_minor: is(form, "AutoMinorVersionUpgrade"),
            copy_tags: is(form, "CopyTagsToSnapshot"),
            encrypted: snapshot.encrypted,
            logs: logs(form),
            tags,
            left: self.looks,
            becomes: self.broken.clone().unwrap_or_else(|| "available".into()),
            ..Instance::new(&id)
        };
        let told = new.xml(false);
        self.instances.insert(id.clone(), new);
        self.asked.insert(id, form.clone());
        Ok(told)
    }

    pub(super) fn restore_cluster(&mut self, form: &Form) -> Result<String, Refusal> {
        only(form, &CLUSTER)?;
        let id = identifier(form, "DBClusterIdentifier", 63)?;
        let tags = tags(form)?;
        let from = need(form, "SnapshotIdentifier")?.to_lowercase();
        let Some(snapshot) = self.cluster_snapshots.get(&from).cloned() else {
            return Err((
                404,
                "DBClusterSnapshotNotFoundFault",
                format!("DBClusterSnapshot {from} not found."),
            ));
        };
        if snapshot.status != "available" {
            return Err((
                400,
                "InvalidDBClusterSnapshotStateFault",
                format!("{from} is {}", snapshot.status),
            ));
        }
        if need(form, "Engine")? != &snapshot.engine {
            return Err(combination("The engine does not match that of the snapshot."));
        }
        plain(form, &snapshot.engine)?;
        if self.clusters.contains_key(&id) {
            return Err((400, "DBClusterAlreadyExistsFault", "DB Cluster already exists".into()));
        }
        let storage = text(form, "StorageType", "aurora");
        let iops: u32 = number(form, "Iops", 0)?;
        let takes = matches!(storage.as_str(), "io1" | "io2" | "gp3");
        if form.contains_key("Iops") && (!takes || iops < 1000) {
            return Err(combination("The storage type does not support this IOPS value."));
        }
        let new = Cluster {
            class: form.get("DBClusterInstanceClass").cloned(),
            iops,
            version: text(form, "EngineVersion", "the newest"),
            status: "creating".into(),
            port: number(form, "Port", 5432)?,
            subnet_group: self.group(form, "DBSubnetGroupName", "default")?,
            security_groups: self.groups_of(form)?,
            parameter_group: self.group(form, "DBClusterParameterGroupName", "default.cluster")?,
            protected: is(form, "DeletionProtection"),
            iam: is(form, "EnableIAMDatabaseAuthentication"),
            copy_tags: is(form, "CopyTagsToSnapshot"),
            encrypted: snapshot.encrypted,
            storage_type: storage,
            logs: logs(form),
            tags,
            left: self.looks,
            becomes: self.broken.clone().unwrap_or_else(|| "available".into()),
            ..Cluster::new(&id, &snapshot.engine)
        };
        let told = new.xml(&[], false);
        self.clusters.insert(id.clone(), new);
        self.asked.insert(id, form.clone());
        Ok(told)
    }

    /// An instance of a cluster; others the double does not make.
    pub(super) fn create_instance(&mut self, form: &Form) -> Result<String, Refusal> {
        only(form, &MEMBER)?;
        let id = identifier(form, "DBInstanceIdentifier", 63)?;
        let tags = tags(form)?;
        let of = need(form, "DBClusterIdentifier")?.to_lowercase();
        let Some(cluster) = self.clusters.get(&of) else {
            return Err((404, "DBClusterNotFoundFault", format!("DBCluster {of} not found.")));
        };
        if cluster.status != "available" {
            return Err((400, "InvalidDBClusterStateFault", format!("{of} is {}", cluster.status)));
        }
        if need(form, "Engine")? != &cluster.engine {
            return Err(combination("The engine name doesn't match that of the cluster."));
        }
        plain(form, &cluster.engine)?;
        if cluster.engine == "docdb" && form.contains_key("PubliclyAccessible") {
            return Err(combination("DocumentDB has no public access."));
        }
        if self.instances.contains_key(&id) {
            return Err((400, "DBInstanceAlreadyExists", "DB instance already exists".into()));
        }
        let tier: u32 = number(form, "PromotionTier", 1)?;
        let first = cluster.writer.is_empty();
        let mut new = Instance::member(&id, cluster, need(form, "DBInstanceClass")?, first);
        new.parameter_group = self.group(form, "DBParameterGroupName", "")?;
        (new.tier, new.public, new.tags) = (tier, is(form, "PubliclyAccessible"), tags);
        (new.status, new.left) = ("creating".into(), self.looks);
        if let Some(cluster) = self.clusters.get_mut(&of).filter(|_| first) {
            cluster.writer = id.clone();
        }
        let told = new.xml(false);
        self.instances.insert(id.clone(), new);
        self.asked.insert(id, form.clone());
        Ok(told)
    }

    fn group(&self, form: &Form, name: &str, default: &str) -> Result<String, Refusal> {
        let Some(group) = form.get(name) else { return Ok(default.into()) };
        let of_rds =
            group == "default" || ["default.", "default:"].iter().any(|start| group.starts_with(start));
        match self.groups.contains(group) || of_rds {
            true => Ok(group.clone()),
            false => Err((404, "DBParameterGroupNotFound", format!("{name} {group} not found."))),
        }
    }

    fn groups_of(&self, form: &Form) -> Result<Vec<String>, Refusal> {
        let given: Vec<String> = (1..)
            .map_while(|n| form.get(&format!("VpcSecurityGroupIds.VpcSecurityGroupId.{n}")).cloned())
            .collect();
        match given.iter().find(|group| !self.groups.contains(*group)) {
            Some(group) => Err(invalid(format!("Invalid security group {group}"))),
            None if given.is_empty() => Ok(vec!["sg-default".into()]),
            None => Ok(given),
        }
    }
}

fn plain(form: &Form, engine: &str) -> Result<(), Refusal> {
    match engine == "docdb" && NOT_DOCUMENTDB.iter().any(|name| form.contains_key(*name)) {
        true => Err(combination("DocumentDB does not know this option.")),
        false => Ok(()),
    }
}

fn text(form: &Form, name: &str, default: &str) -> String {
    form.get(name).cloned().unwrap_or_else(|| default.into())
}

fn is(form: &Form, name: &str) -> bool {
    form.get(name).is_some_and(|value| value == "true")
}

fn number<T: std::str::FromStr>(form: &Form, name: &str, default: T) -> Result<T, Refusal> {
    match form.get(name).map(|value| value.parse::<T>()) {
        None => Ok(default),
        Some(Ok(number)) => Ok(number),
        Some(Err(_)) => Err(invalid(format!("{name} is not a number"))),
    }
}

fn logs(form: &Form) -> Vec<String> {
    (1..).map_while(|n| form.get(&format!("EnableCloudwatchLogsExports.member.{n}")).cloned()).collect()
}
