//! Adapters of the `notifier` port.

#[cfg(feature = "github")]
pub mod github_deployment;
#[cfg(feature = "github")]
pub mod github_issue;
