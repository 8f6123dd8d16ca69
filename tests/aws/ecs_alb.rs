//! Two ECS services behind a listener rule: against the double, and against moto where moto tells the truth.

use serde_json::{Value, json};
use std::time::Duration;
use tidegate::{
    adapter::target::ecs_alb::EcsAlb,
    document::{de::from_node, node::parse},
    domain::{
        names::SideName,
        observed::{Activity, Health, Observed},
        share::Share,
    },
    port::{
        Change, Grade, Target, Treat,
        adapter::{Setting, TargetAdapter},
    },
};

use crate::double::{
    self, Double,
    ecs::Ending,
    elb::{Health as TargetHealth, forward},
    within,
    worlds::{self, CLUSTER, Shop, shop},
};

mod moto;
mod preflight;
mod trouble;

pub fn connect(options: &str, setting: &Setting) -> Result<Box<dyn Target>, String> {
    let config = from_node(&parse(options).unwrap(), "services.api.ecs_alb").map_err(|e| e.to_string())?;
    EcsAlb::connect(config, setting)
}

pub fn target(options: &str) -> Box<dyn Target> {
    let folder = tempfile::tempdir().unwrap();
    connect(options, &double::setting(folder.path())).unwrap()
}

fn api(shop: &Shop) -> Box<dyn Target> {
    target(&shop.options(&shop.double.url))
}

pub fn side(name: &str) -> SideName {
    name.parse().unwrap()
}

pub fn share(text: &str) -> Share {
    text.parse().unwrap()
}

pub fn to_green(text: &str) -> Change {
    let share = share(text);
    Change::Share([(side("api-green"), share), (side("api-blue"), share.rest())].into())
}

fn deploy(image: Option<&str>) -> Change {
    Change::Deploy {
        side: side("api-green"),
        release: "v2".parse().unwrap(),
        artifact: image.map(str::to_string),
    }
}

pub fn green(seen: &Observed) -> Share {
    seen.share(&side("api-green"))
}

/// Looks until the target is at rest, or has failed.
async fn settled(target: &dyn Target) -> Observed {
    for _ in 0..40 {
        let seen = target.observe(&within(20)).await.unwrap();
        let waits = matches!(seen.activity, Activity::Busy { .. })
            || seen.sides.iter().any(|s| s.wanted() > 0 && s.ready().is_err());
        if !waits || matches!(seen.activity, Activity::Failed { .. }) {
            return seen;
        }
    }
    panic!("it does not come to rest");
}

/// A shop whose candidate is up.
async fn deployed() -> (Shop, Box<dyn Target>) {
    let shop = shop();
    let target = api(&shop);
    target.apply(&within(20), &deploy(Some("shop/api:v2"))).await.unwrap();
    let seen = settled(target.as_ref()).await;
    assert_eq!(seen.activity, Activity::Idle);
    (shop, target)
}

#[tokio::test]
async fn both_sides_are_shown_as_they_are() {
    let shop = shop();
    let seen = api(&shop).observe(&within(20)).await.unwrap();
    let [blue, green] = seen.sides.as_slice() else { panic!("{seen:?}") };
    assert_eq!((blue.share, green.share), (Share::ALL, Share::NONE));
    assert_eq!((blue.version.as_deref(), green.version.as_deref()), (Some("v1"), Some("v1")));
    assert_eq!((blue.ready(), blue.instances.len(), green.instances.len()), (Ok(()), 3, 0));
    assert_eq!(blue.instances[0].address.as_deref(), Some("10.0.0.3:8080"));
    let labels: Vec<_> = blue.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        labels,
        [
            "cluster=shop",
            "load_balancer=app/api/50dc6c495c0c9188",
            "service=api-blue",
            "target_group=targetgroup/api-blue/73e2d6bc24d8a067"
        ]
    );
    assert_eq!((&seen.activity, seen.notes.len()), (&Activity::Idle, 0));
}

