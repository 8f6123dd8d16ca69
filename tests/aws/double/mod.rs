//! A stand-in for AWS: real HTTP on the loopback, the same wire protocols, and as strict as AWS. It keeps
//! everything in memory; time passes in it by looks and by explicit steps, never by the clock.

#![allow(dead_code, unused_imports, reason = "what one suite does not use, another does")]

pub mod names;
pub mod server;

mod cloudfront;
pub mod cloudwatch;
pub mod ecs;
pub mod elb;
pub mod iam;
pub mod lambda;
pub mod rds;
pub mod s3;
mod sts;
pub mod worlds;

pub use cloudfront::{CloudFront, Distribution, Invalidation};
pub use cloudwatch::CloudWatch;
pub use ecs::Ecs;
pub use elb::Elb;
pub use lambda::Lambda;
pub use rds::Rds;
pub use s3::{Object, S3};
pub use server::{Answer, Request, Response};
pub use sts::{Sts, USER};

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tidegate::{
    adapter::aws::Access,
    port::{Clock, Context, adapter::Setting, clock::SystemClock},
};

use crate::wire::{Connection, Listener};

/// Where everything is.
pub const REGION: &str = "eu-west-1";
/// Whose everything is.
pub const ACCOUNT: &str = "123456789012";
/// The long-lived key that the double knows from the start; moto takes any.
pub const KEY_ID: &str = "AKIATIDEGATE00000001";
pub const SECRET: &str = "not-a-secret";

/// A running double; it ends when dropped.
pub struct Double {
    pub url: String,
    shared: Arc<Shared>,
    _listener: Listener,
}

/// What the double remembers.
#[derive(Clone, Default)]
pub struct State {
    pub ecs: Ecs,
    pub elb: Elb,
    pub lambda: Lambda,
    pub rds: Rds,
    pub s3: S3,
    pub cloudfront: CloudFront,
    pub cloudwatch: CloudWatch,
    pub sts: Sts,
    /// Operations that the caller lacks the permission for: `ecs:UpdateService`.
    pub denied: BTreeSet<String>,
    /// All that the caller has permissions for; everything by default.
    pub allowed: Option<iam::Policy>,
}

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The signing name: `ecs`.
    pub service: String,
    pub operation: String,
    pub object: String,
    pub status: u16,
    /// What IAM was asked.
    pub asks: Vec<iam::Ask>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    calls: Mutex<Vec<Call>>,
}

impl Double {
    pub fn start() -> Double {
        let shared = Arc::new(Shared::default());
        let serving = shared.clone();
        let listener = Listener::start(move |stream| {
            // a client that goes away is not the double's trouble
            let _ = server::answer_all(&mut Connection::new(stream), &serving);
        });
        Double { url: listener.url(), shared, _listener: listener }
    }

    /// Another one in which everything is as it is here now.
    pub fn copy(&self) -> Double {
        let copy = Double::start();
        *copy.state() = self.state().clone();
        copy
    }

    /// The same double at one more address, whose connections `accept` dresses: with TLS.
    pub fn over<S: Read + Write>(&self, accept: impl Fn(TcpStream) -> S + Send + Sync + 'static) -> Listener {
        let serving = self.shared.clone();
        Listener::start(move |stream| {
            // a client that goes away is not the double's trouble
            let _ = server::answer_all(&mut Connection::new(accept(stream)), &serving);
        })
    }

    /// Requests wait while this is held.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every request answered so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The operations asked of a service so far, in order.
    pub fn operations(&self, service: &str) -> Vec<String> {
        self.calls().into_iter().filter(|call| call.service == service).map(|call| call.operation).collect()
    }
}

impl Shared {
    fn answer(&self, request: &Request) -> Response {
        let answer = self.state.lock().unwrap_or_else(PoisonError::into_inner).answer(request);
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(Call {
            service: request.service.clone(),
            operation: answer.operation,
            object: answer.object,
            status: answer.response.status,
            asks: iam::asks(request),
        });
        answer.response
    }
}

/// Lets one service answer that may reach into the others; its own place is empty meanwhile.
macro_rules! answered {
    ($state:ident.$service:ident, $request:expr) => {{
        let mut service = std::mem::take(&mut $state.$service);
        let answer = service.answer($request, $state);
        $state.$service = service;
        answer
    }};
}

impl State {
    /// Whether the caller has the permission.
    fn may(&self, ask: &iam::Ask) -> bool {
        self.allowed.as_ref().is_none_or(|policy| policy.allows(ask))
    }

    fn answer(&mut self, request: &Request) -> Answer {
        if let Err(refused) = self.sts.admit(request) {
            return Answer::new(request, "", refused);
        }
        if self.denied.contains(&format!("{}:{}", request.service, request.operation)) {
            let asked = format!("{}:{}", request.service, request.operation);
            return Answer::new(request, "", server::denied(request, &asked));
        }
        if let Some(ask) = iam::asks(request).iter().find(|ask| !self.may(ask)) {
            return Answer::new(request, "", server::denied(request, &ask.action));
        }
        match request.service.as_str() {
            "ecs" => answered!(self.ecs, request),
            "elasticloadbalancing" => answered!(self.elb, request),
            "lambda" => answered!(self.lambda, request),
            "rds" => answered!(self.rds, request),
            "s3" => answered!(self.s3, request),
            "cloudfront" => answered!(self.cloudfront, request),
            "monitoring" => answered!(self.cloudwatch, request),
            "sts" => answered!(self.sts, request),
            _ => Answer::unknown(request),
        }
    }
}

/// What a process needs to find the double or moto, and nothing of the machine's own AWS configuration.
pub fn environment(url: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", REGION),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ]
    .map(|(name, value)| (name.to_string(), value.to_string()))
    .into()
}

/// The `aws:` options of an adapter that talks to this address. Its credentials come from `setting`.
pub fn access(url: &str) -> Access {
    Access { region: Some(REGION.into()), endpoint: Some(url.into()), ..Access::default() }
}

/// The surroundings of an adapter under test, whose environment has the double's key.
pub fn setting(folder: &Path) -> Setting {
    let variables: BTreeMap<String, String> = environment("").into_iter().skip(1).collect();
    Setting {
        base: folder.to_path_buf(),
        state: folder.join(".tidegate"),
        unit: "shop".parse().unwrap(),
        environment: "production".parse().unwrap(),
        env: Arc::new(move |name| variables.get(name).cloned()),
        services: Vec::new(),
        sql: BTreeMap::new(),
        shared: Default::default(),
        units: BTreeMap::new(),
    }
}

/// A context on the real clock.
pub fn within(seconds: u64) -> Context {
    Context::new(Arc::new(SystemClock::default()), Duration::from_secs(seconds))
}

/// A context on a clock that runs ten times as fast, for waits that would be long.
pub fn hurried(seconds: u64) -> Context {
    Context::new(Arc::new(Hurried(SystemClock::default())), Duration::from_secs(seconds))
}

struct Hurried(SystemClock);
const HURRY: u32 = 10;

#[async_trait::async_trait]
impl Clock for Hurried {
    fn now(&self) -> jiff::Timestamp {
        self.0.now()
    }
    fn elapsed(&self) -> Duration {
        self.0.elapsed() * HURRY
    }
    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration / HURRY).await;
    }
}
