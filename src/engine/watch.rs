//! `verify-metrics`: the loop that looks. It holds no lease; it writes its verdict, and where it got to
//! when it has to leave early.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Engine,
    evidence::Rates,
    ledger::Ledger,
    measure::{Asking, Scene},
    outcome::{Done, State},
    run::Run,
    unit::{CheckEntry, Reaction},
};
use crate::{
    domain::{
        decision::{Halt, World},
        duration::spoken,
        history::Release,
        judge::{Frame, judge, series::millis, verdict::Moment},
        names::TargetName,
        record::{Event, Watched},
        share::Share,
        verdict::{Judgement, Verdict, worst},
    },
    error::{Failure, Told, verdict_code},
    port::Watching,
};

const POLL_MIN: Duration = Duration::from_millis(500);
const POLL_MAX: Duration = Duration::from_secs(30);

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
        // what no check asked for (traffic elsewhere, a sick candidate) is why the checks show what they show
        let telling = facts.judgements.iter().filter(|j| j.decides && !j.shadow && j.verdict == verdict);
        let telling = telling.min_by_key(|j| j.measure.is_some());
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
        let count = facts.judgements.iter().filter(|j| j.decides && !j.shadow).count();
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
        // a watch that goes on has told it already
        let (mut extended, mut foretold) = (false, release.watched.is_some());
        if let (Reaction::Extend(more), true) = (self.unit.when.insufficient, run.baked(self) > bake) {
            // the end of a job cut what had been extended
            extended = true;
            bake += more.get();
        }
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
            let left = bake.saturating_sub(run.baked(self));
            foretold = foretold || self.foretell(&release, &run, bake);
            let mut judgements = self.judge_all(&release, &mut run, left.is_zero());
            let mut verdict = worst(&judgements);
            // A failing check ends it at once; a source that stays unreadable too; a pass never before the bake is over.
            let ends = verdict == Verdict::Fail || (verdict == Verdict::Error && !run.any_hope(self));
            if ends && !left.is_zero() {
                // what is recorded is how it stands at the end: so it can be judged again
                judgements = self.judge_all(&release, &mut run, true);
                verdict = worst(&judgements).max(verdict);
            }
            self.facts().judgements = judgements.clone();
            self.facts().verdict = Some(verdict);
            self.show(&release, &run, left, &judgements);
            if ends || left.is_zero() {
                if let (Verdict::Insufficient, Reaction::Extend(more), false) =
                    (verdict, self.unit.when.insufficient, extended)
                {
                    extended = true;
                    bake += more.get();
                    run.extend();
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
            && !run.truth_judgements(self, release, false).iter().any(|j| j.decides);
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
        // what a source that was silent for a while brings is of all that time
        let long = |source: &String| {
            (source.clone(), Duration::try_from(now.duration_since(since(source))).unwrap_or_default())
        };
        let long: BTreeMap<String, Duration> = round.answered.iter().map(long).collect();
        for source in &round.answered {
            run.answered.insert(source.clone(), now);
        }
        let to_ms = millis(run.watched(self));
        run.take(self, release, round, &long, (from_ms, to_ms));
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
        all.extend(run.truth_judgements(self, release, last));
        all
    }

    /// Tells, once there is something to go by, what this watch can show.
    fn foretell(&self, release: &Release, run: &Run, bake: Duration) -> bool {
        let now_ms = millis(run.watched(self));
        let mut rates = Rates::new();
        for (check, targets) in &run.watched.series {
            for (target, series) in targets {
                let seconds = now_ms.saturating_sub(series.begun_ms().unwrap_or(now_ms)) as f64 / 1000.0;
                let recorded = release.recorded.get(check).and_then(|r| r.get(target));
                let mut now = series.candidate.clone();
                now.add(&series.baseline);
                let rate = now.requests().unwrap_or_default() as f64 / seconds;
                // what was recorded of the baseline, and what it showed since, as if it all came at the present rate
                let mut known = recorded.cloned().unwrap_or_default();
                known.add(&series.baseline);
                if seconds > 0.0 && rate > 0.0 && known.requests().is_some_and(|n| n > 0) {
                    let seconds = known.events() as f64 / rate;
                    rates.insert((check.clone(), target.clone()), (known, seconds));
                }
            }
        }
        let counts = |c: &CheckEntry| c.check.fail.iter().any(|bound| c.check.trial(bound).is_some());
        if rates.is_empty() && self.unit.checks.iter().any(counts) {
            return false;
        }
        let share = |target: &TargetName| release.split.get(target).copied().unwrap_or_default();
        let lines = self.outlooks(&rates, &share, bake, self.deciding_tests(release));
        lines.iter().for_each(|line| self.progress.line(line));
        true
    }

    /// What a check of a target is judged by.
    pub(super) fn frame<'a>(
        &self,
        release: &'a Release,
        entry: &'a CheckEntry,
        target: &TargetName,
    ) -> Frame<'a> {
        let tests = self.deciding_tests(release);
        Frame::of(&entry.check, target, &release.recorded, &release.before, tests)
    }

    /// How many tests may raise a false alarm in a watch: each has its part of what is accepted. When a release is
    /// over it is re-checked some times, and what would only be told counts.
    fn deciding_tests(&self, release: &Release) -> usize {
        let (later, times) = match release.closed {
            Some(_) => (true, self.unit.finish.recheck.len().max(1)),
            None => (false, 1),
        };
        let entries = self.unit.checks.iter().filter(|entry| self.applies(release, entry));
        entries.map(|entry| entry.check.deciding_tests(later) * self.targets_of(entry)).sum::<usize>() * times
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
