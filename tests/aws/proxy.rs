//! A proxy in front of the double or moto that makes trouble with chosen requests, and counts.

#![allow(dead_code, reason = "what one suite does not use, another does")]

use std::{
    io::{self, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tidegate::port::{Clock as _, clock::SystemClock};

use crate::{
    double::{
        Request, Response,
        server::{self, error},
    },
    wire::{self, Connection, Listener, Message},
};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Refused because of the rate, as the service says it: mostly 400; S3 says it with 503.
    Throttled400,
    /// Refused because of the rate, with 429.
    Throttled429,
    /// 500, and nothing was done.
    Internal,
    /// The connection is reset before the request got through.
    ResetBefore,
    /// It was done, and the connection is reset instead of an answer.
    ResetAfter,
    /// No answer for as long as the client waits; nothing was done.
    Hang,
    /// No answer for as long as the client waits; it was done.
    HangAfter,
    /// It was done, and the answer is cut in the middle.
    Truncated,
    /// It was done, and its answer comes twice: the next request on the connection finds the second one.
    Twice,
    /// The request arrives twice; the second answer is the one that is seen.
    SentTwice,
    /// Refused: the credentials have expired.
    Expired,
}

impl Trouble {
    pub const ALL: [Trouble; 11] = [
        Trouble::Throttled400,
        Trouble::Throttled429,
        Trouble::Internal,
        Trouble::ResetBefore,
        Trouble::ResetAfter,
        Trouble::Hang,
        Trouble::HangAfter,
        Trouble::Truncated,
        Trouble::Twice,
        Trouble::SentTwice,
        Trouble::Expired,
    ];

    /// The request got through to the other side.
    pub fn is_done(self) -> bool {
        use Trouble::{HangAfter, ResetAfter, SentTwice, Truncated, Twice};
        matches!(self, ResetAfter | HangAfter | Truncated | Twice | SentTwice)
    }
}

/// Which requests: of a service and an operation (`*` is any), from the one after `skip` on, `times` of them.
#[derive(Clone, Debug)]
pub struct When {
    service: String,
    operation: String,
    skip: usize,
    times: usize,
}

impl When {
    pub fn all(service: &str, operation: &str) -> When {
        When { service: service.into(), operation: operation.into(), skip: 0, times: usize::MAX }
    }

    /// The `n`th such request from now on, counted from 1, and only that.
    pub fn nth(service: &str, operation: &str, n: usize) -> When {
        When { skip: n - 1, times: 1, ..When::all(service, operation) }
    }

    pub fn first(service: &str, operation: &str) -> When {
        When::nth(service, operation, 1)
    }

    /// The first `times` such requests.
    pub fn times(service: &str, operation: &str, times: usize) -> When {
        When { times, ..When::all(service, operation) }
    }

    fn fits(&self, request: &Request) -> bool {
        let fits = |pattern: &str, name: &str| pattern == "*" || pattern == name;
        fits(&self.service, &request.service) && fits(&self.operation, &request.operation)
    }
}

/// A request that came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The signing name: `ecs`.
    pub service: String,
    pub operation: String,
    pub path: String,
    /// What the client was told; 0 if it was told nothing.
    pub status: u16,
    pub trouble: Option<Trouble>,
}

/// A running proxy; it ends when dropped.
pub struct Proxy {
    pub url: String,
    shared: Arc<Shared>,
    _listener: Listener,
}

struct Shared {
    upstream: SocketAddr,
    clock: SystemClock,
    plan: Mutex<Vec<(When, Trouble)>>,
    bucket: Mutex<Option<Bucket>>,
    /// Requests that go on together, and how many are not there yet.
    together: Mutex<Option<(When, usize)>>,
    arrived: Condvar,
    passed: Mutex<Vec<Passed>>,
}

/// A token bucket, as AWS throttles: `rate` tokens a second flow in up to `most`, and each call takes one. It
/// is reckoned on the machine's monotonic clock.
struct Bucket {
    rate: f64,
    most: f64,
    tokens: f64,
    at: Duration,
}

impl Bucket {
    fn take(&mut self, now: Duration) -> bool {
        let flown = now.saturating_sub(self.at).as_secs_f64() * self.rate;
        (self.tokens, self.at) = ((self.tokens + flown).min(self.most), now);
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// In front of the double or moto at this address.
    pub fn start(upstream: &str) -> Proxy {
        let upstream = upstream.trim_start_matches("http://").trim_end_matches('/');
        let shared = Arc::new(Shared {
            upstream: upstream.parse().unwrap(),
            clock: SystemClock::default(),
            plan: Mutex::default(),
            bucket: Mutex::default(),
            together: Mutex::default(),
            arrived: Condvar::new(),
            passed: Mutex::default(),
        });
        let serving = shared.clone();
        let listener = Listener::start(move |stream| {
            // a connection that broke is what this is about
            let _ = serving.serve(stream);
        });
        Proxy { url: listener.url(), shared, _listener: listener }
    }

    /// Plans trouble. Of several plans that fit a request, the first one planned counts.
    pub fn plan(&self, when: When, trouble: Trouble) {
        locked(&self.shared.plan).push((when, trouble));
    }

    /// No more trouble from now on.
    pub fn calm(&self) {
        locked(&self.shared.plan).clear();
        *locked(&self.shared.bucket) = None;
    }

    /// Lets `rate` calls a second through, `burst` of them at once.
    pub fn throttle(&self, rate: f64, burst: f64) {
        let at = self.shared.clock.elapsed();
        *locked(&self.shared.bucket) = Some(Bucket { rate, most: burst, tokens: burst, at });
    }

    /// Holds these requests until so many of them are here at once: with fewer, none gets an answer.
    pub fn together(&self, when: When, count: usize) {
        *locked(&self.shared.together) = Some((when, count));
    }

    /// Every request so far, in order of their answers.
    pub fn calls(&self) -> Vec<Passed> {
        locked(&self.shared.passed).clone()
    }

    /// How many requests of an operation came by.
    pub fn count(&self, service: &str, operation: &str) -> usize {
        let wanted = When::all(service, operation);
        let fits = |p: &&Passed| {
            let request =
                Request { service: p.service.clone(), operation: p.operation.clone(), ..Request::default() };
            wanted.fits(&request)
        };
        self.calls().iter().filter(fits).count()
    }

    /// The trouble that was made. A test that planned some asserts that it came to it.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.calls().iter().filter_map(|passed| passed.trouble).collect()
    }

