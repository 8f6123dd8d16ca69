//! One connection to a PostgreSQL server.

use futures_util::StreamExt;
use std::{error::Error as _, time::Duration};
use tokio::task::JoinHandle;
use tokio_postgres::{
    Error, SimpleQueryMessage, SimpleQueryRow,
    config::{Config, SslMode},
    error::ErrorPosition,
    types::Type,
};

use super::{
    Answer, Cell,
    address::{Address, Encryption},
    no_answer,
    script::Script,
    tls,
};
use crate::port::{Context, Fault, Treat};

const CONNECT_MAX: Duration = Duration::from_secs(10);
const ROWS_MAX: usize = 10_000;

/// A connection that is made again when it was left in the middle of something.
pub struct Client {
    address: Address,
    link: Option<Link>,
}

struct Link {
    client: tokio_postgres::Client,
    connection: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Where a script had come to when it failed.
enum Failure {
    Server(Error),
    /// No answer before the deadline.
    Silence(String),
}

impl Client {
    pub async fn connect(cx: &Context, address: Address) -> Result<Client, Fault> {
        let link = Some(Link::make(cx, &address).await?);
        Ok(Client { address, link })
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The rows of a small query of our own, as text.
    pub async fn rows(&mut self, cx: &Context, query: &str) -> Result<Vec<Vec<Option<String>>>, Fault> {
        let link = self.take(cx).await?;
        let asked = cx.bounded(link.client.simple_query(query)).await;
        let messages = self.settle(link, asked, "ask")?;
        Ok(messages.iter().take(ROWS_MAX).filter_map(cells).collect())
    }

    /// A statement of our own that changes something. A lost answer is `OutcomeUnknown`.
    pub async fn change(&mut self, cx: &Context, statement: &str, what: &str) -> Result<(), Fault> {
        let link = self.take(cx).await?;
        let done = cx.bounded(link.client.batch_execute(statement)).await;
        let lost = !matches!(&done, Ok(Err(e)) if e.as_db_error().is_some());
        self.settle(link, done, what).map_err(|fault| match lost {
            true => Fault { treat: Treat::OutcomeUnknown, ..fault },
            false => fault,
        })
    }

    pub(super) async fn ask(&mut self, cx: &Context, query: &str) -> Result<Answer, Fault> {
        let link = self.take(cx).await?;
        // The server gives up a little earlier than we do, so that it says why.
        let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", server_limit(cx));
        let asked = cx
            .bounded(async {
                link.client.batch_execute(&begin).await?;
                let answer = async {
                    // Refuses a second statement, and knows the types.
                    let prepared = link.client.prepare(query).await?;
                    let first = prepared.columns().first().map(|c| c.type_().clone());
                    read(&link.client, query, first).await
                };
                let answer = answer.await;
                if !matches!(&answer, Ok(answer) if answer.more) {
                    link.client.batch_execute("ROLLBACK").await?;
                }
                answer
            })
            .await;
        let more = matches!(&asked, Ok(Ok(answer)) if answer.more);
        let answer = self.settle(link, asked, "ask")?;
        if more {
            // The rest of the rows is still on its way.
            self.link = None;
        }
        Ok(answer)
    }

    pub(super) async fn script(&mut self, cx: &Context, script: &Script) -> Result<Answer, Fault> {
        let mut link = self.take(cx).await?;
        let set = format!("SET statement_timeout = {}", server_limit(cx));
        let set = cx.bounded(link.client.batch_execute(&set)).await;
        self.settle(link, set, "run the script")?;
        link = self.take(cx).await?;
        match script.transactional() {
            true => self.in_one(cx, &link.client, script).await,
            false => self.one_by_one(cx, &link.client, script).await,
        }
    }

    async fn in_one(
        &self,
        cx: &Context,
        client: &tokio_postgres::Client,
        script: &Script,
    ) -> Result<Answer, Fault> {
        let text = script.text();
        let work = async {
            client.batch_execute("BEGIN").await?;
            read(client, text, None).await
        };
        let fault = |failure: Failure, base: &str, lost: Treat| {
            self.fault("run the script", failure, Some((text, 1)), base, lost)
        };
        const KEPT: &str = "nothing of it was kept";
        let answer = match cx.bounded(work).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(e)) => return Err(fault(Failure::Server(e), KEPT, Treat::Temporary)),
            Err(after) => return Err(fault(Failure::Silence(no_answer(after)), KEPT, Treat::Temporary)),
        };
        const UNKNOWN: &str = "whether all of it or nothing was kept is unknown";
        match cx.bounded(client.batch_execute("COMMIT")).await {
            Ok(Ok(())) => Ok(answer),
            Ok(Err(e)) if e.as_db_error().is_some() => {
                Err(fault(Failure::Server(e), KEPT, Treat::OutcomeUnknown))
            }
            Ok(Err(e)) => Err(fault(Failure::Server(e), UNKNOWN, Treat::OutcomeUnknown)),
            Err(after) => Err(fault(Failure::Silence(no_answer(after)), UNKNOWN, Treat::OutcomeUnknown)),
        }
    }

