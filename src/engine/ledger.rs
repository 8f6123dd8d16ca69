//! The journal in use: loading, appending, the lease and its fencing.
//!
//! A lease is a record. Its holder gives signs of life by appending; a taker waits until the head has
//! not changed for the lease plus one call deadline on its *own* clock. A time written in a record never
//! decides. Before each write to a provider the holder reads the head again (`fence`).

use std::{sync::Arc, time::Duration};

use super::{
    Engine,
    outcome::{Moment, State},
    stop::Stop,
};
use crate::{
    domain::{
        history::History,
        names::ReleaseName,
        record::{Closing, Event, FORMAT, Holder, Record},
    },
    error::{Failure, Told},
    port::{Appended, Clock, Context, Fault, Journal, Progress, Treat, veil::veiled},
};

/// The journal of one invocation.
pub struct Ledger<'a> {
    journal: &'a dyn Journal,
    clock: Arc<dyn Clock>,
    holder: Holder,
    call: Duration,
    progress: &'a dyn Progress,
    pub history: History,
    /// When the lease was last renewed, on `clock.elapsed()`.
    renewed: Option<Duration>,
    /// The lease was taken from somebody who had not released it.
    pub preempted: bool,
}

/// Appends that lost a race are repeated this often; each time somebody else got something done.
const RACES_MAX: usize = 32;
/// A lease lasts at least as long as this many calls.
const LEASE_CALLS: u64 = 3;
const APPEND_TRIES: u32 = 4;
/// A holder is looked at this often while its lease is waited out; long leases belong to journals where a look
/// costs something.
const LOOK_FIRST: Duration = Duration::from_millis(500);
const LEASE_LOOKS: u32 = 60;

impl<'a> Ledger<'a> {
    /// Loads the newest attempt.
    pub async fn load(engine: &Engine<'a>) -> Result<Self, Failure> {
        let mut ledger = Ledger {
            journal: engine.unit.journal.as_ref(),
            clock: engine.clock.clone(),
            holder: engine.holder.clone(),
            call: engine.timing.call,
            progress: engine.progress,
            history: History::default(),
            renewed: None,
            preempted: false,
        };
        ledger.reload().await?;
        ledger.tell(engine);
        Ok(ledger)
    }

    fn cx(&self) -> Context {
        Context::new(self.clock.clone(), self.call)
    }

    fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds())
    }

    /// A lease outlives the slowest call by far.
    fn lease_seconds(&self) -> u64 {
        self.journal.lease_seconds().max(self.call.as_secs().saturating_mul(LEASE_CALLS))
    }

    async fn read<T>(&self, what: &str, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Failure> {
        let answer = self.cx().bounded(work).await;
        let answer = answer.unwrap_or_else(|late| Err(self.late(what, late.0, Treat::Temporary)));
        answer.map_err(|fault| Failure::before_any_write(&fault))
    }

    fn late(&self, what: &str, after: Duration, treat: Treat) -> Fault {
        Fault::new(treat, "journal", what, self.journal.place(), format!("no answer within {after:?}"))
    }

    async fn reload(&mut self) -> Result<(), Failure> {
        let cx = self.cx();
        let head = self.read("read the head", self.journal.head(&cx)).await?;
        self.history = match head {
            None => History::default(),
            Some(head) => {
                let records =
                    self.read("load the records", self.journal.load(&cx, head.opened.max(1))).await?;
                History::replay(&records)?
            }
        };
        Ok(())
    }

    /// Reads what others appended since.
    async fn catch_up(&mut self) -> Result<Vec<Record>, Failure> {
        let cx = self.cx();
        let records = self.read("load the records", self.journal.load(&cx, self.history.last + 1)).await?;
        for record in &records {
            self.history.push(record)?;
        }
        Ok(records)
    }

    /// Reads what others appended since, if the head has moved.
    pub async fn refresh(&mut self) -> Result<(), Failure> {
        let cx = self.cx();
        let head = self.read("read the head", self.journal.head(&cx)).await?;
        let seq = head.as_ref().map_or(0, |r| r.seq);
        if seq < self.history.last {
            return Err(Failure::Step(Told::new(
                format!(
                    "the journal has lost records: its head is {seq} and was {}; this run writes nothing more",
                    self.history.last
                ),
                format!(
                    "find out what happened to {}; `tidegate rollback --to-baseline SIDE` works without it",
                    self.journal.place()
                ),
            )));
        }
        if head.as_ref().map(|r| &r.nonce) != self.history.head.as_ref() {
            self.catch_up().await?;
        }
        Ok(())
    }

    /// All records from the first one on: what was ever here.
    pub async fn everything(&self) -> Result<Vec<Record>, Failure> {
        let cx = self.cx();
        self.read("load all records", self.journal.load(&cx, 1)).await
    }

    /// Puts what the journal says into the report's facts.
    pub fn tell(&self, engine: &Engine<'_>) {
        let mut facts = engine.facts();
        let Some(release) = &self.history.release else { return };
        let other = |asked: &ReleaseName| asked != release.name();
        if release.closed.is_some() && engine.options.release.as_ref().is_some_and(other) {
            return;
        }
        facts.attempt = Some(release.attempt.clone());
        facts.split = release.split.clone();
        facts.snapshots = release.snapshots.clone();
        facts.hotfix = release.hotfix.clone();
        facts.baseline_version = release.opened.baseline_version();
        facts.timeline = (release.course.iter())
            .map(|stood| Moment { at: stood.at, split: stood.split.clone() })
            .collect();
        facts.state = match &release.closed {
            None if release.stuck.is_some() => State::Stuck,
            None => State::Open,
            Some(closed) if closed.how == Closing::RolledBack => State::RolledBack,
            Some(closed) if closed.how == Closing::Abandoned => State::None,
            Some(_) => State::Finished,
        };
    }

    /// Takes the lease, waiting for a holder that gives no sign of life.
    pub async fn acquire(&mut self, stop: &Stop, progress: &dyn Progress) -> Result<(), Failure> {
        for _ in 0..RACES_MAX {
            stop.check()?;
            match &self.history.lease {
                Some(lease) if lease.holder.process != self.holder.process => {
                    let holder = lease.holder.clone();
                    self.outwait(&holder, stop, progress).await?;
                }
                _ => {}
            }
            let seconds = self.lease_seconds();
            if self.try_append(Event::Lease { seconds }).await?.is_some() {
                return Ok(());
            }
            self.catch_up().await?;
            if let Some(lease) = &self.history.lease
                && lease.holder.process != self.holder.process
            {
                return Err(held(&lease.holder));
            }
        }
        Err(Failure::Bug("the lease was contended more often than can be".into()))
    }

    /// Returns when the holder has given no sign of life for long enough, or has released. What others
    /// append, such as a watch, is no sign of its life.
    async fn outwait(
        &mut self,
        holder: &Holder,
        stop: &Stop,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let patience = self.lease() + self.call;
        let began = self.clock.elapsed();
        loop {
            let waited = self.clock.elapsed().saturating_sub(began);
            if waited >= patience {
                progress
                    .line(&format!("took over the lease of {}: no sign of life for {patience:?}", holder));
                return Ok(());
            }
            let left = patience - waited;
            progress.waiting(
                "lease",
                &format!(
                    "{} is at work; this run waits, and goes on in {} s if that one gives no sign of life",
                    holder,
                    left.as_secs()
                ),
            );
            let pause = LOOK_FIRST.max(self.lease() / LEASE_LOOKS).min(self.lease() / 4);
            stop.pause(self.clock.as_ref(), left.min(pause)).await?;
            let cx = self.cx();
            let head = self.read("read the head", self.journal.head(&cx)).await?;
            if head.as_ref().map(|r| &r.nonce) == self.history.head.as_ref() {
                continue;
            }
            let news = self.catch_up().await?;
            match &self.history.lease {
                None => return Ok(()),
                Some(lease) if lease.holder.process == self.holder.process => return Ok(()),
                Some(lease)
                    if lease.holder.process != holder.process
                        || news.iter().any(|r| r.holder.process == holder.process) =>
                {
                    return Err(held(&lease.holder));
                }
                Some(_) => {}
            }
        }
    }

    /// Takes the lease at once: a rollback never waits. `false`: the attempt it was meant for was closed
    /// before that.
    pub async fn preempt(&mut self, reason: &str) -> Result<bool, Failure> {
        let opened = self.history.opened_seq();
        let seconds = self.lease_seconds();
        for _ in 0..RACES_MAX {
            let foreign =
                self.history.lease.as_ref().is_some_and(|l| l.holder.process != self.holder.process);
            if self.try_append(Event::Preempt { seconds, reason: reason.into() }).await?.is_some() {
                self.preempted = foreign;
                return Ok(true);
            }
            self.catch_up().await?;
            if self.history.open().is_none_or(|r| r.attempt.opened != opened) {
                return Ok(false);
            }
        }
        Err(Failure::Bug("the journal was contended more often than can be".into()))
    }

    /// Gives the lease back. Best effort: a lease that is not released runs out.
    pub async fn release(&mut self) {
        for _ in 0..RACES_MAX {
            if self.renewed.is_none() || self.still_ours().is_err() {
                break;
            }
            match self.try_append(Event::Released).await {
                Ok(None) if self.catch_up().await.is_ok() => {}
                _ => break,
            }
        }
        self.renewed = None;
    }

    /// Leaves the lease to run out: a write of this run may still land.
    pub fn keep_lease(&mut self) {
        self.renewed = None;
    }

    /// Proves, right before a write to a provider, that this process may still act and will for as long as
    /// the write can take.
    pub async fn fence(&mut self) -> Result<(), Failure> {
        self.refresh().await?;
        self.still_ours()?;
        let age = self.renewed.map_or(Duration::MAX, |at| self.clock.elapsed().saturating_sub(at));
        if age.saturating_add(self.call) >= self.lease() {
            self.beat().await?;
        }
        Ok(())
    }

    fn still_ours(&self) -> Result<(), Failure> {
        match &self.history.lease {
            Some(lease) if lease.holder.process == self.holder.process => Ok(()),
            Some(lease) => Err(held(&lease.holder)),
            None => {
                Err(Failure::Held(Told::new("the lease of this run was ended", "run the same command again")))
            }
        }
    }

    /// A sign of life.
    pub async fn beat(&mut self) -> Result<(), Failure> {
        let seconds = self.lease_seconds();
        self.append(Event::Lease { seconds }).await.map(|_| ())
    }

    /// How often to give a sign of life during long work.
    pub fn heartbeat(&self) -> Duration {
        self.lease() / 3
    }

    /// Appends under the lease; returns the record's number.
    pub async fn append(&mut self, event: Event) -> Result<u64, Failure> {
        for _ in 0..RACES_MAX {
            if let Some(seq) = self.try_append(event.clone()).await? {
                return Ok(seq);
            }
            let news = self.catch_up().await?;
            self.still_ours()?;
            // A watch may append beside the holder. Anything else is a late record of an earlier run, and
            // what this run is about to say rests on a history that is not the one any more.
            let ours = |r: &Record| r.holder.process == self.holder.process;
            if news.iter().any(|r| !ours(r) && !matches!(r.event, Event::Watched(_) | Event::Judged { .. })) {
                return Err(Failure::Held(Told::new(
                    "a record of an earlier run came in late; this run changed nothing more",
                    "run the same command again: it goes on from there",
                )));
            }
        }
        Err(Failure::Bug("the journal was contended more often than can be".into()))
    }

    /// Appends a record that rests on everything before it. `None`: somebody else appended first; what it
    /// was is in the history now, and the caller decides again.
    pub async fn append_next(&mut self, event: Event) -> Result<Option<u64>, Failure> {
        let appended = self.try_append(event).await?;
        if appended.is_none() {
            self.catch_up().await?;
            self.still_ours()?;
        }
        Ok(appended)
    }

    /// Appends without a lease: what a watch saw. Ends when the split it watched is no longer the one.
    pub async fn append_watch(&mut self, since: u64, event: Event) -> Result<u64, Failure> {
        for _ in 0..RACES_MAX {
            let open = self.history.open().is_some_and(|r| r.watched_still(since));
            if !open {
                return Err(Failure::Held(Told::new(
                    "another run moved the traffic while this one watched; what was seen says nothing about the new split",
                    "`tidegate status` tells where the release stands",
                )));
            }
            if let Some(seq) = self.try_append(event.clone()).await? {
                return Ok(seq);
            }
            self.catch_up().await?;
        }
        Err(Failure::Bug("the journal was contended more often than can be".into()))
    }

    /// Appends without a lease what was seen of an attempt that is closed. Ends when another one was opened.
    pub async fn append_after(&mut self, attempt: u64, event: Event) -> Result<u64, Failure> {
        for _ in 0..RACES_MAX {
            if self.history.opened_seq() != attempt {
                return Err(Failure::Held(Told::new(
                    "another release was opened meanwhile: nothing was recorded of the one before",
                    "`tidegate status` tells where it stands",
                )));
            }
            if let Some(seq) = self.try_append(event.clone()).await? {
                return Ok(seq);
            }
            self.catch_up().await?;
        }
        Err(Failure::Bug("the journal was contended more often than can be".into()))
    }

    /// One append; `None` on a conflict. A lost answer is resolved by reading the number again.
    async fn try_append(&mut self, event: Event) -> Result<Option<u64>, Failure> {
        let record = self.record(event)?;
        // A record that no one could replay would shut the journal for good.
        self.history.clone().push(&record).map_err(|corrupt| {
            Failure::Bug(format!("a record that cannot be replayed was not written: {corrupt}"))
        })?;
        let cx = self.cx();
        let began = self.clock.elapsed();
        let mut wait = Duration::from_millis(50);
        for attempt in 1.. {
            let answer = cx.bounded(self.journal.append(&cx, &record)).await;
            let fault = match answer
                .unwrap_or_else(|t| Err(self.late("append a record", t.0, Treat::OutcomeUnknown)))
            {
                Ok(Appended::Done) => return self.accept(record, began),
                Ok(Appended::Conflict) => return self.ours_after_all(&cx, record, began).await,
                Err(fault) => fault,
            };
            if let Ok(Ok(Some(found))) = cx.bounded(self.journal.read(&cx, record.seq)).await {
                return if found.nonce == record.nonce { self.accept(record, began) } else { Ok(None) };
            }
            if fault.treat == Treat::Permanent || attempt >= APPEND_TRIES || cx.left() <= wait {
                return Err(Failure::before_any_write(&fault));
            }
            self.clock.sleep(wait).await;
            wait *= 2;
        }
        Ok(None)
    }

    /// A conflict may be with our own record, when an earlier answer was lost on the way.
    async fn ours_after_all(
        &mut self,
        cx: &Context,
        record: Record,
        began: Duration,
    ) -> Result<Option<u64>, Failure> {
        let found = self.read("read the record", self.journal.read(cx, record.seq)).await?;
        match found {
            Some(found) if found.nonce == record.nonce => self.accept(record, began),
            _ => Ok(None),
        }
    }

    /// The lease is reckoned from before the append: a taker may have seen the record long before its answer.
    fn accept(&mut self, record: Record, began: Duration) -> Result<Option<u64>, Failure> {
        self.history.push(&record)?;
        if self.history.lease.as_ref().is_some_and(|l| l.holder.process == self.holder.process) {
            self.renewed = Some(began);
        }
        if let Some(release) = &self.history.release {
            self.progress.recorded(&record.event, release);
        }
        Ok(Some(record.seq))
    }

    fn record(&self, mut event: Event) -> Result<Record, Failure> {
        // what others said may hold a secret that they were given
        event.texts().for_each(|text| *text = veiled(text).into_owned());
        let seq = self.history.last + 1;
        let opened = if matches!(event, Event::Opened(_)) { seq } else { self.history.opened_seq() };
        let nonce = nonce()?;
        Ok(Record {
            format: FORMAT,
            seq,
            opened,
            at: self.clock.now(),
            nonce,
            holder: self.holder.clone(),
            event,
        })
    }
}

/// Sixteen random bytes in hex.
pub fn nonce() -> Result<String, Failure> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| Failure::Bug(format!("no randomness from the system: {e}")))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn held(holder: &Holder) -> Failure {
    let log = holder.log.as_ref().map_or(String::new(), |log| format!(" ({log})"));
    Failure::Held(Told::new(
        format!("another run holds the lease: {}{log}; this run changed nothing more", holder),
        "wait for it, or `tidegate rollback`, which takes the lease from it",
    ))
}
