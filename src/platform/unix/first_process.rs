//! The duties of process 1 of a container: orphans become its children, and signals that it does not hear
//! reach nobody.
//!
//! A second tidegate does the work. The first one passes signals on to it, takes note of every process that
//! ended, and ends as the second one did.

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use std::{
    io,
    process::{Command, ExitCode},
};
use tokio::signal::unix::{SignalKind, signal};

/// The exit code, where this is process 1; nothing where the work is to be done right here.
pub fn duties() -> Option<ExitCode> {
    if std::process::id() != 1 {
        return None;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    // Without a second process the first one works as well; only orphans are not reaped then.
    runtime.block_on(watch()).ok().map(ExitCode::from)
}

async fn watch() -> io::Result<u8> {
    let mut ended = signal(SignalKind::child())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut quit = signal(SignalKind::quit())?;
    let child = Command::new(std::env::current_exe()?).args(std::env::args_os().skip(1)).spawn()?;
    let child = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::Other)?;
    loop {
        let heard = tokio::select! {
            _ = ended.recv() => {
                if let Some(code) = reap(child) {
                    return Ok(code);
                }
                continue;
            }
            _ = interrupt.recv() => Signal::INT,
            _ = terminate.recv() => Signal::TERM,
            _ = hangup.recv() => Signal::HUP,
            _ = quit.recv() => Signal::QUIT,
        };
        // It may just have ended; that is heard next.
        let _ = kill_process(child, heard);
    }
}

/// Takes note of all that ended; the exit code if `child` is among them.
fn reap(child: Pid) -> Option<u8> {
    let mut code = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == child {
            code = Some(exit_code(status));
        }
    }
    code
}

/// As a shell has it: 128 and the signal's number for a process that was killed.
fn exit_code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
