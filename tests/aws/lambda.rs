//! Aliases of Lambda functions: the states a release goes through, and every trouble on the way.

mod trouble;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tidegate::{
    adapter::target::lambda::{Config, Lambda},
    document::{de::from_node, node::parse},
    domain::{
        names::SideName,
        observed::{Health, Observed},
        share::Share,
    },
    port::{Change, Clock, Context, Fault, Grade, Target, Treat, adapter::TargetAdapter, clock::SystemClock},
};

use crate::{
    double::{self, Double},
    moto::Moto,
    proxy::Proxy,
};

/// An adapter as a process has it, with a folder for its packages.
struct World {
    target: Box<dyn Target>,
    folder: tempfile::TempDir,
    /// A fresh one for every call, as the engine does it.
    context: Box<dyn Fn() -> Context>,
}

fn connect(url: &str, options: &str, folder: &Path) -> Box<dyn Target> {
    let text = format!("{{{options}, alias: production, aws: {{region: eu-west-1, endpoint: '{url}'}}}}");
    let config: Config = from_node(&parse(&text).unwrap(), "lambda").unwrap();
    Lambda::connect(config, &double::setting(folder)).unwrap()
}

/// A process has one clock, and the pace of its calls is reckoned on it.
fn on_one_clock(seconds: u64) -> Box<dyn Fn() -> Context> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    Box::new(move || Context::new(clock.clone(), Duration::from_secs(seconds)))
}

impl World {
    fn new(url: &str, options: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        World { target: connect(url, options, folder.path()), folder, context: on_one_clock(30) }
    }

    /// The build writes a package.
    fn built(&self, file: &str, code: &str) {
        std::fs::write(self.folder.path().join(file), code).unwrap();
    }

    async fn deploy(&self, side: &str, release: &str) -> Result<(), Fault> {
        let (side, release) = (SideName::new(side).unwrap(), release.parse().unwrap());
        self.target.apply(&(self.context)(), &Change::Deploy { side, release, artifact: None }).await
    }

    async fn deploy_image(&self, side: &str, image: &str) -> Result<(), Fault> {
        let (side, release) = (SideName::new(side).unwrap(), "v2".parse().unwrap());
        let artifact = Some(image.to_string());
        self.target.apply(&(self.context)(), &Change::Deploy { side, release, artifact }).await
    }

    async fn share(&self, side: &str, percent: &str) -> Result<(), Fault> {
        let share: Share = percent.parse().unwrap();
        let other = if side == "blue" { "green" } else { "blue" };
        let shares = [(side, share), (other, share.rest())];
        let shares = shares.map(|(name, share)| (SideName::new(name).unwrap(), share));
        self.target.apply(&(self.context)(), &Change::Share(shares.into())).await
    }

    async fn retire(&self, side: &str) -> Result<(), Fault> {
        self.target.apply(&(self.context)(), &Change::Retire { side: SideName::new(side).unwrap() }).await
    }

    async fn revive(&self, side: &str) -> Result<(), Fault> {
        self.target.apply(&(self.context)(), &Change::Revive { side: SideName::new(side).unwrap() }).await
    }

    async fn look(&self) -> Observed {
        self.target.observe(&(self.context)()).await.unwrap()
    }

    /// What green has, by the cheapest look.
    async fn green(&self) -> String {
        self.target.split(&(self.context)()).await.unwrap()[&SideName::new("green").unwrap()].to_string()
    }

    async fn findings(&self, grade: Grade) -> Vec<String> {
        let found = self.target.preflight(&(self.context)()).await;
        found.into_iter().filter(|f| f.grade == grade).map(|f| f.message).collect()
    }
}

/// A double with functions whose version 1 serves all traffic through `production`.
fn double(functions: &[&str]) -> Double {
    let double = Double::start();
    for name in functions {
        double.state().lambda.function(name, "v1", "production");
    }
    double
}

/// The alias' own version, and the additional one with its weight.
fn alias(double: &Double, name: &str) -> (String, Vec<(String, f64)>) {
    double.state().lambda.alias(name, "production")
}

fn shown(version: &str, additional: &[(&str, f64)]) -> (String, Vec<(String, f64)>) {
    (version.into(), additional.iter().map(|(version, weight)| (version.to_string(), *weight)).collect())
}

