//! Linux and macOS.

mod claim;
mod first_process;
mod owner;
mod tree;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _, process::ExitStatusExt as _},
    path::Path,
    process::ExitStatus,
};
use tokio::{
    net::UnixStream,
    process::Command,
    signal::unix::{Signal, SignalKind, signal},
};

use super::Asked;

pub use claim::{claim, claimed};
pub use first_process::duties;
pub use owner::{adopt, adopt_all, create_folders};
pub use tree::Tree;

/// Who is at work, where no CI system says so.
pub const USER_VARIABLES: &[&str] = &["USER", "LOGNAME"];
/// Takes all that is written to it.
pub const NOWHERE: &str = "/dev/null";
/// What to do where there is no shell.
pub const NO_SHELL: &str = "";

/// SIGINT and SIGTERM, heard from here on.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.terminate.recv() => Asked::Terminate,
        }
    }
}

/// Replaces this process by a new run of its own program. Returns only if that failed.
pub fn start_again(prepare: impl FnOnce(&mut std::process::Command)) -> io::Error {
    match std::env::current_exe() {
        Err(error) => error,
        Ok(program) => {
            let mut again = std::process::Command::new(program);
            prepare(&mut again);
            again.exec()
        }
    }
}

/// A text for `sh -eu`.
pub fn shell(text: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-eu", "-c", text]);
    command
}

/// `exit code 3`, `killed by signal 9`.
pub fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended in an unknown way".into(),
    }
}

/// A file that is made with these options is read and written by its owner only.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Makes the names in it outlast a crash of the machine.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Bytes that this user may still write there.
pub fn free_space(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

pub async fn local_socket(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

/// The name of this machine.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
