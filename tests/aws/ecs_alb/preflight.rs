//! What `preflight` says of two services and their rule.

use serde_json::json;
use tidegate::port::{Grade, Treat};

use super::{api, deploy, refusals};
use crate::double::{
    State,
    elb::forward,
    within,
    worlds::{CLUSTER, Shop, shop},
};

async fn refused(mend: impl FnOnce(&Shop, &mut State)) -> Vec<String> {
    let shop = shop();
    mend(&shop, &mut shop.double.state());
    refusals(&api(&shop).preflight(&within(20)).await)
}

#[tokio::test]
async fn what_is_in_order_is_passed_and_says_what_only_a_change_tells() {
    let shop = shop();
    let findings = api(&shop).preflight(&within(20)).await;
    assert_eq!(refusals(&findings), Vec::<String>::new());
    let told = |grade, part: &str| findings.iter().any(|f| f.grade == grade && f.message.contains(part));
    assert!(told(Grade::Ok, "api-blue has 100 %, api-green has 0 %"), "{findings:?}");
    assert!(told(Grade::Ok, "`deploy` attaches it at weight 0"));
    assert!(told(Grade::Ok, "5 m 00 s"), "{findings:?}");
    assert!(told(Grade::Unknown, "ecs:UpdateService"));
    assert!(told(Grade::Ok, crate::double::USER), "{findings:?}");
    let reads = |operation: &str| operation.starts_with("Describe") || operation == "GetCallerIdentity";
    let writes: Vec<_> = shop.double.calls().into_iter().filter(|c| !reads(&c.operation)).collect();
    assert_eq!(writes, []);
}

#[tokio::test]
async fn services_that_others_deploy_are_refused_with_the_reason() {
    for (controller, strategy, why) in [
        ("CODE_DEPLOY", "ROLLING", "CodeDeploy deploys it"),
        ("EXTERNAL", "ROLLING", "deployment controller is EXTERNAL"),
        ("ECS", "BLUE_GREEN", "by BLUE_GREEN and owns the listener rule"),
        ("ECS", "LINEAR", "by LINEAR"),
        ("ECS", "CANARY", "by CANARY"),
    ] {
        let found = refused(|_, state| {
            let service = state.ecs.service(CLUSTER, "api-green");
            (service.controller, service.strategy) = (controller.into(), strategy.into());
        })
        .await;
        assert!(found.len() == 1 && found[0].contains(why), "{found:?}");
        let shop = shop();
        {
            let mut state = shop.double.state();
            let service = state.ecs.service(CLUSTER, "api-green");
            (service.controller, service.strategy) = (controller.into(), strategy.into());
        }
        let fault = api(&shop).apply(&within(20), &deploy(Some("shop/api:v2"))).await.unwrap_err();
        assert_eq!(fault.treat, Treat::Permanent, "{fault}");
        assert!(fault.detail.contains(why) && fault.detail.contains("nothing was changed"), "{fault}");
        let wrote = shop.double.calls().into_iter().any(|call| !call.operation.starts_with("Describe"));
        assert!(!wrote, "{:?}", shop.double.calls());
    }
}

#[tokio::test]
async fn a_rule_that_does_not_split_the_two_is_refused_with_what_it_is() {
    let redirect = json!({"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Host": "other"}});
    let found =
        refused(|shop, state| state.elb.rules.get_mut(&shop.rule).unwrap().actions = vec![redirect]).await;
    assert!(found[0].contains("its action is redirect"), "{found:?}");
    let found = refused(|shop, state| {
        let third = state.elb.group("third");
        state.elb.rules.get_mut(&shop.rule).unwrap().actions = vec![forward(&[(&third, 1)])];
    })
    .await;
    assert!(found.iter().any(|f| f.contains("to no group of api-blue or api-green")), "{found:?}");
    let found = refused(|shop, state| {
        let third = state.elb.group("third");
        state.elb.rules.get_mut(&shop.rule).unwrap().actions = vec![forward(&[(&shop.blue, 1), (&third, 5)])];
    })
    .await;
    assert!(
        found.len() == 1 && found[0].contains("targetgroup/third") && found[0].contains("weight 5"),
        "{found:?}"
    );
    let found = refused(|shop, state| state.elb.rules.get_mut(&shop.rule).unwrap().is_default = true).await;
    assert!(found.len() == 1 && found[0].contains("say `listener: ARN`"), "{found:?}");
}

#[tokio::test]
async fn groups_that_cannot_tell_health_apart_are_refused() {
    let found =
        refused(|shop, state| state.elb.groups.get_mut(&shop.green).unwrap().health_check = false).await;
    assert!(found.len() == 1 && found[0].contains("api-green has no health check"), "{found:?}");
    let found = refused(|shop, state| {
        let service = state.ecs.service(CLUSTER, "api-green");
        service.behind = Some((shop.blue.clone(), "api".into(), 8080));
    })
    .await;
    assert!(found[0].contains("behind the same target group"), "{found:?}");
    let found = refused(|_, state| state.ecs.service(CLUSTER, "api-green").behind = None).await;
    assert!(found[0].contains("api-green is behind no target group"), "{found:?}");
    let found = refused(|_, state| state.ecs.service(CLUSTER, "api-blue").desired = 0).await;
    assert!(found.iter().any(|f| f.contains("api-blue serves and has a desired count of 0")), "{found:?}");
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named() {
    for (operation, grade) in [
        ("elasticloadbalancing:DescribeRules", Grade::Refuse),
        ("elasticloadbalancing:DescribeTargetHealth", Grade::Refuse),
        ("elasticloadbalancing:DescribeTargetGroups", Grade::Refuse),
        ("elasticloadbalancing:DescribeTargetGroupAttributes", Grade::Unknown),
        ("ecs:DescribeServices", Grade::Refuse),
        ("ecs:DescribeTaskDefinition", Grade::Refuse),
    ] {
        let shop = shop();
        shop.double.state().denied.insert(operation.into());
        let findings = api(&shop).preflight(&within(20)).await;
        let named = findings.iter().any(|f| f.grade == grade && f.message.contains(operation));
        assert!(named, "{operation}: {findings:?}");
    }
}

#[tokio::test]
async fn stickiness_is_warned_of_with_its_duration() {
    let shop = shop();
    {
        let mut state = shop.double.state();
        let rule = state.elb.rules.get_mut(&shop.rule).unwrap();
        rule.actions[0]["ForwardConfig"]["TargetGroupStickinessConfig"] =
            json!({"Enabled": true, "DurationSeconds": 7200});
        let group = state.elb.groups.get_mut(&shop.blue).unwrap();
        group.attributes.insert("stickiness.enabled".into(), "true".into());
    }
    let findings = api(&shop).preflight(&within(20)).await;
    let warned: Vec<_> =
        findings.iter().filter(|f| f.grade == Grade::Warn).map(|f| f.message.as_str()).collect();
    assert!(
        warned.len() == 2 && warned[0].contains("for 2 h") && warned[1].contains("lb_cookie"),
        "{warned:?}"
    );
}