fn sides(observed: &Observed) -> Vec<(String, Option<String>, String, Vec<String>)> {
    let each = observed.sides.iter();
    each.map(|side| {
        let instances = side.instances.iter().map(|i| match &i.health {
            Health::Up => i.name.clone(),
            other => format!("{}: {other:?}", i.name),
        });
        (side.name.to_string(), side.version.clone(), side.share.to_string(), instances.collect())
    })
    .collect()
}

fn side(
    name: &str,
    version: Option<&str>,
    share: &str,
    instances: &[&str],
) -> (String, Option<String>, String, Vec<String>) {
    (name.into(), version.map(Into::into), share.into(), instances.iter().map(ToString::to_string).collect())
}

/// The runbook: 10 % for 10 minutes, then 100 %; then the old version goes out.
async fn canary(url: &str) {
    let world = World::new(url, "function: by-tidegate, zip: jobs.zip");
    let before = world.look().await;
    assert_eq!(
        sides(&before),
        [side("blue", Some("by-tidegate:1"), "100 %", &["by-tidegate:1"]), side("green", None, "0 %", &[])]
    );
    world.built("jobs.zip", "v2");
    world.deploy("green", "v2").await.unwrap();
    let up = world.look().await;
    assert_eq!(
        sides(&up),
        [
            side("blue", Some("by-tidegate:1"), "100 %", &["by-tidegate:1"]),
            side("green", Some("v2"), "0 %", &["by-tidegate:2"])
        ]
    );
    let labels = BTreeMap::from(
        [("functions", "by-tidegate"), ("alias", "production"), ("versions", "2")]
            .map(|(name, value)| (name.to_string(), value.to_string())),
    );
    assert_eq!(up.sides[1].labels, labels);
    for share in ["10%", "100%"] {
        world.share("green", share).await.unwrap();
        assert_eq!(world.green().await, share.replace('%', " %"));
    }
    world.retire("blue").await.unwrap();
    assert_eq!(
        sides(&world.look().await),
        [side("blue", None, "0 %", &[]), side("green", Some("v2"), "100 %", &["by-tidegate:2"])]
    );
    // doing it again is harmless
    world.retire("blue").await.unwrap();
    assert_eq!(world.green().await, "100 %");
}

#[tokio::test]
async fn a_canary_goes_from_nothing_over_ten_percent_to_all_in_the_double() {
    let double = double(&["by-tidegate"]);
    canary(&double.url).await;
    assert_eq!(alias(&double, "by-tidegate"), shown("2", &[]));
    assert_eq!(double.state().lambda.get("by-tidegate").versions.len(), 2);
}

fn by_hand(moto: &Moto, arguments: &[&str]) {
    moto.by_hand("compare_lambda.py", arguments);
}

#[tokio::test]
async fn every_state_equals_the_one_after_the_runbooks_own_commands() {
    let moto = Moto::start();
    let url = moto.url.as_str();
    by_hand(&moto, &["prepare"]);
    let world = World::new(url, "function: by-tidegate, zip: jobs.zip");
    world.built("jobs.zip", "v2");
    world.deploy("green", "v2").await.unwrap();
    world.share("green", "10%").await.unwrap();
    by_hand(&moto, &["canary", "v2"]);
    by_hand(&moto, &["compare"]);
    world.share("green", "100%").await.unwrap();
    world.retire("blue").await.unwrap();
    by_hand(&moto, &["all", "v2"]);
    by_hand(&moto, &["compare"]);
}

#[tokio::test]
async fn a_canary_goes_from_nothing_over_ten_percent_to_all_in_moto() {
    let moto = Moto::start();
    by_hand(&moto, &["prepare"]);
    canary(&moto.url).await;
}

#[tokio::test]
async fn the_next_release_takes_the_other_side_and_what_serves_never_loses_traffic() {
    let double = double(&["thumbs"]);
    let world = World::new(&double.url, "function: thumbs, zip: '{{release}}.zip'");
    for (release, side) in [("v2", "green"), ("v3", "blue"), ("v4", "green")] {
        world.built(&format!("{release}.zip"), release);
        world.deploy(side, release).await.unwrap();
        // not finished: the old version stays in the alias
        world.share(side, "100%").await.unwrap();
        let seen = world.look().await;
        let serving = seen.sides.iter().find(|s| s.share == Share::ALL).unwrap();
        assert_eq!((serving.name.as_str(), serving.version.as_deref()), (side, Some(release)));
    }
    assert_eq!(alias(&double, "thumbs"), shown("3", &[("4", 1.0)]));
    world.built("v5.zip", "v5");
    world.deploy("blue", "v5").await.unwrap();
    assert_eq!(alias(&double, "thumbs"), shown("5", &[("4", 1.0)]));
    world.share("blue", "10%").await.unwrap();
    assert_eq!(alias(&double, "thumbs"), shown("5", &[("4", 0.9)]));
    world.share("blue", "0%").await.unwrap();
    assert_eq!(alias(&double, "thumbs"), shown("5", &[("4", 1.0)]));
    world.retire("blue").await.unwrap();
    assert_eq!(alias(&double, "thumbs"), shown("4", &[]));
    assert_eq!(world.green().await, "100 %");
}

