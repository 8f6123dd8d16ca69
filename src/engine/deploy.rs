//! `deploy`: the candidate up at no traffic, healthy and scaled.

use futures_util::future::join_all;
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
        duration::spoken,
        history::{Pending, Release},
        judge::series::millis,
        names::{Role, SideName, TargetName},
        observed::{Activity, Observed},
        record::{Event, Outcome, Step},
        share::Share,
    },
    error::{Failure, Told},
    port::{Change, Fault},
};

/// Waits grow from this to the pace of the target.
const FIRST_WAIT: Duration = Duration::from_millis(200);

impl Engine<'_> {
    pub async fn deploy(&self) -> Result<Done, Failure> {
        let ledger = Ledger::load(self).await?;
        if let Some(release) = self.quiet(&ledger, "deploy")
            && self.undeployed(release).is_empty()
        {
            self.bind(release.attempt.opened);
            return Ok(self.deployed_already());
        }
        self.leased_from(ledger, async |ledger| {
            self.ensure_open(ledger).await?;
            self.hooks(ledger, "before_deploy").await?;
            let done = self.deploy_candidates(ledger).await?;
            self.hooks(ledger, "after_deploy").await?;
            Ok(done)
        })
        .await
    }

    /// The candidates that are not up yet.
    fn undeployed(&self, release: &Release) -> BTreeMap<TargetName, SideName> {
        self.chosen()
            .filter_map(|s| {
                release.opened.targets.get(&s.name).map(|o| (s.name.clone(), o.candidate.clone()))
            })
            .filter(|(target, _)| !release.deployed.contains_key(target))
            .collect()
    }

    fn after_deploy(&self) -> String {
        if self.unit.smoke.is_empty() { self.first_shift() } else { "tidegate smoke-test".to_string() }
    }

    fn deployed_already(&self) -> Done {
        Done::new("the candidate is deployed already: nothing to do").next(self.after_deploy())
    }

    pub(crate) async fn deploy_candidates(&self, ledger: &mut Ledger<'_>) -> Result<Done, Failure> {
        let Some(release) = ledger.history.open().cloned() else { return Err(super::open::no_release()) };
        let next = self.after_deploy();
        let sides = self.undeployed(&release);
        if sides.is_empty() {
            return Ok(self.deployed_already());
        }
        let world = self.observe_all().await?;
        for (target, side) in &sides {
            let share = world.get(target).map_or(Share::NONE, |o| o.share(side));
            if share != Share::NONE {
                return Err(Failure::Refused(Told::new(
                    format!(
                        "{target}: {side} serves {share} of the traffic and is not deployed over; nothing was changed"
                    ),
                    "shift its traffic to 0 first: `tidegate shift-traffic --to 0`, or `tidegate rollback`",
                )));
            }
        }
        let began = self.clock.elapsed();
        let intent = match &release.pending {
            Some(Pending { seq, step: Step::Deploy { .. } }) => *seq,
            Some(Pending { step, .. }) => {
                return Err(super::refusal::explain(&crate::domain::decision::Halt::StepOpen {
                    step: step.clone(),
                }));
            }
            None => {
                self.stop.check()?;
                ledger.fence().await?;
                ledger.append(Event::Intent { step: Step::Deploy { sides: sides.clone() } }).await?
            }
        };
        ledger.fence().await?;
        // Where another tool brings the candidate up, this command changes nothing.
        let acts = self.chosen().any(|s| s.deploy.is_some() || s.target.caps().deploys);
        if acts {
            self.facts().touch(Changed::Partial);
        }
        let jobs = join_all(sides.iter().filter_map(|(target, side)| {
            self.unit
                .service(target)
                .map(|s| async { (target.clone(), self.bring_up(&release, s, side).await) })
        }));
        for (target, result) in self.alive(ledger, jobs).await? {
            if let Err(failed) = result? {
                ledger.append(Event::Failed { intent, why: failed.clone(), settled: true }).await?;
                return Err(Failure::Step(Told::new(
                    format!(
                        "deploy of {target} failed: {failed}; the candidate has no traffic, the baseline is as it was"
                    ),
                    "mend it and run `tidegate deploy` again; or `tidegate rollback` to close the release",
                )));
            }
        }
        let took_ms = millis(self.clock.elapsed().saturating_sub(began));
        ledger
            .append(Event::Confirmed { intent, outcome: Outcome { took_ms, ..Outcome::default() } })
            .await?;
        if acts {
            self.facts().changed = Changed::All;
        }
        let took = spoken(self.clock.elapsed().saturating_sub(began));
        Ok(Done::new(format!("the candidate is up at 0 % and healthy after {took}")).next(next))
    }

    /// Deploys one side and waits until it is healthy. The inner error says why not.
    async fn bring_up(
        &self,
        release: &Release,
        service: &Service,
        side: &SideName,
    ) -> Result<Result<(), String>, Failure> {
        let artifact = service.artifact.as_ref().map(|a| {
            let words =
                self.words(Some(release), Some(&service.name), Some(side), Some(Role::Candidate), None);
            crate::domain::template::fill(a, &words, str::to_string)
        });
        let artifact = match artifact.transpose() {
            Ok(artifact) => artifact,
            Err(why) => return Ok(Err(why)),
        };
        self.acting();
        let started = if service.target.caps().deploys && service.deploy.is_none() {
            let earlier = self.sending(&service.name);
            let cx = self.within(self.healthy_within(service));
            let change = Change::Deploy { side: side.clone(), release: release.name().clone(), artifact };
            let answer = cx.bounded(service.target.apply(&cx, &change)).await.unwrap_or_else(|late| {
                Err(Fault::outcome_unknown(
                    "target",
                    "deploy",
                    service.name.to_string(),
                    format!("no answer within {} s", late.0.as_secs()),
                ))
            });
            if !matches!(&answer, Err(fault) if fault.treat == crate::port::Treat::OutcomeUnknown) {
                self.answered(&service.name, earlier);
            }
            answer
        } else if let Some(step) = &service.deploy {
            let observed = self.observe(service).await.ok();
            let subject = Subject {
                service: Some(service),
                side: Some(side),
                role: Some(Role::Candidate),
                observed: observed.as_ref(),
                base_url: None,
                extra: artifact.map(|a| ("IMAGE", a)).into_iter().collect(),
            };
            let task = self.task(Some(release), format!("services.{}.deploy", service.name), &subject);
            self.run_step(step, &task).await?.map(|output| {
                self.progress.line(&format!("deploy {} {side}: {}", service.name, output.summary));
            })
        } else {
            self.progress.line(&format!(
                "deploy {}: {side} is brought up by another tool; waiting for its health",
                service.name
            ));
            Ok(())
        };
        match started {
            Err(fault) => Ok(Err(fault.to_string())),
            Ok(()) => self.wait_ready(service, side, self.healthy_within(service), Until::Deployed).await,
        }
    }

    /// How long a side may take to become healthy.
    pub(crate) fn healthy_within(&self, service: &Service) -> Duration {
        self.at_least(self.timing.healthy, service.target.pace().healthy)
    }

    /// Waits until a side may carry traffic. One that was `deployed` just now also until the provider is done
    /// with it; what the provider does to the other side never keeps a baseline from its traffic.
    pub(crate) async fn wait_ready(
        &self,
        service: &Service,
        side: &SideName,
        limit: Duration,
        until: Until,
    ) -> Result<Result<(), String>, Failure> {
        let deployed = until == Until::Deployed;
        let began = self.clock.elapsed();
        let subject = service.name.to_string();
        let mut wait = FIRST_WAIT;
        loop {
            let mut given_up = None;
            let why = match self.stop.or(self.observe(service)).await? {
                Ok(Observed { activity: Activity::Failed { why }, .. }) if deployed => {
                    given_up = Some(why.clone());
                    why
                }
                Ok(observed) => match observed.side(side) {
                    None => format!("{side} is not there any more"),
                    Some(found) => {
                        let fit = match until {
                            Until::Deployed => still_at_work(&observed.activity).and_then(|()| found.ready()),
                            Until::Carries(share) => observed.carries(found, share),
                            Until::TakesBack(share) => observed.takes_back(found, share),
                        };
                        match fit {
                            Ok(()) => {
                                self.tell_ready(service, side, &observed);
                                return Ok(Ok(()));
                            }
                            Err(why) => why,
                        }
                    }
                },
                Err(fault) => fault.to_string(),
            };
            if let Some(failed) = given_up {
                return Ok(Err(failed));
            }
            let waited = self.clock.elapsed().saturating_sub(began);
            if waited >= limit {
                return Ok(Err(format!("{side} is not healthy after {}: {why}", spoken(waited))));
            }
            self.progress
                .waiting(&subject, &format!("{why}; giving it {} s more", (limit - waited).as_secs()));
            self.stop.pause(self.clock.as_ref(), wait).await?;
            wait = (wait * 3 / 2).min(self.at_least(self.timing.look, service.target.pace().look));
        }
    }

    /// Says how many instances of a side are healthy.
    pub(crate) fn tell_ready(&self, service: &Service, side: &SideName, seen: &Observed) {
        if let Some(found) = seen.side(side) {
            let (healthy, wanted) = (found.healthy(), found.wanted());
            self.progress.line(&format!("{} {side}: {healthy} of {wanted} healthy", service.name));
        }
    }
}

/// What a side is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// It was deployed just now: it is well, and the provider is done with it.
    Deployed,
    /// It can carry this share.
    Carries(Share),
    /// It can take this share back.
    TakesBack(Share),
}

fn still_at_work(activity: &Activity) -> Result<(), String> {
    match activity {
        Activity::Busy { what } => Err(what.clone()),
        Activity::Idle | Activity::Failed { .. } => Ok(()),
    }
}
