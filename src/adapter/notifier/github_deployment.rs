//! `github_deployment`: the release as a deployment of the repository, with a status per stage.
//!
//! GitHub deploys nothing: it shows what others say of it. Two ways to have one, because a job's
//! `environment:` makes a deployment by itself: then tidegate finds that one by the run's log and adds to it.
//! Otherwise it makes its own and finds it again by what it put into the payload.

use async_trait::async_trait;
use reqwest::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::{
    adapter::{
        github::{Access, Call, GitHub},
        web::escape,
    },
    port::{
        Context, Fault, News, Notifier, Occasion, Posted, Treat,
        adapter::{Adapter, Environment, NotifierAdapter, Setting},
        excerpt,
    },
};

/// A deployment of the repository, with a status for each stage and a link to the log. The token needs
/// `deployments: write`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who makes the deployment: `tidegate`, or `github` where the job has an `environment:`, which makes one.
    #[serde(default)]
    pub by: By,
    /// The environment's name on GitHub; tidegate's own name for it if absent.
    #[serde(default)]
    pub environment: Option<String>,
    /// What "View deployment" opens.
    #[serde(default)]
    pub url: Option<String>,
    /// `OWNER/NAME`; the workflow's own (`GITHUB_REPOSITORY`) if absent.
    #[serde(default)]
    pub repository: Option<String>,
    /// Token, address of the API.
    #[serde(default)]
    pub github: Access,
}

/// Who makes the deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    #[default]
    Tidegate,
    Github,
}

pub struct GitHubDeployment {
    by: By,
    github: Arc<GitHub>,
    environment: String,
    production: bool,
    url: Option<String>,
    /// The commit that the run is for.
    commit: Option<String>,
    /// In the address of the run's log, which the job's own deployment carries: `/actions/runs/42`.
    run: Option<String>,
}

/// What tells our deployments from those of other tools in the same environment.
const TASK: &str = "deploy";
/// Deployments of one environment that are looked at, newest first.
const LOOKED_AT: usize = 30;
/// Of those, how many have their statuses read.
const READ_MAX: usize = 5;
/// GitHub takes no more.
const DESCRIPTION_CHARS_MAX: usize = 140;
const WRITE: &str = "deployments: write";
/// What GitHub answers where the repository has no such tag, branch or commit.
const NO_SUCH_REF: u16 = 422;

#[derive(Deserialize)]
struct Deployment {
    id: u64,
    #[serde(default)]
    payload: Value,
}

impl Deployment {
    /// What we put into the payload, which GitHub gives back as it got it, or as a text.
    fn mark(&self) -> Option<String> {
        let told = match &self.payload {
            Value::String(text) => serde_json::from_str(text).ok()?,
            payload => payload.clone(),
        };
        told.get("tidegate")?.as_str().map(str::to_string)
    }
}

#[derive(Deserialize)]
struct Status {
    state: String,
    #[serde(default)]
    log_url: Option<String>,
    #[serde(default)]
    target_url: Option<String>,
}

impl Adapter for GitHubDeployment {
    const NAME: &'static str = "github_deployment";
    const SUMMARY: &'static str = "a deployment of the GitHub repository with a status per stage";
    const SHORT: Option<&'static str> = Some("by");
    type Config = Config;
}

impl NotifierAdapter for GitHubDeployment {
    const USUAL: &'static [Occasion] = &[
        Occasion::Opened,
        Occasion::Stage,
        Occasion::Fail,
        Occasion::RolledBack,
        Occasion::Stuck,
        Occasion::Finished,
    ];

    fn connect(config: Config, setting: &Setting) -> Result<Box<dyn Notifier>, String> {
        Ok(Box::new(GitHubDeployment::open(config, setting)?))
    }
}

fn from(env: &Environment, name: &str) -> Option<String> {
    env(name).filter(|value| !value.is_empty())
}

