//! `github_issue`: an issue for what went wrong, with the timeline and a post-mortem to fill in.
//!
//! One issue per attempt. It is found again by a mark in its body that no reader sees; what comes later is a
//! comment on it.

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
        adapter::{Adapter, NotifierAdapter, Setting},
        excerpt::beginning,
    },
};

/// An issue with the timeline and a post-mortem draft. The token needs `issues: write`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Labels of the issue; GitHub makes those that are not there.
    #[serde(default = "incident")]
    pub labels: Vec<String>,
    /// Who is assigned: logins.
    #[serde(default)]
    pub assignees: Vec<String>,
    /// `OWNER/NAME`; the workflow's own (`GITHUB_REPOSITORY`) if absent.
    #[serde(default)]
    pub repository: Option<String>,
    /// Token, address of the API.
    #[serde(default)]
    pub github: Access,
}

fn incident() -> Vec<String> {
    vec!["incident".into()]
}

pub struct GitHubIssue {
    labels: Vec<String>,
    assignees: Vec<String>,
    github: Arc<GitHub>,
}

/// Issues that are looked at, newest first.
const LOOKED_AT: usize = 50;
/// GitHub takes 65536 characters.
const BODY_CHARS_MAX: usize = 60_000;
const WRITE: &str = "issues: write";

#[derive(Deserialize)]
struct Issue {
    number: u64,
    html_url: String,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Deserialize)]
struct Comment {
    #[serde(default)]
    body: Option<String>,
}

impl Adapter for GitHubIssue {
    const NAME: &'static str = "github_issue";
    const SUMMARY: &'static str =
        "an issue in the GitHub repository with the timeline and a post-mortem draft";
    const SHORT: Option<&'static str> = Some("labels");
    type Config = Config;
}

impl NotifierAdapter for GitHubIssue {
    const USUAL: &'static [Occasion] = &[Occasion::RolledBack, Occasion::Stuck, Occasion::Recheck];

    fn connect(config: Config, setting: &Setting) -> Result<Box<dyn Notifier>, String> {
        if config.labels.is_empty() || config.labels.iter().any(|label| label.trim().is_empty()) {
            return Err("an issue needs a label: it is found again by it".into());
        }
        let github = GitHub::shared(&config.github, config.repository.as_deref(), setting)?;
        Ok(Box::new(GitHubIssue { labels: config.labels, assignees: config.assignees, github }))
    }
}

impl GitHubIssue {
    fn call(&self, operation: &'static str, rest: &str, permission: &'static str) -> Call {
        let object = format!("issues of {}", self.github.repository());
        Call::get(operation, object, self.github.route(rest), permission)
    }

    async fn find(&self, cx: &Context, hidden: &str) -> Result<Option<Issue>, Fault> {
        let label = self.labels.first().map_or(String::new(), |label| escape(label));
        let rest =
            format!("/issues?labels={label}&state=all&sort=created&direction=desc&per_page={LOOKED_AT}");
        let call = self.call("list the issues", &rest, WRITE);
        let issues: Vec<Issue> = self.github.ask(cx, &call).await?.json(&call)?;
        let ours = |issue: &Issue| issue.body.as_deref().is_some_and(|body| body.contains(hidden));
        Ok(issues.into_iter().find(ours))
    }

    async fn open(&self, cx: &Context, news: &News, hidden: &str) -> Result<Issue, Fault> {
        let body = json!({
            "title": title(news),
            "body": body(news, hidden),
            "labels": self.labels,
            "assignees": self.assignees,
        });
        let call = self.call("open the issue", "/issues", WRITE).write(Method::POST, body);
        match self.github.ask(cx, &call).await {
            Ok(answer) => answer.json(&call),
            Err(fault) if fault.treat == Treat::OutcomeUnknown => self.find(cx, hidden).await?.ok_or(fault),
            Err(fault) => Err(fault),
        }
    }

    /// Says on an issue that is there what came after, once.
    async fn comment(&self, cx: &Context, issue: &Issue, news: &News, hidden: &str) -> Result<(), Fault> {
        let rest = format!("/issues/{}/comments", issue.number);
        let read = self.call("read the issue's comments", &format!("{rest}?per_page=100"), WRITE);
        let said = async || {
            let all: Vec<Comment> = self.github.ask(cx, &read).await?.json(&read)?;
            Ok(all.iter().any(|c| c.body.as_deref().is_some_and(|body| body.contains(hidden))))
        };
        let opening = issue.body.as_deref().is_some_and(|body| body.contains(hidden));
        if opening || said().await? {
            return Ok(());
        }
        let call = self.call("comment on the issue", &rest, WRITE);
        let call = call.write(Method::POST, json!({"body": body(news, hidden)}));
        match self.github.ask(cx, &call).await {
            Ok(answer) => answer.json::<Value>(&call).map(|_| ()),
            Err(fault) if fault.treat == Treat::OutcomeUnknown && said().await? => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}

#[async_trait]
impl Notifier for GitHubIssue {
    async fn post(&self, cx: &Context, news: &News) -> Result<Option<Posted>, Fault> {
        let attempt = format!("<!-- tidegate {} ", news.mark());
        let hidden = format!("{attempt}{:?} -->", news.occasion);
        let issue = match self.find(cx, &attempt).await? {
            Some(issue) => {
                self.comment(cx, &issue, news, &hidden).await?;
                issue
            }
            None => self.open(cx, news, &hidden).await?,
        };
        Ok(Some(Posted { id: issue.number.to_string(), url: Some(issue.html_url) }))
    }
}

fn title(news: &News) -> String {
    let what = match news.occasion {
        Occasion::RolledBack => "was rolled back",
        Occasion::Stuck => "is stuck: its rollback is incomplete",
        Occasion::Fail => "failed",
        Occasion::Warn => "warns",
        Occasion::Finished => "is out",
        Occasion::Recheck => "does harm, as a re-check after its finish shows",
        Occasion::Opened => "goes out",
        Occasion::Stage => "got more traffic",
    };
    format!("{} {}: {} {what}", news.unit, news.environment, news.attempt.release)
}

/// The story, and where something went wrong what people have to add to it.
fn body(news: &News, hidden: &str) -> String {
    let mut told = beginning(&news.page, BODY_CHARS_MAX);
    if news.page.chars().nth(BODY_CHARS_MAX).is_some() {
        told.push_str("\n\n(cut: the run's own page has all of it)\n");
    }
    if matches!(news.occasion, Occasion::RolledBack | Occasion::Stuck | Occasion::Fail | Occasion::Recheck) {
        told.push_str(POST_MORTEM);
    }
    // a comment that is cut off would swallow the mark
    format!("{hidden}\n{told}")
}

const POST_MORTEM: &str = "
## Post-mortem (draft)

**Impact**: who noticed what, from when to when

**Cause**: what was different in this release

**What helped, what did not**: checks that saw it, checks that should have

**To do**
- [ ] the fix
- [ ] a check that sees it earlier
";
