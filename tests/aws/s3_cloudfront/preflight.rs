//! What is found before a release.

use serde_json::json;
use tidegate::port::{Finding, Grade};

use super::world::{BUCKET, FIRST, World};
use crate::double;

async fn findings(world: &World) -> Vec<Finding> {
    world.target().preflight(&double::within(30)).await
}

fn has(findings: &[Finding], grade: Grade, part: &str) -> bool {
    findings.iter().any(|f| f.grade == grade && f.message.contains(part))
}

#[tokio::test]
async fn what_is_in_order_is_told_and_only_writing_is_unknown() {
    let world = World::double().await;
    world.build(&FIRST);
    let before = world.as_double().state().s3.keys(BUCKET);
    let found = findings(&world).await;
    assert!(found.iter().all(|f| f.grade <= Grade::Unknown), "{found:?}");
    assert_eq!(found.iter().filter(|f| f.grade == Grade::Unknown).count(), 1);
    for part in [
        "2 files go up first and stay, 4 go over at the switch",
        "index.html is live as it is, and becomes the way back",
        "keeps no old versions",
        "distribution E1 serves the site as /",
    ] {
        assert!(has(&found, Grade::Ok, part), "{part}: {found:?}");
    }
    assert_eq!(world.as_double().state().s3.keys(BUCKET), before);
    world.as_double().state().s3.set_versioned(BUCKET);
    assert!(has(&findings(&world).await, Grade::Ok, "keeps old versions"));
}

#[tokio::test]
async fn moto_has_nothing_against_a_site_in_order() {
    let world = World::moto().await;
    world.build(&FIRST);
    let found = findings(&world).await;
    assert!(!found.iter().any(|f| f.grade == Grade::Refuse), "{found:?}");
}

#[tokio::test]
async fn what_is_wrong_is_refused_or_warned_of() {
    let world = World::double().await;
    assert!(has(&findings(&world).await, Grade::Refuse, "No such file"), "no folder");
    world.build(&FIRST[1..]);
    assert!(has(&findings(&world).await, Grade::Refuse, "has no index.html"));
    world.build(&FIRST);

    type Wrong = fn(&mut double::Distribution);
    let change = |change: Wrong| {
        let mut state = world.as_double().state();
        state.cloudfront.before("E1", BUCKET, "");
        change(state.cloudfront.distributions.get_mut("E1").unwrap());
    };
    let wrong: [(Wrong, Grade, &str); 7] = [
        (|d| d.enabled = false, Grade::Refuse, "is disabled"),
        (|d| d.status = "InProgress".into(), Grade::Warn, "still going out"),
        (|d| d.origins[0].0 = "other.s3.amazonaws.com".into(), Grade::Refuse, "no origin that is shop-web"),
        (|d| d.origins[0].0 = "www.example.com".into(), Grade::Warn, "no origin that is shop-web"),
        (|d| d.origins[0].1 = "/elsewhere".into(), Grade::Refuse, "serves /elsewhere of the bucket"),
        (|d| d.default_root_object = "home.html".into(), Grade::Warn, "answers `/` with home.html"),
        (|d| d.error_pages = vec![(404, "/index.html".into(), 300)], Grade::Warn, "keeps that for 300 s"),
    ];
    for (wrong, grade, part) in wrong {
        change(wrong);
        let found = findings(&world).await;
        assert!(has(&found, grade, part), "{part}: {found:?}");
    }
}

#[tokio::test]
async fn a_bucket_or_distribution_that_is_not_there_or_not_ours_to_see_is_refused() {
    let mut world = World::double().await;
    world.build(&FIRST);
    world.options["distribution"] = json!("E404");
    assert!(has(&findings(&world).await, Grade::Refuse, "NoSuchDistribution"));
    world.options["bucket"] = json!("shop-none");
    assert!(has(&findings(&world).await, Grade::Refuse, "NoSuchBucket"));
    world.options["bucket"] = json!(BUCKET);
    world.as_double().state().denied.insert("s3:ListObjectsV2".into());
    assert!(has(&findings(&world).await, Grade::Refuse, "s3:ListBucket"));
}

#[tokio::test]
async fn what_tidegate_wrote_and_cannot_read_is_refused_with_the_way_out() {
    let world = World::double().await.with_first().await;
    world.as_double().state().s3.put(BUCKET, ".tidegate/state.json", "{\"format\": 9}");
    let found = findings(&world).await;
    assert!(has(&found, Grade::Refuse, "written by a newer tidegate"), "{found:?}");
}

#[tokio::test]
async fn a_page_that_is_public_by_its_acl_is_told_of() {
    let mut world = World::double().await;
    world.build(&FIRST);
    assert!(!findings(&world).await.iter().any(|f| f.message.contains("public by its ACL")));
    world.as_double().state().s3.set_acl(BUCKET, "public-read");
    assert!(has(&findings(&world).await, Grade::Warn, "public by its ACL"));
    world.options.as_object_mut().unwrap().remove("distribution");
    assert!(has(&findings(&world).await, Grade::Refuse, "public by its ACL"), "there may be no other way in");
    world.options["acl"] = json!("public-read");
    let found = findings(&world).await;
    assert!(!found.iter().any(|f| f.message.contains("public by its ACL")), "{found:?}");
    assert!(has(&found, Grade::Unknown, "s3:PutObjectAcl"), "{found:?}");
}
