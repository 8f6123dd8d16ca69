//! What became of a deployment. "The service is stable" does not say that it runs what was asked for: the
//! PRIMARY deployment does.

use aws_sdk_ecs::{
    Client,
    types::{Deployment, DeploymentRolloutState, DesiredStatus, Service, Task},
};
use aws_smithy_types::DateTime;
use std::time::Duration;

use super::{Cluster, ECS, revision_of};
use crate::{
    adapter::aws::{Intent, call},
    port::{Context, Fault},
};

/// How long a read may show the time before a write.
const STALE: Duration = Duration::from_secs(30);
const EVENTS_MAX: usize = 5;
/// `DescribeTasks` would take a hundred.
const TASKS_READ_MAX: i32 = 10;
const TASKS_TOLD_MAX: usize = 3;

/// A deployment that this process asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// ARN of the task definition.
    pub definition: String,
    /// The deployment's id, where the answer had it.
    id: Option<String>,
    /// When ECS began it.
    since: Option<DateTime>,
    /// When it was asked for, on `clock.elapsed()`.
    at: Duration,
}

/// Where a service stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    Done,
    Going(String),
    Failed(String),
}

impl Asked {
    /// `after` is the service as the answer to the change shows it.
    pub fn new(cx: &Context, definition: &str, after: Option<&Service>) -> Self {
        let own = after.and_then(primary).filter(|d| d.task_definition() == Some(definition));
        Asked {
            definition: definition.to_string(),
            id: own.and_then(|d| d.id.clone()),
            since: own.and_then(|d| d.created_at),
            at: cx.clock().elapsed(),
        }
    }

    /// Whether it is this deployment. A later one of the same task definition is as good; one from before
    /// it says nothing of it, even where it runs the same.
    fn is(&self, deployment: &Deployment) -> bool {
        let before = self.since.as_ref().is_some_and(|since| deployment.created_at() < Some(since));
        let own = self.id.is_none() || deployment.id() == self.id.as_deref();
        deployment.task_definition() == Some(&self.definition) && (own || !before)
    }
}

pub fn primary(service: &Service) -> Option<&Deployment> {
    service.deployments().iter().find(|d| d.status() == Some("PRIMARY"))
}

/// How the service stands to what was asked of it, or to what it was told by others.
pub fn rollout(cx: &Context, service: &Service, asked: Option<&Asked>) -> Rollout {
    let Some(primary) = primary(service) else {
        return Rollout::Going("it shows no PRIMARY deployment".into());
    };
    let id = primary.id().unwrap_or("?");
    if let Some(asked) = asked
        && !asked.is(primary)
    {
        return lost(cx, service, primary, asked);
    }
    let told = |state: &str| {
        let reason = primary.rollout_state_reason().map(|r| format!(" ({r})")).unwrap_or_default();
        format!("deployment {id} {state}{reason}")
    };
    let (running, desired) = (primary.running_count, primary.desired_count);
    let going =
        || Rollout::Going(format!("deployment {id} IN_PROGRESS: {running} of {desired} tasks running"));
    match primary.rollout_state() {
        Some(DeploymentRolloutState::Failed) => Rollout::Failed(told("FAILED")),
        Some(DeploymentRolloutState::Completed) => Rollout::Done,
        None if service.deployments().len() == 1 => Rollout::Done,
        _ => going(),
    }
}

/// The PRIMARY deployment is not the one that was asked for: another one won, or this look is an old one.
fn lost(cx: &Context, service: &Service, primary: &Deployment, asked: &Asked) -> Rollout {
    let own = asked.id.as_ref().and_then(|id| service.deployments().iter().find(|d| d.id() == Some(id)));
    let later = |at: Option<&DateTime>| at.zip(asked.since.as_ref()).is_some_and(|(at, since)| at > since);
    let overtaken = own.is_some()
        || later(primary.created_at())
        || later(primary.updated_at())
        || primary.rollout_state_reason().is_some_and(|reason| reason.contains("rolling back"));
    let recent = cx.clock().elapsed().saturating_sub(asked.at) < STALE;
    if !overtaken && recent {
        return Rollout::Going("the deployment is not shown yet".into());
    }
    let reason = own.and_then(|d| d.rollout_state_reason()).or(primary.rollout_state_reason());
    let id = primary.id().unwrap_or("?");
    let what = match primary.task_definition().unwrap_or("?") {
        same if same == asked.definition => format!("is {id} and not {}", asked.id.as_deref().unwrap_or("?")),
        other => format!("{id} runs {} and not {}", revision_of(other), revision_of(&asked.definition)),
    };
    Rollout::Failed(format!(
        "the PRIMARY deployment {what}{}",
        reason.map(|r| format!(": {r}")).unwrap_or_default(),
    ))
}

/// Why a deployment failed, in ECS's own words: the service's events since then, and why tasks stopped.
pub async fn troubles(
    cluster: &Cluster,
    cx: &Context,
    service: &Service,
    asked: Option<&Asked>,
) -> Vec<String> {
    let since = asked.and_then(|asked| asked.since);
    let recent = |at: Option<&DateTime>| match (since.as_ref(), at) {
        (Some(since), Some(at)) => at >= since,
        _ => true,
    };
    let events = service.events().iter().filter(|event| recent(event.created_at()));
    let mut lines: Vec<String> =
        events.take(EVENTS_MAX).filter_map(|e| Some(format!("event: {}", e.message()?))).collect();
    let name = service.service_name().unwrap_or_default();
    match stopped(cluster, cx, name).await {
        Ok(tasks) => {
            let definition = asked.map(|asked| asked.definition.as_str());
            let own = tasks.iter().filter(|t| definition.is_none() || t.task_definition_arn() == definition);
            let mut told = Vec::new();
            for line in own.map(ending) {
                if !told.contains(&line) && told.len() < TASKS_TOLD_MAX {
                    told.push(line);
                }
            }
            lines.extend(told);
        }
        Err(fault) => lines.push(format!("why tasks stopped could not be read: {fault}")),
    }
    lines
}

