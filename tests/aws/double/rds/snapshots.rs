//! Manual snapshots: taken one after the other, told in percent, deleted.

use std::collections::BTreeMap;

use super::{Form, Rds, Refusal, Snapshot, filters, identifier, invalid, need, only, page, tags};

/// What the two kinds are called.
struct Kind {
    id: &'static str,
    of: &'static str,
    most: usize,
    exists: &'static str,
    missing: &'static str,
}

const INSTANCE: Kind = Kind {
    id: "DBSnapshotIdentifier",
    of: "DBInstanceIdentifier",
    most: 255,
    exists: "DBSnapshotAlreadyExists",
    missing: "DBSnapshotNotFound",
};
const CLUSTER: Kind = Kind {
    id: "DBClusterSnapshotIdentifier",
    of: "DBClusterIdentifier",
    most: 63,
    exists: "DBClusterSnapshotAlreadyExistsFault",
    missing: "DBClusterSnapshotNotFoundFault",
};

impl Rds {
    fn kept(&mut self, cluster: bool) -> &mut BTreeMap<String, Snapshot> {
        if cluster { &mut self.cluster_snapshots } else { &mut self.snapshots }
    }

    pub(super) fn create_snapshot(&mut self, form: &Form, cluster: bool) -> Result<String, Refusal> {
        let kind = if cluster { CLUSTER } else { INSTANCE };
        only(form, &[kind.id, kind.of, "Tags"])?;
        let id = identifier(form, kind.id, kind.most)?;
        let of = need(form, kind.of)?.to_lowercase();
        let tags = tags(form)?;
        let source = match cluster {
            true => {
                self.clusters.get(&of).map(|c| (&c.engine, &c.version, &c.status, c.encrypted, String::new()))
            }
            false => self
                .instances
                .get(&of)
                .map(|i| (&i.engine, &i.version, &i.status, i.encrypted, i.cluster.clone())),
        };
        let Some((engine, version, status, encrypted, member_of)) = source else {
            let code = if cluster { "DBClusterNotFoundFault" } else { "DBInstanceNotFound" };
            return Err((404, code, format!("{of} not found.")));
        };
        let (engine, version, status) = (engine.clone(), version.clone(), status.clone());
        if !member_of.is_empty() {
            let message = "The specified instance is a member of a cluster and a snapshot cannot be created \
                           directly. Please use the CreateDBClusterSnapshot API instead.";
            return Err(invalid(message.into()));
        }
        if self.kept(cluster).contains_key(&id) {
            return Err((
                400,
                kind.exists,
                format!(
                    "Cannot create the snapshot because a snapshot with the identifier {id} already exists."
                ),
            ));
        }
        let manual = self.kept(cluster).values().filter(|s| s.kind == "manual").count();
        if manual >= self.quota {
            return Err((
                400,
                "SnapshotQuotaExceeded",
                format!("Cannot create more than {} manual snapshots", self.quota),
            ));
        }
        if status != "available" || self.backing_up(&of, cluster) {
            let code = if cluster { "InvalidDBClusterStateFault" } else { "InvalidDBInstanceState" };
            let status = if status == "available" { "backing-up".to_string() } else { status };
            return Err((400, code, format!("{of} is not currently in the available state: {status}.")));
        }
        let snapshot = Snapshot {
            id: id.clone(),
            of,
            status: "creating".into(),
            kind: "manual".into(),
            engine,
            version,
            encrypted,
            at: self.now(),
            tags,
            seen: 0,
            looks: self.looks,
            fails: self.fails.take(),
        };
        let text = snapshot.xml(cluster);
        self.kept(cluster).insert(id, snapshot);
        Ok(text)
    }

    pub(super) fn describe_snapshots(&mut self, form: &Form, cluster: bool) -> Result<String, Refusal> {
        let kind = if cluster { CLUSTER } else { INSTANCE };
        only(form, &[kind.id, kind.of, "SnapshotType", "Filters", "MaxRecords", "Marker"])?;
        if !filters(form).is_empty() {
            return Err(invalid("the double knows no filters of snapshots".into()));
        }
        let (of, wanted_kind) = (form.get(kind.of).map(|of| of.to_lowercase()), form.get("SnapshotType"));
        let id = form.get(kind.id).map(|id| id.to_lowercase());
        let all = self.kept(cluster);
        let found = all.values().filter(|snapshot| {
            of.as_ref().is_none_or(|of| of == &snapshot.of)
                && wanted_kind.is_none_or(|kind| kind == &snapshot.kind)
                && id.as_ref().is_none_or(|id| id == &snapshot.id)
        });
        let ids: Vec<String> = found.map(|snapshot| snapshot.id.clone()).collect();
        if let Some(id) = id.filter(|_| ids.is_empty()) {
            return Err((404, kind.missing, format!("DBSnapshot {id} not found.")));
        }
        let (ids, next) = page(form, &ids)?;
        let mut text = String::new();
        for id in ids {
            self.look(&id, cluster);
            let Some(snapshot) = self.kept(cluster).get(&id) else { continue };
            text += &snapshot.xml(cluster);
            if snapshot.status == "deleting" {
                self.kept(cluster).remove(&id);
            }
        }
        let list = if cluster { "DBClusterSnapshots" } else { "DBSnapshots" };
        let marker = next.map_or(String::new(), |next| format!("<Marker>{next}</Marker>"));
        Ok(format!("{marker}<{list}>{text}</{list}>"))
    }

    /// Time passes for a snapshot.
    fn look(&mut self, id: &str, cluster: bool) {
        let Some(snapshot) = self.kept(cluster).get_mut(id) else { return };
        if snapshot.status != "creating" {
            return;
        }
        snapshot.seen += 1;
        if snapshot.seen < snapshot.looks {
            return;
        }
        match snapshot.fails.take() {
            None => snapshot.status = "available".into(),
            Some(why) => {
                snapshot.status = "failed".into();
                self.events.push((id.into(), why));
            }
        }
    }

    pub(super) fn delete_snapshot(&mut self, form: &Form, cluster: bool) -> Result<String, Refusal> {
        let kind = if cluster { CLUSTER } else { INSTANCE };
        only(form, &[kind.id])?;
        let id = need(form, kind.id)?.to_lowercase();
        let Some(snapshot) = self.kept(cluster).get_mut(&id) else {
            return Err((404, kind.missing, format!("DBSnapshot {id} not found.")));
        };
        if !matches!(snapshot.status.as_str(), "available" | "failed") || snapshot.kind != "manual" {
            let code = if cluster { "InvalidDBClusterSnapshotStateFault" } else { "InvalidDBSnapshotState" };
            return Err((400, code, format!("The snapshot {id} is {}", snapshot.status)));
        }
        snapshot.status = "deleting".into();
        Ok(snapshot.xml(cluster))
    }
}
