//! Under what conditions a call runs.

use std::{future::Future, sync::Arc, time::Duration};

use super::Clock;

/// The deadline of a call and the clock it is reckoned on.
#[derive(Clone)]
pub struct Context {
    clock: Arc<dyn Clock>,
    /// On `clock.elapsed()`.
    deadline: Duration,
}

/// The deadline passed before the call answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut(pub Duration);

impl Context {
    /// A context that ends `limit` from now.
    pub fn new(clock: Arc<dyn Clock>, limit: Duration) -> Self {
        let deadline = clock.elapsed().saturating_add(limit);
        Context { clock, deadline }
    }

    /// The same, ending at the latest `limit` from now.
    pub fn within(&self, limit: Duration) -> Self {
        let deadline = self.deadline.min(self.clock.elapsed().saturating_add(limit));
        Context { clock: self.clock.clone(), deadline }
    }

    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// What is left until the deadline.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_sub(self.clock.elapsed())
    }

    /// Runs `work` until it is done or the deadline has passed.
    pub async fn bounded<T>(&self, work: impl Future<Output = T>) -> Result<T, TimedOut> {
        let limit = self.left();
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.clock.sleep(limit) => Err(TimedOut(limit)),
        }
    }
}
