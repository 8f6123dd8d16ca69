//! A whole release whose journal is on a branch, by the real binary.

use std::collections::BTreeMap;
use tidegate::domain::{
    history::History,
    record::{Event, Record},
};

use crate::{
    double::{Double, Op, Trouble},
    repository::Logged,
    stage::{Ran, Stage},
    world::{BRANCH, log},
};

const SHIFT: &str = "shift-traffic --to 10 --release v1 --output json";
const RELEASE: &str = "journal: {git: {lease: 1s}}
databases: {main: {sqlite: shop.db}}
migrations: {stock: {sql: 'alter table orders add column stock integer', database: main, undo: {sql: 'alter table orders drop column stock', database: main}}}
stages: [10% for 1s, 50% for 1s, 100% for 1s]
checks: {healthy: {target: instances, fail: below 50%}}
smoke: {front: {http: GET /health}}
finish: {keep_old: 0s}
";

struct World {
    double: Double,
    stage: Stage,
}

impl World {
    async fn make(extra: &str) -> World {
        World { double: Double::start(), stage: Stage::set(extra).await }
    }

    async fn run(&self, arguments: &str) -> Ran {
        let mut variables = self.double.environment();
        variables.push(("GITHUB_ACTOR".into(), "octocat".into()));
        variables.push(("TIDEGATE_CALL_SECONDS".into(), "3".into()));
        let ran = self.stage.run_with("9876543210.1", arguments, &variables).await;
        // the runner takes what it is to hide from these lines and shows none of them
        let text = ran.text();
        let mut shown = text.lines().filter(|line| !line.starts_with("::add-mask::"));
        assert!(!shown.any(|line| line.contains(crate::double::TOKEN)), "{text}");
        ran
    }

    /// All records, in order; a sequence that no tidegate could have written is a panic.
    fn records(&self) -> Vec<Record> {
        let commits: Vec<Logged> = log(&self.double).into_iter().rev().collect();
        let record = |commit: &Logged| -> Record {
            let text = commit.message.splitn(3, "\n\n").nth(2).unwrap();
            serde_json::from_str(text).unwrap()
        };
        let records: Vec<Record> = commits.iter().map(record).collect();
        for (index, (commit, record)) in commits.iter().zip(&records).enumerate() {
            assert_eq!(record.seq, index as u64 + 1);
            assert!(commit.message.starts_with(&format!("shop/production #{} ", record.seq)));
            assert_eq!(commit.tree, commits[0].tree);
        }
        records
    }

    fn history(&self) -> History {
        History::replay(&self.records()).unwrap()
    }
}

#[tokio::test]
async fn a_release_is_read_with_git_log() {
    let world = World::make(RELEASE).await;
    world.stage.with_database("shop.db");
    for command in [
        "snapshot-db --release v1",
        "migrate",
        "deploy",
        "smoke-test",
        "shift-traffic --to 10",
        "verify-metrics",
        "shift-traffic --to 100 --hotfix leak",
        "verify-metrics",
        "finish",
    ] {
        world.run(command).await.ends(0);
    }
    assert_eq!(world.stage.green().await, 100.0);
    world.history();
    let told =
        world.double.state().repository.git(&["log", "--reverse", "--format=%s", BRANCH], b"").unwrap();
    insta::with_settings!({filters => vec![(r"watched \d+", "watched N"), (r"baseline recorded: .*", "baseline recorded")]}, {
        insta::assert_snapshot!(told);
    });
    let whole = world.double.state().repository.git(&["log", "--max-count=1", BRANCH], b"").unwrap();
    assert!(whole.contains("run 9876543210.1 by octocat"), "{whole}");
}

