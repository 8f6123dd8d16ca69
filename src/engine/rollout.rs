//! `rollout`: the whole plan in one process. Every part is the command a person would type, and each finds
//! out for itself what is done already: run again, it goes on.

use super::{
    Engine,
    ledger::Ledger,
    migrate::Assume,
    outcome::{Done, State},
    rollback::Rollback,
    unit::Reaction,
    watch::Watch,
};
use crate::{
    domain::{
        history::{Pending, Phase, Release},
        record::{Aim, Closing, SmokePhase, Step},
        share::Share,
        stage::Stage,
        verdict::Verdict,
    },
    error::{Failure, Told},
    port::Grade,
};

impl Engine<'_> {
    /// How far a rollout that waits is to go: one that left in the middle of a bake for lack of time, or one
    /// that is through and whose old side is kept. A release that somebody holds at a share waits for nobody.
    pub async fn waiting_goal(&self) -> Result<Result<Share, Done>, Failure> {
        let ledger = Ledger::load(self).await?;
        let asked =
            |release: &&Release| self.options.release.as_ref().is_none_or(|name| name == release.name());
        let Some(release) = ledger.history.open().filter(asked) else {
            return Ok(Err(Done::new("no release is open: nothing waits")));
        };
        let through = release.stands_at(Share::ALL)
            && release.verdict_here().is_some_and(|judged| judged.verdict == Verdict::Pass);
        let goal = release.watched.as_ref().and_then(|watched| watched.goal);
        let goal = if through { Some(Share::ALL) } else { goal };
        let held =
            || format!("{} is open at {} and no rollout of it waits", release.attempt, release.reached());
        Ok(goal
            .filter(|_| !release.undoing && release.asked_back.is_none())
            .ok_or_else(|| Done::new(held()).next("tidegate rollout, to go on with it")))
    }

    /// Walks the stages up to `to` (100 % if absent).
    pub async fn rollout(
        &self,
        to: Option<Share>,
        contract: bool,
        assume: Option<Assume>,
    ) -> Result<Done, Failure> {
        self.whole_unit("rollout")?;
        let to = to.unwrap_or(Share::ALL);
        if let Some(done) = self.over_already().await? {
            return Ok(done);
        }
        let done = match self.go_forward(to, contract, assume).await {
            Err(failure) => self.react(failure).await,
            done => done,
        };
        done.map_err(|failure| self.truthful(failure))
    }

    async fn over_already(&self) -> Result<Option<Done>, Failure> {
        let ledger = Ledger::load(self).await?;
        let nameless = ledger.history.open().is_none() && self.options.release.is_none();
        let Some(last) = &ledger.history.release else {
            return if nameless { Err(super::open::no_release()) } else { Ok(None) };
        };
        let same = self.options.release.as_ref().is_none_or(|name| name == last.name());
        let finished =
            last.closed.as_ref().is_some_and(|c| matches!(c.how, Closing::Finished | Closing::Superseded));
        if same && finished {
            return Ok(Some(Done::new(format!("{} is finished: nothing to do", last.attempt))));
        }
        if nameless {
            return Err(super::open::no_release());
        }
        Ok(None)
    }

    async fn go_forward(&self, to: Share, contract: bool, assume: Option<Assume>) -> Result<Done, Failure> {
        let fresh = Ledger::load(self)
            .await?
            .history
            .open()
            .is_none_or(|open| self.options.release.as_ref().is_some_and(|name| name != open.name()));
        if fresh {
            self.part("preflight", self.preflight().await)?;
            self.tell_warnings();
        }
        if self.undo_first().await? {
            return Err(self.rolled_back_earlier());
        }
        self.final_failure().await?;
        self.part("snapshot-db", self.snapshot_db().await)?;
        self.part("migrate", self.migrate(contract, assume).await)?;
        self.part("deploy", self.deploy().await)?;
        let release = self.standing().await?;
        if release.split == release.origin_split()
            && !self.unit.smoke.is_empty()
            && release.smoked.get(&Phase::Candidate) != Some(&true)
        {
            self.part("smoke-test", self.smoke_test().await.map_err(as_verdict))?;
        }
        // Once the old side is being retired, only the finish is left.
        let retiring = |r: &Release| matches!(&r.pending, Some(Pending { step: Step::Retire { .. }, .. }));
        if retiring(&release) || release.retired {
            return self.finish(false).await;
        }
        for ramp in self.unit.ramps() {
            if let Some(waiting) = self.on(ramp).walk(&release, to).await? {
                return Ok(waiting);
            }
            if to != Share::ALL {
                break;
            }
        }
        if to != Share::ALL {
            let release = self.standing().await?;
            let at = release.reached();
            let passed = release.verdict_here().is_some_and(|j| j.verdict == Verdict::Pass);
            let sentence = match passed {
                _ if at > to => {
                    format!("at {at}, which is past {to}: nothing was moved, the release stays open")
                }
                true => format!("at {at} and passed: the release stays open"),
                false => format!("at {at}: the release stays open"),
            };
            return Ok(Done::new(sentence).next("tidegate rollout, with a higher --to"));
        }
        let release = self.standing().await?;
        if !self.unit.smoke.is_empty() && release.smoked.get(&Phase::Public) != Some(&true) {
            let smoke = self.leased(async |ledger| self.smoke(ledger, SmokePhase::Public).await).await;
            self.part("smoke-test", smoke.map_err(as_verdict))?;
        }
        self.finish(false).await
    }

    /// The stages of one ramp. `Some`: a bake outlasts the job.
    async fn walk(&self, release: &Release, to: Share) -> Result<Option<Done>, Failure> {
        let begun = self.begun(release, to);
        let mut stages = self.stages().up_to(to);
        if self.options.skip_canary {
            stages.drain(..stages.len().saturating_sub(1));
        }
        let stages = stages.into_iter();
        for stage in stages.filter(|stage| begun.is_none_or(|begun| stage.to >= begun)) {
            if let Some(waiting) = self.stage(stage).await? {
                return Ok(Some(waiting));
            }
        }
        Ok(None)
    }

    /// The stage that an earlier run was shifting to when it ended. The traffic may stand there already: it
    /// is never taken back to the stages below, which have passed.
    fn begun(&self, release: &Release, to: Share) -> Option<Share> {
        let Some(Pending { step: Step::Share { aim: Aim::Forward, moves }, .. }) = &release.pending else {
            return None;
        };
        let covers = |stage: &Stage| {
            self.moving().all(|s| moves.get(&s.name).is_none_or(|m| m.wanted <= s.share_at(stage.to)))
        };
        self.stages().up_to(to).into_iter().find(covers).map(|stage| stage.to)
    }

    /// Whether a later stage's move was begun: it is that stage that goes on with it.
    fn begun_above(&self, release: &Release, stage: Share) -> bool {
        match &release.pending {
            Some(Pending { step: Step::Share { aim: Aim::Forward, moves }, .. }) => {
                self.moving().filter_map(|s| moves.get(&s.name)).any(|m| m.wanted > stage)
            }
            _ => false,
        }
    }

    /// One stage: up, and the bake. `Some`: the bake outlasts the job.
    async fn stage(&self, stage: Stage) -> Result<Option<Done>, Failure> {
        if self.moving().all(|s| s.share_at(stage.to) == Share::NONE) {
            return Ok(None);
        }
        let release = self.standing().await?;
        let wanted = |share: Share| {
            self.moving().all(|s| release.split.get(&s.name).is_some_and(|at| *at >= s.share_at(share)))
        };
        let here = self.moving().all(|s| release.split.get(&s.name) == Some(&s.share_at(stage.to)));
        if (wanted(stage.to) && !here) || self.begun_above(&release, stage.to) {
            return Ok(None);
        }
        let begun =
            matches!(&release.pending, Some(p) if matches!(p.step, Step::Share { .. } | Step::Hook { .. }));
        if !here || begun {
            self.part(
                &format!("shift-traffic --to {}", stage.to.typed()),
                self.shift_traffic(stage.to).await,
            )?;
        }
        let release = self.standing().await?;
        if release.verdict_here().is_some_and(|j| j.verdict == Verdict::Pass) {
            return Ok(None);
        }
        let mut ledger = Ledger::load(self).await?;
        match self.watch(&mut ledger, Some(stage.bake.get())).await? {
            Watch::Waiting(left) => Ok(Some(self.waiting(left))),
            Watch::Judged(Verdict::Pass) => {
                self.progress.line(&format!("verify-metrics: pass at {}", stage.to));
                Ok(None)
            }
            Watch::Judged(verdict) => Err(self.verdict_failure(verdict)),
        }
    }

    /// What preflight warned of belongs to its moment, not to the end of the rollout.
    fn tell_warnings(&self) {
        let findings = std::mem::take(&mut self.facts().findings);
        for finding in findings.iter().filter(|f| f.grade != Grade::Ok) {
            self.progress.line(&format!("  {}: {}: {}", finding.grade, finding.about, finding.message));
        }
    }

    fn part(&self, command: &str, result: Result<Done, Failure>) -> Result<(), Failure> {
        let done = result?;
        self.progress.line(&format!("{command}: {}", done.sentence));
        Ok(())
    }

    async fn standing(&self) -> Result<Release, Failure> {
        let ledger = Ledger::load(self).await?;
        self.still_bound(&ledger)?;
        ledger.history.open().cloned().ok_or_else(super::course::closed_meanwhile)
    }

    /// A `fail` is final for the attempt, also for the run that comes after the one that saw it.
    async fn final_failure(&self) -> Result<(), Failure> {
        let ledger = Ledger::load(self).await?;
        let asked = |name| self.options.release.as_ref().is_none_or(|asked| asked == name);
        let Some(open) = ledger.history.open().filter(|r| asked(r.name())) else { return Ok(()) };
        let Some(failure) = open.failure() else { return Ok(()) };
        self.bind(open.attempt.opened);
        self.facts().judgements = failure.judgements.clone();
        self.facts().verdict = Some(Verdict::Fail);
        Err(self.verdict_failure(Verdict::Fail))
    }

    /// A rollback that was begun is finished before anything else.
    async fn undo_first(&self) -> Result<bool, Failure> {
        let ledger = Ledger::load(self).await?;
        if !ledger.history.open().is_some_and(|r| r.undoing) {
            return Ok(false);
        }
        let how = Rollback { reason: Some("a rollback had begun".into()), ..Rollback::default() };
        self.rollback(&how).await?;
        Ok(true)
    }

    fn rolled_back_earlier(&self) -> Failure {
        Failure::Verdict {
            verdict: Verdict::Fail,
            sentence:
                "a rollback of this release had begun: it is finished now, and all traffic is at the baseline"
                    .into(),
            hint: Some("run it again to try the release as a new attempt".into()),
        }
    }

    /// What the file says about a verdict that is not `pass`, a failed step, or a cancelled job.
    async fn react(&self, failure: Failure) -> Result<Done, Failure> {
        let when = &self.unit.when;
        let (reaction, reason) = match &failure {
            Failure::Verdict { verdict: Verdict::Fail, sentence, .. } => (when.fail, sentence.clone()),
            Failure::Verdict { verdict: Verdict::Insufficient, sentence, .. } => {
                (when.insufficient, sentence.clone())
            }
            Failure::Verdict { verdict: Verdict::Error, sentence, .. } => (when.error, sentence.clone()),
            Failure::Interrupted { signal, .. } => {
                (when.cancelled, format!("interrupted by {}: `when: {{cancelled: rollback}}`", signal.name()))
            }
            _ => return Err(failure),
        };
        let open = self.facts().state == State::Open;
        if reaction != Reaction::Rollback || !open || self.options.dry_run {
            return Err(failure);
        }
        self.progress.line(&format!("rolling back: {reason}"));
        let verdict = self.facts().verdict;
        let judgements = self.facts().judgements.clone();
        let how = Rollback { reason: Some(reason.clone()), ..Rollback::default() };
        let back = self.calm().rollback(&how).await;
        let mut facts = self.facts();
        facts.verdict = verdict;
        facts.judgements = judgements;
        drop(facts);
        let done = back?;
        Err(match failure {
            // Whatever the verdict was: from a rollout, 10 means rolled back and confirmed.
            Failure::Verdict { .. } => Failure::Verdict {
                verdict: Verdict::Fail,
                sentence: format!("{}; why: {reason}", done.sentence),
                hint: Some("find out why before it goes out again; it is a new attempt then, under the same name or another".into()),
            },
            Failure::Interrupted { signal, .. } => {
                Failure::Interrupted { signal, told: Told::plain(done.sentence) }
            }
            other => other,
        })
    }
}

/// A smoke test that failed is evidence of harm: the file's `when` decides what follows.
fn as_verdict(failure: Failure) -> Failure {
    match failure {
        Failure::Step(told) => {
            Failure::Verdict { verdict: Verdict::Fail, sentence: told.message, hint: told.hint }
        }
        other => other,
    }
}
