//! Every trouble with every kind of request.

use super::world::{FIRST, SECOND, World, deployed, name, switched};
use crate::{
    double,
    proxy::{Proxy, Trouble, When},
};
use tidegate::{domain::share::Share, port::Treat};

#[tokio::test]
async fn each_trouble_with_each_request_of_a_switch_ends_on_one_side_whole() {
    let world = World::double().await.with_first().await;
    world.build(&SECOND);
    world.deploy("blue", "v2").await.unwrap();
    let green = world.live().await;
    world.switch("blue").await;
    let (blue, mut side) = (world.live().await, "blue");
    for (service, operation) in [
        ("s3", "GetObject"),
        ("s3", "HeadObject"),
        ("s3", "PutObject"),
        ("s3", "CopyObject"),
        ("s3", "DeleteObject"),
        ("cloudfront", "CreateInvalidation"),
        ("cloudfront", "GetInvalidation"),
    ] {
        for trouble in Trouble::ALL {
            let at = format!("{operation}: {trouble:?}");
            side = if side == "blue" { "green" } else { "blue" };
            let before = world.as_double().state().cloudfront.invalidations.len();
            let proxy = Proxy::start(world.url());
            proxy.plan(When::first(service, operation), trouble);
            let target = world.through(&proxy);
            // the engine asks again for the same, after a look
            for _ in 0..3 {
                let answer = target.apply(&double::hurried(30), &switched(side)).await;
                let seen = target.split(&double::hurried(30)).await.unwrap();
                if seen[&name(side)] == Share::ALL {
                    break;
                }
                if let Err(fault) = answer {
                    assert_ne!(fault.treat, Treat::Permanent, "{at}: {fault}");
                }
            }
            assert_eq!(proxy.troubles(), [trouble], "{at}");
            world.until(side).await;
            assert_eq!(&world.live().await, if side == "blue" { &blue } else { &green }, "{at}");
            let made = world.as_double().state().cloudfront.invalidations.len();
            assert_eq!(made - before, 1, "{at}");
        }
    }
}

#[tokio::test]
async fn each_trouble_with_each_request_of_a_deploy_is_overcome_or_leaves_the_site_as_it_was() {
    let world = World::double().await.with_first().await;
    let mut before = world.live().await;
    let mut n = 0;
    for (service, operation) in
        [("s3", "GetObject"), ("s3", "HeadObject"), ("s3", "PutObject"), ("cloudfront", "GetDistribution")]
    {
        for trouble in Trouble::ALL {
            let at = format!("{operation}: {trouble:?}");
            n += 1;
            let asset = format!("assets/app-{n:08x}a.js");
            let mut files = SECOND.to_vec();
            files[4].0 = &asset;
            world.build(&files);
            let change = deployed("blue", &format!("v{n}"));
            let proxy = Proxy::start(world.url());
            proxy.plan(When::first(service, operation), trouble);
            let answer = world.through(&proxy).apply(&double::hurried(200), &change).await;
            assert_eq!(proxy.troubles(), [trouble], "{at}");
            if answer.is_err() {
                world.target().apply(&double::within(60), &change).await.unwrap();
            }
            let live = world.live().await;
            before.insert(asset.clone(), live[&asset].clone());
            assert_eq!(live, before, "{at}");
            assert_eq!(world.observe().await.sides[0].ready(), Ok(()), "{at}");
            assert_eq!(world.shares().await, [0, 100], "{at}");
        }
    }
}

#[tokio::test]
async fn a_lack_of_permission_is_told_by_what_iam_calls_it() {
    for (denied, named) in [
        ("s3:HeadObject", "s3:GetObject"),
        ("s3:CopyObject", "s3:PutObject"),
        ("cloudfront:CreateInvalidation", "cloudfront:CreateInvalidation"),
    ] {
        let world = World::double().await;
        world.build(&FIRST);
        world.deploy("green", "v1").await.unwrap();
        world.as_double().state().denied.insert(denied.into());
        let fault = world.target().apply(&double::within(30), &switched("green")).await.unwrap_err();
        assert!(fault.hint.as_deref().unwrap_or_default().contains(named), "{denied}: {fault:?}");
        let begun = denied != "s3:HeadObject";
        assert_eq!(fault.treat == Treat::OutcomeUnknown, begun, "{denied}: {fault}");
    }
}

#[tokio::test]
async fn too_many_invalidations_leave_the_switch_to_be_gone_on_with() {
    let mut world = World::double().await;
    world.options["invalidate"] = serde_json::json!("/*");
    world.build(&FIRST);
    world.deploy("green", "v1").await.unwrap();
    let others = (0..15).map(|n| crate::double::Invalidation {
        id: format!("IOTHER{n}"),
        distribution: "E1".into(),
        reference: format!("other {n}"),
        paths: vec!["/*".into()],
        left: 1,
    });
    world.as_double().state().cloudfront.invalidations.extend(others);
    let fault = world.target().apply(&double::within(30), &switched("green")).await.unwrap_err();
    assert_eq!(fault.treat, Treat::OutcomeUnknown);
    assert!(fault.hint.unwrap().contains("wait for them"), "{}", fault.detail);
    assert_eq!(world.shares().await, [50, 50]);
    world.as_double().state().cloudfront.invalidations.clear();
    world.switch("green").await;
    assert_eq!(world.as_double().state().cloudfront.invalidations.len(), 1);
}
