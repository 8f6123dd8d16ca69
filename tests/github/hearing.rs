//! Deployments, incident issues and approvers: what GitHub hears of a release.

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tidegate::{
    adapter::notifier::{github_deployment::GitHubDeployment, github_issue::GitHubIssue},
    port::{News, Notifier, Occasion, Treat, adapter::NotifierAdapter as _},
};

use crate::{
    corpus::corpus,
    double::{Double, Op, Trouble},
    world::{hurried, setting, within},
};

fn environment(double: &Double) -> Vec<(String, String)> {
    let mut variables = double.environment();
    variables.extend([("GITHUB_SHA", "c0ffee"), ("GITHUB_RUN_ID", "42")].map(|(n, v)| (n.into(), v.into())));
    variables
}

fn deployment(double: &Double, options: Value) -> Box<dyn Notifier> {
    let config = serde_json::from_value(options).unwrap();
    GitHubDeployment::connect(config, &setting(environment(double))).unwrap()
}

fn issue(double: &Double, options: Value) -> Box<dyn Notifier> {
    let config = serde_json::from_value(options).unwrap();
    GitHubIssue::connect(config, &setting(environment(double))).unwrap()
}

fn news(occasion: Occasion, release: &str, opened: u64) -> News {
    News {
        occasion,
        unit: "shop".parse().unwrap(),
        environment: "production".parse().unwrap(),
        attempt: tidegate::domain::names::Attempt { release: release.parse().unwrap(), opened },
        sentence: format!("it is {occasion:?}"),
        log: Some("https://github.com/acme/shop/actions/runs/42".into()),
        page: "## the whole story\n".into(),
    }
}

/// Per deployment, its states, oldest first.
fn states(double: &Double) -> Vec<Vec<String>> {
    let state = |status: &Value| status["state"].as_str().unwrap().to_string();
    double.state().news.deployments.iter().map(|(_, all)| all.iter().map(state).collect()).collect()
}

const LIFE: [Occasion; 4] = [Occasion::Opened, Occasion::Stage, Occasion::Stage, Occasion::Finished];

#[tokio::test]
async fn a_release_is_one_deployment_with_a_status_per_stage_whichever_process_tells() {
    let double = Double::start();
    for occasion in LIFE {
        let posted = deployment(&double, json!({"url": "https://shop.example.com"}))
            .post(&within(10), &news(occasion, "v1", 2))
            .await
            .unwrap();
        assert_eq!(posted.unwrap().id, "100");
    }
    assert_eq!(states(&double), [["in_progress", "in_progress", "in_progress", "success"]]);
    let state = double.state();
    let (made, statuses) = &state.news.deployments[0];
    assert_eq!(made["ref"], "v1");
    assert_eq!(made["payload"], json!({"tidegate": "shop/production/v1#2"}));
    assert_eq!(made["production_environment"], json!(true));
    assert_eq!(statuses[1]["log_url"], "https://github.com/acme/shop/actions/runs/42");
    assert_eq!(statuses[1]["environment_url"], "https://shop.example.com");
    assert_eq!(statuses[1]["description"], "it is Stage");
}

#[tokio::test]
async fn a_release_that_serves_ends_the_one_that_served_before_and_one_that_failed_stays_failed() {
    let double = Double::start();
    for (occasion, release, opened) in [
        (Occasion::Opened, "v1", 2),
        (Occasion::Finished, "v1", 2),
        (Occasion::Opened, "v2", 20),
        (Occasion::RolledBack, "v2", 20),
        (Occasion::Opened, "v3", 30),
        (Occasion::Opened, "v2", 40),
        (Occasion::Finished, "v2", 40),
    ] {
        let hears = deployment(&double, json!({}));
        hears.post(&within(10), &news(occasion, release, opened)).await.unwrap().unwrap();
    }
    let wanted: [&[&str]; 4] = [
        &["in_progress", "success", "inactive"],
        &["in_progress", "failure"],
        &["in_progress", "inactive"],
        &["in_progress", "success"],
    ];
    assert_eq!(states(&double), wanted);
}

