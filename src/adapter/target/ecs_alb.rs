//! Two ECS services behind one rule of an Application Load Balancer, split by the weights of their target
//! groups.
//!
//! A share is what the rule says of the two groups; other groups in it are told and left alone. AWS has no
//! precondition for rules: what is written is what was read a moment ago with two weights changed.
//!
//! What a later run must know stands in tags: on a service the task definition that was deployed with its
//! version (`tidegate:version`), so that a look needs no further call; on a task definition what it was made
//! from and for (`tidegate:recipe`), so that a deploy that is run again finds it: the one that the service
//! runs, or the newest of its family, where the answer to its registration was lost.

mod balancer;
mod config;
mod deploy;
mod look;
mod preflight;
mod weights;

pub use config::Config;
pub(super) use preflight::governed;

use async_trait::async_trait;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    adapter::{
        aws::{PROVIDER, resource_of},
        ecs_api::{
            Cluster,
            rollout::{Asked, Rollout, rollout, troubles},
            tags::Marked,
            task_definition::Choice,
        },
    },
    domain::{
        names::SideName,
        observed::{Activity, Health, Instance, Observed, Side},
        share::{Share, SideShares},
    },
    port::{
        Caps, Change, Context, Fault, Finding, Pace, Target,
        adapter::{Adapter, Setting, TargetAdapter},
    },
};
use balancer::{Balancer, Forward, Held, Place, with_weights};
use look::{Look, shares};

/// On a service: `FAMILY:REVISION=VERSION` of what was deployed last.
const VERSION: &str = "tidegate:version";

/// What was read longer ago is read again before it is written back.
const FRESH: Duration = Duration::from_secs(15);

pub struct EcsAlb {
    cluster: Cluster,
    balancer: Balancer,
    place: Place,
    sides: [SideName; 2],
    target_groups: BTreeMap<SideName, String>,
    file: Option<PathBuf>,
    container: Option<String>,
    memory: Mutex<Memory>,
}

/// What this process knows from its last calls.
#[derive(Default)]
struct Memory {
    /// The rule, when it was read, on `clock.elapsed()`.
    held: Option<(Arc<Held>, Duration)>,
    groups: Option<[String; 2]>,
    /// The deployments that were asked for here.
    asked: BTreeMap<usize, Asked>,
}

impl Adapter for EcsAlb {
    const NAME: &'static str = "ecs_alb";
    const SUMMARY: &'static str = "two ECS services behind a rule of an Application Load Balancer";
    type Config = Config;
}

impl TargetAdapter for EcsAlb {
    const DEFAULT_CHECKS: &'static [(&'static str, &'static str)] = &[
        ("healthy", "{target: instances, fail: below 50%}"),
        ("errors", "{cloudwatch: alb_errors, fail: above 5%}"),
    ];
    const DEPLOY_OPTIONS: &'static [&'static str] = &["task_definition", "container"];

    fn connect(config: Config, setting: &Setting) -> Result<Box<dyn Target>, String> {
        Ok(Box::new(EcsAlb {
            place: config.place()?,
            cluster: Cluster::new(&config.cluster, &config.aws, setting),
            balancer: Balancer::new(&config.aws, setting),
            sides: config.sides,
            target_groups: config.target_groups,
            file: config.task_definition.map(|file| setting.base.join(file)),
            container: config.container,
            memory: Mutex::default(),
        }))
    }
}

#[async_trait]
impl Target for EcsAlb {
    fn caps(&self) -> Caps {
        Caps { sides: self.sides.clone(), deploys: true, retires: true, precondition: false, splits: true }
    }

    fn pace(&self) -> Pace {
        Pace {
            call: Duration::from_secs(20),
            settle: Duration::from_secs(30),
            healthy: Duration::from_secs(900),
            look: Duration::from_secs(5),
        }
    }

    /// Weights go up to 999: shares are exact to 0.1 %, and the smallest is 0.1 %.
    fn nearest(&self, share: Share) -> Share {
        weights::nearest(share)
    }

    async fn observe(&self, cx: &Context) -> Result<Observed, Fault> {
        let look = self.look(cx).await?;
        let instances = self.instances(cx, &look).await?;
        let activity = self.activity(cx, &look, &instances).await;
        let mut notes = notes(&look);
        let shares = look.shares();
        let mut sides = Vec::with_capacity(2);
        for (index, instances) in instances.into_iter().enumerate() {
            let version = match self.version(cx, &look, index).await {
                Ok(version) => version,
                Err(fault) => {
                    notes.push(format!("which version {} runs is not known: {fault}", self.sides[index]));
                    None
                }
            };
            let name = self.sides[index].clone();
            let labels = self.labels(&look, index);
            sides.push(Side { name, version, share: shares[index], instances, elastic: true, labels });
        }
        Ok(Observed { sides, activity, notes })
    }

