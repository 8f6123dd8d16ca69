//! One ECS service that is deployed in place, against the double.

use tidegate::{
    adapter::target::ecs_rolling::EcsRolling,
    document::{de::from_node, node::parse},
    domain::{
        names::SideName,
        observed::{Activity, Observed},
        share::Share,
    },
    port::{Change, Grade, Target, Treat, adapter::TargetAdapter},
};

use crate::double::{
    self, Double, REGION,
    ecs::Ending,
    within,
    worlds::{self, CLUSTER},
};

mod trouble;

fn world() -> Double {
    let double = Double::start();
    worlds::plain(&double);
    double
}

/// As a process of its own sees it.
fn jobs(url: &str) -> Box<dyn Target> {
    connect("jobs", "", url)
}

pub fn connect(service: &str, more: &str, url: &str) -> Box<dyn Target> {
    let options = format!(
        "{{cluster: {CLUSTER}, service: {service}, {more}aws: {{endpoint: '{url}', region: {REGION}}}}}"
    );
    let folder = tempfile::tempdir().unwrap();
    let config = from_node(&parse(&options).unwrap(), "services.jobs.ecs_rolling").map_err(|e| e.to_string());
    EcsRolling::connect(config.unwrap(), &double::setting(folder.path())).unwrap()
}

fn side(name: &str) -> SideName {
    name.parse().unwrap()
}

fn to(name: &str) -> Change {
    let other = if name == "blue" { "green" } else { "blue" };
    Change::Share([(side(name), Share::ALL), (side(other), Share::NONE)].into())
}

fn deploy(name: &str, image: &str) -> Change {
    Change::Deploy { side: side(name), release: "v2".parse().unwrap(), artifact: Some(image.into()) }
}

/// Share of green in percent, and the versions.
fn state(seen: &Observed) -> (u16, Vec<Option<&str>>) {
    (
        seen.share(&side("green")).basis_points() / 100,
        seen.sides.iter().map(|s| s.version.as_deref()).collect(),
    )
}

async fn look(target: &dyn Target) -> Observed {
    target.observe(&within(20)).await.unwrap()
}

/// Reads back until neither side has half, as the engine does.
async fn read_back(target: &dyn Target) -> Result<u16, tidegate::port::Fault> {
    for _ in 0..40 {
        let share = target.split(&within(20)).await?[&side("green")].basis_points() / 100;
        if share != 50 {
            return Ok(share);
        }
    }
    panic!("it does not come to rest");
}

#[tokio::test]
async fn a_release_goes_there_and_back_and_every_process_sees_where_it_stands() {
    let double = world();
    let target = jobs(&double.url);
    let seen = look(target.as_ref()).await;
    assert_eq!(state(&seen), (0, vec![Some("v1"), None]));
    assert_eq!((seen.sides[0].healthy(), seen.sides[1].wanted()), (2, 0));
    for _ in 0..2 {
        target.apply(&within(20), &deploy("green", "shop/jobs:v2")).await.unwrap();
    }
    assert_eq!(double.state().ecs.definitions.len(), 2, "the same is not registered twice");
    assert_eq!(double.state().ecs.image(CLUSTER, "jobs"), "shop/jobs:v1", "nothing runs it yet");
    for target in [&target, &jobs(&double.url)] {
        let seen = look(target.as_ref()).await;
        assert_eq!(state(&seen), (0, vec![Some("v1"), Some("v2")]));
        assert_eq!((seen.sides[1].ready(), seen.sides[1].instances[0].name.as_str()), (Ok(()), "jobs:2"));
        assert_eq!(seen.activity, Activity::Idle);
    }

    target.apply(&within(20), &to("green")).await.unwrap();
    for target in [&target, &jobs(&double.url)] {
        let seen = look(target.as_ref()).await;
        assert_eq!(state(&seen).0, 50, "both serve until it is done");
        assert!(
            matches!(&seen.activity, Activity::Busy { what } if what.contains("IN_PROGRESS")),
            "{seen:?}"
        );
    }
    assert_eq!(read_back(target.as_ref()).await, Ok(100));
    let seen = look(jobs(&double.url).as_ref()).await;
    assert_eq!((state(&seen), &seen.activity), ((100, vec![Some("v1"), Some("v2")]), &Activity::Idle));
    assert_eq!(seen.sides[0].ready(), Ok(()), "the way back is there");

    let other = jobs(&double.url);
    other.apply(&within(20), &to("blue")).await.unwrap();
    assert_eq!(read_back(other.as_ref()).await, Ok(0));
    assert_eq!(double.state().ecs.image(CLUSTER, "jobs"), "shop/jobs:v1");
}

