//! Windows.

mod again;
mod claim;
mod tree;

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    path::Path,
    process::{ExitCode, ExitStatus},
};
use tokio::{net::TcpStream, process::Command, signal::windows};

use super::Asked;

pub use again::start_again;
pub use claim::{claim, claimed};
pub use tree::Tree;

/// Who is at work, where no CI system says so.
pub const USER_VARIABLES: &[&str] = &["USER", "USERNAME"];
/// Takes all that is written to it.
pub const NOWHERE: &str = "NUL";
/// What to do where there is no shell.
pub const NO_SHELL: &str =
    "; commands run in `sh`: install Git for Windows and put the folder of its sh.exe (usr\\bin) on PATH";
/// How the text reaches the shell.
const TEXT: &str = "TIDEGATE_SHELL_TEXT";

/// What is asked at the console, and by the system, heard from here on.
pub struct Signals {
    interrupt: windows::CtrlC,
    stop: windows::CtrlBreak,
    close: windows::CtrlClose,
    logoff: windows::CtrlLogoff,
    shutdown: windows::CtrlShutdown,
}

impl Signals {
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: windows::ctrl_c()?,
            stop: windows::ctrl_break()?,
            close: windows::ctrl_close()?,
            logoff: windows::ctrl_logoff()?,
            shutdown: windows::ctrl_shutdown()?,
        })
    }

    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.stop.recv() => Asked::Terminate,
            _ = self.close.recv() => Asked::Terminate,
            _ = self.logoff.recv() => Asked::Terminate,
            _ = self.shutdown.recv() => Asked::Terminate,
        }
    }
}

/// No process here has those of process 1.
pub fn duties() -> Option<ExitCode> {
    None
}

/// A text for `sh -eu`. It goes by a variable: on a command line each shell of Windows reads `\` and `"` in its
/// own way.
pub fn shell(text: &str) -> Command {
    let mut command = Command::new("sh");
    let read = format!("eval \"unset {TEXT}; ${TEXT}\"");
    command.args(["-eu", "-c", &read]).env(TEXT, text);
    command
}

/// `exit code 3`.
pub fn ending(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit code {code}"),
        None => "ended in an unknown way".into(),
    }
}

/// It inherits the rights of its folder.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Owner and rights are the folder's already.
pub fn adopt(_: &File, _: &Path) {}

/// As [`adopt`].
pub fn adopt_all(_: &Path) {}

/// Makes a folder and those above it that are missing. A mode means nothing here.
pub fn create_folders(path: &Path, _mode: u32) -> io::Result<()> {
    match path.as_os_str().is_empty() {
        true => Ok(()),
        false => DirBuilder::new().recursive(true).create(path),
    }
}

/// NTFS keeps names in a journal of its own, and a folder cannot be opened to be synced.
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Bytes that this user may still write there.
pub fn free_space(folder: &Path) -> io::Result<u64> {
    fs4::available_space(folder)
}

pub async fn local_socket(_: &Path) -> io::Result<TcpStream> {
    let why = "there are no unix sockets here: name HAProxy's runtime API as host:port";
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

/// The name of this machine.
pub fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "localhost".into())
}
