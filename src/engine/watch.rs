//! `verify-metrics`: the loop that looks. It holds no lease; it writes its verdict, and where it got to
//! when it has to leave early.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Engine,
    evidence::Rates,
    ledger::Ledger,
    measure::{Asking, Round, Scene},
    outcome::{Done, State},
    unit::{CheckEntry, Reaction},
};
use crate::{
    domain::{
        decision::{Halt, World},
        duration::spoken,
        history::Release,
        judge::{Frame, judge, series::millis, truth, verdict::Moment},
        names::{EntryName, TargetName},
        record::{Event, Poll, Series, Watched},
        share::Share,
        value::Kind,
        verdict::{Judgement, Verdict, worst},
    },
    error::{Failure, Told, verdict_code},
    port::Watching,
};

/// So many looks in a row without one healthy instance are evidence of harm.
const DEAD_LOOKS: u32 = 3;
const POLL_MIN: Duration = Duration::from_millis(500);
const POLL_MAX: Duration = Duration::from_secs(30);
/// How far the wall clocks of two machines may be apart.
const CLOCKS_APART: Duration = Duration::from_secs(600);

/// How a watch ended.
pub(crate) enum Watch {
    Judged(Verdict),
    /// The bake outlasts the job; this much of it is left.
    Waiting(Duration),
}

