//! One ECS service that is deployed in place: it cannot be split, and goes from one task definition to the
//! other by a rolling deployment.
//!
//! The sides, `blue` and `green`, are task definitions. Which ones stands in tags of the service, so that any
//! run can tell everything from one look: `tidegate:blue` and `tidegate:green` hold
//! `FAMILY:REVISION=VERSION`. The side serves whose task definition the service runs:
//!
//! - `deploy` registers the candidate's task definition and writes both tags; nothing runs it yet.
//! - A share of 100 % is a deployment of that side's task definition, and is there when that deployment is
//!   PRIMARY and COMPLETED. Until then both serve: the look shows 50 %, and who is at work.
//! - The way back is a deployment of the other side's task definition.
//! - `finish` takes the old side's tag away.
//!
//! Where somebody deploys past tidegate, the service runs what no tag names. With one tag or none that is
//! simply the side that serves. With both, a release is under way or was rolled back, and no side is shown
//! as serving: a rollback puts the recorded one back.

use async_trait::async_trait;
use aws_sdk_ecs::types::Service;
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::ecs_alb::governed;
use crate::{
    adapter::{
        aws::{Access, PROVIDER},
        ecs_api::{
            Cluster, Update, after, revision_of,
            rollout::{Asked, Rollout, primary, rollout, troubles},
            tags::Marked,
            task_definition::{Choice, Described, Wanted, from_file},
        },
    },
    domain::{
        names::{ReleaseName, SideName},
        observed::{Activity, Health, Instance, Observed, Side},
        share::{Share, SideShares},
    },
    port::{
        Caps, Change, Context, Fault, Finding, Findings, Grade, Pace, Target,
        adapter::{Adapter, Setting, TargetAdapter},
    },
};

const SIDES: [&str; 2] = ["blue", "green"];
const TAGS: [&str; 2] = ["tidegate:blue", "tidegate:green"];
/// What both sides show while the service goes from one to the other.
const BOTH: u16 = 5000;

/// One ECS service with rolling deployments. It takes all of the traffic at once, at the service's
/// `switch_at` stage; the way back is a deployment of the task definition from before.
///
/// The service must have the rolling deployment controller (ECS, strategy ROLLING). With a circuit breaker
/// a deployment that fails ends by itself; without one it is given up after 15 minutes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EcsRollingConfig")]
pub struct Config {
    /// The cluster's name or ARN.
    pub cluster: String,
    /// The service's name.
    pub service: String,
    /// A file with the task definition, as `aws ecs register-task-definition --cli-input-json` takes it.
    /// The image is put into it. Without a file it is made from the one that the service runs.
    pub task_definition: Option<PathBuf>,
    /// The container that gets the image (the only one, the only essential one, or the one behind the load
    /// balancer).
    pub container: Option<String>,
    /// Region, profile, role, endpoint.
    #[serde(default)]
    pub aws: Access,
}

pub struct EcsRolling {
    cluster: Cluster,
    service: String,
    sides: [SideName; 2],
    file: Option<PathBuf>,
    container: Option<String>,
    asked: Mutex<Option<Asked>>,
}

/// One look at the service.
struct Look {
    service: Arc<Service>,
    marks: [Option<Marked>; 2],
    /// The share of each side.
    shares: [Share; 2],
    rollout: Rollout,
}

impl Adapter for EcsRolling {
    const NAME: &'static str = "ecs_rolling";
    const SUMMARY: &'static str = "an ECS service with rolling deployments; all of the traffic at once";
    type Config = Config;
}

impl TargetAdapter for EcsRolling {
    const DEFAULT_CHECKS: &'static [(&'static str, &'static str)] =
        &[("healthy", "{target: instances, fail: below 50%}")];
    const DEPLOY_OPTIONS: &'static [&'static str] = &["task_definition", "container"];

    fn connect(config: Config, setting: &Setting) -> Result<Box<dyn Target>, String> {
        let [blue, green] = SIDES.map(|name| SideName::new(name).map_err(|bad| bad.to_string()));
        Ok(Box::new(EcsRolling {
            cluster: Cluster::new(&config.cluster, &config.aws, setting),
            service: config.service,
            sides: [blue?, green?],
            file: config.task_definition.map(|file| setting.base.join(file)),
            container: config.container,
            asked: Mutex::default(),
        }))
    }
}

#[async_trait]
impl Target for EcsRolling {
    fn caps(&self) -> Caps {
        Caps { sides: self.sides.clone(), deploys: true, retires: true, precondition: false, splits: false }
    }

    fn pace(&self) -> Pace {
        Pace {
            call: Duration::from_secs(20),
            settle: Duration::from_secs(900),
            healthy: Duration::from_secs(120),
            look: Duration::from_secs(5),
        }
    }

