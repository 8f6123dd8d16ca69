//! One HTTP client for every adapter that asks over HTTP: bounded in time, in size and in redirects.
//!
//! Nothing is built until the first request. What is shown of a URL holds neither its user and password nor the values
//! in its query, which may be tokens.

use std::{error::Error, io, sync::OnceLock, time::Duration};

use futures_util::{StreamExt as _, stream};
use reqwest::{Client, Method, StatusCode, Url, header, redirect::Policy};

use crate::{
    domain::duration::spoken,
    port::{Context, Fault, Treat, excerpt},
};

pub mod address;
pub mod expect;
pub mod pointed;
#[cfg(test)]
mod tests;

pub use address::Address;
pub use expect::{Expect, Usual};
pub use pointed::Pointed;
pub use reqwest::{
    Method as Verb,
    header::{HeaderMap, HeaderName, HeaderValue},
};

/// What is kept of an answer unless its reader says otherwise.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Requests under way at the same time in one call of a metric source.
pub const CONCURRENT_MAX: usize = 8;
const REDIRECTS_MAX: usize = 3;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A client in the name of one adapter.
pub struct Web {
    provider: &'static str,
    /// For `http:`; without certificates, so that an image without a certificate store can still ask it.
    plain: OnceLock<Client>,
    tls: OnceLock<Client>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Option<Vec<u8>>,
}

impl Request {
    pub fn get(url: impl Into<String>) -> Self {
        Request { method: Method::GET, url: url.into(), headers: HeaderMap::new(), body: None }
    }

    /// Adds `Authorization: Bearer`. The header is never shown.
    pub fn bearer(mut self, token: &str) -> Result<Self, String> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| "the token holds characters that no header may hold".to_string())?;
        value.set_sensitive(true);
        self.headers.insert(header::AUTHORIZATION, value);
        Ok(self)
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// An answer whose body is read piece by piece.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    response: reqwest::Response,
    read: usize,
    max: usize,
    asked: Asked,
}

/// Who was asked for what: what every fault names.
#[derive(Clone, Debug)]
struct Asked {
    provider: &'static str,
    operation: String,
    object: String,
    /// Whether asking twice is asking once.
    repeatable: bool,
}

impl Asked {
    fn fault(&self, treat: Treat, detail: impl std::fmt::Display) -> Fault {
        Fault::new(treat, self.provider, &self.operation, &self.object, detail)
    }

    /// A request that went out and was not answered.
    fn lost(&self, detail: impl std::fmt::Display) -> Fault {
        let treat = if self.repeatable { Treat::Temporary } else { Treat::OutcomeUnknown };
        self.fault(treat, detail)
    }

    fn failed(&self, error: &reqwest::Error) -> Fault {
        match cause(error) {
            (Treat::Temporary, why) if !error.is_connect() => self.lost(why),
            (treat, why) => self.fault(treat, why),
        }
    }
}

impl Web {
    pub fn new(provider: &'static str) -> Self {
        Web { provider, plain: OnceLock::new(), tls: OnceLock::new() }
    }

    /// Asks and reads the whole answer, whatever its status; over `max` bytes is a `Permanent` fault.
    /// Faults: `Permanent` for a bad URL or certificate; `Temporary` for a refused, reset or late
    /// answer, which is `OutcomeUnknown` where a POST or PATCH had gone out.
    pub async fn ask(
        &self,
        cx: &Context,
        operation: &str,
        request: Request,
        max: usize,
    ) -> Result<Response, Fault> {
        let mut answer = self.open(cx, operation, request, max).await?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk(cx).await? {
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status: answer.status, headers: answer.headers, body })
    }

    /// Asks and returns when the head of the answer is there. Faults as in `ask`.
    pub async fn open(
        &self,
        cx: &Context,
        operation: &str,
        request: Request,
        max: usize,
    ) -> Result<Answer, Fault> {
        let asked = Asked {
            provider: self.provider,
            operation: operation.to_string(),
            object: shown(&request.url),
            repeatable: !matches!(request.method, Method::POST | Method::PATCH),
        };
        let url = usable(&request.url).map_err(|why| asked.fault(Treat::Permanent, why))?;
        let limit = cx.left();
        let response = match cx.bounded(self.follow(url, request, &asked)).await {
            Ok(response) => response?,
            Err(_) => return Err(asked.lost(format!("no answer within {}", spoken(limit)))),
        };
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            response,
            read: 0,
            max,
            asked,
        })
    }

    /// Follows redirects of a GET on the same host. One to elsewhere, or one too many, is the answer.
    async fn follow(
        &self,
        mut url: Url,
        request: Request,
        asked: &Asked,
    ) -> Result<reqwest::Response, Fault> {
        let mut headers = request.headers;
        for hop in 0.. {
            let mut builder = self
                .client(&url, asked)?
                .request(request.method.clone(), url.clone())
                .headers(headers.clone());
            if let Some(body) = &request.body {
                builder = builder.body(body.clone());
            }
            let response = builder.send().await.map_err(|error| asked.failed(&error))?;
            let next = match hop < REDIRECTS_MAX && request.method == Method::GET {
                true => redirect(&url, &response),
                false => None,
            };
            let Some(next) = next else {
                return Ok(response);
            };
            if next.origin() != url.origin() {
                // a token is for the one it was written for
                headers = HeaderMap::new();
            }
            url = next;
        }
        Err(asked.fault(Treat::Permanent, "too many redirects"))
    }

    fn client(&self, url: &Url, asked: &Asked) -> Result<&Client, Fault> {
        let secure = url.scheme() == "https";
        let cell = if secure { &self.tls } else { &self.plain };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let built = self::client(secure).map_err(|why| asked.fault(Treat::Permanent, why))?;
        Ok(cell.get_or_init(|| built))
    }
}

