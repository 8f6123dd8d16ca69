//! Adapters of the `command` port.

#[cfg(feature = "http")]
pub mod http;
pub mod run;
pub mod sql;
