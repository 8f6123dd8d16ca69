//! `preflight`: refuses before anything changes. Looks only.

use futures_util::future::join_all;
use std::time::Duration;

use super::{
    Engine,
    ledger::Ledger,
    measure::{Asking, Scene},
    outcome::Done,
    unit::Service,
};
use crate::{
    domain::{
        decision::World,
        duration::spoken,
        names::TargetName,
        observed::{Activity, Observed},
        record::Cursors,
        sample::Sample,
        stage::Stage,
    },
    error::{Failure, Told},
    port::{Finding, Grade},
};

/// How far back a metric source is asked.
const LOOK_BACK: Duration = Duration::from_secs(300);

impl Engine<'_> {
    pub async fn preflight(&self) -> Result<Done, Failure> {
        let mut findings = self.journal_findings().await?;
        let targets = join_all(self.chosen().map(|s| self.service_findings(s))).await;
        let mut world = World::new();
        for (service, (found, observed)) in self.chosen().zip(targets) {
            findings.extend(found);
            world.extend(observed.map(|observed| (service.name.clone(), observed)));
        }
        findings.extend(self.check_findings(&world).await);
        let cx = self.call();
        let databases = join_all(self.unit.databases.iter().map(|d| {
            let cx = &cx;
            async move {
                let found = cx.bounded(d.database.preflight(cx)).await;
                found.unwrap_or_else(|_| {
                    vec![Finding::new(Grade::Refuse, format!("databases.{}", d.name), "no answer in time")]
                })
            }
        }))
        .await;
        findings.extend(databases.into_iter().flatten());
        findings.extend(self.window_findings());
        findings.sort_by_key(|f| std::cmp::Reverse(f.grade));
        self.facts().findings = findings.clone();
        let refused: Vec<&Finding> = findings.iter().filter(|f| f.grade == Grade::Refuse).collect();
        match refused.first() {
            None => {
                let warned = findings.iter().filter(|f| f.grade == Grade::Warn).count();
                let sentence = if warned == 0 {
                    "ready to go".to_string()
                } else {
                    format!("ready to go, with {warned} warning{}", if warned == 1 { "" } else { "s" })
                };
                Ok(Done::new(sentence).next("tidegate rollout"))
            }
            Some(first) => Err(Failure::Refused(Told::new(
                format!("not ready: {}: {}; nothing was changed", first.about, first.message),
                if refused.len() > 1 {
                    format!("{} things are to be mended", refused.len())
                } else {
                    "mend it and run it again".into()
                },
            ))),
        }
    }

    async fn journal_findings(&self) -> Result<Vec<Finding>, Failure> {
        let ledger = Ledger::load(self).await?;
        let place = self.unit.journal.place();
        let mut findings =
            vec![Finding::new(Grade::Ok, "journal", format!("{place}: {} records", ledger.history.last))];
        let cx = self.call();
        findings.extend(cx.bounded(self.unit.journal.preflight(&cx)).await.unwrap_or_default());
        if let Some(open) = ledger.history.open() {
            let same = self.options.release.as_ref().is_none_or(|name| name == open.name());
            let message = format!("{} is open at {}", open.attempt, open.reached());
            let other = if same { Grade::Ok } else { Grade::Warn };
            findings.push(Finding::new(
                if open.stuck.is_some() { Grade::Refuse } else { other },
                "release",
                message,
            ));
        }
        Ok(findings)
    }

    async fn service_findings(&self, service: &Service) -> (Vec<Finding>, Option<Observed>) {
        let mut seen = None;
        let about = service.name.to_string();
        let cx = self.call();
        let mut findings = match cx.bounded(service.target.preflight(&cx)).await {
            Ok(findings) => findings,
            Err(_) => vec![Finding::new(Grade::Refuse, about.clone(), "no answer in time")],
        };
        match self.observe(service).await {
            // The target's own look has said it better.
            Err(_) if findings.iter().any(|f| f.grade == Grade::Refuse) => {}
            Err(fault) => findings.push(Finding::new(Grade::Refuse, about.clone(), fault.to_string())),
            Ok(observed) => {
                match &observed.activity {
                    Activity::Idle => {}
                    Activity::Busy { what } => {
                        findings.push(Finding::new(Grade::Refuse, about.clone(), format!("busy: {what}")))
                    }
                    Activity::Failed { why } => {
                        findings.push(Finding::new(Grade::Refuse, about.clone(), format!("failed: {why}")))
                    }
                }
                // The way back is open only if the side that serves now is healthy.
                let serving = observed.sides.iter().max_by_key(|s| s.share);
                if let Some(side) = serving {
                    let share = side.share;
                    findings.push(match side.ready() {
                        Ok(()) => Finding::new(
                            Grade::Ok,
                            about.clone(),
                            format!(
                                "{} serves {share}, {} of {} healthy",
                                side.name,
                                side.healthy(),
                                side.wanted()
                            ),
                        ),
                        Err(why) => Finding::new(
                            Grade::Refuse,
                            about.clone(),
                            format!("the side that serves {share} is not healthy: {why}"),
                        ),
                    });
                }
                seen = Some(observed);
            }
        }
        let caps = service.target.caps();
        if !caps.precondition {
            let message = "the provider cannot refuse a write that comes late; tidegate reads back and watches for one instead";
            findings.push(Finding::new(Grade::Ok, about.clone(), message));
        }
        (findings, seen)
    }

    /// Asks every check what the side that serves shows now: what cannot be read today will not be read in
    /// the middle of a release.
    async fn check_findings(&self, world: &World) -> Vec<Finding> {
        let origins = world
            .iter()
            .filter_map(|(name, seen)| Some((name.clone(), super::open::origin(seen).ok()?)))
            .collect();
        let scene = Scene { release: None, origins: &origins, world, asking: Asking::Standing };
        let now = self.clock.now();
        let from = now.checked_sub(LOOK_BACK).unwrap_or(now);
        let round = self.measure(&scene, &|_| from, &Cursors::new()).await;
        let mut findings = Vec::new();
        for entry in &self.unit.checks {
            let check = &entry.check;
            let about = format!("checks.{}", check.name);
            if let Some(fault) = round.unreadable.get(&check.name) {
                let decides = !check.fail.is_empty() && !check.shadow;
                let grade = if decides { Grade::Refuse } else { Grade::Warn };
                findings.push(Finding::new(grade, about, format!("cannot be read: {fault}")));
                continue;
            }
            let answers: Vec<(&TargetName, &Sample)> = (round.samples.iter())
                .filter(|((name, _), _)| *name == check.name)
                .map(|((_, target), pair)| match pair.baseline {
                    Sample::Empty => (target, &pair.candidate),
                    _ => (target, &pair.baseline),
                })
                .collect();
            let numbers: Vec<String> = answers
                .iter()
                .filter_map(|(target, sample)| Some((target, sample.number(check.measure)?)))
                .map(|(target, number)| format!("{target} {}", check.kind.show(number)))
                .collect();
            if !numbers.is_empty() {
                findings.push(Finding::new(Grade::Ok, about, format!("now: {}", numbers.join(", "))));
            } else if round.cursors.contains_key(&entry.source) {
                findings.push(Finding::new(Grade::Ok, about, "can be read, and counts from now on"));
            } else if !answers.is_empty() {
                let message = "can be read, and shows nothing of the side that serves in the last 5 min";
                findings.push(Finding::new(Grade::Warn, about, message));
            }
        }
        findings
    }

    /// What the file says and hardly means, and stages that are over before a source can tell of them.
    pub(crate) fn window_findings(&self) -> Vec<Finding> {
        let mut findings = self.unit.doubts.clone();
        let ramps = self.unit.ramps();
        let stages: Vec<&Stage> = ramps.iter().flat_map(|ramp| ramp.stages.as_slice()).collect();
        for entry in self.unit.checks.iter().filter(|entry| !entry.check.fail.is_empty()) {
            let lag = self.unit.sources.get(&entry.source).map_or(Duration::ZERO, |source| source.lag());
            let short = |stage: &&&Stage| !stage.bake.get().is_zero() && stage.bake.get() <= lag;
            let short: Vec<String> = stages.iter().filter(short).map(|stage| format!("`{stage}`")).collect();
            if !short.is_empty() {
                let message = format!(
                    "{} tells of an event {} after it: this check sees nothing in {}, and ends `insufficient`; give the stage more time",
                    entry.source,
                    spoken(lag),
                    short.join(", ")
                );
                findings.push(Finding::new(Grade::Warn, format!("checks.{}", entry.check.name), message));
            }
        }
        findings
    }
}
