//! The journal in S3.

mod trouble;

use async_trait::async_trait;
use tidegate::{
    adapter::{
        aws::{self, Aws},
        journal::s3::{Config, S3Journal},
    },
    port::{
        Appended, Journal, Shared, Treat,
        adapter::{JournalAdapter as _, Setting},
    },
};

use crate::{
    double::{self, Double},
    journal_suite::{self, Place, fill, record},
    moto::Moto,
    proxy::Proxy,
};

const BUCKET: &str = "releases";

/// A bucket at this address.
struct Bucket {
    url: String,
    prefix: String,
    shared: Shared,
}

impl Bucket {
    async fn make(url: &str, prefix: &str) -> Bucket {
        let bucket = Bucket { url: url.into(), prefix: prefix.into(), shared: Shared::default() };
        let place = aws_sdk_s3::types::CreateBucketConfiguration::builder();
        let place = place.location_constraint(double::REGION.into()).build();
        // made by an earlier part of the test
        let _ = bucket
            .client()
            .await
            .create_bucket()
            .bucket(BUCKET)
            .create_bucket_configuration(place)
            .send()
            .await;
        bucket
    }

    async fn client(&self) -> aws_sdk_s3::Client {
        let folder = tempfile::tempdir().unwrap();
        let setting = Setting { shared: self.shared.clone(), ..double::setting(folder.path()) };
        let aws = Aws::shared(&double::access(&self.url), &setting);
        aws::s3(&aws.config().await.unwrap())
    }

    fn at(&self, url: &str, environment: &str) -> Box<dyn Journal> {
        let folder = tempfile::tempdir().unwrap();
        let setting = Setting {
            shared: self.shared.clone(),
            environment: environment.parse().unwrap(),
            ..double::setting(folder.path())
        };
        let access = serde_json::to_value(double::access(url)).unwrap();
        let config = serde_json::json!({"bucket": BUCKET, "prefix": self.prefix, "aws": access});
        let config: Config = serde_json::from_value(config).unwrap();
        S3Journal::connect(config, &setting).unwrap()
    }

    fn key(&self, name: &str) -> String {
        format!("{}/shop/production/{name}", self.prefix)
    }
}

#[async_trait]
impl Place for Bucket {
    fn open(&self, environment: &str) -> Box<dyn Journal> {
        self.at(&self.url, environment)
    }
    async fn put(&self, name: &str, text: &str) {
        let request = self.client().await.put_object().bucket(BUCKET).key(self.key(name));
        request.body(text.as_bytes().to_vec().into()).send().await.unwrap();
    }
    async fn remove(&self, name: &str) {
        self.client().await.delete_object().bucket(BUCKET).key(self.key(name)).send().await.unwrap();
    }
}

async fn suite(url: &str) {
    let number = std::cell::Cell::new(0);
    let make = async || {
        number.set(number.get() + 1);
        Bucket::make(url, &format!("journals/{}", number.get())).await
    };
    journal_suite::all(make).await;
}

#[tokio::test]
async fn a_journal_in_s3_keeps_what_journals_promise() {
    suite(&Double::start().url).await;
}

#[tokio::test]
async fn a_journal_in_moto_keeps_what_journals_promise() {
    suite(&Moto::start().url).await;
}

#[tokio::test]
async fn looking_at_an_unchanged_head_is_one_list_and_appending_one_write() {
    let double = Double::start();
    let bucket = Bucket::make(&double.url, "tidegate").await;
    let proxy = Proxy::start(&double.url);
    let journal = bucket.at(&proxy.url, "production");
    let cx = double::within(30);
    fill(journal.as_ref(), 3).await;
    proxy.forget();

    journal.head(&cx).await.unwrap();
    assert_eq!(operations(&proxy), ["ListObjectsV2"]);
    assert_eq!(journal.append(&cx, &record(4, "n")).await.unwrap(), Appended::Done);
    assert_eq!(operations(&proxy), ["PutObject"]);
    journal.head(&cx).await.unwrap();
    assert_eq!(operations(&proxy), ["ListObjectsV2"]);

    // a new process: the head, and from its `opened` on
    let journal = bucket.at(&proxy.url, "production");
    journal.head(&cx).await.unwrap();
    assert_eq!(operations(&proxy), ["ListObjectsV2", "GetObject"]);
    journal.load(&cx, 4).await.unwrap();
    assert_eq!(operations(&proxy), ["ListObjectsV2"]);
    journal.load(&cx, 3).await.unwrap();
    assert_eq!(operations(&proxy), ["ListObjectsV2", "GetObject"]);
    assert!(double.state().s3.deleted.is_empty());
}

fn operations(proxy: &Proxy) -> Vec<String> {
    let operations = proxy.calls().into_iter().map(|call| call.operation).collect();
    proxy.forget();
    operations
}

async fn fill_one(journal: &dyn Journal, seq: u64) {
    assert_eq!(journal.append(&double::within(30), &record(seq, "n")).await.unwrap(), Appended::Done);
}

