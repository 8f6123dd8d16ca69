//! `git`: records as commits on a branch of a repository on GitHub, `tidegate/<unit>/<environment>`.
//!
//! One commit per record, the record in its message. Each has the one before as its only parent, and GitHub
//! moves a branch without force only forward along parents: of two commits with the same parent one gets in,
//! and that is the compare-and-swap. A commit has the same name wherever it is sent again, so a move whose
//! answer was lost may be asked for once more. The branch shares no history with the code.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::{collections::HashMap, time::Duration};
use tokio::sync::Mutex;

use crate::{
    adapter::github::{Access, GitHub, PROVIDER},
    domain::{
        duration::Span,
        names::{EnvironmentName, UnitName},
        record::Record,
    },
    port::{
        Appended, Context, Fault, Journal,
        adapter::{Adapter, Environment, JournalAdapter, Setting},
    },
};

mod branch;
mod message;
mod public;

use branch::{Branch, Commit, Moved, PAGE, Tip};

/// A journal on a branch of the repository on GitHub, readable with `git log`. It needs no bucket, and the
/// token needs `contents: write`. Who may read the repository may read it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `OWNER/NAME`; the workflow's own (`GITHUB_REPOSITORY`) if absent.
    #[serde(default)]
    pub repository: Option<String>,
    /// What the branch's name begins with, before `/<unit>/<environment>`.
    #[serde(default = "prefix")]
    pub branch: String,
    /// How long a run that gives no sign of life keeps others out; a sign is two requests, given three times
    /// as often.
    #[serde(default = "lease")]
    pub lease: Span,
    /// Token, address of the API.
    #[serde(default)]
    pub github: Access,
}

fn prefix() -> String {
    "tidegate".into()
}

fn lease() -> Span {
    Span::from_secs(180)
}

pub struct GitJournal {
    branch: Branch,
    unit: UnitName,
    environment: EnvironmentName,
    lease_seconds: u64,
    seen: Mutex<Seen>,
}

/// What this process knows. GitHub may answer a read with what was a moment ago: nothing older than this is
/// believed.
#[derive(Default)]
struct Seen {
    /// Commits by their names; a name always means the same commit.
    commits: HashMap<String, Commit>,
    /// The newest record: its number and commit.
    head: Option<(u64, String)>,
    /// Comes with the answer that said where the branch is.
    etag: Option<String>,
    /// The branch has been looked at.
    looked: bool,
    /// A record of this number is there, though it was not seen yet.
    least: u64,
    /// A commit that was made and may be the branch's already.
    pending: Option<(String, Commit)>,
    /// Nobody asked for this journal, and whether everybody may read it is not known.
    doubtful: bool,
}

/// How long a read that is behind may stay so.
const BEHIND_LIMIT: Duration = Duration::from_secs(5);
const BEHIND_WAIT: Duration = Duration::from_millis(100);
/// What a process asks for that knows the branch already.
const NEWS: u64 = 10;
/// Far more than a record of a large release, and less than GitHub takes.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
const README: &str = "# Releases\n\nEach commit on this branch is one record of a release by tidegate, \
written and read by it: what was planned, done, seen and decided. Read it with `git log`. Do not push to this \
branch, and do not delete it while a release is open.\n";

impl Adapter for GitJournal {
    const NAME: &'static str = "git";
    const SUMMARY: &'static str = "records as commits on a branch of a GitHub repository";
    const SHORT: Option<&'static str> = Some("repository");
    type Config = Config;
}

impl JournalAdapter for GitJournal {
    fn connect(config: Config, setting: &Setting) -> Result<Box<dyn Journal>, String> {
        Ok(Box::new(GitJournal::open(config, setting)?))
    }

    fn is_usual(env: &Environment) -> bool {
        env("GITHUB_ACTIONS").is_some_and(|value| value == "true")
    }

    fn connect_unasked(config: Config, setting: &Setting) -> Result<Box<dyn Journal>, String> {
        let mut journal = GitJournal::open(config, setting)?;
        match public::told(&setting.env) {
            Some(true) => return Err(public::refusal()),
            Some(false) => {}
            None => journal.seen.get_mut().doubtful = true,
        }
        Ok(Box::new(journal))
    }
}

