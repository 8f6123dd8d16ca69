//! A bare git repository, by the git command line.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

pub struct Repository(TempDir);

/// What git said to a command that failed.
pub type Refused = String;

const NOBODY: &str = "0000000000000000000000000000000000000000";

impl Repository {
    /// With one commit on `main`.
    pub fn new() -> Repository {
        let repository = Repository::empty();
        let blob = repository.git(&["hash-object", "-w", "--stdin"], b"name: shop\n").unwrap();
        let tree = repository.tree(&[("tidegate.yml", &blob)]).unwrap();
        let commit = repository.commit(&tree, &[], "feat: a shop\n").unwrap();
        repository.create("refs/heads/main", &commit).unwrap();
        repository
    }

    pub fn empty() -> Repository {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository(folder);
        repository.git(&["init", "--quiet", "--bare", "--initial-branch=main", "."], b"").unwrap();
        repository
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// What the command prints, without the line break at its end.
    pub fn git(&self, arguments: &[&str], input: &[u8]) -> Result<String, Refused> {
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("HOME", self.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("LC_ALL", "C")
            .envs([("GIT_AUTHOR_NAME", "github-actions[bot]"), ("GIT_COMMITTER_NAME", "GitHub")])
            .envs([
                ("GIT_AUTHOR_EMAIL", "bot@users.noreply.github.com"),
                ("GIT_COMMITTER_EMAIL", "noreply@github.com"),
            ])
            .envs([("GIT_AUTHOR_DATE", "1767225600 +0000"), ("GIT_COMMITTER_DATE", "1767225600 +0000")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("git: {e}"));
        // a command that has heard enough closes its end
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        match output.status.success() {
            true => Ok(text(output.stdout).trim_end_matches('\n').to_string()),
            false => Err(text(output.stderr)),
        }
    }

    pub fn tree(&self, files: &[(&str, &str)]) -> Result<String, Refused> {
        let lines: String =
            files.iter().map(|(name, blob)| format!("100644 blob {blob}\t{name}\n")).collect();
        self.git(&["mktree"], lines.as_bytes())
    }

    pub fn commit(&self, tree: &str, parents: &[&str], message: &str) -> Result<String, Refused> {
        let mut arguments = vec!["commit-tree", tree];
        for parent in parents {
            arguments.extend(["-p", parent]);
        }
        self.git(&arguments, message.as_bytes())
    }

    pub fn kind(&self, object: &str) -> Option<String> {
        let whole = object.len() == 40 && object.chars().all(|c| c.is_ascii_hexdigit());
        whole.then(|| self.git(&["cat-file", "-t", object], b"").ok()).flatten()
    }

    /// Fails where the reference exists.
    pub fn create(&self, name: &str, commit: &str) -> Result<(), Refused> {
        self.git(&["update-ref", name, commit, NOBODY], b"").map(drop)
    }

    /// Fails where the reference is not where it is said to be.
    pub fn update(&self, name: &str, commit: &str, before: &str) -> Result<(), Refused> {
        self.git(&["update-ref", name, commit, before], b"").map(drop)
    }

    pub fn delete(&self, name: &str) {
        self.git(&["update-ref", "-d", name], b"").unwrap();
    }

    /// Names and commits of all references.
    pub fn references(&self) -> Vec<(String, String)> {
        let text = self.git(&["for-each-ref", "--format=%(refname) %(objectname)"], b"").unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap()).map(|(n, s)| (n.into(), s.into())).collect()
    }

    pub fn reference(&self, name: &str) -> Option<String> {
        self.references().into_iter().find(|(found, _)| found == name).map(|(_, sha)| sha)
    }

    /// The commit and those before it: name, tree, parents, message.
    pub fn log(&self, commit: &str, count: usize) -> Result<Vec<Logged>, Refused> {
        let count = format!("--max-count={count}");
        let text = self.git(&["log", "-z", "--format=%H%n%T%n%P%n%B", &count, commit, "--"], b"")?;
        let logged = |entry: &str| {
            let mut parts = entry.splitn(4, '\n').map(str::to_string);
            let mut next = || parts.next().unwrap_or_default();
            let (sha, tree, parents) = (next(), next(), next());
            let parents = parents.split_whitespace().map(str::to_string).collect();
            // %B ends with a line break of the format's own
            let message = next();
            Logged { sha, tree, parents, message: message.strip_suffix('\n').unwrap_or(&message).to_string() }
        };
        Ok(text.split('\0').filter(|entry| !entry.is_empty()).map(logged).collect())
    }
}

pub struct Logged {
    pub sha: String,
    pub tree: String,
    pub parents: Vec<String>,
    pub message: String,
}
