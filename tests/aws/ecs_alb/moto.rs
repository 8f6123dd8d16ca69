//! The same against moto, which knows rules and services and runs no tasks.

use aws_sdk_ecs::types::{ContainerDefinition, LoadBalancer};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, FixedResponseActionConfig, ForwardActionConfig, ProtocolEnum, RuleCondition,
    TargetDescription, TargetGroupStickinessConfig, TargetGroupTuple, TargetTypeEnum,
};
use std::{
    io::{BufReader, Write as _},
    net::TcpStream,
};
use tidegate::{domain::share::Share, port::Change};

use super::{green, share, side, target, to_green};
use crate::{
    double::{ACCOUNT, KEY_ID, REGION, access, setting, within, worlds},
    moto::Moto,
    wire,
};

struct World {
    moto: Moto,
    rule: String,
    listener: String,
    groups: [String; 3],
}

/// Ids of the default network's parts: the SDK for it is not among ours.
fn network(moto: &Moto) -> (String, Vec<String>) {
    let address = moto.url.trim_start_matches("http://");
    let body = "Action=DescribeSubnets&Version=2016-11-15";
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\
         authorization: AWS4-HMAC-SHA256 Credential={KEY_ID}/20260101/{REGION}/ec2/aws4_request, \
         SignedHeaders=host, Signature=0\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let answer = wire::read_answer(&mut BufReader::new(stream), "POST").unwrap();
    let text = String::from_utf8(answer.body).unwrap();
    let all = |tag: &str| {
        let open = format!("<{tag}>");
        let parts = text.split(open.as_str()).skip(1);
        parts.map(|part| part.split('<').next().unwrap().to_string()).collect::<Vec<_>>()
    };
    (all("vpcId").remove(0), all("subnetId"))
}

async fn world() -> World {
    let moto = Moto::start();
    let (vpc, subnets) = network(&moto);
    let folder = tempfile::tempdir().unwrap();
    let config = tidegate::adapter::aws::Aws::shared(&access(&moto.url), &setting(folder.path()));
    let config = config.config().await.unwrap();
    let elb = aws_sdk_elasticloadbalancingv2::Client::new(&config);
    let made = elb
        .create_load_balancer()
        .name("shop")
        .set_subnets(Some(subnets[..2].to_vec()))
        .send()
        .await
        .unwrap();
    let balancer = made.load_balancers()[0].load_balancer_arn().unwrap().to_string();
    let mut groups = Vec::new();
    for name in ["api-blue", "api-green", "third"] {
        let ask = elb.create_target_group().name(name).protocol(ProtocolEnum::Http).port(8080).vpc_id(&vpc);
        let made = ask.target_type(TargetTypeEnum::Ip).send().await.unwrap();
        groups.push(made.target_groups()[0].target_group_arn().unwrap().to_string());
    }
    let fixed = Action::builder()
        .r#type(ActionTypeEnum::FixedResponse)
        .fixed_response_config(FixedResponseActionConfig::builder().status_code("503").build())
        .build();
    let ask = elb.create_listener().load_balancer_arn(&balancer).protocol(ProtocolEnum::Http).port(80);
    let made = ask.default_actions(fixed).send().await.unwrap();
    let listener = made.listeners()[0].listener_arn().unwrap().to_string();
    let tuple =
        |group: &String, weight| TargetGroupTuple::builder().target_group_arn(group).weight(weight).build();
    let forward = ForwardActionConfig::builder()
        .target_groups(tuple(&groups[0], 100))
        .target_groups(tuple(&groups[2], 0))
        .target_group_stickiness_config(
            TargetGroupStickinessConfig::builder().enabled(true).duration_seconds(600).build(),
        )
        .build();
    let forward = Action::builder().r#type(ActionTypeEnum::Forward).forward_config(forward).build();
    let condition = RuleCondition::builder().field("path-pattern").values("/*").build();
    let ask = elb.create_rule().listener_arn(&listener).priority(10).conditions(condition).actions(forward);
    let made = ask.send().await.unwrap();
    let rule = made.rules()[0].rule_arn().unwrap().to_string();
    for group in &groups[..2] {
        for id in ["10.0.0.1", "10.0.0.2"] {
            let target = TargetDescription::builder().id(id).port(8080).build();
            elb.register_targets().target_group_arn(group).targets(target).send().await.unwrap();
        }
    }
    let ecs = aws_sdk_ecs::Client::new(&config);
    ecs.create_cluster().cluster_name(worlds::CLUSTER).send().await.unwrap();
    let container = ContainerDefinition::builder().name("api").image("shop/api:v1").memory(512).build();
    ecs.register_task_definition().family("api").container_definitions(container).send().await.unwrap();
    for (name, group, count) in [("api-blue", &groups[0], 2), ("api-green", &groups[1], 0)] {
        let behind =
            LoadBalancer::builder().target_group_arn(group).container_name("api").container_port(8080);
        let ask = ecs.create_service().cluster(worlds::CLUSTER).service_name(name).task_definition("api");
        ask.desired_count(count).load_balancers(behind.build()).send().await.unwrap();
    }
    World { moto, rule, listener, groups: groups.try_into().unwrap() }
}

