//! A release tells GitHub how it goes, by the real binary.

use serde_json::{Value, json};

use crate::{
    double::{Double, Op, TOKEN, Trouble},
    stage::{Ran, Stage},
};

const CONFIG: &str = "stages: [10% for 1s, 50% for 1s, 100% for 1s]
checks: {healthy: {target: instances, fail: below 50%}}
finish: {keep_old: 0s}
notify: {ticket: {github_issue: {labels: [incident, release]}}}
";

struct World {
    double: Double,
    stage: Stage,
}

impl World {
    async fn make(config: &str) -> World {
        let (double, stage) = (Double::start(), Stage::set(config).await);
        std::fs::write(stage.path("page.md"), "").unwrap();
        std::fs::write(stage.path("outputs"), "").unwrap();
        World { double, stage }
    }

    /// As a step of a job, whose log is GitHub's.
    async fn run(&self, arguments: &str) -> Ran {
        let path = |name: &str| self.stage.path(name).display().to_string();
        let mut variables = self.double.environment();
        let more = [
            ("GITHUB_SHA", "c0ffee".to_string()),
            ("GITHUB_RUN_ID", "42".into()),
            ("GITHUB_SERVER_URL", "https://github.com".into()),
            ("GITHUB_ACTOR", "octocat".into()),
            ("GITHUB_WORKSPACE", self.stage.folder().display().to_string()),
            ("GITHUB_OUTPUT", path("outputs")),
            ("GITHUB_STEP_SUMMARY", path("page.md")),
            ("TIDEGATE_DEPLOYMENT", "tidegate".into()),
            ("TIDEGATE_CALL_SECONDS", "3".into()),
        ];
        variables.extend(more.map(|(name, value)| (name.to_string(), value)));
        let ran = self.stage.run_with("42.1", arguments, &variables).await;
        // the runner takes what it is to hide from these lines and shows none of them
        let shown = ran
            .text()
            .lines()
            .filter(|line| !line.starts_with("::add-mask::"))
            .collect::<Vec<_>>()
            .join("\n");
        assert!(!shown.contains(TOKEN), "{shown}");
        assert!(ran.err.contains(&format!("::add-mask::{TOKEN}\n")), "{}", ran.err);
        ran
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.stage.path(name)).unwrap()
    }

    /// The last value of an output.
    fn output(&self, name: &str) -> String {
        let text = self.file("outputs");
        let (_, rest) = text.rsplit_once(&format!("{name}<<tidegate_")).unwrap();
        rest.lines().nth(1).unwrap().to_string()
    }

    fn statuses(&self) -> Vec<Vec<String>> {
        let text = |status: &Value| format!("{} {}", status["state"], status["description"]).replace('"', "");
        self.double.state().news.deployments.iter().map(|(_, all)| all.iter().map(text).collect()).collect()
    }
}

#[tokio::test]
async fn a_deployment_is_of_the_release_and_of_the_runs_commit_only_where_that_is_no_tag() {
    for (no_refs, wanted) in [(vec![], "v1"), (vec!["v1".to_string()], "c0ffee")] {
        let world = World::make(CONFIG).await;
        world.double.state().news.no_refs = no_refs;
        world.run("rollout --release v1").await.ends(0);
        let state = world.double.state();
        let [(deployment, _)] = &state.news.deployments[..] else { panic!("one deployment") };
        assert_eq!(deployment["ref"], wanted);
    }
}

#[tokio::test]
async fn a_rollout_is_a_deployment_whose_statuses_are_its_stages() {
    let world = World::make(CONFIG).await;
    world.double.state().news.approvals =
        [("ada", "approved"), ("bob", "rejected"), ("cyd", "approved"), ("ada", "approved")]
            .map(|(login, state)| (login.to_string(), state.to_string()))
            .into();
    world.run("rollout --release v1").await.ends(0);
    let all = world.statuses();
    let [statuses] = &all[..] else { panic!("{all:?}") };
    let begin: Vec<&str> = statuses.iter().map(String::as_str).collect();
    assert_eq!(
        begin[1..4],
        ["in_progress at web 10 %", "in_progress at web 50 %", "in_progress at web 100 %"]
    );
    assert!(begin[0].starts_with("in_progress v1#") && begin[4].starts_with("success "), "{begin:?}");
    assert_eq!(begin.len(), 5, "{begin:?}");
    assert_eq!(world.output("deployment-id"), "100");
    assert_eq!(world.output("report-path"), ".tidegate/report/rollout.md");
    let page = world.file("page.md");
    assert_eq!(world.file(".tidegate/report/rollout.md"), page);
    assert!(page.contains("Approved by **ada, cyd**"), "{page}");
    assert!(world.double.state().news.issues.is_empty());
}

#[tokio::test]
async fn jobs_that_share_nothing_but_the_journal_tell_one_deployment() {
    let world = World::make(CONFIG).await;
    for command in ["deploy", "shift-traffic --to 10", "verify-metrics", "shift-traffic --to 50", "rollback"]
    {
        world.run(&format!("{command} --release v1")).await.ends(0);
    }
    let all = world.statuses();
    let [statuses] = &all[..] else { panic!("{all:?}") };
    let states: Vec<&str> = statuses.iter().map(|s| s.split(' ').next().unwrap()).collect();
    assert_eq!(states, ["in_progress", "in_progress", "in_progress", "failure"], "{statuses:?}");
}

#[tokio::test]
async fn a_rollback_opens_an_incident_with_the_timeline_and_what_to_fill_in() {
    let world = World::make(CONFIG).await;
    world.run("rollout --release v1 --to 50").await.ends(0);
    let ran = world.run("rollback --reason 'too_many_<b>errors</b>'").await.ends(0);
    assert!(ran.text().contains("ticket: https://github.com/acme/shop/issues/1"), "{}", ran.text());
    {
        let state = world.double.state();
        let [(issue, _)] = &state.news.issues[..] else { panic!("{:?}", state.news.issues) };
        let body = issue["body"].as_str().unwrap();
        for part in ["xychart-beta", "Post-mortem (draft)", "all traffic is at the baseline"] {
            assert!(body.contains(part), "no {part} in {body}");
        }
        assert!(!body.contains("<b>errors"), "{body}");
        assert_eq!(issue["labels"], json!([{"name": "incident"}, {"name": "release"}]));
    }
    // Nothing new, so nothing is told again.
    world.run("rollback").await.ends(0);
    assert_eq!(world.double.state().news.issues.len(), 1);
    assert!(world.double.state().news.issues[0].1.is_empty());
}

#[tokio::test]
async fn github_that_does_not_hear_changes_no_result() {
    let world = World::make(CONFIG).await;
    for op in [Op::Deployments, Op::Approvals] {
        world.double.times(op, usize::MAX, Trouble::Internal);
    }
    let ran = world.run("rollout --release v1").await.ends(0);
    assert!(ran.text().contains("deployment was not told: "), "{}", ran.text());
    assert_eq!(world.stage.green().await, 100.0);
    assert_eq!(world.output("deployment-id"), "");
}

#[tokio::test]
async fn a_dry_run_tells_nobody() {
    let world = World::make(CONFIG).await;
    let ran = world.run("rollout --release v1 --dry-run").await;
    assert!(world.statuses().is_empty(), "{}", ran.text());
    let asked = world.double.ops();
    assert!(!asked.iter().any(|op| matches!(op, Op::Deployments | Op::Deploy | Op::AddStatus)), "{asked:?}");
}
