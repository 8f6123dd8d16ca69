//! Load: requests at a steady rate over connections that are kept alive, counted by status and by the version that answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Where the load goes.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// Begins with a slash.
    pub path: String,
}

/// Requests that may be under way at once; ticks beyond that are counted as [`Snapshot::skipped`].
pub const IN_FLIGHT_MAX: usize = 64;
/// A request that takes longer has failed.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const RATE_MAX: f64 = 10_000.0;

/// What came back so far.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Snapshot>);

/// A copy of the counts at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Responses by status code.
    pub statuses: BTreeMap<u16, u64>,
    /// Responses by `x-version`, each with how many of them were 5xx.
    pub versions: BTreeMap<String, VersionCount>,
    /// Requests without a response: refused, cut, or timed out.
    pub failures: u64,
    /// Requests not sent because [`IN_FLIGHT_MAX`] were under way.
    pub skipped: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VersionCount {
    pub responses: u64,
    pub errors: u64,
}

impl Snapshot {
    pub fn responses(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// The version's part of the responses that named one, 0 to 1; `None` before the first.
    pub fn share(&self, version: &str) -> Option<f64> {
        let all: u64 = self.versions.values().map(|count| count.responses).sum();
        let own = self.versions.get(version).map_or(0, |count| count.responses);
        (all > 0).then(|| own as f64 / all as f64)
    }
}

impl Tally {
    pub fn snapshot(&self) -> Snapshot {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, answer: Option<(u16, Option<String>)>) {
        let mut counts = self.lock();
        let Some((status, version)) = answer else {
            counts.failures += 1;
            return;
        };
        *counts.statuses.entry(status).or_default() += 1;
        if let Some(version) = version {
            let count = counts.versions.entry(version).or_default();
            count.responses += 1;
            count.errors += u64::from(status >= 500);
        }
    }
}

type Connection = SendRequest<Empty<Bytes>>;

/// Sends requests until `shutdown` resolves, waits for those under way, and returns the tally it was given.
///
/// `tally` is shared so that a display can take snapshots meanwhile.
pub async fn run(target: Target, rate_per_s: f64, tally: Arc<Tally>, shutdown: impl Future) -> Arc<Tally> {
    let target = Arc::new(target);
    let mut idle: Vec<Connection> = Vec::new();
    let mut in_flight: JoinSet<Option<Connection>> = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate_per_s.clamp(0.01, RATE_MAX)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            _ = &mut shutdown => break,
            Some(finished) = in_flight.join_next() => idle.extend(finished.ok().flatten()),
            _ = ticks.tick() => {
                if in_flight.len() >= IN_FLIGHT_MAX {
                    tally.lock().skipped += 1;
                    continue;
                }
                idle.retain(|connection| !connection.is_closed());
                in_flight.spawn(request(Arc::clone(&target), idle.pop(), Arc::clone(&tally)));
            }
        }
    }
    while in_flight.join_next().await.is_some() {}
    tally
}

/// One request, counted; gives the connection back where it can serve another.
async fn request(
    target: Arc<Target>,
    connection: Option<Connection>,
    tally: Arc<Tally>,
) -> Option<Connection> {
    let answer = tokio::time::timeout(REQUEST_TIMEOUT, exchange(&target, connection)).await;
    match answer {
        Ok(Ok((status, version, connection))) => {
            tally.record(Some((status, version)));
            Some(connection)
        }
        Ok(Err(error)) => {
            tracing::trace!(%error, "a request of the load failed");
            tally.record(None);
            None
        }
        Err(_) => {
            tally.record(None);
            None
        }
    }
}

async fn exchange(
    target: &Target,
    connection: Option<Connection>,
) -> anyhow::Result<(u16, Option<String>, Connection)> {
    let request = Request::get(&target.path).header("host", target.address.to_string()).body(Empty::new())?;
    let (response, connection) = match connection {
        Some(mut connection) => match connection.try_send_request(request).await {
            Ok(response) => (response, connection),
            // closed while it lay idle and nothing was written: that is no failure of the target
            Err(mut error) => match error.take_message() {
                Some(request) => send_on_new(target, request).await?,
                None => return Err(error.into_error().into()),
            },
        },
        None => send_on_new(target, request).await?,
    };
    let status = response.status().as_u16();
    let version =
        response.headers().get("x-version").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok((status, version, connection))
}

async fn send_on_new(
    target: &Target,
    request: Request<Empty<Bytes>>,
) -> anyhow::Result<(hyper::Response<hyper::body::Incoming>, Connection)> {
    let stream = TcpStream::connect(target.address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    Ok((response, sender))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::demo::service;

    /// Resolves once the tally satisfies the condition.
    async fn until(tally: &Tally, condition: impl Fn(&Snapshot) -> bool) {
        while !condition(&tally.snapshot()) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn responses_are_counted_by_status_and_version() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = service::Options {
            version: "v2".into(),
            side: "green".into(),
            error_rate: 0.5,
            latency: Duration::ZERO,
            seed: 1,
        };
        let server = tokio::spawn(service::serve(options, listener, std::future::pending::<()>()));
        let tally = Arc::new(Tally::default());
        let target = Target { address, path: "/".into() };
        run(target, 2000.0, Arc::clone(&tally), until(&tally, |counts| counts.responses() >= 100)).await;
        server.abort();
        let counts = tally.snapshot();
        assert_eq!(counts.failures, 0);
        assert!(counts.statuses[&200].abs_diff(counts.statuses[&500]) <= 1, "{counts:?}");
        assert_eq!(counts.versions["v2"].responses, counts.responses());
        assert_eq!(counts.versions["v2"].errors, counts.statuses[&500]);
        assert_eq!(counts.share("v2"), Some(1.0));
    }

    #[tokio::test]
    async fn refused_connections_are_failures() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let tally = Arc::new(Tally::default());
        let target = Target { address, path: "/".into() };
        run(target, 2000.0, Arc::clone(&tally), until(&tally, |counts| counts.failures >= 5)).await;
        assert_eq!(tally.snapshot().responses(), 0);
    }

    #[test]
    fn a_share_needs_an_answer() {
        assert_eq!(Snapshot::default().share("v1"), None);
    }
}
