//! Releases where nothing goes wrong, and where people did something else meanwhile.

use serde_json::json;
use tidegate::{
    domain::{observed::Health, share::Share},
    port::{Change, Treat},
};

use super::world::{BEFORE, BUCKET, FIRST, SECOND, World, bodies, deployed, name, switched};
use crate::double;

/// Two releases and their ways back, told by what is live.
async fn two_releases(world: World) {
    let before = world.live().await;
    let seen = world.observe().await;
    assert_eq!((seen.share(&name("blue")), seen.share(&name("green"))), (Share::ALL, Share::NONE));
    assert_eq!(seen.sides[0].ready(), Ok(()));
    assert!(seen.sides[1].instances.is_empty());

    world.build(&FIRST);
    world.deploy("green", "v1").await.unwrap();
    let mut live = world.live().await;
    let (new, _, cached) = live.remove("assets/app-1a1b2c3d.js").unwrap();
    assert_eq!((new.as_str(), cached.as_str()), ("app 1", "public, max-age=31536000, immutable"));
    assert_eq!(live, before, "a deploy changes nothing that is live");
    let seen = world.observe().await;
    assert_eq!(seen.share(&name("green")), Share::NONE);
    assert_eq!(seen.sides[1].ready(), Ok(()));
    assert_eq!(seen.sides[1].version.as_deref(), Some("v1"));

    world.switch("green").await;
    let first = world.live().await;
    let mut wanted: std::collections::BTreeMap<_, _> = BEFORE.into_iter().collect();
    wanted.extend(FIRST);
    assert_eq!(bodies(&first), wanted, "the release over what was there; nothing else is gone");
    assert_eq!(first["index.html"].1, "text/html");
    assert_eq!(first["index.html"].2, "no-cache");

    world.switch("blue").await;
    let mut back = world.live().await;
    back.remove("assets/app-1a1b2c3d.js").unwrap();
    assert_eq!(back, before, "the way back ends exactly where it began, the new asset apart");

    world.switch("green").await;
    assert_eq!(world.live().await, first);
    world.build(&SECOND);
    world.deploy("blue", "v2").await.unwrap();
    world.switch("blue").await;
    let second = world.live().await;
    wanted.extend(SECOND);
    wanted.remove("about.html");
    assert_eq!(bodies(&second), wanted, "a page of ours that the release has no more is gone");
    assert_eq!(world.observe().await.sides[0].version.as_deref(), Some("v2"));

    world.switch("green").await;
    let mut back = world.live().await;
    back.remove("assets/app-2a1b2c3d.js").unwrap();
    assert_eq!(back, first);
}

#[tokio::test]
async fn two_releases_go_over_and_back_exactly() {
    two_releases(World::double().await).await;
}

#[tokio::test]
async fn two_releases_go_over_and_back_exactly_on_moto() {
    two_releases(World::moto().await).await;
}

#[tokio::test]
async fn exactly_what_was_switched_is_invalidated_once_and_waited_for() {
    let world = World::double().await.with_first().await;
    let invalidations = world.as_double().state().cloudfront.invalidations.clone();
    assert_eq!(invalidations.len(), 1);
    assert_eq!(
        invalidations[0].paths,
        ["/", "/about.html", "/favicon.ico", "/index.html", "/news/", "/news/index.html"]
    );
    world.as_double().state().cloudfront.looks = 3;
    world.target().apply(&double::within(30), &switched("blue")).await.unwrap();
    // doing it again while it is under way changes nothing
    world.target().apply(&double::within(30), &switched("blue")).await.unwrap();
    assert_eq!(world.shares().await, [50, 50]);
    let note = world.observe().await.notes.concat();
    assert!(note.contains("invalidation I000000000002 is in progress"), "{note}");
    world.until("blue").await;
    let state = world.as_double().state();
    let references: Vec<_> = state.cloudfront.invalidations.iter().map(|i| i.reference.clone()).collect();
    assert_eq!(references.len(), 2);
    assert_ne!(references[0], references[1]);
}

#[tokio::test]
async fn an_invalidation_that_cloudfront_has_forgotten_was_over() {
    let world = World::double().await.with_first().await;
    world.as_double().state().cloudfront.forget();
    assert_eq!(world.shares().await, [0, 100]);
}

#[tokio::test]
async fn a_look_is_four_calls_and_the_proof_of_a_switch_three() {
    let world = World::double().await.with_first().await;
    let count = || world.as_double().calls().len();
    let before = count();
    world.observe().await;
    assert_eq!(count() - before, 4);
    let target = world.target();
    let before = count();
    target.split(&double::within(30)).await.unwrap();
    assert_eq!(count() - before, 3);
    // an invalidation that was seen to be over is not looked at again
    target.split(&double::within(30)).await.unwrap();
    assert_eq!(count() - before, 5);
    let before = count();
    target.apply(&double::within(30), &switched("green")).await.unwrap();
    assert_eq!(count() - before, 2, "what is true already is not written");
}

