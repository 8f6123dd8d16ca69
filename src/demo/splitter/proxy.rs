//! Requests: pick a server by weight, connect, pass on; another server where the connection is refused.
//!
//! Every request opens its own connection to a server, so that what a server counts is what HAProxy counts for clients
//! that open one connection per request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::state::{Counters, Shared};
use crate::demo::http::{self, Body, Observer};

/// HAProxy's `retries`.
const RETRIES_MAX: u32 = 3;
/// `timeout connect`; also the pause before the same server is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// `timeout server`.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Request bodies are kept until a server has taken them.
const REQUEST_BODY_BYTES_MAX: usize = 1 << 20;

/// Serves one frontend until dropped.
pub(super) async fn serve(shared: Arc<Shared>, backend: usize, listener: TcpListener) {
    let front = Front { shared, backend };
    http::serve(listener, front.clone(), move |request| {
        let front = front.clone();
        async move { front.answer(request).await }
    })
    .await;
}

#[derive(Clone)]
struct Front {
    shared: Arc<Shared>,
    backend: usize,
}

impl Observer for Front {
    fn opened(&self) {
        self.shared.lock().backends[self.backend].front.sessions += 1;
    }
}

/// Why there is no response of a server.
#[derive(Clone, Copy)]
enum Failure {
    Request,
    NoServer,
    BadResponse,
    Timeout,
}

impl Front {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        {
            let mut state = self.shared.lock();
            let backend = &mut state.backends[self.backend];
            backend.front.requests += 1;
            backend.counters.requests += 1;
            backend.counters.sessions += 1;
            backend.counters.last_session = Some(Instant::now());
        }
        let session = Session::open(self, None);
        let result = self.forward(request, session).await;
        let response = result.unwrap_or_else(Failure::response);
        let status = response.status().as_u16();
        let mut state = self.shared.lock();
        let backend = &mut state.backends[self.backend];
        backend.front.respond(status);
        backend.counters.respond(status);
        response
    }

    async fn forward(&self, request: Request<Incoming>, session: Session) -> Result<Response<Body>, Failure> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, REQUEST_BODY_BYTES_MAX)
            .collect()
            .await
            .map_err(|_| Failure::Request)?
            .to_bytes();
        let (server, stream) = self.connect().await?;
        let served = Session::open(self, Some(server));
        let mut request = Request::from_parts(parts, http_body_util::Full::new(body));
        *request.version_mut() = Version::HTTP_11;
        strip_hop_by_hop(request.headers_mut());
        if !request.headers().contains_key(HOST)
            && let Some(host) = request.uri().authority().and_then(|host| host.as_str().parse().ok())
        {
            request.headers_mut().insert(HOST, host);
        }

        let response = match timeout(RESPONSE_TIMEOUT, send(stream, request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a server gave no valid response");
                self.count(server, |counters| counters.response_errors += 1);
                return Err(Failure::BadResponse);
            }
            Err(_) => {
                self.count(server, |counters| counters.response_errors += 1);
                return Err(Failure::Timeout);
            }
        };
        served.responded();
        session.responded();
        {
            let mut state = self.shared.lock();
            let counters = &mut state.backends[self.backend].servers[server].counters;
            counters.requests += 1;
            counters.respond(response.status().as_u16());
        }
        let (mut parts, body) = response.into_parts();
        strip_hop_by_hop(&mut parts.headers);
        Ok(Response::from_parts(parts, Measured { body, _sessions: [served, session] }.boxed()))
    }

    /// A connection to some server. Each failure is followed by another server where there is one, else by the same one a
    /// little later.
    async fn connect(&self) -> Result<(usize, TcpStream), Failure> {
        let mut retries = 0;
        let mut failed = None;
        loop {
            let server = match failed.filter(|server| !self.redispatches(*server)) {
                Some(server) => {
                    self.count(server, |counters| counters.retries += 1);
                    tokio::time::sleep(CONNECT_TIMEOUT).await;
                    server
                }
                None => {
                    if let Some(server) = failed {
                        self.count(server, |counters| counters.redispatches += 1);
                    }
                    let mut state = self.shared.lock();
                    let backend = &mut state.backends[self.backend];
                    let Some(server) = backend.pick(failed) else {
                        backend.counters.connection_errors += 1;
                        return Err(Failure::NoServer);
                    };
                    server
                }
            };
            let address = {
                let mut state = self.shared.lock();
                let backend = &mut state.backends[self.backend];
                backend.counters.connects += 1;
                let server = &mut backend.servers[server];
                server.counters.connects += 1;
                server.counters.sessions += 1;
                server.counters.last_session = Some(Instant::now());
                server.address
            };
            if let Ok(Ok(stream)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                let _ = stream.set_nodelay(true);
                return Ok((server, stream));
            }
            if retries == RETRIES_MAX {
                self.count(server, |counters| counters.connection_errors += 1);
                return Err(Failure::NoServer);
            }
            retries += 1;
            failed = Some(server);
        }
    }

    /// Whether a request that failed to reach this server goes to another one at once.
    fn redispatches(&self, server: usize) -> bool {
        let state = self.shared.lock();
        let backend = &state.backends[self.backend];
        !backend.servers[server].up || backend.active().count() > 1
    }

    /// Counts for the server and its backend.
    fn count(&self, server: usize, count: impl Fn(&mut Counters)) {
        let mut state = self.shared.lock();
        let backend = &mut state.backends[self.backend];
        count(&mut backend.counters);
        count(&mut backend.servers[server].counters);
    }
}

