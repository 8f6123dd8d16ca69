//! One look: the rule, the two services, and the health of what is behind them.

use aws_sdk_ecs::types::Service;
use aws_sdk_elasticloadbalancingv2::types::{TargetHealthDescription, TargetHealthStateEnum};
use futures_util::future::{join3, try_join};
use std::{net::IpAddr, sync::Arc};

use super::{
    EcsAlb,
    balancer::{Forward, Held},
};
use crate::{
    domain::{
        observed::{Health, Instance},
        share::{Share, of_weights},
    },
    port::{Context, Fault},
};

/// Why a rule is left alone.
pub const NEITHER: &str = "it forwards to the group of neither side";

/// The rule and the services, without what is behind them.
pub struct Look {
    pub held: Arc<Held>,
    /// Or what the rule does instead.
    pub forward: Result<Forward, String>,
    pub services: [Arc<Service>; 2],
    /// ARNs of the target groups.
    pub groups: [String; 2],
}

impl Look {
    /// The weight of a side; `None` where its group is not attached.
    pub fn weight(&self, side: usize) -> Option<u64> {
        self.forward.as_ref().ok()?.weight(&self.groups[side])
    }

    pub fn shares(&self) -> [Share; 2] {
        shares(self.forward.as_ref().ok(), &self.groups)
    }

    /// Groups of no side that take traffic, with their weights.
    pub fn strangers(&self) -> Vec<(&str, u64)> {
        let all = self.forward.iter().flat_map(|forward| &forward.groups);
        all.filter(|(arn, weight)| *weight > 0 && !self.groups.contains(arn))
            .map(|(arn, weight)| (arn.as_str(), *weight))
            .collect()
    }
}

pub fn shares(forward: Option<&Forward>, groups: &[String; 2]) -> [Share; 2] {
    let weight = |side: usize| forward.and_then(|forward| forward.weight(&groups[side])).unwrap_or(0);
    of_weights([weight(0), weight(1)])
}

impl EcsAlb {
    pub async fn look(&self, cx: &Context) -> Result<Look, Fault> {
        let [first, second] = &self.sides;
        let (held, first, second) = join3(
            self.balancer.actions(cx, &self.place),
            self.cluster.service(cx, first.as_str()),
            self.cluster.service(cx, second.as_str()),
        )
        .await;
        let (held, services) = (held?, [first?, second?]);
        let forward = Forward::of(&held.actions);
        let groups = self.groups_of(forward.as_ref().ok(), &services)?;
        self.remember(cx, held.clone(), groups.clone());
        Ok(Look { held, forward, services, groups })
    }

    /// The target group of each side: as the file says, as the service says, or the one of the service's
    /// several that the rule names.
    fn groups_of(
        &self,
        forward: Option<&Forward>,
        services: &[Arc<Service>; 2],
    ) -> Result<[String; 2], Fault> {
        let group = |side: usize| -> Result<String, Fault> {
            let name = &self.sides[side];
            if let Some(arn) = self.target_groups.get(name) {
                return Ok(arn.clone());
            }
            let own: Vec<&str> =
                services[side].load_balancers().iter().filter_map(|lb| lb.target_group_arn()).collect();
            let named = own.iter().copied().filter(|arn| forward.is_some_and(|f| f.weight(arn).is_some()));
            match (own.as_slice(), named.collect::<Vec<_>>().as_slice()) {
                ([], _) => Err(self.unreadable(format!("service {name} is behind no target group"))),
                ([only], _) | (_, [only]) => Ok(only.to_string()),
                _ => Err(self
                    .unreadable(format!(
                        "which of its target groups is {name}'s cannot be told: {}",
                        own.join(", ")
                    ))
                    .hint(format!("say `target_groups: {{{name}: ARN}}`"))),
            }
        };
        let groups = [group(0)?, group(1)?];
        if groups[0] == groups[1] {
            let [first, second] = &self.sides;
            let why = format!("{first} and {second} are behind the same target group {}", groups[0]);
            return Err(self.unreadable(why).hint("each side needs a target group of its own"));
        }
        Ok(groups)
    }

    /// The instances of both sides.
    pub async fn instances(&self, cx: &Context, look: &Look) -> Result<[Vec<Instance>; 2], Fault> {
        let [first, second] = &look.groups;
        let (first, second) =
            try_join(self.balancer.health(cx, first), self.balancer.health(cx, second)).await?;
        let all = |side: usize, health: &[TargetHealthDescription]| instances(&look.services[side], health);
        Ok([all(0, &first), all(1, &second)])
    }
}

/// The targets of a side, and one instance down for every task that is not there yet.
fn instances(service: &Service, health: &[TargetHealthDescription]) -> Vec<Instance> {
    let mut instances: Vec<_> = health.iter().filter_map(instance).collect();
    let (there, desired) = (instances.len(), usize::try_from(service.desired_count).unwrap_or_default());
    instances.extend((there..desired).map(|task| Instance {
        name: format!("task {} of {desired}", task + 1),
        address: None,
        health: Health::Down {
            why: format!("{there} of {desired} tasks are registered in the target group"),
        },
    }));
    instances
}

/// A target; one that drains is on its way out and no longer counts.
fn instance(description: &TargetHealthDescription) -> Option<Instance> {
    let target = description.target()?;
    let port = target.port().unwrap_or_default();
    let id = target.id().unwrap_or("?");
    let state = description.target_health()?;
    let health = match state.state()? {
        TargetHealthStateEnum::Draining | TargetHealthStateEnum::UnhealthyDraining => return None,
        TargetHealthStateEnum::Healthy => Health::Up,
        TargetHealthStateEnum::Unavailable => Health::Unknown,
        other => {
            let reason = state.reason().map(|reason| reason.as_str());
            let said = [Some(other.as_str()), reason, state.description()];
            Health::Down { why: said.into_iter().flatten().collect::<Vec<_>>().join(", ") }
        }
    };
    let address = id.parse::<IpAddr>().ok().map(|ip| match ip {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    });
    Some(Instance { name: format!("{id}:{port}"), address, health })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_elasticloadbalancingv2::types::{TargetDescription, TargetHealth, TargetHealthReasonEnum};

    fn target(id: &str, state: &str, reason: Option<&str>) -> TargetHealthDescription {
        let health = TargetHealth::builder()
            .state(state.into())
            .set_reason(reason.map(TargetHealthReasonEnum::from))
            .set_description(reason.map(|_| "Health checks failed".to_string()));
        TargetHealthDescription::builder()
            .target(TargetDescription::builder().id(id).port(8080).build())
            .target_health(health.build())
            .build()
    }

    #[test]
    fn a_task_that_is_not_there_counts_and_one_that_drains_does_not() {
        let service = Service::builder().desired_count(3).build();
        let health = [
            target("10.0.0.1", "healthy", None),
            target("10.0.0.2", "draining", None),
            target("i-1", "unhealthy", Some("Target.FailedHealthChecks")),
        ];
        let seen = instances(&service, &health);
        assert_eq!(seen.len(), 3);
        assert_eq!((seen[0].address.as_deref(), &seen[0].health), (Some("10.0.0.1:8080"), &Health::Up));
        assert_eq!((seen[1].name.as_str(), seen[1].address.as_deref()), ("i-1:8080", None));
        let why = |at: usize| match &seen[at].health {
            Health::Down { why } => why.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(why(1), "unhealthy, Target.FailedHealthChecks, Health checks failed");
        assert_eq!((seen[2].name.as_str(), why(2).contains("2 of 3")), ("task 3 of 3", true));
    }
}
