//! Every trouble with every call.

use std::fmt::Write as _;
use tidegate::{
    domain::record::Record,
    port::{Appended, Context, Fault, Journal},
};

use super::{BUCKET, Bucket};
use crate::{
    double::Double,
    journal_suite::{Place as _, fill, record},
    troubled::{World, each},
};

/// How many records there are.
const LAST: u64 = 3;

struct Kept {
    double: Double,
    bucket: Bucket,
}

impl Kept {
    /// A journal that is listed in pages of so many records.
    async fn make(page: Option<usize>) -> Kept {
        let double = Double::start();
        let bucket = Bucket::make(&double.url, "tidegate").await;
        fill(bucket.open("production").as_ref(), LAST).await;
        double.state().s3.page = page;
        Kept { double, bucket }
    }

    fn has(&self, seq: u64) -> bool {
        let key = self.bucket.key(&format!("{seq:06}.json"));
        self.double.state().s3.object(BUCKET, &key).is_some()
    }
}

impl World for Kept {
    type Subject = dyn Journal;

    fn copy(&self) -> Self {
        let double = self.double.copy();
        let bucket = Bucket {
            url: double.url.clone(),
            prefix: self.bucket.prefix.clone(),
            shared: Default::default(),
        };
        Kept { double, bucket }
    }

    fn url(&self) -> &str {
        &self.double.url
    }

    fn subject(&self, url: &str) -> Box<dyn Journal> {
        let own = Bucket { url: url.into(), prefix: self.bucket.prefix.clone(), shared: Default::default() };
        own.at(url, "production")
    }

    /// Whether the next record is there.
    fn places(&self) -> Vec<String> {
        vec![self.has(LAST + 1).to_string()]
    }

    /// Records.
    fn made(&self) -> usize {
        self.double.state().s3.keys(BUCKET).len()
    }

    async fn state(&self) -> String {
        let (mut text, state) = (String::new(), self.double.state());
        for key in state.s3.keys(BUCKET) {
            let _ = writeln!(text, "{key}: {:?}", state.s3.object(BUCKET, &key).unwrap().body);
        }
        text
    }
}

/// Appends as a run does: of a record that is there already the nonce says whose it is.
async fn appended(journal: &dyn Journal, cx: &Context, record: &Record) -> Result<String, Fault> {
    let ours = match journal.append(cx, record).await? {
        Appended::Done => true,
        Appended::Conflict => {
            journal.read(cx, record.seq).await?.is_some_and(|found| found.nonce == record.nonce)
        }
    };
    Ok(format!("ours: {ours}"))
}

#[tokio::test]
async fn a_record_is_appended_through_every_trouble_once() {
    let mine = record(LAST + 1, "mine");
    each(Kept::make(None).await, async |journal, cx| appended(journal, cx, &mine).await).await;
}

#[tokio::test]
async fn the_record_of_another_run_is_seen_to_be_there_through_every_trouble() {
    let mine = record(LAST, "mine");
    each(Kept::make(None).await, async |journal, cx| appended(journal, cx, &mine).await).await;
}

#[tokio::test]
async fn the_journal_is_read_through_every_trouble() {
    for page in [None, Some(2)] {
        each(Kept::make(page).await, async |journal, cx| {
            let (head, all) = (journal.head(cx).await?, journal.load(cx, 1).await?);
            assert_eq!(head.as_ref().map(|record| record.seq), Some(LAST));
            Ok(format!("{head:?} {all:?} {:?}", journal.read(cx, 2).await?))
        })
        .await;
    }
}
