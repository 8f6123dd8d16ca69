//! The demo's releases, driven only through the steps of the actions, as a workflow would drive them. The journal is
//! where GitHub Actions have it: on a branch of the repository.

use super::{
    demo::Demo,
    postgres::Server,
    runner::{Ended, Job},
};

/// A step with `uses:` and `with:`.
fn step(job: &Job, command: &str, with: &[(&str, &str)]) -> Ended {
    with.iter().fold(job.step(command), |step, (name, value)| step.with(name, value)).run()
}

/// Runs a step that watches until it has seen enough: on a busy machine the users may be too slow for one stage's
/// time, and each time goes on where the last one ended.
fn watching(run: impl Fn() -> Ended) -> Ended {
    const TIMES_MAX: usize = 20;
    let mut runs = (0..TIMES_MAX).map(|_| run());
    runs.find(|ended| ended.code != 11).expect("it has seen enough at last")
}

/// The step that always runs at the end of a job.
fn back(job: &Job) -> Ended {
    step(job, "rollback", &[("if", "needed")])
}

/// Everything before the first traffic.
fn bring_up(job: &Job, release: &str) {
    for command in ["snapshot-db", "migrate", "deploy", "smoke-test"] {
        step(job, command, &[("release", release)]).ends(0);
    }
}

#[test]
fn a_good_release_goes_out_step_by_step() {
    let (demo, job) = (Demo::start(true), Job::new());
    demo.check_out(&job, None);
    step(&job, "preflight", &[("release", "v2")]).ends(0);
    bring_up(&job, "v2");
    assert_eq!(demo.green(), 0.0);
    for percent in ["10", "50", "100"] {
        let shifted = step(&job, "shift-traffic", &[("release", "v2"), ("to", percent)]).ends(0);
        assert_eq!(shifted.output("split"), Some(&*format!("web={percent}")));
        assert_eq!(demo.green().to_string(), percent);
        let judged = watching(|| step(&job, "verify-metrics", &[("release", "v2")])).ends(0);
        assert_eq!(judged.output("verdict"), Some("pass"));
        let line = judged.summary.unwrap_or_default();
        assert!(
            line.starts_with("✅ **tidegate verify-metrics**") && line.trim().lines().count() == 1,
            "{line}"
        );
    }
    let finished = step(&job, "finish", &[("release", "v2")]).ends(0);
    assert_eq!((finished.output("state"), finished.output("release")), (Some("finished"), Some("v2")));
    assert!(
        finished.summary.as_ref().is_some_and(|page| page.contains("### Checks")),
        "the one page of the job"
    );
    assert_eq!(back(&job).ends(0).output("changed"), Some("none"));
    assert_eq!(demo.green(), 100.0);
    let seen = demo.seen();
    assert_eq!(seen.failures, 0, "{seen:?}");
    assert!(seen.versions["v2"].responses > 0 && seen.versions.values().all(|v| v.errors == 0), "{seen:?}");
    assert_eq!(job.litter(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn a_bad_release_fails_its_step_and_the_step_that_always_runs_takes_it_back() {
    let (demo, job) = (Demo::start(true), Job::new());
    demo.check_out(&job, None);
    bring_up(&job, "v3");
    step(&job, "shift-traffic", &[("release", "v3"), ("to", "10")]).ends(0);
    let judged = watching(|| step(&job, "verify-metrics", &[("release", "v3")])).ends(10);
    assert_eq!(judged.output("verdict"), Some("fail"));
    assert!(judged.commands().iter().any(|command| command.name == "error"), "{}", judged.said.text());
    assert_eq!(demo.green(), 10.0, "the step that judges moves nothing");
    let rolled_back = back(&job).ends(0);
    assert_eq!(
        (rolled_back.output("state"), rolled_back.output("changed")),
        (Some("rolled_back"), Some("all"))
    );
    assert_eq!(demo.green(), 0.0);
    assert_eq!(demo.seen().failures, 0);
}

#[test]
fn a_workflow_that_is_dispatched_with_10_then_50_then_100_goes_on_by_the_journal_alone() {
    let (demo, server) = (Demo::start(true), Server::start());
    server.psql("postgres", "create table orders (item text); insert into orders values ('lamp')");
    let mut job = Job::new();
    for percent in ["10", "50", "100"] {
        demo.check_out(&job, Some("{postgres: {url: {env: DATABASE_URL}}}"));
        let rollout = || {
            let step = job.step("rollout").with("rollout-percentage", percent).with("release", "v2");
            step.env("DATABASE_URL", &server.url("postgres")).run()
        };
        let rollout = watching(rollout).ends(0);
        assert_eq!(rollout.output("split"), Some(&*format!("web={percent}")), "{}", rollout.said.text());
        assert_eq!(demo.green().to_string(), percent);
        let state = if percent == "100" { "finished" } else { "open" };
        assert_eq!(rollout.output("state"), Some(state));
        // The last step of each of them.
        let back = job.step("rollback").with("if", "needed").env("DATABASE_URL", &server.url("postgres"));
        assert_eq!(back.run().ends(0).output("changed"), Some("none"));
        assert_eq!(demo.green().to_string(), percent);
        // On another machine: nothing of this one's folders is there.
        job = job.later();
    }
    assert_eq!(demo.seen().failures, 0);
}

/// A release of v2 at 10 %, with nobody watching.
fn at_a_tenth() -> (Demo, Job) {
    let (demo, job) = (Demo::start(false), Job::new());
    demo.check_out(&job, None);
    bring_up(&job, "v2");
    step(&job, "shift-traffic", &[("release", "v2"), ("to", "10")]).ends(0);
    (demo, job)
}

/// The step that always runs finds nothing to do, writes nothing, and says so.
#[track_caller]
fn nothing_to_take_back(demo: &Demo, job: &Job) {
    let before = job.journal();
    let ended = back(job).ends(0);
    assert_eq!(ended.output("changed"), Some("none"), "{}", ended.said.text());
    assert!(
        ended.output("sentence").unwrap().contains("no rollback is needed"),
        "{:?}",
        ended.output("sentence")
    );
    assert_eq!(job.journal(), before);
    assert_eq!(demo.green(), 10.0);
}

#[test]
fn nothing_is_taken_back_after_a_verdict_that_had_too_little_to_go_by() {
    let (demo, job) = at_a_tenth();
    step(&job, "verify-metrics", &[("release", "v2"), ("for", "1s")]).ends(11);
    nothing_to_take_back(&demo, &job);
}

#[test]
fn nothing_is_taken_back_after_finding_that_the_release_is_anothers() {
    let (demo, job) = at_a_tenth();
    let later = job.later();
    demo.check_out(&later, None);
    step(&later, "deploy", &[("release", "v3")]).ends(13);
    nothing_to_take_back(&demo, &later);
}

#[test]
fn nothing_is_taken_back_after_finding_nobody_there() {
    let (demo, job) = at_a_tenth();
    demo.unreachable(true);
    step(&job, "shift-traffic", &[("release", "v2"), ("to", "10")]).ends(14);
    demo.unreachable(false);
    nothing_to_take_back(&demo, &job);
}

#[test]
fn nothing_is_taken_back_after_the_gate_was_shut() {
    let (demo, job) = at_a_tenth();
    step(&job, "shift-traffic", &[("release", "v2"), ("to", "50")]).ends(15);
    nothing_to_take_back(&demo, &job);
}
