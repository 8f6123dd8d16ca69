//! An SQLite file.

use async_trait::async_trait;
use rusqlite::{
    Connection, Error, OpenFlags,
    backup::{Backup, StepResult},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::store::{self, Store};
use crate::{
    adapter::sql_client::sqlite::{Stop, fault, on_thread, open},
    domain::{names::EntryName, record::Artifact},
    platform::{self, private},
    port::{
        Context, Database, Fault, Finding, Found, Grade, Progress, SqlAddress,
        adapter::{Adapter, DatabaseAdapter, Setting},
    },
};

const PAGES_PER_STEP: i32 = 1024;
/// After so many writes of others in the middle they have to wait.
const RESTARTS_MAX: u32 = 3;
const TICK: Duration = Duration::from_secs(1);

/// An SQLite file, copied while it is in use (online backup), checked and kept beside a manifest.
///
/// A restore makes a new file. Writers of a file in WAL mode are never held up; those of others are, and
/// only where they keep coming in the middle of the copy.
pub struct Sqlite {
    name: EntryName,
    path: PathBuf,
    base: PathBuf,
    store: Store,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file.
    path: PathBuf,
    /// The folder for snapshots. Default: `snapshots/<name>` in tidegate's state folder.
    #[serde(default)]
    to: Option<PathBuf>,
}

impl Adapter for Sqlite {
    const NAME: &'static str = "sqlite";
    const SUMMARY: &'static str = "An SQLite file, by its online backup";
    const SHORT: Option<&'static str> = Some("path");
    type Config = Config;
}

impl DatabaseAdapter for Sqlite {
    fn connect(name: &EntryName, config: Config, setting: &Setting) -> Result<Box<dyn Database>, String> {
        let store = Store::new("sqlite", "sqlite", name, config.to.as_deref(), setting);
        let path = setting.base.join(config.path);
        Ok(Box::new(Sqlite { name: name.clone(), path, base: setting.base.clone(), store }))
    }

    fn sql(config: &Config, setting: &Setting) -> Option<SqlAddress> {
        Some(SqlAddress::Sqlite { path: setting.base.join(&config.path) })
    }
}

#[async_trait]
impl Database for Sqlite {
    async fn find(&self, _: &Context, key: &str) -> Result<Found, Fault> {
        self.store.find(key)
    }

    async fn snapshot(&self, cx: &Context, key: &str, progress: &dyn Progress) -> Result<Artifact, Fault> {
        let refuse = |why: String| Fault::permanent("sqlite", "take the snapshot", key, why);
        if !self.path.is_file() {
            return Err(refuse(format!("{} is not a file", self.path.display())));
        }
        let claim = self.store.claim(cx, key).await?;
        match self.store.find(key)? {
            Found::Ready(artifact) => return Ok(artifact),
            Found::Failed(why) => {
                return Err(refuse(why).hint("delete its manifest, then it is taken again"));
            }
            Found::Absent | Found::Running(_) => {}
        }
        let at = cx.clock().now();
        let done = Arc::new(AtomicU64::new(0));
        let (from, to, count, held) =
            (self.path.clone(), claim.part().to_path_buf(), done.clone(), claim.file());
        let copied = on_thread(cx, move |stop| {
            let copied = back_up(&from, &to, &stop, &count);
            // The claim's lock lasts as long as the work, even where nobody waits for it any more.
            drop(held);
            copied
        });
        let mut copied = std::pin::pin!(copied);
        let copied = loop {
            tokio::select! {
                biased;
                copied = &mut copied => break copied,
                () = cx.clock().sleep(TICK) => {
                    let text = format!("{} % copied", done.load(Ordering::Relaxed));
                    progress.waiting(&format!("snapshot {}", self.name), &text);
                }
            }
        };
        match copied {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(fault("copy", &self.path, &e)),
            Err(why) => {
                return Err(Fault::temporary("sqlite", "copy", self.path.display().to_string(), why));
            }
        }
        let part = claim.part().to_path_buf();
        let read = store::on_thread(cx, move |stop| {
            store::copy(File::open(part)?, io::sink(), &AtomicU64::new(0), stop)
        });
        let (bytes, checksum) = read.await.map_err(|e| self.store.fault("read", claim.part(), e))?;
        let source = format!("SQLite {} of {}", rusqlite::version(), self.path.display());
        let artifact =
            Artifact { id: String::new(), bytes: Some(bytes), checksum: Some(checksum), source, at };
        claim.commit(cx, artifact).await
    }

    async fn verify(&self, cx: &Context, artifact: &Artifact) -> Result<(), Fault> {
        store::check(cx, "sqlite", artifact).await?;
        let path = PathBuf::from(&artifact.id);
        let file = path.clone();
        let checked = on_thread(cx, move |stop| {
            let connection = open_kept(&file)?;
            stop.watch(&connection);
            integrity(&connection)
        });
        match checked.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(Fault::permanent("sqlite", "verify the snapshot", &artifact.id, e)),
            Err(why) => Err(Fault::temporary("sqlite", "verify the snapshot", &artifact.id, why)),
        }
    }

    async fn restore(
        &self,
        cx: &Context,
        artifact: &Artifact,
        into: &str,
        _: &dyn Progress,
    ) -> Result<Vec<String>, Fault> {
        let refuse = |why: String| Fault::permanent("sqlite", "restore", into, why);
        let path = self.base.join(into);
        if into.is_empty() || std::fs::symlink_metadata(&path).is_ok() {
            return Err(refuse(format!("{} exists already: name another one", path.display())));
        }
        let (from, to) = (PathBuf::from(&artifact.id), path.clone());
        let copied = store::on_thread(cx, move |stop| {
            let part = Part::beside(&to)?;
            let copied = store::copy(File::open(from)?, &part.file, &AtomicU64::new(0), stop)?;
            part.file.sync_all()?;
            Ok((part, copied))
        });
        let (part, (_, checksum)) = copied.await.map_err(|e| refuse(e.to_string()))?;
        if artifact.checksum.as_ref().is_some_and(|wanted| *wanted != checksum) {
            return Err(refuse(format!("{} was damaged: its SHA-256 is {checksum}", artifact.id)));
        }
        // Unlike a rename, a link never replaces what has come to be in the meantime.
        std::fs::hard_link(&part.path, &path).map_err(|e| refuse(e.to_string()))?;
        Ok(vec![
            format!("restored {} into the new file {}", artifact.id, path.display()),
            format!("it lacks everything written after {}", artifact.at),
            format!("{} is as it was", self.path.display()),
            format!(
                "to switch over: stop what writes, move {} (and its -wal) away, move {} there, start again",
                self.path.display(),
                path.display()
            ),
        ])
    }

    async fn list(&self, _: &Context) -> Result<Vec<Artifact>, Fault> {
        self.store.list()
    }

    async fn delete(&self, _: &Context, artifact: &Artifact) -> Result<(), Fault> {
        self.store.delete(artifact)
    }

    async fn preflight(&self, cx: &Context) -> Vec<Finding> {
        let about = format!("databases.{}", self.name);
        let path = self.path.clone();
        let looked = on_thread(cx, move |stop| {
            let connection = open(&path, false, Duration::from_secs(1))?;
            stop.watch(&connection);
            connection.query_row("select count(*) from sqlite_master", [], |row| row.get::<_, i64>(0))
        });
        let finding = |grade, text: String| Finding::new(grade, &about, text);
        let mut found = vec![match looked.await {
            Ok(Ok(_)) => finding(Grade::Ok, format!("{} can be read", self.path.display())),
            Ok(Err(e)) => finding(Grade::Refuse, format!("{}: {e}", self.path.display())),
            Err(why) => finding(Grade::Unknown, format!("{}: {why}", self.path.display())),
        }];
        let size = std::fs::metadata(&self.path).map_or(0, |m| m.len());
        found.push(super::space(&about, self.store.folder(), size, size));
        found
    }
}

