//! `s3`: records as objects in a bucket, `<prefix>/<unit>/<environment>/000007.json` each.
//!
//! An object is created with `If-None-Match: *`: S3 refuses a name that exists, and that is the
//! compare-and-swap. Names sort as their numbers do, and a list says what there is after a given name, so
//! that the head is one list from the last number this process knew. Nothing is ever deleted.

use async_trait::async_trait;
use aws_sdk_s3::{error::SdkError, primitives::ByteStream};
use aws_smithy_runtime_api::client::result::ConnectorError;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use super::{RECORD_BYTES_MAX, record_of, text_of};
use crate::{
    adapter::aws::{self, Access, Aws, Intent, call},
    domain::{duration::Span, record::Record},
    port::{
        Appended, Context, Fault, Finding, Grade, Journal,
        adapter::{Adapter, JournalAdapter, Setting},
    },
};

/// A journal in an S3 bucket that all runs of this unit share. Encryption, versions and retention are the
/// bucket's own; the journal needs `s3:GetObject` and `s3:PutObject` under its prefix and `s3:ListBucket`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bucket.
    pub bucket: String,
    /// What the objects' names begin with, before `/<unit>/<environment>/`.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// How long a run that gives no sign of life keeps others out.
    #[serde(default = "lease")]
    pub lease: Span,
    /// Region, profile, role, endpoint.
    #[serde(default)]
    pub aws: Access,
}

fn prefix() -> String {
    "tidegate".into()
}

fn lease() -> Span {
    Span::from_secs(30)
}

pub struct S3Journal {
    aws: Arc<Aws>,
    bucket: String,
    /// `tidegate/shop/production/`
    folder: String,
    lease_seconds: u64,
    /// The newest record that this process has seen.
    newest: Mutex<Option<Stored>>,
    /// The store is not S3 itself, and whether it honours the precondition is not known yet.
    doubtful: AtomicBool,
}

/// A record as it lies in the bucket.
#[derive(Clone)]
struct Stored {
    record: Record,
    etag: String,
}

const PROVIDER: &str = "s3";
/// What a name of six digits can tell.
const SEQ_MAX: u64 = 999_999;
/// S3 lists so many names at once.
const PAGE: u64 = 1000;
/// Pages of objects that are no records, which S3 may put before those that are.
const STRANGERS_PAGES_MAX: usize = 20;
/// Searching for the head doubles its stride and halves it again: this is plenty for all numbers there are.
const PROBES_MAX: u32 = 64;
/// Records are read so many at a time.
const READS_AT_ONCE: usize = 16;

impl Adapter for S3Journal {
    const NAME: &'static str = "s3";
    const SUMMARY: &'static str = "records as objects in an S3 bucket";
    const SHORT: Option<&'static str> = Some("bucket");
    type Config = Config;
}

impl JournalAdapter for S3Journal {
    fn connect(config: Config, setting: &Setting) -> Result<Box<dyn Journal>, String> {
        if let Some(name) = config.bucket.strip_prefix("s3://") {
            let name = name.split('/').next().unwrap_or_default();
            return Err(format!("a bucket is written by its name alone: `bucket: {name}`"));
        }
        if config.bucket.is_empty()
            || config.bucket.contains(['/', ' ']) && !config.bucket.starts_with("arn:")
        {
            return Err(format!("`{}` is not the name of a bucket", config.bucket));
        }
        if config.lease.get().as_secs() == 0 {
            return Err("a lease lasts at least `1s`".into());
        }
        let folder = format!("{}/{}/{}/", config.prefix.trim_matches('/'), setting.unit, setting.environment);
        Ok(Box::new(S3Journal {
            aws: Aws::shared(&config.aws, setting),
            bucket: config.bucket,
            folder: folder.trim_start_matches('/').to_string(),
            lease_seconds: config.lease.get().as_secs(),
            newest: Mutex::default(),
            doubtful: AtomicBool::new(true),
        }))
    }
}

/// Numbers with the ETags of their objects, in order, and whether there are more.
struct Page {
    found: Vec<(u64, String)>,
    more: bool,
}

impl Page {
    fn last(&self) -> Option<u64> {
        self.found.last().map(|(seq, _)| *seq)
    }
}

/// How a conditional write was answered.
#[derive(Debug)]
enum Answer {
    Created(String),
    /// 412: the name exists.
    Exists,
    /// 409: another write of that name is under way.
    Busy,
}

impl S3Journal {
    fn key(&self, seq: u64) -> String {
        format!("{}{seq:06}.json", self.folder)
    }

    fn number(&self, key: &str) -> Option<u64> {
        let seq = key.strip_prefix(&self.folder)?.strip_suffix(".json")?.parse().ok()?;
        (self.key(seq) == key).then_some(seq)
    }