    fn nearest(&self, share: Share) -> Share {
        if share.basis_points() >= BOTH { Share::ALL } else { Share::NONE }
    }

    /// While the service goes from one to the other both serve.
    fn between(&self, _: Share, _: Share) -> Vec<Share> {
        both().into_iter().collect()
    }

    async fn observe(&self, cx: &Context) -> Result<Observed, Fault> {
        let look = self.look(cx).await?;
        let activity = match &look.rollout {
            Rollout::Done => Activity::Idle,
            Rollout::Going(what) => Activity::Busy { what: what.clone() },
            Rollout::Failed(why) => Activity::Failed { why: self.why(cx, &look, why).await },
        };
        let mut sides = Vec::with_capacity(2);
        for side in [0, 1] {
            sides.push(self.side(cx, &look, side).await?);
        }
        let mut notes = Vec::new();
        if look.shares == [Share::NONE; 2] {
            notes.push(self.passed_by(&look));
        }
        Ok(Observed { sides, activity, notes })
    }

    /// A deployment that failed does not become true by waiting.
    async fn split(&self, cx: &Context) -> Result<SideShares, Fault> {
        let look = self.look(cx).await?;
        if let Rollout::Failed(why) = &look.rollout
            && self.asked().is_some()
        {
            let detail = self.why(cx, &look, why).await;
            return Err(Fault::outcome_unknown(PROVIDER, "deploy", self.object(), detail));
        }
        Ok(self.sides.iter().cloned().zip(look.shares).collect())
    }

    async fn apply(&self, cx: &Context, change: &Change) -> Result<(), Fault> {
        match change {
            Change::Share(split) => self.switch(cx, split).await,
            Change::Deploy { side, release, artifact } => {
                self.deploy(cx, self.index(side)?, release, artifact.as_deref()).await
            }
            // what it runs is the service's own business
            Change::Revive { side } => self.index(side).map(|_| ()),
            Change::Retire { side } => self.retire(cx, self.index(side)?).await,
        }
    }

    async fn preflight(&self, cx: &Context) -> Vec<Finding> {
        self.cluster.aws.introduced(cx, self.findings(cx)).await
    }
}

fn both() -> Option<Share> {
    Share::from_basis_points(BOTH).ok()
}

impl EcsRolling {
    async fn findings(&self, cx: &Context) -> Vec<Finding> {
        let mut findings = Findings::new(format!("ecs_rolling {}", self.object()));
        match self.look(cx).await {
            Err(fault) => findings.fault(&fault),
            Ok(look) => self.examine(cx, &look, &mut findings).await,
        }
        findings.add(
            Grade::Unknown,
            "whether the identity may ecs:RegisterTaskDefinition, ecs:UpdateService, ecs:TagResource, \
             ecs:UntagResource and iam:PassRole for the task's roles: only a change tells",
        );
        findings.list
    }

    fn object(&self) -> String {
        self.cluster.object(&self.service)
    }

