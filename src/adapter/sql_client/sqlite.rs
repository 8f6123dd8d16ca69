//! One question to an SQLite file, on a thread that can wait.

use rusqlite::{Connection, Error, ErrorCode, InterruptHandle, OpenFlags, Row, types::ValueRef};
use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{Answer, Cell, no_answer, script::Script};
use crate::port::{Context, Fault, Treat};

/// How long a lock of another process is waited for.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// Stops the work of a thread when the future that waits for it goes.
#[derive(Clone, Default)]
pub struct Stop(Arc<Stopping>);

#[derive(Default)]
struct Stopping {
    asked: AtomicBool,
    handle: Mutex<Option<InterruptHandle>>,
}

impl Stop {
    pub fn asked(&self) -> bool {
        self.0.asked.load(Ordering::Acquire)
    }

    /// From now on the connection is interrupted when the future goes.
    pub fn watch(&self, connection: &Connection) {
        if let Ok(mut handle) = self.0.handle.lock() {
            *handle = Some(connection.get_interrupt_handle());
        }
    }
}

struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.0.asked.store(true, Ordering::Release);
        if let Ok(handle) = self.0.0.handle.lock()
            && let Some(handle) = &*handle
        {
            handle.interrupt();
        }
    }
}

/// Runs `work` on a thread of its own until it is done or the deadline has passed; then, and when the
/// future is dropped, the work is interrupted.
pub async fn on_thread<T: Send + 'static>(
    cx: &Context,
    work: impl FnOnce(Stop) -> T + Send + 'static,
) -> Result<T, String> {
    let guard = StopOnDrop(Stop::default());
    let stop = guard.0.clone();
    match cx.bounded(tokio::task::spawn_blocking(move || work(stop))).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(e)) => Err(e.to_string()),
        Err(after) => Err(no_answer(after)),
    }
}

/// Opens a file that is there already.
pub fn open(path: &Path, write: bool, busy: Duration) -> Result<Connection, Error> {
    let mode = if write { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(busy.min(BUSY_MAX))?;
    Ok(connection)
}

pub fn fault(what: &str, path: &Path, error: &Error) -> Fault {
    let treat = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OperationInterrupted) => {
            Treat::Temporary
        }
        _ => Treat::Permanent,
    };
    Fault::new(treat, "sqlite", what, path.display().to_string(), error)
}

pub(super) async fn ask(cx: &Context, path: &Path, query: &str) -> Result<Answer, Fault> {
    let (file, query, busy) = (path.to_path_buf(), query.to_string(), cx.left() / 2);
    let asked = on_thread(cx, move |stop| {
        let connection = open(&file, false, busy)?;
        stop.watch(&connection);
        // Refuses a second statement.
        let mut statement = connection.prepare(&query)?;
        if !statement.readonly() {
            return Err(Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY),
                Some("a question must not write".into()),
            ));
        }
        let columns = statement.column_count();
        let mut answer = Answer::default();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if !add(&mut answer, row, columns) {
                break;
            }
        }
        Ok(answer)
    });
    match asked.await {
        Ok(answer) => answer.map_err(|e| fault("ask", path, &e)),
        Err(why) => Err(Fault::temporary("sqlite", "ask", path.display().to_string(), why)),
    }
}

pub(super) async fn script(cx: &Context, path: &Path, script: &Script) -> Result<Answer, Fault> {
    let (file, busy) = (path.to_path_buf(), cx.left() / 2);
    let (owned, transactional) = (script.clone(), script.transactional());
    let run = on_thread(cx, move |stop| {
        let at = |line: usize| move |error: Error| (line, error);
        let connection = open(&file, true, busy).map_err(at(1))?;
        stop.watch(&connection);
        if transactional {
            connection.execute_batch("BEGIN IMMEDIATE").map_err(at(1))?;
        }
        let mut answer = Answer::default();
        for (text, line) in owned.statements() {
            let answered = run_one(&connection, text).map_err(|e| (line, e))?;
            answer = answered.unwrap_or(answer);
        }
        if stop.asked() {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT);
            return Err((1, Error::SqliteFailure(code, None)));
        }
        if transactional {
            connection.execute_batch("COMMIT").map_err(at(1))?;
        }
        Ok(answer)
    });
    let kept = match transactional {
        true => "nothing of it was kept",
        false => "what was committed before this statement was kept",
    };
    match run.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err((line, e))) => {
            let mut fault = fault("run the script", path, &e);
            fault.detail = format!("statement in line {line}: {}; {kept}", fault.detail);
            if !transactional {
                fault.treat = Treat::Permanent;
            }
            Err(fault)
        }
        // The interrupt may have come too late for the commit.
        Err(why) => {
            let place = path.display().to_string();
            Err(Fault::outcome_unknown("sqlite", "run the script", place, why))
        }
    }
}

/// What a statement that has columns answers.
fn run_one(connection: &Connection, text: &str) -> Result<Option<Answer>, Error> {
    let mut statement = connection.prepare(text)?;
    let columns = statement.column_count();
    let mut answer = Answer::default();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        add(&mut answer, row, columns);
    }
    Ok((columns > 0).then_some(answer))
}

fn add(answer: &mut Answer, row: &Row<'_>, columns: usize) -> bool {
    let value = |i: usize| row.get_ref(i).unwrap_or(ValueRef::Null);
    let first = || match value(0) {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Number(number as f64),
        ValueRef::Real(number) => Cell::Number(number),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Cell::Text(format!("{} bytes", bytes.len())),
    };
    let show = |i: usize| match value(i) {
        ValueRef::Null => "NULL".to_string(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()),
    };
    answer.add(first, || (0..columns).map(show).collect())
}
