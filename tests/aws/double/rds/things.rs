//! What RDS keeps, and how it tells it.

use std::collections::BTreeMap;

use super::super::{ACCOUNT, REGION, server::escaped};

#[derive(Clone, Debug)]
pub struct Instance {
    pub id: String,
    pub class: String,
    pub engine: String,
    pub version: String,
    pub status: String,
    pub port: u16,
    pub subnet_group: String,
    pub security_groups: Vec<String>,
    pub parameter_group: String,
    pub option_group: String,
    pub multi_az: bool,
    pub public: bool,
    pub storage_type: String,
    pub allocated: u32,
    pub iops: u32,
    pub throughput: u32,
    pub protected: bool,
    pub iam: bool,
    pub auto_minor: bool,
    pub copy_tags: bool,
    pub encrypted: bool,
    pub logs: Vec<String>,
    pub tags: BTreeMap<String, String>,
    /// Empty for an instance that is in no cluster.
    pub cluster: String,
    pub tier: u32,
    pub writer: bool,
    /// Looks until it is what it will be, and what that is.
    pub left: usize,
    pub becomes: String,
}

impl Instance {
    /// A PostgreSQL instance with groups of its own.
    pub fn new(id: &str) -> Instance {
        Instance {
            id: id.into(),
            class: "db.r6g.large".into(),
            engine: "postgres".into(),
            version: "15.4".into(),
            status: "available".into(),
            port: 5433,
            subnet_group: "prod-subnets".into(),
            security_groups: vec!["sg-0001".into(), "sg-0002".into()],
            parameter_group: "prod-postgres15".into(),
            option_group: "prod-options".into(),
            multi_az: true,
            public: false,
            storage_type: "gp3".into(),
            allocated: 100,
            iops: 3000,
            throughput: 125,
            protected: true,
            iam: true,
            auto_minor: false,
            copy_tags: true,
            encrypted: true,
            logs: vec!["postgresql".into()],
            tags: BTreeMap::from([("team".into(), "city: guides + maps".into())]),
            cluster: String::new(),
            tier: 1,
            writer: false,
            left: 0,
            becomes: "available".into(),
        }
    }

    /// An instance of a cluster.
    pub fn member(id: &str, cluster: &Cluster, class: &str, writer: bool) -> Instance {
        let parameter_group = if cluster.engine == "docdb" { "" } else { "prod-aurora-instance" };
        Instance {
            class: class.into(),
            engine: cluster.engine.clone(),
            version: cluster.version.clone(),
            port: cluster.port,
            subnet_group: cluster.subnet_group.clone(),
            security_groups: cluster.security_groups.clone(),
            parameter_group: parameter_group.into(),
            option_group: String::new(),
            multi_az: false,
            storage_type: "aurora".into(),
            allocated: 1,
            protected: false,
            cluster: cluster.id.clone(),
            writer,
            tier: if writer { 0 } else { 2 },
            ..Instance::new(id)
        }
    }

    pub fn groups(&self) -> Vec<String> {
        let mut groups = self.security_groups.clone();
        groups.extend([self.subnet_group.clone(), self.parameter_group.clone(), self.option_group.clone()]);
        groups
    }

    pub fn arn(&self) -> String {
        format!("arn:aws:rds:{REGION}:{ACCOUNT}:db:{}", self.id)
    }

    pub fn look(&mut self) {
        settle(&mut self.left, &mut self.status, &self.becomes);
    }