#[tokio::test]
async fn a_shift_asks_five_times_and_the_next_one_three_times() {
    let double = double(&["thumbs"]);
    let world = World::new(&double.url, "function: thumbs, zip: a.zip");
    world.built("a.zip", "v2");
    world.deploy("green", "v2").await.unwrap();
    let proxy = Proxy::start(&double.url);
    let world = World::new(&proxy.url, "function: thumbs");
    world.look().await;
    world.share("green", "10%").await.unwrap();
    assert_eq!(world.green().await, "10 %");
    let asked = |proxy: &Proxy| proxy.calls().iter().map(|c| c.operation.clone()).collect::<Vec<_>>();
    assert_eq!(
        asked(&proxy),
        ["GetAlias", "GetFunctionConfiguration", "GetFunctionConfiguration", "UpdateAlias", "GetAlias"]
    );
    proxy.forget();
    world.look().await;
    world.share("green", "50%").await.unwrap();
    assert_eq!(world.green().await, "50 %");
    assert_eq!(asked(&proxy), ["GetAlias", "UpdateAlias", "GetAlias"]);
    proxy.forget();
    world.look().await;
    world.share("green", "50%").await.unwrap();
    assert_eq!(asked(&proxy), ["GetAlias"], "what is as wanted is not written");
}

#[tokio::test]
async fn all_functions_move_together_and_those_that_do_not_are_named() {
    let double = double(&["thumbs", "mail"]);
    let world = World::new(&double.url, "functions: [thumbs, mail], zip: a.zip");
    world.built("a.zip", "v2");
    world.deploy("green", "v2").await.unwrap();
    let up = world.look().await;
    assert_eq!(up.sides[1].labels["functions"], "thumbs,mail");
    assert_eq!(up.sides[1].labels["versions"], "2,2");
    double.state().lambda.denied = vec!["mail".into()];
    let between = world.target.between(Share::NONE, "10%".parse().unwrap());
    let fault = world.share("green", "10%").await.unwrap_err();
    assert_eq!(fault.treat, Treat::OutcomeUnknown, "{fault}");
    assert!(fault.detail.contains("1 of 2 aliases were changed"), "{fault}");
    assert!(fault.detail.contains("AccessDeniedException"), "{fault}");
    let stuck = world.look().await;
    assert_eq!(stuck.sides[1].share.to_string(), "5 %");
    assert_eq!(between, [stuck.sides[1].share]);
    assert_eq!(stuck.notes, ["the functions differ in what green has: mail at 0 %, thumbs at 10 %"]);
    double.state().lambda.denied.clear();
    world.share("green", "10%").await.unwrap();
    assert_eq!(world.green().await, "10 %");
    assert!(world.look().await.notes.is_empty());
    assert_eq!(alias(&double, "mail"), alias(&double, "thumbs"));
}

#[tokio::test]
async fn a_function_with_nothing_new_stays_out_of_it() {
    let double = double(&["thumbs", "mail"]);
    let world = World::new(&double.url, "functions: [thumbs, mail], zip: {thumbs: t.zip, mail: m.zip}");
    world.built("t.zip", "v2");
    world.built("m.zip", "v1");
    world.deploy("green", "v2").await.unwrap();
    let up = world.look().await;
    assert_eq!(
        sides(&up)[1],
        side("green", Some("v2"), "0 %", &["thumbs:2"]),
        "mail has no version of its own there"
    );
    assert_eq!(up.notes, ["this release changes nothing of mail: one version serves both sides"]);
    world.share("green", "10%").await.unwrap();
    assert_eq!(world.green().await, "10 %");
    assert_eq!(alias(&double, "mail"), shown("1", &[]));
    world.share("green", "100%").await.unwrap();
    world.retire("blue").await.unwrap();
    assert_eq!(
        sides(&world.look().await)[1],
        side("green", Some("thumbs:2,mail:1"), "100 %", &["thumbs:2", "mail:1"])
    );
}

