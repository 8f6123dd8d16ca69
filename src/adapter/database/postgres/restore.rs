//! From a dump to a new database.

use std::{path::Path, time::Duration};

use super::{
    Postgres, dumped_with, number,
    tools::{Tools, outcome},
    version,
};
use crate::{
    adapter::{
        database::store,
        sql_client::{address::Address, postgres::Client},
    },
    domain::record::Artifact,
    port::{Context, Fault, Progress, Treat},
};

/// What PostgreSQL keeps of a name; the rest is for `_unfinished`.
const NAME_BYTES_MAX: usize = 63;
/// Kept of the time to clean up after a failure.
const CLEAN_UP: Duration = Duration::from_secs(5);
/// The server may still see pg_restore's connection for a moment.
const RENAMES_MAX: u32 = 20;
const RENAME_WAIT: Duration = Duration::from_millis(250);

impl Postgres {
    /// The database has another name until it is whole, so that half of one is never taken for it.
    pub(super) async fn restore_into(
        &self,
        cx: &Context,
        artifact: &Artifact,
        into: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, Fault> {
        let refuse = |why: String| Fault::permanent("postgres", "restore", into, why);
        const PART: &str = "_unfinished";
        if into.is_empty() || into.len() > NAME_BYTES_MAX - PART.len() || into.contains('\0') {
            return Err(refuse(format!(
                "a new database's name has 1 to {} bytes",
                NAME_BYTES_MAX - PART.len()
            )));
        }
        let address = Address::resolve(&self.url, &self.env)?;
        let mut client = maintenance(cx, &address).await?;
        let part = format!("{into}{PART}");
        if exists(&mut client, cx, into).await? {
            return Err(refuse("a database of that name exists already: name another one".into()));
        }
        if exists(&mut client, cx, &part).await? {
            return Err(refuse(format!("{part} exists: another restore is at work, or one was interrupted"))
                .hint(format!("if none is at work: DROP DATABASE {}", quoted(&part))));
        }
        progress.waiting(&format!("restore {into}"), "checking the dump");
        store::check(cx, "postgres", artifact).await?;
        let (server, _) = version(&mut client, cx).await?;
        let tools = Tools::find(cx, server.max(dumped_with(artifact)), &self.env).await?;
        let owner = number(&mut client, cx, SUPERUSER).await? == 1;
        let like = settings(&mut client, cx, &address.database, server).await?;
        let create = format!("CREATE DATABASE {} TEMPLATE template0{like}", quoted(&part));
        client.change(cx, &create, "create the database").await?;

        progress.waiting(&format!("restore {into}"), "pg_restore is at work");
        let work = cx.within(cx.left().saturating_sub((cx.left() / 10).min(CLEAN_UP)));
        let target = address.with_database(&part);
        let restored = self.fill(&work, &tools, &target, artifact, owner, progress);
        let restored = match restored.await {
            Ok(()) => rename(&mut client, &work, &part, into).await,
            failed => failed,
        };
        if let Err(fault) = restored {
            let drop = format!("DROP DATABASE {}", quoted(&part));
            let dropped = client.change(cx, &drop, "drop the unfinished database").await;
            return Err(match dropped {
                Ok(()) => fault,
                Err(_) => fault.hint(format!("{part} is left over: {drop}")),
            });
        }
        Ok(self.next(&address, artifact, into, owner, cx))
    }

    async fn fill(
        &self,
        cx: &Context,
        tools: &Tools,
        part: &Address,
        artifact: &Artifact,
        owner: bool,
        progress: &dyn Progress,
    ) -> Result<(), Fault> {
        let step = format!("restore {}", self.name);
        let conninfo = format!("dbname='{}'", part.database.replace('\\', "\\\\").replace('\'', "\\'"));
        let mut job = tools.restore().variables(&part.variables());
        for argument in ["--exit-on-error", "--no-password"] {
            job = job.argument(argument);
        }
        if !owner {
            job = job.argument("--no-owner");
        }
        job = job.argument(format!("--dbname={conninfo}")).argument(&artifact.id);
        let ended = job.run(cx, &mut |_, line| progress.output(&step, line)).await;
        outcome(ended, "restore", Path::new(&part.place())).map(|_| ())
    }

    fn next(
        &self,
        address: &Address,
        artifact: &Artifact,
        into: &str,
        owner: bool,
        cx: &Context,
    ) -> Vec<String> {
        let restored = address.with_database(into);
        let ago = cx.clock().now().duration_since(artifact.at).as_secs().max(0);
        let mut lines = vec![
            format!("restored {} into the new database {}", artifact.id, restored.place()),
            format!("it lacks everything written after {} ({} min ago)", artifact.at, ago / 60),
            format!("{} is as it was, with that data", address.place()),
        ];
        if !owner {
            lines.push(format!(
                "all of it belongs to {}: it may not give it to the first owners",
                address.user
            ));
        }
        lines.push(format!("run ANALYZE in {into} before it gets traffic: a restore brings no statistics"));
        lines.push(format!(
            "to switch over: stop what writes, point {} at {into}, restart the services",
            self.url
        ));
        lines
    }
}

const SUPERUSER: &str = "select rolsuper::int from pg_roles where rolname = current_user";

/// A connection to the server from which databases can be made: where the database itself is lost, to
/// the one that every server has.
async fn maintenance(cx: &Context, address: &Address) -> Result<Client, Fault> {
    match Client::connect(cx, address.clone()).await {
        Err(fault) if fault.detail.contains("(3D000)") => {
            Client::connect(cx, address.with_database("postgres")).await
        }
        other => other,
    }
}

async fn exists(client: &mut Client, cx: &Context, name: &str) -> Result<bool, Fault> {
    let query = format!("select count(*) from pg_database where datname = {}", literal(name));
    Ok(number(client, cx, &query).await? > 0)
}

/// Encoding and locale of the database that was dumped, for the new one.
async fn settings(client: &mut Client, cx: &Context, like: &str, server: u32) -> Result<String, Fault> {
    let locale = match server {
        ..15 => "'c', null",
        15..17 => "datlocprovider, daticulocale",
        _ => "datlocprovider, datlocale",
    };
    let query = format!(
        "select pg_encoding_to_char(encoding), datcollate, datctype, {locale} from pg_database \
         where datname = {}",
        literal(like)
    );
    let rows = client.rows(cx, &query).await?;
    let Some([Some(encoding), Some(collate), Some(ctype), provider, locale]) =
        rows.first().map(Vec::as_slice)
    else {
        return Ok(String::new());
    };
    let mut text = format!(
        " ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        literal(encoding),
        literal(collate),
        literal(ctype)
    );
    match (provider.as_deref(), locale) {
        (Some("i"), Some(locale)) => {
            text = format!("{text} LOCALE_PROVIDER icu ICU_LOCALE {}", literal(locale));
        }
        (Some("b"), Some(locale)) => {
            text = format!("{text} LOCALE_PROVIDER builtin BUILTIN_LOCALE {}", literal(locale));
        }
        _ => {}
    }
    Ok(text)
}

async fn rename(client: &mut Client, cx: &Context, part: &str, into: &str) -> Result<(), Fault> {
    let statement = format!("ALTER DATABASE {} RENAME TO {}", quoted(part), quoted(into));
    let mut tries = 0;
    loop {
        tries += 1;
        match client.change(cx, &statement, "name the new database").await {
            Err(fault) if fault.treat == Treat::Temporary && tries < RENAMES_MAX => {
                cx.clock().sleep(RENAME_WAIT).await;
            }
            other => return other,
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
