//! Every trouble with every call of two services and their rule.

use std::fmt::Write as _;
use tidegate::{
    domain::observed::Activity,
    port::{Change, Context, Fault, Target, Treat},
};

use super::{deploy, settled, share, side, target, to_green};
use crate::{
    double::{
        ecs::Ending,
        elb::forward,
        hurried, within,
        worlds::{self, CLUSTER, Shop, shop},
    },
    proxy::{Proxy, Trouble, When},
    troubled::{World, each},
};

/// A shop, and the rule or the listener that splits its traffic.
struct Split {
    shop: Shop,
    place: String,
}

impl World for Split {
    type Subject = dyn Target;

    fn copy(&self) -> Self {
        let double = self.shop.double.copy();
        let [rule, blue, green] = [&self.shop.rule, &self.shop.blue, &self.shop.green].map(String::clone);
        Split { shop: Shop { double, rule, blue, green }, place: self.place.clone() }
    }

    fn url(&self) -> &str {
        &self.shop.double.url
    }

    fn subject(&self, url: &str) -> Box<dyn Target> {
        target(&worlds::options("api", &self.place, url))
    }

    /// The weights of those that take any traffic.
    fn places(&self) -> Vec<String> {
        let weights = self.shop.double.state().elb.weights(&self.place);
        vec![format!("{:?}", weights.into_iter().filter(|(_, weight)| *weight > 0).collect::<Vec<_>>())]
    }

    /// Task definitions.
    fn made(&self) -> usize {
        self.shop.double.state().ecs.definitions.len()
    }

    fn makes_two(&self, operation: &str) -> bool {
        operation == "RegisterTaskDefinition"
    }

    async fn state(&self) -> String {
        let target = self.subject(self.url());
        let mut seen = settled(target.as_ref()).await;
        let at_rest = || {
            let mut state = self.shop.double.state();
            ["api-blue", "api-green"].iter().all(|name| {
                let service = state.ecs.service(CLUSTER, name);
                service.tasks.len() == service.desired
            })
        };
        // a side that nobody waits for goes on
        while seen.activity == Activity::Idle && !at_rest() {
            seen = settled(target.as_ref()).await;
        }
        let mut text = format!("{:?}\n", seen.activity);
        for side in &seen.sides {
            let _ = writeln!(text, "{} {:?} {} {}", side.name, side.version, side.share, side.healthy());
        }
        let mut state = self.shop.double.state();
        let _ = writeln!(text, "{:?}", state.elb.weights(&self.place));
        for name in ["api-blue", "api-green"] {
            let service = state.ecs.service(CLUSTER, name).clone();
            let runs = &state.ecs.definitions[&service.definition];
            let counts = [service.desired, service.tasks.len(), service.deployments.len()];
            let _ = writeln!(text, "{name} {counts:?} {:?} {:?}", runs.value, runs.tags);
        }
        text
    }
}

async fn apply(target: &dyn Target, changes: &[Change]) {
    for change in changes {
        target.apply(&within(20), change).await.unwrap();
        settled(target).await;
    }
}

/// The world after these changes.
async fn after(changes: &[Change]) -> Split {
    let shop = shop();
    let world = Split { place: shop.rule.clone(), shop };
    apply(world.subject(world.url()).as_ref(), changes).await;
    world
}

/// The same with the split in a listener's default action.
async fn by_listener(changes: &[Change]) -> Split {
    let shop = shop();
    let place = shop.double.state().elb.listener("api", vec![forward(&[(&shop.blue, 1)])]);
    let world = Split { shop, place };
    apply(world.subject(world.url()).as_ref(), changes).await;
    world
}

fn v2() -> Change {
    deploy(Some("shop/api:v2"))
}

fn blue() -> Change {
    Change::Retire { side: side("api-blue") }
}

async fn done(target: &dyn Target, cx: &Context, change: &Change) -> Result<String, Fault> {
    target.apply(cx, change).await.map(|()| String::new())
}

