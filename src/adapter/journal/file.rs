//! `file`: records as files in a directory, `000007.json` each.
//!
//! A record is written under a temporary name, synced, and `link(2)`ed to its number: linking to a name
//! that exists fails, and that is the compare-and-swap. It works on every local file system and on NFS.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    fs,
    io::{self, ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
};

use super::{RECORD_BYTES_MAX, record_of, text_of};
use crate::{
    domain::{
        duration::Span,
        record::{Event, Record},
    },
    platform,
    port::{
        Appended, Context, Fault, Journal,
        adapter::{Adapter, JournalAdapter, Setting},
    },
};

/// A journal in a directory that all runs of this unit share.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directory; `.tidegate/journal` beside the file if absent.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// How long a run that gives no sign of life keeps others out.
    #[serde(default = "lease")]
    pub lease: Span,
}

fn lease() -> Span {
    Span::from_secs(30)
}

pub struct FileJournal {
    dir: PathBuf,
    lease_seconds: u64,
}

const PROVIDER: &str = "file";

impl Adapter for FileJournal {
    const NAME: &'static str = "file";
    const SUMMARY: &'static str = "records as files in a directory";
    const SHORT: Option<&'static str> = Some("path");
    type Config = Config;
}

impl JournalAdapter for FileJournal {
    fn connect(config: Config, setting: &Setting) -> Result<Box<dyn Journal>, String> {
        let root = match config.path {
            Some(path) => setting.base.join(path),
            None => setting.state.join("journal"),
        };
        if config.lease.get().as_secs() == 0 {
            return Err("a lease lasts at least `1s`".into());
        }
        if (setting.env)("RUNNER_ENVIRONMENT").is_some_and(|kind| kind == "github-hosted") {
            return Err("files on a hosted runner are thrown away with it, and the next job would remember \
                        nothing: write `journal: git`, or `journal: {s3: {bucket: NAME}}`"
                .into());
        }
        let dir = root.join(setting.unit.as_str()).join(setting.environment.as_str());
        Ok(Box::new(FileJournal { dir, lease_seconds: config.lease.get().as_secs() }))
    }
}

impl FileJournal {
    /// A journal in exactly this directory.
    pub fn at(dir: impl Into<PathBuf>, lease_seconds: u64) -> Self {
        FileJournal { dir: dir.into(), lease_seconds }
    }

    fn path(&self, seq: u64) -> PathBuf {
        self.dir.join(format!("{seq:06}.json"))
    }

    /// The highest number, and whether a number below it (from `from` on) is missing.
    fn numbers(&self, from: u64) -> io::Result<(u64, Option<u64>)> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok((0, None)),
            Err(e) => return Err(e),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let number =
                name.to_str().and_then(|n| n.strip_suffix(".json")).and_then(|n| n.parse::<u64>().ok());
            numbers.extend(number);
        }
        numbers.sort_unstable();
        let last = numbers.last().copied().unwrap_or(0);
        let first = from.max(1);
        let gap = (first..=last).zip(numbers.iter().skip_while(|n| **n < first)).find(|(want, n)| want != *n);
        Ok((last, gap.map(|(want, _)| want)))
    }

    fn read_file(&self, seq: u64) -> Result<Option<Record>, Fault> {
        let path = self.path(seq);
        let fault = |e: &dyn std::fmt::Display| {
            Fault::permanent(PROVIDER, "read the record", path.display().to_string(), e)
        };
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fault(&e)),
        };
        let mut text = Vec::new();
        file.take(RECORD_BYTES_MAX).read_to_end(&mut text).map_err(|e| fault(&e))?;
        record_of(&text, seq).map(Some).map_err(|e| fault(&e))
    }

    fn fault(&self, operation: &str, error: &io::Error) -> Fault {
        let fault = Fault::permanent(PROVIDER, operation, self.dir.display().to_string(), error);
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                fault.hint("the user that runs tidegate must be able to write there")
            }
            ErrorKind::StorageFull => fault.hint("the disk is full"),
            _ => fault,
        }
    }

    fn create(&self, record: &Record) -> io::Result<Appended> {
        if record.seq == 1 {
            // Only a new journal makes its folder: one that vanishes in the middle must be noticed.
            platform::create_folders(&self.dir, 0o777)?;
        }
        let temporary = self.dir.join(format!(".{}.{}.tmp", record.seq, record.nonce));
        let result = write_and_link(&temporary, &self.path(record.seq), record);
        // The link is what counts; a temporary file left behind by a kill is never read.
        let _ = fs::remove_file(&temporary);
        // A lease means nothing after a crash of the machine; the next record that does syncs its name too.
        let lasting = !matches!(record.event, Event::Lease { .. } | Event::Released);
        if lasting && matches!(result, Ok(Appended::Done)) {
            platform::sync_folder(&self.dir)?;
        }
        result
    }
}

fn write_and_link(temporary: &Path, path: &Path, record: &Record) -> io::Result<Appended> {
    let mut file = fs::File::create_new(temporary)?;
    platform::adopt(&file, temporary);
    file.write_all(&text_of(record)?)?;
    file.sync_all()?;
    match fs::hard_link(temporary, path) {
        Ok(()) => Ok(Appended::Done),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(Appended::Conflict),
        Err(e) => Err(e),
    }
}

#[async_trait]
impl Journal for FileJournal {
    async fn head(&self, _: &Context) -> Result<Option<Record>, Fault> {
        let (last, _) = self.numbers(u64::MAX).map_err(|e| self.fault("list the records", &e))?;
        if last == 0 { Ok(None) } else { self.read_file(last) }
    }

    async fn read(&self, _: &Context, seq: u64) -> Result<Option<Record>, Fault> {
        self.read_file(seq)
    }

    async fn load(&self, _: &Context, from: u64) -> Result<Vec<Record>, Fault> {
        let (last, gap) = self.numbers(from).map_err(|e| self.fault("list the records", &e))?;
        if let Some(missing) = gap {
            let place = self.dir.display().to_string();
            return Err(Fault::permanent(
                PROVIDER,
                "load the journal",
                place,
                format!("record {missing} is missing"),
            ));
        }
        let mut records = Vec::new();
        for seq in from.max(1)..=last {
            let missing = || {
                Fault::permanent(
                    PROVIDER,
                    "load the journal",
                    self.dir.display().to_string(),
                    format!("record {seq} is missing"),
                )
            };
            records.push(self.read_file(seq)?.ok_or_else(missing)?);
        }
        Ok(records)
    }

    async fn append(&self, _: &Context, record: &Record) -> Result<Appended, Fault> {
        self.create(record).map_err(|e| self.fault("append a record", &e))
    }

    fn place(&self) -> String {
        self.dir.display().to_string()
    }

    fn lease_seconds(&self) -> u64 {
        self.lease_seconds
    }
}