    pub fn xml(&self, backing_up: bool) -> String {
        let status = if backing_up { "backing-up" } else { &self.status };
        let mut text = fields(&[
            ("DBInstanceIdentifier", &self.id),
            ("DBInstanceClass", &self.class),
            ("Engine", &self.engine),
            ("EngineVersion", &self.version),
            ("DBInstanceStatus", status),
            ("DBInstanceArn", &self.arn()),
            ("MasterUsername", "root"),
            ("AllocatedStorage", &self.allocated.to_string()),
            ("StorageType", &self.storage_type),
            ("MultiAZ", &self.multi_az.to_string()),
            ("PubliclyAccessible", &self.public.to_string()),
            ("DeletionProtection", &self.protected.to_string()),
            ("IAMDatabaseAuthenticationEnabled", &self.iam.to_string()),
            ("AutoMinorVersionUpgrade", &self.auto_minor.to_string()),
            ("CopyTagsToSnapshot", &self.copy_tags.to_string()),
            ("StorageEncrypted", &self.encrypted.to_string()),
            ("NetworkType", "IPV4"),
            ("DbInstancePort", "0"),
        ]);
        if self.encrypted {
            text += &field("KmsKeyId", &format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/0001"));
        }
        if matches!(self.storage_type.as_str(), "gp3" | "io1" | "io2") {
            text += &field("Iops", &self.iops.to_string());
            text += &field("StorageThroughput", &self.throughput.to_string());
        }
        if !self.cluster.is_empty() {
            text += &field("DBClusterIdentifier", &self.cluster);
            text += &field("PromotionTier", &self.tier.to_string());
        }
        // one that is being made has no address yet
        if self.left == 0 {
            let host = format!("{}.c0ffee.{REGION}.rds.amazonaws.com", self.id);
            let endpoint = fields(&[("Address", &host), ("Port", &self.port.to_string())]);
            text += &format!("<Endpoint>{endpoint}</Endpoint>");
        }
        text += &format!("<DBSubnetGroup>{}</DBSubnetGroup>", field("DBSubnetGroupName", &self.subnet_group));
        text += &security_groups(&self.security_groups);
        if !self.parameter_group.is_empty() {
            let name = field("DBParameterGroupName", &self.parameter_group);
            text += &format!(
                "<DBParameterGroups><DBParameterGroup>{name}</DBParameterGroup></DBParameterGroups>"
            );
        }
        if !self.option_group.is_empty() {
            let name = field("OptionGroupName", &self.option_group);
            text += &format!(
                "<OptionGroupMemberships><OptionGroupMembership>{name}</OptionGroupMembership></OptionGroupMemberships>"
            );
        }
        text += &members("EnabledCloudwatchLogsExports", &self.logs);
        format!("<DBInstance>{text}{}</DBInstance>", tag_list(&self.tags))
    }
}

#[derive(Clone, Debug)]
pub struct Cluster {
    pub id: String,
    pub engine: String,
    pub version: String,
    pub status: String,
    pub port: u16,
    pub subnet_group: String,
    pub security_groups: Vec<String>,
    pub parameter_group: String,
    pub protected: bool,
    pub iam: bool,
    pub copy_tags: bool,
    pub encrypted: bool,
    pub storage_type: String,
    /// Of a Multi-AZ cluster the class of its instances.
    pub class: Option<String>,
    pub iops: u32,
    pub logs: Vec<String>,
    pub tags: BTreeMap<String, String>,
    pub writer: String,
    pub left: usize,
    pub becomes: String,
}

impl Cluster {
    /// `aurora-postgresql` or `docdb`.
    pub fn new(id: &str, engine: &str) -> Cluster {
        let documents = engine == "docdb";
        Cluster {
            id: id.into(),
            engine: engine.into(),
            version: if documents { "5.0.0" } else { "15.4" }.into(),
            status: "available".into(),
            port: if documents { 27018 } else { 5434 },
            subnet_group: "prod-subnets".into(),
            security_groups: vec!["sg-0003".into()],
            parameter_group: "prod-cluster".into(),
            protected: true,
            iam: !documents,
            copy_tags: !documents,
            encrypted: true,
            storage_type: if documents { "standard" } else { "aurora-iopt1" }.into(),
            class: None,
            iops: 0,
            logs: vec!["audit".into()],
            tags: BTreeMap::from([("team".into(), "moods".into())]),
            writer: String::new(),
            left: 0,
            becomes: "available".into(),
        }
    }

    pub fn groups(&self) -> Vec<String> {
        let mut groups = self.security_groups.clone();
        groups.extend([self.subnet_group.clone(), self.parameter_group.clone()]);
        groups
    }

    pub fn arn(&self) -> String {
        format!("arn:aws:rds:{REGION}:{ACCOUNT}:cluster:{}", self.id)
    }

    pub fn look(&mut self) {
        settle(&mut self.left, &mut self.status, &self.becomes);
    }