#[tokio::test]
async fn a_write_that_runs_into_another_may_be_tried_again() {
    let double = Double::start();
    let bucket = Bucket::make(&double.url, "tidegate").await;
    let journal = bucket.open("production");
    double.state().s3.busy = 1;
    let fault = journal.append(&double::within(30), &record(1, "n")).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Temporary, "{fault}");
    fill_one(journal.as_ref(), 1).await;
}

#[tokio::test]
async fn a_store_that_ignores_the_precondition_is_refused_at_the_first_record() {
    let double = Double::start();
    let bucket = Bucket::make(&double.url, "tidegate").await;
    double.state().s3.ignores_preconditions = true;
    let fault = bucket.open("production").append(&double::within(30), &record(1, "n")).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent);
    assert!(fault.detail.contains("If-None-Match") && fault.hint.unwrap().contains("two runs"));
}

#[tokio::test]
async fn a_long_journal_is_read_from_its_end_in_few_calls() {
    let double = Double::start();
    let bucket = Bucket::make(&double.url, "tidegate").await;
    let mut written = 0;
    for (upto, calls) in [(1, 2), (1000, 2), (1001, 4), (2001, 3), (3500, 6), (9000, 6)] {
        extend(&double, &bucket, written, upto);
        written = upto;
        let proxy = Proxy::start(&double.url);
        let journal = bucket.at(&proxy.url, "production");
        assert_eq!(journal.head(&double::within(60)).await.unwrap().unwrap().seq, upto);
        assert_eq!(proxy.calls().len(), calls, "{upto} records");
        proxy.forget();
        assert!(!journal.load(&double::within(60), upto.saturating_sub(2)).await.unwrap().is_empty());
        assert!(proxy.calls().len() <= 3);
    }
}

#[tokio::test]
async fn lists_that_come_in_small_pieces_are_put_together() {
    let double = Double::start();
    let bucket = Bucket::make(&double.url, "tidegate").await;
    extend(&double, &bucket, 0, 60);
    double.state().s3.page = Some(7);
    let journal = bucket.open("production");
    assert_eq!(journal.head(&double::within(60)).await.unwrap().unwrap().seq, 60);
    for from in [1, 54, 60] {
        let records = journal.load(&double::within(60), from).await.unwrap();
        assert_eq!(records.iter().map(|r| r.seq).collect::<Vec<_>>(), (from..=60).collect::<Vec<_>>());
    }
    bucket.remove("000030.json").await;
    let fault = bucket.open("production").load(&double::within(60), 1).await.unwrap_err();
    assert!(fault.to_string().contains("record 30 is missing"), "{fault}");
}

#[tokio::test]
async fn what_is_no_record_hides_none() {
    let double = Double::start();
    let bucket = Bucket::make(&double.url, "tidegate").await;
    extend(&double, &bucket, 0, 20);
    for note in 0..30 {
        double.state().s3.put(BUCKET, &bucket.key(&format!("000001-note-{note:03}.txt")), "not ours");
    }
    double.state().s3.page = Some(7);
    let journal = bucket.open("production");
    assert_eq!(journal.load(&double::within(60), 1).await.unwrap().len(), 20);
    assert_eq!(bucket.open("production").head(&double::within(60)).await.unwrap().unwrap().seq, 20);
    for note in 30..200 {
        double.state().s3.put(BUCKET, &bucket.key(&format!("000001-note-{note:03}.txt")), "not ours");
    }
    let fault = journal.load(&double::within(60), 1).await.unwrap_err();
    assert!(fault.to_string().contains("20 pages in it hold no record"), "{fault}");
}

/// Records after `from` up to `to`, as if they had been appended.
fn extend(double: &Double, bucket: &Bucket, from: u64, to: u64) {
    let text = serde_json::to_string(&record(0, "n")).unwrap();
    let mut state = double.state();
    for seq in from + 1..=to {
        let text = text.replace("\"seq\":0", &format!("\"seq\":{seq}"));
        state.s3.put(BUCKET, &bucket.key(&format!("{seq:06}.json")), text);
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told_with_what_to_do() {
    let double = Double::start();
    let bucket = Bucket { url: double.url.clone(), prefix: "p".into(), shared: Shared::default() };
    for fault in [
        bucket.open("production").head(&double::within(30)).await.unwrap_err(),
        bucket.open("production").append(&double::within(30), &record(1, "n")).await.unwrap_err(),
    ] {
        assert_eq!(fault.treat, Treat::Permanent);
        assert!(fault.detail.contains("NoSuchBucket") && fault.hint.unwrap().contains("create the bucket"));
    }
}

#[tokio::test]
async fn who_may_not_list_is_told_the_permission_by_its_name_in_a_policy() {
    let double = Double::start();
    let bucket = Bucket::make(&double.url, "tidegate").await;
    double.state().denied.insert("s3:ListObjectsV2".into());
    let fault = bucket.open("production").head(&double::within(30)).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent);
    assert!(fault.hint.clone().unwrap().contains("`s3:ListBucket`"), "{fault:?}");
}
