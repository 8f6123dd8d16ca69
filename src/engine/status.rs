//! `status`: where the release stands, by the journal and by what the targets show. Changes nothing, but
//! for `--adopt`.

use super::{
    Engine,
    ledger::Ledger,
    outcome::{Changed, Done},
};
use crate::{
    domain::{
        decision::World,
        duration::spoken,
        history::{History, Release},
        record::{Closing, Event},
        share::{Share, Split},
    },
    error::{Failure, Told},
};
use std::time::Duration;

/// What `--adopt` accepts as the state to go on from.
#[derive(Clone, Debug)]
pub enum Adopt {
    /// What the targets show now.
    Live,
    /// What a rollback without a journal left.
    Split(Split),
}

impl Engine<'_> {
    pub async fn status(&self, adopt: Option<Adopt>) -> Result<Done, Failure> {
        if let Some(adopt) = adopt {
            return self.leased(async |ledger| self.adopt(ledger, adopt).await).await;
        }
        let ledger = Ledger::load(self).await?;
        let world = self.observe_all().await;
        let mut lines = Vec::new();
        if let Some(release) = &ledger.history.release {
            lines.extend(self.release_lines(release));
        }
        lines.extend(lease_line(&ledger.history));
        match &world {
            Ok(world) => lines.extend(live_lines(world)),
            Err(failure) => lines.push(format!("live: {failure}")),
        }
        let done = match (&ledger.history.release, world) {
            (None, Ok(world))
                if world.values().any(|o| o.sides.iter().filter(|s| s.share > Share::NONE).count() > 1) =>
            {
                Done::new("the journal is empty and the traffic is split: which side was the baseline is not recorded")
                    .next("tidegate rollback --to-baseline SIDE, if you know it")
            }
            (None, Ok(_)) => {
                Done::new("no release was ever opened here").next("tidegate rollout --release NAME")
            }
            (None, Err(failure)) => return Err(failure),
            (Some(release), world) => self.standing_in_words(release, world.ok().as_ref()),
        };
        self.facts().details = lines;
        Ok(done)
    }

    fn standing_in_words(&self, release: &Release, world: Option<&World>) -> Done {
        if let Some(closed) = &release.closed {
            let how = match closed.how {
                Closing::Finished => "finished: it serves all traffic",
                Closing::RolledBack => "rolled back",
                Closing::Abandoned => "abandoned at no traffic",
                Closing::Superseded => "superseded by another release",
            };
            let why = closed.reason.as_ref().map_or(String::new(), |r| format!(": {r}"));
            return Done::new(format!("{how} ({}){why}", closed.at.strftime("%Y-%m-%d %H:%M:%SZ")));
        }
        if let Some(why) = &release.stuck {
            return Done::new(format!("stuck: {why}")).next("tidegate rollback");
        }
        if release.undoing {
            return Done::new("being rolled back").next("tidegate rollback");
        }
        if let Some(reason) = &release.asked_back {
            let sentence =
                format!("open at {}; a rollback was asked for ({reason}) and is not done", release.reached());
            return Done::new(sentence).next("tidegate rollback");
        }
        let drifted = world.is_some_and(|world| {
            release.opened.targets.iter().any(|(t, o)| {
                world.get(t).is_some_and(|seen| Some(&seen.share(&o.candidate)) != release.split.get(t))
            })
        });
        let drift = if drifted { ", but the targets show something else" } else { "" };
        let failed =
            release.failed.as_ref().map_or(String::new(), |why| format!("; the last step failed: {why}"));
        let next = match release.verdict_here().map(|j| j.verdict) {
            _ if drifted => "tidegate status --adopt, or tidegate rollback",
            Some(crate::domain::verdict::Verdict::Fail) => "tidegate rollback",
            _ => "tidegate rollout",
        };
        let since = Duration::try_from(self.clock.now().duration_since(release.split_at)).unwrap_or_default();
        if let Some(watched) = release.watched.as_ref().filter(|w| w.goal.is_some() && !drifted) {
            let bake = self.bake_or_least(self.stages().bake_at(self.reached(release)).get());
            let left = bake.saturating_sub(Duration::from_millis(
                watched.watched_ms.saturating_sub(watched.counted_from_ms),
            ));
            let due = watched.at.checked_add(left).ok();
            let sentence =
                format!("waiting at {}: its bake outlasted the job that watched it", release.reached());
            let waits = Done { next_at: due, waiting: true, ..Done::new(sentence) };
            return waits.next("tidegate rollout --if-waiting");
        }
        Done::new(format!("open at {} for {}{drift}{failed}", release.reached(), spoken(since))).next(next)
    }

    fn release_lines(&self, release: &Release) -> Vec<String> {
        let mut lines = Vec::new();
        for (target, origin) in &release.opened.targets {
            let share = release.split.get(target).copied().unwrap_or(origin.share);
            lines.push(format!(
                "{target:<12} baseline {} {}   candidate {} {share}   (recorded)",
                origin.baseline,
                share.rest(),
                origin.candidate
            ));
        }
        if let Some(judged) = release.verdicts.last() {
            let here = if release.verdict_here().is_some() { "" } else { ", before the traffic moved on" };
            lines.push(format!(
                "verdict      {}{here} at {}",
                judged.verdict,
                judged.at.strftime("%Y-%m-%d %H:%M:%SZ")
            ));
            lines.extend(judged.judgements.iter().map(|j| format!("  {}: {}", j.target, j.sentence)));
        }
        for (database, artifact) in &release.snapshots {
            lines.push(format!("snapshot     {database}: {}", artifact.id));
        }
        for migrated in &release.migrations {
            let state = if migrated.undone {
                "taken back"
            } else if migrated.nothing_ran {
                "nothing to do"
            } else {
                "done"
            };
            lines.push(format!("migration    {}: {state}", migrated.migration));
        }
        if let Some(reason) = &release.hotfix {
            lines.push(format!("HOTFIX       {reason}"));
        }
        lines
    }

    async fn adopt(&self, ledger: &mut Ledger<'_>, adopt: Adopt) -> Result<Done, Failure> {
        let Some(release) = ledger.history.open().cloned() else {
            return Err(Failure::Refused(Told::plain("no release is open: there is nothing to adopt into")));
        };
        let world = self.observe_all().await?;
        let live: Split = release
            .opened
            .targets
            .iter()
            .filter_map(|(t, o)| world.get(t).map(|seen| (t.clone(), seen.share(&o.candidate))))
            .collect();
        if let Adopt::Split(recorded) = &adopt
            && recorded.iter().any(|(t, share)| live.get(t) != Some(share))
        {
            return Err(Failure::Drift(Told::new(
                "the targets do not show what the file says; nothing was recorded",
                "`tidegate status --adopt` without a file accepts what the targets show",
            )));
        }
        if release.undoing || release.stuck.is_some() {
            return Err(Failure::Refused(Told::new(
                "a rollback has begun: nothing is adopted in the middle of it",
                "run `tidegate rollback`",
            )));
        }
        ledger.append(Event::Adopted { split: live.clone() }).await?;
        self.facts().touch(Changed::None);
        let words: Vec<String> = live.iter().map(|(t, s)| format!("{t} {s}")).collect();
        Ok(Done::new(format!("adopted as the state to go on from: {}", words.join(", ")))
            .next("tidegate verify-metrics"))
    }
}

fn lease_line(history: &History) -> Option<String> {
    let lease = history.lease.as_ref()?;
    let what = if lease.rollback { "rollback by" } else { "held by" };
    let log = lease.holder.log.as_ref().map_or(String::new(), |l| format!(" ({l})"));
    Some(format!("lease        {what} {}{log}", lease.holder))
}

fn live_lines(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    for (target, observed) in world {
        for side in &observed.sides {
            let version = side.version.as_ref().map_or(String::new(), |v| format!("   {v}"));
            lines.push(format!(
                "{target:<12} {} {}   {} of {} healthy{version}   (live)",
                side.name,
                side.share,
                side.healthy(),
                side.wanted()
            ));
        }
        lines.extend(observed.notes.iter().map(|n| format!("{target:<12} note: {n}")));
    }
    lines
}
