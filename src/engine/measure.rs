//! Asking the metric sources: one call per source and poll, all sources at the same time.

use futures_util::future::join_all;
use jiff::Timestamp;
use std::{collections::BTreeMap, time::Duration};

use super::{
    Engine,
    unit::{CheckEntry, Service},
};
use crate::{
    domain::{
        decision::World,
        history::Release,
        names::{EntryName, Role, TargetName},
        record::{Cursors, Evidence, Opened, Origin},
        sample::Sample,
        share::Share,
    },
    port::{Ask, Fault, Reach, Window, metric::Measured},
};

/// Two whole intervals of a source that tells with a delay, and one that had begun.
const TOLD_LATE: Duration = Duration::from_secs(180);

/// What one round of asking brought.
#[derive(Default)]
pub(crate) struct Round {
    /// Answers by check, target and role; a check that could not be read is in `unreadable` instead.
    pub samples: BTreeMap<(EntryName, TargetName), Pair>,
    pub unreadable: BTreeMap<EntryName, Fault>,
    pub cursors: Cursors,
    /// Sources that answered.
    pub answered: Vec<String>,
}

/// Both roles' samples of one check and target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pair {
    pub candidate: Sample,
    pub baseline: Sample,
}

/// What the sources are asked about.
pub(crate) struct Scene<'a> {
    pub release: Option<&'a Release>,
    pub origins: &'a BTreeMap<TargetName, Origin>,
    pub world: &'a World,
    pub asking: Asking,
}

impl Scene<'_> {
    /// What is under test is judged by what came after its split was confirmed.
    fn not_before(&self) -> Option<Timestamp> {
        self.release.filter(|_| self.asking == Asking::UnderTest).map(|release| release.split_at)
    }
}

/// Whom the sources are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    /// What is under test, and the baseline where it has traffic.
    UnderTest,
    /// The baseline, whatever traffic it has, and what is asked of the whole.
    Standing,
}

