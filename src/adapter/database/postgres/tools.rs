//! PostgreSQL's own programs: which ones to use, and how they are started.

use std::{
    env::consts::EXE_SUFFIX,
    path::{Path, PathBuf},
};

use crate::{
    adapter::{
        process::{Ended, Job, Printed, Stopped, ending, with_tail},
        sql_client::address::Address,
    },
    domain::value::Kind,
    platform::NOWHERE,
    port::{Context, Fault, adapter::Environment},
};

/// Folders with one version each, as packages lay them out; `*` is the major version.
const FOLDERS: [(&str, &str); 3] =
    [("/usr/lib/postgresql", "/bin"), ("/usr", "/bin"), ("/opt/homebrew/opt", "/bin")];
const PREFIXES: [&str; 3] = ["", "pgsql-", "postgresql@"];

/// `pg_dump` and `pg_restore` of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    pub major: u32,
    folder: PathBuf,
}

impl Tools {
    /// The nearest ones that are not older than the server: an older pg_dump refuses, or leaves out what
    /// it does not know.
    pub async fn find(cx: &Context, server: u32, env: &Environment) -> Result<Tools, Fault> {
        let mut all = installed();
        if let Some(found) = on_path(cx, env).await {
            all.push(found);
        }
        choose(&all, server).ok_or_else(|| {
            let mut majors: Vec<_> = all.iter().map(|t| t.major).collect();
            majors.sort_unstable();
            let known = match majors.iter().map(u32::to_string).collect::<Vec<_>>().join(", ") {
                none if none.is_empty() => "none was found".to_string(),
                some => format!("only found: {some}"),
            };
            let why = format!("the server is PostgreSQL {server}, and pg_dump must not be older: {known}");
            Fault::permanent("postgres", "find pg_dump", format!("for version {server}"), why)
                .hint(format!("apt-get install postgresql-client-{server} (newer ones: apt.postgresql.org)"))
        })
    }

    pub fn dump(&self, address: &Address) -> Job {
        self.job("pg_dump").variables(&address.variables())
    }

    pub fn restore(&self) -> Job {
        self.job("pg_restore")
    }

    fn job(&self, name: &str) -> Job {
        // What the environment says of another server must not mix with the address.
        let mut job = Job::tool(&program(&self.folder, name));
        for other in ["PGSERVICE", "PGHOSTADDR", "PGOPTIONS", "PGCLIENTENCODING", "PGPASSWORD"] {
            job = job.without(other);
        }
        job.variables(&[("LC_MESSAGES".to_string(), "C".to_string())].into())
    }

    /// Reads a dump's table of contents and counts the tables in it.
    pub async fn tables(&self, cx: &Context, dump: &Path) -> Result<usize, Fault> {
        let mut tables = 0;
        let job = self.restore().argument("--list").argument(dump);
        let listed = job
            .run(cx, &mut |from, line| tables += usize::from(from == Printed::Out && is_table(line)))
            .await;
        outcome(listed, "read the dump's table of contents", dump)?;
        Ok(tables)
    }

    /// Reads a whole dump: only that finds one that was cut in half.
    pub async fn read(&self, cx: &Context, dump: &Path) -> Result<(), Fault> {
        let job = self.restore().argument(format!("--file={NOWHERE}")).argument(dump);
        outcome(job.run(cx, &mut |_, _| ()).await, "read the whole dump", dump).map(|_| ())
    }
}

/// A tool's end as a result.
pub fn outcome(ended: Result<Ended, Stopped>, operation: &str, object: &Path) -> Result<Ended, Fault> {
    let object = object.display().to_string();
    match ended {
        Ok(ended) if ended.status.success() => Ok(ended),
        Ok(ended) => Err(Fault::permanent(
            "postgres",
            operation,
            object,
            with_tail(&ending(ended.status), &ended.tail),
        )),
        Err(Stopped::NotStarted(why) | Stopped::Lost(why)) => {
            Err(Fault::permanent("postgres", operation, object, why))
        }
        Err(Stopped::TimedOut { limit, tail }) => {
            let why = format!("not done within {}", Kind::Time.show(limit.as_secs_f64()));
            Err(Fault::temporary("postgres", operation, object, with_tail(&why, &tail)))
        }
    }
}

/// `215; 1259 16389 TABLE public orders shop`, but not `TABLE DATA` and `TABLE ATTACH`.
fn is_table(line: &str) -> bool {
    let words: Vec<_> = line.split_ascii_whitespace().skip(3).take(2).collect();
    !line.starts_with(';') && matches!(words[..], ["TABLE", next] if next != "DATA" && next != "ATTACH")
}

fn installed() -> Vec<Tools> {
    let mut found = Vec::new();
    for ((root, inner), prefix) in FOLDERS.into_iter().zip(PREFIXES) {
        for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let major = name.to_str().and_then(|n| n.strip_prefix(prefix)).and_then(|n| n.parse().ok());
            let Some(major) = major else { continue };
            found.extend(complete(major, entry.path().join(inner.trim_start_matches('/'))));
        }
    }
    found
}

async fn on_path(cx: &Context, env: &Environment) -> Option<Tools> {
    let path = env("PATH")?;
    let folder = std::env::split_paths(&path).find(|folder| program(folder, "pg_dump").is_file())?;
    let job = Job::tool(&program(&folder, "pg_dump")).argument("--version");
    let version = job.run(cx, &mut |_, _| ()).await.ok()?.answer?;
    complete(major_of(&version)?, folder)
}

fn complete(major: u32, folder: PathBuf) -> Option<Tools> {
    let there = |name: &str| program(&folder, name).is_file();
    (there("pg_dump") && there("pg_restore")).then_some(Tools { major, folder })
}

fn program(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}{EXE_SUFFIX}"))
}

/// `pg_dump (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`
fn major_of(version: &str) -> Option<u32> {
    let (_, number) = version.split_once("(PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn choose(all: &[Tools], server: u32) -> Option<Tools> {
    all.iter().filter(|t| t.major >= server).min_by_key(|t| t.major).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_version_that_is_not_older_is_chosen() {
        let tools = |major| Tools { major, folder: PathBuf::from("/x") };
        let all = [tools(17), tools(14), tools(16)];
        assert_eq!(choose(&all, 15).map(|t| t.major), Some(16));
        assert_eq!(choose(&all, 14).map(|t| t.major), Some(14));
        assert_eq!(choose(&all, 18), None);
    }

    #[test]
    fn versions_and_tables_of_contents_are_read() {
        assert_eq!(major_of("pg_dump (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)"), Some(15));
        assert_eq!(major_of("pg_dump (PostgreSQL) 18beta1"), Some(18));
        assert!(is_table("215; 1259 16389 TABLE public orders shop"));
        for other in [
            "3340; 0 16389 TABLE DATA public orders shop",
            "3341; 0 0 TABLE ATTACH public part shop",
            "; Format: CUSTOM TABLE x",
            "216; 1259 16390 VIEW public v shop",
        ] {
            assert!(!is_table(other), "{other}");
        }
    }
}