#[tokio::test]
async fn without_a_distribution_nothing_is_invalidated() {
    let mut world = World::double().await;
    world.options = json!({"bucket": BUCKET, "upload": "dist"});
    let world = world.with_first().await;
    assert_eq!(world.shares().await, [0, 100]);
    assert!(world.as_double().operations("cloudfront").is_empty());
    // a distribution that is named later begins with the next switch
    let world = World { options: json!({"bucket": BUCKET, "distribution": "E1", "upload": "dist"}), ..world };
    assert_eq!(world.shares().await, [0, 100]);
    world.switch("blue").await;
    assert_eq!(world.as_double().state().cloudfront.invalidations.len(), 1);
}

#[tokio::test]
async fn a_site_in_a_folder_of_the_bucket_stays_there_and_is_invalidated_as_viewers_see_it() {
    for (path, root) in [("", "/shop/"), ("/shop", "/")] {
        let mut world = World::double().await;
        world.as_double().state().cloudfront.before("E1", BUCKET, path);
        world.options["prefix"] = json!("shop");
        world.put("shop/index.html", "shop 0").await;
        let before = world.live().await;
        let world = world.with_first().await;
        let live = world.live().await;
        assert_eq!(live["shop/index.html"].0, FIRST[0].1);
        assert_eq!(live["index.html"], before["index.html"]);
        let paths = world.as_double().state().cloudfront.invalidations[0].paths.clone();
        assert!(
            paths.contains(&root.to_string()) && paths.contains(&format!("{root}about.html")),
            "{paths:?}"
        );
        assert_eq!(world.observe().await.sides[1].instances[0].name, "shop/.tidegate/green/");
    }
}

#[tokio::test]
async fn what_is_to_be_forgotten_can_be_said() {
    let mut world = World::double().await;
    world.options["invalidate"] = json!("/*");
    let world = world.with_first().await;
    assert_eq!(world.as_double().state().cloudfront.invalidations[0].paths, ["/*"]);
}

#[tokio::test]
async fn a_page_changed_by_hand_is_noticed_and_becomes_the_way_back() {
    let world = World::double().await.with_first().await;
    world.put("index.html", "mended by hand").await;
    world.put("news/index.html", "mended by hand, too").await;
    let seen = world.observe().await;
    assert_eq!(seen.share(&name("green")), Share::ALL);
    assert_eq!(seen.sides[1].version, None);
    assert!(seen.notes.concat().contains("something else than tidegate"), "{:?}", seen.notes);
    let mended = world.live().await;

    world.build(&SECOND);
    world.deploy("blue", "v2").await.unwrap();
    world.switch("blue").await;
    world.switch("green").await;
    let mut back = world.live().await;
    back.remove("assets/app-2a1b2c3d.js").unwrap();
    assert_eq!(back, mended);
    let object = world.as_double().state().s3.object(BUCKET, "index.html").unwrap().clone();
    assert_eq!(object.headers["x-amz-meta-by"], "hand", "with all that was said of it");
}

#[tokio::test]
async fn another_content_under_a_name_that_never_changes_is_refused_before_anything_else_is_sent() {
    let world = World::double().await;
    let before = world.live().await;
    world.build(&[FIRST[0], ("assets/app-0a1b2c3d.js", "APP 0")]);
    let fault = world.deploy("green", "v1").await.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent);
    assert!(fault.detail.contains("assets/app-0a1b2c3d.js is there with another content"), "{fault}");
    assert!(fault.hint.unwrap().contains("!assets/app-0a1b2c3d.js"));
    assert_eq!(world.live().await, before);
    assert!(world.as_double().state().s3.object(BUCKET, ".tidegate/state.json").is_none());
}

#[tokio::test]
async fn a_file_that_went_over_once_goes_over_again_though_its_name_holds_a_hash() {
    let mut world = World::double().await;
    world.options["assets"] = json!("!app-*.js");
    let mut world = world.with_first().await;
    world.options["assets"] = json!([]);
    world.build(&[SECOND[0], ("assets/app-1a1b2c3d.js", "app 1 again")]);
    world.deploy("blue", "v2").await.unwrap();
    assert_eq!(world.live().await["assets/app-1a1b2c3d.js"].0, "app 1");
    world.switch("blue").await;
    assert_eq!(world.live().await["assets/app-1a1b2c3d.js"].0, "app 1 again");
}

