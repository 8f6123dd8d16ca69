//! Bringing a side up and taking it down.

use std::sync::Arc;

use super::{EcsAlb, VERSION, look::Look};
use crate::{
    adapter::ecs_api::{
        Update, after, revision_of,
        rollout::{Asked, primary},
        tags::Marked,
        task_definition::{Wanted, from_file},
    },
    domain::names::ReleaseName,
    port::{Context, Fault},
};
use aws_sdk_ecs::types::{DeploymentRolloutState, Service};

const DEPLOY: &str = "deploy";

/// What the side shall run.
struct Chosen {
    /// ARN.
    definition: String,
    version: Option<String>,
}

impl EcsAlb {
    /// Every step looks first whether it is done already, so that a deploy that is run again goes on.
    pub async fn deploy(
        &self,
        cx: &Context,
        side: usize,
        release: &ReleaseName,
        image: Option<&str>,
    ) -> Result<(), Fault> {
        let look = self.look(cx).await?;
        let name = self.sides[side].as_str();
        if let Err(why) = &look.forward {
            return Err(self.refusal(DEPLOY, why));
        }
        if let Some(why) = self.governed(&look) {
            return Err(self.refusal(DEPLOY, why));
        }
        if look.weight(1 - side).is_none() {
            let why = format!(
                "the group of {}, which is to serve meanwhile, is not attached",
                self.sides[1 - side]
            );
            return Err(self.refusal(DEPLOY, why));
        }
        let live = &look.services[1 - side];
        if live.desired_count == 0 {
            let why =
                format!("{} has a desired count of 0, and {name} is scaled like it", self.sides[1 - side]);
            return Err(self.cluster.refusal(DEPLOY, name, why));
        }
        let mut done = Vec::new();
        let chosen = self.chosen(cx, &look, side, release, image, &mut done).await?;
        if look.weight(side).is_none() {
            let attached = self.replace(cx, &look.held, &[(&look.groups[side], 0)]).await;
            attached.map_err(|fault| after(&done, fault))?;
            done.push("its target group attached at weight 0".into());
        }
        let shown = self.bring(cx, &look, side, &chosen.definition).await;
        let shown = shown.map_err(|fault| after(&done, fault))?;
        let service = shown.as_ref().unwrap_or(&look.services[side]);
        self.memory().asked.insert(side, Asked::new(cx, &chosen.definition, Some(service)));
        let Some(version) = chosen.version else { return Ok(()) };
        let mark = Marked { revision: revision_of(&chosen.definition).to_string(), version };
        if Marked::of(&look.services[side], VERSION).as_ref() != Some(&mark) {
            let tag = Marked::tag(VERSION, &chosen.definition, &mark.version);
            if let Err(fault) = self.cluster.tag(cx, &look.services[side], vec![tag]).await {
                // without it a look takes one call more
                tracing::warn!("{fault}");
            }
        }
        Ok(())
    }

    async fn chosen(
        &self,
        cx: &Context,
        look: &Look,
        side: usize,
        release: &ReleaseName,
        image: Option<&str>,
        done: &mut Vec<String>,
    ) -> Result<Chosen, Fault> {
        let service = &look.services[side];
        let own = service.task_definition().unwrap_or_default();
        let Some(wanted) = self.wanted(cx, look, side, image).await? else {
            return Ok(Chosen { definition: own.to_string(), version: None });
        };
        let version = Some(wanted.version.clone());
        let present = self.cluster.definition(cx, own).await?;
        if present.recipe() == Some(&wanted.recipe(release.as_str())) {
            return Ok(Chosen { definition: own.to_string(), version });
        }
        let definition = self.cluster.register(cx, &wanted, release.as_str(), done).await?;
        Ok(Chosen { definition, version })
    }

    /// What is to be registered; `None` where the side shall run what it has.
    async fn wanted(
        &self,
        cx: &Context,
        look: &Look,
        side: usize,
        image: Option<&str>,
    ) -> Result<Option<Wanted>, Fault> {
        let name = self.sides[side].as_str();
        let made = match (&self.file, image) {
            (Some(file), image) => from_file(file, self.choice(look, side), image).await,
            (None, None) => return Ok(None),
            (None, Some(image)) => {
                let live = look.services[1 - side].task_definition().unwrap_or_default();
                self.cluster.definition(cx, live).await?.with_image(self.choice(look, 1 - side), image)
            }
        };
        made.map(Some).map_err(|why| self.cluster.refusal(DEPLOY, name, why))
    }

    /// The service with this task definition and the other side's count. Returns what it shows then.
    async fn bring(
        &self,
        cx: &Context,
        look: &Look,
        side: usize,
        definition: &str,
    ) -> Result<Option<Service>, Fault> {
        let service: &Arc<Service> = &look.services[side];
        let count = look.services[1 - side].desired_count;
        let same = service.task_definition() == Some(definition);
        let state = primary(service).and_then(|d| d.rollout_state());
        let again = same && state == Some(&DeploymentRolloutState::Failed);
        if same && service.desired_count == count && !again {
            return Ok(None);
        }
        let update = Update { task_definition: Some(definition), desired_count: Some(count), again };
        self.cluster.update(cx, self.sides[side].as_str(), update).await
    }

    /// As many tasks as the other side has, at least.
    pub async fn revive(&self, cx: &Context, side: usize) -> Result<(), Fault> {
        let look = self.look(cx).await?;
        let name = self.sides[side].as_str();
        {
            // from here on this side decides whether the target is well
            let mut memory = self.memory();
            memory.asked.remove(&(1 - side));
        }
        let (own, other) = (look.services[side].desired_count, look.services[1 - side].desired_count);
        if own >= other.max(1) {
            return Ok(());
        }
        if other == 0 {
            let why =
                format!("both services have a desired count of 0: how many tasks {name} had is not known");
            let fault = self.cluster.refusal("scale up", name, why);
            return Err(fault.hint(format!(
                "`aws ecs update-service --cluster {} --service {name} --desired-count N`",
                self.cluster.name
            )));
        }
        let update = Update { desired_count: Some(other), ..Update::default() };
        self.cluster.update(cx, name, update).await.map(|_| ())
    }

    /// No tasks; the group stays attached at weight 0.
    pub async fn retire(&self, cx: &Context, side: usize) -> Result<(), Fault> {
        const RETIRE: &str = "scale to 0";
        let look = self.look(cx).await?;
        let name = self.sides[side].as_str();
        match [look.weight(side), look.weight(1 - side)].map(Option::unwrap_or_default) {
            [0, other] if other > 0 => {}
            [0, _] => {
                let why = format!("{} has no traffic either (weight 0)", self.sides[1 - side]);
                return Err(self.cluster.refusal(RETIRE, name, why));
            }
            [weight, _] => {
                let why = format!("it has traffic (weight {weight})");
                return Err(self.cluster.refusal(RETIRE, name, why));
            }
        }
        self.memory().asked.remove(&side);
        if look.services[side].desired_count == 0 {
            return Ok(());
        }
        let update = Update { desired_count: Some(0), ..Update::default() };
        self.cluster.update(cx, name, update).await.map(|_| ())
    }
}