#[tokio::test]
async fn a_deploy_brings_the_idle_side_up_and_says_what_it_waits_for() {
    let shop = shop();
    let target = api(&shop);
    target.apply(&within(20), &deploy(Some("shop/api:v2"))).await.unwrap();
    assert_eq!(
        shop.double.state().elb.weights(&shop.rule),
        [(shop.blue.clone(), 100), (shop.green.clone(), 0)]
    );
    let seen = target.observe(&within(20)).await.unwrap();
    let Activity::Busy { what } = &seen.activity else { panic!("{seen:?}") };
    assert!(
        what.contains("api-green: deployment ecs-svc/") && what.contains("IN_PROGRESS: 1 of 3 tasks"),
        "{what}"
    );
    let waiting = seen.sides[1].ready().unwrap_err();
    assert!(
        waiting.contains("0 of 3 healthy") && waiting.contains("Elb.RegistrationInProgress"),
        "{waiting}"
    );
    let seen = settled(target.as_ref()).await;
    assert_eq!((&seen.activity, green(&seen)), (&Activity::Idle, Share::NONE));
    assert_eq!((seen.sides[1].ready(), seen.sides[1].healthy()), (Ok(()), 3));
    let versions: Vec<_> = seen.sides.iter().map(|s| s.version.clone().unwrap()).collect();
    assert_eq!(versions, ["v1", "v2"]);
}

#[tokio::test]
async fn a_task_definition_is_made_from_the_running_one_with_another_image_and_nothing_else() {
    let shop = shop();
    {
        let mut state = shop.double.state();
        let old = &mut state.ecs.definitions.get_mut("api:1").unwrap().value;
        // newer than the SDK
        old.insert("trustedExecutionConfiguration".into(), json!({"mode": "on"}));
        old["containerDefinitions"][0]["fieldOfTomorrow"] = json!([{"a": 1}]);
    }
    api(&shop).apply(&within(20), &deploy(Some("shop/api:v2"))).await.unwrap();
    let state = shop.double.state();
    let (old, new) = (&state.ecs.definitions["api:1"], &state.ecs.definitions["api:2"]);
    let mut expected = Value::Object(old.value.clone());
    expected["containerDefinitions"][0]["image"] = json!("shop/api:v2");
    assert_eq!(Value::Object(new.value.clone()), expected);
    assert_eq!((new.tags["team"].as_str(), new.tags["tidegate:release"].as_str()), ("shop", "v2"));
}

#[tokio::test]
async fn another_release_is_deployed_even_where_its_image_has_the_same_name() {
    let shop = shop();
    let of = |release: &str| Change::Deploy {
        side: side("api-green"),
        release: release.parse().unwrap(),
        artifact: Some("shop/api:latest".into()),
    };
    for (release, revision, deployments) in [("v2", "api:2", 1), ("v3", "api:3", 2), ("v3", "api:3", 2)] {
        let target = api(&shop);
        target.apply(&within(20), &of(release)).await.unwrap();
        assert_eq!(settled(target.as_ref()).await.activity, Activity::Idle);
        let mut state = shop.double.state();
        assert_eq!(state.ecs.definitions[revision].tags["tidegate:release"], release);
        assert_eq!(
            (state.ecs.definitions.len(), state.ecs.service(CLUSTER, "api-green").definition.as_str()),
            (deployments + 1, revision)
        );
    }
}

#[tokio::test]
async fn a_look_from_before_a_deployment_of_the_same_again_tells_nothing_of_it() {
    let shop = shop();
    shop.double.state().ecs.broken.insert("shop/api:v2".into(), Ending::default());
    shop.double.state().ecs.service(CLUSTER, "api-green").breaker = Some(false);
    let target = api(&shop);
    target.apply(&within(20), &deploy(Some("shop/api:v2"))).await.unwrap();
    assert!(matches!(settled(target.as_ref()).await.activity, Activity::Failed { .. }));
    shop.double.state().ecs.broken.clear();
    shop.double.state().ecs.delay = 3;
    target.apply(&within(20), &deploy(Some("shop/api:v2"))).await.unwrap();
    for _ in 0..3 {
        let seen = target.observe(&within(20)).await.unwrap();
        let waits = matches!(&seen.activity, Activity::Busy { what } if what.contains("not shown yet"));
        assert!(waits, "{seen:?}");
    }
    let seen = settled(target.as_ref()).await;
    assert_eq!((&seen.activity, seen.sides[1].healthy()), (&Activity::Idle, 3));
}

