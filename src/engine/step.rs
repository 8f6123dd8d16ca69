//! Running a step of the file: with its variables, within its limit, while the lease stays alive.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Engine,
    ledger::Ledger,
    unit::{Service, Step},
};
use crate::{
    domain::{
        history::{Pending, Release},
        names::{Role, SideName, TargetName},
        observed::{Health, Instance, Observed},
        record::{Event, Outcome, Step as Recorded},
        template::Words,
    },
    error::{Failure, Told},
    port::{Fault, Output, Task},
};

/// What a step is about: a side of a service, or the unit.
pub(crate) struct Subject<'a> {
    pub service: Option<&'a Service>,
    pub side: Option<&'a SideName>,
    pub role: Option<Role>,
    pub observed: Option<&'a Observed>,
    pub base_url: Option<String>,
    pub extra: Vec<(&'static str, String)>,
}

impl Subject<'_> {
    pub(crate) fn unit() -> Self {
        Subject { service: None, side: None, role: None, observed: None, base_url: None, extra: Vec::new() }
    }
}

/// The first instance of a side that is up, as a base for requests.
pub(crate) fn reach_instance(observed: &Observed, side: &SideName) -> Option<String> {
    let instances = &observed.side(side)?.instances;
    let up = instances.iter().find(|i| i.health == Health::Up && i.address.is_some());
    up.or(instances.iter().find(|i| i.address.is_some()))
        .and_then(|i| i.address.as_ref())
        .map(|address| format!("http://{address}"))
}

impl Engine<'_> {
    /// The words of templates for one side of one service.
    pub(crate) fn words(
        &self,
        release: Option<&Release>,
        target: Option<&TargetName>,
        side: Option<&SideName>,
        role: Option<Role>,
        version: Option<&str>,
    ) -> Words {
        let mut words = Words::default().with("environment", self.unit.environment.as_str());
        if let Some(release) = release {
            words = words.with("release", release.name().as_str());
        }
        if let Some(target) = target {
            words = words.with("service", target.as_str());
        }
        if let Some(side) = side {
            words = words.with("side", side.as_str());
        }
        if let Some(role) = role {
            words = words.with("role", role.to_string());
        }
        match (version, role, release) {
            (Some(version), _, _) => words.with("version", version),
            (None, Some(Role::Candidate), Some(release)) => words.with("version", release.name().as_str()),
            _ => words,
        }
    }

    pub(crate) fn task(&self, release: Option<&Release>, name: String, subject: &Subject<'_>) -> Task {
        let mut variables = BTreeMap::from([
            ("TIDEGATE_UNIT".to_string(), self.unit.name.to_string()),
            ("TIDEGATE_ENVIRONMENT".to_string(), self.unit.environment.to_string()),
        ]);
        let mut set = |key: &str, value: String| variables.insert(format!("TIDEGATE_{key}"), value);
        if let Some(release) = release {
            set("RELEASE", release.name().to_string());
            set("ATTEMPT", release.attempt.opened.to_string());
        }
        if let Some(service) = subject.service {
            set("SERVICE", service.name.to_string());
        }
        if let Some(side) = subject.side {
            set("SIDE", side.to_string());
            if let Some(observed) = subject.observed {
                set("SHARE", observed.share(side).typed());
            }
        }
        if let Some(role) = subject.role {
            set("ROLE", role.to_string());
        }
        if let Some(url) = &subject.base_url {
            set("URL", url.clone());
        }
        for (key, value) in &subject.extra {
            set(key, value.clone());
        }
        let side = subject.side.and_then(|side| subject.observed.and_then(|o| o.side(side)));
        let instances: Vec<Instance> = side.map(|s| s.instances.clone()).unwrap_or_default();
        Task {
            name,
            variables,
            words: self.words(release, subject.service.map(|s| &s.name), subject.side, subject.role, None),
            base_url: subject.base_url.clone(),
            instances,
        }
    }

    /// Runs one step within its limit. A signal ends it.
    pub(crate) async fn run_step(&self, step: &Step, task: &Task) -> Result<Result<Output, Fault>, Failure> {
        let cx = self.within(step.limit);
        let run = cx.bounded(step.command.run(&cx, task, self.progress));
        Ok(self.stop.or(run).await?.unwrap_or_else(|late| {
            let detail =
                format!("it was still running after its limit of {} s and was ended", late.0.as_secs());
            Err(Fault::outcome_unknown("step", "run", task.name.clone(), detail)
                .hint("give the step a longer `limit`"))
        }))
    }

    /// Does long work while giving signs of life in the journal. When the lease is lost, the work is dropped.
    pub(crate) async fn alive<T>(
        &self,
        ledger: &mut Ledger<'_>,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let mut work = std::pin::pin!(work);
        let beat = ledger.heartbeat().max(Duration::from_millis(100));
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = self.clock.sleep(beat) => {}
            }
            // The work goes on while the sign of life is on its way, and no append is dropped half done.
            let mut beating = std::pin::pin!(ledger.beat());
            tokio::select! {
                biased;
                alive = &mut beating => alive?,
                done = &mut work => {
                    beating.await?;
                    return Ok(done);
                }
            }
        }
    }

    /// Runs the hooks of a moment, each once per release.
    pub(crate) async fn hooks(&self, ledger: &mut Ledger<'_>, moment: &str) -> Result<(), Failure> {
        self.close_hook_left_open(ledger, moment).await?;
        for hook in self.unit.hooks_at(moment) {
            let Some(release) = ledger.history.release.as_ref().filter(|r| r.closed.is_none()) else {
                return Ok(());
            };
            if release.hooks.contains(&(moment.to_string(), hook.step.name.clone())) {
                continue;
            }
            let task =
                self.task(Some(release), format!("hooks.{moment}.{}", hook.step.name), &Subject::unit());
            let step = Recorded::Hook { moment: moment.to_string(), hook: hook.step.name.clone() };
            let intent = match &release.pending {
                None => Some(ledger.append(Event::Intent { step }).await?),
                Some(open) if open.step == step => Some(open.seq),
                // A rollback in the middle of another step, whose intent must not be lost.
                Some(_) => None,
            };
            ledger.fence().await?;
            self.acting();
            match self.alive(ledger, self.run_step(&hook.step, &task)).await?? {
                Ok(output) => {
                    if let Some(intent) = intent {
                        ledger.append(Event::Confirmed { intent, outcome: Outcome::default() }).await?;
                    }
                    self.progress.line(&format!("hook {moment} {}: {}", hook.step.name, output.summary));
                }
                Err(fault) => {
                    let why = fault.to_string();
                    if let Some(intent) = intent {
                        ledger.append(Event::Failed { intent, why: why.clone(), settled: true }).await?;
                    }
                    let message = format!("hook {moment} {} failed: {}", hook.step.name, fault.detail);
                    return Err(Failure::Step(Told::new(message, "mend it and run the same command again")));
                }
            }
        }
        Ok(())
    }

    /// A run that ended in the middle of a hook of another command leaves an intent that no step of this
    /// one would answer. It is recorded as failed, and the hook runs again when its command does.
    async fn close_hook_left_open(&self, ledger: &mut Ledger<'_>, moment: &str) -> Result<(), Failure> {
        let Some(release) = ledger.history.open() else { return Ok(()) };
        let Some(Pending { seq, step: Recorded::Hook { moment: left, hook } }) = &release.pending else {
            return Ok(());
        };
        if left == moment {
            return Ok(());
        }
        let why = format!("the run of hook {left} {hook} ended before the hook did");
        let intent = *seq;
        ledger.append(Event::Failed { intent, why, settled: true }).await?;
        Ok(())
    }
}
