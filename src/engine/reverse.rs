//! `rollback --to VERSION`: after a `finish`, a release of its own that goes back.

use std::collections::BTreeSet;

use super::{Engine, ledger::Ledger, outcome::Done};
use crate::{
    domain::{
        decision::Goal,
        history::Release,
        names::ReleaseName,
        record::{Aim, Closing, Event, Opened},
        share::Share,
    },
    error::{Failure, Told},
};

/// Versions that a refusal lists.
const LISTED_MAX: usize = 10;

impl Engine<'_> {
    /// After a `finish`: a release of its own that goes back to `version`: deploy, health, all traffic.
    pub(super) async fn reverse(&self, version: &ReleaseName, reason: Option<&str>) -> Result<Done, Failure> {
        self.leased(async |ledger| {
            if let Some(open) = ledger.history.open()
                && open.opened.reverse_to.as_ref() != Some(version)
            {
                return Err(Failure::Held(Told::new(
                    format!("{} is open; nothing was changed", open.attempt),
                    "`tidegate rollback` without `--to` takes it back",
                )));
            }
            if ledger.history.open().is_none() {
                if self.serves(ledger, version).await? {
                    return Ok(Done::new(format!("{version} serves all traffic already: nothing to do")));
                }
                self.known_there(version).await?;
                self.was_here(ledger, version).await?;
                self.open(ledger, version.clone(), Some(version.clone())).await?;
            }
            self.deploy_candidates(ledger).await?;
            let wanted = self.chosen().map(|s| (s.name.clone(), Share::ALL)).collect();
            let goal = Goal {
                aim: Aim::Forward,
                wanted,
                force: self.options.force,
                smoke_first: false,
                hotfix: true,
            };
            let moved = self.move_traffic(ledger, &goal).await?;
            let reason = Some(reason.unwrap_or("reverse release").into());
            ledger.append(Event::Closed { how: Closing::Finished, reason }).await?;
            if let Some(moved) = &moved {
                self.tell_moves(moved);
            }
            Ok(Done::new(format!("back at {version}: all traffic is on it, confirmed"))
                .next("tidegate status"))
        })
        .await
    }

    /// Where tidegate cannot deploy, the idle side must say itself that it runs this version.
    async fn known_there(&self, version: &ReleaseName) -> Result<(), Failure> {
        for service in self.chosen().filter(|s| s.deploy.is_none() && s.artifact.is_none()) {
            if let Err(why) = service.target.deploys_by_name() {
                return Err(Failure::Refused(Told::new(
                    format!("{}: {why}; nothing was changed", service.name),
                    "go forward with a release that has the old code, or point the provider to the old version by hand",
                )));
            }
        }
        let world = self.observe_all().await?;
        for service in self.chosen().filter(|s| s.deploy.is_none() && !s.target.caps().deploys) {
            let idle = world.get(&service.name).and_then(|o| o.sides.iter().min_by_key(|s| s.share));
            let runs = idle.and_then(|side| side.version.as_deref());
            if runs != Some(version.as_str()) {
                return Err(Failure::Refused(Told::new(
                    format!(
                        "{}: nothing here can deploy {version}, and the idle side {}; traffic is unchanged",
                        service.name,
                        runs.map_or("does not say what it runs".to_string(), |v| format!("runs {v}"))
                    ),
                    "give the service `deploy: {run: …}`, or `version:` so that it can be asked",
                )));
            }
        }
        Ok(())
    }

    /// Whether the newest release is of this version, is over, and has all traffic.
    async fn serves(&self, ledger: &Ledger<'_>, version: &ReleaseName) -> Result<bool, Failure> {
        let over = |release: &&Release| {
            release.name() == version
                && release
                    .closed
                    .as_ref()
                    .is_some_and(|c| matches!(c.how, Closing::Finished | Closing::Superseded))
        };
        let Some(last) = ledger.history.release.as_ref().filter(over) else { return Ok(false) };
        let world = self.observe_all().await?;
        Ok(last.opened.targets.iter().all(|(target, origin)| {
            world.get(target).is_some_and(|seen| seen.share(&origin.candidate) == Share::ALL)
        }))
    }

    /// Refuses a version that neither the journal nor a target ever heard of. What served before the first
    /// record is only known where it says its version: where it does not, any version may be that one.
    async fn was_here(&self, ledger: &Ledger<'_>, version: &ReleaseName) -> Result<(), Failure> {
        if self.options.force {
            return Ok(());
        }
        let all = match ledger.everything().await {
            Ok(all) => all,
            Err(failure) => {
                // a past that cannot be read must not keep anybody from going back
                self.progress.line(&format!("whether {version} was ever here is not known: {failure}"));
                return Ok(());
            }
        };
        let opened: Vec<&Opened> = all.iter().filter_map(|record| record.event.opened()).collect();
        let world = self.observe_all().await?;
        let recorded = opened.iter().flat_map(|opened| opened.targets.values()).flat_map(|o| &o.sides);
        let seen = recorded.chain(world.values().flat_map(|observed| &observed.sides));
        let mut said = seen.filter_map(|side| side.version.as_deref());
        let named = |opened: &&&Opened| opened.release == *version;
        if opened.iter().any(|o| named(&o)) || said.any(|said| said == version.as_str()) {
            return Ok(());
        }
        let Some(first) = opened.first() else { return Ok(()) };
        if first.baseline_version().is_none() {
            self.progress.line(&format!(
                "{version} is not in the journal; what served before {} did not say its version, so it may be that",
                first.release
            ));
            return Ok(());
        }
        let mut listed = BTreeSet::new();
        let known = opened.iter().rev().map(|opened| opened.release.to_string());
        let known = known.chain(first.baseline_version());
        let known: Vec<String> = known.filter(|name| listed.insert(name.clone())).take(LISTED_MAX).collect();
        Err(Failure::Refused(Told::new(
            format!(
                "{version} was never here; nothing was changed. Known, newest first: {}",
                known.join(", ")
            ),
            "name one of these; `--force` deploys a version that nobody here knows",
        )))
    }
}
