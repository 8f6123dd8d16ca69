//! Every outside system, one file each, grouped by port.

#[cfg(feature = "aws")]
pub mod aws;
pub mod command;
pub mod database;
#[cfg(feature = "aws")]
pub mod ecs_api;
#[cfg(feature = "github")]
pub mod github;
pub mod haproxy_api;
pub mod journal;
pub mod metric;
pub mod notifier;
pub mod process;
pub mod sql_client;
pub mod target;
#[cfg(feature = "http")]
pub mod web;