async fn send(
    stream: TcpStream,
    request: Request<http_body_util::Full<Bytes>>,
) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    sender.send_request(request).await
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let fixed = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, HeaderName::from_static("keep-alive")];
    for name in named.into_iter().chain(fixed) {
        headers.remove(name);
    }
}

impl Failure {
    fn response(self) -> Response<Body> {
        let (status, why) = match self {
            Self::Request => (StatusCode::BAD_REQUEST, "Your browser sent an invalid request."),
            Self::NoServer => {
                (StatusCode::SERVICE_UNAVAILABLE, "No server is available to handle this request.")
            }
            Self::BadResponse => {
                (StatusCode::BAD_GATEWAY, "The server returned an invalid or incomplete response.")
            }
            Self::Timeout => (StatusCode::GATEWAY_TIMEOUT, "The server didn't respond in time."),
        };
        let reason = match self {
            Self::Timeout => "Gateway Time-out",
            _ => status.canonical_reason().unwrap_or_default(),
        };
        let page = format!("<html><body><h1>{} {reason}</h1>\n{why}\n</body></html>\n", status.as_u16());
        let mut response = http::response(status, "text/html", page);
        response.headers_mut().insert("cache-control", hyper::header::HeaderValue::from_static("no-cache"));
        response
    }
}

/// A request under way at a server, or at the backend where there is no server; timed when it ends.
struct Session {
    front: Front,
    server: Option<usize>,
    started: Instant,
    has_response: AtomicBool,
}

impl Session {
    fn open(front: &Front, server: Option<usize>) -> Self {
        let session = Self {
            front: front.clone(),
            server,
            started: Instant::now(),
            has_response: AtomicBool::new(false),
        };
        session.with_counters(|counters| counters.sessions_current += 1);
        session
    }

    fn responded(&self) {
        self.has_response.store(true, Ordering::Relaxed);
        let elapsed = self.started.elapsed().as_secs_f64() * 1000.0;
        self.with_counters(|counters| counters.response_ms.add(elapsed));
    }

    fn with_counters(&self, change: impl FnOnce(&mut Counters)) {
        let mut state = self.front.shared.lock();
        let backend = &mut state.backends[self.front.backend];
        match self.server {
            Some(server) => change(&mut backend.servers[server].counters),
            None => change(&mut backend.counters),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed().as_secs_f64() * 1000.0;
        let has_response = self.has_response.load(Ordering::Relaxed);
        self.with_counters(|counters| {
            counters.sessions_current -= 1;
            if has_response {
                counters.total_ms.add(elapsed);
            }
        });
    }
}

/// A response body that ends its sessions with its last byte.
struct Measured {
    body: Incoming,
    _sessions: [Session; 2],
}

impl hyper::body::Body for Measured {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