    fn asked(&self) -> Option<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ask(&self, asked: Asked) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
    }

    fn index(&self, side: &SideName) -> Result<usize, Fault> {
        let found = self.sides.iter().position(|name| name == side);
        found.ok_or_else(|| self.refusal("change a side", format!("there is no side {side}")))
    }

    fn refusal(&self, operation: &'static str, why: impl std::fmt::Display) -> Fault {
        self.cluster.refusal(operation, &self.service, why)
    }

    async fn look(&self, cx: &Context) -> Result<Look, Fault> {
        let service = self.cluster.service(cx, &self.service).await?;
        let marks = TAGS.map(|key| Marked::of(&service, key));
        let asked = self.asked();
        let rollout = rollout(cx, &service, asked.as_ref());
        let shares = shares(&service, &marks, asked.as_ref(), &rollout);
        Ok(Look { service, marks, shares, rollout })
    }

    async fn why(&self, cx: &Context, look: &Look, why: &str) -> String {
        let mut lines = vec![why.to_string()];
        lines.extend(troubles(&self.cluster, cx, &look.service, self.asked().as_ref()).await);
        lines.join("; ")
    }

    fn choice<'a>(&'a self, service: &'a Service) -> Choice<'a> {
        let balanced = service.load_balancers().iter().find_map(|lb| lb.container_name());
        Choice { named: self.container.as_deref(), balanced }
    }

    fn passed_by(&self, look: &Look) -> String {
        format!(
            "the service runs {}, which is neither side: it was deployed past tidegate. To take it as it is: \
             `aws ecs untag-resource --resource-arn {} --tag-keys {} {}`",
            revision_of(look.service.task_definition().unwrap_or("?")),
            look.service.service_arn().unwrap_or("?"),
            TAGS[0],
            TAGS[1]
        )
    }

    /// A side that serves is the service's tasks; one that waits is its task definition.
    async fn side(&self, cx: &Context, look: &Look, side: usize) -> Result<Side, Fault> {
        let name = self.sides[side].clone();
        let share = look.shares[side];
        let labels = [("cluster", self.cluster.name.as_str()), ("service", self.service.as_str())];
        let labels = labels.map(|(key, value)| (key.to_string(), value.to_string())).into();
        let running = look.service.task_definition().unwrap_or_default();
        let serves = share == Share::ALL;
        let mark = look.marks[side].as_ref().filter(|mark| !serves || mark.revision == revision_of(running));
        let version = match mark {
            Some(mark) => Some(mark.version.clone()),
            None if serves => self.cluster.definition(cx, running).await?.version(self.choice(&look.service)),
            None => None,
        };
        let instances = match mark {
            _ if serves => tasks(&look.service),
            None => Vec::new(),
            Some(mark) => {
                let described = self.cluster.definition(cx, &mark.revision).await?;
                let health = match described.is_active() {
                    true => Health::Up,
                    false => Health::Down { why: "it was deregistered".into() },
                };
                vec![Instance { name: mark.revision.clone(), address: None, health }]
            }
        };
        Ok(Side { name, version, share, instances, elastic: false, labels })
    }

    /// Registers the candidate's task definition and notes both sides on the service; nothing runs it yet.
    async fn deploy(
        &self,
        cx: &Context,
        side: usize,
        release: &ReleaseName,
        image: Option<&str>,
    ) -> Result<(), Fault> {
        const DEPLOY: &str = "deploy";
        let look = self.look(cx).await?;
        if let Some(why) = governed(&look.service) {
            return Err(self.refusal(DEPLOY, why));
        }
        if look.shares[1 - side] != Share::ALL {
            let why = format!("{} does not serve all of the traffic", self.sides[1 - side]);
            return Err(self.refusal(DEPLOY, why));
        }
        let running = look.service.task_definition().unwrap_or_default();
        let described = self.cluster.definition(cx, running).await?;
        let wanted = self.wanted(&look.service, &described, image).await;
        let wanted = wanted.map_err(|why| self.refusal(DEPLOY, why))?;
        let mut done = Vec::new();
        let known = match &look.marks[side] {
            Some(mark) => self.cluster.definition(cx, &mark.revision).await.ok(),
            None => None,
        };
        let recipe = wanted.recipe(release.as_str());
        let known = known.filter(|known| known.is_active() && known.recipe() == Some(&recipe));
        let definition = match known {
            Some(known) => known.arn().to_string(),
            None => self.cluster.register(cx, &wanted, release.as_str(), &mut done).await?,
        };
        let version = described.version(self.choice(&look.service)).unwrap_or_default();
        let tags = vec![
            Marked::tag(TAGS[side], &definition, &wanted.version),
            Marked::tag(TAGS[1 - side], running, &version),
        ];
        self.cluster.tag(cx, &look.service, tags).await.map_err(|fault| after(&done, fault))
    }

    async fn wanted(
        &self,
        service: &Service,
        running: &Described,
        image: Option<&str>,
    ) -> Result<Wanted, String> {
        match (&self.file, image) {
            (Some(file), image) => from_file(file, self.choice(service), image).await,
            (None, Some(image)) => running.with_image(self.choice(service), image),
            (None, None) => Err("there is nothing to deploy: say `image:`, or `task_definition:`".into()),
        }
    }

    /// All of the traffic to one side, by a deployment of its task definition.
    async fn switch(&self, cx: &Context, split: &SideShares) -> Result<(), Fault> {
        const SWITCH: &str = "set the share";
        let look = self.look(cx).await?;
        let whole = split.iter().filter(|(_, share)| **share == Share::ALL).map(|(side, _)| side);
        let rest = split.values().all(|share| [Share::NONE, Share::ALL].contains(share));
        let sides = whole.collect::<Vec<_>>();
        let ([side], true) = (sides.as_slice(), rest) else {
            return Err(self.refusal(SWITCH, "it takes 0 % and 100 % only").hint("`switch_at: 100%`"));
        };
        let side = self.index(side)?;
        let running = look.service.task_definition().unwrap_or_default();
        let Some(mark) = &look.marks[side] else {
            if look.shares[side] == Share::ALL {
                return Ok(());
            }
            let why = format!("no task definition of {} is recorded on the service", self.sides[side]);
            return Err(self.refusal(SWITCH, why));
        };
        let failed = matches!(look.rollout, Rollout::Failed(_));
        let same = mark.revision == revision_of(running);
        if same && !failed {
            let definition = self.cluster.definition(cx, &mark.revision).await?;
            self.ask(Asked::new(cx, definition.arn(), Some(&look.service)));
            return Ok(());
        }
        if let Some(why) = governed(&look.service) {
            return Err(self.refusal(SWITCH, why));
        }
        let definition = self.cluster.definition(cx, &mark.revision).await?;
        let failed_itself = same
            && primary(&look.service).and_then(|d| d.rollout_state()).is_some_and(|s| s.as_str() == "FAILED");
        let update =
            Update { task_definition: Some(definition.arn()), desired_count: None, again: failed_itself };
        let shown = self.cluster.update(cx, &self.service, update).await?;
        self.ask(Asked::new(cx, definition.arn(), shown.as_ref()));
        Ok(())
    }

    /// The side's task definition is forgotten; it stays registered.
    async fn retire(&self, cx: &Context, side: usize) -> Result<(), Fault> {
        let look = self.look(cx).await?;
        if look.shares[side] != Share::NONE || look.shares[1 - side] != Share::ALL {
            let why = format!("{} does not serve all of the traffic", self.sides[1 - side]);
            return Err(self.refusal("retire a side", why));
        }
        match look.marks[side] {
            None => Ok(()),
            Some(_) => self.cluster.untag(cx, &look.service, TAGS[side]).await,
        }
    }

    async fn examine(&self, cx: &Context, look: &Look, findings: &mut Findings) {
        if let Some(why) = governed(&look.service) {
            return findings.add(Grade::Refuse, why);
        }
        if look.shares == [Share::NONE; 2] {
            findings.add(Grade::Refuse, self.passed_by(look));
        }
        if look.service.desired_count == 0 {
            findings.add(Grade::Refuse, "it has a desired count of 0");
        }
        let running = look.service.task_definition().unwrap_or_default();
        findings.add(
            Grade::Ok,
            format!(
                "it runs {} with a desired count of {}",
                revision_of(running),
                look.service.desired_count
            ),
        );
        let breaker = look.service.deployment_configuration().and_then(|c| c.deployment_circuit_breaker());
        if breaker.is_none_or(|breaker| !breaker.enable) {
            findings.add(
                Grade::Warn,
                "it has no deployment circuit breaker: a deployment that fails is noticed only after 15 minutes",
            );
        }
        let made = match self.cluster.definition(cx, running).await {
            Err(fault) => return findings.fault(&fault),
            Ok(described) => self.wanted(&look.service, &described, Some("image")).await.map(|_| ()),
        };
        if let Err(why) = made {
            findings.add(Grade::Refuse, why);
        }
    }
}

