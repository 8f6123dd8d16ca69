//! The Docker client, and containers that do not outlive their test.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use super::process::{code, good};

/// The image under test.
pub fn image() -> String {
    std::env::var("TIDEGATE_TEST_IMAGE")
        .expect("scripts/test builds the image and tells its name in TIDEGATE_TEST_IMAGE")
}

pub fn docker() -> Command {
    let mut command = Command::new("docker");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The daemon's socket on this machine.
pub fn socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    host.strip_prefix("unix://").expect("a Docker daemon on this machine").into()
}

/// A name that no other test has.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// `docker run --rm IMAGE …` to its end: exit code and all that it printed.
pub fn run(options: &[&str], arguments: &[&str]) -> (i32, String) {
    let container = Container(unique("tidegate-test"));
    let mut command = docker();
    command.args(["run", "--rm", "--network", "host", "--name", &container.0]);
    code(command.args(options).arg(image()).args(arguments))
}

/// A shell in the image.
pub fn shell(script: &str) -> String {
    let (code, text) = run(&["--entrypoint", "sh"], &["-euc", script]);
    assert_eq!(code, 0, "{script}:\n{text}");
    text
}

/// A container by its name; removed when dropped.
pub struct Container(pub String);

impl Container {
    /// `docker run --detach`.
    pub fn start(options: &[&str], arguments: &[&str]) -> Container {
        let container = Container(unique("tidegate-test"));
        let mut command = docker();
        command.args(["run", "--detach", "--network", "host", "--name", &container.0]);
        good(command.args(options).arg(image()).args(arguments));
        container
    }

    /// `docker exec` with a shell's script.
    pub fn exec(&self, options: &[&str], arguments: &[&str]) -> (i32, String) {
        code(docker().arg("exec").args(options).arg(&self.0).args(arguments))
    }

    pub fn exists(&self) -> bool {
        code(docker().args(["container", "inspect", &self.0])).0 == 0
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = docker().args(["rm", "--force", "--volumes", &self.0]).output();
    }
}
