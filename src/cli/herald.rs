//! Tells those that hear of a release how it goes: while the command runs, and when it has ended.
//!
//! Best effort, and bounded: nobody who does not answer holds a release up, changes its result, or keeps the
//! process from ending. News of one release are told to each in their order.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    config::Hearer,
    domain::{
        history::Release,
        names::{Attempt, EnvironmentName, UnitName},
        record::Event,
        share::Split,
        verdict::Verdict,
    },
    engine::{
        outcome::{Changed, State},
        stop::Stop,
    },
    port::{Clock, Context, News, Occasion, Posted, Progress, Watching},
    report::{
        escape::markdown,
        result::{CommandResult, NOT_TOLD},
    },
};

/// One who does not answer in this time is not told.
const POST_LIMIT: Duration = Duration::from_secs(10);
/// What is under way when the command has ended gets so long in all.
const END_LIMIT: Duration = Duration::from_secs(30);
/// After a signal the process has to be out within seconds.
const HASTY_LIMIT: Duration = Duration::from_millis(150);

/// The listener for progress that passes it all on, and tells the news in it.
pub(super) struct Herald {
    inner: Arc<dyn Progress>,
    /// What all news of this command have in common.
    unit: UnitName,
    environment: EnvironmentName,
    log: Option<String>,
    clock: Arc<dyn Clock>,
    news: mpsc::UnboundedSender<News>,
    telling: JoinHandle<Told>,
    /// The split that was told last.
    told: Mutex<Option<Split>>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By adapter: what it made or updated last.
    pub posted: BTreeMap<&'static str, Posted>,
    /// For people: what was made, and what could not be told.
    pub lines: Vec<String>,
}

impl Herald {
    /// `None`: nobody hears.
    pub fn new(
        inner: Arc<dyn Progress>,
        hearers: Vec<Hearer>,
        (unit, environment): (UnitName, EnvironmentName),
        log: Option<String>,
        clock: Arc<dyn Clock>,
    ) -> Option<Herald> {
        if hearers.is_empty() {
            return None;
        }
        let (news, coming) = mpsc::unbounded_channel();
        let telling = tokio::spawn(tell(hearers, coming, clock.clone()));
        Some(Herald { inner, unit, environment, log, clock, news, telling, told: Mutex::default() })
    }

    fn send(&self, occasion: Occasion, attempt: &Attempt, sentence: &str, page: String) {
        let news = News {
            occasion,
            unit: self.unit.clone(),
            environment: self.environment.clone(),
            attempt: attempt.clone(),
            sentence: sentence.into(),
            log: self.log.clone(),
            page,
        };
        // Nobody hears any more once the command has ended.
        let _ = self.news.send(news);
    }

    /// Tells what is news while the command runs.
    fn on_the_way(&self, occasion: Occasion, release: &Release, sentence: &str) {
        self.send(occasion, &release.attempt, sentence, markdown(sentence));
    }

    /// Tells how the command ended, and waits for what is under way. `page` is the whole story.
    pub async fn end(
        self,
        result: &CommandResult,
        attempt: Option<&Attempt>,
        page: &str,
        stop: &Stop,
    ) -> Told {
        if let (Some(attempt), Some(occasion)) = (attempt, occasion(result)) {
            self.send(occasion, attempt, &result.sentence, page.into());
        }
        drop(self.news);
        let cx = Context::new(self.clock, END_LIMIT);
        let signalled = async {
            stop.signal().await;
            cx.clock().sleep(HASTY_LIMIT).await;
        };
        let told = tokio::select! {
            told = cx.bounded(self.telling) => told.ok(),
            () = signalled => None,
        };
        match told {
            Some(Ok(told)) => told,
            Some(Err(died)) => Told::line(format!("{NOT_TOLD} all of the release: {died}")),
            None => {
                Told::line(format!("{NOT_TOLD} all of the release in time; that changes nothing about it"))
            }
        }
    }
}

impl Told {
    fn line(line: String) -> Told {
        Told { lines: vec![line], ..Told::default() }
    }
}

/// What the end of a command is news of.
fn occasion(result: &CommandResult) -> Option<Occasion> {
    let changed = result.changed != Changed::None;
    let failed = result.verdict == Some(Verdict::Fail);
    match result.state {
        State::RolledBack if changed => Some(Occasion::RolledBack),
        State::Finished if changed => Some(Occasion::Finished),
        State::Finished if failed => Some(Occasion::Recheck),
        State::Stuck => Some(Occasion::Stuck),
        _ if result.exit_code == 20 => Some(Occasion::Stuck),
        _ if failed || result.exit_code == 16 => Some(Occasion::Fail),
        _ => result.checks.iter().any(|check| check.warned).then_some(Occasion::Warn),
    }
}

async fn tell(
    hearers: Vec<Hearer>,
    mut coming: mpsc::UnboundedReceiver<News>,
    clock: Arc<dyn Clock>,
) -> Told {
    let mut told = Told::default();
    // who did not hear is left alone until the end, which matters most
    let mut deaf = BTreeSet::new();
    while let Some(news) = coming.recv().await {
        let on_the_way = matches!(news.occasion, Occasion::Opened | Occasion::Stage);
        for hearer in hearers.iter().filter(|hearer| hearer.events.contains(&news.occasion)) {
            if on_the_way && deaf.contains(&hearer.name) {
                continue;
            }
            let cx = Context::new(clock.clone(), POST_LIMIT);
            let answer = cx.bounded(hearer.notifier.post(&cx, &news)).await;
            match answer {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(posted))) => {
                    if let (Some(url), true) = (&posted.url, told.posted.get(hearer.kind) != Some(&posted)) {
                        told.lines.push(format!("{}: {url}", hearer.name));
                    }
                    told.posted.insert(hearer.kind, posted);
                }
                Ok(Err(fault)) => {
                    deaf.insert(&hearer.name);
                    let hint = fault.hint.as_ref().map_or(String::new(), |hint| format!("; {hint}"));
                    told.lines.push(format!("{} was {NOT_TOLD}: {fault}{hint}", hearer.name));
                }
                Err(late) => {
                    deaf.insert(&hearer.name);
                    told.lines.push(format!("{} was {NOT_TOLD}: no answer within {:?}", hearer.name, late.0));
                }
            }
        }
    }
    let mut seen = BTreeSet::new();
    told.lines.retain(|line| seen.insert(line.clone()));
    told
}

impl Progress for Herald {
    fn line(&self, line: &str) {
        self.inner.line(line);
    }

    fn output(&self, step: &str, line: &str) {
        self.inner.output(step, line);
    }

    fn waiting(&self, subject: &str, text: &str) {
        self.inner.waiting(subject, text);
    }

    fn watching(&self, state: &Watching<'_>) {
        self.inner.watching(state);
    }

    /// A split that moved on is news at once; how the command ends is told at its end.
    fn recorded(&self, event: &Event, release: &Release) {
        self.inner.recorded(event, release);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Opened(_) => {
                *told = Some(release.split.clone());
                self.on_the_way(Occasion::Opened, release, &format!("{} is open", release.attempt));
            }
            Event::Confirmed { .. } | Event::Adopted { .. }
                if !release.undoing
                    && told.get_or_insert_with(|| release.origin_split()) != &release.split =>
            {
                *told = Some(release.split.clone());
                let shares: Vec<String> =
                    release.split.iter().map(|(target, share)| format!("{target} {share}")).collect();
                self.on_the_way(Occasion::Stage, release, &format!("at {}", shares.join(", ")));
            }
            _ => {}
        }
    }
}
