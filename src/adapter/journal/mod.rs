//! Adapters of the `journal` port.

pub mod file;
#[cfg(feature = "aws")]
pub mod s3;