impl Engine<'_> {
    /// Asks all sources. `since` says when each last answered: an interval in which one could not be read is
    /// part of its next answer.
    pub(crate) async fn measure(
        &self,
        scene: &Scene<'_>,
        since: &dyn Fn(&str) -> Timestamp,
        cursors: &Cursors,
    ) -> Round {
        let now = self.clock.now();
        let jobs = self.unit.sources.iter().filter_map(|(name, source)| {
            let asks = self.asks(scene, name);
            if asks.is_empty() {
                return None;
            }
            let lag = source.lag();
            let from = since(name);
            let window = Window {
                from: from.checked_sub(lag).unwrap_or(from),
                to: now.checked_sub(lag).unwrap_or(now),
                not_before: scene.not_before(),
            };
            let cursor = cursors.get(name);
            Some(async move {
                let cx = self.call();
                let answer = cx.bounded(source.measure(&cx, &asks, window, cursor)).await;
                let answer = answer.unwrap_or_else(|late| {
                    Err(Fault::temporary(
                        "metrics",
                        "read",
                        name.clone(),
                        format!("no answer within {} s", late.0.as_secs()),
                    ))
                });
                (name.clone(), asks, answer)
            })
        });
        let mut round = Round { cursors: cursors.clone(), ..Round::default() };
        for (name, asks, answer) in join_all(jobs).await {
            match answer {
                Ok(measured) => {
                    round.answered.push(name.clone());
                    round.take(name, asks, measured);
                }
                Err(fault) => {
                    for ask in asks {
                        round.unreadable.insert(ask.check, fault.clone());
                    }
                }
            }
        }
        round
    }

    fn asks(&self, scene: &Scene<'_>, source: &str) -> Vec<Ask> {
        let mut asks = Vec::new();
        for entry in self.unit.checks.iter().filter(|c| c.source == source) {
            for service in self.chosen().filter(|s| entry.service.as_ref().is_none_or(|only| only == &s.name))
            {
                let Some(origin) = scene.origins.get(&service.name) else { continue };
                let tested = scene.asking == Asking::UnderTest;
                if tested && !self.under_test(scene.release, &service.name) {
                    continue;
                }
                match self.reach(entry, &service.name) {
                    Reach::None => {}
                    Reach::Whole => asks.push(self.ask(scene, entry, &service.name, origin, Role::Candidate)),
                    Reach::Sides => {
                        if tested {
                            asks.push(self.ask(scene, entry, &service.name, origin, Role::Candidate));
                        }
                        let share =
                            scene.world.get(&service.name).map_or(Share::NONE, |o| o.share(&origin.baseline));
                        if !tested || share > Share::NONE {
                            asks.push(self.ask(scene, entry, &service.name, origin, Role::Baseline));
                        }
                    }
                }
            }
        }
        asks
    }

    /// How long a stage is watched. One without a time of its own: until a source that tells with a delay has
    /// told of two whole intervals, and not at all where all sources tell at once.
    pub(crate) fn bake_or_least(&self, said: Duration) -> Duration {
        if !said.is_zero() {
            return said;
        }
        let decides = |entry: &&CheckEntry| !entry.check.fail.is_empty() && !entry.check.shadow;
        let checks = self.unit.checks.iter().filter(decides);
        let lags = checks.filter_map(|entry| Some(self.unit.sources.get(&entry.source)?.lag()));
        let longest = lags.max().unwrap_or_default();
        if longest.is_zero() { longest } else { longest + TOLD_LATE }
    }

    /// Whether a check has something to say of the present split: some service that it reaches is tested.
    pub(crate) fn applies(&self, release: &Release, entry: &CheckEntry) -> bool {
        let reached = |s: &&Service| {
            entry.service.as_ref().is_none_or(|only| only == &s.name)
                && self.reach(entry, &s.name) != Reach::None
        };
        let mut asked = self.chosen().filter(reached).peekable();
        // one that reaches nothing is told of as never answered
        asked.peek().is_none() || asked.any(|s| self.under_test(Some(release), &s.name))
    }

    /// The services that a check is asked of.
    pub(crate) fn reached_by(&self, entry: &CheckEntry) -> impl Iterator<Item = &Service> {
        self.chosen()
            .filter(|s| entry.service.as_ref().is_none_or(|only| only == &s.name))
            .filter(|s| self.reach(entry, &s.name) != Reach::None)
    }

    /// How many they are.
    pub(crate) fn targets_of(&self, entry: &CheckEntry) -> usize {
        self.reached_by(entry).count()
    }

    /// How a check applies to a service. A question about the whole is asked of one service; where the file
    /// narrows the check to another one, it is asked there.
    pub(super) fn reach(&self, entry: &CheckEntry, target: &TargetName) -> Reach {
        let Some(source) = self.unit.sources.get(&entry.source) else { return Reach::None };
        let check = &entry.check.name;
        let whole = || self.unit.services.iter().any(|s| source.reach(check, &s.name) == Reach::Whole);
        match source.reach(check, target) {
            Reach::None if entry.service.is_some() && whole() => Reach::Whole,
            reach => reach,
        }
    }

    fn ask(
        &self,
        scene: &Scene<'_>,
        entry: &CheckEntry,
        target: &TargetName,
        origin: &Origin,
        role: Role,
    ) -> Ask {
        let side = match role {
            Role::Candidate => &origin.candidate,
            Role::Baseline => &origin.baseline,
        };
        let seen = scene.world.get(target).and_then(|o| o.side(side));
        let version = seen.and_then(|s| s.version.as_deref());
        let labels = seen.map(|s| s.labels.clone()).unwrap_or_default();
        let words = self.words(scene.release, Some(target), Some(side), Some(role), version);
        let words =
            labels.iter().fold(words, |words, (name, value)| words.with(&format!("label.{name}"), value));
        Ask {
            check: entry.check.name.clone(),
            target: target.clone(),
            role,
            side: side.clone(),
            instances: seen.map(|s| s.instances.clone()).unwrap_or_default(),
            labels,
            words,
            opened: scene.release.map(|release| release.opened_at),
        }
    }

    /// Where the counters stand when a release opens. A source that cannot be read now says nothing.
    pub(crate) async fn first_cursors(&self, opened: &Opened) -> Cursors {
        if !self.unit.checks.iter().any(|c| c.check.remembers()) {
            return Cursors::new();
        }
        let world: World = opened
            .targets
            .iter()
            .map(|(t, o)| {
                let observed = crate::domain::observed::Observed {
                    sides: o.sides.clone(),
                    activity: crate::domain::observed::Activity::Idle,
                    notes: Vec::new(),
                };
                (t.clone(), observed)
            })
            .collect();
        let scene =
            Scene { release: None, origins: &opened.targets, world: &world, asking: Asking::Standing };
        self.measure(&scene, &|_| self.clock.now(), &Cursors::new()).await.cursors
    }

    /// What the baseline showed since `from`.
    pub(crate) async fn measure_once(
        &self,
        release: &Release,
        from: Timestamp,
        cursors: &Cursors,
    ) -> Evidence {
        let Ok(world) = self.observe_all().await else { return Evidence::new() };
        let scene = Scene {
            release: Some(release),
            origins: &release.opened.targets,
            world: &world,
            asking: Asking::Standing,
        };
        let round = self.measure(&scene, &|_| from, cursors).await;
        let mut evidence = Evidence::new();
        for ((check, target), pair) in round.samples {
            // of the whole there are no sides: what it was before is what it is compared with
            let before = if pair.baseline == Sample::Empty { pair.candidate } else { pair.baseline };
            // what is no number could not even be kept
            if before != Sample::Empty && before.is_number() {
                evidence.entry(check).or_default().insert(target, before);
            }
        }
        evidence
    }
}

impl Round {
    fn take(&mut self, source: String, asks: Vec<Ask>, measured: Measured) {
        if let Some(cursor) = measured.cursor {
            self.cursors.insert(source, cursor);
        }
        for (ask, answer) in asks.into_iter().zip(measured.samples) {
            match answer {
                Err(fault) => {
                    self.unreadable.insert(ask.check, fault);
                }
                Ok(sample) => {
                    let pair = self.samples.entry((ask.check, ask.target)).or_default();
                    match ask.role {
                        Role::Candidate => pair.candidate = sample,
                        Role::Baseline => pair.baseline = sample,
                    }
                }
            }
        }
    }
}
