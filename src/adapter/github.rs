//! The one way into GitHub: repository, address and token from the workflow, requests that are told apart
//! by what repeating them would do, rate limits that are obeyed.
//!
//! octocrab carries the requests, without its own retry, which repeats POST too. Nothing is sent while GitHub
//! has asked to be left alone. A token is in no error and in no log.

use http_body_util::BodyExt as _;
use octocrab::{
    AuthState, Octocrab, OctocrabBuilder,
    service::middleware::{
        auth_header::AuthHeaderLayer, base_uri::BaseUriLayer, extra_headers::ExtraHeadersLayer,
        reqwest_connector::ReqwestConnector,
    },
};
use reqwest::{
    Method,
    header::{self, HeaderValue},
};
use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use crate::{
    adapter::web,
    domain::duration::spoken,
    port::{
        Context, Fault, Treat,
        adapter::{Environment, Setting},
    },
};

pub mod access;
pub mod answer;
pub mod approvals;

pub use access::{Access, Repository};
pub use answer::Answer;

use answer::Meaning;

pub(crate) const PROVIDER: &str = "github";
/// The version of the API that all requests ask for.
const VERSION: &str = "2022-11-28";
/// A request that may be repeated and hangs is sent again after this long.
const REPEAT_LIMIT: Duration = Duration::from_secs(4);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MOST: Duration = Duration::from_secs(2);
/// More than any answer that is asked for.
const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    /// From the API's address on: `/repos/acme/shop/git/refs`.
    route: String,
    body: Option<serde_json::Value>,
    etag: Option<String>,
    operation: &'static str,
    object: String,
    permission: &'static str,
    repeatable: bool,
}

impl Call {
    /// A look. `permission` is what the token needs for it: `contents: read`.
    pub fn get(
        operation: &'static str,
        object: impl Into<String>,
        route: String,
        permission: &'static str,
    ) -> Self {
        Call {
            method: Method::GET,
            route,
            body: None,
            etag: None,
            operation,
            object: object.into(),
            permission,
            repeatable: true,
        }
    }

    /// Something that changes. It is sent once, unless it may be repeated.
    pub fn write(self, method: Method, body: serde_json::Value) -> Self {
        Call { method, body: Some(body), repeatable: false, ..self }
    }

    /// Doing it twice is doing it once, or leaves nothing that anybody sees.
    pub fn repeatable(self) -> Self {
        Call { repeatable: true, ..self }
    }

    /// Asks only for what changed since the answer with this tag; a 304 costs nothing of the rate limit.
    pub fn unless(self, etag: Option<String>) -> Self {
        Call { etag, ..self }
    }
}

/// A repository on GitHub, and who asks.
pub struct GitHub {
    api: String,
    repository: Repository,
    token: Option<String>,
    client: OnceLock<Octocrab>,
    /// GitHub asked to be left alone.
    closed: Mutex<Option<Closed>>,
}

/// Until when, on the context's clock, and why.
#[derive(Clone)]
struct Closed {
    until: Duration,
    why: String,
}

impl GitHub {
    /// One client for all adapters of a file that mean the same repository in the same name.
    pub fn shared(
        access: &Access,
        repository: Option<&str>,
        setting: &Setting,
    ) -> Result<Arc<GitHub>, String> {
        let alone = GitHub::alone(access, repository, &setting.env)?;
        let key =
            format!("{} {} {}", alone.api, alone.repository, alone.token.as_deref().unwrap_or_default());
        Ok(setting.shared.get(&key, || alone))
    }

    /// A client of its own, for what belongs to no file.
    pub fn alone(access: &Access, repository: Option<&str>, env: &Environment) -> Result<GitHub, String> {
        Ok(GitHub {
            api: access.address(env)?,
            repository: Repository::find(repository, env)?,
            token: access.token(env)?,
            client: OnceLock::new(),
            closed: Mutex::default(),
        })
    }

    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// `/repos/acme/shop/…`
    pub fn route(&self, rest: &str) -> String {
        format!("/repos/{}{rest}", self.repository)
    }

    /// Sends the request, again where that is safe and there is time. Answers of 2xx, 304, 404, 409 and 422
    /// are the caller's to understand. Faults: `Permanent` where GitHub refuses the token; `Temporary` for
    /// rate limits and what did not get through; `OutcomeUnknown` for a write whose answer was lost.
    pub async fn ask(&self, cx: &Context, call: &Call) -> Result<Answer, Fault> {
        let client = self.client(call)?;
        let mut wait = BACKOFF_FIRST;
        loop {
            self.turn(cx, call).await?;
            let limit = if call.repeatable { REPEAT_LIMIT.min(cx.left()) } else { cx.left() };
            let fault = match cx.within(limit).bounded(self.send(client, call)).await {
                Ok(Ok(answer)) => match answer.meaning(call, cx.clock()) {
                    Meaning::Told => return Ok(answer),
                    Meaning::Refused(fault) => return Err(fault),
                    Meaning::Limited(wait, why) => {
                        self.close(cx.clock().elapsed().saturating_add(wait), why);
                        continue;
                    }
                    Meaning::Broken => {
                        self.lost(call, format!("HTTP {}: {}", answer.status, answer.message()))
                    }
                },
                Ok(Err(Unanswered { sent: true, why })) => self.lost(call, why),
                Ok(Err(Unanswered { sent: false, why })) => call.fault(Treat::Temporary, why),
                Err(late) => self.lost(call, format!("no answer within {}", spoken(late.0))),
            };
            if fault.treat == Treat::OutcomeUnknown || cx.left() <= wait {
                return Err(fault);
            }
            cx.clock().sleep(jittered(wait)).await;
            wait = (wait * 2).min(BACKOFF_MOST);
        }
    }

