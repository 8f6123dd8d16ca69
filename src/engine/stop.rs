//! Ending early, at a safe point.

use std::time::Duration;
use tokio::sync::watch;

use crate::{
    error::{Failure, Signal, Told},
    port::Clock,
};

/// How long a call in flight may go on after a signal. The process is out within 5 s.
pub const GRACE: Duration = Duration::from_secs(4);

/// Whether a signal came. Cheap to clone.
#[derive(Clone)]
pub struct Stop(watch::Receiver<Option<Signal>>);

/// The other end: the one that hears the signal.
pub struct Stopper(watch::Sender<Option<Signal>>);

impl Stopper {
    pub fn stop(&self, signal: Signal) {
        self.0.send_replace(Some(signal));
    }
}

/// A pair that belongs together.
pub fn pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(None);
    (Stopper(sender), Stop(receiver))
}

impl Stop {
    /// One that never comes.
    pub fn never() -> Self {
        pair().1
    }

    pub fn requested(&self) -> Option<Signal> {
        *self.0.borrow()
    }

    /// Ends the command here if a signal came: nothing is in flight.
    pub fn check(&self) -> Result<(), Failure> {
        self.requested().map_or(Ok(()), |signal| Err(interrupted(signal)))
    }

    /// Waits, or ends the command if a signal comes first.
    pub async fn pause(&self, clock: &dyn Clock, duration: Duration) -> Result<(), Failure> {
        self.check()?;
        tokio::select! {
            biased;
            signal = self.signal() => Err(interrupted(signal)),
            () = clock.sleep(duration) => Ok(()),
        }
    }

    /// Resolves when a signal comes; never otherwise.
    pub async fn signal(&self) -> Signal {
        let mut receiver = self.0.clone();
        loop {
            if let Some(signal) = *receiver.borrow_and_update() {
                return signal;
            }
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Runs work that may be dropped, until a signal comes.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            signal = self.signal() => Err(interrupted(signal)),
        }
    }

    /// Runs a write: after a signal it is given [`GRACE`] to answer. `None`: it did not.
    pub async fn or_grace<T>(&self, clock: &dyn Clock, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = async { self.signal().await; clock.sleep(GRACE).await } => None,
        }
    }
}

/// The failure that says so.
pub fn interrupted(signal: Signal) -> Failure {
    Failure::Interrupted {
        signal,
        told: Told::new(
            "the journal has all that was done",
            "run the same command again: it goes on; or `tidegate rollback`",
        ),
    }
}