impl Engine<'_> {
    /// Watches the present split for `bake` (the stage's time if absent).
    pub async fn verify_metrics(&self, bake: Option<Duration>) -> Result<Done, Failure> {
        self.watch_hooks("before_verify_metrics").await?;
        let mut ledger = Ledger::load(self).await?;
        let release = self.open_here(&ledger)?;
        if bake.is_none() && release.verdict_here().is_some_and(|j| j.verdict == Verdict::Pass) {
            self.facts().verdict = Some(Verdict::Pass);
            return Ok(Done::new(format!(
                "the split at {} has its `pass` already: nothing to do",
                self.reached(&release)
            ))
            .next(self.after_pass(&release)));
        }
        let watch = self.watch(&mut ledger, bake).await?;
        ledger.tell(self);
        let done = match watch {
            Watch::Waiting(left) => self.waiting(left),
            Watch::Judged(Verdict::Pass) => {
                let sentence = format!("pass at {}{}", self.reached(&release), self.seen_in_words());
                Done::new(sentence).next(self.after_pass(&release))
            }
            Watch::Judged(verdict) => return Err(self.verdict_failure(verdict)),
        };
        self.watch_hooks("after_verify_metrics").await?;
        Ok(done)
    }

    async fn watch_hooks(&self, moment: &str) -> Result<(), Failure> {
        if self.unit.hooks_at(moment).next().is_none() {
            return Ok(());
        }
        self.leased(async |ledger| self.hooks(ledger, moment).await).await
    }

    fn open_here(&self, ledger: &Ledger<'_>) -> Result<Release, Failure> {
        let open = ledger.history.open().ok_or_else(super::open::no_release)?;
        match &self.options.release {
            Some(name) if name != open.name() => Err(Failure::Held(Told::new(
                format!("the release that is open is {}, not {name}; nothing was changed", open.name()),
                "leave `--release` away to watch it",
            ))),
            _ => Ok(open.clone()),
        }
    }

    fn after_pass(&self, release: &Release) -> String {
        match self.next_stage(release) {
            Some(stage) => format!("tidegate shift-traffic --to {}", stage.to.typed()),
            None if release.stands_at(Share::ALL) => "tidegate finish".into(),
            None => "tidegate rollout".into(),
        }
    }

    pub(crate) fn waiting(&self, left: Duration) -> Done {
        self.facts().state = State::Waiting;
        let due = self.clock.now().checked_add(left).ok();
        let at = due.map_or(String::new(), |t| format!(", at {}", t.strftime("%Y-%m-%d %H:%M:%SZ")));
        Done {
            sentence: format!("waiting: the bake goes on for {}{at}", spoken(left)),
            next: Some("the same command, then".into()),
            next_at: due,
            waiting: true,
        }
    }

    /// The failure that a verdict is.
    pub(crate) fn verdict_failure(&self, verdict: Verdict) -> Failure {
        let facts = self.facts();
        let telling = facts.judgements.iter().find(|j| j.decides && !j.shadow && j.verdict == verdict);
        let why = telling
            .map_or("the evidence is not there".to_string(), |j| format!("{}: {}", j.target, j.sentence));
        debug_assert_ne!(verdict_code(verdict), 0);
        Failure::Verdict {
            verdict,
            sentence: format!("{verdict}: {why}"),
            hint: Some(match verdict {
                Verdict::Fail => "run `tidegate rollback`".into(),
                _ => "run `tidegate verify-metrics` again: it goes on; or `tidegate rollback`".into(),
            }),
        }
    }

    fn seen_in_words(&self) -> String {
        let facts = self.facts();
        let count = facts.judgements.iter().filter(|j| j.decides).count();
        let thin: Vec<&str> = (facts.judgements.iter())
            .filter(|j| j.decides && !j.shadow && j.verdict == Verdict::Insufficient)
            .map(|j| j.check.as_str())
            .collect();
        let thin = match thin.is_empty() {
            true => String::new(),
            false => format!("; without evidence, and taken for a pass: {}", thin.join(", ")),
        };
        let warned: Vec<&str> =
            facts.judgements.iter().filter(|j| j.warned).map(|j| j.check.as_str()).collect();
        let checks = format!(": {count} check{} within bounds{thin}", if count == 1 { "" } else { "s" });
        if warned.is_empty() { checks } else { format!("{checks}; warned: {}", warned.join(", ")) }
    }

    /// Watches until there is a verdict, the job's time is over or a signal comes.
    pub(crate) async fn watch(
        &self,
        ledger: &mut Ledger<'_>,
        bake: Option<Duration>,
    ) -> Result<Watch, Failure> {
        let release = ledger.history.open().cloned().ok_or_else(super::open::no_release)?;
        if release.pending.is_some() || release.undoing {
            return Err(super::refusal::explain(&match (&release.pending, release.undoing) {
                (Some(pending), false) => Halt::StepOpen { step: pending.step.clone() },
                _ => Halt::RollingBack,
            }));
        }
        let bake = bake.unwrap_or_else(|| self.stages().bake_at(self.reached(&release)).get());
        let mut bake = self.bake_or_least(bake);
        let mut run = Run::begin(self, &release);
        let poll = self.poll_interval(bake);
        if let Some(judged) = release.verdict_here() {
            // An earlier watch came to its end: this one keeps its evidence and watches for as long again.
            bake += Duration::from_millis(judged.watched_ms);
        }
        let (mut extended, mut foretold) = (false, false);
        loop {
            let world = match self.look(&release, &mut run).await {
                // One look may show an older truth, and another run may have begun to move the traffic.
                Err(Failure::Drift(_)) => {
                    self.stop.pause(self.clock.as_ref(), self.timing.second_look).await?;
                    self.still_standing(ledger, &release).await?;
                    self.look(&release, &mut run).await?
                }
                world => world?,
            };
            self.poll(&release, &mut run, world.as_ref()).await;
            run.note_health(&release, world.as_ref());
            let left = bake.saturating_sub(run.watched(self));
            foretold = foretold || self.foretell(&release, &run, bake);
            let judgements = self.judge_all(&release, &mut run, left.is_zero());
            let verdict = worst(&judgements);
            self.facts().judgements = judgements.clone();
            self.facts().verdict = Some(verdict);
            self.show(&release, &run, left, &judgements);
            // A failing check ends it at once; a source that stays unreadable too; a pass never before the bake is over.
            let over = left.is_zero()
                || verdict == Verdict::Fail
                || (verdict == Verdict::Error && !run.any_hope(self));
            if over {
                if let (Verdict::Insufficient, Reaction::Extend(more), false) =
                    (verdict, self.unit.when.insufficient, extended)
                {
                    extended = true;
                    bake += more.get();
                    self.progress.line(&format!(
                        "insufficient evidence after {}: watching {more} longer",
                        spoken(run.watched(self))
                    ));
                    continue;
                }
                let verdict = self.taken_for_pass(&release, &run, verdict);
                let event = Event::Judged {
                    split: release.split.clone(),
                    verdict,
                    judgements,
                    watched: run.watched_record(self),
                };
                ledger.append_watch(release.split_since, event).await?;
                return Ok(Watch::Judged(verdict));
            }
            if self.options.dry_run {
                self.progress.line(&format!("would watch for {} more", spoken(left)));
                let (split, watched) = (release.split.clone(), run.watched_record(self));
                let event = Event::Judged { split, verdict: Verdict::Pass, judgements, watched };
                ledger.append_watch(release.split_since, event).await?;
                return Ok(Watch::Judged(Verdict::Pass));
            }
            let job_left = self.options.time_limit.map(|limit| limit.saturating_sub(self.clock.elapsed()));
            if job_left.is_some_and(|job| job <= poll && job < left) {
                run.close_batches(self, &release);
                ledger.append_watch(release.split_since, Event::Watched(run.watched_record(self))).await?;
                return Ok(Watch::Waiting(left));
            }
            if let Err(interrupted) = self.stop.pause(self.clock.as_ref(), poll.min(left.max(POLL_MIN))).await
            {
                // who cancelled it decides how it goes on: no schedule does
                run.close_batches(self, &release);
                let seen = Watched { goal: None, ..run.watched_record(self) };
                ledger.append_watch(release.split_since, Event::Watched(seen)).await?;
                return Err(interrupted);
            }
            self.still_standing(ledger, &release).await?;
        }
    }

    /// Too little evidence is a pass where the file says so. A candidate that is not healthy, and traffic that goes
    /// elsewhere, are no question of evidence.
    fn taken_for_pass(&self, release: &Release, run: &Run, verdict: Verdict) -> Verdict {
        let readable = run.dark.is_empty() && run.blind.is_none();
        let only_thin = readable
            && run.health_judgements(release).is_empty()
            && !run.truth_judgements(self, release).iter().any(|j| j.decides);
        if verdict != Verdict::Insufficient || self.unit.when.insufficient != Reaction::Pass || !only_thin {
            return verdict;
        }
        self.progress.line("insufficient evidence is taken for a pass: `when: {insufficient: pass}`");
        self.facts().verdict = Some(Verdict::Pass);
        Verdict::Pass
    }

    /// Often enough for the shortest window of any bound, and some twenty times in a bake.
    pub(super) fn poll_interval(&self, bake: Duration) -> Duration {
        let shortest = self.unit.checks.iter().flat_map(|c| c.check.windows().collect::<Vec<_>>()).min();
        let wanted = shortest.map_or(bake / 20, |window| (window / 4).min(bake / 20));
        wanted.clamp(POLL_MIN, POLL_MAX)
    }

    /// Ends the watch when another run moved the traffic.
    async fn still_standing(&self, ledger: &mut Ledger<'_>, release: &Release) -> Result<(), Failure> {
        match ledger.refresh().await {
            // A journal that cannot be reached for a moment does not end a watch; the verdict will need it.
            Ok(()) | Err(Failure::Unreachable(_)) => {}
            Err(failure) => return Err(failure),
        }
        let same = ledger.history.open().is_some_and(|r| r.watched_still(release.split_since));
        if same {
            return Ok(());
        }
        let newest = ledger.history.release.as_ref().filter(|r| r.attempt == release.attempt);
        if let Some(back) = newest.filter(|r| r.undoing || r.asked_back.is_some()) {
            let why = back.asked_back.as_ref().map_or(String::new(), |why| format!(": {why}"));
            return Err(Failure::Held(Told::new(
                format!("{} is taken back by {}{why}; this run ended its watch", back.attempt, back.last_run),
                "`tidegate status` tells where it stands",
            )));
        }
        Err(Failure::Held(Told::new(
            "another run moved the traffic while this one watched; what was seen says nothing about the new split",
            "`tidegate status` tells where the release stands",
        )))
    }

    /// Looks at the targets; where they stand elsewhere than recorded, the watch is void.
    pub(super) async fn look(&self, release: &Release, run: &mut Run) -> Result<Option<World>, Failure> {
        let world = match self.observe_all().await {
            Ok(world) => world,
            Err(failure @ Failure::Interrupted { .. }) => return Err(failure),
            Err(failure) => {
                run.blind(self, failure.to_string());
                return Ok(None);
            }
        };
        for (target, origin) in &release.opened.targets {
            let Some(observed) = world.get(target) else { continue };
            let recorded = release.split.get(target).copied().unwrap_or(origin.share);
            let found = observed.share(&origin.candidate);
            if found != recorded {
                let halt = Halt::Drift { target: target.clone(), recorded: vec![recorded], found };
                return Err(super::refusal::explain(&halt));
            }
        }
        Ok(Some(world))
    }

    pub(super) async fn poll(&self, release: &Release, run: &mut Run, world: Option<&World>) {
        let Some(world) = world else { return };
        let from_ms = run.watched.watched_ms;
        let scene = Scene {
            release: Some(release),
            origins: &release.opened.targets,
            world,
            asking: Asking::UnderTest,
        };
        let now = self.clock.now();
        let since = |source: &str| run.answered.get(source).copied().unwrap_or(run.last_poll);
        let round = self.measure(&scene, &since, &run.watched.cursors).await;
        for source in &round.answered {
            run.answered.insert(source.clone(), now);
        }
        let to_ms = millis(run.watched(self));
        run.take(self, release, round, from_ms, to_ms);
    }

    /// All judgements of this moment. At the `last` one, what is asked only once is asked too.
    pub(super) fn judge_all(&self, release: &Release, run: &mut Run, last: bool) -> Vec<Judgement> {
        let mut all = Vec::new();
        let moment = Moment { watched: run.watched(self), last };
        if last {
            run.close_batches(self, release);
        }
        for entry in self.unit.checks.iter().filter(|entry| self.applies(release, entry)) {
            let empty = BTreeMap::new();
            let series = run.watched.series.get(&entry.check.name).unwrap_or(&empty);
            for (target, series) in series {
                let mut judged = judge(&self.frame(release, entry, target), target, series, moment);
                run.mark_unreadable(self, &entry.check.name, &mut judged);
                all.push(judged);
            }
            if series.is_empty() {
                all.extend(self.never_answered(release, run, entry, moment));
            }
        }
        all.extend(run.health_judgements(release));
        all.extend(run.truth_judgements(self, release));
        all
    }

    /// Tells, once there is something to go by, what this watch can show.
    fn foretell(&self, release: &Release, run: &Run, bake: Duration) -> bool {
        let seconds = run.watched(self).as_secs_f64();
        let mut rates = Rates::new();
        for (check, targets) in &run.watched.series {
            for (target, series) in targets {
                let mut all = series.candidate.clone();
                all.add(&series.baseline);
                if series.baseline.requests().is_some_and(|n| n > 0) && seconds > 0.0 {
                    rates.insert((check.clone(), target.clone()), (all, seconds));
                }
            }
        }
        let lines = self.outlooks(&rates, self.reached(release), bake, self.deciding_tests(release));
        lines.iter().for_each(|line| self.progress.line(line));
        !lines.is_empty()
    }

    /// What a check of a target is judged by.
    fn frame<'a>(&self, release: &'a Release, entry: &'a CheckEntry, target: &TargetName) -> Frame<'a> {
        let recorded = release.recorded.get(&entry.check.name).and_then(|r| r.get(target));
        let before = release.before.get(&entry.check.name).and_then(|r| r.get(target));
        Frame { check: &entry.check, recorded, before, tests: self.deciding_tests(release) }
    }

    /// How many tests may raise a false alarm in a watch: each has its part of what is accepted.
    fn deciding_tests(&self, release: &Release) -> usize {
        let entries = self.unit.checks.iter().filter(|entry| self.applies(release, entry));
        entries.map(|entry| entry.check.deciding_tests() * self.targets_of(entry)).sum()
    }

    /// A check that no source has answered at all still has a verdict: without data nothing passes.
    fn never_answered(
        &self,
        release: &Release,
        run: &Run,
        entry: &CheckEntry,
        moment: Moment,
    ) -> Option<Judgement> {
        let only = entry.service.as_ref();
        let target: &TargetName = only.or(release.opened.targets.keys().next())?;
        let mut judged = judge(&self.frame(release, entry, target), target, &Default::default(), moment);
        run.mark_unreadable(self, &entry.check.name, &mut judged);
        Some(judged)
    }

    pub(super) fn show(&self, release: &Release, run: &Run, left: Duration, judgements: &[Judgement]) {
        let unreadable: Vec<String> =
            run.dark.iter().map(|(check, dark)| format!("{check}: {}", dark.why)).collect();
        self.progress.watching(&Watching {
            split: &release.split,
            left,
            watched: run.watched(self),
            judgements,
            unreadable: &unreadable,
        });
    }
}

