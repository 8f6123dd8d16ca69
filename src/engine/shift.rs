//! Moving traffic: the loop behind `shift-traffic` and `rollback`.

use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Engine,
    deploy::Until,
    ledger::Ledger,
    outcome::{Changed, Done, State},
    unit::Service,
};
use crate::{
    domain::{
        decision::{Decision, Goal, Halt, World, decide, unfit},
        duration::spoken,
        history::{Pending, Release},
        judge::series::millis,
        names::TargetName,
        record::{Aim, Event, Move, Outcome, Step},
        share::Share,
    },
    error::{Failure, Told},
    port::{Change, Fault, Treat},
};

/// More rounds than any sequence of recoveries needs.
const ROUNDS_MAX: u32 = 32;
/// An unknown outcome is observed, and the same absolute change asked for again, this often.
const APPLIES_MAX: u32 = 3;

/// What a round of moves came to.
#[derive(Debug)]
pub(crate) struct Moved {
    pub moves: BTreeMap<TargetName, Move>,
    pub took: Duration,
}

/// Why a share was not applied, and whether it may be asked for again.
#[derive(Debug)]
pub(crate) struct Unapplied {
    pub fault: Fault,
    pub again: bool,
}

impl Engine<'_> {
    /// `shift-traffic --to`.
    pub async fn shift_traffic(&self, to: Share) -> Result<Done, Failure> {
        let ledger = Ledger::load(self).await?;
        if let Some(release) = self.quiet(&ledger, "shift_traffic")
            && self.options.hotfix.as_ref().is_none_or(|reason| release.hotfix.as_ref() == Some(reason))
        {
            let goal = self.forward(to);
            if release.split_covers(&goal.wanted)
                && decide(release, &self.observe_for(release, &goal).await?, &goal) == Decision::Done
            {
                self.bind(release.attempt.opened);
                return Ok(
                    Done::new(format!("traffic stands at {to} already: nothing to do")).next(after_shift(to))
                );
            }
        }
        self.leased_from(ledger, async |ledger| {
            self.ensure_open(ledger).await?;
            self.hooks(ledger, "before_shift_traffic").await?;
            let done = self.shift(ledger, to).await?;
            self.hooks(ledger, "after_shift_traffic").await?;
            Ok(done)
        })
        .await
    }

    /// Takes the lease, does the work, gives the lease back however it ended.
    pub(crate) async fn leased<T>(
        &self,
        work: impl AsyncFnOnce(&mut Ledger<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let ledger = Ledger::load(self).await?;
        self.leased_from(ledger, work).await
    }

    /// The same with a journal that is loaded already.
    pub(crate) async fn leased_from<'e, T>(
        &'e self,
        mut ledger: Ledger<'e>,
        work: impl AsyncFnOnce(&mut Ledger<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        ledger.acquire(&self.stop, self.progress).await?;
        let result = work(&mut ledger).await;
        ledger.tell(self);
        self.let_go(&mut ledger).await;
        result.map_err(|failure| self.truthful(failure))
    }

    /// Gives the lease back, unless a write of this run may still land: then it runs out by itself.
    pub(crate) async fn let_go(&self, ledger: &mut Ledger<'_>) {
        if !self.may_land().is_zero() {
            ledger.keep_lease();
        }
        ledger.release().await;
    }

    /// The open release, where nothing of it is under way and the hooks of this command have all run.
    pub(crate) fn quiet<'l>(&self, ledger: &'l Ledger<'_>, command: &str) -> Option<&'l Release> {
        let release = ledger.history.open()?;
        let asked = self.options.release.as_ref().is_none_or(|name| name == release.name());
        let mine = self.bound().is_none_or(|mine| mine == release.attempt.opened);
        let hooked = [format!("before_{command}"), format!("after_{command}")].iter().all(|moment| {
            let mut hooks = self.unit.hooks_at(moment);
            hooks.all(|h| release.hooks.contains(&(moment.clone(), h.step.name.clone())))
        });
        (asked && mine && hooked && release.pending.is_none() && !release.undoing).then_some(release)
    }

    async fn shift(&self, ledger: &mut Ledger<'_>, to: Share) -> Result<Done, Failure> {
        if to != Share::NONE && self.moving().all(|s| s.share_at(to) == Share::NONE) {
            let names: Vec<String> =
                self.moving().map(|s| format!("{} at {}", s.name, s.switch_at)).collect();
            let message = format!("nothing goes over at {to}: {}; nothing was changed", names.join(", "));
            return Err(Failure::Refused(Told::plain(message)));
        }
        if let Some(reason) = &self.options.hotfix
            && ledger.history.open().is_some_and(|r| r.hotfix.as_ref() != Some(reason))
        {
            ledger.append(Event::Hotfix { reason: reason.clone() }).await?;
            self.progress.line(&format!("HOTFIX past the gate: {reason}"));
        }
        self.no_stage_skipped(ledger, to)?;
        self.record_baseline(ledger).await?;
        let moved = self.move_traffic(ledger, &self.forward(to)).await?;
        ledger.tell(self);
        let next = after_shift(to);
        Ok(match moved {
            Some(moved) => {
                self.tell_moves(&moved);
                Done::new(format!("traffic moved to {to}, confirmed in {}", spoken(moved.took))).next(next)
            }
            None => Done::new(format!("traffic stands at {to} already: nothing to do")).next(next),
        })
    }

    /// A `pass` speaks for the next stage, not for the one after it.
    fn no_stage_skipped(&self, ledger: &Ledger<'_>, to: Share) -> Result<(), Failure> {
        let Some(release) = ledger.history.open() else { return Ok(()) };
        let reached = self.reached(release);
        let next = self.stages().after(reached).map_or(Share::ALL, |stage| stage.to);
        if to <= next || to <= reached || self.options.hotfix.is_some() {
            return Ok(());
        }
        Err(Failure::Refused(Told::new(
            format!("{to} would skip the stage at {next}; traffic is unchanged"),
            format!(
                "`tidegate shift-traffic --to {}`, or `tidegate rollout`, which walks the stages; or `--hotfix \"reason\"`",
                next.typed()
            ),
        )))
    }

    fn forward(&self, to: Share) -> Goal {
        Goal {
            aim: Aim::Forward,
            wanted: self.moving().map(|s| (s.name.clone(), s.share_at(to))).collect(),
            force: false,
            smoke_first: !self.unit.smoke.is_empty(),
            hotfix: self.options.hotfix.is_some(),
        }
    }

    pub(crate) fn tell_moves(&self, moved: &Moved) {
        let mut facts = self.facts();
        for (target, m) in &moved.moves {
            facts.details.push(format!(
                "{target:<12} {} -> {}   {} {}   (read back)",
                m.before, m.wanted, m.candidate, m.wanted
            ));
        }
    }

    /// Observes, decides, records, acts and confirms until the goal is reached. `None`: it was already.
    pub(crate) async fn move_traffic(
        &self,
        ledger: &mut Ledger<'_>,
        goal: &Goal,
    ) -> Result<Option<Moved>, Failure> {
        let began = self.clock.elapsed();
        let mut all: Option<BTreeMap<TargetName, Move>> = None;
        let mut before = None;
        for _ in 0..ROUNDS_MAX {
            ledger.fence().await?;
            let Some(release) = ledger.history.open() else {
                return Err(Failure::Bug("traffic was to be moved without a release".into()));
            };
            let world = self.observe_for(release, goal).await?;
            let decision = decide(release, &world, goal);
            if decision.rests_on_a_look(goal.aim) && before.as_ref() != Some(&decision) {
                // One look may show an older truth; what no write of ours will prove is looked at twice.
                before = Some(decision);
                self.clock.sleep(self.timing.second_look).await;
                continue;
            }
            before = None;
            let mut proved = false;
            let (intent, moves) = match decision {
                Decision::Done => {
                    let took = self.clock.elapsed().saturating_sub(began);
                    return Ok(all.map(|moves| Moved { moves, took }));
                }
                Decision::Confirm { intent } => {
                    self.confirm(ledger, intent, began).await?;
                    all.get_or_insert_default();
                    continue;
                }
                Decision::Complete { intent, moves } => (intent, moves),
                Decision::Act(moves) => {
                    if goal.aim == Aim::Forward {
                        self.stop.check()?;
                    }
                    if goal.aim == Aim::Forward && !self.may_land().is_zero() {
                        // An earlier write without an answer must not land on top of this one.
                        let landing = self.stop.pause(self.clock.as_ref(), self.may_land());
                        self.alive(ledger, landing).await??;
                        continue;
                    }
                    let moves = self.with_between(moves);
                    let step = Step::Share { aim: goal.aim, moves: self.whole_intent(ledger, goal, &moves) };
                    // Decided on the records up to here: another one in between, and it is decided again.
                    match ledger.append_next(Event::Intent { step }).await? {
                        Some(intent) => {
                            proved = goal.aim == Aim::Forward;
                            (intent, moves)
                        }
                        None => continue,
                    }
                }
                Decision::Halt(halt) => return Err(self.halt(ledger, halt).await),
            };
            if goal.aim == Aim::Forward
                && let Err(why) = self.scale_up(ledger, &world, &moves).await?
            {
                ledger.append(Event::Failed { intent, why: why.clone(), settled: true }).await?;
                let told = format!("{why}; traffic is unchanged");
                return Err(Failure::Step(Told::new(told, "bring it up and run the same command again")));
            }
            all.get_or_insert_default().extend(moves.clone());
            self.apply_moves(ledger, goal, intent, &moves).await?;
            self.confirm(ledger, intent, began).await?;
            if proved {
                // All that was missing was written and read back: another look would say the same.
                let took = self.clock.elapsed().saturating_sub(began);
                return Ok(all.map(|moves| Moved { moves, took }));
            }
            // A look came before these writes, and they were read back: one more that agrees is enough.
            before = Some(Decision::Done);
        }
        Err(Failure::Bug("the traffic did not settle in as many rounds as can be needed".into()))
    }

    /// Capacity first: where an autoscaler took away instances of a side that had little traffic, they are
    /// brought back before it gets more. The inner error says which side lacks what.
    async fn scale_up(
        &self,
        ledger: &mut Ledger<'_>,
        world: &World,
        moves: &BTreeMap<TargetName, Move>,
    ) -> Result<Result<(), String>, Failure> {
        let short: Vec<_> = moves
            .iter()
            .filter_map(|(target, m)| {
                let (service, seen) = (self.unit.service(target)?, world.get(target)?);
                let (side, share) = m.gaining(seen);
                let side = side.filter(|side| side.elastic && seen.carries(side, share).is_err())?;
                Some((service, &side.name, share))
            })
            .collect();
        if short.is_empty() {
            return Ok(Ok(()));
        }
        ledger.fence().await?;
        let jobs = short.iter().map(async |(service, side, share)| {
            self.revive(service, side).await;
            let limit = self.healthy_within(service);
            (service, self.wait_ready(service, side, limit, Until::Carries(*share)).await)
        });
        for (service, ready) in self.alive(ledger, join_all(jobs)).await? {
            if let Err(why) = ready? {
                return Ok(Err(format!("{}: {why}", service.name)));
            }
        }
        Ok(Ok(()))
    }

    /// Looks at every target that the goal or an open intent speaks of, chosen or not.
    async fn observe_for(&self, release: &Release, goal: &Goal) -> Result<World, Failure> {
        let mut names: BTreeSet<&TargetName> = goal.wanted.keys().collect();
        if let Some(Pending { step: Step::Share { moves, .. }, .. }) = &release.pending {
            names.extend(moves.keys());
        }
        let services = self.unit.services.iter().filter(|s| names.contains(&s.name));
        self.observe_these(services).await
    }

    async fn confirm(&self, ledger: &mut Ledger<'_>, intent: u64, began: Duration) -> Result<(), Failure> {
        let took_ms = millis(self.clock.elapsed().saturating_sub(began));
        let outcome = Outcome { took_ms, ..Outcome::default() };
        ledger.append(Event::Confirmed { intent, outcome }).await?;
        Ok(())
    }

    /// An undo names every target, so that its confirmation speaks for the whole unit.
    fn whole_intent(
        &self,
        ledger: &Ledger<'_>,
        goal: &Goal,
        moves: &BTreeMap<TargetName, Move>,
    ) -> BTreeMap<TargetName, Move> {
        let mut whole = moves.clone();
        if let Some(release) = ledger.history.open() {
            for (target, wanted) in &goal.wanted {
                if let Some(origin) = release.opened.targets.get(target) {
                    whole.entry(target.clone()).or_insert_with(|| Move {
                        candidate: origin.candidate.clone(),
                        before: *wanted,
                        wanted: *wanted,
                        between: Vec::new(),
                    });
                }
            }
        }
        whole
    }

    fn with_between(&self, mut moves: BTreeMap<TargetName, Move>) -> BTreeMap<TargetName, Move> {
        for (target, m) in &mut moves {
            if let Some(service) = self.unit.service(target) {
                m.between = service.target.between(m.before, m.wanted);
            }
        }
        moves
    }

    /// Applies all moves at the same time. If one fails on the way forward, the others go back.
    async fn apply_moves(
        &self,
        ledger: &mut Ledger<'_>,
        goal: &Goal,
        intent: u64,
        moves: &BTreeMap<TargetName, Move>,
    ) -> Result<(), Failure> {
        self.facts().touch(Changed::Partial);
        let failed = self.apply_rounds(ledger, goal, moves).await?;
        let Some((target, fault)) = failed.into_iter().next() else {
            let mut facts = self.facts();
            facts.changed = Changed::All;
            facts.split.extend(moves.iter().map(|(t, m)| (t.clone(), m.wanted)));
            return Ok(());
        };
        if let Some(signal) = self.stop.requested() {
            // A write may still be under way: the intent stays open and the lease runs out by itself.
            ledger.keep_lease();
            let told = Told::new(
                format!(
                    "{target}: {fault}; the journal has the intent, and whether it was carried out is not known"
                ),
                "run the same command again: it finds out and goes on; or `tidegate rollback`",
            );
            return Err(Failure::Interrupted { signal, told });
        }
        let why = format!("{target}: {fault}");
        if goal.aim == Aim::Undo {
            ledger.append(Event::Failed { intent, why: why.clone(), settled: false }).await?;
            self.facts().state = State::Stuck;
            return Err(Failure::Stuck(Told::new(
                format!("the rollback is incomplete: {why}"),
                fault.hint.unwrap_or_else(|| "mend what it says and run `tidegate rollback` again".into()),
            )));
        }
        if fault.treat == Treat::Permanent && moves.len() == 1 {
            // The one write there was was refused: nothing was changed.
            ledger.append(Event::Failed { intent, why, settled: true }).await?;
            self.facts().changed = Changed::None;
            return Err(Failure::before_any_write(&fault));
        }
        let back: BTreeMap<TargetName, Move> = moves
            .iter()
            .map(|(t, m)| (t.clone(), Move { before: m.wanted, wanted: m.before, ..m.clone() }))
            .collect();
        // A side that cannot take its traffic back does not get it.
        // What the provider is at, or has failed at, is no reason to leave the traffic there.
        let way_back = Goal { aim: Aim::Undo, ..goal.clone() };
        let fit = self.look_again(&back, &way_back).await?.is_none();
        let returned = fit && self.apply_rounds(ledger, goal, &back).await?.is_empty();
        // A write without an answer may still land: then nobody can say yet where the targets stand.
        let settled = returned && self.may_land().is_zero();
        ledger.append(Event::Failed { intent, why, settled }).await?;
        self.facts().changed = if settled { Changed::None } else { Changed::Partial };
        let left = match (returned, settled) {
            (_, true) => "all targets stand again as before this step",
            (true, false) => {
                "all targets stand as before this step, and a write without an answer may still land"
            }
            (false, _) => "not all targets could be put back",
        };
        Err(Failure::in_step(&fault, left))
    }

    /// Whether a side that is to gain may not: seen now.
    async fn look_again(
        &self,
        moves: &BTreeMap<TargetName, Move>,
        goal: &Goal,
    ) -> Result<Option<Halt>, Failure> {
        let services = self.unit.services.iter().filter(|s| moves.contains_key(&s.name));
        match self.observe_these(services).await {
            Ok(world) => Ok(unfit(moves, &world, goal)),
            Err(failure @ Failure::Interrupted { .. }) => Err(failure),
            Err(_) => Ok(moves.keys().next().map(|t| Halt::UnknownTarget { target: t.clone() })),
        }
    }

    /// Applies moves; what was not accepted, or is not known to be, is asked for again. Before each round
    /// the lease is proved anew. Returns what failed for good.
    async fn apply_rounds(
        &self,
        ledger: &mut Ledger<'_>,
        goal: &Goal,
        moves: &BTreeMap<TargetName, Move>,
    ) -> Result<BTreeMap<TargetName, Fault>, Failure> {
        let mut missing = moves.clone();
        let mut failed = BTreeMap::new();
        for round in 1..=APPLIES_MAX {
            ledger.fence().await?;
            let results = self.alive(ledger, self.apply_each(&missing)).await?;
            let mut again = false;
            failed.clear();
            for (target, result) in results {
                match result {
                    Ok(()) => {
                        missing.remove(&target);
                    }
                    Err(unapplied) => {
                        again |= unapplied.again;
                        failed.insert(target, unapplied.fault);
                    }
                }
            }
            if !again || round == APPLIES_MAX || self.stop.requested().is_some() {
                break;
            }
            self.clock.sleep(self.timing.look * round).await;
            if self.look_again(&missing, goal).await?.is_some() {
                break;
            }
        }
        Ok(failed)
    }

    pub(crate) async fn apply_each(
        &self,
        moves: &BTreeMap<TargetName, Move>,
    ) -> BTreeMap<TargetName, Result<(), Unapplied>> {
        let applies =
            moves.iter().filter_map(|(target, m)| self.unit.service(target).map(|s| (target, s, m)));
        let results = applies
            .map(|(target, service, m)| async move { (target.clone(), self.apply_one(service, m).await) });
        join_all(results).await.into_iter().collect()
    }

    /// Asks for one absolute share, once, and reads it back until it is true or the settle time is over.
    async fn apply_one(&self, service: &Service, m: &Move) -> Result<(), Unapplied> {
        let others = service.target.caps().sides.into_iter().filter(|side| *side != m.candidate);
        let mut shares = BTreeMap::from([(m.candidate.clone(), m.wanted)]);
        shares.extend(others.map(|side| (side, m.wanted.rest())));
        let change = Change::Share(shares);
        let began = self.clock.elapsed();
        let unknown = |detail: String| {
            Err(Fault::outcome_unknown("target", "set the share", service.name.to_string(), detail))
        };
        let earlier = self.sending(&service.name);
        let cx = self.call();
        let write = cx.bounded(service.target.apply(&cx, &change));
        let answer = match self.stop.or_grace(self.clock.as_ref(), write).await {
            None => unknown("no answer before the signal's grace was over".into()),
            Some(Err(late)) => unknown(format!("no answer within {} s", late.0.as_secs())),
            Some(Ok(answer)) => answer,
        };
        if !matches!(&answer, Err(fault) if fault.treat == Treat::OutcomeUnknown) {
            self.answered(&service.name, earlier);
        }
        match answer {
            Ok(()) => self
                .read_back(service, m, began, self.at_least(self.timing.settle, service.target.pace().settle))
                .await
                .map_err(|fault| Unapplied { fault, again: false }),
            Err(fault) if fault.treat == Treat::Permanent => Err(Unapplied { fault, again: false }),
            // Temporary: nothing was changed. Unknown: look, and ask for the same again only then.
            Err(fault)
                if fault.treat == Treat::OutcomeUnknown
                    && self.read_back(service, m, began, Duration::ZERO).await.is_ok() =>
            {
                Ok(())
            }
            Err(fault) => Err(Unapplied { fault, again: true }),
        }
    }

    async fn read_back(
        &self,
        service: &Service,
        m: &Move,
        began: Duration,
        settle: Duration,
    ) -> Result<(), Fault> {
        let mut wait = Duration::from_millis(5);
        loop {
            let found = self.split(service).await?.get(&m.candidate).copied().unwrap_or_default();
            if found == m.wanted {
                return Ok(());
            }
            let waited = self.clock.elapsed().saturating_sub(began);
            if waited >= settle {
                let detail =
                    format!("it reads back as {found} and not as {} after {}", m.wanted, spoken(waited));
                return Err(Fault::outcome_unknown(
                    "target",
                    "confirm the share",
                    service.name.to_string(),
                    detail,
                ));
            }
            self.clock.sleep(wait.min(settle.saturating_sub(waited))).await;
            wait = (wait * 2).min(self.at_least(self.timing.look, service.target.pace().look));
        }
    }

    /// Turns a refusal into words; records it where the journal must know.
    pub(crate) async fn halt(&self, ledger: &mut Ledger<'_>, halt: Halt) -> Failure {
        if halt == Halt::RevertedOutside
            && let Err(failure) = ledger.append(Event::RevertedOutside).await
        {
            return failure;
        }
        super::refusal::explain(&halt)
    }
}

fn after_shift(to: Share) -> &'static str {
    if to == Share::NONE { "tidegate status" } else { "tidegate verify-metrics" }
}