    async fn one_by_one(
        &self,
        cx: &Context,
        client: &tokio_postgres::Client,
        script: &Script,
    ) -> Result<Answer, Fault> {
        let mut answer = Answer::default();
        for (statement, line) in script.statements() {
            let failure = match cx.bounded(read(client, statement, None)).await {
                Ok(Ok(next)) => {
                    answer = next;
                    continue;
                }
                Ok(Err(e)) => Failure::Server(e),
                Err(after) => Failure::Silence(no_answer(after)),
            };
            let base = "what was committed before this statement was kept";
            let mut fault =
                self.fault("run the script", failure, Some((statement, line)), base, Treat::OutcomeUnknown);
            if fault.treat == Treat::Temporary {
                // Run again, it would begin at its beginning.
                fault.treat = Treat::Permanent;
            }
            return Err(fault);
        }
        Ok(answer)
    }

    async fn take(&mut self, cx: &Context) -> Result<Link, Fault> {
        match self.link.take() {
            Some(link) if !link.client.is_closed() => Ok(link),
            _ => Link::make(cx, &self.address).await,
        }
    }

    /// Keeps the connection if the server has answered; dropped while it works, it is never used again.
    fn settle<T>(
        &mut self,
        link: Link,
        result: Result<Result<T, Error>, crate::port::context::TimedOut>,
        what: &str,
    ) -> Result<T, Fault> {
        let failure = match result {
            Ok(Ok(value)) => {
                self.link = Some(link);
                return Ok(value);
            }
            Ok(Err(e)) => Failure::Server(e),
            Err(after) => Failure::Silence(no_answer(after)),
        };
        Err(self.fault(what, failure, None, "", Treat::Temporary))
    }

    /// `lost`: how to treat a connection that was lost on the way.
    fn fault(
        &self,
        what: &str,
        failure: Failure,
        statement: Option<(&str, usize)>,
        kept: &str,
        lost: Treat,
    ) -> Fault {
        let (treat, mut detail) = match failure {
            Failure::Silence(why) => (lost, why),
            Failure::Server(e) => match e.as_db_error() {
                Some(error) => {
                    let line = match (statement, error.position()) {
                        (Some((text, line)), Some(ErrorPosition::Original(at))) => {
                            let before = text.chars().take(at.saturating_sub(1) as usize);
                            format!("line {}: ", line + before.filter(|c| *c == '\n').count())
                        }
                        (Some((_, line)), _) if line > 1 => format!("statement in line {line}: "),
                        _ => String::new(),
                    };
                    (treat(&e), line + &describe(&e))
                }
                None => (lost, describe(&e)),
            },
        };
        if !kept.is_empty() {
            detail = format!("{detail}; {kept}");
        }
        Fault::new(treat, "postgres", what, self.address.place(), detail)
    }
}

