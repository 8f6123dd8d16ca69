//! Adapters of the `target` port.

pub mod haproxy;
#[cfg(feature = "http")]
pub mod probed;