impl GitHubDeployment {
    fn open(config: Config, setting: &Setting) -> Result<Self, String> {
        let run = from(&setting.env, "GITHUB_RUN_ID").map(|id| format!("/actions/runs/{id}"));
        if config.by == By::Github && run.is_none() {
            return Err(
                "`github` means the deployment of the job that runs this, and this is no job of GitHub \
                        Actions: GITHUB_RUN_ID is not set"
                    .into(),
            );
        }
        Ok(GitHubDeployment {
            by: config.by,
            github: GitHub::shared(&config.github, config.repository.as_deref(), setting)?,
            environment: config.environment.unwrap_or_else(|| setting.environment.to_string()),
            production: setting.environment.as_str() == "production",
            url: config.url,
            commit: from(&setting.env, "GITHUB_SHA"),
            run,
        })
    }

    fn object(&self) -> String {
        format!("environment {} of {}", self.environment, self.github.repository())
    }

    fn read(&self, operation: &'static str, rest: &str) -> Call {
        Call::get(operation, self.object(), self.github.route(rest), WRITE)
    }

    fn write(&self, operation: &'static str, rest: &str, body: Value) -> Call {
        let call = Call::get(operation, self.object(), self.github.route(rest), WRITE);
        call.write(Method::POST, body)
    }

    async fn deployments(&self, cx: &Context, more: &str) -> Result<Vec<Deployment>, Fault> {
        let environment = escape(&self.environment);
        let route = format!("/deployments?environment={environment}&per_page={LOOKED_AT}{more}");
        let call = self.read("list the deployments", &route);
        self.github.ask(cx, &call).await?.json(&call)
    }

    /// Newest first.
    async fn statuses(&self, cx: &Context, id: u64) -> Result<Vec<Status>, Fault> {
        let call =
            self.read("read a deployment's statuses", &format!("/deployments/{id}/statuses?per_page=30"));
        self.github.ask(cx, &call).await?.json(&call)
    }

    /// The deployment that the job's `environment:` made.
    async fn of_the_job(&self, cx: &Context) -> Result<Option<u64>, Fault> {
        let Some(run) = &self.run else { return Ok(None) };
        let is_run = |url: &Option<String>| {
            let rest = url.as_deref().and_then(|url| url.split_once(run.as_str()));
            rest.is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with('/'))
        };
        let sha = self.commit.as_deref().map_or(String::new(), |sha| format!("&sha={}", escape(sha)));
        for deployment in self.deployments(cx, &sha).await?.into_iter().take(READ_MAX) {
            let statuses = self.statuses(cx, deployment.id).await?;
            if statuses.iter().any(|s| is_run(&s.log_url) || is_run(&s.target_url)) {
                return Ok(Some(deployment.id));
            }
        }
        Ok(None)
    }

    /// Ours, made now where there is none and the release goes on.
    async fn ours(&self, cx: &Context, news: &News) -> Result<Option<u64>, Fault> {
        let task = format!("&task={TASK}");
        let wanted = news.mark();
        let find = async || {
            let all = self.deployments(cx, &task).await?;
            Ok(all.iter().find(|d| d.mark().as_deref() == Some(&wanted)).map(|d| d.id))
        };
        if let Some(id) = find().await? {
            return Ok(Some(id));
        }
        if !matches!(news.occasion, Occasion::Opened | Occasion::Stage | Occasion::Finished) {
            return Ok(None);
        }
        // a run may be for another commit than the release that it is given; not every release is a tag
        let release = news.attempt.release.to_string();
        let commit = self.commit.as_ref().filter(|commit| **commit != release);
        let mut refused = None;
        for at in std::iter::once(&release).chain(commit) {
            let call = self.write("make the deployment", "/deployments", self.made(news, &wanted, at));
            match self.github.ask(cx, &call).await {
                Ok(answer) if answer.status == NO_SUCH_REF => refused = Some(answer.refused(&call)),
                Ok(answer) => return Ok(Some(answer.json::<Deployment>(&call)?.id)),
                // the answer was lost, and perhaps nothing else
                Err(fault) if fault.treat == Treat::OutcomeUnknown => {
                    return find().await?.map(Some).ok_or(fault);
                }
                Err(fault) => return Err(fault),
            }
        }
        refused.map_or(Ok(None), Err)
    }

    fn made(&self, news: &News, mark: &str, at: &str) -> Value {
        json!({
            "ref": at,
            "task": TASK,
            // GitHub is to judge nothing and to merge nothing: that is decided here
            "auto_merge": false,
            "required_contexts": [],
            "payload": {"tidegate": mark},
            "environment": self.environment,
            "description": described(&format!("{} by tidegate", news.attempt.release)),
            "production_environment": self.production,
        })
    }

    /// GitHub ends those before only where the environment is not production, and never one whose release
    /// was closed for another. One that failed stays so.
    async fn end_those_before(&self, cx: &Context, id: u64) -> Result<(), Fault> {
        let all = self.deployments(cx, &format!("&task={TASK}")).await?;
        let older = all.iter().filter(|d| d.id < id && d.mark().is_some());
        for deployment in older.take(READ_MAX) {
            let last = self.statuses(cx, deployment.id).await?.into_iter().next();
            let state = last.map(|last| last.state).unwrap_or_default();
            if matches!(state.as_str(), "success" | "in_progress") {
                let body = json!({"state": "inactive", "description": "another release serves"});
                self.say(cx, deployment.id, body).await?;
            }
            if matches!(state.as_str(), "success" | "inactive") {
                break;
            }
        }
        Ok(())
    }

    /// One more status of the same is harmless.
    async fn say(&self, cx: &Context, id: u64, body: Value) -> Result<(), Fault> {
        let call = self.write("add a status to the deployment", &format!("/deployments/{id}/statuses"), body);
        let call = call.repeatable();
        self.github.ask(cx, &call).await?.json::<Value>(&call).map(|_| ())
    }
}

