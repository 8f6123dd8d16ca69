//! The workflows that tidegate ships, run: a dispatch with 10, then 50, then 100, what takes a release back, and what
//! goes on with one that waits. Each run is on a machine of its own and knows the others by the journal alone.

use std::fs;

use super::{
    demo::Demo,
    manifest::repository,
    postgres::Server,
    production::{HANGS, Production},
    runner::{Ended, Job, Step},
    workflow::{Event, Machine, Ran, Workflow},
    world::{BLUE_HAS_ALL, GREEN_HAS_A_TENTH, GREEN_HAS_ALL},
};

const DEPLOY: &str = ".github/workflows/deploy-production.yml";
const ROLLBACK: &str = ".github/workflows/rollback.yml";
const QUICK: &str = "stages: [10% for 1s, 100% for 1s]\nfinish: {recheck: [1s, 24h]}\n\
                     checks:\n  healthy: {target: instances, fail: below 50%}\n";

/// How a step is run where nothing happens to it.
fn plainly(_: &str, step: Step) -> Option<Ended> {
    Some(step.run())
}

/// A production on HAProxy, and the repository of the workflows that release to it.
struct Site {
    first: Job,
    production: Production,
}

impl Site {
    fn new(hangs_at: Option<&'static str>) -> Site {
        let first = Job::new();
        let production = Production::start(&first.workspace(), hangs_at);
        Site { first, production }
    }

    /// The checkout of a machine, which reaches the production by its socket.
    fn check_out(&self, job: &Job) {
        let socket = |job: &Job| job.workspace().join("haproxy.sock");
        if !socket(job).exists() {
            fs::hard_link(socket(&self.first), socket(job)).unwrap();
        }
        let config = self.production.config_on_github(QUICK);
        job.write("tidegate.yml", &config.replacen("    url:", "    deploy: {run: 'true'}\n    url:", 1));
    }

    fn run(&self, workflow: &Workflow, event: Event, given: &[(&str, &str)], job: &Job) -> Ran {
        let check_out = |job: &Job, _: &str| self.check_out(job);
        workflow.run(event, given, &Machine { job, check_out: &check_out, run: &plainly })
    }

    fn weights(&self) -> [u64; 2] {
        self.production.world.weights()
    }
}

#[test]
fn githubs_own_parser_takes_every_workflow() {
    let mut files = 0;
    for folder in [".github/workflows", "examples/workflows", "examples/ecs", "examples/lambda"] {
        for file in fs::read_dir(repository().join(folder)).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            if name != "tidegate.yml" {
                Workflow::of(&format!("{folder}/{name}")).parse();
                files += 1;
            }
        }
    }
    assert!(files > 10, "{files}");
}

#[test]
fn a_dispatch_with_10_then_50_then_100_takes_a_release_out() {
    let (demo, server) = (Demo::start(true), Server::start());
    server.psql("postgres", "create table orders (item text); insert into orders values ('lamp')");
    let mut job = Job::new();
    let github = job.github.clone();
    let check_out = |job: &Job, reference: &str| {
        assert_eq!(reference, "v2");
        demo.check_out(job, Some("{postgres: {url: {env: DATABASE_URL}}}"));
    };
    // Where the file names variables, the step of the copied workflow has them.
    let run = |_: &str, step: Step| Some(step.env("DATABASE_URL", &server.url("postgres")).run());
    for (file, percent) in [(DEPLOY, "10"), ("examples/workflows/deploy.yml", "50"), (DEPLOY, "100")] {
        const TIMES_MAX: usize = 20;
        let workflow = Workflow::of(file);
        let dispatched = || {
            job = job.later();
            let machine = Machine { job: &job, check_out: &check_out, run: &run };
            let given = [("rollout_percentage", percent), ("release", "v2")];
            workflow.run(Event::Dispatch, &given, &machine)
        };
        // On a busy machine the users may be too slow for one stage's time: then it is dispatched again.
        let ran = std::iter::repeat_with(dispatched).take(TIMES_MAX).find(|ran| {
            assert_eq!(ran.step("rollback").output("changed"), Some("none"));
            ran.step("rollout").code != 11
        });
        let ran = ran.expect("it has seen enough at last");
        assert!(!ran.failed, "{}", ran.step("rollout").said.text());
        let state = if percent == "100" { "finished" } else { "open" };
        assert_eq!((&*ran.outputs["state"], &*ran.outputs["verdict"]), (state, "pass"));
        assert_eq!(demo.green().to_string(), percent);
    }
    let state = github.state();
    let [(deployment, statuses)] = &state.news.deployments[..] else { panic!("one for all of the runs") };
    assert_eq!(deployment["environment"], "production");
    assert_eq!(statuses.last().unwrap()["state"], "success");
    assert_eq!(demo.seen().failures, 0);
}