#[tokio::test]
async fn a_deploy_that_is_run_again_registers_and_changes_nothing() {
    let (shop, _) = deployed().await;
    let before = shop.double.calls().len();
    // another process
    let again = api(&shop);
    again.apply(&within(20), &deploy(Some("shop/api:v2"))).await.unwrap();
    let calls = shop.double.calls().split_off(before);
    assert!(calls.iter().all(|call| call.operation.starts_with("Describe")), "{calls:?}");
    assert_eq!(settled(again.as_ref()).await.activity, Activity::Idle);
}

#[tokio::test]
async fn a_later_process_reads_the_version_without_a_further_call() {
    let (shop, _) = deployed().await;
    let before = shop.double.calls().len();
    let seen = api(&shop).observe(&within(20)).await.unwrap();
    assert_eq!(seen.sides[1].version.as_deref(), Some("v2"));
    let calls = shop.double.calls().split_off(before);
    // of the side that tidegate did not deploy
    let described: Vec<_> = calls.iter().filter(|c| c.operation == "DescribeTaskDefinition").collect();
    assert!(described.len() == 1 && described[0].object.ends_with("api:1"), "{described:?}");
}

#[tokio::test]
async fn without_an_image_a_deploy_scales_the_side_up_and_changes_nothing_else() {
    let shop = shop();
    let target = api(&shop);
    target.apply(&within(20), &deploy(None)).await.unwrap();
    let seen = settled(target.as_ref()).await;
    assert_eq!((seen.sides[1].healthy(), seen.sides[1].version.as_deref()), (3, Some("v1")));
    assert_eq!(shop.double.state().ecs.definitions.len(), 1);
}

#[tokio::test]
async fn a_task_definition_from_a_file_gets_the_image_and_what_only_describe_shows_is_left_out() {
    let shop = shop();
    let folder = tempfile::tempdir().unwrap();
    let file = json!({"taskDefinition": {
        "family": "api", "revision": 7, "status": "ACTIVE", "registeredBy": "someone", "cpu": "512",
        "containerDefinitions": [
            {"name": "log", "image": "log:1", "essential": false}, {"name": "api", "image": "IMAGE"},
        ],
        "tags": [{"key": "owner", "value": "web"}],
    }});
    std::fs::write(folder.path().join("task.json"), file.to_string()).unwrap();
    let options = shop.options(&shop.double.url).replace("{cluster", "{task_definition: task.json, cluster");
    let target = connect(&options, &double::setting(folder.path())).unwrap();
    for _ in 0..2 {
        target.apply(&within(20), &deploy(Some("shop/api:v3"))).await.unwrap();
        settled(target.as_ref()).await;
    }
    let state = shop.double.state();
    assert_eq!(state.ecs.definitions.len(), 2);
    let made = &state.ecs.definitions["api:2"];
    assert_eq!(made.value["containerDefinitions"][1]["image"], "shop/api:v3");
    assert_eq!(made.value["containerDefinitions"][0]["image"], "log:1");
    assert_eq!((made.value["cpu"].as_str(), made.tags["owner"].as_str()), (Some("512"), "web"));
}

#[tokio::test]
async fn a_deployment_that_fails_is_over_at_once_and_says_why() {
    for rollback in [true, false] {
        let shop = shop();
        let ending = Ending {
            stopped_reason: "Essential container in task exited".into(),
            container_reason: Some("OutOfMemoryError: Container killed due to memory usage".into()),
            exit_code: Some(137),
        };
        {
            let mut state = shop.double.state();
            state.ecs.broken.insert("shop/api:v2".into(), ending);
            state.ecs.service(CLUSTER, "api-green").breaker = Some(rollback);
        }
        let target = api(&shop);
        target.apply(&within(20), &deploy(Some("shop/api:v2"))).await.unwrap();
        let seen = settled(target.as_ref()).await;
        let Activity::Failed { why } = &seen.activity else { panic!("{seen:?}") };
        for part in [
            "api-green: ",
            "event: (service api-green) (deployment ecs-svc/",
            "deployment failed: tasks failed to start",
            "Essential container in task exited",
            "container api: exit code 137, OutOfMemoryError",
        ] {
            assert!(why.contains(part), "rollback {rollback}: no `{part}` in {why}");
        }
        assert_eq!(why.contains("runs api:1 and not api:2"), rollback, "{why}");
        assert!(!why.contains("steady state"), "an event from before the deploy: {why}");
        assert_eq!(green(&seen), Share::NONE);
        // mended, the same deploy begins anew
        shop.double.state().ecs.broken.clear();
        target.apply(&within(20), &deploy(Some("shop/api:v2"))).await.unwrap();
        let seen = settled(target.as_ref()).await;
        assert_eq!((&seen.activity, seen.sides[1].healthy()), (&Activity::Idle, 3), "rollback {rollback}");
    }
}

