//! What is told while a command runs.

use std::time::Duration;

use crate::domain::{history::Release, record::Event, share::Split, verdict::Judgement};

/// Listener for progress; how it looks is the report's business. Never fails.
pub trait Progress: Send + Sync {
    /// A finished fact: `snapshot main: 12.4 MiB in 1.2 s`.
    fn line(&self, line: &str);

    /// A line that a step printed.
    fn output(&self, step: &str, line: &str);

    /// Something is being waited for; replaces what was said before of the same subject.
    fn waiting(&self, subject: &str, text: &str);

    /// The state of a watch after a poll.
    fn watching(&self, state: &Watching<'_>);

    /// A record of this run was appended; `release` is how it stands with it.
    fn recorded(&self, _event: &Event, _release: &Release) {}
}

/// A watch after its newest poll.
#[derive(Clone, Debug)]
pub struct Watching<'a> {
    pub split: &'a Split,
    /// Until the verdict may be `pass`.
    pub left: Duration,
    pub watched: Duration,
    pub judgements: &'a [Judgement],
    /// Sources that could not be read at this poll.
    pub unreadable: &'a [String],
}

/// Says nothing.
pub struct Silent;

impl Progress for Silent {
    fn line(&self, _: &str) {}
    fn output(&self, _: &str, _: &str) {}
    fn waiting(&self, _: &str, _: &str) {}
    fn watching(&self, _: &Watching<'_>) {}
}