/// Lists what each command appends; at most six, and two requests that change something for each.
#[tokio::test]
async fn a_command_appends_at_most_six_records() {
    let world = World::make(&RELEASE.replace("lease: 1s", "lease: 3m")).await;
    world.stage.with_database("shop.db");
    let mut counted: Vec<(String, usize, usize)> = Vec::new();
    for command in [
        "snapshot-db --release v1",
        "migrate",
        "deploy",
        "smoke-test",
        "shift-traffic --to 10",
        "verify-metrics",
        "shift-traffic --to 10",
        "rollback",
        "deploy --release v2",
        "shift-traffic --to 10",
        "verify-metrics",
        "shift-traffic --to 50",
        "verify-metrics",
        "shift-traffic --to 100",
        "verify-metrics",
        "finish",
        "status",
    ] {
        let before = world.records().len();
        world.double.calls();
        // smoke tests come before the first traffic
        if command == "shift-traffic --to 10" {
            world.run("smoke-test").await.ends(0);
        }
        let between = world.records().len();
        world.double.calls();
        world.run(command).await.ends(0);
        let requests = world.double.calls().len();
        counted.push((command.into(), world.records().len() - between, requests));
        assert!(between - before <= 6);
    }
    let kinds: BTreeMap<&str, usize> = counted.iter().map(|(c, n, _)| (c.as_str(), *n)).collect();
    for (command, records, requests) in &counted {
        println!("{command}: {records} records, {requests} requests");
    }
    let over: Vec<_> = counted.iter().filter(|(_, records, _)| *records > 6).collect();
    assert!(over.is_empty(), "{over:?}\n{kinds:?}");
}

#[tokio::test]
async fn an_append_whose_answer_is_lost_is_found_again_whichever_it_is() {
    let clean = World::make("journal: git\n").await;
    clean.run(SHIFT).await.ends(0);
    let appends = clean.records().len();
    for n in 1..=appends {
        let world = World::make("journal: git\n").await;
        match n {
            1 => world.double.nth(Op::Create, 1, Trouble::ResetAfter),
            n => world.double.nth(Op::Move, n - 1, Trouble::ResetAfter),
        }
        world.run(SHIFT).await.ends(0);
        assert_eq!(world.double.troubles(), [Trouble::ResetAfter], "{n}");
        assert_eq!(world.stage.green().await.round(), 10.0, "{n}");
        assert_eq!(world.records().len(), appends, "{n}");
    }
}

#[tokio::test]
async fn every_trouble_with_the_record_of_an_intent_ends_right() {
    let clean = World::make("journal: git\n").await;
    clean.run(SHIFT).await.ends(0);
    let intent = clean.records().iter().position(|r| matches!(r.event, Event::Intent { .. })).unwrap();
    for trouble in Trouble::ALL {
        let world = World::make("journal: {git: {lease: 1s}}\n").await;
        world.double.nth(Op::Move, intent, trouble);
        let ran = world.run(SHIFT).await;
        assert_eq!(world.double.troubles(), [trouble]);
        match trouble {
            // it was done, and the look that finds out may just have had its time
            Trouble::HangAfter if ran.code == 0 => {}
            // the time for the call is over, and nothing was changed without a record
            Trouble::Hang | Trouble::HangAfter | Trouble::SecondaryInWords => {
                let ran = ran.ends(14);
                assert_eq!(ran.json()["changed"], "none");
                assert_eq!(world.stage.green().await.round(), 0.0);
                world.run(SHIFT).await.ends(0);
            }
            _ => drop(ran.ends(0)),
        }
        assert_eq!(world.stage.green().await.round(), 10.0, "{trouble:?}");
        world.history();
    }
}

#[tokio::test]
async fn a_release_goes_up_and_back_where_reads_lag_behind_writes() {
    let world = World::make("journal: {git: {lease: 1s}}\n").await;
    world.run(SHIFT).await.ends(0);
    world.double.lag(3);
    world.run("rollback --output json").await.ends(0);
    assert_eq!(world.stage.green().await.round(), 0.0);
    assert!(world.history().open().is_none());
}

#[tokio::test]
async fn of_two_runs_at_once_one_acts() {
    let world = World::make("journal: git\n").await;
    let (one, other) = tokio::join!(world.run(SHIFT), world.run(SHIFT));
    let codes = [one.code, other.code];
    assert!(codes.contains(&0), "{codes:?}\n{}\n{}", one.text(), other.text());
    assert!(codes.iter().all(|code| [0, 13].contains(code)), "{codes:?}\n{}\n{}", one.text(), other.text());
    assert_eq!(world.stage.green().await.round(), 10.0);
    let moved = |r: &&Record| matches!(r.event, Event::Intent { .. });
    assert_eq!(world.records().iter().filter(moved).count(), 1);
    world.history();
}
