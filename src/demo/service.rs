//! The service that the demo releases: it answers with its version and side, and can be made slow or faulty.
//!
//! | path | answer |
//! |---|---|
//! | `/` | 200 and the version in `x-version`, or 500 for [`Options::error_rate`] of the requests |
//! | `/health` | always 200: a bad version that looks healthy is what a canary is for |
//! | `/version` | `{"version":"v1"}` |
//! | `/metrics` | `http_requests_total` and `http_request_duration_seconds` of `/` |

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Request, Response, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::http::{self, Body};

/// How one instance of the service behaves.
#[derive(Debug, Clone)]
pub struct Options {
    pub version: String,
    pub side: String,
    /// Share of the requests to `/` that end in 500, 0 to 1, spread evenly.
    pub error_rate: f64,
    /// Mean time to answer `/`; single requests take between half and one and a half of it.
    pub latency: Duration,
    /// Two services with the same seed fail and dawdle at the same requests.
    pub seed: u64,
}

/// Upper bounds of the latency histogram, in seconds.
const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Serves until `shutdown` resolves; connections still open are cut then.
pub async fn serve(options: Options, listener: TcpListener, shutdown: impl Future) {
    let service = Arc::new(Service::new(options));
    let requests = http::serve(listener, (), move |request| {
        let service = Arc::clone(&service);
        async move { service.answer(request).await }
    });
    tokio::select! {
        () = requests => {}
        _ = shutdown => {}
    }
}

struct Service {
    options: Options,
    /// The version as a header, empty where it cannot be one.
    version: HeaderValue,
    progress: Mutex<Progress>,
}

/// What the answers so far have left behind.
#[derive(Default)]
struct Progress {
    random: u64,
    /// Errors owed: one is due when it reaches 1.
    owed: f64,
    ok: u64,
    failed: u64,
    buckets: [u64; BUCKETS.len()],
    seconds: f64,
}

impl Service {
    fn new(options: Options) -> Self {
        let mut progress = Progress { random: options.seed, ..Progress::default() };
        progress.owed = progress.fraction();
        let version = HeaderValue::from_str(&options.version).unwrap_or(HeaderValue::from_static(""));
        Self { options, version, progress: Mutex::new(progress) }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let version = &self.options.version;
        let mut response = match request.uri().path() {
            "/" => self.work().await,
            "/health" => {
                let health = json!({"status": "ok", "version": version, "database": "up"});
                http::response(StatusCode::OK, "application/json", health.to_string())
            }
            "/version" => {
                http::response(StatusCode::OK, "application/json", json!({"version": version}).to_string())
            }
            "/metrics" => http::response(StatusCode::OK, http::PROMETHEUS, self.metrics()),
            _ => http::response(StatusCode::NOT_FOUND, "text/plain", "not found\n"),
        };
        response.headers_mut().insert("x-version", self.version.clone());
        response
    }

    async fn work(&self) -> Response<Body> {
        let Options { version, side, latency, error_rate, .. } = &self.options;
        let started = Instant::now();
        let (fails, delay) = {
            let mut progress = self.progress();
            (progress.next_fails(*error_rate), latency.mul_f64(0.5 + progress.fraction()))
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.progress().record(fails, started.elapsed());
        if fails {
            let text = format!("{version} on {side}: something went wrong\n");
            return http::response(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", text);
        }
        http::response(StatusCode::OK, "text/plain", format!("{version} on {side}\n"))
    }

    fn metrics(&self) -> String {
        let labels =
            format!("version=\"{}\",side=\"{}\"", escape(&self.options.version), escape(&self.options.side));
        self.progress().metrics(&labels)
    }
}

impl Progress {
    /// The next of an even sequence in [0, 1) (splitmix64).
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn next_fails(&mut self, error_rate: f64) -> bool {
        self.owed += error_rate.clamp(0.0, 1.0);
        let due = self.owed >= 1.0;
        if due {
            self.owed -= 1.0;
        }
        due
    }

    fn record(&mut self, failed: bool, elapsed: Duration) {
        *(if failed { &mut self.failed } else { &mut self.ok }) += 1;
        let seconds = elapsed.as_secs_f64();
        self.seconds += seconds;
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket] += 1;
        }
    }

    fn metrics(&self, labels: &str) -> String {
        let mut text = String::from(
            "# HELP http_requests_total Requests answered, by status code.\n# TYPE http_requests_total counter\n",
        );
        for (code, count) in [(200, self.ok), (500, self.failed)] {
            let _ = writeln!(text, "http_requests_total{{{labels},code=\"{code}\"}} {count}");
        }
        let name = "http_request_duration_seconds";
        let _ = writeln!(text, "# HELP {name} Time to answer a request.\n# TYPE {name} histogram");
        let mut below = 0;
        for (bound, count) in BUCKETS.iter().zip(self.buckets) {
            below += count;
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        let total = self.ok + self.failed;
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {total}");
        let _ = writeln!(text, "{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {total}", self.seconds);
        text
    }
}

/// A value as it stands between the quotes of a Prometheus label.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_spread_evenly_whatever_the_seed() {
        for seed in 0..50 {
            let mut progress = Progress { random: seed, ..Progress::default() };
            progress.owed = progress.fraction();
            let failed: Vec<bool> = (0..1000).map(|_| progress.next_fails(0.05)).collect();
            for window in failed.windows(200) {
                let errors = window.iter().filter(|failed| **failed).count();
                assert!((9..=11).contains(&errors), "{errors} of 200 with seed {seed}");
            }
        }
    }

    #[test]
    fn nothing_fails_at_zero_and_everything_at_one() {
        let mut progress = Progress { owed: 0.999, ..Progress::default() };
        assert!((0..1000).all(|_| !progress.next_fails(0.0)));
        assert!((0..1000).all(|_| progress.next_fails(1.0)));
    }

    #[test]
    fn buckets_are_cumulative_and_slow_requests_count_only_in_the_last() {
        let mut progress = Progress::default();
        for (millis, failed) in [(1, false), (4, true), (9_000, false)] {
            progress.record(failed, Duration::from_millis(millis));
        }
        let text = progress.metrics("version=\"v1\"");
        for line in [
            "http_requests_total{version=\"v1\",code=\"200\"} 2",
            "http_requests_total{version=\"v1\",code=\"500\"} 1",
            "http_request_duration_seconds_bucket{version=\"v1\",le=\"0.001\"} 1",
            "http_request_duration_seconds_bucket{version=\"v1\",le=\"0.005\"} 2",
            "http_request_duration_seconds_bucket{version=\"v1\",le=\"2.5\"} 2",
            "http_request_duration_seconds_bucket{version=\"v1\",le=\"+Inf\"} 3",
            "http_request_duration_seconds_count{version=\"v1\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn labels_cannot_break_out_of_their_quotes() {
        assert_eq!(escape("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
