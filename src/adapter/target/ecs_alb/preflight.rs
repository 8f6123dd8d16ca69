//! What a person should know of two services and their rule before a release.

use aws_sdk_ecs::types::{DeploymentControllerType, DeploymentStrategy, SchedulingStrategy, Service};

use super::{EcsAlb, balancer::Forward, look::Look};
use crate::{
    adapter::{
        aws::resource_of,
        ecs_api::{revision_of, task_definition::from_file},
    },
    domain::duration::spoken,
    port::{Context, Finding, Findings, Grade},
};
use std::time::Duration;

pub async fn preflight(target: &EcsAlb, cx: &Context) -> Vec<Finding> {
    let mut findings = Findings::new(format!("ecs_alb {}", target.place.object()));
    match target.look(cx).await {
        Err(fault) => findings.fault(&fault),
        Ok(look) => {
            rule(target, &look, &mut findings);
            for side in [0, 1] {
                service(target, &look, side, &mut findings);
            }
            groups(target, cx, &look, &mut findings).await;
            task_definition(target, cx, &look, &mut findings).await;
            if let Err(fault) = target.instances(cx, &look).await {
                findings.fault(&fault);
            }
        }
    }
    findings.add(
        Grade::Unknown,
        "whether the identity may elasticloadbalancing:ModifyRule and ModifyListener, ecs:RegisterTaskDefinition, \
         ecs:UpdateService, ecs:TagResource and iam:PassRole for the task's roles: only a change tells",
    );
    findings.list
}

/// What stickiness means for a share.
pub fn sticky(seconds: i32) -> String {
    let time = spoken(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()));
    format!(
        "the rule keeps clients with their target group for {time}: a share is one of new clients, and a side \
         at 0 % still serves those it has"
    )
}

fn rule(target: &EcsAlb, look: &Look, findings: &mut Findings) {
    let forward: &Forward = match &look.forward {
        Ok(forward) => forward,
        Err(why) => return findings.add(Grade::Refuse, why.as_str()),
    };
    if look.held.default_rule {
        findings.add(
            Grade::Refuse,
            "it is the default rule of its listener, which only the listener's ARN can change: say `listener: ARN`",
        );
    }
    let [first, second] = &target.sides;
    let weights = [0, 1].map(|side| look.weight(side));
    match weights {
        [None, None] => {
            let known: Vec<_> = forward.groups.iter().map(|(arn, _)| resource_of(arn)).collect();
            findings.add(
                Grade::Refuse,
                format!(
                    "it forwards to {} and to no group of {first} or {second} ({}, {})",
                    known.join(", "),
                    resource_of(&look.groups[0]),
                    resource_of(&look.groups[1])
                ),
            );
        }
        _ if weights.iter().flatten().sum::<u64>() == 0 => {
            findings
                .add(Grade::Refuse, format!("neither {first} nor {second} has traffic: their weights are 0"));
        }
        _ => {
            let [a, b] = look.shares();
            findings.add(Grade::Ok, format!("{first} has {a}, {second} has {b}"));
        }
    }
    for side in [0, 1].into_iter().filter(|&side: &usize| weights[side].is_none()) {
        findings.add(
            Grade::Ok,
            format!(
                "the group of {} is not attached yet: `deploy` attaches it at weight 0",
                target.sides[side]
            ),
        );
    }
    for (group, weight) in look.strangers() {
        findings.add(
            Grade::Refuse,
            format!(
                "{} belongs to no side and takes traffic (weight {weight}): take it out of the rule, or set its \
                 weight to 0",
                resource_of(group)
            ),
        );
    }
    if let Some(seconds) = forward.sticky_seconds {
        findings.add(Grade::Warn, sticky(seconds));
    }
}

