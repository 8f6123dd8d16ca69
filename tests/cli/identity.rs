//! Who did it: the run, its attempt and its job, as each CI system tells them.

use serde_json::Value;

use crate::stage::{Ran, Stage};

const GITHUB: [(&str, &str); 6] = [
    ("GITHUB_RUN_ID", "77"),
    ("GITHUB_RUN_ATTEMPT", "2"),
    ("GITHUB_JOB", "deploy"),
    ("GITHUB_ACTOR", "octocat"),
    ("GITHUB_SERVER_URL", "https://github.com"),
    ("GITHUB_REPOSITORY", "acme/shop"),
];

/// Runs a command where only these say what runs it.
async fn run(stage: &Stage, arguments: &str, variables: &[(&str, &str)]) -> Ran {
    let variables = [("TIDEGATE_RUN", "")].iter().chain(variables);
    let variables: Vec<_> =
        variables.map(|(name, text)| ((*name).to_string(), (*text).to_string())).collect();
    stage.run_with("", arguments, &variables).await
}

#[tokio::test]
async fn the_journal_names_run_attempt_job_and_log() {
    let gitlab = [
        ("CI_PIPELINE_ID", "5"),
        ("CI_JOB_NAME", "production"),
        ("GITLAB_USER_LOGIN", "ann"),
        ("CI_JOB_URL", "https://gitlab.example/shop/-/jobs/9"),
    ];
    let circle = [
        ("CIRCLE_PIPELINE_ID", "p-1"),
        ("CIRCLE_WORKFLOW_ID", "w-1"),
        ("CIRCLE_JOB", "production"),
        ("CIRCLE_USERNAME", "ann"),
        ("CIRCLE_BUILD_URL", "https://circle.example/9"),
    ];
    let jenkins = [
        ("BUILD_TAG", "jenkins-shop-9"),
        ("JOB_NAME", "shop"),
        ("BUILD_USER_ID", "ann"),
        ("BUILD_URL", "https://jenkins.example/job/shop/9/"),
    ];
    let on_github = "https://github.com/acme/shop/actions/runs/77/attempts/2";
    for (variables, run_id, attempt, job, log) in [
        (&GITHUB[..], "77", Some(2), "deploy", on_github),
        (&gitlab, "5", None, "production", gitlab[3].1),
        (&circle, "p-1", None, "production", circle[4].1),
        (&jenkins, "jenkins-shop-9", None, "shop", jenkins[3].1),
    ] {
        let stage = Stage::set("journal: {file: {path: records}}\n").await;
        run(&stage, "deploy --release v2", variables).await.ends(0);
        let file = stage.path("records/shop/production/000002.json");
        let record: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let holder = &record["holder"];
        assert_eq!(holder["run"], run_id);
        assert_eq!(holder["attempt"].as_u64(), attempt, "{holder}");
        assert_eq!(holder["job"], job);
        assert_eq!(holder["log"], log);
    }
}

#[tokio::test]
async fn another_attempt_at_a_run_takes_back_what_the_one_before_left() {
    let broken =
        "journal: {file: {path: records}}\nchecks: {missing: {http: /nowhere, fail: 1 failure in a row}}\n";
    let stage = Stage::set(broken).await;
    let mut attempt = GITHUB;
    attempt[1].1 = "1";
    run(&stage, "deploy --release v2", &attempt).await.ends(0);
    run(&stage, "shift-traffic --to 10", &attempt).await.ends(0);
    run(&stage, "verify-metrics --for 1s", &attempt).await.ends(10);
    // its machine went away before the step that takes it back; the second attempt fails at its first step
    attempt[1].1 = "2";
    run(&stage, "rollout --to nothing", &attempt).await.ends(2);
    let mut other = attempt;
    other[0].1 = "78";
    run(&stage, "rollback --if-needed", &other).await.ends(0);
    assert_eq!(stage.green().await, 10.0, "not that run's own");
    run(&stage, "rollback --if-needed", &attempt).await.ends(0);
    assert_eq!(stage.green().await, 0.0);
}
