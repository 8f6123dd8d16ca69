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
    /// The number of its instances is asked for and changes: an autoscaler takes some away where there is
    /// little traffic.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub elastic: bool,
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

impl Observed {
    /// How many instances a side needs for a share of the traffic: where their number changes, that part of
    /// what the larger side has.
    pub fn needed(&self, side: &Side, share: Share) -> usize {
        if !side.elastic {
            return side.wanted();
        }
        let most = self.sides.iter().map(Side::wanted).max().unwrap_or_default();
        (most * usize::from(share.basis_points())).div_ceil(10_000)
    }

    /// Whether a side has the instances that a share of the traffic needs, and they are well.
    pub fn carries(&self, side: &Side, share: Share) -> Result<(), String> {
        side.ready()?;
        let needed = self.needed(side, share);
        if side.wanted() < needed {
            return Err(too_few(side, share, side.wanted(), needed));
        }
        Ok(())
    }

    /// Whether a side can take traffic back. One instance that is starting or sick is no reason to leave the
    /// traffic where it fails: four of five are enough.
    pub fn takes_back(&self, side: &Side, share: Share) -> Result<(), String> {
        let (healthy, needed) = (side.healthy(), self.needed(side, share));
        if healthy > 0 && healthy * 5 >= needed * 4 {
            return Ok(());
        }
        side.ready()?;
        Err(too_few(side, share, healthy, needed))
    }
}

fn too_few(side: &Side, share: Share, has: usize, needed: usize) -> String {
    format!("{} has {has} instances, and {share} of the traffic needs {needed}", side.name)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Sides with so many healthy instances of so many.
    fn seen(elastic: bool, sides: [(usize, usize); 2]) -> Observed {
        let side = |name: &str, (healthy, wanted): (usize, usize)| Side {
            name: SideName::new(name).unwrap(),
            version: None,
            share: Share::NONE,
            elastic,
            labels: BTreeMap::new(),
            instances: (0..wanted)
                .map(|n| Instance {
                    name: format!("{name}-{n}"),
                    address: None,
                    health: if n < healthy { Health::Up } else { Health::Down { why: "503".into() } },
                })
                .collect(),
        };
        let [blue, green] = sides;
        Observed {
            sides: vec![side("blue", blue), side("green", green)],
            activity: Activity::Idle,
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_share_needs_its_part_of_what_the_larger_side_has_where_the_number_changes() {
        let share = |text: &str| text.parse::<Share>().unwrap();
        let shrunk = seen(true, [(10, 10), (2, 2)]);
        let green = &shrunk.sides[1];
        assert_eq!(shrunk.carries(green, share("20%")), Ok(()));
        assert_eq!(
            shrunk.carries(green, share("50%")),
            Err("green has 2 instances, and 50 % of the traffic needs 5".into())
        );
        assert!(shrunk.takes_back(green, share("100%")).is_err());
        let fixed = seen(false, [(10, 10), (2, 2)]);
        assert_eq!(fixed.carries(&fixed.sides[1], share("100%")), Ok(()));
    }

    #[test]
    fn one_sick_instance_of_many_does_not_keep_the_traffic_where_it_fails() {
        let most = seen(true, [(9, 10), (10, 10)]);
        assert_eq!(most.takes_back(&most.sides[0], Share::ALL), Ok(()));
        assert!(most.carries(&most.sides[0], Share::ALL).is_err());
        for too_few in [(7, 10), (0, 0), (0, 1)] {
            let seen = seen(true, [too_few, (10, 10)]);
            assert!(seen.takes_back(&seen.sides[0], Share::ALL).is_err(), "{too_few:?}");
        }
    }
}
