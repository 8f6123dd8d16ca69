//! The way into GitHub: tokens, addresses, limits.

use tidegate::{
    adapter::{
        github::{Access, Call, GitHub},
        journal::git::GitJournal,
    },
    port::{Fault, Journal, Treat, adapter::JournalAdapter as _},
};

use crate::{
    double::{Double, NAME, Op, TOKEN, Trouble},
    journal_suite::fill,
    world::{hurried, open, setting, within},
};

fn changed(double: &Double, change: impl Fn(&mut Vec<(String, String)>)) -> Box<dyn Journal> {
    let mut variables = double.environment();
    change(&mut variables);
    GitJournal::connect(serde_json::from_str("{}").unwrap(), &setting(variables)).unwrap()
}

fn put(variables: &mut Vec<(String, String)>, name: &str, value: &str) {
    variables.retain(|(key, _)| key != name);
    variables.push((name.into(), value.into()));
}

async fn fault(journal: Box<dyn Journal>) -> Fault {
    journal.head(&within(30)).await.unwrap_err()
}

#[tokio::test]
async fn the_token_is_the_actions_input_then_the_environments_then_the_jobs_own() {
    let double = Double::start();
    for name in ["TIDEGATE_GITHUB_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "TIDEGATE_JOB_TOKEN"] {
        let journal = changed(&double, |variables| {
            variables.retain(|(key, _)| key != "TIDEGATE_GITHUB_TOKEN");
            put(variables, "TIDEGATE_GITHUB_TOKEN", "");
            put(variables, name, TOKEN);
        });
        assert_eq!(journal.head(&within(30)).await.unwrap(), None, "{name}");
    }
    let journal = changed(&double, |variables| {
        put(variables, "GITHUB_TOKEN", "of-the-job");
    });
    assert_eq!(journal.head(&within(30)).await.unwrap(), None, "the input comes first");
    let journal = changed(&double, |variables| {
        variables.retain(|(key, _)| key != "TIDEGATE_GITHUB_TOKEN");
        put(variables, "TIDEGATE_JOB_TOKEN", "of-the-job");
        put(variables, "GITHUB_TOKEN", TOKEN);
    });
    assert_eq!(journal.head(&within(30)).await.unwrap(), None, "the environment comes before the job's own");
    let mut variables = double.environment();
    put(&mut variables, "TIDEGATE_GITHUB_TOKEN", "wrong");
    put(&mut variables, "DEPLOY", TOKEN);
    let config = serde_json::from_str(r#"{"github": {"token": {"env": "DEPLOY"}}}"#).unwrap();
    let journal = GitJournal::connect(config, &setting(variables)).unwrap();
    assert_eq!(journal.head(&within(30)).await.unwrap(), None, "the file comes before all");
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_step_is_told_what_to_pass() {
    let double = Double::start();
    let journal = changed(&double, |variables| variables.retain(|(key, _)| key != "TIDEGATE_GITHUB_TOKEN"));
    let fault = fault(journal).await;
    assert_eq!(fault.treat, Treat::Permanent);
    let hint = fault.hint.unwrap();
    assert!(hint.contains("GITHUB_TOKEN: ${{ github.token }}") && hint.contains("contents: read"), "{hint}");
    assert_eq!(double.ops(), []);
}

#[tokio::test]
async fn a_token_that_is_wrong_is_not_shown() {
    let double = Double::start();
    let journal = changed(&double, |variables| put(variables, "TIDEGATE_GITHUB_TOKEN", "ghs_wrong"));
    let fault = fault(journal).await;
    assert_eq!(fault.treat, Treat::Permanent);
    assert!(fault.detail.contains("401") && fault.hint.as_ref().unwrap().contains("token"), "{fault:?}");
    assert!(!format!("{fault:?}").contains("ghs_wrong"));
    for token in ["a b", "tök", "a\u{0}b"] {
        let mut variables = double.environment();
        put(&mut variables, "TIDEGATE_GITHUB_TOKEN", token);
        let refused = GitJournal::connect(serde_json::from_str("{}").unwrap(), &setting(variables));
        let why = refused.map(|_| ()).unwrap_err();
        assert!(why.contains("characters") && !why.contains(token), "{why}");
    }
}

#[tokio::test]
async fn a_token_that_the_other_side_repeats_is_not_shown() {
    let double = Double::start();
    double.state().rule = Some("you sent ghs_0123456789abcdefABCDEF0123456789abcd");
    let fault = open(&double).append(&within(30), &crate::journal_suite::record(1, "n")).await.unwrap_err();
    assert!(fault.detail.contains("you sent ***"), "{fault:?}");
}

#[tokio::test]
async fn a_repository_that_cannot_be_seen_is_told_with_the_permission() {
    let double = Double::start();
    let journal = changed(&double, |variables| put(variables, "GITHUB_REPOSITORY", "acme/other"));
    let fault = fault(journal).await;
    assert_eq!(fault.treat, Treat::Permanent);
    assert!(fault.object.contains("acme/other"), "{fault}");
    let hint = fault.hint.unwrap();
    assert!(hint.contains("404 too") && hint.contains("contents: read"), "{hint}");
}

#[test]
fn repositories_and_addresses_that_make_no_sense_are_refused_at_once() {
    let connect = |name: &str, value: &str| {
        let mut variables = vec![("GITHUB_REPOSITORY".to_string(), NAME.to_string())];
        put(&mut variables, name, value);
        GitJournal::connect(serde_json::from_str("{}").unwrap(), &setting(variables)).map(|_| ())
    };
    for name in ["", "acme", "acme/shop/x", "../shop", "acme/..", "acme/s hop", "acme/shop?x"] {
        let why = connect("GITHUB_REPOSITORY", name).unwrap_err();
        assert!(why.contains("OWNER/NAME"), "{name}: {why}");
    }
    for url in ["api.github.com", "ftp://x/", "https://user:secret@x/", "https://x/?token=secret"] {
        let why = connect("GITHUB_API_URL", url).unwrap_err();
        assert!(why.contains("address") || why.contains("must be like"), "{url}: {why}");
        assert!(!why.contains("secret") || url.contains("ftp"), "{why}");
    }
    connect("GITHUB_API_URL", "https://github.example.com/api/v3/").unwrap();
}

#[tokio::test]
async fn what_github_limits_is_not_asked_again_before_its_time() {
    let double = Double::start();
    let journal = open(&double);
    fill(journal.as_ref(), 1).await;
    double.calls();
    double.times(Op::Tip, 1, Trouble::SecondaryInWords);
    for _ in 0..3 {
        let fault = journal.head(&within(10)).await.unwrap_err();
        assert_eq!(fault.treat, Treat::Temporary);
        assert!(fault.detail.contains("secondary rate limit"), "{fault}");
        assert!(fault.hint.unwrap().contains("again in"));
    }
    assert_eq!(double.calls(), [(Op::Tip, 403)], "one request, and then silence");
}

#[tokio::test]
async fn a_limit_that_ends_before_the_deadline_is_waited_for() {
    for trouble in [Trouble::Secondary403, Trouble::Secondary429, Trouble::Primary] {
        let double = Double::start();
        double.times(Op::Tip, 2, trouble);
        assert_eq!(open(&double).head(&hurried(30)).await.unwrap(), None, "{trouble:?}");
        assert_eq!(double.troubles(), [trouble; 2]);
    }
}

#[tokio::test]
async fn an_api_that_is_not_there_is_unreachable() {
    let gone = {
        let double = Double::start();
        double.url.clone()
    };
    let double = Double::start();
    let journal = changed(&double, |variables| put(variables, "GITHUB_API_URL", &gone));
    let fault = journal.append(&hurried(3), &crate::journal_suite::record(1, "n")).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Temporary, "{fault}");
    assert!(fault.detail.contains("connection refused"), "{fault}");
}

#[tokio::test]
async fn a_write_is_never_sent_twice_by_the_client() {
    for trouble in [Trouble::Internal, Trouble::BadGateway, Trouble::ResetAfter, Trouble::Truncated] {
        let double = Double::start();
        fill(open(&double).as_ref(), 1).await;
        double.calls();
        double.times(Op::Move, 5, trouble);
        let github = GitHub::shared(&Access::default(), None, &setting(double.environment())).unwrap();
        let sha = double.state().repository.reference(crate::world::BRANCH).unwrap();
        let route = github.route("/git/refs/heads/tidegate/shop/production");
        let call = Call::get("move", "it", route, "contents: write")
            .write(tidegate::adapter::web::Verb::PATCH, serde_json::json!({"sha": sha, "force": false}));
        let fault = github.ask(&within(30), &call).await.unwrap_err();
        assert_eq!(fault.treat, Treat::OutcomeUnknown, "{fault}");
        assert_eq!(double.ops(), [Op::Move], "{trouble:?}");
    }
}