#[tokio::test]
async fn after_finish_the_side_that_serves_is_the_one_that_is_noted_whatever_runs_there() {
    let double = world();
    let target = jobs(&double.url);
    target.apply(&within(20), &deploy("green", "shop/jobs:v2")).await.unwrap();
    let early = target.apply(&within(20), &Change::Retire { side: side("blue") }).await.unwrap_err();
    assert_eq!(early.treat, Treat::Permanent);
    target.apply(&within(20), &to("green")).await.unwrap();
    read_back(target.as_ref()).await.unwrap();
    for _ in 0..2 {
        target.apply(&within(20), &Change::Retire { side: side("blue") }).await.unwrap();
    }
    {
        let mut state = double.state();
        let definition = state.ecs.define("jobs", "jobs", "shop/jobs:hotfix");
        let service = state.ecs.service(CLUSTER, "jobs");
        service.deployments[0].definition = definition.clone();
        service.definition = definition;
    }
    let target = jobs(&double.url);
    let seen = look(target.as_ref()).await;
    assert_eq!(state(&seen), (100, vec![None, Some("hotfix")]));
    target.apply(&within(20), &deploy("blue", "shop/jobs:v3")).await.unwrap();
    target.apply(&within(20), &to("blue")).await.unwrap();
    assert_eq!(read_back(target.as_ref()).await, Ok(0));
}

#[tokio::test]
async fn what_was_deployed_past_a_release_is_no_side_and_the_way_back_replaces_it() {
    let double = world();
    let target = jobs(&double.url);
    target.apply(&within(20), &deploy("green", "shop/jobs:v2")).await.unwrap();
    {
        let mut state = double.state();
        let definition = state.ecs.define("jobs", "jobs", "shop/jobs:hotfix");
        let service = state.ecs.service(CLUSTER, "jobs");
        service.deployments[0].definition = definition.clone();
        service.definition = definition;
    }
    let target = jobs(&double.url);
    let seen = look(target.as_ref()).await;
    assert_eq!(seen.sides.iter().map(|s| s.share).collect::<Vec<_>>(), [Share::NONE; 2]);
    assert!(seen.notes[0].contains("jobs:3, which is neither side"), "{:?}", seen.notes);
    let findings = target.preflight(&within(20)).await;
    assert!(
        findings.iter().any(|f| f.grade == Grade::Refuse && f.message.contains("aws ecs untag-resource"))
    );
    target.apply(&within(20), &to("blue")).await.unwrap();
    assert_eq!(read_back(target.as_ref()).await, Ok(0));
    assert_eq!(double.state().ecs.image(CLUSTER, "jobs"), "shop/jobs:v1");
}

#[tokio::test]
async fn a_deployment_that_fails_is_told_with_its_reasons_and_the_way_back_is_open() {
    for rollback in [true, false] {
        let double = world();
        let ending = Ending { stopped_reason: "CannotPullContainerError".into(), ..Ending::default() };
        double.state().ecs.broken.insert("shop/jobs:v2".into(), ending);
        double.state().ecs.service(CLUSTER, "jobs").breaker = Some(rollback);
        let target = jobs(&double.url);
        target.apply(&within(20), &deploy("green", "shop/jobs:v2")).await.unwrap();
        target.apply(&within(20), &to("green")).await.unwrap();
        let fault = read_back(target.as_ref()).await.unwrap_err();
        assert_eq!(fault.treat, Treat::OutcomeUnknown, "{fault}");
        assert!(fault.detail.contains("CannotPullContainerError"), "{fault}");
        assert!(fault.detail.contains("deployment failed: tasks failed to start"), "{fault}");
        let seen = look(target.as_ref()).await;
        assert!(matches!(&seen.activity, Activity::Failed { .. }), "{seen:?}");
        target.apply(&within(20), &to("blue")).await.unwrap();
        assert_eq!(read_back(target.as_ref()).await, Ok(0), "rollback {rollback}");
        let seen = look(target.as_ref()).await;
        assert_eq!((&seen.activity, seen.sides[0].healthy()), (&Activity::Idle, 2), "rollback {rollback}");
    }
}