/// Copies the whole database, then checks the copy. `done` counts in percent.
fn back_up(from: &Path, to: &Path, stop: &Stop, done: &AtomicU64) -> Result<(), Error> {
    let busy = Duration::from_secs(10);
    let source = open(from, false, busy)?;
    let mut target = open(to, true, busy)?;
    stop.watch(&source);
    let hold = "BEGIN; SELECT count(*) FROM sqlite_master;";
    let mode: String = source.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    let mut held = mode.eq_ignore_ascii_case("wal");
    if held {
        // A reader's view: writers go on beside it, and the copy never begins anew.
        source.execute_batch(hold)?;
    }
    {
        let backup = Backup::new(&source, &mut target)?;
        let (mut left, mut restarts, mut waits) = (i32::MAX, 0, 0u32);
        loop {
            if stop.asked() {
                return Err(interrupted());
            }
            match backup.step(PAGES_PER_STEP)? {
                StepResult::Done => break,
                StepResult::More => waits = 0,
                // `busy_timeout` has been waited out in the step.
                _ if waits >= 3 => return Err(busy_error()),
                _ => waits += 1,
            }
            let now = backup.progress();
            if now.remaining > left {
                restarts += 1;
            }
            if restarts > RESTARTS_MAX && !held {
                source.execute_batch(hold)?;
                held = true;
            }
            left = now.remaining;
            let copied = u64::try_from(now.pagecount - now.remaining).unwrap_or(0);
            let all = u64::try_from(now.pagecount.max(1)).unwrap_or(1);
            done.store(copied * 100 / all, Ordering::Relaxed);
        }
    }
    stop.watch(&target);
    integrity(&target)
}

fn integrity(connection: &Connection) -> Result<(), Error> {
    let said: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    match said.as_str() {
        "ok" => Ok(()),
        _ => Err(Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(format!("integrity_check: {said}")),
        )),
    }
}

fn interrupted() -> Error {
    Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT), None)
}

fn busy_error() -> Error {
    Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None)
}

/// Opens a file that nobody writes to, without making a -wal or -shm beside it.
fn open_kept(path: &Path) -> Result<Connection, Error> {
    let mut uri = String::from("file:");
    for c in path.to_string_lossy().chars() {
        match c {
            '%' => uri.push_str("%25"),
            '?' => uri.push_str("%3f"),
            '#' => uri.push_str("%23"),
            c => uri.push(c),
        }
    }
    uri.push_str("?immutable=1");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags)
}

/// A file beside its later name; removed when it goes.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    fn beside(path: &Path) -> io::Result<Part> {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let path = path.with_file_name(format!(".{name}.part"));
        let file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(&path)?;
        platform::adopt(&file, &path);
        Ok(Part { path, file })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
