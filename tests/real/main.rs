//! The real binary against real servers: killed at every write, interrupted, raced, under load, fed nonsense.
//!
//! What cannot be installed by cargo is installed by `scripts/test`: haproxy, postgresql, strace.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]
#![cfg(all(
    target_os = "linux",
    feature = "http",
    feature = "postgres",
    feature = "sqlite",
    feature = "demo"
))]

#[path = "../support/haproxy.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod haproxy;
#[path = "../support/http_server.rs"]
mod http_server;
#[path = "../support/postgres.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod postgres;

mod demo;
mod input;
mod killed;
mod load;
mod middle;
mod process;
mod races;
mod signals;
mod world;
