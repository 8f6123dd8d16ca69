//! Every trouble with every call of functions behind an alias.

use futures_util::future::join_all;
use std::{fmt::Write as _, sync::Arc};
use tidegate::{
    domain::{names::SideName, share::Share},
    port::{Change, Context, Fault, Target, Treat},
};

use super::{connect, double};
use crate::{
    double::{Double, hurried, within},
    proxy::{Proxy, Trouble, When},
    troubled::{World, each},
};

const FUNCTIONS: [&str; 2] = ["thumbs", "mail"];

/// Functions, and a folder with their package.
struct Functions {
    double: Double,
    options: String,
    folder: Arc<tempfile::TempDir>,
}

impl World for Functions {
    type Subject = dyn Target;

    fn copy(&self) -> Self {
        let (options, folder) = (self.options.clone(), self.folder.clone());
        Functions { double: self.double.copy(), options, folder }
    }

    fn url(&self) -> &str {
        &self.double.url
    }

    fn subject(&self, url: &str) -> Box<dyn Target> {
        connect(url, &self.options, self.folder.path())
    }

    /// What each function's alias says, without a version that gets nothing.
    fn places(&self) -> Vec<String> {
        let state = self.double.state();
        let of = |name: &String| {
            let (version, weights) = state.lambda.alias(name, "production");
            let most = weights.iter().filter(|(_, weight)| *weight > 0.0);
            match most.collect::<Vec<_>>().as_slice() {
                [(all, 1.0)] => format!("{all} []"),
                part => format!("{version} {part:?}"),
            }
        };
        state.lambda.functions.keys().map(of).collect()
    }

    /// Published versions.
    fn made(&self) -> usize {
        self.double.state().lambda.functions.values().map(|function| function.versions.len()).sum()
    }

    /// A deploy has longer than any call of it that hangs.
    fn pressed(&self) -> Context {
        hurried(200)
    }

    async fn state(&self) -> String {
        let (mut text, state) = (String::new(), self.double.state());
        for (name, function) in &state.lambda.functions {
            let _ = writeln!(text, "{name} {:?}", state.lambda.alias(name, "production"));
            for config in function.versions.iter().chain([&function.latest]) {
                let said = (&config.version, &config.sha256, &config.description, config.last_update);
                let _ = writeln!(text, "{said:?}");
            }
        }
        text
    }
}

/// The world after these changes.
async fn after(functions: &[&str], code: &str, changes: &[Change]) -> Functions {
    let options = format!("functions: [{}]{code}", functions.join(", "));
    let folder = Arc::new(tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("a.zip"), "v2").unwrap();
    let world = Functions { double: double(functions), options, folder };
    // an update of the code takes a while
    world.double.state().lambda.update_looks = 2;
    let target = world.subject(world.url());
    for change in changes {
        target.apply(&within(20), change).await.unwrap();
    }
    world
}

const ZIP: &str = ", zip: a.zip";

fn side(name: &str) -> SideName {
    SideName::new(name).unwrap()
}

fn v2(image: Option<&str>) -> Change {
    Change::Deploy {
        side: side("green"),
        release: "v2".parse().unwrap(),
        artifact: image.map(ToString::to_string),
    }
}

fn to_green(text: &str) -> Change {
    let share: Share = text.parse().unwrap();
    Change::Share([(side("green"), share), (side("blue"), share.rest())].into())
}

fn blue() -> Change {
    Change::Retire { side: side("blue") }
}

async fn done(target: &dyn Target, cx: &Context, change: &Change) -> Result<String, Fault> {
    target.apply(cx, change).await.map(|()| String::new())
}

/// Sets a share and reads it back.
async fn shifted(target: &dyn Target, cx: &Context, text: &str) -> Result<String, Fault> {
    target.apply(cx, &to_green(text)).await?;
    let split = target.split(cx).await?;
    assert_eq!(split[&side("green")], text.parse().unwrap());
    Ok(format!("{split:?}"))
}

#[tokio::test]
async fn a_package_is_sent_and_published_through_every_trouble_once() {
    let world = after(&FUNCTIONS[..1], ZIP, &[]).await;
    each(world, async |target, cx| done(target, cx, &v2(None)).await).await;
}