/// Sets a share and reads it back.
async fn shifted(target: &dyn Target, cx: &Context, text: &str) -> Result<String, Fault> {
    target.apply(cx, &to_green(text)).await?;
    let split = target.split(cx).await?;
    assert_eq!(split[&side("api-green")], share(text));
    Ok(format!("{split:?}"))
}

#[tokio::test]
async fn a_deploy_comes_through_every_trouble_with_one_task_definition() {
    each(after(&[]).await, async |target, cx| done(target, cx, &v2()).await).await;
}

#[tokio::test]
async fn a_first_share_comes_through_every_trouble() {
    each(after(&[v2()]).await, async |target, cx| shifted(target, cx, "10%").await).await;
}

#[tokio::test]
async fn all_of_the_traffic_goes_over_through_every_trouble() {
    let world = after(&[v2(), to_green("10%")]).await;
    each(world, async |target, cx| shifted(target, cx, "100%").await).await;
}

#[tokio::test]
async fn the_way_back_is_open_through_every_trouble() {
    let world = after(&[v2(), to_green("10%")]).await;
    each(world, async |target, cx| shifted(target, cx, "0%").await).await;
}

#[tokio::test]
async fn the_way_back_behind_a_default_action_is_open_through_every_trouble() {
    let world = by_listener(&[v2(), to_green("100%")]).await;
    each(world, async |target, cx| shifted(target, cx, "0%").await).await;
}

#[tokio::test]
async fn the_old_side_goes_through_every_trouble() {
    let world = after(&[v2(), to_green("100%")]).await;
    each(world, async |target, cx| done(target, cx, &blue()).await).await;
}

#[tokio::test]
async fn the_old_side_comes_back_through_every_trouble() {
    let world = after(&[v2(), to_green("100%"), blue()]).await;
    let revive = Change::Revive { side: side("api-blue") };
    each(world, async |target, cx| done(target, cx, &revive).await).await;
}

async fn looked(target: &(dyn Target + 'static), cx: &Context) -> Result<String, Fault> {
    Ok(format!("{:?}", target.observe(cx).await?))
}

#[tokio::test]
async fn looking_tells_the_same_through_every_trouble() {
    each(after(&[v2(), to_green("10%")]).await, looked).await;
}

#[tokio::test]
async fn a_deployment_that_failed_is_told_with_its_reasons_through_every_trouble() {
    let failed = after(&[]).await;
    {
        let mut state = failed.shop.double.state();
        state.ecs.broken.insert("shop/api:v2".into(), Ending::default());
        state.ecs.service(CLUSTER, "api-green").breaker = Some(false);
    }
    apply(failed.subject(failed.url()).as_ref(), &[v2()]).await;
    each(failed, looked).await;
}

#[tokio::test]
async fn preflight_finds_the_same_through_every_trouble() {
    each(after(&[]).await, async |target, cx| Ok(format!("{:?}", target.preflight(cx).await))).await;
}

#[tokio::test]
async fn a_fault_in_the_middle_of_a_deploy_says_what_was_done_before_it() {
    for (operation, before) in [
        ("ModifyRule", "done before it: task definition api:2 registered"),
        (
            "UpdateService",
            "done before it: task definition api:2 registered, its target group attached at weight 0",
        ),
    ] {
        for denied in [true, false] {
            let world = after(&[]).await;
            let proxy = Proxy::start(world.url());
            match denied {
                true => drop(["ecs", "elasticloadbalancing"].map(|service| {
                    world.shop.double.state().denied.insert(format!("{service}:{operation}"))
                })),
                false => proxy.plan(When::first("*", operation), Trouble::Internal),
            }
            let fault = world.subject(&proxy.url).apply(&hurried(20), &v2()).await.unwrap_err();
            // refused or not, something was changed
            assert_eq!(fault.treat, Treat::OutcomeUnknown, "{fault}");
            assert!(fault.detail.ends_with(before), "{fault}");
            assert_eq!(world.shop.double.state().elb.weights(&world.place)[0].1, 100);
        }
    }
}
