//! `finish`: the release is done. The old side goes after its keep time; our own old snapshots go too.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Engine,
    ledger::Ledger,
    outcome::{Changed, Done},
    step::Subject,
    unit::Service,
};
use crate::{
    domain::{
        decision::{Halt, World, drift},
        duration::spoken,
        history::{Pending, Release},
        names::{Role, SideName, TargetName},
        record::{Closing, Event, Outcome, Step},
        share::Share,
        verdict::Verdict,
    },
    error::{Failure, Told},
    port::{Change, Treat},
};

impl Engine<'_> {
    /// For runs on a schedule: does nothing where there is nothing that could be finished now.
    pub async fn finish_if_due(&self) -> Result<Done, Failure> {
        let ledger = Ledger::load(self).await?;
        let undue = match ledger.history.open() {
            None => Some(Done::new("no release is open: nothing to finish")),
            Some(release) => self.undue(release),
        };
        match undue {
            Some(done) => Ok(done),
            None => self.finish(false).await,
        }
    }

    /// Why this release is not to be finished yet, where a run that comes by later will see it otherwise.
    fn undue(&self, release: &Release) -> Option<Done> {
        let attempt = &release.attempt;
        let retires = matches!(release.pending, Some(Pending { step: Step::Retire { .. }, .. }));
        if !retires && !release.stands_at(Share::ALL) {
            let reached = release.reached();
            return Some(Done::new(format!("{attempt} stands at {reached}: nothing to finish yet")));
        }
        if !self.may_close(release) {
            return Some(Done::new(format!("{attempt} has no `pass` at 100 %: nothing to finish yet")));
        }
        let left = self.keep_left(release);
        (!retires && !left.is_zero()).then(|| self.waiting_for_keep(left))
    }

    /// `now` does not wait for the keep time.
    pub async fn finish(&self, now: bool) -> Result<Done, Failure> {
        self.whole_unit("finish")?;
        let ledger = Ledger::load(self).await?;
        if let Some(last) = &ledger.history.release
            && let Some(closed) = &last.closed
            && self.options.release.as_ref().is_none_or(|name| name == last.name())
        {
            // A rollout that comes to its end may find that a rollback was faster.
            if self.bound().is_some() && closed.how != Closing::Finished {
                return Err(super::course::closed_meanwhile());
            }
            return Ok(Done::new(format!("{} is closed already: nothing to do", last.attempt)));
        }
        self.leased_from(ledger, async |ledger| {
            self.still_bound(ledger)?;
            self.hooks(ledger, "before_finish").await?;
            let done = self.close(ledger, now).await?;
            Ok(done)
        })
        .await
    }

    async fn close(&self, ledger: &mut Ledger<'_>, now: bool) -> Result<Done, Failure> {
        let Some(release) = ledger.history.open().cloned() else { return Err(super::open::no_release()) };
        if !release.stands_at(Share::ALL) {
            return Err(Failure::Refused(Told::new(
                format!(
                    "{} stands at {} and is finished only at 100 %; nothing was changed",
                    release.attempt,
                    release.reached()
                ),
                "`tidegate rollout` goes on with it; `tidegate rollback` takes it back",
            )));
        }
        if !self.may_close(&release) {
            return Err(Failure::Refused(Told::new(
                format!("{} has no `pass` at 100 % yet; nothing was changed", release.attempt),
                "run `tidegate verify-metrics`; or `--hotfix \"reason\"`",
            )));
        }
        self.stands_as_recorded(ledger).await?;
        let retiring = self.retiring();
        if !retiring.is_empty() && !release.retired {
            let age = self.age(&release);
            let left = self.keep_left(&release);
            if !left.is_zero() && !now && !self.options.dry_run {
                return Ok(self.waiting_for_keep(left));
            }
            let drain = retiring.iter().map(|s| s.drain).max().unwrap_or_default().saturating_sub(age);
            if !drain.is_zero() && !self.options.dry_run {
                self.progress.line(&format!("giving requests in flight {} more", spoken(drain)));
                let draining = self.stop.pause(self.clock.as_ref(), drain);
                self.alive(ledger, draining).await??;
            }
            self.retire(ledger, &release, &retiring).await?;
        }
        self.hooks(ledger, "after_finish").await?;
        let pruned = self.prune(&release).await;
        ledger.append(Event::Closed { how: Closing::Finished, reason: None }).await?;
        {
            let mut facts = self.facts();
            facts.touch(Changed::All);
            // the page about the release tells on what it was let through
            if let (true, Some(judged)) = (facts.judgements.is_empty(), release.verdicts.last()) {
                facts.judgements = judged.judgements.clone();
            }
        }
        let mut sentence = format!("finished: {} serves all traffic", release.name());
        if !pruned.is_empty() {
            sentence.push_str(&format!("; expired snapshots deleted: {}", pruned.join(", ")));
        }
        Ok(Done::new(sentence))
    }

    /// It passed at 100 %, or nobody asks for that.
    fn may_close(&self, release: &Release) -> bool {
        release.verdict_here().is_some_and(|j| j.verdict == Verdict::Pass)
            || self.options.hotfix.is_some()
            || release.hotfix.is_some()
            || self.unit.checks.is_empty()
    }

    /// The services whose old side is taken down.
    fn retiring(&self) -> Vec<&Service> {
        self.unit.services.iter().filter(|s| s.retire.is_some() || s.target.caps().retires).collect()
    }

    /// Since its last shift.
    fn age(&self, release: &Release) -> Duration {
        Duration::try_from(self.clock.now().duration_since(release.split_at)).unwrap_or_default()
    }

    /// How much longer the old side is kept, where one is to be taken down.
    fn keep_left(&self, release: &Release) -> Duration {
        match self.retiring().is_empty() || release.retired {
            true => Duration::ZERO,
            false => self.unit.finish.keep_old.get().saturating_sub(self.age(release)),
        }
    }

    /// A release is finished only while the targets show what the journal says, and nothing is under way.
    async fn stands_as_recorded(&self, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let Some(release) = ledger.history.open() else { return Ok(()) };
        match &release.pending {
            None | Some(Pending { step: Step::Retire { .. }, .. }) => {}
            Some(Pending { step, .. }) => {
                return Err(super::refusal::explain(&Halt::StepOpen { step: step.clone() }));
            }
        }
        let mut found = None;
        for _ in 0..2 {
            let world = self.observe_these(self.unit.services.iter()).await?;
            found = drift(release, &world).or_else(|| sick(release, &world));
            if found.is_none() {
                return Ok(());
            }
            self.clock.sleep(self.timing.second_look).await;
        }
        match found {
            None => Ok(()),
            Some(halt) => Err(self.halt(ledger, halt).await),
        }
    }

    fn waiting_for_keep(&self, left: Duration) -> Done {
        let done = self.waiting(left);
        Done {
            sentence: format!("the old side is kept, healthy and scaled: {}", done.sentence),
            next: Some("tidegate finish".into()),
            ..done
        }
    }

    async fn retire(
        &self,
        ledger: &mut Ledger<'_>,
        release: &Release,
        services: &[&Service],
    ) -> Result<(), Failure> {
        let sides: BTreeMap<TargetName, SideName> = services
            .iter()
            .filter_map(|s| release.opened.targets.get(&s.name).map(|o| (s.name.clone(), o.baseline.clone())))
            .collect();
        let intent = match &release.pending {
            Some(Pending { seq, step: Step::Retire { .. } }) => *seq,
            Some(Pending { step, .. }) => {
                return Err(super::refusal::explain(&Halt::StepOpen { step: step.clone() }));
            }
            None => {
                self.stop.check()?;
                ledger.fence().await?;
                ledger.append(Event::Intent { step: Step::Retire { sides: sides.clone() } }).await?
            }
        };
        for service in services {
            let Some(side) = sides.get(&service.name) else { continue };
            let observed = self.observe(service).await.map_err(|fault| Failure::before_any_write(&fault))?;
            if observed.share(side) != Share::NONE {
                let why = format!("{}: {side} has traffic again and is not retired", service.name);
                ledger.append(Event::Failed { intent, why: why.clone(), settled: true }).await?;
                return Err(Failure::Drift(Told::plain(why)));
            }
            ledger.fence().await?;
            self.acting();
            let result = match &service.retire {
                Some(step) => {
                    let subject = Subject {
                        service: Some(service),
                        side: Some(side),
                        role: Some(Role::Baseline),
                        observed: Some(&observed),
                        base_url: None,
                        extra: Vec::new(),
                    };
                    let task =
                        self.task(Some(release), format!("services.{}.retire", service.name), &subject);
                    self.alive(ledger, self.run_step(step, &task)).await??.map(|_| ())
                }
                None => {
                    let earlier = self.sending(&service.name);
                    let cx = self.call();
                    let change = Change::Retire { side: side.clone() };
                    let answer = cx.bounded(service.target.apply(&cx, &change)).await;
                    let answer = answer.unwrap_or_else(|late| {
                        Err(crate::port::Fault::outcome_unknown(
                            "target",
                            "retire",
                            service.name.to_string(),
                            format!("no answer within {} s", late.0.as_secs()),
                        ))
                    });
                    if !matches!(&answer, Err(fault) if fault.treat == Treat::OutcomeUnknown) {
                        self.answered(&service.name, earlier);
                    }
                    answer
                }
            };
            if let Err(fault) = result {
                ledger.append(Event::Failed { intent, why: fault.to_string(), settled: true }).await?;
                return Err(Failure::in_step(
                    &fault,
                    "traffic is unchanged, the old side may still be up; run `tidegate finish` again",
                ));
            }
            self.progress.line(&format!("retired {} {side}", service.name));
        }
        ledger.append(Event::Confirmed { intent, outcome: Outcome::default() }).await?;
        Ok(())
    }

    /// Deletes our own snapshots that are past their keep time; never this attempt's. Best effort.
    async fn prune(&self, release: &Release) -> Vec<String> {
        let mut gone = Vec::new();
        for entry in &self.unit.databases {
            let Some(keep) = entry.keep else { continue };
            let cx = self.call();
            let Ok(Ok(list)) = cx.bounded(entry.database.list(&cx)).await else { continue };
            let ours = release.snapshots.get(&entry.name).map(|a| &a.id);
            for artifact in list {
                let age =
                    Duration::try_from(self.clock.now().duration_since(artifact.at)).unwrap_or_default();
                if age <= keep.get() || Some(&artifact.id) == ours {
                    continue;
                }
                let cx = self.call();
                match cx.bounded(entry.database.delete(&cx, &artifact)).await {
                    Ok(Ok(())) => gone.push(artifact.id.clone()),
                    Ok(Err(fault)) => self.progress.line(&format!("snapshot {} stays: {fault}", artifact.id)),
                    Err(_) => self
                        .progress
                        .line(&format!("snapshot {} stays: deleting it took too long", artifact.id)),
                }
            }
        }
        gone
    }
}

/// A release is not done while the side that serves is not healthy.
fn sick(release: &Release, world: &World) -> Option<Halt> {
    release.opened.targets.iter().find_map(|(target, origin)| {
        let side = world.get(target)?.side(&origin.candidate)?;
        let why = side.ready().err()?;
        Some(Halt::Unhealthy { target: target.clone(), side: side.name.clone(), why })
    })
}
