//! The adapters for AWS, against a strict double of our own and against moto, through a proxy that makes
//! every kind of trouble.

#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod double;
#[path = "../support/journal_suite.rs"]
mod journal_suite;
mod moto;
mod proxy;
#[cfg(feature = "demo")]
#[path = "../cli/stage.rs"]
#[allow(dead_code, reason = "shared with other suites")]
mod stage;
mod troubled;
mod wire;

mod calls;
mod canary;
mod cloudwatch;
mod credentials;
mod ecs_alb;
mod ecs_rolling;
mod ecs_same;
mod examples;
mod lambda;
mod oidc;
mod permissions;
mod preflights;
mod production;
mod rds;
mod rollout;
mod s3_cloudfront;
mod s3_journal;
#[cfg(feature = "demo")]
mod s3_journal_release;
#[cfg(feature = "demo")]
mod ways_in;
mod worlds;
