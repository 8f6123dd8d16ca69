//! The journal of a file that names none.

use std::{path::Path, sync::Arc};
use tempfile::TempDir;
use tidegate::{
    config::{Config, explain},
    port::{Journal, Treat, adapter::Environment},
};

use crate::{
    double::{Double, NAME, Op},
    journal_suite::fill,
    world::within,
};

const FILE: &str = "name: shop\nservices: {web: {haproxy: {socket: s, backend: b, sides: [blue, green]}}}\n";

struct Step {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Step {
    /// A step of a workflow of this repository.
    fn of(double: &Double) -> Step {
        Step { folder: tempfile::tempdir().unwrap(), variables: double.environment() }
    }

    fn with(mut self, name: &str, value: &str) -> Step {
        self.variables.retain(|(key, _)| key != name);
        self.variables.push((name.into(), value.into()));
        self
    }

    /// The workflow was begun by an event with this repository in its payload.
    fn told(self, repository: serde_json::Value) -> Step {
        let path = self.folder.path().join("event.json");
        std::fs::write(&path, serde_json::json!({"repository": repository}).to_string()).unwrap();
        let path = path.display().to_string();
        self.with("GITHUB_EVENT_PATH", &path)
    }

    fn config(&self, text: &str) -> Config {
        let variables = self.variables.clone();
        let env: Environment =
            Arc::new(move |name| variables.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone()));
        let file = self.folder.path().join("tidegate.yml");
        Config::from_text(&file, text.into(), &"production".parse().unwrap(), env).unwrap()
    }

    fn journal(&self, text: &str) -> Result<Box<dyn Journal>, String> {
        self.config(text).connect_journal().map_err(|failure| failure.to_string())
    }
}

#[tokio::test]
async fn in_a_workflow_of_a_private_repository_it_is_a_branch() {
    let double = Double::start();
    let step = Step::of(&double).told(serde_json::json!({"full_name": NAME, "private": true}));
    let journal = step.journal(FILE).unwrap();
    assert_eq!(journal.place(), "acme/shop (branch tidegate/shop/production)");
    fill(journal.as_ref(), 1).await;
    assert!(!double.ops().contains(&Op::Repository), "the event has told it");
    assert!(explain(&step.config(FILE)).contains("git:"), "{}", explain(&step.config(FILE)));
}

#[test]
fn elsewhere_it_is_a_folder() {
    let double = Double::start();
    for value in ["", "false"] {
        let step = Step::of(&double).with("GITHUB_ACTIONS", value);
        let place = step.journal(FILE).unwrap().place();
        assert!(Path::new(&place).ends_with(".tidegate/journal/shop/production"), "{place}");
    }
}

fn says_what_to_write(text: &str) {
    for word in ["public", "`journal: git`", "`journal: {s3: {bucket: NAME}}`", "PRIVATE-REPOSITORY"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn in_a_public_repository_it_must_be_named() {
    let double = Double::start();
    for repository in [
        serde_json::json!({"full_name": NAME, "private": false}),
        serde_json::json!({"full_name": NAME, "private": false, "visibility": "public"}),
    ] {
        let step = Step::of(&double).told(repository);
        says_what_to_write(&step.journal(FILE).map(|_| ()).unwrap_err());
        for asked in ["git", "{git: {}}", "{git: {lease: 1m}}"] {
            step.journal(&format!("{FILE}journal: {asked}\n")).unwrap();
        }
    }
    let internal = serde_json::json!({"full_name": NAME, "private": true, "visibility": "internal"});
    Step::of(&double).told(internal).journal(FILE).unwrap();
}

#[tokio::test]
async fn where_the_event_does_not_tell_github_is_asked_once() {
    let double = Double::start();
    let other = serde_json::json!({"full_name": "acme/other", "private": true});
    for step in [
        Step::of(&double),
        Step::of(&double).with("GITHUB_EVENT_PATH", "/nonexistent"),
        Step::of(&double).told(serde_json::Value::Null),
        Step::of(&double).told(other),
    ] {
        double.state().private = true;
        double.calls();
        let journal = step.journal(FILE).unwrap();
        journal.head(&within(30)).await.unwrap();
        journal.head(&within(30)).await.unwrap();
        assert_eq!(double.ops(), [Op::Repository, Op::Tip, Op::Tip]);

        double.state().private = false;
        let journal = step.journal(FILE).unwrap();
        for _ in 0..2 {
            let fault = journal.head(&within(30)).await.unwrap_err();
            assert_eq!(fault.treat, Treat::Permanent);
            says_what_to_write(&fault.detail);
        }
        let fault = journal.append(&within(30), &crate::journal_suite::record(1, "n")).await.unwrap_err();
        says_what_to_write(&fault.detail);
        let asked = step.journal(&format!("{FILE}journal: git\n")).unwrap();
        asked.head(&within(30)).await.unwrap();
    }
}

#[test]
fn files_on_a_machine_that_is_thrown_away_are_refused() {
    let double = Double::start();
    let step = Step::of(&double).with("RUNNER_ENVIRONMENT", "github-hosted");
    for named in ["file", "{file: {path: here}}"] {
        let why = step.journal(&format!("{FILE}journal: {named}\n")).map(|_| ()).unwrap_err();
        assert!(why.contains("thrown away") && why.contains("journal: git"), "{why}");
    }
    let step = Step::of(&double).with("RUNNER_ENVIRONMENT", "self-hosted");
    step.journal(&format!("{FILE}journal: file\n")).unwrap();
}