#[tokio::test]
async fn the_deployment_of_the_job_is_found_by_its_log_and_no_other_is_made() {
    let double = Double::start();
    let log = |run: u64| format!("https://github.com/acme/shop/actions/runs/{run}/job/7");
    for (environment, sha, run) in [
        ("production", "c0ffee", 42),
        ("staging", "c0ffee", 42),
        ("production", "c0ffee", 421),
        ("production", "decaf", 42),
    ] {
        double.state().news.deployed_by_others(environment, sha, &log(run));
    }
    let hears = deployment(&double, json!({"by": "github"}));
    let posted = hears.post(&within(10), &news(Occasion::Stage, "v1", 2)).await.unwrap();
    assert_eq!(posted.unwrap().id, "100");
    let one: &[&str] = &["in_progress"];
    assert_eq!(states(&double), [&["in_progress", "in_progress"], one, one, one]);
    // A job without an environment has none.
    let none = Double::start();
    let hears = deployment(&none, json!({"by": "github"}));
    assert_eq!(hears.post(&within(10), &news(Occasion::Stage, "v1", 2)).await, Ok(None));
    assert_eq!(states(&none), Vec::<Vec<String>>::new());
}

#[tokio::test]
async fn a_rollback_makes_no_deployment() {
    let double = Double::start();
    let hears = deployment(&double, json!({}));
    for occasion in [Occasion::RolledBack, Occasion::Stuck, Occasion::Fail, Occasion::Warn] {
        assert_eq!(hears.post(&within(10), &news(occasion, "v1", 2)).await, Ok(None), "{occasion:?}");
    }
    assert!(states(&double).is_empty());
}

#[test]
fn a_job_of_no_workflow_has_no_deployment_of_its_own() {
    let double = Double::start();
    let variables = double.environment();
    let config = serde_json::from_value(json!({"by": "github"})).unwrap();
    let why = GitHubDeployment::connect(config, &setting(variables)).map(|_| ()).unwrap_err();
    assert!(why.contains("GITHUB_RUN_ID"), "{why}");
}

#[tokio::test]
async fn an_incident_is_one_issue_and_what_comes_after_a_comment_told_once() {
    let double = Double::start();
    let told =
        [Occasion::Stuck, Occasion::Stuck, Occasion::RolledBack, Occasion::RolledBack, Occasion::Stuck];
    for occasion in told {
        let posted = issue(&double, json!({})).post(&within(10), &news(occasion, "v2", 20)).await.unwrap();
        let posted = posted.unwrap();
        assert_eq!(posted.id, "1");
        assert_eq!(posted.url.as_deref(), Some("https://github.com/acme/shop/issues/1"));
    }
    issue(&double, json!({})).post(&within(10), &news(Occasion::RolledBack, "v2", 30)).await.unwrap();
    let state = double.state();
    let [(first, comments), (second, none)] = &state.news.issues[..] else {
        panic!("{:?}", state.news.issues)
    };
    assert_eq!((comments.len(), none.len()), (1, 0));
    assert_eq!(first["title"], "shop production: v2 is stuck: its rollback is incomplete");
    assert_eq!(second["title"], "shop production: v2 was rolled back");
    let body = first["body"].as_str().unwrap();
    assert!(body.contains("## the whole story") && body.contains("Post-mortem (draft)"), "{body}");
    assert!(comments[0]["body"].as_str().unwrap().contains("shop/production/v2#20 RolledBack"));
}

#[tokio::test]
async fn a_story_longer_than_github_takes_is_cut_and_says_so() {
    let double = Double::start();
    let long = News { page: "ä".repeat(200_000), ..news(Occasion::RolledBack, "v2", 20) };
    issue(&double, json!({})).post(&within(10), &long).await.unwrap().unwrap();
    let state = double.state();
    let body = state.news.issues[0].0["body"].as_str().unwrap();
    assert!(body.contains("(cut: ") && body.contains("Post-mortem"));
}

