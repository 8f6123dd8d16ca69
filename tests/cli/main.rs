//! What a person sees: the real binary before a splitter that speaks HAProxy's runtime API.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod action;
#[path = "../support/corpus.rs"]
mod corpus;
mod hostile;
#[path = "../support/http_server.rs"]
mod http_server;
mod identity;
mod life;
mod output;
#[cfg(feature = "http")]
mod production;
#[path = "../support/prometheus.rs"]
mod prometheus;
mod recheck;
#[path = "../support/runner_files.rs"]
mod runner_files;
mod secrets;
mod stage;
mod undo;
mod verdicts;
mod waiting;
