//! Adapters of the `metric` port.

#[cfg(feature = "aws")]
pub mod cloudwatch;
#[cfg(feature = "http")]
pub mod exposition;
pub mod haproxy;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http")]
mod memory;
#[cfg(feature = "http")]
pub mod prometheus;
#[cfg(feature = "http")]
pub mod scrape;
#[cfg(feature = "http")]
mod selector;
pub mod sql;
pub mod target;
#[cfg(feature = "http")]
mod wanted;
