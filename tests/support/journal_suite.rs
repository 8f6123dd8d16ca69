//! What every journal promises.

use async_trait::async_trait;
use std::{sync::Arc, time::Duration};
use tidegate::{
    domain::record::{Event, FORMAT, Holder, Record},
    port::{Appended, Clock as _, Context, Fault, Journal, Treat, clock::SystemClock},
};

/// A place where one journal is kept, and ways around the adapter.
#[async_trait]
pub trait Place: Send + Sync {
    /// The journal of `shop` in this environment, as one more process opens it.
    fn open(&self, environment: &str) -> Box<dyn Journal>;
    /// Puts something under this name beside the records of `production`.
    async fn put(&self, name: &str, text: &str);
    /// Takes a record of `production` away.
    async fn remove(&self, name: &str);
    /// Where each record holds on to the one before, a process notices that what it knew was changed. The
    /// context is for what it waits then.
    fn chained(&self) -> Option<Context> {
        None
    }
}

fn cx() -> Context {
    Context::new(Arc::new(SystemClock::default()), Duration::from_secs(30))
}

pub fn record(seq: u64, nonce: &str) -> Record {
    Record {
        format: FORMAT,
        seq,
        opened: 0,
        at: SystemClock::default().now(),
        nonce: nonce.into(),
        holder: Holder { run: "ci/1".into(), process: "p".into(), ..Holder::default() },
        event: Event::Lease { seconds: 30 },
    }
}

pub async fn fill(journal: &dyn Journal, upto: u64) {
    for seq in 1..=upto {
        assert_eq!(journal.append(&cx(), &record(seq, "n")).await.unwrap(), Appended::Done, "{seq}");
    }
}

fn numbers(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.seq).collect()
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Fault>, word: &str) {
    let fault = answer.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent, "{fault}");
    assert!(fault.to_string().contains(word), "{fault}");
}

pub async fn an_empty_journal_has_no_head(place: &dyn Place) {
    let journal = place.open("production");
    assert_eq!(journal.head(&cx()).await.unwrap(), None);
    assert_eq!(journal.load(&cx(), 1).await.unwrap(), []);
    assert_eq!(journal.read(&cx(), 1).await.unwrap(), None);
}

pub async fn what_was_appended_is_read_by_every_process_as_it_was(place: &dyn Place) {
    let (writer, reader) = (place.open("production"), place.open("production"));
    for seq in 1..=4 {
        let written = record(seq, &format!("nonce-{seq}"));
        assert_eq!(writer.append(&cx(), &written).await.unwrap(), Appended::Done);
        for journal in [&writer, &reader] {
            assert_eq!(journal.head(&cx()).await.unwrap().as_ref(), Some(&written));
            assert_eq!(journal.read(&cx(), seq).await.unwrap().as_ref(), Some(&written));
        }
    }
    for journal in [writer, reader, place.open("production")] {
        assert_eq!(numbers(&journal.load(&cx(), 0).await.unwrap()), [1, 2, 3, 4]);
        assert_eq!(numbers(&journal.load(&cx(), 3).await.unwrap()), [3, 4]);
        assert_eq!(journal.load(&cx(), 5).await.unwrap(), []);
        assert_eq!(journal.read(&cx(), 5).await.unwrap(), None);
    }
}

pub async fn a_number_that_exists_is_a_conflict_and_stays_as_it_was(place: &dyn Place) {
    fill(place.open("production").as_ref(), 2).await;
    for journal in [place.open("production"), place.open("production")] {
        assert_eq!(journal.append(&cx(), &record(2, "rival")).await.unwrap(), Appended::Conflict);
        assert_eq!(journal.read(&cx(), 2).await.unwrap().unwrap().nonce, "n");
        assert_eq!(journal.head(&cx()).await.unwrap().unwrap().nonce, "n");
    }
}

pub async fn of_many_who_append_the_same_number_one_succeeds(place: &dyn Place) {
    fill(place.open("production").as_ref(), 1).await;
    for seq in 2..6 {
        let rivals = (0..8).map(|rival| {
            let journal = place.open("production");
            async move {
                let nonce = format!("{rival}");
                let answer = journal.append(&cx(), &record(seq, &nonce)).await.unwrap();
                (answer == Appended::Done).then_some(nonce)
            }
        });
        let winners: Vec<String> =
            futures_util::future::join_all(rivals).await.into_iter().flatten().collect();
        let found = place.open("production").read(&cx(), seq).await.unwrap().unwrap();
        assert_eq!(winners, [found.nonce]);
    }
}

