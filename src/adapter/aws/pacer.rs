//! Keeps calls below what the account is allowed, once it has said that there is a limit.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::port::Context;

/// One pace per service: additive increase, multiplicative decrease. It begins with what went through in the
/// second before the first refusal, and with ten at least.
#[derive(Default)]
pub(super) struct Pacer(Mutex<HashMap<&'static str, Pace>>);

#[derive(Default)]
struct Pace {
    /// Calls per second; none until a call was refused.
    rate: Option<f64>,
    /// When the next call may start, on `clock.elapsed()`.
    next: Duration,
    /// When the rate was last lowered.
    lowered: Duration,
    /// Since when `through` is counted.
    counted: Duration,
    through: u32,
}

/// What most operations allow at least; too much is soon found out.
const RATE_FIRST: f64 = 10.0;
/// Calls per second that AWS allows of the slowest of its operations for sure.
const RATE_LEAST: f64 = 1.0;
/// Every answer raises the rate by this, so that it grows by a fiftieth in a second.
const RATE_GAIN: f64 = 0.02;
const RATE_CUT: f64 = 0.9;
const SECOND: Duration = Duration::from_secs(1);

impl Pacer {
    /// Waits for this call's turn.
    pub(super) async fn turn(&self, cx: &Context, service: &'static str) {
        let now = cx.clock().elapsed();
        let wait = {
            let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let pace = paces.entry(service).or_default();
            if pace.rate.is_none() && now.saturating_sub(pace.counted) >= SECOND {
                (pace.counted, pace.through) = (now, 0);
            }
            let Some(rate) = pace.rate else { return };
            let start = pace.next.max(now);
            pace.next = start + Duration::from_secs_f64(1.0 / rate);
            start.saturating_sub(now)
        };
        if !wait.is_zero() {
            cx.clock().sleep(wait.min(cx.left())).await;
        }
    }

    /// A call was refused for the rate.
    pub(super) fn throttled(&self, cx: &Context, service: &'static str) {
        let now = cx.clock().elapsed();
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = paces.entry(service).or_default();
        match pace.rate {
            None => {
                pace.rate = Some(f64::from(pace.through).max(RATE_FIRST));
                (pace.next, pace.lowered) = (now, now);
            }
            // one burst of refusals is one piece of news
            Some(rate) if now.saturating_sub(pace.lowered) >= SECOND => {
                pace.rate = Some((rate * RATE_CUT).max(RATE_LEAST));
                pace.lowered = now;
            }
            Some(_) => {}
        }
    }

    /// A call got through.
    pub(super) fn answered(&self, service: &'static str) {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = paces.entry(service).or_default();
        pace.through = pace.through.saturating_add(1);
        pace.rate = pace.rate.map(|rate| rate + RATE_GAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Clock;
    use async_trait::async_trait;
    use std::{cell::Cell, sync::Arc};
    use tokio::time::Instant;

    /// The runtime's clock, which stands still while anybody works and jumps when all wait.
    struct Virtual(Instant);

    #[async_trait]
    impl Clock for Virtual {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::UNIX_EPOCH
        }
        fn elapsed(&self) -> Duration {
            self.0.elapsed()
        }
        async fn sleep(&self, duration: Duration) {
            tokio::time::sleep(duration).await;
        }
    }

    /// Calls that get through at once, then `rate` a second.
    struct Bucket {
        rate: f64,
        most: f64,
        tokens: Cell<f64>,
        at: Cell<Duration>,
        refused: Cell<u32>,
    }

    impl Bucket {
        fn take(&self, now: Duration) -> bool {
            let flown = now.saturating_sub(self.at.replace(now)).as_secs_f64() * self.rate;
            self.tokens.set((self.tokens.get() + flown).min(self.most));
            let through = self.tokens.get() >= 1.0;
            match through {
                true => self.tokens.set(self.tokens.get() - 1.0),
                false => self.refused.set(self.refused.get() + 1),
            }
            through
        }
    }

    /// How long `calls` take, as a multiple of what the bucket allows, and how many are refused for each one.
    async fn paced(calls: u32, rate: f64, most: f64) -> (f64, f64) {
        let cx = Context::new(Arc::new(Virtual(Instant::now())), Duration::from_secs(100_000));
        let (at, refused) = (Cell::default(), Cell::default());
        let bucket = Bucket { rate, most, tokens: Cell::new(most), at, refused };
        let (pacer, left) = (Pacer::default(), Cell::new(calls));
        let worker = async || {
            while left.get() > 0 {
                left.set(left.get() - 1);
                let mut wait = Duration::from_millis(50);
                loop {
                    pacer.turn(&cx, "lambda").await;
                    cx.clock().sleep(Duration::from_millis(20)).await;
                    if bucket.take(cx.clock().elapsed()) {
                        break pacer.answered("lambda");
                    }
                    pacer.throttled(&cx, "lambda");
                    cx.clock().sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(1));
                }
            }
        };
        futures_util::future::join_all((0..16).map(|_| worker())).await;
        let least = (f64::from(calls) - most) / rate;
        (cx.clock().elapsed().as_secs_f64() / least, f64::from(bucket.refused.get()) / f64::from(calls))
    }

    #[tokio::test(start_paused = true)]
    async fn many_calls_take_hardly_longer_than_the_account_allows() {
        for (rate, most) in [(10.0, 10.0), (10.0, 1.0), (15.0, 15.0), (3.0, 3.0), (100.0, 100.0)] {
            let (ratio, refused) = paced(1000, rate, most).await;
            println!("{rate} a second, {most} at once: {ratio:.3} of the least time, {refused:.3} refused");
            assert!(ratio < 1.2, "{rate} a second, {most} at once: {ratio:.3}");
            assert!(refused < 0.2, "{rate} a second, {most} at once: {refused:.3} refused");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_who_was_never_refused() {
        let cx = Context::new(Arc::new(Virtual(Instant::now())), Duration::from_secs(10));
        let pacer = Pacer::default();
        for _ in 0..1000 {
            pacer.turn(&cx, "lambda").await;
            pacer.answered("lambda");
        }
        pacer.throttled(&cx, "lambda");
        pacer.turn(&cx, "ecs").await;
        assert_eq!(cx.clock().elapsed(), Duration::ZERO);
    }
}