#[async_trait]
impl Notifier for GitHubDeployment {
    async fn post(&self, cx: &Context, news: &News) -> Result<Option<Posted>, Fault> {
        let state = match news.occasion {
            Occasion::Opened | Occasion::Stage => "in_progress",
            Occasion::Fail | Occasion::RolledBack => "failure",
            Occasion::Stuck => "error",
            Occasion::Finished => "success",
            Occasion::Warn | Occasion::Recheck => return Ok(None),
        };
        let id = match self.by {
            By::Tidegate => self.ours(cx, news).await?,
            By::Github => self.of_the_job(cx).await?,
        };
        let Some(id) = id else { return Ok(None) };
        let mut status = json!({
            "state": state,
            "description": described(&news.sentence),
            "auto_inactive": state == "success",
        });
        let links = [("log_url", &news.log), ("environment_url", &self.url)];
        for (name, link) in links {
            if let Some(link) = link {
                status[name] = json!(link);
            }
        }
        self.say(cx, id, status).await?;
        if news.occasion == Occasion::Finished && self.by == By::Tidegate && self.production {
            self.end_those_before(cx, id).await?;
        }
        Ok(Some(Posted { id: id.to_string(), url: None }))
    }
}

/// One line, and no more than GitHub takes.
fn described(text: &str) -> String {
    excerpt(text, DESCRIPTION_CHARS_MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_never_longer_than_github_takes() {
        for length in [0, 1, 139, 140, 141, 500] {
            let text = "ä".repeat(length);
            let short = described(&text);
            assert_eq!(short.chars().count(), length.min(DESCRIPTION_CHARS_MAX), "{length}");
            assert_eq!(short.ends_with('…'), length >= DESCRIPTION_CHARS_MAX, "{length}");
        }
    }

    #[test]
    fn a_mark_is_read_from_a_payload_of_either_form() {
        let of = |payload: Value| Deployment { id: 1, payload }.mark();
        assert_eq!(of(json!({"tidegate": "a"})).as_deref(), Some("a"));
        assert_eq!(of(json!("{\"tidegate\": \"a\"}")).as_deref(), Some("a"));
        for other in [json!({}), json!(""), json!("x"), json!(null), json!({"tidegate": 1})] {
            assert_eq!(of(other), None);
        }
    }
}
