//! What a target shows of itself when it is looked at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{names::SideName, share::Share};

/// One look at a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observed {
    /// Both sides, in the order of the file.
    pub sides: Vec<Side>,
    pub activity: Activity,
    /// Facts about this moment that a person should know: "a reload would lose the weights".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Whether the provider itself is at work on the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    Idle,
    Busy { what: String },
    Failed { why: String },
}

/// One place that can serve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    pub name: SideName,
    /// What runs there, where it can be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its part of the target's traffic.
    pub share: Share,
    pub instances: Vec<Instance>,
    /// What other systems call it: `target_group`, `function_version`. Metric queries use them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// One process, task or pod of a side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Instance {
    pub name: String,
    /// `host:port` where it can be asked directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    pub health: Health,
}

/// What the target, or a probe, says of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Up,
    Down {
        why: String,
    },
    /// Taken out by a person; it neither serves nor counts.
    Disabled,
    /// Nobody asks it.
    Unknown,
}

impl Observed {
    pub fn side(&self, name: &SideName) -> Option<&Side> {
        self.sides.iter().find(|s| &s.name == name)
    }

    /// The share of `name`; a side that is not there has none.
    pub fn share(&self, name: &SideName) -> Share {
        self.side(name).map_or(Share::NONE, |s| s.share)
    }

    /// The side that is not `name`.
    pub fn other(&self, name: &SideName) -> Option<&Side> {
        self.sides.iter().find(|s| &s.name != name)
    }
}

impl Side {
    pub fn healthy(&self) -> usize {
        self.instances.iter().filter(|i| i.health == Health::Up).count()
    }

    /// Instances that are meant to serve.
    pub fn wanted(&self) -> usize {
        self.instances.iter().filter(|i| i.health != Health::Disabled).count()
    }

    /// Whether it may carry traffic; otherwise why not.
    pub fn ready(&self) -> Result<(), String> {
        if self.wanted() == 0 {
            return Err(format!("{} has no instance that is meant to serve", self.name));
        }
        let sick = self.instances.iter().find(|i| !matches!(i.health, Health::Up | Health::Disabled));
        match sick {
            None => Ok(()),
            Some(instance) => {
                let why = match &instance.health {
                    Health::Down { why } => format!("is down ({why})"),
                    _ => "is not health-checked by anyone (give the service `health:`)".into(),
                };
                Err(format!(
                    "{} has {} of {} healthy: {} {why}",
                    self.name,
                    self.healthy(),
                    self.wanted(),
                    instance.name
                ))
            }
        }
    }
}
