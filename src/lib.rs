//! tidegate: staged production releases from CI.

pub mod adapter;
pub mod cli;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod document;
pub mod domain;
pub mod engine;
pub mod error;
pub mod port;
pub mod registry;
pub mod report;
