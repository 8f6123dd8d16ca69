//! One watch in one process: what it has gathered so far, whether its sources answer, whether the candidates are
//! healthy and the traffic goes where it was sent.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Engine,
    measure::Round,
    unit::{CheckEntry, Reaction},
};
use crate::{
    domain::{
        decision::World,
        duration::spoken,
        history::Release,
        judge::{
            series::millis,
            truth::{self, Arrival},
        },
        names::{EntryName, TargetName},
        record::{Poll, Watched},
        sample::{Measure, Sample},
        share::Share,
        value::Kind,
        verdict::{Judgement, Verdict},
    },
    port::Reach,
};

/// So many looks in a row without one healthy instance are evidence of harm.
const DEAD_LOOKS: u32 = 3;
/// How far the wall clocks of two machines may be apart.
const CLOCKS_APART: Duration = Duration::from_secs(600);

/// One watch in this process, going on with what an earlier one saw.
pub(super) struct Run {
    pub(super) watched: Watched,
    pub(super) last_poll: jiff::Timestamp,
    /// `clock.elapsed()` when this process began to watch, and what had been watched by then.
    began: Duration,
    before: Duration,
    /// When each source last answered.
    pub(super) answered: BTreeMap<String, jiff::Timestamp>,
    /// Targets whose candidate has traffic and is not fit for it: why, and for how many looks in a row
    /// nothing of it was healthy.
    unfit: BTreeMap<TargetName, (String, u32)>,
    /// Checks that cannot be read at the moment.
    pub(super) dark: BTreeMap<EntryName, Dark>,
    pub(super) blind: Option<Dark>,
}

/// A judgement that no check of the file asked for.
fn told(check: EntryName, target: &TargetName, verdict: Verdict, sentence: String, bound: &str) -> Judgement {
    Judgement {
        check,
        target: target.clone(),
        verdict,
        warned: false,
        sentence,
        kind: Kind::Count,
        measure: None,
        candidate: None,
        baseline: None,
        bound: bound.into(),
        limit: None,
        events: 0,
        against_recorded: false,
        shadow: false,
        decides: true,
        tested: None,
    }
}

/// What is asked only at the end will be asked once more.
fn ask_again(watched: &mut Watched) {
    for series in watched.series.values_mut().flat_map(BTreeMap::values_mut) {
        series.asked = series.asked.saturating_add(1);
    }
}

/// The requests of each target on the candidate and on the baseline, as the check that counted the most of them has
/// it. A side that answers with nothing, where the other one has requests, has none.
fn counted<'r>(engine: &Engine<'_>, round: &'r Round) -> BTreeMap<&'r TargetName, (u64, u64)> {
    let mut counted: BTreeMap<&TargetName, (u64, u64)> = BTreeMap::new();
    for ((check, target), pair) in &round.samples {
        let Some(entry) = engine.unit.checks.iter().find(|c| &c.check.name == check) else { continue };
        if engine.reach(entry, target) != Reach::Sides {
            continue;
        }
        let nothing = |sample: &Sample| (*sample == Sample::Empty).then_some(0);
        let (mine, theirs) = match (pair.candidate.requests(), pair.baseline.requests()) {
            (None, None) => continue,
            (mine, theirs) => match (mine.or(nothing(&pair.candidate)), theirs.or(nothing(&pair.baseline))) {
                (Some(mine), Some(theirs)) => (mine, theirs),
                _ => continue,
            },
        };
        let most = counted.entry(target).or_default();
        if mine.saturating_add(theirs) > most.0.saturating_add(most.1) {
            *most = (mine, theirs);
        }
    }
    counted
}

pub(super) struct Dark {
    pub since: Duration,
    pub why: String,
}