#[tokio::test]
async fn text_from_outside_is_only_text_in_issues_and_descriptions() {
    let double = Double::start();
    let (incidents, deployments) = (issue(&double, json!({})), deployment(&double, json!({})));
    for (opened, text) in (1..).zip(corpus()) {
        let told = News {
            sentence: text.clone(),
            page: tidegate::report::escape::markdown(&text),
            ..news(Occasion::RolledBack, "v1", opened)
        };
        incidents.post(&within(60), &told).await.unwrap().unwrap();
        let begun = News { occasion: Occasion::Opened, ..told };
        deployments.post(&within(60), &begun).await.unwrap().unwrap();
        let mut state = double.state();
        let (issues, deployed) =
            (std::mem::take(&mut state.news.issues), std::mem::take(&mut state.news.deployments));
        let (made, _) = issues.last().unwrap();
        assert_eq!(made["title"], "shop production: v1 was rolled back", "{text:?}");
        let body = made["body"].as_str().unwrap();
        let mark = format!("<!-- tidegate shop/production/v1#{opened} RolledBack -->\n");
        let rest = body.strip_prefix(&mark).unwrap_or_else(|| panic!("{text:?}: {body:?}"));
        let (story, ours) = rest.split_once("\n## Post-mortem (draft)\n").unwrap();
        assert!(ours.contains("- [ ] the fix") && !ours.contains(['<', '@']), "{text:?}: {ours:?}");
        assert!(
            !story.contains(['<', '>', '`', '[', ']', '@', '!']) && !story.contains("://"),
            "{text:?}: {story:?}"
        );
        let (_, statuses) = deployed.last().unwrap();
        let description = statuses[0]["description"].as_str().unwrap();
        assert!(!description.contains(|c: char| c.is_control()), "{text:?}: {description:?}");
    }
}

/// Every trouble with every request: told at last, by this process or the next one, and never two of anything
/// that people see.
#[tokio::test]
async fn trouble_with_any_request_leaves_one_deployment_and_one_issue() {
    let requests =
        [Op::Deployments, Op::Deploy, Op::AddStatus, Op::Issues, Op::OpenIssue, Op::Comments, Op::AddComment];
    let cases = requests.into_iter().flat_map(|op| Trouble::ALL.map(|trouble| (op, trouble)));
    let case = async |(op, trouble): (Op, Trouble)| {
        let what = format!("{trouble:?} of {op:?}");
        let double = Double::start();
        double.nth(op, 1, trouble);
        let tell = async |occasion| {
            for _ in 0..3 {
                let news = news(occasion, "v1", 2);
                let deployed = deployment(&double, json!({})).post(&hurried(60), &news).await;
                let told = match occasion {
                    Occasion::Opened => Ok(None),
                    _ => issue(&double, json!({})).post(&hurried(60), &news).await,
                };
                match (deployed, told) {
                    (Ok(_), Ok(_)) => return,
                    (deployed, told) => {
                        for fault in [deployed.err(), told.err()].into_iter().flatten() {
                            assert_ne!(fault.treat, Treat::Permanent, "{what}: {fault}");
                        }
                    }
                }
            }
            panic!("{what}: not told");
        };
        tell(Occasion::Opened).await;
        tell(Occasion::Stuck).await;
        tell(Occasion::RolledBack).await;
        assert_eq!(double.troubles(), [trouble], "{what}");
        // a request that the network doubled makes two: GitHub has no key to tell them apart
        let twice = usize::from(trouble == Trouble::SentTwice);
        let news = &double.state().news;
        let deployments = news.deployments.len();
        assert_eq!(deployments, 1 + if op == Op::Deploy { twice } else { 0 }, "{what}");
        assert_eq!(news.issues.len(), 1 + if op == Op::OpenIssue { twice } else { 0 }, "{what}");
        let last = news.deployments.last().unwrap().1.last().unwrap();
        assert_eq!(last["state"], "failure", "{what}");
        let comments: usize = news.issues.iter().map(|(_, comments)| comments.len()).sum();
        assert_eq!(comments, 1 + if op == Op::AddComment { twice } else { 0 }, "{what}");
    };
    stream::iter(cases).for_each_concurrent(8, case).await;
}