#[tokio::test]
async fn two_functions_are_published_through_every_trouble_once_each() {
    let world = after(&FUNCTIONS, ZIP, &[]).await;
    each(world, async |target, cx| done(target, cx, &v2(None)).await).await;
}

#[tokio::test]
async fn code_in_a_bucket_is_published_through_every_trouble_once() {
    let world = after(&FUNCTIONS[..1], ", s3: {bucket: b, key: jobs.zip}", &[]).await;
    each(world, async |target, cx| done(target, cx, &v2(None)).await).await;
}

#[tokio::test]
async fn an_image_is_published_through_every_trouble_once() {
    let world = after(&FUNCTIONS[..1], "", &[]).await;
    world.double.state().lambda.get("thumbs").latest.image = true;
    each(world, async |target, cx| done(target, cx, &v2(Some("ecr/thumbs:v2"))).await).await;
}

#[tokio::test]
async fn a_write_that_hangs_until_there_is_no_time_to_look_is_an_unknown_outcome() {
    let writes = ["UpdateFunctionCode", "PublishVersion", "UpdateAlias"];
    let cases = writes.map(|write| [(write, Trouble::Hang), (write, Trouble::HangAfter)]);
    join_all(cases.concat().into_iter().map(async |(operation, trouble)| {
        let world = after(&FUNCTIONS[..1], ZIP, &[]).await;
        let proxy = Proxy::start(world.url());
        proxy.plan(When::first("lambda", operation), trouble);
        let fault = world.subject(&proxy.url).apply(&hurried(20), &v2(None)).await.unwrap_err();
        assert_eq!(fault.treat, Treat::OutcomeUnknown, "{operation} and {trouble:?}: {fault}");
        assert_eq!(proxy.troubles(), [trouble]);
    }))
    .await;
}

#[tokio::test]
async fn a_first_share_comes_through_every_trouble() {
    let world = after(&FUNCTIONS, ZIP, &[v2(None)]).await;
    each(world, async |target, cx| shifted(target, cx, "10%").await).await;
}

#[tokio::test]
async fn all_of_the_traffic_goes_over_through_every_trouble() {
    let world = after(&FUNCTIONS, ZIP, &[v2(None), to_green("10%")]).await;
    each(world, async |target, cx| shifted(target, cx, "100%").await).await;
}

#[tokio::test]
async fn the_way_back_is_open_through_every_trouble() {
    for share in ["10%", "100%"] {
        let world = after(&FUNCTIONS, ZIP, &[v2(None), to_green(share)]).await;
        each(world, async |target, cx| shifted(target, cx, "0%").await).await;
    }
}

#[tokio::test]
async fn the_old_version_goes_through_every_trouble() {
    let world = after(&FUNCTIONS, ZIP, &[v2(None), to_green("100%")]).await;
    each(world, async |target, cx| done(target, cx, &blue()).await).await;
}

#[tokio::test]
async fn an_old_version_that_is_still_named_serves_again_through_every_trouble() {
    let world = after(&FUNCTIONS, ZIP, &[v2(None), to_green("100%")]).await;
    let revive = Change::Revive { side: side("blue") };
    each(world, async |target, cx| done(target, cx, &revive).await).await;
}

#[tokio::test]
async fn looking_tells_the_same_through_every_trouble() {
    let world = after(&FUNCTIONS, ZIP, &[v2(None), to_green("10%")]).await;
    each(world, async |target, cx| Ok(format!("{:?}", target.observe(cx).await?))).await;
    // one function has nothing new, and what it would publish is looked at, too
    let world = after(&FUNCTIONS, ", zip: {thumbs: a.zip, mail: m.zip}", &[]).await;
    std::fs::write(world.folder.path().join("m.zip"), "v1").unwrap();
    world.subject(world.url()).apply(&within(20), &v2(None)).await.unwrap();
    each(world, async |target, cx| Ok(format!("{:?}", target.observe(cx).await?))).await;
}

#[tokio::test]
async fn preflight_finds_the_same_through_every_trouble() {
    let world = after(&FUNCTIONS, ZIP, &[]).await;
    each(world, async |target, cx| Ok(format!("{:?}", target.preflight(cx).await))).await;
}