/// The shares of both sides, from what the service's deployments run.
fn shares(
    service: &Service,
    marks: &[Option<Marked>; 2],
    asked: Option<&Asked>,
    rollout: &Rollout,
) -> [Share; 2] {
    let whole = |side: usize| {
        let mut shares = [Share::NONE; 2];
        shares[side] = Share::ALL;
        shares
    };
    let side_of = |definition: &str| {
        marks
            .iter()
            .position(|mark| mark.as_ref().is_some_and(|mark| mark.revision == revision_of(definition)))
    };
    let running = service.task_definition().unwrap_or_default();
    let [blue, green] = marks;
    // no release is under way: whatever it runs is the side that serves
    match (blue, green) {
        (None, Some(_)) => return whole(1),
        (_, None) => return whole(0),
        (Some(_), Some(_)) => {}
    }
    let all: Vec<_> =
        service.deployments().iter().map(|d| side_of(d.task_definition().unwrap_or_default())).collect();
    let asked_for = asked.is_some_and(|asked| asked.definition == running);
    let under_way = asked_for && matches!(rollout, Rollout::Going(_));
    let mixed = under_way || all.windows(2).any(|pair| pair[0] != pair[1]);
    match (mixed, side_of(running), both()) {
        (true, _, Some(half)) => [half; 2],
        (_, Some(side), _) => whole(side),
        (_, None, _) => [Share::NONE; 2],
    }
}

/// One instance for each task that runs or should.
fn tasks(service: &Service) -> Vec<Instance> {
    let count = |number: i32| usize::try_from(number).unwrap_or_default();
    let (running, desired) = (count(service.running_count), count(service.desired_count));
    let instance = |task: usize| Instance {
        name: format!("task {} of {desired}", task + 1),
        address: None,
        health: match task < running {
            true => Health::Up,
            false => Health::Down { why: format!("{running} of {desired} tasks are running") },
        },
    };
    (0..desired).map(instance).collect()
}
