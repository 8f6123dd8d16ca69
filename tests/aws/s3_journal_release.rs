//! A release whose journal is in S3, by the real binary.

use tidegate::domain::{history::History, record::Record};

use crate::{
    double::{self, Double},
    proxy::{Proxy, Trouble, When},
    stage::{Ran, Stage},
};

const SHIFT: &str = "shift-traffic --to 10 --release v1 --output json";
const JOURNAL: &str = "journal: {s3: {bucket: releases, lease: 1s}}\n";

struct World {
    double: Double,
    proxy: Proxy,
    stage: Stage,
}

impl World {
    async fn make() -> World {
        let double = Double::start();
        double.state().s3.bucket("releases");
        let proxy = Proxy::start(&double.url);
        World { proxy, double, stage: Stage::set(JOURNAL).await }
    }

    async fn run(&self, arguments: &str) -> Ran {
        self.stage.run_with("ci/1", arguments, &double::environment(&self.proxy.url)).await
    }

    /// All records, in order; a sequence that no tidegate could have written is a panic.
    fn history(&self) -> History {
        let state = self.double.state();
        let keys = state.s3.keys("releases");
        let read = |key: &String| -> Record {
            serde_json::from_slice(&state.s3.object("releases", key).unwrap().body).unwrap()
        };
        let records: Vec<Record> = keys.iter().map(read).collect();
        for (index, (key, record)) in keys.iter().zip(&records).enumerate() {
            assert_eq!(record.seq, index as u64 + 1);
            assert_eq!(*key, format!("tidegate/shop/production/{:06}.json", record.seq));
        }
        History::replay(&records).unwrap()
    }
}

#[tokio::test]
async fn a_release_goes_up_and_back_with_its_journal_in_s3() {
    let world = World::make().await;
    let ran = world.run(SHIFT).await.ends(0);
    assert_eq!(ran.json()["changed"], "all");
    assert_eq!(world.stage.green().await.round(), 10.0);
    assert_eq!(world.run("status --output json").await.ends(0).json()["state"], "open");
    // again: nothing to do
    let before = world.history().last;
    assert_eq!(world.run(SHIFT).await.ends(0).json()["changed"], "none");
    let written = world.history().last - before;
    assert!(written <= 2, "a lease and its end, not {written} records");
    world.run("rollback --output json").await.ends(0);
    assert_eq!(world.stage.green().await.round(), 0.0);
    assert!(world.history().open().is_none());
    assert!(world.double.state().s3.deleted.is_empty());
}

#[tokio::test]
async fn an_append_whose_answer_is_lost_is_found_again_whichever_it_is() {
    let clean = World::make().await;
    clean.run(SHIFT).await.ends(0);
    let appends = clean.history().last as usize;
    for n in 1..=appends {
        let world = World::make().await;
        // one more write than records: the proof that the store honours the precondition
        world.proxy.plan(When::nth("s3", "PutObject", n), Trouble::ResetAfter);
        world.run(SHIFT).await.ends(0);
        assert_eq!(world.proxy.troubles(), [Trouble::ResetAfter], "{n}");
        assert_eq!(world.stage.green().await.round(), 10.0, "{n}");
        assert_eq!(world.history().last as usize, appends, "{n}");
    }
}

#[tokio::test]
async fn every_trouble_with_the_record_of_an_intent_ends_right() {
    for trouble in Trouble::ALL {
        let world = World::make().await;
        world.proxy.plan(When::nth("s3", "PutObject", 4), trouble);
        let ran = world.run(SHIFT).await;
        assert_eq!(world.proxy.troubles(), [trouble]);
        match trouble {
            // it was done, and the look that finds out may just have had its time
            Trouble::HangAfter if ran.code == 0 => {}
            // the time for the call is over, and nothing was changed without a record
            Trouble::Hang | Trouble::HangAfter => {
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
async fn every_trouble_with_a_look_at_the_journal_is_overcome() {
    for trouble in Trouble::ALL {
        let world = World::make().await;
        // one call has time for one answer that never comes, and takes new credentials once
        let times = match trouble {
            Trouble::Hang | Trouble::HangAfter | Trouble::Expired => 1,
            _ => 3,
        };
        world.proxy.plan(When::times("s3", "ListObjectsV2", times), trouble);
        world.run(SHIFT).await.ends(0);
        assert_eq!(world.proxy.troubles(), vec![trouble; times]);
        assert_eq!(world.stage.green().await.round(), 10.0, "{trouble:?}");
    }
}
