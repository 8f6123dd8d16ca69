//! Every trouble with every call of a site that is switched as a whole.

use std::{collections::BTreeSet, fmt::Write as _, rc::Rc};
use tidegate::{
    domain::share::Share,
    port::{Change, Context, Fault, Target, Treat},
};

use super::world::{self, BUCKET, FIRST, deployed, name, switched};
use crate::{
    double::{self, Double},
    troubled::{World, each},
};

/// What a person had put there.
const HAND: [(&str, &str); 2] = [("index.html", "by hand"), ("favicon.ico", "icon")];
const ONE: [(&str, &str); 3] =
    [("index.html", "1 names app-1"), ("about.html", "about 1"), ("assets/app-1a1b2c3d.js", "app 1")];
const TWO: [(&str, &str); 3] =
    [("index.html", "2 names app-2"), ("news.html", "news 2"), ("assets/app-2a1b2c3d.js", "app 2")];

/// A site, and the folder that the last build wrote.
struct Site {
    double: Double,
    made: Rc<world::World>,
}

impl World for Site {
    type Subject = dyn Target;

    fn copy(&self) -> Self {
        Site { double: self.double.copy(), made: self.made.clone() }
    }

    fn url(&self) -> &str {
        &self.double.url
    }

    fn subject(&self, url: &str) -> Box<dyn Target> {
        self.made.target_at(url)
    }

    /// Each file as it is live. The page that names the others is there after them.
    fn places(&self) -> Vec<String> {
        let state = self.double.state();
        let body = |name: &str| {
            let object = state.s3.object(BUCKET, name);
            object.map_or("none".into(), |object| String::from_utf8(object.body.clone()).unwrap())
        };
        let page = body("index.html");
        for files in [&ONE, &TWO] {
            if page == files[0].1 {
                assert!(files[1..].iter().all(|(name, text)| body(name) == *text), "{page}");
            }
        }
        let all: BTreeSet<&str> = HAND.iter().chain(&ONE).chain(&TWO).map(|(name, _)| *name).collect();
        all.into_iter().map(|name| format!("{name}: {}", body(name))).collect()
    }

    /// Invalidations.
    fn made(&self) -> usize {
        self.double.state().cloudfront.invalidations.len()
    }

    async fn state(&self) -> String {
        let (mut text, state) = (String::new(), self.double.state());
        for key in state.s3.keys(BUCKET) {
            let object = state.s3.object(BUCKET, &key).unwrap();
            if let Ok(mut recorded) = serde_json::from_slice::<serde_json::Value>(&object.body) {
                // made up for each switch
                if let Some(id) = recorded.pointer_mut("/switch/id") {
                    id.take();
                }
                let _ = writeln!(text, "{key}: {recorded}");
                continue;
            }
            let body = String::from_utf8(object.body.clone()).unwrap();
            let _ = writeln!(text, "{key}: {body} {:?}", object.headers);
        }
        for made in &state.cloudfront.invalidations {
            let _ = writeln!(text, "{} {:?} {}", made.id, made.paths, made.left);
        }
        text
    }
}

/// A site in which `releases` were deployed and switched to, one after the other.
async fn after(releases: &[&[(&str, &str)]]) -> Site {
    let world = world::World::empty().await;
    for (name, body) in HAND {
        world.put(name, body).await;
    }
    // an invalidation takes a while
    world.as_double().state().cloudfront.looks = 1;
    for (n, files) in releases.iter().enumerate() {
        let side = ["green", "blue"][n % 2];
        world.build(files);
        world.deploy(side, &format!("v{}", n + 1)).await.unwrap();
        world.switch(side).await;
    }
    Site { double: world.as_double().copy(), made: Rc::new(world) }
}

/// The same, with a further release deployed.
async fn with_candidate(releases: &[&[(&str, &str)]], side: &str, files: &[(&str, &str)]) -> Site {
    let site = after(releases).await;
    site.made.build(files);
    done(site.subject(site.url()).as_ref(), &double::within(20), &deployed(side, "new")).await.unwrap();
    site
}

async fn done(target: &dyn Target, cx: &Context, change: &Change) -> Result<String, Fault> {
    target.apply(cx, change).await.map(|()| String::new())
}

/// Switches, and looks until it is true.
async fn over(target: &dyn Target, cx: &Context, side: &str) -> Result<String, Fault> {
    target.apply(cx, &switched(side)).await?;
    for _ in 0..20 {
        let split = target.split(cx).await?;
        if split[&name(side)] == Share::ALL {
            return Ok(format!("{split:?}"));
        }
    }
    panic!("{side} never gets all");
}

#[tokio::test]
async fn a_first_deploy_keeps_what_is_live_through_every_trouble() {
    let site = after(&[]).await;
    site.made.build(&ONE);
    each(site, async |target, cx| done(target, cx, &deployed("green", "new")).await).await;
}

#[tokio::test]
async fn a_deploy_over_an_older_one_comes_through_every_trouble() {
    let site = after(&[&TWO, &ONE]).await;
    site.made.build(&ONE);
    each(site, async |target, cx| done(target, cx, &deployed("green", "new")).await).await;
}

#[tokio::test]
async fn an_asset_of_somebody_else_s_upload_is_read_through_every_trouble() {
    let site = after(&[]).await;
    site.made.build(&ONE);
    site.double.state().s3.put(BUCKET, ONE[2].0, ONE[2].1);
    each(site, async |target, cx| done(target, cx, &deployed("green", "new")).await).await;
}

#[tokio::test]
async fn a_switch_comes_through_every_trouble_with_one_invalidation() {
    let site = with_candidate(&[&ONE], "blue", &TWO).await;
    each(site, async |target, cx| over(target, cx, "blue").await).await;
}

#[tokio::test]
async fn the_way_back_is_open_through_every_trouble() {
    each(after(&[&ONE, &TWO]).await, async |target, cx| over(target, cx, "green").await).await;
}

#[tokio::test]
async fn the_way_back_to_what_a_person_had_put_there_is_open_through_every_trouble() {
    each(after(&[&ONE]).await, async |target, cx| over(target, cx, "blue").await).await;
}

#[tokio::test]
async fn looking_tells_the_same_through_every_trouble() {
    let site = with_candidate(&[&ONE], "blue", &TWO).await;
    each(site, async |target, cx| Ok(format!("{:?}", target.observe(cx).await?))).await;
}

#[tokio::test]
async fn preflight_finds_the_same_through_every_trouble() {
    let site = after(&[&ONE]).await;
    each(site, async |target, cx| Ok(format!("{:?}", target.preflight(cx).await))).await;
}

#[tokio::test]
async fn a_lack_of_permission_is_told_by_what_iam_calls_it() {
    for (denied, named) in [
        ("s3:HeadObject", "s3:GetObject"),
        ("s3:CopyObject", "s3:PutObject"),
        ("cloudfront:CreateInvalidation", "cloudfront:CreateInvalidation"),
    ] {
        let world = world::World::double().await;
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
    let mut world = world::World::double().await;
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
