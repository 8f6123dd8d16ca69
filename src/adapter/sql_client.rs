//! Asks one question of a database that speaks SQL, or runs a script there.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::domain::value::Kind;
use crate::port::{Context, Fault, SqlAddress, adapter::Environment, excerpt};

#[cfg(feature = "postgres")]
pub mod address;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod script;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "postgres")]
mod tls;

/// Rows that are counted; a question with more of them is answered "more than".
pub const ROWS_MAX: u64 = 10_000;
/// Rows that are shown to a person.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
const SHOWN_ROWS: usize = 5;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
const SHOWN_CHARS: usize = 200;

/// What a query or the last query of a script answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The first column of the first row.
    pub first: Cell,
    pub rows: u64,
    /// There are more than [`ROWS_MAX`].
    pub more: bool,
    /// The first rows, for people: `a | b`.
    pub shown: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Cell {
    /// NULL, or no row at all.
    #[default]
    Null,
    Number(f64),
    Text(String),
}

impl Answer {
    /// The number it comes to: none for NULL and for no rows; a text is refused.
    pub fn number(&self) -> Result<Option<f64>, String> {
        match &self.first {
            Cell::Null => Ok(None),
            Cell::Number(number) if number.is_finite() => Ok(Some(*number)),
            Cell::Number(number) => {
                Err(format!("the answer is {number}, which nothing can be compared with"))
            }
            Cell::Text(text) => {
                let text = excerpt(text, 60);
                Err(format!("the answer is the text `{text}`, not a number"))
            }
        }
    }

    /// The first value as text.
    pub fn text(&self) -> Option<String> {
        match &self.first {
            Cell::Null => None,
            Cell::Number(number) => Some(number.to_string()),
            Cell::Text(text) => Some(text.clone()),
        }
    }

    /// Counts a row; `false` where no further one is wanted.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    fn add(&mut self, first: impl FnOnce() -> Cell, cells: impl FnOnce() -> Vec<String>) -> bool {
        if self.rows == 0 {
            self.first = first();
        }
        if self.rows == ROWS_MAX {
            self.more = true;
            return false;
        }
        self.rows += 1;
        if self.shown.len() < SHOWN_ROWS {
            self.shown.push(excerpt(&cells().join(" | "), SHOWN_CHARS));
        }
        true
    }
}

/// A way to one database. What cannot be told from the fault's other parts is in its object: host and
/// database, never the password.
pub struct Session(Inner);

enum Inner {
    #[cfg(feature = "postgres")]
    Postgres(Box<postgres::Client>),
    #[cfg(feature = "sqlite")]
    Sqlite(std::path::PathBuf),
}

impl Session {
    /// Connects. Faults: `Permanent` (no such database, denied, bad certificate), `Temporary`
    /// (unreachable, starting up, no connection left).
    pub async fn open(cx: &Context, address: &SqlAddress, env: &Environment) -> Result<Session, Fault> {
        #[cfg(not(feature = "postgres"))]
        let _ = (cx, env);
        match address {
            #[cfg(feature = "postgres")]
            SqlAddress::Postgres { url } => {
                let address = address::Address::resolve(url, env)?;
                Ok(Session(Inner::Postgres(Box::new(postgres::Client::connect(cx, address).await?))))
            }
            #[cfg(feature = "sqlite")]
            SqlAddress::Sqlite { path } => Ok(Session(Inner::Sqlite(path.clone()))),
            #[cfg(not(feature = "postgres"))]
            SqlAddress::Postgres { .. } => Err(left_out("postgres")),
            #[cfg(not(feature = "sqlite"))]
            SqlAddress::Sqlite { path } => Err(left_out("sqlite").hint(path.display().to_string())),
        }
    }

    /// Asks one statement, read-only. Stops in the server too when the deadline comes.
    /// Faults: `Permanent` (the statement is wrong or writes), `Temporary`.
    pub async fn ask(&mut self, cx: &Context, query: &str) -> Result<Answer, Fault> {
        match &mut self.0 {
            #[cfg(feature = "postgres")]
            Inner::Postgres(client) => client.ask(cx, query).await,
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(path) => sqlite::ask(cx, path, query).await,
            #[cfg(not(any(feature = "postgres", feature = "sqlite")))]
            _ => Err(left_out("postgres").hint(format!("{query} {}", cx.left().as_secs()))),
        }
    }

    /// Runs a script, in one transaction where it can. A `Permanent` or `Temporary` fault says what was
    /// kept; `OutcomeUnknown`: the connection was lost where it cannot be told.
    pub async fn script(&mut self, cx: &Context, script: &script::Script) -> Result<Answer, Fault> {
        match &mut self.0 {
            #[cfg(feature = "postgres")]
            Inner::Postgres(client) => client.script(cx, script).await,
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(path) => sqlite::script(cx, path, script).await,
            #[cfg(not(any(feature = "postgres", feature = "sqlite")))]
            _ => Err(left_out("postgres").hint(format!("{} {}", script.manner(), cx.left().as_secs()))),
        }
    }
}

#[cfg(not(all(feature = "postgres", feature = "sqlite")))]
fn left_out(feature: &'static str) -> Fault {
    Fault::permanent("sql", "connect", feature, format!("this build leaves the feature `{feature}` out"))
}

/// `no answer within 10 s`
#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn no_answer(after: crate::port::context::TimedOut) -> String {
    format!("no answer within {}", Kind::Time.show(after.0.as_secs_f64()))
}
