//! `GET /metrics`: the families of HAProxy's own exporter that the splitter can fill.

use std::fmt::{Display, Write as _};
use std::sync::Arc;

use hyper::StatusCode;
use tokio::net::TcpListener;

use super::state::{Backend, Counters, Mode, Server, Shared, State};
use super::stats::seconds_since;
use crate::demo::http;

/// Serves the exporter until dropped.
pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    http::serve(listener, (), move |request| {
        let shared = Arc::clone(&shared);
        async move {
            match request.uri().path() {
                "/metrics" => http::response(StatusCode::OK, http::PROMETHEUS, render(&shared.lock())),
                _ => http::response(StatusCode::NOT_FOUND, "text/plain", "metrics are at /metrics\n"),
            }
        }
    })
    .await;
}

/// Of whom a family speaks.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Frontend(&'a Backend),
    Backend(&'a Backend),
    Server(&'a Backend, &'a Server),
}

impl Subject<'_> {
    fn labels(self) -> String {
        match self {
            Self::Frontend(backend) => format!("proxy=\"{}-front\"", backend.name),
            Self::Backend(backend) => format!("proxy=\"{}\"", backend.name),
            Self::Server(backend, server) => {
                format!("proxy=\"{}\",server=\"{}\"", backend.name, server.name)
            }
        }
    }

    fn counters(&self) -> &Counters {
        match self {
            Self::Frontend(backend) => &backend.front,
            Self::Backend(backend) => &backend.counters,
            Self::Server(_, server) => &server.counters,
        }
    }
}

struct Text<'a> {
    text: String,
    prefix: &'static str,
    subjects: Vec<Subject<'a>>,
}

impl Text<'_> {
    /// One value per subject.
    fn family<V: Display>(&mut self, name: &str, kind: &str, help: &str, value: impl Fn(&Subject) -> V) {
        self.labelled(name, kind, help, |subject| [(String::new(), value(subject))]);
    }

    /// Several values per subject, told apart by one more label.
    fn labelled<V: Display, L>(&mut self, name: &str, kind: &str, help: &str, values: impl Fn(&Subject) -> L)
    where
        L: IntoIterator<Item = (String, V)>,
    {
        let name = format!("haproxy_{}_{name}", self.prefix);
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        // HAProxy goes through all subjects before the next value of the label
        let mut lines: Vec<(usize, String)> = Vec::new();
        for subject in &self.subjects {
            for (order, (label, value)) in values(subject).into_iter().enumerate() {
                lines.push((order, format!("{name}{{{}{label}}} {value}\n", subject.labels())));
            }
        }
        if name.ends_with("_http_responses_total") {
            lines.sort_by_key(|(order, _)| *order);
        }
        self.text.extend(lines.into_iter().map(|(_, line)| line));
    }

    fn traffic(&mut self) {
        self.family(
            "current_sessions",
            "gauge",
            "Number of current sessions on the frontend, backend or server",
            |s| s.counters().sessions_current,
        );
        self.family("sessions_total", "counter", "Total number of sessions since process started", |s| {
            s.counters().sessions
        });
        // the help names the first class only, as HAProxy's does
        let help = "Total number of HTTP responses with status 100-199 returned by this object since the worker process started";
        self.labelled("http_responses_total", "counter", help, |subject| {
            let codes = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"].map(|code| format!(",code=\"{code}\""));
            codes.into_iter().zip(subject.counters().responses)
        });
    }

    fn connections(&mut self) {
        let since = "since the worker process started";
        self.family(
            "connection_errors_total",
            "counter",
            &format!("Total number of failed connections to server {since}"),
            |s| s.counters().connection_errors,
        );
        self.family(
            "response_errors_total",
            "counter",
            &format!("Total number of invalid responses {since}"),
            |s| s.counters().response_errors,
        );
        self.family(
            "retry_warnings_total",
            "counter",
            &format!("Total number of server connection retries {since}"),
            |s| s.counters().retries,
        );
        let help = format!("Total number of server redispatches due to connection failures {since}");
        self.family("redispatch_warnings_total", "counter", &help, |s| s.counters().redispatches);
        let help = "Avg. response time for last 1024 successful connections.";
        self.family("response_time_average_seconds", "gauge", help, |s| {
            seconds(s.counters().response_ms.value())
        });
        let help = "Avg. total time for last 1024 successful connections.";
        self.family("total_time_average_seconds", "gauge", help, |s| seconds(s.counters().total_ms.value()));
    }

    fn requests(&mut self) {
        let help = "Total number of HTTP requests processed by this object since the worker process started";
        self.family("http_requests_total", "counter", help, |s| s.counters().requests);
    }

    fn standing(&mut self) {
        let help = "Server's effective weight, or sum of active servers' effective weights for a backend";
        self.family("weight", "gauge", help, |subject| match subject {
            Subject::Server(_, server) => u32::from(server.weight),
            Subject::Backend(backend) | Subject::Frontend(backend) => {
                backend.active().map(|server| u32::from(server.weight)).sum()
            }
        });
        let help = "Current status of the service, per state label value.";
        self.labelled("status", "gauge", help, |subject| {
            let (states, current): (&[&str], &str) = match subject {
                Subject::Frontend(_) => (&["DOWN", "UP"], "UP"),
                Subject::Backend(backend) => (&["DOWN", "UP"], if backend.up { "UP" } else { "DOWN" }),
                Subject::Server(_, server) => (&["DOWN", "UP", "MAINT", "DRAIN", "NOLB"], status(server)),
            };
            let samples =
                states.iter().map(|state| (format!(",state=\"{state}\""), u8::from(*state == current)));
            samples.collect::<Vec<_>>()
        });
        let help = "How long ago the last server state changed, in seconds";
        self.family("check_last_change_seconds", "gauge", help, |subject| match subject {
            Subject::Server(_, server) => seconds_since(server.changed),
            Subject::Backend(backend) | Subject::Frontend(backend) => seconds_since(backend.changed),
        });
    }
}

fn status(server: &Server) -> &'static str {
    match server.admin.mode {
        Mode::Maint => "MAINT",
        _ if !server.up => "DOWN",
        Mode::Drain => "DRAIN",
        Mode::Ready => "UP",
    }
}

/// HAProxy counts whole milliseconds.
fn seconds(milliseconds: f64) -> String {
    format!("{:.6}", milliseconds.round() / 1000.0)
}

fn render(state: &State) -> String {
    let backends = || state.backends.iter();
    let subjects = backends().map(Subject::Frontend).collect();
    let mut text = Text { text: String::new(), prefix: "frontend", subjects };
    text.traffic();
    text.requests();

    text.prefix = "backend";
    text.subjects = backends().map(Subject::Backend).collect();
    text.traffic();
    text.requests();
    text.connections();
    text.standing();

    text.prefix = "server";
    text.subjects = backends()
        .flat_map(|backend| backend.servers.iter().map(move |server| Subject::Server(backend, server)))
        .collect();
    text.traffic();
    text.connections();
    text.standing();
    text.text
}