#[test]
fn a_release_that_fails_fails_the_workflow_and_is_back() {
    let (demo, job) = (Demo::start(true), Job::new());
    let check_out = |job: &Job, _: &str| demo.check_out(job, None);
    let machine = Machine { job: &job, check_out: &check_out, run: &plainly };
    let dispatched = || Workflow::of(DEPLOY).run(Event::Dispatch, &[("release", "v3")], &machine);
    let ran = std::iter::repeat_with(dispatched).take(20).find(|ran| ran.step("rollout").code != 11).unwrap();
    assert_eq!((ran.step("rollout").code, ran.failed), (10, true), "{}", ran.step("rollout").said.text());
    assert_eq!((&*ran.outputs["state"], &*ran.outputs["verdict"]), ("rolled_back", "fail"));
    assert_eq!(ran.step("rollback").output("changed"), Some("none"), "it is back already");
    assert_eq!(demo.green(), 0.0);
    assert_eq!(job.github.state().news.deployments[0].1.last().unwrap()["state"], "failure");
}

#[test]
fn a_workflow_that_is_cancelled_in_the_middle_of_a_write_takes_it_back() {
    let site = Site::new(Some(HANGS));
    let check_out = |job: &Job, _: &str| site.check_out(job);
    let run = |command: &str, step: Step| match command {
        "rollout" => {
            let rollout = step.env("TIDEGATE_CALL_SECONDS", "3600").start();
            site.production.hung();
            assert_eq!(rollout.cancel().code, 130);
            None
        }
        _ => Some(step.env("TIDEGATE_CALL_SECONDS", "3").run()),
    };
    let machine = Machine { job: &site.first, check_out: &check_out, run: &run };
    let ran = Workflow::of(DEPLOY).run(Event::Dispatch, &[], &machine);
    assert_eq!(ran.commands(), ["rollback"]);
    let back = ran.step("rollback");
    assert_eq!(
        (back.code, back.output("state"), back.output("changed")),
        (0, Some("rolled_back"), Some("all"))
    );
    assert_eq!(site.weights(), BLUE_HAS_ALL);
    // Without an input the release is the commit.
    assert_eq!(back.output("release"), Some("6dcb09b5b57875f334f61aebed695e2e4193db5e"));
}

#[test]
fn a_hotfix_goes_straight_to_the_end_and_says_who_and_which_run() {
    let site = Site::new(None);
    let given = [("skip_canary", "true"), ("release", "v2")];
    let ran = site.run(&Workflow::of(DEPLOY), Event::Dispatch, &given, &site.first);
    assert!(!ran.failed, "{}", ran.step("rollout").said.text());
    assert_eq!(site.weights(), GREEN_HAS_ALL);
    let why = "octocat, https://github.com/acme/shop/actions/runs/4711";
    assert!(site.first.journal().iter().any(|record| record.contains(why)));
    assert!(
        ran.step("rollout")
            .summary
            .as_ref()
            .is_some_and(|page| page.contains("**HOTFIX past the gate: octocat")),
        "in bold on the page"
    );
}

