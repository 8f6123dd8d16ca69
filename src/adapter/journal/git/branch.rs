//! The branch of a journal and its commits, as GitHub's Git database API has them.

use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::{
    adapter::{
        github::{Answer, Call, GitHub},
        web::escape,
    },
    port::{Context, Fault, Treat, excerpt},
};

/// The most commits that GitHub lists at once.
pub(super) const PAGE: u64 = 100;
const READ: &str = "contents: read";
const WRITE: &str = "contents: write";

/// A branch of a repository.
pub(super) struct Branch {
    pub github: Arc<GitHub>,
    /// Without `refs/heads/`.
    pub name: String,
}

/// A commit as it is listed.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub sha: String,
    pub tree: String,
    pub parents: Vec<String>,
    pub message: String,
}

/// Where the branch points.
#[derive(Debug)]
pub(super) enum Tip {
    /// To what it pointed to when the tag was given.
    Same,
    At {
        sha: Option<String>,
        etag: Option<String>,
    },
}

/// How GitHub answered to a move of the branch.
#[derive(Debug)]
pub(super) enum Moved {
    Done,
    /// The branch is elsewhere: somebody else moved it.
    Elsewhere,
    /// The branch is not there any more.
    Gone,
    Refused(Fault),
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "ref")]
    name: String,
    object: Sha,
}

#[derive(Deserialize)]
struct Sha {
    sha: String,
}

#[derive(Deserialize)]
struct Listed {
    sha: String,
    commit: Inner,
    parents: Vec<Sha>,
}

#[derive(Deserialize)]
struct Inner {
    message: String,
    tree: Sha,
}

impl Branch {
    pub fn place(&self) -> String {
        format!("{} (branch {})", self.github.repository(), self.name)
    }

    fn get(&self, operation: &'static str, rest: &str) -> Call {
        Call::get(operation, self.place(), self.github.route(rest), READ)
    }

    fn write(&self, operation: &'static str, rest: &str, method: Method, body: Value) -> Call {
        Call::get(operation, self.place(), self.github.route(rest), WRITE).write(method, body)
    }

    async fn read<T: DeserializeOwned>(&self, cx: &Context, call: &Call) -> Result<T, Fault> {
        self.github.ask(cx, call).await?.json(call)
    }

    /// Whether anybody may read the repository.
    pub async fn is_public(&self, cx: &Context) -> Result<bool, Fault> {
        #[derive(Deserialize)]
        struct Repository {
            private: bool,
        }
        let call = Call::get("read the repository", self.place(), self.github.route(""), WRITE);
        Ok(!self.read::<Repository>(cx, &call).await?.private)
    }

    /// Where the branch points. Asked for by its beginning, which is answered with an empty list where there
    /// is none: a 404 always means that the repository cannot be seen.
    pub async fn tip(&self, cx: &Context, etag: Option<String>) -> Result<Tip, Fault> {
        let path: Vec<String> = self.name.split('/').map(escape).collect();
        let route = format!("/git/matching-refs/heads/{}", path.join("/"));
        let call = self.get("read the branch", &route).unless(etag);
        let answer = self.github.ask(cx, &call).await?;
        if answer.status == 304 {
            return Ok(Tip::Same);
        }
        let wanted = format!("refs/heads/{}", self.name);
        let found: Vec<Reference> = answer.json(&call)?;
        let sha = found.into_iter().find(|reference| reference.name == wanted).map(|r| r.object.sha);
        Ok(Tip::At { sha, etag: answer.etag })
    }

    /// The commit and those before it, newest first; at most `count`.
    pub async fn commits(&self, cx: &Context, sha: &str, count: u64) -> Result<Vec<Commit>, Fault> {
        let route = format!("/commits?sha={}&per_page={}", escape(sha), count.clamp(1, PAGE));
        let call = self.get("list the commits", &route);
        let listed: Vec<Listed> = self.read(cx, &call).await?;
        let commit = |c: Listed| Commit {
            sha: c.sha,
            tree: c.commit.tree.sha,
            parents: c.parents.into_iter().map(|parent| parent.sha).collect(),
            message: c.commit.message,
        };
        Ok(listed.into_iter().map(commit).collect())
    }

    /// A tree with one file. An object that nothing points to is seen by nobody: it may be asked for twice.
    pub async fn plant(&self, cx: &Context, name: &str, text: &str) -> Result<String, Fault> {
        let body = json!({"tree": [{"path": name, "mode": "100644", "type": "blob", "content": text}]});
        let call = self.write("create a tree", "/git/trees", Method::POST, body).repeatable();
        Ok(self.read::<Sha>(cx, &call).await?.sha)
    }

    /// A commit; without a parent the first of a history. Who wrote it is left to GitHub, which then signs
    /// for its own bots.
    pub async fn commit(
        &self,
        cx: &Context,
        tree: &str,
        parent: Option<&str>,
        message: &str,
    ) -> Result<Commit, Fault> {
        let parents: Vec<&str> = parent.into_iter().collect();
        let body = json!({"message": message, "tree": tree, "parents": parents});
        let call = self.write("create a commit", "/git/commits", Method::POST, body).repeatable();
        let sha = self.read::<Sha>(cx, &call).await?.sha;
        let parents = parents.into_iter().map(str::to_string).collect();
        Ok(Commit { sha, tree: tree.into(), parents, message: message.into() })
    }

    /// Points the branch to a commit; GitHub does it only where that commit follows the one the branch points
    /// to now, or where there is no branch yet. Sent once.
    pub async fn point(&self, cx: &Context, commit: &Commit) -> Result<Moved, Fault> {
        let call = match commit.parents.is_empty() {
            true => {
                let body = json!({"ref": format!("refs/heads/{}", self.name), "sha": commit.sha});
                self.write("create the branch", "/git/refs", Method::POST, body)
            }
            false => {
                let path: Vec<String> = self.name.split('/').map(escape).collect();
                let body = json!({"sha": commit.sha, "force": false});
                let route = format!("/git/refs/heads/{}", path.join("/"));
                self.write("move the branch", &route, Method::PATCH, body)
            }
        };
        let answer = self.github.ask(cx, &call).await?;
        if answer.is_success() {
            return Ok(Moved::Done);
        }
        let said = answer.message().to_lowercase();
        if answer.status == 422 && (said.contains("fast forward") || said.contains("fast-forward")) {
            return Ok(Moved::Elsewhere);
        }
        if answer.status == 422 && said.contains("already exists") {
            return Ok(Moved::Elsewhere);
        }
        if answer.status == 422 && said.contains("does not exist") {
            return Ok(Moved::Gone);
        }
        // GitHub's words are no contract: where the branch is now tells more
        if let Ok(Tip::At { sha, .. }) = self.tip(cx, None).await
            && sha.as_ref() != commit.parents.first()
        {
            return Ok(match sha {
                Some(sha) if sha == commit.sha => Moved::Done,
                Some(_) => Moved::Elsewhere,
                None => Moved::Gone,
            });
        }
        Ok(Moved::Refused(self.unmoved(&call, &answer)))
    }

    fn unmoved(&self, call: &Call, answer: &Answer) -> Fault {
        let fault = answer.refused(call);
        if fault.hint.is_some() {
            return fault;
        }
        let hint = format!(
            "a rule of the repository may forbid it: leave `{}` out of rules for pull requests and checks",
            excerpt(&self.name, 200)
        );
        // 409 is how GitHub says that it could not do it now
        let treat = if answer.status == 409 { Treat::Temporary } else { Treat::Permanent };
        Fault { treat, ..fault }.hint(hint)
    }
}
