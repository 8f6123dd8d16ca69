//! `rollback`: exactly what the journal recorded at `opened`, put back and proved. It never waits for a
//! lease, and it works without a journal when it is told which side is the baseline.

use futures_util::future::join_all;
use std::{collections::BTreeMap, time::Duration};

use super::{
    Engine,
    deploy::Until,
    ledger::Ledger,
    outcome::{Changed, Done, State},
    shift::{Moved, Unapplied},
    unit::Service,
};
use crate::{
    domain::{
        decision::Goal,
        duration::spoken,
        history::{Pending, Release},
        names::{ReleaseName, SideName, TargetName},
        observed::Observed,
        record::{Aim, Closing, Event, Move, Origin, SmokePhase, Step},
        share::{Share, Split},
        verdict::Verdict,
    },
    error::{Failure, Told},
    port::{Change, Treat},
};

/// How to roll back.
#[derive(Clone, Debug, Default)]
pub struct Rollback {
    /// Act only when this run's own attempt needs it.
    pub if_needed: bool,
    /// Take migrations back too.
    pub migrations: bool,
    /// After a `finish`: go back to this version as a release of its own.
    pub to: Option<ReleaseName>,
    /// The baseline, where the journal cannot say.
    pub to_baseline: Option<SideName>,
    pub reason: Option<String>,
}

