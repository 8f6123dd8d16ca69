//! A PostgreSQL database, by PostgreSQL's own programs.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::store::{self, Claim, Store};
use crate::{
    adapter::sql_client::{address::Address, postgres::Client},
    domain::{names::EntryName, record::Artifact, value::Kind},
    port::{
        Context, Database, Fault, Finding, Found, Progress, Secret, SqlAddress, Treat,
        adapter::{Adapter, DatabaseAdapter, Environment, Setting},
    },
};
use tools::{Tools, outcome};

mod preflight;
mod restore;
mod tools;

const TICK: Duration = Duration::from_secs(1);

/// A PostgreSQL database, dumped with the pg_dump (custom format, compressed) nearest to the server's
/// version, hashed on the way, checked against the server's tables and kept beside a manifest.
///
/// A restore makes a new database on the same server. The password reaches the programs in their
/// environment, never in their arguments.
pub struct Postgres {
    name: EntryName,
    url: Secret,
    full_read: bool,
    env: Environment,
    store: Store,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `postgres://user:password@host:5432/database?sslmode=…`, by reference.
    url: Secret,
    /// The folder for snapshots. Default: `snapshots/<name>` in tidegate's state folder.
    #[serde(default)]
    to: Option<PathBuf>,
    /// Read each dump back as a whole before it counts; takes about as long again as half the dump.
    #[serde(default)]
    full_read: bool,
}

impl Adapter for Postgres {
    const NAME: &'static str = "postgres";
    const SUMMARY: &'static str = "A PostgreSQL database, by pg_dump and pg_restore";
    type Config = Config;
}

impl DatabaseAdapter for Postgres {
    fn connect(name: &EntryName, config: Config, setting: &Setting) -> Result<Box<dyn Database>, String> {
        let store = Store::new("postgres", "dump", name, config.to.as_deref(), setting);
        let (name, env) = (name.clone(), setting.env.clone());
        Ok(Box::new(Postgres { name, url: config.url, full_read: config.full_read, env, store }))
    }

    fn sql(config: &Config, _: &Setting) -> Option<SqlAddress> {
        Some(SqlAddress::Postgres { url: config.url.clone() })
    }
}

/// Tables that pg_dump puts into a dump: not the server's own, nor those an extension brings along.
const TABLES: &str = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace \
    where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' \
    and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid \
    and d.deptype = 'e')";

#[async_trait]
impl Database for Postgres {
    async fn find(&self, _: &Context, key: &str) -> Result<Found, Fault> {
        self.store.find(key)
    }

    async fn snapshot(&self, cx: &Context, key: &str, progress: &dyn Progress) -> Result<Artifact, Fault> {
        if let Found::Ready(artifact) = self.store.find(key)? {
            return Ok(artifact);
        }
        let address = Address::resolve(&self.url, &self.env)?;
        let mut client = Client::connect(cx, address.clone()).await?;
        let (server, version) = version(&mut client, cx).await?;
        let tools = Tools::find(cx, server, &self.env).await?;
        let claim = self.store.claim(cx, key).await?;
        match self.store.find(key)? {
            Found::Ready(artifact) => return Ok(artifact),
            Found::Failed(why) => {
                return Err(Fault::permanent("postgres", "take the snapshot", key, why)
                    .hint("delete its manifest, then it is taken again"));
            }
            Found::Absent | Found::Running(_) => {}
        }
        let before = number(&mut client, cx, TABLES).await?;
        let at = cx.clock().now();
        let (bytes, checksum) = self.dump(cx, &tools, &address, &claim, progress).await?;
        let dumped = u64::try_from(tools.tables(cx, claim.part()).await?).unwrap_or(u64::MAX);
        // Tables may come and go meanwhile; fewer than there were at both ends is a dump gone wrong.
        if dumped < before && dumped < number(&mut client, cx, TABLES).await? {
            let why = format!("the dump has {dumped} tables and the server {before}");
            return Err(Fault::permanent("postgres", "take the snapshot", address.place(), why)
                .hint("look at the privileges of the URL's user"));
        }
        if self.full_read {
            progress.waiting(&self.subject(), "reading the dump back");
            tools.read(cx, claim.part()).await?;
        }
        let source = format!("PostgreSQL {version} at {}, pg_dump {}", address.place(), tools.major);
        let artifact =
            Artifact { id: String::new(), bytes: Some(bytes), checksum: Some(checksum), source, at };
        claim.commit(cx, artifact).await
    }