#[tokio::test]
async fn a_function_that_somebody_takes_back_alone_is_seen() {
    let double = double(&["thumbs", "mail"]);
    let world = World::new(&double.url, "functions: [thumbs, mail], zip: a.zip");
    world.built("a.zip", "v2");
    world.deploy("green", "v2").await.unwrap();
    world.share("green", "100%").await.unwrap();
    double.state().lambda.point("mail", "production", "1", &[]);
    let seen = world.look().await;
    assert_eq!(seen.sides[1].share.to_string(), "50 %");
    assert!(seen.sides[1].ready().unwrap_err().contains("mail is down"), "{:?}", seen.sides[1].ready());
    let fault = world.share("green", "50%").await.unwrap_err();
    assert!(fault.detail.contains("mail has no version on green; nothing was changed"), "{fault}");
    // the way back needs nothing of it
    world.look().await;
    world.share("green", "0%").await.unwrap();
    assert_eq!(world.green().await, "0 %");
}

/// A `finish` that was cut off between two aliases, or a hand at one of them.
#[tokio::test]
async fn a_function_that_is_through_before_the_others_is_never_taken_for_one_without_anything_new() {
    let double = double(&["thumbs", "mail"]);
    let world = World::new(&double.url, "functions: [thumbs, mail], zip: a.zip");
    world.built("a.zip", "v2");
    world.deploy("green", "v2").await.unwrap();
    world.share("green", "10%").await.unwrap();
    double.state().lambda.point("mail", "production", "2", &[]);
    let seen = world.look().await;
    assert!(!["0 %", "10 %", "100 %"].contains(&seen.sides[1].share.to_string().as_str()), "{seen:?}");
    double.state().lambda.point("mail", "production", "1", &[("2", 0.1)]);
    world.look().await;
    world.share("green", "100%").await.unwrap();
    double.state().lambda.point("thumbs", "production", "2", &[]);
    let seen = world.look().await;
    assert_eq!(seen.sides[1].share.to_string(), "100 %");
    assert!(seen.sides[0].ready().unwrap_err().contains("thumbs is down"), "{seen:?}");
    let (back, all) =
        (world.revive("blue").await.unwrap_err(), double.state().lambda.alias("mail", "production"));
    assert!(back.detail.contains("the alias of thumbs names no version of blue any more"), "{back}");
    world.look().await;
    world.share("green", "0%").await.unwrap_err();
    assert_eq!(double.state().lambda.alias("mail", "production"), all, "both are where they were");
    // what was cut off is gone on with
    world.look().await;
    world.retire("blue").await.unwrap();
    assert_eq!(double.state().lambda.alias("mail", "production"), ("2".into(), Vec::new()));
}

#[tokio::test]
async fn publishing_again_makes_no_second_version_and_nothing_new_is_said() {
    let double = double(&["thumbs"]);
    let world = World::new(&double.url, "function: thumbs, zip: a.zip");
    world.built("a.zip", "v1");
    let fault = world.deploy("green", "v2").await.unwrap_err();
    assert!(fault.detail.contains("there is nothing new"), "{fault}");
    assert_eq!(alias(&double, "thumbs"), shown("1", &[]));
    world.built("a.zip", "v2");
    for _ in 0..2 {
        world.deploy("green", "v2").await.unwrap();
        assert_eq!(alias(&double, "thumbs"), shown("1", &[("2", 0.0)]));
    }
    let versions = double.state().lambda.get("thumbs").versions.len();
    assert_eq!(versions, 2);
    let sent = double.operations("lambda").iter().filter(|o| *o == "UpdateFunctionCode").count();
    assert_eq!(sent, 1, "code that is there is not sent again");
    // taken back, mended, and deployed again over the first try
    world.built("a.zip", "v2, mended");
    world.deploy("green", "v2").await.unwrap();
    assert_eq!(alias(&double, "thumbs"), shown("1", &[("3", 0.0)]));
    let fault = world.deploy("blue", "v2").await.unwrap_err();
    assert!(fault.detail.contains("blue has traffic on thumbs; nothing was changed"), "{fault}");
}