impl GitJournal {
    fn open(config: Config, setting: &Setting) -> Result<GitJournal, String> {
        if config.lease.get().as_secs() == 0 {
            return Err("a lease lasts at least `1s`".into());
        }
        let github = GitHub::shared(&config.github, config.repository.as_deref(), setting)?;
        let name = format!("{}/{}/{}", config.branch.trim_matches('/'), setting.unit, setting.environment);
        if let Some(why) = unfit(&name) {
            return Err(format!("`{name}` cannot be the name of a branch: {why}"));
        }
        Ok(GitJournal {
            branch: Branch { github, name },
            unit: setting.unit.clone(),
            environment: setting.environment.clone(),
            lease_seconds: config.lease.get().as_secs(),
            seen: Mutex::default(),
        })
    }

    fn fault(&self, operation: &str, detail: impl std::fmt::Display) -> Fault {
        Fault::permanent(PROVIDER, operation, self.branch.place(), detail)
    }

    fn broken(&self, detail: impl std::fmt::Display) -> Fault {
        let hint = format!(
            "find out who pushed to or deleted `{0}` (the repository's activity view keeps its former heads) and \
             put it back; `tidegate rollback --to-baseline SIDE` works without it, and `branch` in `journal` \
             begins a new one",
            self.branch.name
        );
        self.fault("read the journal", detail).hint(hint)
    }

    /// Looks where the branch is, and waits while GitHub is behind what this process knows.
    async fn refresh(&self, cx: &Context, seen: &mut Seen) -> Result<(), Fault> {
        if seen.doubtful {
            if self.branch.is_public(cx).await? {
                return Err(self.fault("open the journal", public::refusal()));
            }
            seen.doubtful = false;
        }
        let began = cx.clock().elapsed();
        let mut wait = BEHIND_WAIT;
        loop {
            let found = match self.branch.tip(cx, seen.etag.take()).await? {
                // only an answer that was believed leaves its tag
                Tip::Same => None,
                Tip::At { sha, etag } => Some((sha, etag)),
            };
            let current = match &found {
                None => true,
                Some((sha, _)) => self.follow(cx, seen, sha.as_deref()).await?,
            };
            if current {
                if let Some((_, etag)) = found {
                    seen.etag = etag;
                }
                seen.looked = true;
                return Ok(());
            }
            let waited = cx.clock().elapsed().saturating_sub(began);
            if waited >= BEHIND_LIMIT || cx.left() <= wait {
                let known = seen.head.as_ref().map_or(seen.least, |(seq, _)| (*seq).max(seen.least));
                let now = match found.and_then(|(sha, _)| sha) {
                    Some(sha) => format!("is at {}, which is older", short(&sha)),
                    None => "is gone".into(),
                };
                return Err(
                    self.broken(format!("record {known} was there, and the branch {now}: it was rewritten"))
                );
            }
            cx.clock().sleep(wait).await;
            wait *= 2;
        }
    }

    /// Takes a head that was found. `false`: it is older than what is known.
    async fn follow(&self, cx: &Context, seen: &mut Seen, sha: Option<&str>) -> Result<bool, Fault> {
        let Some(sha) = sha else { return Ok(seen.head.is_none() && seen.least == 0) };
        if seen.head.as_ref().is_some_and(|(_, known)| known == sha) {
            return Ok(seen.head.as_ref().is_some_and(|(seq, _)| *seq >= seen.least));
        }
        let count = if seen.head.is_some() { NEWS } else { PAGE };
        let commit = self.commit(cx, seen, sha, count).await?;
        let seq = self.record(&commit)?.seq;
        if let Some((known, at)) = seen.head.clone() {
            if seq <= known {
                return self.behind(seen, seq, sha);
            }
            let before = self.walk(cx, seen, sha, known).await?;
            if before.last().is_none_or(|(commit, _)| *commit != at) {
                return Err(
                    self.broken(format!("record {known} is another one now: the branch was rewritten"))
                );
            }
        }
        if seq < seen.least {
            return Ok(false);
        }
        seen.head = Some((seq, sha.to_string()));
        Ok(true)
    }

