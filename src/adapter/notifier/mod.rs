//! Adapters of the `notifier` port.

use crate::port::News;

#[cfg(feature = "github")]
pub mod github_deployment;
#[cfg(feature = "github")]
pub mod github_issue;

/// What tells this attempt from every other one, here and in other environments: `shop/production/v1.2.3#12`.
fn mark(news: &News) -> String {
    format!("{}/{}/{}", news.unit, news.environment, news.attempt)
}
