//! Every trouble with every call of a service that is deployed in place.

use std::fmt::Write as _;
use tidegate::{
    domain::observed::Activity,
    port::{Change, Context, Fault, Target},
};

use super::{deploy, jobs, look, read_back, side, to, world};
use crate::{
    double::{Double, ecs::Ending, within, worlds::CLUSTER},
    troubled::{World, each},
};

struct Jobs(Double);

impl World for Jobs {
    type Subject = dyn Target;

    fn copy(&self) -> Self {
        Jobs(self.0.copy())
    }

    fn url(&self) -> &str {
        &self.0.url
    }

    fn subject(&self, url: &str) -> Box<dyn Target> {
        jobs(url)
    }

    /// The image that runs.
    fn places(&self) -> Vec<String> {
        vec![self.0.state().ecs.image(CLUSTER, "jobs")]
    }

    /// Task definitions.
    fn made(&self) -> usize {
        self.0.state().ecs.definitions.len()
    }

    fn makes_two(&self, operation: &str) -> bool {
        operation == "RegisterTaskDefinition"
    }

    async fn state(&self) -> String {
        let target = jobs(self.url());
        let mut seen = look(target.as_ref()).await;
        while matches!(seen.activity, Activity::Busy { .. }) {
            seen = look(target.as_ref()).await;
        }
        let mut text = format!("{:?}\n", seen.activity);
        for side in &seen.sides {
            let _ = writeln!(text, "{} {:?} {} {}", side.name, side.version, side.share, side.healthy());
        }
        let mut state = self.0.state();
        let service = state.ecs.service(CLUSTER, "jobs").clone();
        let counts = [service.desired, service.tasks.len(), service.deployments.len()];
        let _ = writeln!(text, "{counts:?} {}", service.definition);
        // what each side is
        for (key, mark) in &service.tags {
            let (revision, version) = mark.split_once('=').unwrap();
            let runs = &state.ecs.definitions[revision];
            let _ = writeln!(text, "{key} {version} {:?} {:?}", runs.value, runs.tags);
        }
        text
    }
}

/// The world after these changes.
async fn after(changes: &[Change]) -> Jobs {
    let world = Jobs(world());
    let target = jobs(world.url());
    for change in changes {
        target.apply(&within(20), change).await.unwrap();
        read_back(target.as_ref()).await.unwrap();
    }
    world
}

fn v2() -> Change {
    deploy("green", "shop/jobs:v2")
}

async fn done(target: &dyn Target, cx: &Context, change: &Change) -> Result<String, Fault> {
    target.apply(cx, change).await.map(|()| String::new())
}

/// Goes over and reads back that it did.
async fn switched(target: &dyn Target, cx: &Context, name: &str) -> Result<String, Fault> {
    target.apply(cx, &to(name)).await?;
    for _ in 0..40 {
        let split = target.split(cx).await?;
        if split.values().all(|share| share.basis_points() != 5000) {
            return Ok(format!("{split:?}"));
        }
    }
    panic!("it does not come to rest");
}

#[tokio::test]
async fn a_deploy_comes_through_every_trouble_with_one_task_definition() {
    each(after(&[]).await, async |target, cx| done(target, cx, &v2()).await).await;
}

#[tokio::test]
async fn the_service_goes_over_through_every_trouble() {
    each(after(&[v2()]).await, async |target, cx| switched(target, cx, "green").await).await;
}

#[tokio::test]
async fn the_way_back_is_open_through_every_trouble() {
    let world = after(&[v2(), to("green")]).await;
    each(world, async |target, cx| switched(target, cx, "blue").await).await;
}

#[tokio::test]
async fn the_old_side_is_forgotten_through_every_trouble() {
    let world = after(&[v2(), to("green")]).await;
    let retire = Change::Retire { side: side("blue") };
    each(world, async |target, cx| done(target, cx, &retire).await).await;
}

async fn looked(target: &(dyn Target + 'static), cx: &Context) -> Result<String, Fault> {
    Ok(format!("{:?}", target.observe(cx).await?))
}

#[tokio::test]
async fn looking_tells_the_same_through_every_trouble() {
    each(after(&[v2()]).await, looked).await;
    each(after(&[]).await, async |target, cx| Ok(format!("{:?}", target.preflight(cx).await))).await;
}

#[tokio::test]
async fn what_failed_is_told_with_its_reasons_through_every_trouble() {
    let failed = after(&[v2()]).await;
    failed.0.state().ecs.broken.insert("shop/jobs:v2".into(), Ending::default());
    failed.0.state().ecs.service(CLUSTER, "jobs").breaker = Some(false);
    let target = jobs(failed.url());
    target.apply(&within(20), &to("green")).await.unwrap();
    read_back(target.as_ref()).await.unwrap_err();
    each(failed, looked).await;
}