    fn newest(&self) -> Option<Stored> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, stored: Option<Stored>) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = stored;
    }

    fn fault(&self, operation: &str, detail: impl std::fmt::Display) -> Fault {
        Fault::permanent(PROVIDER, operation, self.place(), detail)
    }

    /// The numbers after `after`; at most a page of them, and none only where there are none. Other things in
    /// the folder are passed over.
    async fn list(&self, cx: &Context, after: u64) -> Result<Page, Fault> {
        let intent = Intent::read("s3", "ListObjectsV2", self.place());
        let mut token: Option<String> = None;
        for _ in 0..STRANGERS_PAGES_MAX {
            let answer = call(&self.aws, cx, &intent, |config| {
                let request = aws::s3(&config).list_objects_v2().bucket(&self.bucket).prefix(&self.folder);
                let request = request.start_after(self.key(after));
                request.set_continuation_token(token.clone()).send()
            })
            .await
            .map_err(hinted)?;
            let found = answer.contents().iter().filter_map(|object| {
                let seq = self.number(object.key()?)?;
                Some((seq, unquoted(object.e_tag()?)))
            });
            let page = Page { found: found.collect(), more: answer.is_truncated() == Some(true) };
            if !page.found.is_empty() || !page.more {
                return Ok(page);
            }
            token = answer.next_continuation_token;
        }
        let detail = format!("{STRANGERS_PAGES_MAX} pages in it hold no record");
        Err(self.fault("list the records", detail).hint("move what is not tidegate's out of the folder"))
    }

    /// The highest number. One list where there are fewer records after `known` than fit a page; beyond
    /// that it gallops, for a list that starts after the head is empty.
    async fn last(&self, cx: &Context, known: u64) -> Result<Option<(u64, String)>, Fault> {
        let mut page = self.list(cx, known.saturating_sub(1)).await?;
        if page.found.is_empty() && known > 0 {
            // what was there is there no more
            page = self.list(cx, 0).await?;
        }
        let (mut below, mut above) = (0, None);
        for probe in 0..PROBES_MAX {
            match page.last() {
                Some(_) if !page.more => return Ok(page.found.pop()),
                Some(last) => below = last,
                None if probe == 0 => return Ok(None),
                None => {}
            }
            let next = match above {
                None => below + PAGE * (1 << probe.min(10)),
                Some(above) if above - below <= PAGE => below,
                Some(above) => below + (above - below) / 2,
            };
            page = self.list(cx, next).await?;
            if page.found.is_empty() {
                above = Some(next);
            }
        }
        Err(self.fault("find the last record", "the names in it make no sense"))
    }

    /// Reads one object; `None` if there is none.
    async fn get(&self, cx: &Context, seq: u64) -> Result<Option<Stored>, Fault> {
        let object = format!("s3://{}/{}", self.bucket, self.key(seq));
        let intent = Intent::read("s3", "GetObject", &object);
        let answer = call(&self.aws, cx, &intent, async |config| {
            let answer = aws::s3(&config).get_object().bucket(&self.bucket).key(self.key(seq)).send().await;
            let answer = match answer {
                Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_key()) => {
                    return Ok(None);
                }
                answer => answer?,
            };
            let etag = unquoted(answer.e_tag().unwrap_or_default());
            // a body that is cut is a read that failed, and is asked again
            let text =
                whole(answer.body).await.map_err(|e| SdkError::dispatch_failure(ConnectorError::io(e)))?;
            Ok(Some((etag, text)))
        })
        .await
        .map_err(hinted)?;
        let Some((etag, text)) = answer else { return Ok(None) };
        let record =
            record_of(&text, seq).map_err(|e| Fault::permanent(PROVIDER, "read the record", object, e))?;
        Ok(Some(Stored { record, etag }))
    }

    /// Creates the object unless its name exists. Sent once: an answer that is lost is an unknown outcome.
    async fn create(&self, cx: &Context, seq: u64, text: &[u8]) -> Result<Answer, Fault> {
        let object = format!("s3://{}/{}", self.bucket, self.key(seq));
        call(&self.aws, cx, &Intent::write("s3", "PutObject", object), |config| {
            let request = aws::s3(&config).put_object().bucket(&self.bucket).key(self.key(seq));
            let request = request.if_none_match("*").content_type("application/json");
            let request = request.body(ByteStream::from(text.to_vec()));
            async move {
                match request.send().await {
                    Ok(done) => Ok(Answer::Created(unquoted(done.e_tag().unwrap_or_default()))),
                    Err(error) => match error.raw_response().map(|raw| raw.status().as_u16()) {
                        Some(412) => Ok(Answer::Exists),
                        Some(409) => Ok(Answer::Busy),
                        _ => Err(error),
                    },
                }
            }
        })
        .await
        .map_err(hinted)
    }

    /// Stores that speak S3's protocol may know nothing of preconditions, and would let two runs write the
    /// same record. The same bytes once more show it and change nothing.
    async fn prove(&self, cx: &Context, seq: u64, text: &[u8]) -> Result<(), Fault> {
        if !self.doubtful.load(Ordering::Relaxed) {
            return Ok(());
        }
        let foreign = self.aws.config().await?.endpoint_url().is_some();
        if foreign {
            match self.create(cx, seq, text).await {
                Ok(Answer::Exists) => {}
                Ok(Answer::Created(_)) => {
                    let detail = "the store overwrote an object although the request said `If-None-Match: *`";
                    let hint =
                        "two runs could act at once: keep the journal in a store that honours this header";
                    return Err(self.fault("append a record", detail).hint(hint));
                }
                // the next record will show it
                Ok(Answer::Busy) | Err(_) => return Ok(()),
            }
        }
        self.doubtful.store(false, Ordering::Relaxed);
        Ok(())
    }
}

