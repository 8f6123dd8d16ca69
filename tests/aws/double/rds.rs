//! RDS: instances, clusters and their manual snapshots, which take as many looks as one likes.

mod restore;
mod snapshots;
mod things;

pub use things::{Cluster, Instance, Snapshot};

use std::collections::{BTreeMap, BTreeSet};

use super::{ACCOUNT, Answer, REGION, Request, Response, State, server};

const NAMESPACE: &str = "http://rds.amazonaws.com/doc/2014-10-31/";

/// Status, code, message.
type Refusal = (u16, &'static str, String);
type Form = BTreeMap<String, String>;

/// The instances, clusters and snapshots of the account.
#[derive(Clone)]
pub struct Rds {
    pub instances: BTreeMap<String, Instance>,
    pub clusters: BTreeMap<String, Cluster>,
    pub snapshots: BTreeMap<String, Snapshot>,
    pub cluster_snapshots: BTreeMap<String, Snapshot>,
    /// How often a snapshot is looked at before it is available; what is restored likewise.
    pub looks: usize,
    /// The next snapshot fails, for this reason.
    pub fails: Option<String>,
    /// A restored instance or cluster ends in this state.
    pub broken: Option<String>,
    /// Manual snapshots of either kind that there may be.
    pub quota: usize,
    /// Subnet, parameter, option and security groups that there are.
    pub groups: BTreeSet<String>,
    events: Vec<(String, String)>,
    /// Minutes since the double's beginning of time.
    minute: usize,
    /// What was asked of a restore or an instance of a cluster, by its identifier.
    pub asked: BTreeMap<String, Form>,
}

impl Default for Rds {
    fn default() -> Self {
        Rds {
            instances: BTreeMap::new(),
            clusters: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            cluster_snapshots: BTreeMap::new(),
            looks: 3,
            fails: None,
            broken: None,
            quota: 100,
            groups: BTreeSet::new(),
            events: Vec::new(),
            minute: 0,
            asked: BTreeMap::new(),
        }
    }
}

impl Rds {
    /// Puts an instance there, with its groups.
    pub fn add(&mut self, instance: Instance) {
        self.groups.extend(instance.groups());
        self.instances.insert(instance.id.clone(), instance);
    }

    pub fn add_cluster(&mut self, cluster: Cluster) {
        self.groups.extend(cluster.groups());
        self.clusters.insert(cluster.id.clone(), cluster);
    }

    pub fn answer(&mut self, request: &Request, _others: &mut State) -> Answer {
        let form = request.form();
        let object = OBJECTS.iter().find_map(|name| form.get(*name)).cloned().unwrap_or_default();
        let result = match request.operation.as_str() {
            "DescribeDBInstances" => self.describe_instances(&form),
            "DescribeDBClusters" => self.describe_clusters(&form),
            "CreateDBSnapshot" => self.create_snapshot(&form, false),
            "CreateDBClusterSnapshot" => self.create_snapshot(&form, true),
            "DescribeDBSnapshots" => self.describe_snapshots(&form, false),
            "DescribeDBClusterSnapshots" => self.describe_snapshots(&form, true),
            "DeleteDBSnapshot" => self.delete_snapshot(&form, false),
            "DeleteDBClusterSnapshot" => self.delete_snapshot(&form, true),
            "RestoreDBInstanceFromDBSnapshot" => self.restore_instance(&form),
            "RestoreDBClusterFromSnapshot" => self.restore_cluster(&form),
            "CreateDBInstance" => self.create_instance(&form),
            "ListTagsForResource" => self.list_tags(&form),
            "AddTagsToResource" => self.add_tags(&form),
            "DescribeAccountAttributes" => self.account(&form),
            "DescribeEvents" => self.describe_events(&form),
            _ => return Answer::unknown(request),
        };
        Answer::new(request, object, told(&request.operation, result))
    }

    fn now(&mut self) -> String {
        self.minute += 1;
        let (hour, minute) = (self.minute / 60, self.minute % 60);
        format!("2026-01-{:02}T{:02}:{minute:02}:00.123Z", 1 + hour / 24, hour % 24)
    }

    fn describe_instances(&mut self, form: &Form) -> Result<String, Refusal> {
        only(form, &["DBInstanceIdentifier", "Filters", "MaxRecords", "Marker"])?;
        let id = form.get("DBInstanceIdentifier").map(|id| id.to_lowercase());
        let mut wanted = self.instances.keys().cloned().collect::<Vec<_>>();
        if let Some(id) = &id {
            wanted.retain(|known| known == id);
            if wanted.is_empty() {
                return Err((404, "DBInstanceNotFound", format!("DBInstance {id} not found.")));
            }
        }
        for (name, values) in filters(form) {
            match name.as_str() {
                "db-cluster-id" => wanted.retain(|id| values.contains(&self.instances[id].cluster)),
                "db-instance-id" => wanted.retain(|id| values.contains(id)),
                other => return Err(invalid(format!("Unrecognized filter name: {other}"))),
            }
        }
        let mut text = String::new();
        for id in page(form, &wanted)?.0 {
            let backing_up = self.backing_up(&id, false);
            if let Some(instance) = self.instances.get_mut(&id) {
                instance.look();
                text += &instance.xml(backing_up);
            }
        }
        Ok(format!("<DBInstances>{text}</DBInstances>"))
    }

    fn describe_clusters(&mut self, form: &Form) -> Result<String, Refusal> {
        only(form, &["DBClusterIdentifier", "Filters", "MaxRecords", "Marker", "IncludeShared"])?;
        let id = form.get("DBClusterIdentifier").map(|id| id.to_lowercase());
        let mut wanted = self.clusters.keys().cloned().collect::<Vec<_>>();
        if let Some(id) = &id {
            wanted.retain(|known| known == id);
            if wanted.is_empty() {
                return Err((404, "DBClusterNotFoundFault", format!("DBCluster {id} not found.")));
            }
        }
        let mut text = String::new();
        for id in wanted {
            let backing_up = self.backing_up(&id, true);
            let members: Vec<String> =
                self.instances.values().filter(|i| i.cluster == id).map(|i| i.id.clone()).collect();
            if let Some(cluster) = self.clusters.get_mut(&id) {
                cluster.look();
                text += &cluster.xml(&members, backing_up);
            }
        }
        Ok(format!("<DBClusters>{text}</DBClusters>"))
    }

    /// RDS takes one snapshot after the other.
    fn backing_up(&self, id: &str, cluster: bool) -> bool {
        let kept = if cluster { &self.cluster_snapshots } else { &self.snapshots };
        kept.values().any(|snapshot| snapshot.of == id && snapshot.status == "creating")
    }

    fn tags_by_arn(&mut self, arn: &str) -> Result<&mut BTreeMap<String, String>, Refusal> {
        let parts: Vec<&str> = arn.split(':').collect();
        let (kind, id) = match parts.as_slice() {
            ["arn", "aws", "rds", region, account, kind, id] if *region == REGION && *account == ACCOUNT => {
                (*kind, id.to_string())
            }
            _ => return Err(invalid(format!("Invalid resource name: {arn}"))),
        };
        let tags = match kind {
            "db" => self.instances.get_mut(&id).map(|thing| &mut thing.tags),
            "cluster" => self.clusters.get_mut(&id).map(|thing| &mut thing.tags),
            "snapshot" => self.snapshots.get_mut(&id).map(|thing| &mut thing.tags),
            "cluster-snapshot" => self.cluster_snapshots.get_mut(&id).map(|thing| &mut thing.tags),
            _ => None,
        };
        tags.ok_or_else(|| invalid(format!("The specified resource name does not match: {arn}")))
    }

    fn list_tags(&mut self, form: &Form) -> Result<String, Refusal> {
        only(form, &["ResourceName", "Filters"])?;
        let tags = self.tags_by_arn(need(form, "ResourceName")?)?;
        Ok(things::tag_list(tags))
    }

    fn add_tags(&mut self, form: &Form) -> Result<String, Refusal> {
        only(form, &["ResourceName", "Tags"])?;
        let new = tags(form)?;
        self.tags_by_arn(need(form, "ResourceName")?)?.extend(new);
        Ok(String::new())
    }

    fn account(&self, form: &Form) -> Result<String, Refusal> {
        only(form, &[])?;
        let quota = |name: &str, used: usize| {
            format!(
                "<AccountQuota><AccountQuotaName>{name}</AccountQuotaName><Used>{used}</Used><Max>{}</Max></AccountQuota>",
                self.quota
            )
        };
        Ok(format!(
            "<AccountQuotas>{}{}{}</AccountQuotas>",
            quota("DBInstances", self.instances.len()),
            quota("ManualSnapshots", self.snapshots.len()),
            quota("ManualClusterSnapshots", self.cluster_snapshots.len())
        ))
    }

    fn describe_events(&self, form: &Form) -> Result<String, Refusal> {
        only(form, &["SourceIdentifier", "SourceType", "Duration", "MaxRecords", "Marker"])?;
        let kinds = ["db-instance", "db-cluster", "db-snapshot", "db-cluster-snapshot"];
        if !kinds.contains(&need(form, "SourceType")?.as_str()) {
            return Err(invalid("Unrecognized source type".into()));
        }
        let id = need(form, "SourceIdentifier")?;
        let told = self.events.iter().filter(|(of, _)| of == id);
        let text: String =
            told.map(|(_, message)| format!("<Event><Message>{message}</Message></Event>")).collect();
        Ok(format!("<Events>{text}</Events>"))
    }
}

const OBJECTS: [&str; 7] = [
    "DBSnapshotIdentifier",
    "DBClusterSnapshotIdentifier",
    "SnapshotIdentifier",
    "DBInstanceIdentifier",
    "DBClusterIdentifier",
    "SourceIdentifier",
    "ResourceName",
];

fn told(operation: &str, result: Result<String, Refusal>) -> Response {
    match result {
        Ok(text) => server::query_result(operation, NAMESPACE, &text),
        Err((status, code, message)) => server::query_error(status, code, &message),
    }
}

fn invalid(message: String) -> Refusal {
    (400, "InvalidParameterValue", message)
}

fn combination(message: &str) -> Refusal {
    (400, "InvalidParameterCombination", message.into())
}

fn need<'a>(form: &'a Form, name: &str) -> Result<&'a String, Refusal> {
    let missing = || (400, "MissingParameter", format!("The request must contain the parameter {name}."));
    form.get(name).ok_or_else(missing)
}