/// One watch in this process, going on with what an earlier one saw.
pub(super) struct Run {
    watched: Watched,
    last_poll: jiff::Timestamp,
    /// `clock.elapsed()` when this process began to watch, and what had been watched by then.
    began: Duration,
    before: Duration,
    /// When each source last answered.
    answered: BTreeMap<String, jiff::Timestamp>,
    /// Targets whose candidate has traffic and is not fit for it: why, and for how many looks in a row
    /// nothing of it was healthy.
    unfit: BTreeMap<TargetName, (String, u32)>,
    /// Checks that cannot be read at the moment.
    dark: BTreeMap<EntryName, Dark>,
    blind: Option<Dark>,
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

struct Dark {
    since: Duration,
    why: String,
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
        let before = went_on.as_ref().map_or(Duration::ZERO, |w| Duration::from_millis(w.watched_ms)) + gap;
        let last_poll = went_on.as_ref().map_or(now, |w| w.at.min(now));
        let watched = went_on.unwrap_or_else(|| Watched {
            split: release.split.clone(),
            since: release.split_since,
            watched_ms: 0,
            goal: None,
            at: now,
            cursors: Default::default(),
            series: BTreeMap::new(),
            truth: BTreeMap::new(),
        });
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

    fn watched_record(&self, engine: &Engine<'_>) -> Watched {
        Watched {
            watched_ms: millis(self.watched(engine)),
            goal: engine.options.goal,
            at: engine.clock.now(),
            ..self.watched.clone()
        }
    }

