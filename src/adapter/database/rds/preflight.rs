//! What a person should know before a snapshot is taken.

use super::{Snapshots, api::Source};
use crate::port::{Context, Finding, Findings, Grade};

/// A share of the quota from which it is worth a word, in percent.
const QUOTA_NEAR: i64 = 90;

impl Snapshots {
    pub(super) async fn findings(&self, cx: &Context) -> Vec<Finding> {
        let mut found = Findings::new(format!("databases.{}", self.name));
        let id = self.api.source.id();
        match self.api.status(cx).await {
            Err(fault) => {
                found.fault(&fault);
                return found.list;
            }
            Ok(None) => found.add(Grade::Refuse, self.absent("look at the database").detail + ": " + id),
            Ok(Some(status)) => {
                let text = format!("{} {id}, {} {}", self.kind, status.engine, status.engine_version);
                match (&status.member_of, status.status.as_str()) {
                    (Some(cluster), _) => found.add(
                        Grade::Refuse,
                        format!(
                            "{text}: a member of the cluster {cluster}: write `rds: {{cluster: {cluster}}}`"
                        ),
                    ),
                    _ if self.kind == "documentdb" && status.engine != "docdb" => {
                        found.add(
                            Grade::Refuse,
                            format!("{text}: not DocumentDB: write `rds: {{cluster: {id}}}`"),
                        );
                    }
                    (None, "available") => found.add(Grade::Ok, format!("{text}, available")),
                    (None, other) => found.add(
                        Grade::Refuse,
                        format!("{text}: `{other}`; RDS takes snapshots only of what is `available`"),
                    ),
                }
                if let Some(text) = status.suspended() {
                    found.add(Grade::Warn, text);
                }
                if let Some(key) = status.kms_key.filter(|_| status.encrypted) {
                    found.add(
                        Grade::Ok,
                        format!(
                            "encrypted with {key}; a key of your own must let the identity do kms:DescribeKey \
                             and kms:CreateGrant"
                        ),
                    );
                }
            }
        }
        if let Err(fault) = self.api.snapshots(cx).await {
            found.fault(&fault);
        }
        match self.api.quota(cx).await {
            Ok(Some((used, most))) if used * 100 >= most * QUOTA_NEAR => found.add(
                Grade::Warn,
                format!(
                    "{used} of the {most} manual snapshots that the account may have; they never expire: \
                     delete some, or set `keep:`"
                ),
            ),
            Ok(_) => {}
            Err(fault) => {
                found.add(Grade::Unknown, format!("how many snapshots the quota leaves: {}", fault.told()));
            }
        }
        let writes = match self.api.source {
            Source::Instance(_) => {
                "rds:CreateDBSnapshot, rds:AddTagsToResource and, for `keep`, rds:DeleteDBSnapshot"
            }
            Source::Cluster(_) => {
                "rds:CreateDBClusterSnapshot, rds:AddTagsToResource and, for `keep`, rds:DeleteDBClusterSnapshot"
            }
        };
        found.add(Grade::Unknown, format!("whether the identity has {writes} shows only when they are used"));
        found.list
    }
}