#[tokio::test]
async fn it_goes_over_as_a_whole_or_not_at_all() {
    let double = world();
    let target = jobs(&double.url);
    assert!(!target.caps().splits);
    let half = Change::Share(
        [(side("blue"), "50%".parse().unwrap()), (side("green"), "50%".parse().unwrap())].into(),
    );
    let bare = Change::Deploy { side: side("green"), release: "v2".parse().unwrap(), artifact: None };
    for change in
        [half, to("green"), bare, deploy("blue", "shop/jobs:v2"), Change::Retire { side: side("blue") }]
    {
        let fault = target.apply(&within(20), &change).await.unwrap_err();
        assert_eq!(fault.treat, Treat::Permanent, "{change:?}: {fault}");
    }
    let writes: Vec<_> =
        double.calls().into_iter().filter(|c| !c.operation.starts_with("Describe")).collect();
    assert_eq!(writes, []);
}

#[tokio::test]
async fn a_service_that_others_deploy_is_left_alone() {
    for (controller, strategy, why) in [
        ("CODE_DEPLOY", "ROLLING", "CodeDeploy deploys it"),
        ("EXTERNAL", "ROLLING", "deployment controller is EXTERNAL"),
        ("ECS", "BLUE_GREEN", "ECS deploys it by BLUE_GREEN"),
        ("ECS", "LINEAR", "ECS deploys it by LINEAR"),
        ("ECS", "CANARY", "ECS deploys it by CANARY"),
    ] {
        let double = world();
        let target = jobs(&double.url);
        target.apply(&within(20), &deploy("green", "shop/jobs:v2")).await.unwrap();
        let govern = |controller: &str, strategy: &str| {
            let mut state = double.state();
            let service = state.ecs.service(CLUSTER, "jobs");
            (service.controller, service.strategy) = (controller.into(), strategy.into());
        };
        let refused = async |change: Change| {
            let before = double.calls().len();
            let fault = target.apply(&within(20), &change).await.unwrap_err();
            assert_eq!(fault.treat, Treat::Permanent, "{change:?}: {fault}");
            assert!(fault.detail.contains(why) && fault.detail.contains("nothing was changed"), "{fault}");
            let calls = double.calls().split_off(before);
            assert!(calls.iter().all(|call| call.operation.starts_with("Describe")), "{calls:?}");
        };
        govern(controller, strategy);
        refused(deploy("green", "shop/jobs:v3")).await;
        refused(to("green")).await;
        govern("ECS", "ROLLING");
        target.apply(&within(20), &to("green")).await.unwrap();
        assert_eq!(read_back(target.as_ref()).await, Ok(100));
        govern(controller, strategy);
        refused(to("blue")).await;
    }
}

#[tokio::test]
async fn a_look_from_before_a_deployment_of_the_same_again_tells_nothing_of_it() {
    let double = world();
    double.state().ecs.broken.insert("shop/jobs:v2".into(), Ending::default());
    double.state().ecs.service(CLUSTER, "jobs").breaker = Some(false);
    let target = jobs(&double.url);
    target.apply(&within(20), &deploy("green", "shop/jobs:v2")).await.unwrap();
    target.apply(&within(20), &to("green")).await.unwrap();
    read_back(target.as_ref()).await.unwrap_err();
    double.state().ecs.broken.clear();
    double.state().ecs.delay = 3;
    target.apply(&within(20), &to("green")).await.unwrap();
    assert_eq!(read_back(target.as_ref()).await, Ok(100));
    assert_eq!(look(target.as_ref()).await.activity, Activity::Idle);
}
