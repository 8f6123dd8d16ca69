//! A real HAProxy on loopback ports, configured like a [`Splitter`], so that tests can hold the one against the other.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tidegate::demo::splitter::{Level, Splitter};

/// Another process may take a port between choosing it and HAProxy's start.
const STARTS_MAX: usize = 5;
const READY_POLLS_MAX: usize = 200;
const READY_POLL: Duration = Duration::from_millis(25);

/// A running HAProxy; killed when dropped.
pub struct HaProxy {
    process: Child,
    directory: TempDir,
    fronts: Vec<(String, SocketAddr)>,
    runtime_tcp: SocketAddr,
    metrics: SocketAddr,
}

impl HaProxy {
    /// Starts HAProxy with the splitter's backends; its addresses and sockets are chosen here. Returns when the runtime API
    /// answers.
    pub fn start(splitter: &Splitter) -> io::Result<Self> {
        let mut last = io::Error::other("never started");
        for _ in 0..STARTS_MAX {
            match Self::try_start(splitter) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => last = error,
                result => return result,
            }
        }
        Err(last)
    }

    fn try_start(splitter: &Splitter) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let ports = free_addresses(splitter.backends.len() + 2)?;
        let (runtime_tcp, metrics) = (ports[0], ports[1]);
        let names = splitter.backends.iter().map(|backend| backend.name.clone());
        let fronts: Vec<_> = names.zip(ports[2..].iter().copied()).collect();
        let file = directory.path().join("haproxy.cfg");
        std::fs::write(directory.path().join("state"), "1\n")?;
        std::fs::write(&file, configuration(splitter, directory.path(), &fronts, runtime_tcp, metrics))?;

        let log = directory.path().join("log");
        let process = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&log)?)
            .stderr(std::fs::File::options().append(true).open(&log)?)
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => io::Error::new(
                    error.kind(),
                    "haproxy is not installed: scripts/test installs it (apt-get install haproxy)",
                ),
                _ => error,
            })?;
        let mut haproxy = Self { process, directory, fronts, runtime_tcp, metrics };
        for _ in 0..READY_POLLS_MAX {
            if answers(&haproxy.socket(Level::Admin)) {
                return Ok(haproxy);
            }
            if haproxy.process.try_wait()?.is_some() {
                break;
            }
            #[expect(clippy::disallowed_methods, reason = "a process in a test has no clock of ours")]
            std::thread::sleep(READY_POLL);
        }
        let log = std::fs::read_to_string(log).unwrap_or_default();
        Err(io::Error::other(format!("haproxy did not start:\n{log}")))
    }

    /// The runtime API's unix socket of this level.
    pub fn socket(&self, level: Level) -> PathBuf {
        self.directory.path().join(match level {
            Level::Admin => "admin.sock",
            Level::Operator => "operator.sock",
        })
    }

    /// The runtime API over TCP, level admin.
    pub fn runtime_tcp(&self) -> SocketAddr {
        self.runtime_tcp
    }

    /// Where the backend's traffic enters.
    pub fn address(&self, backend: &str) -> Option<SocketAddr> {
        self.fronts.iter().find(|(name, _)| name == backend).map(|(_, address)| *address)
    }

    /// Where `GET /metrics` answers.
    pub fn metrics(&self) -> SocketAddr {
        self.metrics
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(
    splitter: &Splitter,
    directory: &Path,
    fronts: &[(String, SocketAddr)],
    runtime_tcp: SocketAddr,
    metrics: SocketAddr,
) -> String {
    let directory = directory.display();
    // without noreuseport two HAProxys that chose the same port would share its connections in silence
    let mut text = format!(
        "global
  noreuseport
  stats socket {directory}/admin.sock mode 600 level admin
  stats socket {directory}/operator.sock mode 600 level operator
  stats socket ipv4@{runtime_tcp} level admin
  server-state-file {directory}/state
defaults
  mode http
  load-server-state-from-file global
  retries 3
  option redispatch
  timeout connect 1s
  timeout check 5s
  timeout client 10s
  timeout server 10s
"
    );
    for (name, address) in fronts {
        let _ = writeln!(text, "frontend {name}-front\n  bind {address}\n  default_backend {name}");
    }
    let exporter = "http-request use-service prometheus-exporter if { path /metrics }";
    let _ = writeln!(text, "frontend metrics\n  bind {metrics}\n  {exporter}");
    for backend in &splitter.backends {
        let _ = writeln!(text, "backend {}\n  balance roundrobin", backend.name);
        let mut options = String::new();
        if let Some(check) = &backend.check {
            let _ = writeln!(text, "  option httpchk GET {}", check.path);
            let inter = check.interval.as_millis();
            options = format!(" check inter {inter}ms rise {} fall {}", check.rise, check.fall);
        }
        for server in &backend.servers {
            let disabled = if server.disabled { " disabled" } else { "" };
            let (name, address, weight) = (&server.name, server.address, server.weight);
            let _ = writeln!(text, "  server {name} {address} weight {weight}{options}{disabled}");
        }
    }
    text
}

fn answers(socket: &Path) -> bool {
    let ask = || -> io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"show info\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    ask().is_ok_and(|text| text.starts_with("Name: HAProxy"))
}

fn free_addresses(count: usize) -> io::Result<Vec<SocketAddr>> {
    let listeners: Vec<_> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<io::Result<_>>()?;
    listeners.iter().map(TcpListener::local_addr).collect()
}
