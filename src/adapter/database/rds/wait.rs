//! Waiting for RDS, by our own deadline: the SDK's waiters give up after half an hour.

use std::time::Duration;

use crate::port::{Context, Fault, Progress};

const FIRST: Duration = Duration::from_secs(5);
const MOST: Duration = Duration::from_secs(30);
/// Kept for the last look, so that we and not the engine's deadline say what is left undone.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// The pauses between looks at something unfinished, longer and longer.
pub struct Pauses<'a> {
    cx: &'a Context,
    progress: &'a dyn Progress,
    subject: String,
    next: Duration,
}

impl<'a> Pauses<'a> {
    pub fn new(cx: &'a Context, progress: &'a dyn Progress, subject: String) -> Self {
        Pauses { cx, progress, subject, next: FIRST }
    }

    /// Tells how it stands and pauses; `late` when the deadline has come.
    pub async fn pause(&mut self, text: &str, late: &Fault) -> Result<(), Fault> {
        self.progress.waiting(&self.subject, text);
        let room = self.cx.left().saturating_sub(LAST_LOOK);
        if room.is_zero() {
            return Err(late.clone());
        }
        self.cx.clock().sleep(self.next.min(room)).await;
        self.next = (self.next + self.next / 2).min(MOST);
        Ok(())
    }
}