#[tokio::test]
async fn moto_shows_and_keeps_what_the_double_does() {
    assert_eq!(ACCOUNT, "123456789012");
    let world = world().await;
    let folder = tempfile::tempdir().unwrap();
    let config = tidegate::adapter::aws::Aws::shared(&access(&world.moto.url), &setting(folder.path()));
    let elb = aws_sdk_elasticloadbalancingv2::Client::new(&config.config().await.unwrap());
    let target = target(&worlds::options("api", &world.rule, &world.moto.url));
    let seen = target.observe(&within(20)).await.unwrap();
    assert_eq!((green(&seen), seen.sides[0].share), (Share::NONE, Share::ALL));
    assert_eq!(seen.sides[0].version.as_deref(), Some("v1"));
    assert!(seen.notes.iter().any(|n| n.contains("10 m 00 s")), "{:?}", seen.notes);

    let deploy = Change::Deploy {
        side: side("api-green"),
        release: "v2".parse().unwrap(),
        artifact: Some("shop/api:v2".into()),
    };
    for _ in 0..2 {
        target.apply(&within(20), &deploy).await.unwrap();
        target.apply(&within(20), &to_green("12.5%")).await.unwrap();
        assert_eq!(target.split(&within(20)).await.unwrap()[&side("api-green")], share("12.5%"));
    }
    let seen = target.observe(&within(20)).await.unwrap();
    assert_eq!((green(&seen), seen.sides[1].version.as_deref()), (share("12.5%"), Some("v2")));
    let described = elb.describe_rules().rule_arns(&world.rule).send().await.unwrap();
    let rule = &described.rules()[0];
    let forward = rule.actions()[0].forward_config().unwrap();
    let weights: Vec<_> = forward
        .target_groups()
        .iter()
        .map(|t| (t.target_group_arn().unwrap(), t.weight().unwrap()))
        .collect();
    let [blue, green_group, third] = world.groups.each_ref().map(String::as_str);
    assert_eq!(weights, [(blue, 875), (third, 0), (green_group, 125)]);
    let sticky = forward.target_group_stickiness_config().unwrap();
    assert_eq!((sticky.enabled(), sticky.duration_seconds()), (Some(true), Some(600)));
    assert_eq!((rule.priority(), rule.conditions()[0].values()), (Some("10"), ["/*".to_string()].as_slice()));

    target.apply(&within(20), &to_green("100%")).await.unwrap();
    target.apply(&within(20), &Change::Retire { side: side("api-blue") }).await.unwrap();
    // its deployments never come to an end, so that what it says of them is not looked at
    assert_eq!(green(&target.observe(&within(20)).await.unwrap()), Share::ALL);
    let default = elb.describe_listeners().listener_arns(&world.listener).send().await.unwrap();
    assert_eq!(default.listeners()[0].default_actions()[0].r#type(), Some(&ActionTypeEnum::FixedResponse));
}
