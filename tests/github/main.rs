//! What tidegate does on GitHub, against a double whose state is a real git repository and whose every
//! exchange is held against GitHub's own OpenAPI description.

#![cfg(feature = "github")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod api;
#[path = "../support/corpus.rs"]
mod corpus;
mod double;
#[path = "../support/journal_suite.rs"]
mod journal_suite;
mod news;
mod openapi;
mod repository;
#[cfg(feature = "demo")]
#[path = "../cli/stage.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod stage;
#[path = "../aws/wire.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod wire;
mod world;

mod client;
mod hearing;
mod journal;
#[cfg(feature = "demo")]
mod release;
#[cfg(feature = "demo")]
mod told;
mod usual;