#[tokio::test]
async fn code_comes_from_a_bucket_or_an_image_and_must_fit_the_function() {
    let double = double(&["thumbs", "mail"]);
    let world = World::new(&double.url, "function: thumbs, s3: {bucket: b, key: 'jobs/{{release}}.zip'}");
    world.deploy("green", "v2").await.unwrap();
    assert_eq!(alias(&double, "thumbs"), shown("1", &[("2", 0.0)]));
    let fault = world.deploy_image("green", "ecr/thumbs:v2").await.unwrap_err();
    assert!(fault.detail.contains("the service has an `image:`"), "{fault}");
    let world = World::new(&double.url, "function: mail");
    let fault = world.deploy("green", "v2").await.unwrap_err();
    assert!(fault.detail.contains("no code was given"), "{fault}");
    let fault = world.deploy_image("green", "ecr/mail:v2").await.unwrap_err();
    assert!(fault.detail.contains("mail runs from a package and was given an image"), "{fault}");
    double.state().lambda.get("mail").latest.image = true;
    world.deploy_image("green", "ecr/mail:v2").await.unwrap();
    assert_eq!(alias(&double, "mail"), shown("1", &[("2", 0.0)]));
}

#[tokio::test]
async fn another_tool_may_publish() {
    let double = double(&["thumbs"]);
    let world = World::new(&double.url, "function: thumbs");
    let two = double.state().lambda.publish_by_hand("thumbs", "v2");
    double.state().lambda.point("thumbs", "production", "1", &[(&two, 0.0)]);
    world.deploy("green", "v2").await.unwrap();
    world.share("green", "10%").await.unwrap();
    assert_eq!(alias(&double, "thumbs"), shown("1", &[("2", 0.1)]));
}

#[tokio::test]
async fn a_deploy_waits_for_the_update_and_tells_why_it_failed() {
    let double = double(&["thumbs"]);
    let world = World::new(&double.url, "function: thumbs, zip: a.zip");
    world.built("a.zip", "v2");
    double.state().lambda.update_looks = 3;
    double.state().lambda.update_fails = Some("The image does not exist.".into());
    let fault = world.deploy("green", "v2").await.unwrap_err();
    assert!(fault.detail.contains("its last update failed: The image does not exist."), "{fault}");
    assert_eq!(alias(&double, "thumbs"), shown("1", &[]));
    double.state().lambda.update_fails = None;
    double.state().lambda.pending_looks = 2;
    world.deploy("green", "v2").await.unwrap();
    let pending = world.look().await;
    assert!(pending.sides[1].ready().unwrap_err().contains("Pending: The function is being created"));
    world.look().await;
    assert_eq!(world.look().await.sides[1].ready(), Ok(()));
}

#[tokio::test]
async fn a_write_between_look_and_shift_is_never_overwritten() {
    let double = double(&["thumbs"]);
    let world = World::new(&double.url, "function: thumbs, zip: a.zip");
    world.built("a.zip", "v2");
    world.deploy("green", "v2").await.unwrap();
    world.look().await;
    double.state().lambda.point("thumbs", "production", "2", &[("1", 0.3)]);
    let fault = world.share("green", "10%").await.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent, "{fault}");
    assert!(fault.detail.contains("changed meanwhile: version 2 with 70 %, version 1 with 30 %"), "{fault}");
    assert_eq!(alias(&double, "thumbs"), shown("2", &[("1", 0.3)]));
    // somebody touched the alias without moving traffic
    double.state().lambda.point("thumbs", "production", "1", &[("2", 0.0)]);
    world.look().await;
    double.state().lambda.point("thumbs", "production", "1", &[("2", 0.0)]);
    let fault = world.share("green", "10%").await.unwrap_err();
    assert_eq!(fault.treat, Treat::Temporary, "{fault}");
    assert!(fault.detail.contains("nothing was done"), "{fault}");
    world.share("green", "10%").await.unwrap();
    assert_eq!(alias(&double, "thumbs"), shown("1", &[("2", 0.1)]));
}