    /// An older head is a read that lags, unless the history that is known has another commit in its place.
    fn behind(&self, seen: &Seen, seq: u64, sha: &str) -> Result<bool, Fault> {
        let mut next = seen.head.clone();
        while let Some((number, at)) = next {
            if number == seq {
                return match at == sha {
                    true => Ok(false),
                    false => {
                        Err(self.broken(format!("record {seq} is another one now: the branch was rewritten")))
                    }
                };
            }
            let parent = seen.commits.get(&at).and_then(|commit| commit.parents.first());
            next = parent.map(|parent| (number - 1, parent.clone()));
        }
        Ok(false)
    }

    /// A commit; where it is not known it is listed together with those before it.
    async fn commit(&self, cx: &Context, seen: &mut Seen, sha: &str, count: u64) -> Result<Commit, Fault> {
        if let Some(commit) = seen.commits.get(sha) {
            return Ok(commit.clone());
        }
        let listed = self.branch.commits(cx, sha, count).await?;
        seen.commits.extend(listed.into_iter().map(|commit| (commit.sha.clone(), commit)));
        let missing =
            || self.fault("list the commits", format!("commit {} is not in its own list", short(sha)));
        seen.commits.get(sha).cloned().ok_or_else(missing)
    }

    fn record(&self, commit: &Commit) -> Result<Record, Fault> {
        message::record(&commit.message)
            .map_err(|why| self.broken(format!("commit {}: {why}", short(&commit.sha))))
    }

    /// The records from the commit back to number `from`, newest first, with their commits.
    async fn walk(
        &self,
        cx: &Context,
        seen: &mut Seen,
        sha: &str,
        from: u64,
    ) -> Result<Vec<(String, Record)>, Fault> {
        let mut found: Vec<(String, Record)> = Vec::new();
        let mut next = Some(sha.to_string());
        let missing = |seq: u64| self.broken(format!("record {seq} is missing"));
        loop {
            let last = found.last().map(|(_, record)| record.seq);
            if last.is_some_and(|seq| seq <= from) {
                return Ok(found);
            }
            let Some(sha) = next else {
                return match last {
                    Some(seq) if seq > 1 => Err(missing(seq - 1)),
                    _ => Ok(found),
                };
            };
            let count = last.map_or(PAGE, |seq| (seq - from).min(PAGE));
            let commit = self.commit(cx, seen, &sha, count).await?;
            let record = self.record(&commit)?;
            match last {
                Some(seq) if record.seq != seq - 1 => return Err(missing(seq - 1)),
                _ => {}
            }
            if commit.parents.len() > 1 {
                return Err(self.broken(format!("commit {} is a merge", short(&commit.sha))));
            }
            next = commit.parents.first().cloned();
            found.push((sha, record));
        }
    }