    pub fn xml(&self, instances: &[String], backing_up: bool) -> String {
        let status = if backing_up { "backing-up" } else { &self.status };
        let host = |kind: &str| format!("{}.{kind}c0ffee.{REGION}.rds.amazonaws.com", self.id);
        let mut text = fields(&[
            ("DBClusterIdentifier", &self.id),
            ("Engine", &self.engine),
            ("EngineVersion", &self.version),
            ("EngineMode", "provisioned"),
            ("Status", status),
            ("DBClusterArn", &self.arn()),
            ("Endpoint", &host("cluster-")),
            ("ReaderEndpoint", &host("cluster-ro-")),
            ("Port", &self.port.to_string()),
            ("DBSubnetGroup", &self.subnet_group),
            ("DBClusterParameterGroup", &self.parameter_group),
            ("DeletionProtection", &self.protected.to_string()),
            ("IAMDatabaseAuthenticationEnabled", &self.iam.to_string()),
            ("CopyTagsToSnapshot", &self.copy_tags.to_string()),
            ("StorageEncrypted", &self.encrypted.to_string()),
            ("StorageType", &self.storage_type),
            ("NetworkType", "IPV4"),
        ]);
        if let Some(class) = &self.class {
            text += &fields(&[("DBClusterInstanceClass", class), ("Iops", &self.iops.to_string())]);
        }
        text += &security_groups(&self.security_groups);
        let member = |id: &String| {
            let writer = (id == &self.writer).to_string();
            let text = fields(&[("DBInstanceIdentifier", id), ("IsClusterWriter", &writer)]);
            format!("<DBClusterMember>{text}</DBClusterMember>")
        };
        let of: String = instances.iter().map(member).collect();
        text += &format!("<DBClusterMembers>{of}</DBClusterMembers>");
        text += &members("EnabledCloudwatchLogsExports", &self.logs);
        format!("<DBCluster>{text}{}</DBCluster>", tag_list(&self.tags))
    }
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub id: String,
    /// The instance or cluster.
    pub of: String,
    pub status: String,
    pub kind: String,
    pub engine: String,
    pub version: String,
    pub encrypted: bool,
    pub at: String,
    pub tags: BTreeMap<String, String>,
    /// Looks it has had, and needs.
    pub seen: usize,
    pub looks: usize,
    /// It will fail, for this reason.
    pub fails: Option<String>,
}

impl Snapshot {
    pub fn percent(&self) -> usize {
        (self.seen * 100).checked_div(self.looks).unwrap_or(100).min(100)
    }

    pub fn xml(&self, cluster: bool) -> String {
        let (name, id, of, arn, encrypted) = match cluster {
            true => (
                "DBClusterSnapshot",
                "DBClusterSnapshotIdentifier",
                "DBClusterIdentifier",
                "cluster-snapshot",
                "StorageEncrypted",
            ),
            false => ("DBSnapshot", "DBSnapshotIdentifier", "DBInstanceIdentifier", "snapshot", "Encrypted"),
        };
        let text = fields(&[
            (id, &self.id),
            (of, &self.of),
            (&format!("{name}Arn"), &format!("arn:aws:rds:{REGION}:{ACCOUNT}:{arn}:{}", self.id)),
            ("Status", &self.status),
            ("PercentProgress", &self.percent().to_string()),
            ("SnapshotType", &self.kind),
            ("Engine", &self.engine),
            ("EngineVersion", &self.version),
            ("AllocatedStorage", "100"),
            ("SnapshotCreateTime", &self.at),
            (encrypted, &self.encrypted.to_string()),
        ]);
        format!("<{name}>{text}{}</{name}>", tag_list(&self.tags))
    }
}

fn settle(left: &mut usize, status: &mut String, becomes: &str) {
    if *left > 0 {
        *left -= 1;
        *status = if *left == 0 { becomes.to_string() } else { "creating".to_string() };
    }
}

pub fn field(name: &str, value: &str) -> String {
    format!("<{name}>{}</{name}>", escaped(value))
}

fn fields(all: &[(&str, &str)]) -> String {
    all.iter().map(|(name, value)| field(name, value)).collect()
}

fn members(name: &str, values: &[String]) -> String {
    let text: String = values.iter().map(|value| field("member", value)).collect();
    format!("<{name}>{text}</{name}>")
}

fn security_groups(groups: &[String]) -> String {
    let one = |id: &String| {
        format!(
            "<VpcSecurityGroupMembership>{}</VpcSecurityGroupMembership>",
            field("VpcSecurityGroupId", id)
        )
    };
    format!("<VpcSecurityGroups>{}</VpcSecurityGroups>", groups.iter().map(one).collect::<String>())
}

pub fn tag_list(tags: &BTreeMap<String, String>) -> String {
    let one = |(key, value): (&String, &String)| {
        format!("<Tag>{}</Tag>", fields(&[("Key", key), ("Value", value)]))
    };
    format!("<TagList>{}</TagList>", tags.iter().map(one).collect::<String>())
}