#[tokio::test]
async fn preflight_finds_what_would_make_weights_impossible() {
    let double = double(&["thumbs"]);
    let world = World::new(&double.url, "function: thumbs, zip: a.zip");
    let refused = world.findings(Grade::Refuse).await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].starts_with("zip: a.zip: No such file"), "{refused:?}");
    world.built("a.zip", "v2");
    assert!(world.findings(Grade::Refuse).await.is_empty());
    assert_eq!(
        world.findings(Grade::Ok).await,
        ["thumbs: version 1 with all traffic", "zip: a.zip has 2 bytes"]
    );
    assert!(world.findings(Grade::Unknown).await[0].contains("lambda:UpdateAlias, UpdateFunctionCode"));
    let reads = double.operations("lambda").into_iter().filter(|o| !o.starts_with("Get")).count();
    assert_eq!(reads, 0, "looking changes nothing");

    let refused_after = async |change: fn(&mut Double)| {
        let mut double = self::double(&["thumbs"]);
        change(&mut double);
        let world = World::new(&double.url, "function: thumbs, zip: a.zip");
        world.built("a.zip", "v2");
        world.findings(Grade::Refuse).await.join("; ")
    };
    let cases: [(fn(&mut Double), &str); 7] = [
        (|d| d.state().lambda.point("thumbs", "production", "$LATEST", &[]), "points to $LATEST"),
        (
            |d| d.state().lambda.get("thumbs").latest.role = "arn:aws:iam::1:role/b".into(),
            "the execution role",
        ),
        (
            |d| d.state().lambda.get("thumbs").latest.dead_letters = Some("arn:q".into()),
            "the dead-letter target",
        ),
        (|d| d.state().lambda.get("thumbs").provisioned.push("production".into()), "provisioned concurrency"),
        (|d| d.state().lambda.get("thumbs").latest.image = true, "runs from an image"),
        (
            |d| d.state().lambda.get("thumbs").aliases.clear(),
            "aws lambda create-alias --function-name thumbs",
        ),
        (
            |d| {
                let two = d.state().lambda.publish_by_hand("thumbs", "other");
                d.state().lambda.point("thumbs", "production", "1", &[(&two, 0.2)]);
            },
            "split already (version 2 has 20 %)",
        ),
    ];
    for (change, why) in cases {
        let refused = refused_after(change).await;
        assert!(refused.contains(why), "{why}: {refused}");
    }
}

#[tokio::test]
async fn the_double_refuses_what_aws_refuses() {
    let double = double(&["thumbs"]);
    let world = World::new(&double.url, "function: thumbs, zip: a.zip");
    world.built("a.zip", "v2");
    // the candidate would run as somebody else
    double.state().lambda.get("thumbs").latest.role = "arn:aws:iam::123456789012:role/other".into();
    let fault = world.deploy("green", "v2").await.unwrap_err();
    assert!(fault.detail.contains("the same execution role"), "{fault}");
    assert_eq!(alias(&double, "thumbs"), shown("1", &[]));
}

#[tokio::test]
async fn many_aliases_move_under_a_throttle_without_an_error() {
    // `scripts/bench_aws` asks for more of them, under a throttle as narrow as a real one.
    let asked = |name: &str, usual: f64| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let (aliases, rate) = (asked("TIDEGATE_ALIASES", 40.0), asked("TIDEGATE_ALIASES_RATE", 40.0));
    let burst = rate.min(10.0) / 2.0;
    let names: Vec<String> = (0..aliases as usize).map(|n| format!("job-{n}")).collect();
    let double = Double::start();
    for name in &names {
        let lambda = &mut double.state().lambda;
        lambda.function(name, "v1", "production");
        let two = lambda.publish_by_hand(name, "v2");
        lambda.point(name, "production", "1", &[(&two, 0.0)]);
    }
    let proxy = Proxy::start(&double.url);
    proxy.throttle(rate, burst);
    let mut world = World::new(&proxy.url, &format!("functions: [{}]", names.join(", ")));
    world.context = on_one_clock(world.target.pace().call.as_secs());
    let clock = SystemClock::default();
    world.look().await;
    world.share("green", "10%").await.unwrap();
    assert_eq!(world.green().await, "10 %");
    let calls = proxy.calls();
    let refused = calls.iter().filter(|c| c.status == 429 || c.status == 400).count();
    assert_eq!(calls.len() - refused, 5 * names.len(), "five calls each");
    assert!(refused > 0 && refused < calls.len() / 2, "{refused} were refused");
    let (took, least) = (clock.elapsed().as_secs_f64(), ((5.0 * aliases) - burst) / rate);
    println!(
        "{aliases} aliases in {took:.1} s, least {least:.1} s: {:.3} times; {refused} refused",
        took / least
    );
}