    async fn verify(&self, cx: &Context, artifact: &Artifact) -> Result<(), Fault> {
        store::check(cx, "postgres", artifact).await?;
        // No server is needed for it; any version that reads the format will do.
        let tools = Tools::find(cx, dumped_with(artifact), &self.env).await?;
        tools.read(cx, Path::new(&artifact.id)).await
    }

    async fn restore(
        &self,
        cx: &Context,
        artifact: &Artifact,
        into: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, Fault> {
        self.restore_into(cx, artifact, into, progress).await
    }

    async fn list(&self, _: &Context) -> Result<Vec<Artifact>, Fault> {
        self.store.list()
    }

    async fn delete(&self, _: &Context, artifact: &Artifact) -> Result<(), Fault> {
        self.store.delete(artifact)
    }

    async fn preflight(&self, cx: &Context) -> Vec<Finding> {
        self.look(cx).await
    }
}

impl Postgres {
    fn subject(&self) -> String {
        format!("snapshot {}", self.name)
    }

    /// Streams pg_dump into the claimed file: bytes and SHA-256.
    async fn dump(
        &self,
        cx: &Context,
        tools: &Tools,
        address: &Address,
        claim: &Claim,
        progress: &dyn Progress,
    ) -> Result<(u64, String), Fault> {
        let place = PathBuf::from(address.place());
        let (reader, writer) = std::io::pipe().map_err(|e| self.store.fault("dump", &place, e))?;
        let (counted, file) = (Arc::new(AtomicU64::new(0)), claim.file());
        let count = counted.clone();
        // Ends with the pipe, and the pipe with pg_dump's process group.
        let copied = tokio::task::spawn_blocking(move || {
            store::copy(reader, &**file, &count, &AtomicBool::new(false))
        });
        let job =
            tools.dump(address).argument("-Fc").argument("-Z1").argument("--no-password").output(writer);
        let step = self.subject();
        let mut hear = |_, line: &str| progress.output(&step, line);
        let work = async { (job.run(cx, &mut hear).await, copied.await) };
        let mut work = std::pin::pin!(work);
        let (ended, copied) = loop {
            tokio::select! {
                biased;
                done = &mut work => break done,
                () = cx.clock().sleep(TICK) => {
                    let text = Kind::Bytes.show(counted.load(Ordering::Relaxed) as f64);
                    progress.waiting(&self.subject(), &format!("{text} dumped"));
                }
            }
        };
        // A full disk shows itself in both; here it says so.
        let copied = copied.map_err(std::io::Error::other).and_then(|copied| copied);
        let copied = copied.map_err(|e| self.store.fault("write the dump", claim.part(), e))?;
        outcome(ended, "dump", &place)?;
        Ok(copied)
    }
}

/// Major version, and the version as the server calls it.
async fn version(client: &mut Client, cx: &Context) -> Result<(u32, String), Fault> {
    let major = number(client, cx, "show server_version_num").await? / 10_000;
    let rows = client.rows(cx, "show server_version").await?;
    let text = rows.into_iter().flatten().flatten().next().unwrap_or_default();
    let text = text.split_ascii_whitespace().next().unwrap_or_default().to_string();
    Ok((u32::try_from(major).unwrap_or(u32::MAX), text))
}

async fn number(client: &mut Client, cx: &Context, query: &str) -> Result<u64, Fault> {
    let rows = client.rows(cx, query).await?;
    let text = rows.into_iter().flatten().flatten().next();
    text.and_then(|t| t.parse().ok()).ok_or_else(|| {
        let place = client.address().place();
        Fault::new(Treat::Permanent, "postgres", "ask", place, format!("no number came for: {query}"))
    })
}

/// The major version that wrote the dump, as its source says; 0 where it does not.
fn dumped_with(artifact: &Artifact) -> u32 {
    artifact.source.rsplit_once("pg_dump ").and_then(|(_, major)| major.parse().ok()).unwrap_or(0)
}