    fn lost(&self, call: &Call, why: String) -> Fault {
        let treat = if call.repeatable { Treat::Temporary } else { Treat::OutcomeUnknown };
        call.fault(treat, why)
    }

    /// Waits for as long as GitHub asked to be left alone, or says that it did.
    async fn turn(&self, cx: &Context, call: &Call) -> Result<(), Fault> {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(Closed { until, why }) = closed else { return Ok(()) };
        let left = until.saturating_sub(cx.clock().elapsed());
        if left >= cx.left() {
            let hint = format!("run the same command again in {}", spoken(left));
            return Err(call.fault(Treat::Temporary, why).hint(hint));
        }
        cx.clock().sleep(left).await;
        Ok(())
    }

    fn close(&self, until: Duration, why: String) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Closed { until, why });
    }

    /// Made with the first request: it needs the runtime.
    fn client(&self, call: &Call) -> Result<&Octocrab, Fault> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let Some(token) = &self.token else {
            let hint = format!(
                "in a workflow: `env: {{GITHUB_TOKEN: ${{{{ github.token }}}}}}` and `permissions: {{{}}}`",
                call.permission
            );
            return Err(call.fault(Treat::Permanent, "there is no token for GitHub").hint(hint));
        };
        let fault = |why: String| call.fault(Treat::Permanent, why);
        let http = web::client(self.api.starts_with("https:")).map_err(fault)?;
        let client =
            self.assemble(token, http).map_err(|e| fault(format!("the client cannot be set up: {e}")))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// octocrab without the layers that would repeat a request or follow it elsewhere.
    fn assemble(&self, token: &str, http: reqwest::Client) -> Result<Octocrab, http::Error> {
        let base: http::Uri = self.api.parse()?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
        bearer.set_sensitive(true);
        let agent = HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION")));
        let built = OctocrabBuilder::new_empty()
            .with_service(ReqwestConnector::new(http))
            .with_layer(&ExtraHeadersLayer::new(Arc::new(vec![(header::USER_AGENT, agent)])))
            .with_layer(&BaseUriLayer::new(base.clone()))
            .with_layer(&AuthHeaderLayer::new(Some(bearer), base.clone(), base))
            .with_auth(AuthState::None)
            .build();
        Ok(match built {
            Ok(client) => client,
            Err(never) => match never {},
        })
    }

    async fn send(&self, client: &Octocrab, call: &Call) -> Result<Answer, Unanswered> {
        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(&call.route)
            .header(header::ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", VERSION);
        if let Some(etag) = &call.etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let body = match &call.body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                body.to_string()
            }
            None => String::new(),
        };
        let request = request.body(body).map_err(|e| Unanswered { sent: false, why: e.to_string() })?;
        let answer = client.execute(request).await.map_err(|error| Unanswered::of(&error))?;
        let (head, mut rest) = answer.into_parts();
        let mut body = Vec::new();
        while let Some(frame) = rest.frame().await {
            let frame = frame.map_err(|error| Unanswered {
                sent: true,
                why: format!(
                    "the answer broke off after {} bytes: {}",
                    body.len(),
                    Unanswered::of(&error).why
                ),
            })?;
            body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            if body.len() > ANSWER_BYTES_MAX {
                let why = format!("the answer is larger than {ANSWER_BYTES_MAX} bytes");
                return Err(Unanswered { sent: true, why });
            }
        }
        if !head.status.is_success() {
            body = self.without_token(&String::from_utf8_lossy(&body)).into_bytes();
        }
        let etag = head.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_string);
        Ok(Answer { status: head.status.as_u16(), etag, body, headers: head.headers })
    }

    /// Nobody has a reason to repeat the token, and it would be shown.
    fn without_token(&self, text: &str) -> String {
        match &self.token {
            Some(token) => text.replace(token.as_str(), "***"),
            None => text.into(),
        }
    }
}

/// A request without a whole answer.
struct Unanswered {
    /// It may have got through.
    sent: bool,
    why: String,
}

impl Unanswered {
    /// The innermost reason that says something.
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<reqwest::Error>() {
                return Unanswered { sent: !error.is_connect(), why: web::cause(error).1 };
            }
            next = error.source();
        }
        Unanswered { sent: true, why: error.to_string() }
    }
}

/// Somewhere between nothing and `wait`, so that runs that failed together do not come back together.
fn jittered(wait: Duration) -> Duration {
    let mut byte = [0u8; 1];
    // without randomness the full time is as good
    let part = getrandom::fill(&mut byte).map_or(1.0, |()| f64::from(byte[0]) / 255.0);
    wait.mul_f64(part)
}
