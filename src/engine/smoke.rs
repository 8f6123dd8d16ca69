//! `smoke-test`: against the candidate before it has traffic, against the public face after.

use super::{
    Engine,
    ledger::Ledger,
    outcome::Done,
    step::{Subject, reach_instance},
};
use crate::{
    domain::{
        history::Release,
        names::{EntryName, Role},
        record::{Event, SmokePhase},
        share::Share,
    },
    error::{Failure, Told},
};

impl Engine<'_> {
    pub async fn smoke_test(&self) -> Result<Done, Failure> {
        self.leased(async |ledger| {
            self.ensure_open(ledger).await?;
            self.hooks(ledger, "before_smoke_test").await?;
            let Some(release) = ledger.history.open() else { return Err(super::open::no_release()) };
            let phase = if release.split == release.origin_split() {
                SmokePhase::Candidate
            } else {
                SmokePhase::Public
            };
            let done = self.smoke(ledger, phase).await?;
            self.hooks(ledger, "after_smoke_test").await?;
            Ok(done)
        })
        .await
    }

    /// Runs all smoke tests; every one runs, also after one has failed.
    pub(crate) async fn smoke(&self, ledger: &mut Ledger<'_>, phase: SmokePhase) -> Result<Done, Failure> {
        let Some(release) = ledger.history.release.clone() else { return Err(super::open::no_release()) };
        let (passed, failed) = self.run_smoke(ledger, &release, phase).await?;
        let next =
            if phase == SmokePhase::Candidate { self.first_shift() } else { "tidegate finish".to_string() };
        if self.unit.smoke.is_empty() {
            return Ok(Done::new("the unit has no smoke tests: nothing to do").next(next));
        }
        let names: Vec<EntryName> = failed.iter().map(|(n, _)| n.clone()).collect();
        if release.closed.is_none() {
            ledger.append(Event::Smoked { phase, failed: names, passed: passed.clone() }).await?;
        }
        let about = if phase == SmokePhase::Candidate { "the candidate" } else { "the public face" };
        match failed.first() {
            None => Ok(Done::new(format!(
                "{} smoke test{} passed against {about}",
                passed.len(),
                if passed.len() == 1 { "" } else { "s" }
            ))
            .next(next)),
            Some((name, why)) => Err(Failure::Step(Told::new(
                format!(
                    "{} of {} smoke tests failed against {about}: {name}: {why}; traffic is unchanged",
                    failed.len(),
                    failed.len() + passed.len()
                ),
                "mend it and run `tidegate smoke-test` again; or `tidegate rollback`",
            ))),
        }
    }

    /// The command that gives the candidate its first traffic.
    pub(crate) fn first_shift(&self) -> String {
        let first = self.stages().as_slice().first().map_or(Share::ALL, |stage| stage.to);
        format!("tidegate shift-traffic --to {}", first.typed())
    }

    async fn run_smoke(
        &self,
        ledger: &mut Ledger<'_>,
        release: &Release,
        phase: SmokePhase,
    ) -> Result<(Vec<EntryName>, Vec<(EntryName, String)>), Failure> {
        let (mut passed, mut failed) = (Vec::new(), Vec::new());
        let Some(service) = self.unit.services.first() else { return Ok((passed, failed)) };
        let observed = self.observe(service).await.map_err(|fault| Failure::before_any_write(&fault))?;
        let origin = release.opened.targets.get(&service.name);
        let serving = |r: &crate::domain::record::Origin| {
            if observed.share(&r.candidate) > observed.share(&r.baseline) {
                r.candidate.clone()
            } else {
                r.baseline.clone()
            }
        };
        let side =
            origin.map(|o| if phase == SmokePhase::Candidate { o.candidate.clone() } else { serving(o) });
        let declared = if phase == SmokePhase::Candidate { &service.test_url } else { &service.url };
        let base_url = declared.clone().or_else(|| side.as_ref().and_then(|s| reach_instance(&observed, s)));
        for step in &self.unit.smoke {
            let subject = Subject {
                service: Some(service),
                side: side.as_ref(),
                role: Some(Role::Candidate),
                observed: Some(&observed),
                base_url: base_url.clone(),
                extra: Vec::new(),
            };
            let task = self.task(Some(release), format!("smoke.{}", step.name), &subject);
            match self.alive(ledger, self.run_step(step, &task)).await?? {
                Ok(output) => {
                    self.progress.line(&format!("smoke {}: {}", step.name, output.summary));
                    passed.push(step.name.clone());
                }
                Err(fault) => {
                    self.progress.line(&format!("smoke {}: FAILED: {}", step.name, fault.detail));
                    failed.push((step.name.clone(), fault.detail));
                }
            }
        }
        Ok((passed, failed))
    }
}
