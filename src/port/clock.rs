//! Time as an argument.

use async_trait::async_trait;
use jiff::Timestamp;
use std::time::Duration;

/// The only source of time in the engine.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock: for records and people. It may jump and differ between machines.
    fn now(&self) -> Timestamp;

    /// Time since this process began; never goes back. Deadlines and waits are reckoned in it.
    fn elapsed(&self) -> Duration;

    async fn sleep(&self, duration: Duration);
}

/// The machine's clock.
pub struct SystemClock {
    start: std::time::Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn default() -> Self {
        SystemClock { start: std::time::Instant::now() }
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