    fn blind(&mut self, engine: &Engine<'_>, why: String) {
        let since = engine.clock.elapsed();
        self.blind.get_or_insert(Dark { since, why });
    }

    fn take(&mut self, engine: &Engine<'_>, release: &Release, round: Round, from_ms: u64, to_ms: u64) {
        self.blind = None;
        self.watched.watched_ms = to_ms;
        let now = engine.clock.elapsed();
        self.dark.retain(|check, _| round.unreadable.contains_key(check));
        for (check, fault) in &round.unreadable {
            let dark = self.dark.entry(check.clone()).or_insert(Dark { since: now, why: String::new() });
            dark.why = fault.to_string();
        }
        let arrived = self.look_at_truth(release, &round);
        self.watched.cursors = round.cursors;
        for ((check, target), pair) in round.samples {
            let Some(entry) = engine.unit.checks.iter().find(|c| c.check.name == check) else { continue };
            let poll = Poll { from_ms, to_ms, candidate: pair.candidate, baseline: pair.baseline };
            let frame = engine.frame(release, entry, &target);
            let series = self.watched.series.entry(check).or_default().entry(target.clone()).or_default();
            if arrived.contains(&target) {
                // what came before was another split's
                *series = Series::default();
            }
            series.push(&frame, poll);
        }
    }