async fn stopped(cluster: &Cluster, cx: &Context, service: &str) -> Result<Vec<Task>, Fault> {
    let intent = Intent::read(ECS, "ListTasks", cluster.object(service));
    let list = call(&cluster.aws, cx, &intent, |config| {
        let ask = Client::new(&config).list_tasks().cluster(&cluster.name).service_name(service);
        ask.desired_status(DesiredStatus::Stopped).max_results(TASKS_READ_MAX).send()
    })
    .await?;
    let arns = list.task_arns.unwrap_or_default();
    if arns.is_empty() {
        return Ok(Vec::new());
    }
    let intent = Intent::read(ECS, "DescribeTasks", cluster.object(service));
    let answer = call(&cluster.aws, cx, &intent, |config| {
        let ask = Client::new(&config).describe_tasks().cluster(&cluster.name);
        ask.set_tasks(Some(arns.clone())).send()
    })
    .await?;
    Ok(answer.tasks.unwrap_or_default())
}

/// Why a task is no more.
fn ending(task: &Task) -> String {
    let mut text = format!("a task stopped: {}", task.stopped_reason().unwrap_or("for no stated reason"));
    for container in task.containers() {
        let exit = container.exit_code().map(|code| format!("exit code {code}"));
        let said = [exit, container.reason().map(str::to_string)].into_iter().flatten().collect::<Vec<_>>();
        if !said.is_empty() {
            text.push_str(&format!("; container {}: {}", container.name().unwrap_or("?"), said.join(", ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::clock::SystemClock;
    use std::sync::Arc;

    const OLD: &str = "arn:aws:ecs:eu-west-1:1:task-definition/api:1";
    const NEW: &str = "arn:aws:ecs:eu-west-1:1:task-definition/api:2";

    fn cx() -> Context {
        Context::new(Arc::new(SystemClock::default()), Duration::from_secs(1))
    }

    fn deployment(id: &str, status: &str, definition: &str, state: &str, at: i64) -> Deployment {
        Deployment::builder()
            .id(id)
            .status(status)
            .task_definition(definition)
            .rollout_state(state.into())
            .created_at(DateTime::from_secs(at))
            .updated_at(DateTime::from_secs(at))
            .desired_count(3)
            .running_count(1)
            .build()
    }

    fn service(deployments: Vec<Deployment>) -> Service {
        Service::builder().set_deployments(Some(deployments)).build()
    }

    fn asked() -> Asked {
        let after = service(vec![deployment("d2", "PRIMARY", NEW, "IN_PROGRESS", 100)]);
        Asked::new(&cx(), NEW, Some(&after))
    }

    #[test]
    fn stable_is_not_won() {
        let seen = |deployments| rollout(&cx(), &service(deployments), Some(&asked()));
        assert_eq!(seen(vec![deployment("d2", "PRIMARY", NEW, "COMPLETED", 100)]), Rollout::Done);
        let going = "deployment d2 IN_PROGRESS: 1 of 3 tasks running".to_string();
        assert_eq!(seen(vec![deployment("d2", "PRIMARY", NEW, "IN_PROGRESS", 100)]), Rollout::Going(going));
        // the circuit breaker put the old one back, which keeps its id
        let mut back = deployment("d1", "PRIMARY", OLD, "COMPLETED", 50);
        back.updated_at = Some(DateTime::from_secs(200));
        assert!(matches!(seen(vec![back]), Rollout::Failed(why) if why.contains("runs api:1 and not api:2")));
        let own = deployment("d2", "ACTIVE", NEW, "FAILED", 100);
        let old = deployment("d1", "PRIMARY", OLD, "IN_PROGRESS", 50);
        assert!(matches!(seen(vec![old, own]), Rollout::Failed(_)));
    }

    #[test]
    fn a_deployment_of_the_same_task_definition_is_not_taken_for_the_one_that_was_asked_for() {
        let seen = |deployments| rollout(&cx(), &service(deployments), Some(&asked()));
        for state in ["COMPLETED", "FAILED"] {
            let before = deployment("d1", "PRIMARY", NEW, state, 50);
            assert!(matches!(seen(vec![before]), Rollout::Going(why) if why.contains("not shown yet")));
        }
        let mut back = deployment("d1", "PRIMARY", NEW, "COMPLETED", 50);
        back.updated_at = Some(DateTime::from_secs(200));
        assert!(matches!(seen(vec![back]), Rollout::Failed(why) if why.contains("is d1 and not d2")));
        // one that somebody began later runs the same
        assert_eq!(seen(vec![deployment("d3", "PRIMARY", NEW, "COMPLETED", 150)]), Rollout::Done);
    }

    #[test]
    fn a_look_from_before_the_change_is_no_failure() {
        let old = service(vec![deployment("d1", "PRIMARY", OLD, "COMPLETED", 50)]);
        assert!(matches!(rollout(&cx(), &old, Some(&asked())), Rollout::Going(_)));
    }
}