#[tokio::test]
async fn a_side_whose_files_are_gone_is_down_and_says_which() {
    let world = World::double().await.with_first().await;
    world.as_double().state().s3.remove(BUCKET, ".tidegate/blue/about.html");
    world.as_double().state().s3.put(BUCKET, ".tidegate/green/index.html", "cut");
    let seen = world.observe().await;
    let why = |side: usize| match &seen.sides[side].instances[0].health {
        Health::Down { why } => why.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(why(0), ".tidegate/blue/about.html is not there any more");
    assert_eq!(why(1), ".tidegate/green/index.html has 3 bytes and not 36");
}

#[tokio::test]
async fn an_empty_bucket_has_no_way_back_and_says_what_to_do() {
    let world = World::double().await;
    world.as_double().state().s3.remove(BUCKET, "index.html");
    let seen = world.observe().await;
    assert!(seen.sides[0].ready().unwrap_err().contains("put a first version there (`aws s3 sync`)"));
}

#[tokio::test]
async fn what_it_cannot_do_is_refused_and_changes_nothing() {
    let world = World::double().await.with_first().await;
    let before = world.as_double().state().s3.keys(BUCKET);
    let target = world.target();
    let part = Share::from_basis_points(1000).unwrap();
    for (change, why) in [
        (
            Change::Share([(name("blue"), part), (name("green"), part.rest())].into()),
            "neither all nor nothing",
        ),
        (Change::Share([(name("blue"), Share::ALL), (name("green"), Share::ALL)].into()), "not the whole"),
        (Change::Share([(name("red"), Share::ALL)].into()), "no side red"),
        (Change::Share([].into()), "no side was named"),
        (deployed("green", "v2"), "green is live"),
        (deployed("red", "v2"), "no side red"),
        (
            Change::Deploy {
                side: name("blue"),
                release: "v2".parse().unwrap(),
                artifact: Some("image:v2".into()),
            },
            "no artifact",
        ),
        (Change::Retire { side: name("blue") }, "neither start nor stop"),
        (Change::Revive { side: name("blue") }, "neither start nor stop"),
    ] {
        let fault = target.apply(&double::within(30), &change).await.unwrap_err();
        assert_eq!(fault.treat, Treat::Permanent, "{change:?}");
        assert!(fault.detail.contains(why), "{change:?}: {fault}");
    }
    world.build(&FIRST[1..]);
    let fault = world.deploy("blue", "v2").await.unwrap_err();
    assert!(fault.detail.contains("has no index.html that could go over"), "{fault}");
    assert_eq!(world.as_double().state().s3.keys(BUCKET), before);

    let untouched = World::double().await;
    let fault = untouched.target().apply(&double::within(30), &switched("green")).await.unwrap_err();
    assert!(fault.detail.contains("green was never deployed"), "{fault}");
}

#[tokio::test]
async fn of_two_runs_that_deploy_at_once_the_later_one_is_refused() {
    let world = World::double().await;
    world.build(&FIRST);
    world.as_double().state().s3.busy = usize::MAX;
    let fault = world.deploy("green", "v1").await.unwrap_err();
    assert_eq!(fault.treat, Treat::Temporary, "{fault}");
    world.as_double().state().s3.busy = 0;
    world.deploy("green", "v1").await.unwrap();
    world.switch("green").await;
}

#[tokio::test]
async fn a_site_that_is_listed_in_many_pages_is_whole() {
    let world = World::double().await;
    world.as_double().state().s3.page = Some(1);
    world.build(&FIRST);
    world.deploy("green", "v1").await.unwrap();
    let kept = world.as_double().state().s3.keys(BUCKET).iter().filter(|k| k.contains(".tidegate/")).count();
    assert!(kept > 4, "{kept}");
    assert_eq!(world.observe().await.sides[1].ready(), Ok(()));
}

#[tokio::test]
async fn more_pages_than_are_read_are_a_fault_and_not_a_part() {
    let world = World::double().await;
    world.as_double().state().s3.page = Some(1);
    for stray in 0..=100 {
        world.as_double().state().s3.put(BUCKET, &format!(".tidegate/stray-{stray}"), "nobody's");
    }
    let fault = world.target().observe(&double::within(60)).await.unwrap_err();
    assert!(fault.to_string().contains("more than 100 pages"), "{fault}");
}

#[tokio::test]
async fn what_is_served_has_its_acl_after_every_switch() {
    let mut world = World::double().await;
    world.options["acl"] = json!("public-read");
    world.as_double().state().s3.set_acl(BUCKET, "public-read");
    let served = |world: &World, at: &str| {
        let state = world.as_double().state();
        for key in state.s3.keys(BUCKET) {
            let own = if key.contains(".tidegate/") { "" } else { "public-read" };
            assert_eq!(state.s3.object(BUCKET, &key).unwrap().acl, own, "{at}: {key}");
        }
    };
    let world = world.with_first().await;
    served(&world, "forward");
    world.switch("blue").await;
    served(&world, "back");
}

#[tokio::test]
async fn a_bucket_without_acls_says_what_to_do() {
    let mut world = World::double().await;
    world.options["acl"] = json!("public-read");
    world.as_double().state().s3.set_enforced(BUCKET);
    world.build(&FIRST);
    let fault = world.deploy("green", "v1").await.unwrap_err();
    assert!(fault.hint.unwrap_or_default().contains("leave `acl` away"), "{}", fault.detail);
    assert_eq!(bodies(&world.live().await), BEFORE.into_iter().collect());
}