#[test]
fn the_workflow_that_rolls_back_needs_nothing_but_the_journal() {
    let site = Site::new(None);
    let given = [("rollout_percentage", "10"), ("release", "v2")];
    assert!(!site.run(&Workflow::of(DEPLOY), Event::Dispatch, &given, &site.first).failed);
    assert_eq!(site.weights(), GREEN_HAS_A_TENTH);
    let later = site.first.later();
    let ran = site.run(&Workflow::of(ROLLBACK), Event::Dispatch, &[], &later);
    assert!(!ran.failed, "{}", ran.step("rollback").said.text());
    assert_eq!(ran.step("rollback").output("state"), Some("rolled_back"));
    assert_eq!(site.weights(), BLUE_HAS_ALL);
    let why = "octocat, https://github.com/acme/shop/actions/runs/4712";
    assert!(later.journal().iter().any(|record| record.contains(why)));
}

#[test]
fn after_a_finish_the_workflow_that_rolls_back_takes_the_version_to_go_back_to() {
    let site = Site::new(None);
    let mut job = site.first.later();
    for (release, weights) in [("v1", GREEN_HAS_ALL), ("v2", BLUE_HAS_ALL)] {
        let ran = site.run(&Workflow::of(DEPLOY), Event::Dispatch, &[("release", release)], &job);
        assert!(!ran.failed, "{}", ran.step("rollout").said.text());
        assert_eq!(site.weights(), weights);
        job = job.later();
    }
    let given = [("to", "v1"), ("reason", "it smells")];
    let rollback = Workflow::of("examples/workflows/rollback.yml");
    let ran = site.run(&rollback, Event::Dispatch, &given, &job);
    assert!(!ran.failed, "{}", ran.step("rollback").said.text());
    assert_eq!(site.weights(), GREEN_HAS_ALL);
    assert!(job.journal().iter().any(|record| record.contains("it smells")));
}

#[test]
fn a_release_that_waits_is_taken_on_by_the_schedule_and_asked_again() {
    let site = Site::new(None);
    // A job that has less time than a stage takes.
    let deploy = Workflow::of(DEPLOY).edited("timeout: 5h", "timeout: 1ms");
    let waits = site.run(&deploy, Event::Dispatch, &[("release", "v2")], &site.first);
    assert_eq!((&*waits.outputs["state"], waits.failed), ("waiting", false));
    assert_eq!(site.weights(), GREEN_HAS_A_TENTH);
    let tick = || {
        let job = site.first.later();
        let ran = site.run(&Workflow::of("examples/workflows/tick.yml"), Event::Schedule, &[], &job);
        assert!(!ran.failed, "{:?}", ran.steps);
        ran
    };
    let goes_on = tick();
    assert_eq!(goes_on.commands(), ["status", "rollout", "rollback"]);
    assert_eq!(goes_on.step("rollout").output("state"), Some("finished"));
    assert_eq!(site.weights(), GREEN_HAS_ALL);
    let asks_again = tick();
    assert_eq!(asks_again.commands(), ["status", "rollback", "verify-metrics"]);
    assert_eq!(asks_again.step("verify-metrics").output("release"), Some("v2"));
    assert_eq!(site.weights(), GREEN_HAS_ALL);
}

#[test]
fn a_release_that_somebody_holds_is_left_alone_by_the_schedule() {
    let site = Site::new(None);
    let given = [("rollout_percentage", "10"), ("release", "v2")];
    assert!(!site.run(&Workflow::of(DEPLOY), Event::Dispatch, &given, &site.first).failed);
    let job = site.first.later();
    let ran = site.run(&Workflow::of("examples/workflows/tick.yml"), Event::Schedule, &[], &job);
    assert_eq!((ran.commands(), ran.failed), (vec!["status", "rollout", "rollback"], false));
    assert_eq!(ran.step("rollout").output("changed"), Some("none"));
    assert_eq!(site.weights(), GREEN_HAS_A_TENTH);
}
