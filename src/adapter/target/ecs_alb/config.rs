//! The options of an `ecs_alb` target.

use schemars::JsonSchema;
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf};

use super::balancer::Place;
use crate::{adapter::aws::Access, domain::names::SideName};

/// Two ECS services, each behind a target group of its own, and a rule of an Application Load Balancer that
/// forwards to both groups by weight. Traffic is split by these weights; everything else in the rule stays
/// as it is.
///
/// `deploy` registers a task definition, attaches the candidate's group at weight 0 so that it is
/// health-checked, updates the idle service and scales it to the other's count. `finish` scales the old
/// service to 0. Both services must have the rolling deployment controller (ECS, strategy ROLLING). Where
/// Application Auto Scaling governs a service, its minimum brings back tasks that `finish` took away.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EcsAlbConfig")]
pub struct Config {
    /// The cluster's name or ARN.
    pub cluster: String,
    /// The names of the two services: `[api-blue, api-green]`. They are the sides.
    pub sides: [SideName; 2],
    /// The ARN of the listener rule that splits the traffic; or of a listener, for its default action.
    pub rule: Option<String>,
    /// The ARN of the listener whose default action splits the traffic. Either this or `rule`.
    pub listener: Option<String>,
    /// The ARN of each side's target group (the one that the ECS service itself names). Needed where a
    /// service has several and the rule does not tell which.
    #[serde(default)]
    pub target_groups: BTreeMap<SideName, String>,
    /// A file with the task definition, as `aws ecs register-task-definition --cli-input-json` takes it.
    /// The image is put into it. Without a file the candidate's is made from the one that the other side
    /// runs.
    pub task_definition: Option<PathBuf>,
    /// The container that gets the image (the only one, the only essential one, or the one behind the load
    /// balancer).
    pub container: Option<String>,
    /// Region, profile, role, endpoint.
    #[serde(default)]
    pub aws: Access,
}

impl Config {
    /// Which rule it is, or what is wrong with these options.
    pub(super) fn place(&self) -> Result<Place, String> {
        if self.sides[0] == self.sides[1] {
            return Err(format!("sides: both are {}", self.sides[0]));
        }
        if let Some(stranger) = self.target_groups.keys().find(|side| !self.sides.contains(side)) {
            return Err(format!("target_groups: {stranger} is no side"));
        }
        if let Some(arn) = self.target_groups.values().find(|arn| !arn.contains(":targetgroup/")) {
            return Err(format!("target_groups: `{arn}` is not the ARN of a target group"));
        }
        match (&self.rule, &self.listener) {
            (Some(arn), None) => Place::new(arn).map_err(|why| format!("rule: {why}")),
            (None, Some(arn)) => match Place::new(arn) {
                Ok(place @ Place::Listener(_)) => Ok(place),
                Ok(Place::Rule(_)) => Err("listener: this is a rule's ARN: call it `rule`".into()),
                Err(why) => Err(format!("listener: {why}")),
            },
            _ => Err("say `rule` or `listener`, one of the two".into()),
        }
    }
}
