//! A job object.

use process_wrap::tokio::{ChildWrapper, CommandWrap, JobObject, KillOnDrop};
use std::{
    io,
    process::{ExitStatus, Stdio},
};
use tokio::process::{ChildStderr, ChildStdout, Command};

/// Processes to be told apart from ours by Ctrl-C. Source: Process Creation Flags, learn.microsoft.com.
const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
/// The job comes first, then the program's first step.
const CREATE_SUSPENDED: u32 = 0x4;

/// A program in a job of its own, with nothing to read. All of the job is killed when this goes.
#[derive(Debug)]
pub struct Tree {
    job: Box<dyn ChildWrapper>,
}

impl Tree {
    /// The command goes with it: our own end of a pipe given to the child would keep it open for ever.
    pub fn start(mut command: Command) -> io::Result<Tree> {
        command.stdin(Stdio::null());
        Self::in_job(command, CREATE_NEW_PROCESS_GROUP)
    }

    /// One that shares our console, and what is asked there.
    pub(super) fn beside(command: Command) -> io::Result<Tree> {
        Self::in_job(command, 0)
    }

    fn in_job(command: Command, flags: u32) -> io::Result<Tree> {
        let mut wrap = CommandWrap::from(command);
        wrap.wrap(KillOnDrop).wrap(JobObject);
        // `JobObject` resumes it.
        let job = wrap.spawn_with(|command| command.creation_flags(CREATE_SUSPENDED | flags).spawn())?;
        Ok(Tree { job })
    }

    /// Its standard output, once, where that is a pipe.
    pub fn out(&mut self) -> Option<ChildStdout> {
        self.job.stdout().take()
    }

    /// Its standard error, once, where that is a pipe.
    pub fn err(&mut self) -> Option<ChildStderr> {
        self.job.stderr().take()
    }

    /// The end of the program itself; the job's own `wait` is for all that it started.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.job.inner_mut().wait().await
    }

    /// Whether it could be asked to end: never.
    pub fn ask(&self) -> bool {
        false
    }

    /// Ends all of it.
    pub fn kill(&mut self) {
        // A job that is gone already is what is wanted.
        let _ = self.job.start_kill();
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.kill();
    }
}
