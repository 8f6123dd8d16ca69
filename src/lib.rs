//! tidegate: staged production releases from CI.

pub mod adapter;
pub mod cli;
pub mod config;
#[cfg(all(feature = "demo", unix))]
pub mod demo;
pub mod document;
pub mod domain;
pub mod engine;
pub mod error;
pub mod platform;
pub mod port;
pub mod registry;
pub mod report;
