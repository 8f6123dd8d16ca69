//! One suite per port, run against every adapter of that port, in worlds as real as they can be had.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

#[path = "../support/both.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod both;
#[path = "../support/haproxy.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod haproxy;
#[path = "../support/journal_suite.rs"]
mod journal_suite;
#[cfg(feature = "postgres")]
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/reloadable.rs"]
mod reloadable;
#[path = "../support/tamper.rs"]
mod tamper;

mod balanced;
mod command;
mod database;
mod haproxy_metric;
mod haproxy_real;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
#[path = "../support/http_server.rs"]
mod http_server;
mod journal;
#[cfg(feature = "http")]
mod metric;
#[cfg(feature = "http")]
mod metric_prometheus;
mod metric_sql;
#[cfg(feature = "http")]
#[path = "../support/prometheus.rs"]
mod prometheus;
mod setting;
mod target;
mod target_faults;
mod verdicts;
