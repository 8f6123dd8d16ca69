//! Who runs this: for the journal, for messages to others, and for `rollback --if-needed`.

use std::env::var;

use crate::{
    domain::{names::ReleaseName, record::Holder},
    engine::ledger::nonce,
    error::Failure,
    platform::{USER_VARIABLES, host},
    report::summary::Around,
};

/// This process, as the CI or the shell knows it.
pub(super) fn holder() -> Result<Holder, Failure> {
    let nonce = nonce()?;
    let process = nonce.get(..16).unwrap_or(&nonce).to_string();
    let person = || format!("{}@{}", first(USER_VARIABLES).unwrap_or_else(|| "someone".into()), host());
    Ok(Holder {
        run: first(&RUNS).unwrap_or_else(person),
        attempt: attempt().and_then(|attempt| attempt.parse().ok()),
        job: first(&JOBS),
        process,
        actor: actor(),
        log: log(),
    })
}

/// What names a run and stays when it, or a job of it, is run again.
const RUNS: [&str; 6] = [
    "TIDEGATE_RUN",
    "GITHUB_RUN_ID",
    "CI_PIPELINE_ID",
    "CIRCLE_PIPELINE_ID",
    "CIRCLE_WORKFLOW_ID",
    "BUILD_TAG",
];
/// GitHub, GitLab, CircleCI, Jenkins.
const JOBS: [&str; 4] = ["GITHUB_JOB", "CI_JOB_NAME", "CIRCLE_JOB", "JOB_NAME"];

/// The tag or commit that the CI runs for.
pub(super) fn ci_release() -> Option<ReleaseName> {
    let tag = first(&["CI_COMMIT_TAG", "CIRCLE_TAG"]).or_else(|| {
        first(&["GITHUB_REF_TYPE"]).filter(|t| t == "tag").and_then(|_| first(&["GITHUB_REF_NAME"]))
    });
    let name = tag.or_else(|| first(&["GITHUB_SHA", "CI_COMMIT_SHA", "CIRCLE_SHA1", "GIT_COMMIT"]));
    name.and_then(|name| ReleaseName::new(name).ok())
}

/// What surrounds the run, for pages about it.
pub(super) fn around() -> Around {
    let github = || Some(format!("{}/{}", first(&["GITHUB_SERVER_URL"])?, first(&["GITHUB_REPOSITORY"])?));
    Around {
        repository: github().or_else(|| first(&["CI_PROJECT_URL"]).map(|url| format!("{url}/-"))),
        log: log(),
        actor: actor(),
        approvers: Vec::new(),
    }
}

/// Who approved the run that this is; nobody where that cannot be had.
#[cfg(feature = "github")]
pub(super) async fn approvers(clock: std::sync::Arc<dyn crate::port::Clock>) -> Vec<String> {
    use crate::adapter::github::{Access, approvals};
    let (true, Some(run)) = (first(&["GITHUB_ACTIONS"]).is_some(), first(&["GITHUB_RUN_ID"])) else {
        return Vec::new();
    };
    let cx = crate::port::Context::new(clock, std::time::Duration::from_secs(5));
    let (access, env) = (Access::default(), super::app::environment());
    match cx.bounded(approvals::approvers(&cx, &access, &env, &run)).await {
        Ok(Ok(names)) => names,
        // without `actions: read` they are not told, which is nothing to fail for
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

#[cfg(not(feature = "github"))]
pub(super) async fn approvers(_: std::sync::Arc<dyn crate::port::Clock>) -> Vec<String> {
    Vec::new()
}

fn actor() -> Option<String> {
    first(&["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "CIRCLE_USERNAME", "BUILD_USER_ID"])
}

fn first(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| var(name).ok().filter(|value| !value.is_empty()))
}

/// Only GitHub counts the attempts at a run.
fn attempt() -> Option<String> {
    first(&["GITHUB_RUN_ID"]).and_then(|_| first(&["GITHUB_RUN_ATTEMPT"]))
}

/// The log of this attempt, of its job where the environment says which one that is.
fn log() -> Option<String> {
    let github = || {
        let (server, repository, id) =
            (first(&["GITHUB_SERVER_URL"])?, first(&["GITHUB_REPOSITORY"])?, first(&["GITHUB_RUN_ID"])?);
        // the number that a job has in its address is in no documented variable
        let attempt = attempt().map_or(String::new(), |attempt| format!("/attempts/{attempt}"));
        Some(format!("{server}/{repository}/actions/runs/{id}{attempt}"))
    };
    github().or_else(|| first(&["CI_JOB_URL", "CIRCLE_BUILD_URL", "BUILD_URL"]))
}