#[tokio::test]
async fn stable_is_not_enough_when_the_circuit_breaker_put_the_old_one_back() {
    let shop = shop();
    shop.double.state().ecs.broken.insert("shop/api:v2".into(), Ending::default());
    let target = api(&shop);
    target.apply(&within(20), &deploy(Some("shop/api:v2"))).await.unwrap();
    let mut seen = settled(target.as_ref()).await;
    // the rolled back service goes on until it is steady again
    for _ in 0..10 {
        seen = target.observe(&within(20)).await.unwrap();
    }
    let state = shop.double.state();
    assert_eq!(state.ecs.services["shop/api-green"].deployments[0].state, "COMPLETED");
    assert!(
        matches!(&seen.activity, Activity::Failed { why } if why.contains("api:1 and not api:2")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn targets_of_a_group_that_is_not_attached_are_not_healthy() {
    let shop = shop();
    shop.double.state().ecs.service(CLUSTER, "api-green").desired = 1;
    let target = api(&shop);
    for _ in 0..3 {
        target.observe(&within(20)).await.unwrap();
    }
    let seen = target.observe(&within(20)).await.unwrap();
    let why = seen.sides[1].ready().unwrap_err();
    assert!(why.contains("unused, Target.NotInUse"), "{why}");
}

#[tokio::test]
async fn a_share_that_was_set_is_read_back_and_setting_it_twice_is_harmless() {
    let (shop, target) = deployed().await;
    for text in ["10%", "50%", "100%", "0%", "0.1%", "33.33%", "99.95%", "0%"] {
        for _ in 0..2 {
            target.apply(&within(20), &to_green(text)).await.unwrap();
            let wanted = target.nearest(share(text));
            assert_eq!(target.split(&within(20)).await.unwrap()[&side("api-green")], wanted, "{text}");
            assert_eq!(green(&target.observe(&within(20)).await.unwrap()), wanted, "{text}");
        }
    }
    assert_eq!(
        shop.double.state().elb.weights(&shop.rule),
        [(shop.blue.clone(), 100), (shop.green.clone(), 0)]
    );
}

#[tokio::test]
async fn everything_else_in_the_rule_stays_and_a_third_group_is_told() {
    let (shop, target) = deployed().await;
    let oidc = json!({"Type": "authenticate-oidc", "AuthenticateOidcConfig": {
        "Issuer": "https://id", "AuthorizationEndpoint": "https://id/a", "TokenEndpoint": "https://id/t",
        "UserInfoEndpoint": "https://id/u", "ClientId": "shop", "SessionTimeout": 3600,
        "OnUnauthenticatedRequest": "authenticate",
    }});
    let third = shop.double.state().elb.group("third");
    let mut split = forward(&[(&shop.blue, 3), (&third, 2), (&shop.green, 1)]);
    split["ForwardConfig"]["TargetGroupStickinessConfig"] = json!({"Enabled": true, "DurationSeconds": 3600});
    let rule = shop.double.state().elb.rule("api", vec![oidc, split]);
    let seen = target.observe(&within(20)).await.unwrap();
    assert_eq!(green(&seen), share("25%"));
    assert!(
        seen.notes[0].contains("targetgroup/third") && seen.notes[0].contains("weight 2"),
        "{:?}",
        seen.notes
    );
    assert!(
        seen.notes[1].contains("for 1 h") && seen.notes[1].contains("at 0 % still serves"),
        "{:?}",
        seen.notes
    );
    let before = shop.double.state().elb.rules[&rule].actions.clone();
    target.apply(&within(20), &to_green("10%")).await.unwrap();
    let mut expected = before.clone();
    for (at, weight) in [(0, 90), (2, 10)] {
        expected[1]["ForwardConfig"]["TargetGroups"][at]["Weight"] = json!(weight);
    }
    let numbers = |actions: Vec<Value>| -> Vec<Value> {
        let text = serde_json::to_string(&actions).unwrap().replace("\"3600\"", "3600");
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(numbers(shop.double.state().elb.rules[&rule].actions.clone()), numbers(expected));
}

#[tokio::test]
async fn a_listeners_default_action_is_split_likewise() {
    let shop = shop();
    let listener = shop.double.state().elb.listener("api", vec![forward(&[(&shop.blue, 1)])]);
    for key in ["rule", "listener"] {
        let target =
            target(&worlds::options("api", &listener, &shop.double.url).replace("rule:", &format!("{key}:")));
        target.apply(&within(20), &deploy(None)).await.unwrap();
        settled(target.as_ref()).await;
        target.apply(&within(20), &to_green("10%")).await.unwrap();
        assert_eq!(green(&target.observe(&within(20)).await.unwrap()), share("10%"));
        target.apply(&within(20), &to_green("0%")).await.unwrap();
    }
    assert_eq!(
        shop.double.state().elb.weights(&shop.rule),
        [(shop.blue.clone(), 100)],
        "the rule is another place"
    );
}

#[tokio::test]
async fn a_write_that_is_not_shown_yet_is_read_until_it_is() {
    let (shop, target) = deployed().await;
    shop.double.state().elb.delay = 2;
    target.apply(&within(20), &to_green("10%")).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(target.split(&within(20)).await.unwrap()[&side("api-green")]);
    }
    assert_eq!(seen, [share("0%"), share("0%"), share("10%")]);
}

#[tokio::test]
async fn a_shift_makes_six_calls_of_which_three_touch_the_rule() {
    let (shop, _) = deployed().await;
    // the other side is marked too, as it is from the second release on
    let target = api(&shop);
    target.observe(&within(20)).await.unwrap();
    let before = shop.double.calls().len();
    target.observe(&within(20)).await.unwrap();
    target.apply(&within(20), &to_green("10%")).await.unwrap();
    let split = target.split(&within(20)).await.unwrap();
    assert_eq!(split[&side("api-green")], share("10%"));
    let mut calls: Vec<_> = shop.double.calls().split_off(before).into_iter().map(|c| c.operation).collect();
    assert_eq!(calls.split_off(4), ["ModifyRule", "DescribeRules"]);
    calls.sort();
    assert_eq!(calls, ["DescribeRules", "DescribeServices", "DescribeTargetHealth", "DescribeTargetHealth"]);
}

#[tokio::test]
async fn ten_services_are_looked_at_with_batched_reads_and_one_that_is_missing_harms_no_other() {
    let double = Double::start();
    let folder = tempfile::tempdir().unwrap();
    let setting = double::setting(folder.path());
    let mut targets = Vec::new();
    for at in 0..10 {
        let name = format!("s{at}");
        let (rule, _, _) = worlds::service(&double, &name);
        targets.push(connect(&worlds::options(&name, &rule, &double.url), &setting).unwrap());
    }
    let cx = within(20);
    let looks = futures_util::future::join_all(targets.iter().map(|target| target.observe(&cx))).await;
    assert!(looks.iter().all(Result::is_ok), "{looks:?}");
    let count = |operation: &str| double.calls().iter().filter(|c| c.operation == operation).count();
    assert_eq!(
        (count("DescribeRules"), count("DescribeServices"), count("DescribeTargetHealth")),
        (1, 2, 20)
    );
    let gone = double.state().elb.rules.keys().next().cloned().unwrap();
    double.state().elb.rules.remove(&gone);
    let looks = futures_util::future::join_all(targets.iter().map(|target| target.observe(&cx))).await;
    let failed: Vec<_> = looks.iter().filter_map(|look| look.as_ref().err()).collect();
    assert!(failed.len() == 1 && failed[0].treat == Treat::Permanent, "{failed:?}");
}

#[tokio::test]
async fn a_side_is_scaled_to_nothing_only_without_traffic_and_comes_back() {
    let (shop, target) = deployed().await;
    let (blue, green_side) = (side("api-blue"), side("api-green"));
    let desired = |name: &str| shop.double.state().ecs.service(CLUSTER, name).desired;
    let fault = target.apply(&within(20), &Change::Retire { side: blue.clone() }).await.unwrap_err();
    assert!(fault.treat == Treat::Permanent && fault.detail.contains("weight 100"), "{fault}");
    target.apply(&within(20), &to_green("100%")).await.unwrap();
    for _ in 0..2 {
        target.apply(&within(20), &Change::Retire { side: blue.clone() }).await.unwrap();
        assert_eq!((desired("api-blue"), desired("api-green")), (0, 3));
    }
    settled(target.as_ref()).await;
    let gone = target.observe(&within(20)).await.unwrap();
    assert_eq!((gone.sides[0].instances.len(), gone.activity.clone()), (0, Activity::Idle));
    assert!(shop.double.state().elb.attached(&shop.blue));
    target.apply(&within(20), &Change::Revive { side: blue }).await.unwrap();
    assert_eq!(desired("api-blue"), 3);
    assert_eq!(settled(target.as_ref()).await.sides[0].ready(), Ok(()));
    // one that has enough stays as it is
    shop.double.state().ecs.service(CLUSTER, "api-green").desired = 5;
    target.apply(&within(20), &Change::Revive { side: green_side }).await.unwrap();
    assert_eq!(desired("api-green"), 5);
}

#[tokio::test]
async fn a_target_that_is_sick_or_drains_is_told_or_left_out() {
    let (shop, target) = deployed().await;
    {
        let mut state = shop.double.state();
        let targets = &mut state.elb.groups.get_mut(&shop.green).unwrap().targets;
        targets[0].state = TargetHealth::Unhealthy("Target.Timeout".into(), "Request timed out".into());
        let mut leaving = targets[1].clone();
        (leaving.id, leaving.state) = ("10.9.9.9".into(), TargetHealth::Draining);
        targets.push(leaving);
    }
    let seen = target.observe(&within(20)).await.unwrap();
    assert_eq!((seen.sides[1].wanted(), seen.sides[1].healthy()), (3, 2));
    let Health::Down { why } = &seen.sides[1].instances[0].health else { panic!("{seen:?}") };
    assert_eq!(why, "unhealthy, Target.Timeout, Request timed out");
}

#[tokio::test]
async fn what_it_may_not_do_or_cannot_find_is_named() {
    let shop = shop();
    shop.double.state().denied.insert("elasticloadbalancing:ModifyRule".into());
    let target = api(&shop);
    let fault = target.apply(&within(20), &to_green("10%")).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent, "{fault}");
    assert!(fault.hint.unwrap().contains("elasticloadbalancing:ModifyRule"));
    let caps = target.caps();
    assert_eq!((caps.deploys, caps.retires, caps.precondition, caps.splits), (true, true, false, true));
    for change in [
        Change::Share([(side("red"), Share::ALL)].into()),
        Change::Share([(side("api-blue"), Share::ALL), (side("api-green"), Share::ALL)].into()),
        Change::Share([].into()),
        Change::Retire { side: side("red") },
    ] {
        assert_eq!(
            target.apply(&within(20), &change).await.unwrap_err().treat,
            Treat::Permanent,
            "{change:?}"
        );
    }
    let gone = shop.options(&shop.double.url).replace("api-green", "api-gren");
    let fault = self::target(&gone).observe(&within(20)).await.unwrap_err();
    assert!(fault.detail.contains("there is no service api-gren in cluster shop"), "{fault}");
    assert!(target.pace().settle > Duration::ZERO);
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let rule = "arn:aws:elasticloadbalancing:eu-west-1:1:listener-rule/app/a/1/2/3";
    for (options, why) in [
        ("{cluster: c, sides: [a, b]}".to_string(), "`rule` or `listener`"),
        (format!("{{cluster: c, sides: [a, a], rule: '{rule}'}}"), "both are a"),
        (format!("{{cluster: c, sides: [a, b], listener: '{rule}'}}"), "call it `rule`"),
        ("{cluster: c, sides: [a, b], rule: api}".into(), "no listener rule"),
        (format!("{{cluster: c, sides: [a, b], rule: '{rule}', target_groups: {{c: x}}}}"), "c is no side"),
        (format!("{{cluster: c, sides: [a, b], rule: '{rule}', roule: x}}"), "did you mean `rule`"),
    ] {
        let error = connect(&options, &double::setting(folder.path())).map(drop).unwrap_err();
        assert!(error.contains(why), "{options}: {error}");
    }
}

fn refusals(findings: &[tidegate::port::Finding]) -> Vec<String> {
    findings.iter().filter(|f| f.grade == Grade::Refuse).map(|f| f.message.clone()).collect()
}