/// All of a body, if it is not too large.
async fn whole(mut body: ByteStream) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut text = Vec::new();
    while let Some(part) = body.try_next().await? {
        text.extend_from_slice(&part);
        if text.len() as u64 > RECORD_BYTES_MAX {
            return Err("it is too large for a record".into());
        }
    }
    Ok(text)
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_string()
}

fn hinted(fault: Fault) -> Fault {
    match fault.detail.starts_with("NoSuchBucket") {
        true => fault.hint("create the bucket first, in the region that is set; tidegate does not"),
        false => fault,
    }
}

#[async_trait]
impl Journal for S3Journal {
    async fn head(&self, cx: &Context) -> Result<Option<Record>, Fault> {
        let newest = self.newest();
        let known = newest.as_ref().map_or(0, |stored| stored.record.seq);
        let Some((last, etag)) = self.last(cx, known).await? else {
            self.remember(None);
            return Ok(None);
        };
        if let Some(stored) = newest.filter(|stored| stored.record.seq == last && stored.etag == etag) {
            return Ok(Some(stored.record));
        }
        let stored = self.get(cx, last).await?;
        self.remember(stored.clone());
        Ok(stored.map(|stored| stored.record))
    }

    async fn read(&self, cx: &Context, seq: u64) -> Result<Option<Record>, Fault> {
        Ok(self.get(cx, seq).await?.map(|stored| stored.record))
    }

    async fn load(&self, cx: &Context, from: u64) -> Result<Vec<Record>, Fault> {
        let missing = |seq: u64| self.fault("load the journal", format!("record {seq} is missing"));
        let mut expected = from.max(1);
        let mut found = Vec::new();
        loop {
            let page = self.list(cx, expected - 1).await?;
            for (seq, etag) in &page.found {
                if *seq != expected {
                    return Err(missing(expected));
                }
                found.push((*seq, etag.clone()));
                expected += 1;
            }
            if !page.more || page.found.is_empty() {
                break;
            }
        }
        let newest = self.newest();
        let reads = stream::iter(found).map(async |(seq, etag)| match &newest {
            Some(stored) if stored.record.seq == seq && stored.etag == etag => Ok(stored.clone()),
            _ => self.get(cx, seq).await?.ok_or_else(|| missing(seq)),
        });
        let stored: Vec<Stored> = reads.buffered(READS_AT_ONCE).try_collect().await?;
        if let Some(last) = stored.last() {
            self.remember(Some(last.clone()));
        }
        Ok(stored.into_iter().map(|stored| stored.record).collect())
    }

    async fn append(&self, cx: &Context, record: &Record) -> Result<Appended, Fault> {
        if record.seq > SEQ_MAX {
            let detail = format!("it is full: its names have six digits, and {SEQ_MAX} records are in it");
            return Err(self.fault("append a record", detail).hint("begin a new one: set another `prefix`"));
        }
        let text = text_of(record).map_err(|e| self.fault("write the record", e))?;
        match self.create(cx, record.seq, &text).await? {
            Answer::Created(etag) => {
                self.prove(cx, record.seq, &text).await?;
                self.remember(Some(Stored { record: record.clone(), etag }));
                Ok(Appended::Done)
            }
            Answer::Exists => Ok(Appended::Conflict),
            Answer::Busy => {
                let detail = "another write of that record is under way";
                Err(Fault::temporary(PROVIDER, "append a record", self.place(), detail))
            }
        }
    }

    async fn preflight(&self, cx: &Context) -> Vec<Finding> {
        let object = format!("s3://{}/{}*", self.bucket, self.folder);
        let unknown = format!("whether the identity has s3:PutObject on {object}: only a write can tell");
        let found = vec![Finding::new(Grade::Unknown, "journal", unknown)];
        self.aws.introduced(cx, async { found }).await
    }

    fn place(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.folder.trim_end_matches('/'))
    }

    fn lease_seconds(&self) -> u64 {
        self.lease_seconds
    }
}