/// Refuses parameters that RDS does not know.
fn only(form: &Form, known: &[&str]) -> Result<(), Refusal> {
    let stranger = form.keys().find(|name| {
        let first = name.split('.').next().unwrap_or_default();
        !matches!(first, "Action" | "Version") && !known.contains(&first)
    });
    stranger.map_or(Ok(()), |name| Err(invalid(format!("unknown parameter {name}"))))
}

/// 1 to `most` letters, digits and hyphens, a letter first, none at the end, no two together; lower-cased.
fn identifier(form: &Form, name: &str, most: usize) -> Result<String, Refusal> {
    let text = need(form, name)?;
    let good = (1..=most).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !text.ends_with('-')
        && !text.contains("--");
    match good {
        true => Ok(text.to_lowercase()),
        false => Err(invalid(format!(
            "The parameter {name} is not a valid identifier. Identifiers must begin with a letter; must contain \
             only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive \
             hyphens."
        ))),
    }
}

/// `Tags.Tag.1.Key`
fn tags(form: &Form) -> Result<BTreeMap<String, String>, Refusal> {
    let mut tags = BTreeMap::new();
    for n in 1.. {
        let Some(key) = form.get(&format!("Tags.Tag.{n}.Key")) else { break };
        let value = form.get(&format!("Tags.Tag.{n}.Value")).cloned().unwrap_or_default();
        let good = |text: &str, most: usize| {
            text.chars().count() <= most
                && text.chars().all(|c| c.is_alphanumeric() || " _.:/=+-@".contains(c))
        };
        if key.is_empty() || key.starts_with("aws:") || !good(key, 128) || !good(&value, 256) {
            return Err(invalid(format!("The tag {key}={value} is not allowed.")));
        }
        if tags.insert(key.clone(), value).is_some() {
            return Err(invalid(format!("The tag {key} is there twice.")));
        }
    }
    match tags.len() {
        0..=50 => Ok(tags),
        _ => Err((400, "TagQuotaPerResourceExceeded", "There are more than 50 tags.".into())),
    }
}