impl Run {
    pub(super) fn begin(engine: &Engine<'_>, release: &Release) -> Self {
        let now = engine.clock.now();
        let went_on = release.watched.clone();
        // Counters ran on while nobody watched. How long is told by two wall clocks that may differ, and a
        // bake is never cut short by that: what they can be apart does not count.

        let gap = went_on
            .as_ref()
            .map_or(Duration::ZERO, |w| Duration::try_from(now.duration_since(w.at)).unwrap_or_default())
            .saturating_sub(CLOCKS_APART);
        // Nothing but counters runs on: what is looked at was not seen in that time.
        let counted = |c: &CheckEntry| {
            c.check.fail.is_empty()
                || matches!(c.check.measure, Measure::Ratio | Measure::Quantile(_) | Measure::Events)
        };
        let gap = if engine.unit.checks.iter().all(counted) { gap } else { Duration::ZERO };
        let before = went_on.as_ref().map_or(Duration::ZERO, |w| Duration::from_millis(w.watched_ms)) + gap;
        let last_poll = went_on.as_ref().map_or(now, |w| w.at.min(now));
        let goes_on = went_on.is_some();
        let mut watched = went_on.unwrap_or_else(|| Watched {
            split: release.split.clone(),
            since: release.split_since,
            watched_ms: 0,
            counted_from_ms: 0,
            goal: None,
            at: now,
            cursors: Default::default(),
            series: BTreeMap::new(),
            truth: BTreeMap::new(),
        });
        if let (true, Some(judged)) = (goes_on, release.verdict_here())
            && watched.counted_from_ms < judged.watched_ms
        {
            // an earlier watch came to its end: this one keeps its evidence and watches for as long again
            watched.counted_from_ms = judged.watched_ms;
            ask_again(&mut watched);
        }
        Run {
            watched,
            last_poll,
            began: engine.clock.elapsed(),
            before,
            dark: BTreeMap::new(),
            blind: None,
            answered: BTreeMap::new(),
            unfit: BTreeMap::new(),
        }
    }

    /// Remembers whether the candidates that have traffic are fit for it.
    pub(super) fn note_health(&mut self, release: &Release, world: Option<&World>) {
        let Some(world) = world else { return };
        for (target, origin) in &release.opened.targets {
            let Some(side) = world.get(target).and_then(|o| o.side(&origin.candidate)) else { continue };
            match side.ready() {
                Err(why) if side.share > Share::NONE => {
                    let looks = self.unfit.get(target).map_or(0, |(_, looks)| *looks);
                    let looks = if side.healthy() == 0 { looks + 1 } else { 0 };
                    self.unfit.insert(target.clone(), (why, looks));
                }
                _ => {
                    self.unfit.remove(target);
                }
            }
        }
    }

    /// What is judged without being asked for: a candidate that is not healthy never passes, and one of
    /// which nothing is healthy fails at the third look in a row.
    pub(super) fn health_judgements(&self, release: &Release) -> Vec<Judgement> {
        let unfit = self.unfit.iter().filter(|(target, _)| release.opened.targets.contains_key(*target));
        let judged = unfit.filter_map(|(target, (why, looks))| {
            let verdict = if *looks >= DEAD_LOOKS { Verdict::Fail } else { Verdict::Insufficient };
            let sentence = format!("health: {why}");
            Some(told(EntryName::new("health").ok()?, target, verdict, sentence, "the candidate is healthy"))
        });
        judged.collect()
    }

    pub(super) fn watched(&self, engine: &Engine<'_>) -> Duration {
        self.before + engine.clock.elapsed().saturating_sub(self.began)
    }

    /// What of it counts for the bake: nothing from before the traffic arrived.
    pub(super) fn baked(&self, engine: &Engine<'_>) -> Duration {
        self.watched(engine).saturating_sub(Duration::from_millis(self.watched.counted_from_ms))
    }

    /// The watch goes on after its end.
    pub(super) fn extend(&mut self) {
        ask_again(&mut self.watched);
    }

    pub(super) fn watched_record(&self, engine: &Engine<'_>) -> Watched {
        Watched {
            watched_ms: millis(self.watched(engine)),
            goal: engine.options.goal,
            at: engine.clock.now(),
            ..self.watched.clone()
        }
    }

    pub(super) fn blind(&mut self, engine: &Engine<'_>, why: String) {
        let since = engine.clock.elapsed();
        self.blind.get_or_insert(Dark { since, why });
    }

    /// Takes what a round brought; `long` is the time that each source's answer is of.
    pub(super) fn take(
        &mut self,
        engine: &Engine<'_>,
        release: &Release,
        round: Round,
        long: &BTreeMap<String, Duration>,
        (from_ms, to_ms): (u64, u64),
    ) {
        self.blind = None;
        self.watched.watched_ms = to_ms;
        let now = engine.clock.elapsed();
        self.dark.retain(|check, _| round.unreadable.contains_key(check));
        for (check, fault) in &round.unreadable {
            let dark = self.dark.entry(check.clone()).or_insert(Dark { since: now, why: String::new() });
            dark.why = fault.to_string();
        }
        self.look_at_truth(engine, release, &round, from_ms);
        self.watched.cursors = round.cursors;
        for ((check, target), pair) in round.samples {
            let Some(entry) = engine.unit.checks.iter().find(|c| c.check.name == check) else { continue };
            let long_ms = long.get(&entry.source).map_or(0, |long| millis(*long));
            let from_ms = from_ms.min(to_ms.saturating_sub(long_ms));
            let poll = Poll { from_ms, to_ms, candidate: pair.candidate, baseline: pair.baseline };
            let frame = engine.frame(release, entry, &target);
            let series = self.watched.series.entry(check).or_default().entry(target.clone()).or_default();
            series.push(&frame, poll);
        }
    }

