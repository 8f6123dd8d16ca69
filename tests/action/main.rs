//! The container image, run as CI systems run it: by GitHub's runner, by its Kubernetes mode, by GitLab, Jenkins
//! and CircleCI. A Docker daemon and the image come from `scripts/test`.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]
#![cfg(all(
    target_os = "linux",
    feature = "http",
    feature = "postgres",
    feature = "sqlite",
    feature = "demo",
    feature = "github"
))]

#[path = "../github/api.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod api;
#[path = "../github/double.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod double;
#[path = "../support/haproxy.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod haproxy;
#[path = "../support/http_server.rs"]
mod http_server;
#[path = "../real/middle.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod middle;
#[path = "../github/news.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod news;
#[path = "../github/openapi.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod openapi;
#[path = "../support/postgres.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod postgres;
#[path = "../real/process.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod process;
#[path = "../github/repository.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod repository;
#[path = "../support/runner_files.rs"]
mod runner_files;
#[path = "../support/runner_log.rs"]
mod runner_log;
#[path = "../aws/wire.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod wire;
#[path = "../real/world.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod world;

mod capture;
mod composite;
mod demo;
mod docker;
mod examples;
mod github;
mod image;
mod kubernetes;
mod manifest;
mod other_ci;
mod production;
mod release;
mod runner;
mod setup;
mod words;
mod workflow;
mod workflows;