    /// Holds the counted share of each target's requests against the one that was set. Returns the targets whose
    /// traffic has arrived just now.
    fn look_at_truth(&mut self, release: &Release, round: &Round) -> BTreeSet<TargetName> {
        let mut counted: BTreeMap<&TargetName, (u64, u64)> = BTreeMap::new();
        for ((_, target), pair) in &round.samples {
            if let (Some(mine), Some(theirs)) = (pair.candidate.requests(), pair.baseline.requests()) {
                let most = counted.entry(target).or_default();
                if mine.saturating_add(theirs) > most.0.saturating_add(most.1) {
                    *most = (mine, theirs);
                }
            }
        }
        let mut arrived = BTreeSet::new();
        for (target, (candidate, baseline)) in counted {
            let Some(set) = release.split.get(target) else { continue };
            let truth = self.watched.truth.entry(target.clone()).or_default();
            if truth.look(*set, candidate, baseline) {
                arrived.insert(target.clone());
            }
        }
        arrived
    }

    /// Ends the batches that are open: all that was seen counts now.
    fn close_batches(&mut self, engine: &Engine<'_>, release: &Release) {
        for (check, targets) in &mut self.watched.series {
            let Some(entry) = engine.unit.checks.iter().find(|c| &c.check.name == check) else { continue };
            for (target, series) in targets {
                series.close_batch(&engine.frame(release, entry, target));
            }
        }
    }

    /// Traffic that goes elsewhere than it was sent never passes: the numbers are another split's.
    fn truth_judgements(&self, engine: &Engine<'_>, release: &Release) -> Vec<Judgement> {
        let off = self.watched.truth.iter().filter_map(|(target, truth)| match truth.state {
            truth::State::Off { observed, requests } => Some((target, observed, requests)),
            _ => None,
        });
        let judged = off.filter_map(|(target, observed, requests)| {
            let set = release.split.get(target)?;
            let percent = observed * 100.0;
            Some(Judgement {
                candidate: Some(observed),
                limit: Some(set.fraction()),
                kind: Kind::Ratio,
                events: requests,
                decides: engine.unit.when.elsewhere != Reaction::Pass,
                ..told(
                    EntryName::new("traffic").ok()?,
                    target,
                    Verdict::Insufficient,
                    format!(
                        "traffic: {percent:.1} % of {requests} requests were counted on the candidate, and {set} is set: \
                         sticky sessions, another rule, or a change that has not arrived"
                    ),
                    "the counted share agrees with the one that was set",
                )
            })
        });
        judged.collect()
    }

    /// Turns a judgement into `error` once its source has been dark for too long.
    fn mark_unreadable(&self, engine: &Engine<'_>, check: &EntryName, judged: &mut Judgement) {
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
    fn any_hope(&self, engine: &Engine<'_>) -> bool {
        let over =
            |dark: &Dark| engine.clock.elapsed().saturating_sub(dark.since) >= engine.timing.error_after;
        !(self.dark.values().any(over) || self.blind.as_ref().is_some_and(over))
    }
}
