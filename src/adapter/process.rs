//! Child processes: a group of their own, their output line by line, and nothing left behind.

use std::{
    collections::{BTreeMap, VecDeque},
    io::ErrorKind,
    path::Path,
    pin::Pin,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
};

use crate::{
    domain::value::Kind,
    platform::{self, NO_SHELL, Tree},
    port::{
        Context, excerpt,
        secret::{TOKEN_GIVEN, TOKEN_OF_JOB},
    },
};

pub use crate::platform::ending;

mod lines;

use lines::{Line, Lines};

/// Between SIGTERM and SIGKILL, at most.
const GRACE: Duration = Duration::from_secs(2);
/// How long a pipe may be silent before it is left to whoever still holds it, once the child is gone.
const QUIET: Duration = Duration::from_millis(250);
/// How long such a pipe is read at all.
const DRAIN_MAX: Duration = Duration::from_secs(2);
const TAIL_LINES: usize = 20;
/// Leaves room for a heading in a fault's detail.
const TAIL_CHARS: usize = 1600;

/// A program about to be started.
///
/// It runs in a process group of its own, with nothing to read, and inherits the environment but for
/// the token that the action was given for itself. When it
/// has ended, in whatever way, the rest of its group is killed; when the future is dropped, all of it at
/// once. A service that a script starts must therefore leave the group, as it does under `setsid`,
/// systemd or a container engine; `nohup … &` alone is not enough.
pub struct Job {
    command: Command,
    heard: bool,
}

/// Where a line was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printed {
    Out,
    Err,
}

/// A program that ran to its end.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    /// The last line of its standard output that is not blank.
    pub answer: Option<String>,
    /// The end of what it printed.
    pub tail: String,
    pub took: Duration,
}

/// A program that did not run to its end.
#[derive(Debug)]
pub enum Stopped {
    /// It could not be started.
    NotStarted(String),
    /// It was killed at its limit.
    TimedOut { limit: Duration, tail: String },
    /// The system lost track of it.
    Lost(String),
}

impl Job {
    /// A text for `sh -eu`, started in `folder`.
    pub fn shell(text: &str, folder: &Path) -> Job {
        let mut command = platform::shell(text);
        remove_tokens(&mut command);
        command.current_dir(folder);
        Job { command, heard: true }
    }

    pub fn tool(path: &Path) -> Job {
        Job { command: without_tokens(path), heard: true }
    }

    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Job {
        self.command.arg(argument);
        self
    }

    #[must_use]
    pub fn variables(mut self, variables: &BTreeMap<String, String>) -> Job {
        self.command.envs(variables);
        self
    }

    #[must_use]
    pub fn without(mut self, variable: &str) -> Job {
        self.command.env_remove(variable);
        self
    }

    /// Standard output goes there and is not listened to.
    #[must_use]
    pub fn output(mut self, pipe: impl Into<Stdio>) -> Job {
        self.command.stdout(pipe);
        self.heard = false;
        self
    }

    /// Runs it to its end and hands every line to `hear`, harmless to a terminal, without secrets and cut at 4 KiB.
    /// Shortly before the context's deadline the group is asked to end (SIGTERM, where there is such a thing), at
    /// the deadline it is killed.
    pub async fn run(
        mut self,
        cx: &Context,
        hear: &mut (dyn FnMut(Printed, &str) + Send),
    ) -> Result<Ended, Stopped> {
        self.command.stderr(Stdio::piped());
        if self.heard {
            self.command.stdout(Stdio::piped());
        }
        let program = self.command.as_std().get_program().to_string_lossy().into_owned();
        let tree = Tree::start(self.command).map_err(|e| {
            let hint = if program == "sh" && e.kind() == ErrorKind::NotFound { NO_SHELL } else { "" };
            Stopped::NotStarted(format!("{program}: {e}{hint}"))
        })?;
        Running::of(tree, hear).finish(cx).await
    }
}

fn without_tokens(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    remove_tokens(&mut command);
    command
}

/// Users' steps do not inherit what only the action was given.
fn remove_tokens(command: &mut Command) {
    [TOKEN_GIVEN, TOKEN_OF_JOB].into_iter().for_each(|ours| _ = command.env_remove(ours));
}

struct Running<'a> {
    tree: Tree,
    ear: Ear<'a>,
}

/// What listens to both pipes.
struct Ear<'a> {
    out: Pipe,
    err: Pipe,
    hear: &'a mut (dyn FnMut(Printed, &str) + Send),
    answer: Option<String>,
    tail: VecDeque<String>,
}

struct Pipe {
    reader: Option<Box<dyn AsyncRead + Send + Unpin>>,
    buffer: Box<[u8]>,
    lines: Lines,
}