    /// Forgets the calls so far.
    pub fn forget(&self) {
        locked(&self.shared.passed).clear();
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut client = Connection::new(stream);
        while let Some(message) = wire::read_request(&mut client)? {
            let request = Request::of(&message);
            self.wait_for_others(&request);
            let trouble = self.trouble(&request);
            let answer = self.answer(&message, &request, trouble);
            let shown = answer.as_ref().map_or(0, Message::status);
            self.note(&request, trouble, shown);
            let Some(answer) = answer else {
                match trouble {
                    Some(Trouble::Hang | Trouble::HangAfter) => drop(client.read(&mut [0])),
                    _ => reset(client.into_stream()),
                }
                return Ok(());
            };
            let bytes = wire::bytes_of(&answer, request.method == "HEAD");
            match trouble {
                Some(Trouble::Truncated) => {
                    let whole = bytes.len() - answer.body.len() / 2;
                    let cut =
                        if answer.body.is_empty() { bytes.len() / 2 } else { whole.min(bytes.len() - 1) };
                    return client.write_all(&bytes[..cut]);
                }
                Some(Trouble::Twice) => client.write_all(&[bytes.as_slice(), &bytes].concat())?,
                _ => client.write_all(&bytes)?,
            }
            client.flush()?;
        }
        Ok(())
    }

    fn wait_for_others(&self, request: &Request) {
        let mut waiting = locked(&self.together);
        let Some((_, missing)) = waiting.as_mut().filter(|(when, _)| when.fits(request)) else { return };
        *missing = missing.saturating_sub(1);
        self.arrived.notify_all();
        let some_lack =
            |waiting: &mut Option<(When, usize)>| waiting.as_ref().is_some_and(|(_, missing)| *missing > 0);
        drop(self.arrived.wait_while(waiting, some_lack));
    }

    fn trouble(&self, request: &Request) -> Option<Trouble> {
        let mut found = None;
        for (when, trouble) in locked(&self.plan).iter_mut().filter(|(when, _)| when.fits(request)) {
            if when.skip > 0 {
                when.skip -= 1;
            } else if found.is_none() && when.times > 0 {
                when.times -= 1;
                found = Some(*trouble);
            }
        }
        let now = self.clock.elapsed();
        let short = locked(&self.bucket).as_mut().is_some_and(|bucket| !bucket.take(now));
        found.or(short.then_some(Trouble::Throttled400))
    }

    /// What the client is to see; `None` is nothing.
    fn answer(&self, message: &Message, request: &Request, trouble: Option<Trouble>) -> Option<Message> {
        match trouble {
            Some(Trouble::Throttled400) => Some(told(throttled(request))),
            Some(Trouble::Throttled429) => {
                Some(told(error(request, 429, "TooManyRequestsException", "Rate exceeded")))
            }
            Some(Trouble::Internal) => {
                Some(told(error(request, 500, "InternalFailure", "An internal error")))
            }
            Some(Trouble::Expired) => Some(told(server::expired(request))),
            Some(Trouble::ResetBefore | Trouble::Hang) => None,
            Some(Trouble::ResetAfter | Trouble::HangAfter) => {
                drop(self.forward(message));
                None
            }
            Some(Trouble::SentTwice) => {
                drop(self.forward(message));
                self.forward(message).ok()
            }
            Some(Trouble::Truncated | Trouble::Twice) | None => self.forward(message).ok(),
        }
    }

    fn forward(&self, message: &Message) -> io::Result<Message> {
        let mut upstream = TcpStream::connect(self.upstream)?;
        let [method, target, _] = &message.first;
        let mut head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n");
        for (name, value) in message.headers.iter().filter(|(name, _)| !wire::hop_by_hop(name)) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", message.body.len()));
        upstream.write_all(&[head.as_bytes(), &message.body].concat())?;
        wire::read_answer(&mut BufReader::new(upstream), method)
    }

    fn note(&self, request: &Request, trouble: Option<Trouble>, status: u16) {
        locked(&self.passed).push(Passed {
            service: request.service.clone(),
            operation: request.operation.clone(),
            path: request.path.clone(),
            status,
            trouble,
        });
    }
}

fn throttled(request: &Request) -> Response {
    match request.service.as_str() {
        "s3" => error(request, 503, "SlowDown", "Please reduce your request rate."),
        "ecs" | "monitoring" => error(request, 400, "ThrottlingException", "Rate exceeded"),
        _ => error(request, 400, "Throttling", "Rate exceeded"),
    }
}

fn told(response: Response) -> Message {
    Message {
        first: ["HTTP/1.1".into(), response.status.to_string(), String::new()],
        headers: response.headers,
        body: response.body,
    }
}

/// Ends the connection with a reset instead of an orderly end.
fn reset(stream: TcpStream) {
    let socket = tokio::net::TcpSocket::from_std_stream(stream);
    let _ = socket.set_zero_linger();
}