impl Answer {
    /// The next piece of the body; `None` at its end.
    pub async fn chunk(&mut self, cx: &Context) -> Result<Option<Vec<u8>>, Fault> {
        match cx.bounded(self.response.chunk()).await {
            Err(_) => Err(self
                .asked
                .lost(format!("the answer did not end in time; {} bytes of it had come", self.read))),
            Ok(Err(error)) => {
                let (_, why) = cause(&error);
                Err(self.asked.lost(format!("the answer broke off after {} bytes: {why}", self.read)))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some(chunk))) => {
                self.read = self.read.saturating_add(chunk.len());
                if self.read > self.max {
                    let detail = format!("the answer is larger than {} bytes", self.max);
                    return Err(self.asked.fault(Treat::Permanent, detail));
                }
                Ok(Some(chunk.to_vec()))
            }
        }
    }

    /// A fault for every status but 2xx: `Temporary` for 5xx and 429, else `Permanent`.
    pub fn refusal(&self) -> Option<Fault> {
        refusal(self.status).map(|(treat, detail)| self.asked.fault(treat, detail))
    }

    /// A fault about what the answer says.
    pub fn unreadable(&self, detail: impl std::fmt::Display) -> Fault {
        self.asked.fault(Treat::Permanent, detail)
    }
}

/// How to treat a status that is not 2xx, and how to say it.
pub fn refusal(status: u16) -> Option<(Treat, String)> {
    let treat = match status {
        200..=299 => return None,
        429 | 500..=599 => Treat::Temporary,
        _ => Treat::Permanent,
    };
    let reason = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or_default();
    Some((treat, format!("it answered {status} {reason}").trim_end().to_string()))
}

/// Runs futures side by side, at most `limit` at a time; answers keep their order.
pub async fn concurrently<F: Future>(limit: usize, work: Vec<F>) -> Vec<F::Output> {
    stream::iter(work).buffered(limit).collect().await
}

/// A client that follows no redirects, for `https:` or for plain HTTP.
pub(super) fn client(secure: bool) -> Result<Client, String> {
    let agent = concat!("tidegate/", env!("CARGO_PKG_VERSION"));
    let builder = Client::builder().redirect(Policy::none()).connect_timeout(CONNECT_LIMIT).user_agent(agent);
    let builder = if secure {
        // an error means that another adapter installed one already
        let _ = rustls::crypto::ring::default_provider().install_default();
        builder
    } else {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| format!("TLS cannot be set up: {e}"))?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        builder.tls_backend_preconfigured(tls)
    };
    builder.build().map_err(|error| format!("the HTTP client cannot be set up: {}", cause(&error).1))
}

fn usable(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("not a URL: {e}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("`{other}:` is not asked; write http:// or https://")),
    }
}

/// Where a redirect leads, if it may be followed: the same host, and never from https to http.
fn redirect(from: &Url, response: &reqwest::Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let to = from.join(response.headers().get(header::LOCATION)?.to_str().ok()?).ok()?;
    let known = matches!(to.scheme(), "http" | "https");
    let downgraded = from.scheme() == "https" && to.scheme() == "http";
    (known && !downgraded && from.host_str() == to.host_str()).then_some(to)
}

/// Why a request failed: the innermost reason that says something, without the URL.
pub(super) fn cause(error: &reqwest::Error) -> (Treat, String) {
    if error.is_builder() && error.source().is_none() {
        return (Treat::Permanent, "the request cannot be written".into());
    }
    let mut next = error.source();
    let mut last = "no reason given".to_string();
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return (Treat::Permanent, format!("TLS: {tls}"));
        }
        let io = error.downcast_ref::<io::Error>();
        match io.map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => return (Treat::Temporary, "connection refused".into()),
            Some(io::ErrorKind::ConnectionReset) => return (Treat::Temporary, "connection reset".into()),
            _ => last = error.to_string(),
        }
        // an I/O error does not name the error it is made of as its source
        let inner = io.and_then(io::Error::get_ref).map(|inner| inner as &dyn Error);
        next = inner.or_else(|| error.source());
    }
    (Treat::Temporary, last)
}

/// A URL for people: without user and password, and with the names of the query's values alone.
pub fn shown(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        let bare = url.split(['?', '#']).next().unwrap_or_default();
        return excerpt(bare.rsplit('@').next().unwrap_or_default(), 200);
    };
    // both fail only for URLs that cannot have a user
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.set_fragment(None);
    let names: Option<Vec<String>> = parsed.query().map(|query| {
        let name = |pair: &str| pair.split_once('=').map_or("…".into(), |(name, _)| format!("{name}=…"));
        query.split('&').map(name).collect()
    });
    parsed.set_query(None);
    match names {
        Some(names) => format!("{parsed}?{}", names.join("&")),
        None => parsed.into(),
    }
}

/// A value as one piece of a URL: everything but letters, digits and `-._~` is escaped.
pub fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte as char),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
