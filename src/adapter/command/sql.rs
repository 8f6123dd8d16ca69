//! A step that is SQL.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};

use crate::{
    adapter::{
        metric::sql::{address, fill},
        sql_client::{Answer, ROWS_MAX, Session, script::Script},
    },
    domain::{names::EntryName, template::words_of, value::Kind},
    port::{
        Command, Context, Fault, Output, Progress, SqlAddress, Task,
        adapter::{Adapter, CommandAdapter, Environment, Setting},
    },
};

const SCRIPT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A query, or a file of statements, sent to one of the file's databases.
///
/// With `expect` it is a question: one statement, asked read-only. Without, it may change things: all of
/// it runs in one transaction, unless it has `BEGIN` and `COMMIT` of its own or a statement that no
/// transaction may hold (`CREATE INDEX CONCURRENTLY`, `VACUUM`); then it runs statement by statement.
/// The answer is the first value of the last query in it.
pub struct Sql {
    source: Source,
    database: EntryName,
    address: SqlAddress,
    expect: Option<Expect>,
    env: Environment,
}

enum Source {
    Text(String),
    File(PathBuf),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A query, or the path of a file (it ends in `.sql`, or there is a file of that name).
    file_or_query: String,
    /// The entry under `databases` to ask; not needed where there is only one.
    #[serde(default)]
    database: Option<EntryName>,
    /// How many rows must come: `0 rows`.
    #[serde(default)]
    expect: Option<Expect>,
}

/// `N rows`, `1 row`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^[0-9]+ rows?$"))]
pub struct Expect(u64);

impl TryFrom<String> for Expect {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let number = text.strip_suffix(" rows").or_else(|| text.strip_suffix(" row"));
        match number.and_then(|n| n.trim().parse().ok()) {
            Some(rows) if rows <= ROWS_MAX => Ok(Expect(rows)),
            Some(_) => Err(format!("more than {ROWS_MAX} rows cannot be expected; count them in the query")),
            None => Err(format!("`{text}` is not a number of rows, such as `0 rows`")),
        }
    }
}

impl Adapter for Sql {
    const NAME: &'static str = "sql";
    const SUMMARY: &'static str = "A query or a file of statements for PostgreSQL or SQLite";
    const SHORT: Option<&'static str> = Some("file_or_query");
    type Config = Config;
}

impl CommandAdapter for Sql {
    const SECTIONS: &'static [&'static str] = &["migrations", "smoke", "hooks"];

    fn connect(config: Config, setting: &Setting) -> Result<Box<dyn Command>, String> {
        let (database, address) = address(config.database.as_ref(), setting)?;
        let path = setting.base.join(&config.file_or_query);
        let one_line = !config.file_or_query.contains('\n');
        let source = if one_line && (config.file_or_query.trim_end().ends_with(".sql") || path.is_file()) {
            Source::File(setting.base.join(config.file_or_query.trim_end()))
        } else {
            words_of(&config.file_or_query)?;
            Source::Text(config.file_or_query)
        };
        let env = setting.env.clone();
        Ok(Box::new(Sql { source, database, address, expect: config.expect, env }))
    }
}

#[async_trait]
impl Command for Sql {
    async fn run(&self, cx: &Context, task: &Task, progress: &dyn Progress) -> Result<Output, Fault> {
        let refused = |why: String| Fault::permanent("sql", "read the script", &task.name, why);
        let text = match &self.source {
            Source::File(path) => read(path).map_err(refused)?,
            Source::Text(text) => fill(text, &task.words).map_err(refused)?,
        };
        let begun = cx.clock().elapsed();
        let took = || Kind::Time.show(cx.clock().elapsed().saturating_sub(begun).as_secs_f64());
        if let Some(expect) = self.expect {
            let mut session = Session::open(cx, &self.address, &self.env).await?;
            let answer = session.ask(cx, &text).await?;
            let summary = self.judge(expect, &answer).map_err(|why| {
                Fault::permanent("sql", format!("find {}", rows(expect.0)), &task.name, why)
            })?;
            return Ok(Output { answer: answer.text(), summary: format!("{summary} in {}", took()) });
        }
        let script = Script::new(text).map_err(refused)?;
        if !script.transactional() {
            progress.line(&format!("{}: runs {}", task.name, script.manner()));
        }
        let mut session = Session::open(cx, &self.address, &self.env).await?;
        let answer = session.script(cx, &script).await.map_err(|fault| match script.psql() {
            true => fault.hint("lines that begin with \\ are for psql: use run: psql -f"),
            false => fault,
        })?;
        let summary = format!("{} on {}, {}", took(), self.database, script.manner());
        Ok(Output { answer: answer.text(), summary })
    }
}

impl Sql {
    fn judge(&self, expect: Expect, answer: &Answer) -> Result<String, String> {
        let found = match answer.more {
            true => format!("more than {ROWS_MAX} rows"),
            false => rows(answer.rows),
        };
        if answer.rows == expect.0 && !answer.more {
            return Ok(found);
        }
        let shown = match answer.shown.is_empty() {
            true => String::new(),
            false => format!(":\n{}", answer.shown.join("\n")),
        };
        Err(format!("{} answered {found}{shown}", self.database))
    }
}

fn rows(number: u64) -> String {
    if number == 1 { "1 row".into() } else { format!("{number} rows") }
}

fn read(path: &Path) -> Result<String, String> {
    let wrong = |e: std::io::Error| format!("{}: {e}", path.display());
    let size = std::fs::metadata(path).map_err(wrong)?.len();
    if size > SCRIPT_BYTES_MAX {
        return Err(format!(
            "{} is larger than {}",
            path.display(),
            Kind::Bytes.show(SCRIPT_BYTES_MAX as f64)
        ));
    }
    std::fs::read_to_string(path).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_numbers_of_rows() {
        assert_eq!(Expect::try_from("0 rows".to_string()), Ok(Expect(0)));
        assert_eq!(Expect::try_from("1 row".to_string()), Ok(Expect(1)));
        for bad in ["0", "rows", "-1 rows", "some rows", "99999999 rows"] {
            assert!(Expect::try_from(bad.to_string()).is_err(), "{bad}");
        }
    }
}