impl Link {
    async fn make(cx: &Context, address: &Address) -> Result<Link, Fault> {
        let fault = |treat, why: String| Fault::new(treat, "postgres", "connect", address.place(), why);
        let tls = tls::connector(address).map_err(|why| fault(Treat::Permanent, why))?;
        let mut config = Config::new();
        for (host, port) in &address.hosts {
            config.host(host).port(*port);
        }
        config
            .user(&address.user)
            .dbname(&address.database)
            .application_name("tidegate")
            .connect_timeout(CONNECT_MAX)
            .ssl_mode(match address.encryption {
                Encryption::Disable => SslMode::Disable,
                Encryption::Prefer => SslMode::Prefer,
                Encryption::Require | Encryption::VerifyCa | Encryption::VerifyFull => SslMode::Require,
            });
        if let Some(password) = &address.password {
            config.password(password);
        }
        match cx.within(CONNECT_MAX).bounded(config.connect(tls)).await {
            Ok(Ok((client, connection))) => {
                let connection = tokio::spawn(async move {
                    // Whoever waits for an answer is told why there is none.
                    let _ = connection.await;
                });
                Ok(Link { client, connection })
            }
            Ok(Err(e)) => {
                let fault = fault(treat(&e), describe(&e));
                Err(match e.code().map(|c| c.code()) {
                    Some("28P01" | "28000") => {
                        fault.hint("check user and password in the URL, and pg_hba.conf")
                    }
                    Some("3D000") => fault.hint("check the database's name at the end of the URL"),
                    _ => fault,
                })
            }
            Err(after) => Err(fault(Treat::Temporary, no_answer(after))),
        }
    }
}

/// Milliseconds after which the server itself gives up.
fn server_limit(cx: &Context) -> u128 {
    let left = cx.left();
    (left - (left / 10).min(Duration::from_secs(1))).as_millis().clamp(1, i32::MAX as u128)
}

/// Runs a text and reads its rows; of several statements the last one's count.
async fn read(client: &tokio_postgres::Client, text: &str, first: Option<Type>) -> Result<Answer, Error> {
    let stream = client.simple_query_raw(text).await?;
    let mut stream = std::pin::pin!(stream);
    let mut answer = Answer::default();
    let bounded = first.is_some();
    while let Some(message) = stream.next().await {
        match message? {
            SimpleQueryMessage::RowDescription(_) => answer = Answer::default(),
            SimpleQueryMessage::Row(row) => {
                let wanted = answer.add(
                    || cell(&row, first.as_ref()),
                    || (0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_string()).collect(),
                );
                // A script is read to its end: its later statements count.
                if !wanted && bounded {
                    break;
                }
            }
            _ => {}
        }
    }
    Ok(answer)
}

fn cell(row: &SimpleQueryRow, kind: Option<&Type>) -> Cell {
    let text = match row.try_get(0) {
        Ok(Some(text)) => text,
        _ => return Cell::Null,
    };
    let number = match kind {
        Some(&Type::BOOL) => Some(f64::from(u8::from(text == "t"))),
        Some(&Type::INT2 | &Type::INT4 | &Type::INT8 | &Type::OID | &Type::XID8) => text.parse().ok(),
        Some(&Type::FLOAT4 | &Type::FLOAT8 | &Type::NUMERIC) => text.parse().ok(),
        _ => None,
    };
    number.map_or_else(|| Cell::Text(text.to_string()), Cell::Number)
}

fn cells(message: &SimpleQueryMessage) -> Option<Vec<Option<String>>> {
    match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|i| row.get(i).map(str::to_string)).collect())
        }
        _ => None,
    }
}

/// Classes of SQLSTATE that may go away: no connection, no resources, operator intervention and
/// starting up, serialization and deadlock, object in use.
fn treat(error: &Error) -> Treat {
    match error.code() {
        Some(state) => match state.code().get(..2) {
            Some("08" | "53" | "57" | "40" | "55") => Treat::Temporary,
            _ => Treat::Permanent,
        },
        None if error.is_closed() => Treat::Temporary,
        None => match error.source().and_then(|e| e.downcast_ref::<std::io::Error>()) {
            // A certificate that is not trusted comes as invalid data.
            Some(e) if e.kind() == std::io::ErrorKind::InvalidData => Treat::Permanent,
            Some(_) => Treat::Temporary,
            None => Treat::Permanent,
        },
    }
}

/// What went wrong, without the statement: `relation "x" does not exist (42P01)`.
fn describe(error: &Error) -> String {
    let Some(server) = error.as_db_error() else {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        return text;
    };
    let mut text = format!("{} ({})", server.message(), server.code().code());
    for more in [server.detail(), server.hint()].into_iter().flatten() {
        text = format!("{text}; {more}");
    }
    text
}