impl Engine<'_> {
    pub async fn rollback(&self, how: &Rollback) -> Result<Done, Failure> {
        self.whole_unit("rollback")?;
        if let Some(version) = &how.to {
            return self.reverse(version, how.reason.as_deref()).await;
        }
        let mut ledger = match Ledger::load(self).await {
            Ok(ledger) => ledger,
            Err(failure) => return self.without_journal(how, &failure).await,
        };
        let Some(release) = ledger.history.release.clone() else {
            return match &how.to_baseline {
                Some(_) => self.without_journal(how, &Failure::usage("the journal is empty")).await,
                None => self.nothing_recorded().await,
            };
        };
        if let Some(asked) = &self.options.release
            && asked != release.name()
        {
            return Err(Failure::Held(Told::new(
                format!("the newest release here is {}, not {asked}; nothing was changed", release.name()),
                "leave `--release` away to roll back the newest",
            )));
        }
        if let Some(mine) = self.bound()
            && mine != release.attempt.opened
        {
            return Err(super::course::closed_meanwhile());
        }
        if let (Some(side), None) = (&how.to_baseline, &release.closed)
            && let Some((target, origin)) = release.opened.targets.iter().find(|(_, o)| o.baseline != *side)
        {
            return Err(Failure::usage(format!(
                "the journal says that the baseline of {target} is {}, not {side}; leave `--to-baseline` away",
                origin.baseline
            )));
        }
        if let Some(closed) = &release.closed {
            if how.to_baseline.is_some() {
                let why = format!("{} is closed", release.attempt);
                return self.without_journal(how, &Failure::usage(why)).await;
            }
            return match closed.how {
                Closing::RolledBack | Closing::Abandoned if how.if_needed => {
                    Ok(Done::new(format!("{} is closed: nothing to roll back", release.attempt)))
                }
                Closing::RolledBack | Closing::Abandoned => self.closed_and_so(&release).await,
                _ if how.if_needed => {
                    Ok(Done::new(format!("{} is finished: nothing to roll back", release.attempt)))
                }
                _ => Err(Failure::Refused(Told::new(
                    format!(
                        "{} is finished; a rollback would have to deploy again; nothing was changed",
                        release.attempt
                    ),
                    "`tidegate rollback --to VERSION` opens a release that goes back",
                ))),
            };
        }
        if how.if_needed
            && let Err(why) = self.needed(&release)
        {
            return Ok(Done::new(format!("no rollback is needed: {why}")));
        }
        self.refuse_frozen(&release, how)?;
        let reason = how.reason.clone().unwrap_or_else(|| "asked for".into());
        match ledger.preempt(&reason).await {
            Ok(true) if ledger.preempted => self.preempted(),
            Ok(true) => {}
            Ok(false) => return Box::pin(self.rollback(how)).await,
            Err(failure) => return self.without_journal(how, &failure).await,
        }
        let result = self.roll_back(&mut ledger, how, &reason).await;
        ledger.tell(self);
        self.let_go(&mut ledger).await;
        result.map_err(|failure| {
            let failure = match self.truthful(failure) {
                // With traffic on the candidate, whatever keeps a rollback from ending needs a person.
                Failure::Step(told) | Failure::Unreachable(told) => {
                    let hint = told.hint.unwrap_or_else(|| "run `tidegate rollback` again".into());
                    Failure::Stuck(Told::new(format!("the rollback is not done: {}", told.message), hint))
                }
                other => other,
            };
            if let Failure::Stuck(_) = failure {
                self.facts().state = State::Stuck;
            }
            failure
        })
    }

    async fn roll_back(
        &self,
        ledger: &mut Ledger<'_>,
        how: &Rollback,
        reason: &str,
    ) -> Result<Done, Failure> {
        // First whether it can be done at all: a rollback that has begun shuts the way forward.
        self.baseline_fit(ledger).await?;
        self.hooks(ledger, "before_rollback").await.or_else(|failure| match failure {
            Failure::Step(told) => {
                self.progress.line(&format!("going on all the same: {told}"));
                Ok(())
            }
            other => Err(other),
        })?;
        let origin = ledger.history.open().map(Release::origin_split).unwrap_or_default();
        let moved = self.back_to_baseline(ledger).await?;
        if let Err(failure) = self.hooks(ledger, "after_rollback").await {
            self.progress.line(&format!("going on all the same: {failure}"));
        }
        let undone = if how.migrations { self.migrate_back(ledger).await? } else { Vec::new() };
        let kept: Vec<String> = ledger
            .history
            .open()
            .map(|r| {
                r.migrations
                    .iter()
                    .filter(|m| !m.undone && !m.nothing_ran)
                    .map(|m| match m.uncertain {
                        true => format!("{} (begun; whether it ended is not known)", m.migration),
                        false => m.migration.to_string(),
                    })
                    .collect()
            })
            .unwrap_or_default();
        ledger.append(Event::Closed { how: Closing::RolledBack, reason: Some(reason.to_string()) }).await?;
        ledger.tell(self);
        let smoke = self.smoke(ledger, SmokePhase::Public).await;
        let mut sentence = match &moved {
            Some(moved) => {
                self.tell_moves(moved);
                let where_to = match origin.iter().all(|(_, share)| *share == Share::NONE) {
                    true => "all traffic is at the baseline",
                    false => "the traffic is split as it was when the release opened",
                };
                format!("rolled back: {where_to}, confirmed in {}", spoken(moved.took))
            }
            None => "rolled back: the candidate had no traffic".to_string(),
        };
        if !undone.is_empty() {
            sentence.push_str(&format!("; migrations taken back: {}", undone.join(", ")));
        }
        if !kept.is_empty() {
            sentence.push_str(&format!("; migrations kept: {}", kept.join(", ")));
        }
        if let Err(failure) = smoke {
            sentence.push_str(&format!("; but {failure}"));
        }
        Ok(Done::new(sentence).next("tidegate status"))
    }

    /// A release that was taken back: its candidate has no more traffic than before, or somebody moved it.
    async fn closed_and_so(&self, release: &Release) -> Result<Done, Failure> {
        let world = self.observe_all().await?;
        for (target, origin) in &release.opened.targets {
            let Some(found) = world.get(target).map(|seen| seen.share(&origin.candidate)) else { continue };
            if found > origin.share {
                return Err(Failure::Drift(Told::new(
                    format!(
                        "{} is closed, but {} of {target} has {found} of the traffic; traffic is unchanged",
                        release.attempt, origin.candidate
                    ),
                    format!("to take it back: `tidegate rollback --to-baseline {}`", origin.baseline),
                )));
            }
        }
        Ok(Done::new(format!("{} is closed and has no traffic: nothing to roll back", release.attempt)))
    }

    /// An empty journal: fine where all traffic is on one side, a lost journal where it is not.
    async fn nothing_recorded(&self) -> Result<Done, Failure> {
        let world = self.observe_all().await?;
        let split = world.iter().find(|(_, o)| o.sides.iter().filter(|s| s.share > Share::NONE).count() > 1);
        match split {
            None => Ok(Done::new("no release was ever opened here: nothing to roll back")),
            Some((target, observed)) => {
                let sides: Vec<String> =
                    observed.sides.iter().map(|s| format!("{} {}", s.name, s.share)).collect();
                Err(Failure::Stuck(Told::new(
                    format!(
                        "the journal is empty, and the traffic of {target} is split ({}): which side was the baseline is not recorded; traffic is unchanged",
                        sides.join(", ")
                    ),
                    "if you know it: `tidegate rollback --to-baseline SIDE`",
                )))
            }
        }
    }

    /// Rolls back the open attempt inside another command that holds the lease already.
    pub(crate) async fn undo(&self, ledger: &mut Ledger<'_>, reason: &str) -> Result<(), Failure> {
        if let Some(release) = ledger.history.open() {
            self.refuse_frozen(release, &Rollback::default())?;
        }
        self.baseline_fit(ledger).await?;
        self.back_to_baseline(ledger).await?;
        ledger.append(Event::Closed { how: Closing::RolledBack, reason: Some(reason.into()) }).await?;
        Ok(())
    }

    /// Moves all traffic to where it was when the release opened, and keeps looking for as long as another
    /// run's late write may still land.
    async fn back_to_baseline(&self, ledger: &mut Ledger<'_>) -> Result<Option<Moved>, Failure> {
        let Some(release) = ledger.history.open().cloned() else { return Ok(None) };
        let goal = Goal {
            aim: Aim::Undo,
            wanted: release.origin_split(),
            force: self.options.force,
            smoke_first: false,
            hotfix: false,
        };
        let mut moved = self.undo_traffic(ledger, &goal).await?;
        let watch = self.may_land();
        if !watch.is_zero() {
            let began = self.clock.elapsed();
            while self.clock.elapsed().saturating_sub(began) <= watch {
                self.progress.waiting("rollback", "watching for a late write from before it");
                self.stop.pause(self.clock.as_ref(), self.timing.look).await?;
                if let Some(again) = self.undo_traffic(ledger, &goal).await? {
                    moved = Some(again);
                }
            }
        }
        Ok(moved)
    }

    /// Whether the baseline can take the traffic back, now that nothing that takes it down is on its way.
    async fn baseline_fit(&self, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let Some(release) = ledger.history.open().cloned() else { return Ok(()) };
        if !self.options.force
            && let Some(Pending { step: Step::Retire { .. }, .. }) = &release.pending
        {
            // The baseline is being taken down, and a write that does so may still land: its health is
            // worth something only after that.
            let landing = self.stop.pause(self.clock.as_ref(), self.landing_time());
            self.alive(ledger, landing).await??;
        }
        self.wait_for_baseline(ledger, &release).await
    }

    async fn undo_traffic(&self, ledger: &mut Ledger<'_>, goal: &Goal) -> Result<Option<Moved>, Failure> {
        self.move_traffic(ledger, goal).await.map_err(|failure| match failure {
            // Once a rollback has begun, everything that keeps it from ending needs a person.
            Failure::Refused(told) | Failure::Step(told) | Failure::Drift(told) => {
                self.facts().state = State::Stuck;
                let hint = told.hint.unwrap_or_else(|| "mend it and run `tidegate rollback` again".into());
                Failure::Stuck(Told::new(
                    format!("the rollback is not done: {}", told.message),
                    format!("{hint}; `--force` goes past an unhealthy baseline"),
                ))
            }
            other => other,
        })
    }

    /// Capacity first: waits a while for the baseline to be healthy where it is about to gain traffic.
    async fn wait_for_baseline(&self, ledger: &mut Ledger<'_>, release: &Release) -> Result<(), Failure> {
        if self.options.force {
            return Ok(());
        }
        let looks = self.unit.services.iter().filter_map(|service| {
            let origin = release.opened.targets.get(&service.name)?;
            Some(async move { (service, origin, self.observe(service).await) })
        });
        let gaining: Vec<_> = self
            .alive(ledger, join_all(looks))
            .await?
            .into_iter()
            .filter_map(|(service, origin, seen)| Some((service, origin, seen.ok()?)))
            .filter(|(_, origin, seen)| seen.share(&origin.candidate) != origin.share)
            .collect();
        let mut lacking: Vec<_> = gaining
            .iter()
            .filter(|(service, origin, seen)| {
                can_revive(service) && !fit(seen, origin) && is_short(seen, origin)
            })
            .map(|(service, origin, _)| (*service, &origin.baseline))
            .collect();
        if !lacking.is_empty() {
            ledger.fence().await?;
            let revivals = join_all(lacking.iter().map(|(service, side)| self.revive(service, side)));
            let asked = self.alive(ledger, revivals).await?;
            let mut asked = asked.into_iter();
            lacking.retain(|_| asked.next().unwrap_or(false));
        }
        let short = self.timing.settle.min(Duration::from_secs(60));
        let (fit, unfit): (Vec<_>, Vec<_>) = gaining.iter().partition(|(_, origin, seen)| fit(seen, origin));
        for (service, origin, seen) in fit {
            self.tell_ready(service, &origin.baseline, seen);
        }
        let waits = unfit.into_iter().map(async |(service, origin, _)| {
            let revived = lacking.iter().any(|(s, _)| s.name == service.name);
            let limit = if revived { self.healthy_within(service) } else { short };
            let until = Until::TakesBack(origin.share.rest());
            (service, origin, self.wait_ready(service, &origin.baseline, limit, until).await)
        });
        for (service, origin, ready) in self.alive(ledger, join_all(waits)).await? {
            if let Err(why) = ready? {
                self.facts().state = State::Stuck;
                return Err(Failure::Stuck(Told::new(
                    format!(
                        "{}: the baseline cannot take the traffic: {why}; traffic is unchanged",
                        service.name
                    ),
                    format!(
                        "bring {} up and run `tidegate rollback` again; `--force` goes past it",
                        origin.baseline
                    ),
                )));
            }
        }
        Ok(())
    }

    /// Asks for a side's capacity, which the record of a rollback or of a shift covers. Whether it came is seen by the side's health; `false`: it will not.
    pub(crate) async fn revive(&self, service: &Service, side: &SideName) -> bool {
        self.acting();
        self.progress.line(&format!("{} {side}: bringing back its capacity", service.name));
        let cx = self.call();
        let change = Change::Revive { side: side.clone() };
        match cx.bounded(service.target.apply(&cx, &change)).await {
            Ok(Err(fault)) => {
                self.progress.line(&format!("going on all the same: {fault}"));
                fault.treat != Treat::Permanent
            }
            Ok(Ok(())) | Err(_) => true,
        }
    }

    fn refuse_frozen(&self, release: &Release, _: &Rollback) -> Result<(), Failure> {
        match release.frozen_by() {
            Some(migrated) if !self.options.force => Err(Failure::Stuck(Told::new(
                format!(
                    "the migration {migrated} was declared a point of no return (`kind: contract`): the old version may not work on its data; traffic is unchanged"
                ),
                "go forward with a fix; or `tidegate rollback --force` if you know that the old version works",
            ))),
            _ => Ok(()),
        }
    }

    /// Whether this run left its own attempt in a state that has to be undone.
    fn needed(&self, release: &Release) -> Result<(), String> {
        let own = release.opened_by == self.holder.run || release.last_run == self.holder.run;
        if !own {
            return Err(format!("{} is not this run's own", release.attempt));
        }
        let failed = release.failure().is_some() || release.failed.is_some();
        if failed || release.pending.is_some() || release.undoing || release.stuck.is_some() {
            return Ok(());
        }
        if release.asked_back.is_some() {
            return Ok(());
        }
        match release.verdict_here().map(|j| j.verdict) {
            Some(Verdict::Fail) => Ok(()),
            _ => Err(format!("{} stands at {} and nothing failed", release.attempt, release.reached())),
        }
    }

    /// Rolls back from the live state when there is no journal to ask.
    async fn without_journal(&self, how: &Rollback, why: &Failure) -> Result<Done, Failure> {
        let Some(baseline) = &how.to_baseline else {
            return Err(Failure::Unreachable(Told::new(
                format!("the journal cannot say where to go back to: {why}"),
                "say it yourself: `tidegate rollback --to-baseline SIDE` works without a journal",
            )));
        };
        self.progress
            .line(&format!("without a journal ({why}): going back to {baseline} from what the targets show"));
        let world = self.observe_all().await?;
        let mut moves = BTreeMap::new();
        for service in self.chosen() {
            let Some(observed) = world.get(&service.name) else { continue };
            let Some(candidate) = observed.other(baseline).filter(|_| observed.side(baseline).is_some())
            else {
                let sides: Vec<String> = observed.sides.iter().map(|s| s.name.to_string()).collect();
                return Err(Failure::usage(format!(
                    "{} has no side `{baseline}`; its sides: {}",
                    service.name,
                    sides.join(", ")
                )));
            };
            if let (Some(side), false) = (observed.side(baseline), self.options.force)
                && let Err(why) = side.ready()
            {
                return Err(Failure::Stuck(Told::new(
                    format!(
                        "{}: the baseline cannot take the traffic: {why}; traffic is unchanged",
                        service.name
                    ),
                    "bring it up and run it again; `--force` goes past it",
                )));
            }
            let change = Move {
                candidate: candidate.name.clone(),
                before: candidate.share,
                wanted: Share::NONE,
                between: Vec::new(),
            };
            moves.insert(service.name.clone(), change);
        }
        self.undo_by_hand(moves).await
    }

    async fn apply_by_hand(
        &self,
        moves: &BTreeMap<TargetName, Move>,
    ) -> BTreeMap<TargetName, Result<(), Unapplied>> {
        let mut all = self.apply_each(moves).await;
        for round in 1..3 {
            let missing: BTreeMap<TargetName, Move> = moves
                .iter()
                .filter(|(t, _)| matches!(all.get(*t), Some(Err(Unapplied { again: true, .. }))))
                .map(|(t, m)| (t.clone(), m.clone()))
                .collect();
            if missing.is_empty() {
                break;
            }
            self.clock.sleep(self.timing.look * round).await;
            all.extend(self.apply_each(&missing).await);
        }
        all
    }

    async fn undo_by_hand(&self, moves: BTreeMap<TargetName, Move>) -> Result<Done, Failure> {
        let began = self.clock.elapsed();
        self.facts().touch(Changed::Partial);
        let results = self.apply_by_hand(&moves).await;
        // The record that the journal could not take: `status --adopt FILE` imports it.
        let split: Split = moves.iter().map(|(t, m)| (t.clone(), m.wanted)).collect();
        let record = serde_json::json!({ "kind": "adopted", "split": split });
        self.facts().details.push(format!("record for `tidegate status --adopt FILE`: {record}"));
        for (target, result) in results {
            if let Err(Unapplied { fault, .. }) = result {
                self.facts().state = State::Stuck;
                let hint = "mend what it says and run it again";
                return Err(Failure::Stuck(Told::new(
                    format!("the rollback is incomplete: {target}: {fault}"),
                    hint,
                )));
            }
        }
        let mut facts = self.facts();
        facts.changed = Changed::All;
        facts.split = split;
        facts.state = State::RolledBack;
        drop(facts);
        let took = self.clock.elapsed().saturating_sub(began);
        self.tell_moves(&Moved { moves, took });
        Ok(Done::new(format!(
            "rolled back without a journal: all traffic is at the baseline, confirmed in {}",
            spoken(took)
        ))
        .next("tidegate status --adopt FILE, once the journal can be reached"))
    }
}

fn can_revive(service: &Service) -> bool {
    service.target.caps().retires && service.retire.is_none()
}

/// It lacks instances, and not only health.
fn is_short(seen: &Observed, origin: &Origin) -> bool {
    seen.side(&origin.baseline)
        .is_none_or(|side| side.wanted() < seen.needed(side, origin.share.rest()).max(1))
}

fn fit(seen: &Observed, origin: &Origin) -> bool {
    seen.side(&origin.baseline).is_some_and(|side| seen.takes_back(side, origin.share.rest()).is_ok())
}