    /// The records of the branch from number `from` on, newest first.
    async fn since(&self, cx: &Context, seen: &mut Seen, from: u64) -> Result<Vec<Record>, Fault> {
        match seen.head.clone() {
            Some((seq, sha)) if seq >= from => {
                let found = self.walk(cx, seen, &sha, from).await?;
                Ok(found.into_iter().map(|(_, record)| record).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The commit of a record, the same one as before where it was made already.
    async fn made(&self, cx: &Context, seen: &mut Seen, record: &Record) -> Result<Commit, Fault> {
        let parent = seen.head.as_ref().map(|(_, sha)| sha.clone());
        if let Some((nonce, commit)) = &seen.pending
            && *nonce == record.nonce
            && commit.parents.first() == parent.as_ref()
        {
            return Ok(commit.clone());
        }
        let operation = "write the record";
        let text =
            message::message(&self.unit, &self.environment, record).map_err(|e| self.fault(operation, e))?;
        if text.len() > MESSAGE_BYTES_MAX {
            let detail = format!("it has {} bytes; a commit takes {MESSAGE_BYTES_MAX}", text.len());
            return Err(self.fault(operation, detail).hint("keep this journal in a bucket (`s3`)"));
        }
        let tree = match &parent {
            None => self.branch.plant(cx, "README.md", README).await?,
            Some(parent) => self.commit(cx, seen, parent, 1).await?.tree,
        };
        let commit = self.branch.commit(cx, &tree, parent.as_deref(), &text).await?;
        seen.pending = Some((record.nonce.clone(), commit.clone()));
        Ok(commit)
    }
}

fn short(sha: &str) -> &str {
    sha.get(..10).unwrap_or(sha)
}

/// Why git would not take a name that is made of ours (git-check-ref-format).
fn unfit(name: &str) -> Option<&'static str> {
    let bad = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let parts = || name.split('/');
    if name.contains("..") || name.contains("@{") {
        Some("it has `..` or `@{` in it")
    } else if name.contains(bad) {
        Some("it has a character in it that names of branches never have")
    } else if parts().any(|part| part.is_empty() || part.starts_with('.') || part.starts_with('-')) {
        Some("a part of it is empty or begins with `.` or `-`")
    } else if parts().any(|part| part.ends_with('.') || part.ends_with(".lock")) {
        Some("a part of it ends with `.` or `.lock`")
    } else if name.starts_with("refs/") {
        Some("GitHub refuses names that begin with `refs/`")
    } else {
        None
    }
}

#[async_trait]
impl Journal for GitJournal {
    async fn head(&self, cx: &Context) -> Result<Option<Record>, Fault> {
        let mut seen = self.seen.lock().await;
        self.refresh(cx, &mut seen).await?;
        let Some((_, sha)) = seen.head.clone() else { return Ok(None) };
        let commit = self.commit(cx, &mut seen, &sha, 1).await?;
        self.record(&commit).map(Some)
    }

    async fn read(&self, cx: &Context, seq: u64) -> Result<Option<Record>, Fault> {
        let mut seen = self.seen.lock().await;
        self.refresh(cx, &mut seen).await?;
        Ok(self.since(cx, &mut seen, seq).await?.pop().filter(|record| record.seq == seq))
    }

    async fn load(&self, cx: &Context, from: u64) -> Result<Vec<Record>, Fault> {
        let mut seen = self.seen.lock().await;
        self.refresh(cx, &mut seen).await?;
        let mut records = self.since(cx, &mut seen, from.max(1)).await?;
        records.reverse();
        Ok(records)
    }

    async fn append(&self, cx: &Context, record: &Record) -> Result<Appended, Fault> {
        let mut seen = self.seen.lock().await;
        let before = record.seq.saturating_sub(1);
        let known = |seen: &Seen| seen.head.as_ref().map_or(0, |(seq, _)| *seq);
        if !seen.looked || known(&seen) != before {
            self.refresh(cx, &mut seen).await?;
        }
        if known(&seen) > before {
            return Ok(Appended::Conflict);
        }
        if known(&seen) < before {
            let detail = format!("record {} would follow record {}", record.seq, known(&seen));
            return Err(self.fault("append a record", detail));
        }
        let commit = self.made(cx, &mut seen, record).await?;
        match self.branch.point(cx, &commit).await? {
            Moved::Done => {
                seen.pending = None;
                seen.etag = None;
                seen.head = Some((record.seq, commit.sha.clone()));
                seen.commits.insert(commit.sha.clone(), commit);
                Ok(Appended::Done)
            }
            Moved::Elsewhere => {
                seen.etag = None;
                seen.least = seen.least.max(record.seq);
                Ok(Appended::Conflict)
            }
            Moved::Gone => Err(self.broken(format!("record {before} was there, and the branch is gone"))),
            Moved::Refused(fault) => Err(fault),
        }
    }

    fn place(&self) -> String {
        self.branch.place()
    }

    fn lease_seconds(&self) -> u64 {
        self.lease_seconds
    }
}
