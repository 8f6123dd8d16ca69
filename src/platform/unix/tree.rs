//! A process group.

use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    io,
    process::{ExitStatus, Stdio},
};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

/// A program in a process group of its own, with nothing to read. All of the group is killed when this goes.
pub struct Tree {
    group: Option<Pid>,
    child: Child,
}

impl Tree {
    /// The command goes with it: our own end of a pipe given to the child would keep it open for ever.
    pub fn start(mut command: Command) -> io::Result<Tree> {
        let child = command.process_group(0).stdin(Stdio::null()).kill_on_drop(true).spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Tree { group, child })
    }

    /// Its standard output, once, where that is a pipe.
    pub fn out(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard error, once, where that is a pipe.
    pub fn err(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// The end of the program itself.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks all of it to end (SIGTERM). Whether it could be asked.
    pub fn ask(&self) -> bool {
        self.send(Signal::TERM);
        true
    }

    /// Ends all of it.
    pub fn kill(&mut self) {
        self.send(Signal::KILL);
        self.group = None;
    }

    fn send(&self, signal: Signal) {
        if let Some(group) = self.group {
            // A group that is gone already is what is wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.kill();
    }
}
