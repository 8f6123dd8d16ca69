//! Adapters of the `target` port.

#[cfg(feature = "aws")]
pub mod ecs_alb;
#[cfg(feature = "aws")]
pub mod ecs_rolling;
pub mod haproxy;
#[cfg(feature = "aws")]
pub mod lambda;
#[cfg(feature = "http")]
pub mod probed;
#[cfg(feature = "aws")]
pub mod s3_cloudfront;