impl Pipe {
    fn of(reader: Option<impl AsyncRead + Send + Unpin + 'static>) -> Pipe {
        let reader = reader.map(|r| Box::new(r) as Box<dyn AsyncRead + Send + Unpin>);
        Pipe { reader, buffer: vec![0; 16 * 1024].into(), lines: Lines::default() }
    }

    /// The number of bytes read; 0 at the end. Never ready on a pipe that has ended.
    async fn read(&mut self) -> usize {
        match &mut self.reader {
            Some(reader) => reader.read(&mut self.buffer).await.unwrap_or(0),
            None => std::future::pending().await,
        }
    }
}

impl Ear<'_> {
    fn open(&self) -> bool {
        self.out.reader.is_some() || self.err.reader.is_some()
    }

    /// Waits for the next piece of output and passes its lines on.
    async fn listen(&mut self) {
        let (from, count) = tokio::select! {
            count = self.out.read() => (Printed::Out, count),
            count = self.err.read() => (Printed::Err, count),
        };
        let pipe = match from {
            Printed::Out => &mut self.out,
            Printed::Err => &mut self.err,
        };
        let bytes = pipe.buffer.get(..count).unwrap_or_default();
        let mut lines = pipe.lines.push(bytes);
        if count == 0 {
            pipe.reader = None;
            lines.extend(pipe.lines.rest());
        }
        self.pass_on(from, lines);
    }

    fn pass_on(&mut self, from: Printed, lines: Vec<Line>) {
        for line in lines {
            let Line { said, shown } = line;
            (self.hear)(from, &shown);
            if said.trim().is_empty() {
                continue;
            }
            if from == Printed::Out {
                self.answer = Some(said.trim().to_string());
            }
            if self.tail.len() == TAIL_LINES {
                self.tail.pop_front();
            }
            self.tail.push_back(shown);
        }
    }

    /// What is in the pipes when the child is gone. Whoever else still holds them is not waited for.
    async fn drain(&mut self, cx: &Context) {
        let drain = cx.within(DRAIN_MAX);
        while self.open() && !drain.left().is_zero() {
            if drain.within(QUIET).bounded(self.listen()).await.is_err() {
                break;
            }
        }
        let rest = self.out.lines.rest().into_iter().collect();
        self.pass_on(Printed::Out, rest);
        let rest = self.err.lines.rest().into_iter().collect();
        self.pass_on(Printed::Err, rest);
    }

    fn tail(&self) -> String {
        excerpt::end(&Vec::from_iter(self.tail.iter().map(String::as_str)).join("\n"), TAIL_CHARS)
    }
}

impl<'a> Running<'a> {
    fn of(mut tree: Tree, hear: &'a mut (dyn FnMut(Printed, &str) + Send)) -> Running<'a> {
        let out = Pipe::of(tree.out());
        let err = Pipe::of(tree.err());
        Running { tree, ear: Ear { out, err, hear, answer: None, tail: VecDeque::new() } }
    }

    async fn finish(mut self, cx: &Context) -> Result<Ended, Stopped> {
        let limit = cx.left();
        let begun = cx.clock().elapsed();
        let mut term: Pin<Box<_>> = cx.clock().sleep(limit.saturating_sub((limit / 10).min(GRACE)));
        let mut kill: Pin<Box<_>> = cx.clock().sleep(limit);
        let (mut late, mut asked) = (false, false);
        let ended = loop {
            tokio::select! {
                biased;
                () = &mut kill => break None,
                () = &mut term, if !late => {
                    late = true;
                    asked = self.tree.ask();
                }
                status = self.tree.wait() => break Some(status),
                () = self.ear.listen(), if self.ear.open() => {}
            }
        };
        self.tree.kill();
        // At the deadline there is no time left; what is in the pipes is then lost, the kill is not.
        self.ear.drain(cx).await;
        match ended {
            Some(Ok(status)) if !asked => Ok(Ended {
                status,
                answer: self.ear.answer.take(),
                tail: self.ear.tail(),
                took: cx.clock().elapsed().saturating_sub(begun),
            }),
            Some(Err(e)) => Err(Stopped::Lost(e.to_string())),
            Some(Ok(_)) | None => Err(Stopped::TimedOut { limit, tail: self.ear.tail() }),
        }
    }
}

/// What is to be said of a program that was killed at `limit`.
pub fn killed(limit: Duration) -> String {
    // A limit of 2 s is one, even where getting there took a few milliseconds of it.
    let seconds = limit.as_secs_f64();
    let limit = Kind::Time.show(if seconds > 1.0 { seconds.round() } else { seconds });
    format!("killed at its limit of {limit}; what it had done by then is unknown")
}

/// `why`, and below it the end of what was printed.
pub fn with_tail(why: &str, tail: &str) -> String {
    if tail.is_empty() { why.to_string() } else { format!("{why}; it printed last:\n{tail}") }
}