/// Why tidegate must leave a service alone.
pub fn governed(service: &Service) -> Option<String> {
    let controller = service.deployment_controller().map(|c| c.r#type());
    match controller {
        None | Some(DeploymentControllerType::Ecs) => {}
        Some(DeploymentControllerType::CodeDeploy) => {
            return Some(
                "CodeDeploy deploys it (deployment controller CODE_DEPLOY) and moves its traffic".into(),
            );
        }
        Some(other) => {
            return Some(format!(
                "its deployment controller is {}: ECS itself does not deploy it",
                other.as_str()
            ));
        }
    }
    let strategy = service.deployment_configuration().and_then(|c| c.strategy());
    if let Some(strategy) = strategy.filter(|s| **s != DeploymentStrategy::Rolling) {
        return Some(format!(
            "ECS deploys it by {} and owns the listener rule while it does: set the strategy to ROLLING",
            strategy.as_str()
        ));
    }
    if service.scheduling_strategy() == Some(&SchedulingStrategy::Daemon) {
        return Some("it is a DAEMON service: it has no desired count".into());
    }
    None
}

fn service(target: &EcsAlb, look: &Look, side: usize, findings: &mut Findings) {
    let (name, service) = (&target.sides[side], &look.services[side]);
    if let Some(why) = governed(service) {
        return findings.add(Grade::Refuse, format!("{name}: {why}"));
    }
    let live = look.shares()[side] > look.shares()[1 - side];
    let count = service.desired_count;
    match (live, count) {
        (true, 0) => findings.add(Grade::Refuse, format!("{name} serves and has a desired count of 0")),
        _ => findings.add(
            Grade::Ok,
            format!(
                "{name} runs {} with a desired count of {count}",
                revision_of(service.task_definition().unwrap_or("?"))
            ),
        ),
    }
}

async fn groups(target: &EcsAlb, cx: &Context, look: &Look, findings: &mut Findings) {
    match target.balancer.groups(cx, &look.groups).await {
        Err(fault) => findings.fault(&fault),
        Ok(groups) => {
            for group in groups.iter().filter(|g| g.health_check_enabled() == Some(false)) {
                let name = group.target_group_name().unwrap_or("?");
                findings.add(Grade::Refuse, format!("target group {name} has no health check"));
            }
        }
    }
    for (side, group) in look.groups.iter().enumerate() {
        let attributes = match target.balancer.attributes(cx, group).await {
            Ok(attributes) => attributes,
            Err(fault) => {
                findings.unknown(&fault);
                continue;
            }
        };
        let get = |key: &str| attributes.get(key).map(String::as_str);
        let name = &target.sides[side];
        if get("stickiness.enabled") == Some("true") {
            let kind = get("stickiness.type").unwrap_or("cookie");
            let seconds = get(&format!("stickiness.{kind}.duration_seconds")).and_then(|s| s.parse().ok());
            let time =
                seconds.map(|s| format!(" for {}", spoken(Duration::from_secs(s)))).unwrap_or_default();
            findings.add(
                Grade::Warn,
                format!("the target group of {name} keeps clients with their task ({kind}){time}"),
            );
        }
        if let Some(seconds) = get("deregistration_delay.timeout_seconds").and_then(|s| s.parse().ok()) {
            let time = spoken(Duration::from_secs(seconds));
            findings.add(
                Grade::Ok,
                format!("tasks of {name} that are taken out get {time} for requests in flight (deregistration delay)"),
            );
        }
    }
}

/// The task definition that the next one is made from, and the container that gets the image.
async fn task_definition(target: &EcsAlb, cx: &Context, look: &Look, findings: &mut Findings) {
    let shares = look.shares();
    let live = usize::from(shares[1] > shares[0]);
    if let Some(file) = &target.file {
        if let Err(why) = from_file(file, target.choice(look, 1 - live), None).await {
            findings.add(Grade::Refuse, why);
        }
        return;
    }
    let running = look.services[live].task_definition().unwrap_or_default();
    match target.cluster.definition(cx, running).await {
        Err(fault) => findings.fault(&fault),
        Ok(described) => {
            if let Err(why) = described.with_image(target.choice(look, live), "image") {
                findings.add(Grade::Warn, why);
            }
        }
    }
}