    /// Holds the counted share of each target's requests against the one that was set. Where the traffic has arrived
    /// just now, the bake begins anew, and what was seen before is dropped if it had never been there.
    fn look_at_truth(&mut self, engine: &Engine<'_>, release: &Release, round: &Round, from_ms: u64) {
        for (target, (candidate, baseline)) in counted(engine, round) {
            // with all traffic on one side there is nothing to compare
            let split = release.split.get(target).filter(|set| **set > Share::NONE && **set < Share::ALL);
            let Some(set) = split else { continue };
            let truth = self.watched.truth.entry(target.clone()).or_default();
            let Some(arrival) = truth.look(*set, candidate, baseline) else { continue };
            if truth.comes_and_goes() || engine.unit.when.elsewhere == Reaction::Pass {
                continue;
            }
            if arrival == Arrival::First {
                // another split's
                for targets in self.watched.series.values_mut() {
                    targets.remove(target);
                }
            }
            self.watched.counted_from_ms = from_ms;
            engine.progress.line(&format!("{target}: the traffic has arrived: the bake begins anew"));
        }
    }

    /// Ends the batches that are open: all that was seen counts now.
    pub(super) fn close_batches(&mut self, engine: &Engine<'_>, release: &Release) {
        for (check, targets) in &mut self.watched.series {
            let Some(entry) = engine.unit.checks.iter().find(|c| &c.check.name == check) else { continue };
            for (target, series) in targets {
                series.close_batch(&engine.frame(release, entry, target));
            }
        }
    }

    /// Traffic that goes elsewhere than it was sent never passes: the numbers are another split's. What too few
    /// requests say nothing of is told at the `last` moment.
    pub(super) fn truth_judgements(
        &self,
        engine: &Engine<'_>,
        release: &Release,
        last: bool,
    ) -> Vec<Judgement> {
        let never_passes = engine.unit.when.elsewhere != Reaction::Pass;
        let judged = self.watched.truth.iter().filter_map(|(target, truth)| {
            let set = release.split.get(target)?;
            let unknown = truth.state == truth::State::Unknown && truth.seen.total() > 0;
            let (observed, events, decides, why) = match truth.state {
                truth::State::Off { observed, requests } => (
                    Some(observed),
                    requests,
                    never_passes,
                    format!(
                        "{:.1} % of {requests} requests were counted on the candidate, and {set} is set: \
                         sticky sessions, another rule, or a change that has not arrived",
                        observed * 100.0
                    ),
                ),
                _ if truth.comes_and_goes() => (
                    None,
                    0,
                    never_passes,
                    format!("it came and went: {} times it was elsewhere than set ({set})", truth.arrivals),
                ),
                _ if last && unknown => {
                    let (on_candidate, seen) = (truth.seen.candidate, truth.seen.total());
                    let why = format!(
                        "{on_candidate} of {seen} requests on the candidate are too few to tell whether {set} go there"
                    );
                    (None, seen, false, why)
                }
                _ => return None,
            };
            Some(Judgement {
                candidate: observed,
                limit: Some(set.fraction()),
                kind: Kind::Ratio,
                events,
                decides,
                ..told(
                    EntryName::new("traffic").ok()?,
                    target,
                    Verdict::Insufficient,
                    format!("traffic: {why}"),
                    "the counted share agrees with the one that was set",
                )
            })
        });
        judged.collect()
    }

    /// Turns a judgement into `error` once its source has been dark for too long.
    pub(super) fn mark_unreadable(&self, engine: &Engine<'_>, check: &EntryName, judged: &mut Judgement) {
        let Some(dark) = self.dark.get(check).or(self.blind.as_ref()) else { return };
        let age = engine.clock.elapsed().saturating_sub(dark.since);
        if judged.verdict == Verdict::Fail {
            return;
        }
        judged.sentence = format!("{check}: unreadable for {}: {}", spoken(age), dark.why);
        judged.verdict =
            if age >= engine.timing.error_after { Verdict::Error } else { Verdict::Insufficient };
    }

    /// Whether waiting on could still change an `error`.
    pub(super) fn any_hope(&self, engine: &Engine<'_>) -> bool {
        let over =
            |dark: &Dark| engine.clock.elapsed().saturating_sub(dark.since) >= engine.timing.error_after;
        !(self.dark.values().any(over) || self.blind.as_ref().is_some_and(over))
    }
}
