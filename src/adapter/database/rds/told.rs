//! What RDS tells, in our words.

use aws_sdk_rds::{
    primitives::DateTime,
    types::{DbClusterSnapshot, DbSnapshot, Tag},
};
use jiff::Timestamp;

use super::name::Tags;

/// What a preflight and a snapshot want to know of the database.
pub struct Status {
    pub status: String,
    pub engine: String,
    pub engine_version: String,
    pub encrypted: bool,
    pub kms_key: Option<String>,
    /// Of an instance: whether it has a standby.
    pub multi_az: Option<bool>,
    /// The cluster that an instance belongs to.
    pub member_of: Option<String>,
}

impl Status {
    /// What a snapshot does to an instance that has no standby to take it of, and to SQL Server with one.
    pub fn suspended(&self) -> Option<String> {
        let which = match self.multi_az? {
            _ if self.member_of.is_some() => return None,
            false => "Single-AZ",
            true if self.engine.starts_with("sqlserver") => "SQL Server",
            true => return None,
        };
        Some(format!("{which}: I/O is suspended for seconds to minutes during the snapshot"))
    }
}

pub struct Snapshot {
    pub id: String,
    /// The instance or cluster it was taken of.
    pub of: String,
    pub status: String,
    pub percent: Option<u8>,
    pub engine: String,
    pub engine_version: String,
    pub encrypted: bool,
    pub at: Timestamp,
    pub tags: Tags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Available,
    Running,
    Failed,
    Deleting,
}

impl Snapshot {
    pub fn state(&self) -> State {
        match self.status.as_str() {
            "available" => State::Available,
            "deleting" => State::Deleting,
            status if status.contains("fail") || status.starts_with("incompatible") => State::Failed,
            _ => State::Running,
        }
    }
}

pub fn tag_list(tags: &[(String, String)]) -> Vec<Tag> {
    tags.iter().map(|(name, value)| Tag::builder().key(name).value(value).build()).collect()
}

pub fn tags_of(list: Option<Vec<Tag>>) -> Tags {
    let pairs = list.unwrap_or_default().into_iter();
    pairs.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect()
}

fn percent(percent: Option<i32>) -> Option<u8> {
    percent.and_then(|percent| u8::try_from(percent.clamp(0, 100)).ok())
}

fn time(time: Option<DateTime>) -> Timestamp {
    let nanos = |time: &DateTime| i32::try_from(time.subsec_nanos()).ok();
    time.and_then(|time| Timestamp::new(time.secs(), nanos(&time)?).ok()).unwrap_or_default()
}

impl From<DbSnapshot> for Snapshot {
    fn from(snapshot: DbSnapshot) -> Self {
        Snapshot {
            id: snapshot.db_snapshot_identifier.unwrap_or_default(),
            of: snapshot.db_instance_identifier.unwrap_or_default(),
            status: snapshot.status.unwrap_or_default(),
            percent: percent(snapshot.percent_progress),
            engine: snapshot.engine.unwrap_or_default(),
            engine_version: snapshot.engine_version.unwrap_or_default(),
            encrypted: snapshot.encrypted.unwrap_or_default(),
            at: time(snapshot.snapshot_create_time),
            tags: tags_of(snapshot.tag_list),
        }
    }
}

impl From<DbClusterSnapshot> for Snapshot {
    fn from(snapshot: DbClusterSnapshot) -> Self {
        Snapshot {
            id: snapshot.db_cluster_snapshot_identifier.unwrap_or_default(),
            of: snapshot.db_cluster_identifier.unwrap_or_default(),
            status: snapshot.status.unwrap_or_default(),
            percent: percent(snapshot.percent_progress),
            engine: snapshot.engine.unwrap_or_default(),
            engine_version: snapshot.engine_version.unwrap_or_default(),
            encrypted: snapshot.storage_encrypted.unwrap_or_default(),
            at: time(snapshot.snapshot_create_time),
            tags: tags_of(snapshot.tag_list),
        }
    }
}