/// `Filters.Filter.1.Name`, `Filters.Filter.1.Values.Value.1`
fn filters(form: &Form) -> Vec<(String, Vec<String>)> {
    let values = |n: usize| {
        (1..)
            .map_while(|v| form.get(&format!("Filters.Filter.{n}.Values.Value.{v}")).cloned())
            .collect::<Vec<_>>()
    };
    (1..)
        .map_while(|n| form.get(&format!("Filters.Filter.{n}.Name")).map(|name| (name.clone(), values(n))))
        .collect()
}

/// The identifiers of one page, and the marker of the next.
fn page(form: &Form, all: &[String]) -> Result<(Vec<String>, Option<usize>), Refusal> {
    let size = form.get("MaxRecords").map_or(Ok(100), |text| text.parse::<usize>());
    let Some(size) = size.ok().filter(|size| (20..=100).contains(size)) else {
        return Err(invalid("MaxRecords must be between 20 and 100".into()));
    };
    let from = form.get("Marker").map_or(Ok(0), |text| text.parse::<usize>());
    let Some(from) = from.ok().filter(|from| *from <= all.len()) else {
        return Err(invalid("The marker is not valid.".into()));
    };
    let end = (from + size).min(all.len());
    Ok((all[from..end].to_vec(), (end < all.len()).then_some(end)))
}
