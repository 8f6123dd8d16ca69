//! A real HAProxy with a configuration of its own that can be reloaded. It listens on unix sockets only, and
//! goes to the background when it serves, so that nothing has to be waited for.

use std::{
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;
use tidegate::demo::splitter::RuntimeAddress;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// Killed when dropped.
pub struct Reloadable {
    directory: TempDir,
}

impl Reloadable {
    /// Starts with this configuration behind a `global` and `defaults` section; `DIR` in it is a folder of
    /// its own.
    pub fn start(configuration: &str) -> Self {
        let haproxy = Reloadable { directory: tempfile::tempdir().unwrap() };
        let head = "global
  stats socket DIR/admin.sock mode 600 level admin
  stats socket DIR/user.sock mode 600 level user
  server-state-file DIR/state
defaults
  mode http
  retries 1
  timeout connect 5s
  timeout client 10s
  timeout server 10s
";
        let text = format!("{head}{configuration}\n").replace("DIR", &haproxy.path().display().to_string());
        std::fs::write(haproxy.file("haproxy.cfg"), text).unwrap();
        haproxy.run(&[]);
        haproxy
    }

    /// A new process takes over, and the old one ends.
    pub fn reload(&self) {
        let old = self.pid();
        self.run(&["-st", &old]);
    }

    fn run(&self, more: &[&str]) {
        let (file, pid) = (self.file("haproxy.cfg"), self.file("pid"));
        let output = Command::new("haproxy")
            .arg("-D")
            .arg("-f")
            .arg(file)
            .arg("-p")
            .arg(pid)
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn pid(&self) -> String {
        std::fs::read_to_string(self.file("pid")).unwrap().trim().to_string()
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn admin(&self) -> RuntimeAddress {
        RuntimeAddress::Unix(self.file("admin.sock"))
    }

    pub fn user(&self) -> RuntimeAddress {
        RuntimeAddress::Unix(self.file("user.sock"))
    }

    /// The status line's code of `GET path` through the frontend at `DIR/front.sock`.
    pub async fn get(&self, path: &str) -> String {
        let mut stream = UnixStream::connect(self.file("front.sock")).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // an answer may be cut off
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_string()
    }
}

impl Drop for Reloadable {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.file("pid")).unwrap_or_default();
        if let Some(pid) = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}