    async fn split(&self, cx: &Context) -> Result<SideShares, Fault> {
        let known = self.memory().groups.clone();
        let shares = match known {
            None => self.look(cx).await?.shares(),
            Some(groups) => {
                let held = self.balancer.actions(cx, &self.place).await?;
                let shares = shares(Forward::of(&held.actions).ok().as_ref(), &groups);
                self.remember(cx, held, groups);
                shares
            }
        };
        Ok(self.sides.iter().cloned().zip(shares).collect())
    }

    async fn apply(&self, cx: &Context, change: &Change) -> Result<(), Fault> {
        match change {
            Change::Share(split) => {
                let share = self.share_of_first(split).map_err(|why| self.refusal("set the weights", why))?;
                self.set_weights(cx, weights::weights(share)).await
            }
            Change::Deploy { side, release, artifact } => {
                let side = self.index(side)?;
                self.deploy(cx, side, release, artifact.as_deref()).await
            }
            Change::Revive { side } => self.revive(cx, self.index(side)?).await,
            Change::Retire { side } => self.retire(cx, self.index(side)?).await,
        }
    }

    async fn preflight(&self, cx: &Context) -> Vec<Finding> {
        self.cluster.aws.introduced(cx, preflight::preflight(self, cx)).await
    }
}

impl EcsAlb {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, cx: &Context, held: Arc<Held>, groups: [String; 2]) {
        let mut memory = self.memory();
        memory.held = Some((held, cx.clock().elapsed()));
        memory.groups = Some(groups);
    }

    fn index(&self, side: &SideName) -> Result<usize, Fault> {
        let found = self.sides.iter().position(|name| name == side);
        found.ok_or_else(|| self.refusal("change a side", format!("there is no side {side}")))
    }

    fn refusal(&self, operation: &str, why: impl std::fmt::Display) -> Fault {
        Fault::permanent(PROVIDER, operation, self.place.object(), format!("{why}; nothing was changed"))
    }

    fn unreadable(&self, why: String) -> Fault {
        Fault::permanent(PROVIDER, "find the target groups", self.place.object(), why)
    }

    /// Which container of a side's task definition is the one that is released.
    fn choice<'a>(&'a self, look: &'a Look, side: usize) -> Choice<'a> {
        let behind = look.services[side].load_balancers();
        let own = behind.iter().find(|lb| lb.target_group_arn() == Some(&look.groups[side]));
        Choice { named: self.container.as_deref(), balanced: own.and_then(|lb| lb.container_name()) }
    }

    async fn version(&self, cx: &Context, look: &Look, side: usize) -> Result<Option<String>, Fault> {
        let service = &look.services[side];
        let Some(definition) = service.task_definition() else { return Ok(None) };
        match Marked::of(service, VERSION) {
            Some(mark) if mark.revision == crate::adapter::ecs_api::revision_of(definition) => {
                Ok(Some(mark.version))
            }
            _ => Ok(self.cluster.definition(cx, definition).await?.version(self.choice(look, side))),
        }
    }

    fn labels(&self, look: &Look, side: usize) -> BTreeMap<String, String> {
        let label = |key: &str, value: &str| (key.to_string(), value.to_string());
        BTreeMap::from([
            label("load_balancer", &self.place.load_balancer()),
            label("target_group", resource_of(&look.groups[side])),
            label("cluster", resource_of(&self.cluster.name).trim_start_matches("cluster/")),
            label("service", self.sides[side].as_str()),
        ])
    }

    /// Who else deploys one of the services.
    fn governed(&self, look: &Look) -> Option<String> {
        [0, 1].into_iter().find_map(|side: usize| {
            governed(&look.services[side]).map(|why| format!("{}: {why}", self.sides[side]))
        })
    }

    /// Why the traffic must not be moved forward: somebody else moves it, or gets a part of it.
    fn hands_off(&self, look: &Look) -> Option<String> {
        let stranger = look.strangers().into_iter().find(|(_, weight)| *weight > 0).map(|(group, weight)| {
            format!(
                "the rule also forwards to {} (weight {weight}), whose part a shift would change",
                resource_of(group)
            )
        });
        self.governed(look).or(stranger)
    }

    /// What was asked for here decides; before that, what others began.
    async fn activity(&self, cx: &Context, look: &Look, instances: &[Vec<Instance>; 2]) -> Activity {
        if let Some(why) = self.hands_off(look) {
            return Activity::Failed { why };
        }
        let asked = self.memory().asked.clone();
        let mut busy = None;
        for side in [0, 1] {
            let service = &look.services[side];
            let own = asked.get(&side);
            match rollout(cx, service, own) {
                Rollout::Done => {}
                // all tasks are of one deployment, and the load balancer says that they are well
                Rollout::Going(_)
                    if own.is_none() && service.deployments().len() == 1 && well(&instances[side]) => {}
                Rollout::Going(what) => busy = busy.or(Some(format!("{}: {what}", self.sides[side]))),
                // an old failure of a side that nobody asked for, or that is at rest, is no news
                Rollout::Failed(_) if own.is_none() && (!asked.is_empty() || service.desired_count == 0) => {}
                Rollout::Failed(why) => {
                    let mut lines = vec![format!("{}: {why}", self.sides[side])];
                    lines.extend(troubles(&self.cluster, cx, service, own).await);
                    lines.extend(instances[side].iter().filter_map(sick));
                    lines.dedup();
                    return Activity::Failed { why: lines.join("; ") };
                }
            }
        }
        busy.map_or(Activity::Idle, |what| Activity::Busy { what })
    }

    /// What the change wants the first side to have.
    fn share_of_first(&self, split: &SideShares) -> Result<Share, String> {
        if let Some(stranger) = split.keys().find(|name| !self.sides.contains(name)) {
            return Err(format!("there is no side {stranger}"));
        }
        match [0, 1].map(|side: usize| split.get(&self.sides[side]).copied()) {
            [Some(first), Some(second)] if first == second.rest() => Ok(first),
            [Some(first), Some(second)] => Err(format!("{first} and {second} are not the whole")),
            [Some(first), None] => Ok(first),
            [None, Some(second)] => Ok(second.rest()),
            [None, None] => Err("no side was named".into()),
        }
    }

    /// Writes back what was read a moment ago with two weights changed.
    async fn set_weights(&self, cx: &Context, weights: [u64; 2]) -> Result<(), Fault> {
        let known = {
            let mut memory = self.memory();
            // what is written once is not written back again
            memory.held.take().zip(memory.groups.clone())
        };
        let (held, groups) = match known {
            Some(((held, at), groups)) if cx.clock().elapsed().saturating_sub(at) < FRESH => (held, groups),
            _ => {
                let look = self.look(cx).await?;
                (look.held, look.groups)
            }
        };
        let forward = Forward::of(&held.actions).map_err(|why| self.refusal("set the weights", why))?;
        if groups.iter().all(|group| forward.weight(group).is_none()) {
            return Err(self.refusal("set the weights", look::NEITHER));
        }
        if let Some(sticky) = forward.sticky_seconds {
            tracing::warn!(
                "stickiness is on in {}: clients stay with the group they have for up to {sticky} s, whatever the weights say",
                self.place.arn()
            );
        }
        // a group without traffic need not be attached for that
        let wanted: Vec<_> = [0, 1]
            .into_iter()
            .filter(|&side: &usize| weights[side] > 0 || forward.weight(&groups[side]).is_some())
            .map(|side| (groups[side].as_str(), weights[side]))
            .collect();
        self.replace(cx, &held, &wanted).await
    }

    async fn replace(&self, cx: &Context, held: &Held, weights: &[(&str, u64)]) -> Result<(), Fault> {
        if held.default_rule {
            let why = "it is the default rule of its listener, which only the listener's ARN can change";
            return Err(self.refusal("set the weights", why).hint("say `listener: ARN` instead of `rule`"));
        }
        self.memory().held = None;
        self.balancer.replace(cx, &self.place, with_weights(&held.actions, weights)).await
    }
}

fn well(instances: &[Instance]) -> bool {
    instances.iter().all(|instance| instance.health == Health::Up)
}

fn sick(instance: &Instance) -> Option<String> {
    match &instance.health {
        Health::Down { why } => Some(format!("target {} is {why}", instance.name)),
        _ => None,
    }
}

/// Facts of the moment.
fn notes(look: &Look) -> Vec<String> {
    let mut notes = Vec::new();
    for (group, weight) in look.strangers() {
        notes.push(format!(
            "{} is in the rule, belongs to no side and takes traffic (weight {weight}); shares are of what the \
             two sides have",
            resource_of(group)
        ));
    }
    match &look.forward {
        Ok(forward) => notes.extend(forward.sticky_seconds.map(preflight::sticky)),
        Err(why) => notes.push(why.clone()),
    }
    notes
}
