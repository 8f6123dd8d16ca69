//! A man in the middle of the runtime API: it counts the calls, and at one of them something happens.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
};

use super::process::WATCHDOG;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happens {
    /// The caller is killed, and HAProxy never hears the line.
    KilledBefore,
    /// HAProxy has carried the line out, and the caller is killed before it hears so.
    KilledAfter,
    /// HAProxy never hears the line, and the caller hears nothing.
    Hangs,
}

/// At which call.
#[derive(Clone, Debug)]
pub enum At {
    Number(usize),
    /// The first whose line holds this.
    Line(&'static str),
}

pub struct Middle {
    path: PathBuf,
    shared: Arc<Shared>,
    /// The line at which it happened.
    pub happened: Receiver<String>,
}

struct Shared {
    upstream: PathBuf,
    state: Mutex<State>,
    armed: Condvar,
    sender: Sender<String>,
}

struct State {
    count: usize,
    what: Option<(At, Happens)>,
    caller: Option<Pid>,
    /// Connections that are never answered.
    held: Vec<UnixStream>,
}

impl Middle {
    pub fn start(upstream: &Path, path: PathBuf, at: At, happens: Happens) -> Middle {
        let listener = UnixListener::bind(&path).unwrap();
        let (sender, happened) = channel();
        let state = State { count: 0, what: Some((at, happens)), caller: None, held: Vec::new() };
        let shared = Arc::new(Shared {
            upstream: upstream.into(),
            state: Mutex::new(state),
            armed: Condvar::new(),
            sender,
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(connection));
            }
        });
        Middle { path, shared, happened }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who is killed; calls wait until this is known.
    pub fn caller(&self, caller: Pid) {
        self.shared.state.lock().unwrap().caller = Some(caller);
        self.shared.armed.notify_all();
    }

    /// From now on all calls pass.
    pub fn pass(&self) {
        self.shared.state.lock().unwrap().what = None;
        self.shared.armed.notify_all();
    }

    /// The line at which it happened, once it has.
    pub fn line(&self) -> String {
        self.happened.recv_timeout(WATCHDOG).expect("it happened")
    }
}

impl Shared {
    fn serve(&self, connection: UnixStream) {
        let mut stream = BufReader::new(connection);
        let mut line = String::new();
        if stream.read_line(&mut line).is_err() {
            return;
        }
        let happens = self.happens(&line);
        let mut stream = stream.into_inner();
        match happens {
            Some((Happens::KilledBefore, caller)) => self.kill(caller, line),
            Some((Happens::KilledAfter, caller)) => {
                self.ask(&line);
                self.kill(caller, line);
            }
            Some((Happens::Hangs, _)) => {
                self.state.lock().unwrap().held.push(stream);
                let _ = self.sender.send(line);
            }
            // the other end may be gone
            None => {
                let _ = stream.write_all(&self.ask(&line));
            }
        }
    }

    fn kill(&self, caller: Pid, line: String) {
        kill_process(caller, Signal::KILL).unwrap();
        let _ = self.sender.send(line);
    }

    fn happens(&self, line: &str) -> Option<(Happens, Pid)> {
        let state = self.state.lock().unwrap();
        let mut state = self.armed.wait_while(state, |s| s.what.is_some() && s.caller.is_none()).unwrap();
        state.count += 1;
        let (at, happens) = state.what.clone()?;
        let now = match at {
            At::Number(number) => state.count == number,
            At::Line(part) => line.contains(part),
        };
        if !now {
            return None;
        }
        // Only once.
        state.what = None;
        state.caller.map(|caller| (happens, caller))
    }

    fn ask(&self, line: &str) -> Vec<u8> {
        let mut answer = Vec::new();
        let mut stream = UnixStream::connect(&self.upstream).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }
}
