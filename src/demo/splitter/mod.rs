//! A stand-in for HAProxy inside the process: it splits traffic by weight, checks its servers' health and speaks HAProxy
//! 2.6's runtime API, so that what is written for the one works with the other.
//!
//! | file | subject |
//! |---|---|
//! | `state` | servers, weights, health, counters; round robin |
//! | `proxy` | requests: pick a server, retry, answer |
//! | `check` | health checks |
//! | `runtime` | the runtime API's sockets and commands |
//! | `stats` | `show stat`, `show servers state`, `show info` |
//! | `prometheus` | `GET /metrics` |
//!
//! `tests/splitter_vs_haproxy.rs` holds it against the real one. Deliberately absent: stickiness, queues, TLS, byte counts,
//! the interactive prompt, `set server … health|agent|fqdn|ssl`, and connections to servers that outlive a request.

mod check;
mod columns;
mod prometheus;
mod proxy;
mod runtime;
mod state;
mod stats;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use state::Shared;

/// What to listen on and where to send requests.
#[derive(Debug, Clone, Default)]
pub struct Splitter {
    pub backends: Vec<Backend>,
    /// Sockets of the runtime API.
    pub runtime: Vec<RuntimeSocket>,
    /// Where `GET /metrics` answers.
    pub metrics: Option<SocketAddr>,
}

/// One service: a frontend `<name>-front`, and the backend `name` behind it.
#[derive(Debug, Clone)]
pub struct Backend {
    pub name: String,
    /// Port 0 takes a free one, told by [`Running::address`].
    pub bind: SocketAddr,
    pub servers: Vec<Server>,
    /// `None`: servers count as up, as without HAProxy's `check`.
    pub check: Option<HealthCheck>,
}

#[derive(Debug, Clone)]
pub struct Server {
    pub name: String,
    pub address: SocketAddr,
    /// 0 to [`WEIGHT_MAX`]; a percentage in `set weight` refers to this.
    pub weight: u16,
    /// Starts in maintenance.
    pub disabled: bool,
}

/// `option httpchk GET <path>` with `check inter … fall … rise …`.
#[derive(Debug, Clone)]
pub struct HealthCheck {
    pub path: String,
    /// From the end of one check to the next, and the longest one may take.
    pub interval: Duration,
    /// Passes in a row that bring a server up.
    pub rise: u32,
    /// Failures in a row that bring it down.
    pub fall: u32,
}

impl HealthCheck {
    /// Every two seconds, up after 2, down after 3: HAProxy's defaults.
    pub fn get(path: impl Into<String>) -> Self {
        Self { path: path.into(), interval: Duration::from_secs(2), rise: 2, fall: 3 }
    }
}

#[derive(Debug, Clone)]
pub struct RuntimeSocket {
    pub address: RuntimeAddress,
    pub level: Level,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeAddress {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// What a socket's clients may do. HAProxy's `user` and `operator` differ only in commands the splitter lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `show` and `get`.
    Operator,
    /// Everything.
    Admin,
}

/// HAProxy's largest weight.
pub const WEIGHT_MAX: u16 = 256;

/// A splitter at work; it stops when this is dropped.
#[derive(Debug)]
pub struct Running {
    fronts: Vec<(String, SocketAddr)>,
    runtime: Vec<RuntimeAddress>,
    metrics: Option<SocketAddr>,
    tasks: JoinSet<()>,
}

impl Running {
    /// Where the backend's traffic enters.
    pub fn address(&self, backend: &str) -> Option<SocketAddr> {
        self.fronts.iter().find(|(name, _)| name == backend).map(|(_, address)| *address)
    }

    /// The runtime API's sockets, in the order they were asked for.
    pub fn runtime(&self) -> &[RuntimeAddress] {
        &self.runtime
    }

    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Stops listening, cuts what is under way and waits until all of it is gone.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for address in &self.runtime {
            if let RuntimeAddress::Unix(path) = address {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// A splitter that could not start; nothing listens then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("failed to listen on {what}")]
    Listen { what: String, source: io::Error },
    #[error("weight {weight} of {backend}/{server} is above {WEIGHT_MAX}")]
    Weight { backend: String, server: String, weight: u16 },
    #[error("there are two called {0}")]
    Twice(String),
}

impl Splitter {
    /// Listens everywhere, then starts to serve. Needs a tokio runtime with I/O and time.
    ///
    /// A file left at a runtime socket's path is replaced, as HAProxy does.
    pub async fn start(self) -> Result<Running, StartError> {
        self.validate()?;
        let shared = Arc::new(Shared::new(&self));
        let mut tasks = JoinSet::new();

        let mut fronts = Vec::new();
        for (index, backend) in self.backends.iter().enumerate() {
            let (listener, address) = listen(backend.bind, &backend.name).await?;
            fronts.push((backend.name.clone(), address));
            tasks.spawn(proxy::serve(Arc::clone(&shared), index, listener));
        }
        let metrics = match self.metrics {
            Some(bind) => {
                let (listener, address) = listen(bind, "metrics").await?;
                tasks.spawn(prometheus::serve(Arc::clone(&shared), listener));
                Some(address)
            }
            None => None,
        };
        let mut running = Running { fronts, runtime: Vec::new(), metrics, tasks };
        for RuntimeSocket { address, level } in self.runtime {
            let api = runtime::Api::new(Arc::clone(&shared), level);
            running.runtime.push(match address {
                RuntimeAddress::Tcp(bind) => {
                    let (listener, address) = listen(bind, "runtime API").await?;
                    running.tasks.spawn(api.serve(runtime::Listener::Tcp(listener)));
                    RuntimeAddress::Tcp(address)
                }
                RuntimeAddress::Unix(path) => {
                    let listener = listen_unix(&path)?;
                    running.tasks.spawn(api.serve(runtime::Listener::Unix(listener)));
                    RuntimeAddress::Unix(path)
                }
            });
        }
        for (backend, config) in self.backends.into_iter().enumerate() {
            let Some(check) = config.check.map(Arc::new) else {
                continue;
            };
            for server in 0..config.servers.len() {
                running.tasks.spawn(check::watch(Arc::clone(&shared), backend, server, Arc::clone(&check)));
            }
        }
        Ok(running)
    }

    fn validate(&self) -> Result<(), StartError> {
        for (index, backend) in self.backends.iter().enumerate() {
            if self.backends[..index].iter().any(|other| other.name == backend.name) {
                return Err(StartError::Twice(backend.name.clone()));
            }
            for (index, server) in backend.servers.iter().enumerate() {
                let (backend_name, name) = (backend.name.clone(), server.name.clone());
                if backend.servers[..index].iter().any(|other| other.name == server.name) {
                    return Err(StartError::Twice(format!("{backend_name}/{name}")));
                }
                if server.weight > WEIGHT_MAX {
                    return Err(StartError::Weight {
                        backend: backend_name,
                        server: name,
                        weight: server.weight,
                    });
                }
            }
        }
        Ok(())
    }
}

async fn listen(bind: SocketAddr, what: &str) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { what: format!("{bind} for {what}"), source };
    let listener = TcpListener::bind(bind).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn listen_unix(path: &std::path::Path) -> Result<UnixListener, StartError> {
    let failed =
        |source| StartError::Listen { what: format!("{} for the runtime API", path.display()), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    UnixListener::bind(path).map_err(failed)
}
