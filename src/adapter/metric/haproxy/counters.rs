//! Counters of servers, and what came between two looks at them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{adapter::haproxy_api::tables::Row, domain::names::TargetName};

/// What the last look saw, kept for the next one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    pub targets: BTreeMap<TargetName, Reading>,
}

/// All servers of a target at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub process: Process,
    pub servers: BTreeMap<String, Counters>,
}

/// Which HAProxy counted: a new process begins at nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u64,
    pub uptime_seconds: u64,
}

/// One row of `show stat`, as far as it is needed. All but the last three only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Requests the server answered (`req_tot`); none are told in `mode tcp`.
    pub answered: Option<u64>,
    /// Of these with a 5xx (`hrsp_5xx`).
    pub failed: u64,
    /// Requests for which no connection came about, after all retries (`econ`).
    pub unconnected: u64,
    /// Answers that were missing, unreadable, too late or cut off (`eresp`).
    pub broken: u64,
    /// Of these the ones cut off after their head, which are in `answered` too (`srv_abrt`).
    pub cut_off: u64,
    /// Tries, one or more for each request (`stot`).
    pub tries: u64,
    /// Tries that were followed by another one, here or at another server (`wretr`, `wredis`).
    pub tried_again: u64,
    /// Requests waiting for this server now (`qcur`).
    pub queued: u64,
    /// Sessions under way now (`scur`).
    pub sessions: u64,
    /// Mean time to answer of the last 1024 requests (`rtime`).
    pub response_ms: u64,
}

impl Counters {
    pub fn of(row: Row<'_>) -> Self {
        let number = |column| row.number(column).unwrap_or(0);
        Counters {
            answered: row.number("req_tot"),
            failed: number("hrsp_5xx"),
            unconnected: number("econ"),
            broken: number("eresp"),
            cut_off: number("srv_abrt"),
            tries: number("stot"),
            tried_again: number("wretr").saturating_add(number("wredis")),
            queued: number("qcur"),
            sessions: number("scur"),
            response_ms: number("rtime"),
        }
    }

    fn growing(&self) -> [u64; 7] {
        let answered = self.answered.unwrap_or(0);
        let Counters { failed, unconnected, broken, cut_off, tries, tried_again, .. } = *self;
        [answered, failed, unconnected, broken, cut_off, tries, tried_again]
    }

    /// What came since `before`; everything, where a counter has become smaller.
    fn since(&self, before: &Counters) -> Counters {
        let pairs = self.growing().into_iter().zip(before.growing());
        if pairs.into_iter().any(|(now, before)| now < before) {
            return self.clone();
        }
        Counters {
            answered: self.answered.map(|n| n - before.answered.unwrap_or(0)),
            failed: self.failed - before.failed,
            unconnected: self.unconnected - before.unconnected,
            broken: self.broken - before.broken,
            cut_off: self.cut_off - before.cut_off,
            tries: self.tries - before.tries,
            tried_again: self.tried_again - before.tried_again,
            ..self.clone()
        }
    }

    /// Requests that came to an end, each once.
    pub fn total(&self) -> u64 {
        let unanswered = self.broken.saturating_sub(self.cut_off);
        match self.answered {
            Some(answered) => answered.saturating_add(self.unconnected).saturating_add(unanswered),
            None => self.tries.saturating_sub(self.tried_again),
        }
    }

    /// Requests that ended badly, none counted twice: an answer cut off may have been a 5xx already, and
    /// HAProxy does not tell, so of these two only the larger number counts.
    pub fn bad(&self) -> u64 {
        let unanswered = self.broken.saturating_sub(self.cut_off);
        let answered_badly = self.failed.max(self.cut_off);
        self.unconnected.saturating_add(unanswered).saturating_add(answered_badly).min(self.total())
    }
}

impl Reading {
    /// What came since `before`, by server; everything, where another process counted.
    pub fn since(&self, before: &Reading) -> BTreeMap<&str, Counters> {
        let same = self.process.pid == before.process.pid
            && self.process.uptime_seconds >= before.process.uptime_seconds;
        let came = self.servers.iter().map(|(name, now)| {
            let before = before.servers.get(name).filter(|_| same);
            (name.as_str(), before.map_or_else(|| now.clone(), |before| now.since(before)))
        });
        came.collect()
    }
}

impl Process {
    pub fn of(info: &BTreeMap<&str, &str>) -> Self {
        let number = |name| info.get(name).and_then(|value| value.parse().ok()).unwrap_or(0);
        Process { pid: number("Pid"), uptime_seconds: number("Uptime_sec") }
    }
}