pub async fn a_missing_record_is_noticed_and_named(place: &dyn Place) {
    let journal = place.open("production");
    fill(journal.as_ref(), 5).await;
    place.remove("000003.json").await;
    let mut journals = vec![place.open("production")];
    match place.chained() {
        Some(cx) => refused(journal.load(&cx, 4).await, "rewritten"),
        None => journals.push(journal),
    }
    for journal in journals {
        refused(journal.load(&cx(), 2).await, "record 3 is missing");
        refused(journal.load(&cx(), 3).await, "record 3 is missing");
        assert_eq!(numbers(&journal.load(&cx(), 4).await.unwrap()), [4, 5]);
        assert_eq!(journal.head(&cx()).await.unwrap().unwrap().seq, 5);
    }
}

pub async fn a_head_that_was_lost_is_not_remembered(place: &dyn Place) {
    let journal = place.open("production");
    fill(journal.as_ref(), 3).await;
    assert_eq!(journal.head(&cx()).await.unwrap().unwrap().seq, 3);
    place.remove("000003.json").await;
    let Some(patient) = place.chained() else {
        assert_eq!(journal.head(&cx()).await.unwrap().unwrap().seq, 2);
        place.remove("000002.json").await;
        place.remove("000001.json").await;
        return assert_eq!(journal.head(&cx()).await.unwrap(), None);
    };
    refused(journal.head(&patient).await, "rewritten");
    assert_eq!(place.open("production").head(&cx()).await.unwrap().unwrap().seq, 2);
    place.remove("000002.json").await;
    place.remove("000001.json").await;
    refused(journal.head(&patient).await, "rewritten");
    assert_eq!(place.open("production").head(&cx()).await.unwrap(), None);
}

pub async fn a_record_that_makes_no_sense_is_refused(place: &dyn Place) {
    let journal = place.open("production");
    fill(journal.as_ref(), 3).await;
    let good = serde_json::to_string(&record(3, "n")).unwrap();
    for (text, word) in [
        ("".to_string(), "EOF"),
        ("{}".to_string(), "format"),
        (good.replace("\"format\":1", "\"format\":2"), "newer tidegate"),
        (good.replace("\"seq\":3", "\"seq\":7"), "record 7"),
        (good[..good.len() / 2].to_string(), "EOF"),
    ] {
        place.put("000003.json", &text).await;
        for journal in [&journal, &place.open("production")] {
            refused(journal.read(&cx(), 3).await, word);
            refused(journal.head(&cx()).await, word);
            refused(journal.load(&cx(), 2).await, word);
        }
    }
}

pub async fn other_things_in_the_folder_are_passed_over(place: &dyn Place) {
    let journal = place.open("production");
    fill(journal.as_ref(), 2).await;
    for name in [".000003.json.tmp", "000002.json.bak", "notes.txt", "!", "~"] {
        place.put(name, "nothing").await;
    }
    for journal in [journal, place.open("production")] {
        assert_eq!(journal.head(&cx()).await.unwrap().unwrap().seq, 2);
        assert_eq!(numbers(&journal.load(&cx(), 1).await.unwrap()), [1, 2]);
    }
}

pub async fn environments_are_apart(place: &dyn Place) {
    fill(place.open("production").as_ref(), 3).await;
    for name in ["production-eu", "prod", "staging"] {
        let journal = place.open(name);
        assert_eq!(journal.head(&cx()).await.unwrap(), None, "{name}");
        fill(journal.as_ref(), 1).await;
        assert_ne!(journal.place(), place.open("production").place());
    }
    assert_eq!(place.open("production").head(&cx()).await.unwrap().unwrap().seq, 3);
}

/// Runs them all, each in a place of its own.
pub async fn all<P: Place>(make: impl AsyncFn() -> P) {
    an_empty_journal_has_no_head(&make().await).await;
    what_was_appended_is_read_by_every_process_as_it_was(&make().await).await;
    a_number_that_exists_is_a_conflict_and_stays_as_it_was(&make().await).await;
    of_many_who_append_the_same_number_one_succeeds(&make().await).await;
    a_missing_record_is_noticed_and_named(&make().await).await;
    a_head_that_was_lost_is_not_remembered(&make().await).await;
    a_record_that_makes_no_sense_is_refused(&make().await).await;
    other_things_in_the_folder_are_passed_over(&make().await).await;
    environments_are_apart(&make().await).await;
}
