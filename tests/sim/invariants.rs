//! What must hold at every event, however runs are killed and answers get lost.

use std::time::Duration;
use tidegate::{
    domain::{
        history::{Pending, Release},
        names::{SideName, TargetName},
        record::{Aim, Closing, Event, Record, SmokePhase, Step},
        share::{Share, Split},
        verdict::Verdict,
    },
    port::Change,
};

use crate::{
    runs::{Ending, What, own_stages, stages},
    world::{Web, World, blue, green, services},
};

/// Where a run stands between looking at the journal and writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fenced {
    #[default]
    No,
    /// Its newest call was to the journal.
    Fresh,
    /// It began to write at this moment, right after it.
    Writing(Duration),
}

/// The run saw the journal as it is now.
pub fn journal_seen(world: &mut World, run: usize) {
    let now = world.now;
    if let Some(state) = world.runs.get_mut(&run) {
        state.journal_at = now;
        state.fenced = Fenced::Fresh;
    }
}

/// The run turned to something else than the journal or a write.
pub fn not_fenced(world: &mut World, run: usize) {
    if let Some(state) = world.runs.get_mut(&run) {
        state.fenced = Fenced::No;
    }
}

/// A write to a target is being sent.
pub fn writing(world: &mut World, run: usize, target: &TargetName, change: &Change) {
    let now = world.now;
    may_act(world, run, &format!("{change:?}"));
    let state = world.runs.get_mut(&run).unwrap();
    state.writes += 1;
    match state.fenced {
        Fenced::Fresh => state.fenced = Fenced::Writing(now),
        Fenced::Writing(at) if at == now => {}
        other => {
            let what = format!(
                "run {run} writes to {target} without a look at the journal right before ({other:?})"
            );
            world.violation(what);
        }
    }
    let pending = world.history.open().and_then(|r| r.pending.clone());
    let origin = world.history.open().and_then(|r| r.opened.targets.get(target)).map(|o| o.baseline.clone());
    let covered = match (change, &pending) {
        // a rollback's own record covers what brings back the recorded baseline
        (Change::Revive { side }, _) => origin.as_ref() == Some(side),
        (Change::Share(shares), Some(Pending { step: Step::Share { moves, .. }, .. })) => {
            let share = shares.get(&green()).copied().unwrap_or_default();
            moves.get(target).is_some_and(|m| {
                m.candidate == green()
                    && (m.wanted == share || m.before == share || m.between.contains(&share))
            })
        }
        (Change::Deploy { side, .. }, Some(Pending { step: Step::Deploy { sides }, .. }))
        | (Change::Retire { side }, Some(Pending { step: Step::Retire { sides }, .. })) => {
            sides.get(target) == Some(side)
        }
        _ => false,
    };
    if !covered {
        world.violation(format!(
            "run {run} writes {change:?} to {target}, and no intent covers it: {pending:?}"
        ));
    }
    if let Change::Share(shares) = change {
        sharing(world, run, target, shares);
    }
}

fn sharing(
    world: &mut World,
    run: usize,
    target: &TargetName,
    shares: &std::collections::BTreeMap<SideName, Share>,
) {
    let sum: u32 = shares.values().map(|s| u32::from(s.basis_points())).sum();
    if sum != 10_000 || shares.len() != 2 {
        world.violation(format!("the shares of {target} are not the whole: {shares:?}"));
    }
    let place = &world.places[target];
    let gaining = [green(), blue()]
        .into_iter()
        .find(|side| shares.get(side).copied().unwrap_or_default() > place.configured_of(side));
    if let Some(side) = gaining
        && world.runs[&run].saw.get(&(target.clone(), side.clone())) == Some(&false)
    {
        world.violation(format!("run {run} moves traffic of {target} to {side}, which it saw unhealthy"));
    }
}

/// Only the holder of the lease acts; one it was just taken from by a rollback may not know yet.
fn may_act(world: &mut World, run: usize, what: &str) {
    let state = world.runs[&run].clone();
    let holder = world.history.lease.as_ref().map(|l| l.holder.process.clone());
    if holder.as_deref() == Some(&state.process) {
        return;
    }
    let taken = world.journal.iter().rposition(|r| {
        r.holder.process != state.process && matches!(r.event, Event::Lease { .. } | Event::Preempt { .. })
    });
    let excused = taken.is_some_and(|i| {
        matches!(world.journal[i].event, Event::Preempt { .. }) && world.appended_at[i] >= state.journal_at
    });
    if !excused {
        world.violation(format!("run {run} acts ({what}) while the lease is with {holder:?}"));
    }
}

/// A piece of work of ours begins: a snapshot, a migration, a hook, a smoke test.
pub fn working(world: &mut World, run: usize, what: &str) {
    not_fenced(world, run);
    let recorded = match world.history.open().and_then(|r| r.pending.as_ref()).map(|p| &p.step) {
        Some(Step::Snapshot { .. }) => what == "snapshot",
        Some(Step::Migrate { .. }) => what.starts_with("migrations."),
        _ => false,
    };
    if (what == "snapshot" || what.starts_with("migrations.")) && !recorded {
        world.violation(format!("run {run} does {what}, and no intent covers it"));
    }
    if !what.starts_with("smoke.") {
        may_act(world, run, what);
        world.runs.get_mut(&run).unwrap().writes += 1;
    }
}

/// A side is taken down.
pub fn retired(world: &mut World, target: &TargetName, side: &SideName) {
    if world.places[target].configured_of(side) != Share::NONE {
        world.violation(format!("{side} of {target} is retired and has traffic"));
    }
}

/// A record is about to be appended.
pub fn appending(world: &mut World, record: &Record) {
    match &record.event {
        Event::Intent { step: Step::Share { aim: Aim::Forward, moves } } => {
            let Some(release) = world.history.open().cloned() else { return };
            let (allowed, failed) = allowed(&world.journal, &release, world.web);
            for (target, m) in moves {
                let allowed = allowed[target];
                if m.wanted > m.before && (m.wanted > allowed || failed) {
                    let why = if failed { "after a `fail`" } else { "past the gate" };
                    world.violation(format!("{target} is to go to {} {why} (allowed: {allowed})", m.wanted));
                }
            }
            let snapped = !release.snapshots.is_empty();
            let migrated = release.migrations.len() == 1;
            if !snapped || !migrated {
                world.violation("traffic is to move before the snapshot and the migration are done".into());
            }
        }
        Event::Closed { how, .. } => {
            let wanted = match how {
                Closing::Finished | Closing::Superseded => Some(Share::ALL),
                Closing::RolledBack | Closing::Abandoned => None,
            };
            all_stand(world, wanted, &format!("when it was closed as {how:?}"));
        }
        _ => {}
    }
}

/// How far the recorded evidence lets the candidate go, and whether it failed.
fn allowed(journal: &[Record], release: &Release, web: Web) -> (Split, bool) {
    let [first_service, second_service] = services();
    let (stages, own) = (stages(), own_stages());
    let first = stages.as_slice()[0].to;
    let (mut failed, mut smoked) = (false, false);
    let mut allowed: Split = release.origin_split();
    let mut split: Split = release.origin_split();
    let mut since = 0;
    for record in journal.iter().filter(|r| r.opened == release.attempt.opened) {
        match &record.event {
            Event::Smoked { phase: SmokePhase::Candidate, failed, .. } => smoked = failed.is_empty(),
            Event::Confirmed { intent, .. } => {
                let step = journal.iter().find(|r| r.seq == *intent).map(|r| &r.event);
                match step {
                    Some(Event::Intent { step: Step::Share { moves, .. } }) => {
                        split.extend(moves.iter().map(|(t, m)| (t.clone(), m.wanted)));
                        since = record.seq;
                    }
                    Some(Event::Intent { step: Step::Deploy { .. } }) => smoked = false,
                    _ => {}
                }
            }
            Event::Judged { verdict: Verdict::Fail, .. } => failed = true,
            Event::Judged { split: judged, verdict: Verdict::Pass, watched, .. } => {
                if *judged != split || watched.since != since {
                    continue;
                }
                let at = [&first_service, &second_service].map(|s| split[s]);
                let lowest = if web == Web::Split { at[0].min(at[1]) } else { at[0] };
                let next = stages.after(lowest).map_or(Share::ALL, |s| s.to);
                allowed.insert(first_service.clone(), next);
                let second = match web {
                    Web::Split => next,
                    Web::Whole if next == Share::ALL => Share::ALL,
                    Web::Own if at[0] == Share::ALL => own.after(at[1]).map_or(Share::ALL, |s| s.to),
                    Web::Whole | Web::Own => Share::NONE,
                };
                allowed.insert(second_service.clone(), second);
            }
            _ => {}
        }
    }
    if smoked {
        for (service, share) in &mut allowed {
            if web == Web::Split || *service == first_service {
                *share = first.max(*share);
            }
        }
    }
    (allowed, failed)
}

/// Every target is configured to give the candidate this share; the share it opened with if `None`.
fn all_stand(world: &mut World, share: Option<Share>, when: &str) {
    let Some(release) = world.history.release.clone() else { return };
    for (target, origin) in &release.opened.targets {
        let wanted = share.unwrap_or(origin.share);
        let found = world.places[target].configured_of(&origin.candidate);
        if found != wanted {
            world.violation(format!("{target} stands at {found} and not at {wanted} {when}"));
        }
    }
}

/// A run ended by itself.
pub fn ended(world: &mut World, ending: &Ending) {
    let state = world.runs[&ending.run].clone();
    match ending.code {
        // A watch of a release that another run has just closed.
        2 if ending.what == What::Verify => {}
        1 | 2 => {
            world.violation(format!("run {} ended with {}: {}", ending.run, ending.code, ending.sentence))
        }
        14 if state.writes > 0 => {
            let what =
                format!("run {} says that nothing was changed after {} writes", ending.run, state.writes);
            world.violation(what);
        }
        0 if ending.what == What::Rollback && ending.sentence.starts_with("rolled back") => {
            all_stand(world, None, "when the rollback said that it was done");
        }
        10 if matches!(ending.what, What::Rollout | What::Assume) => {
            all_stand(world, None, "when the rollout said that it was rolled back")
        }
        0 if matches!(ending.what, What::Rollout | What::Assume) && !ending.waiting => {
            all_stand(world, Some(Share::ALL), "when the rollout said that it was done");
        }
        _ => {}
    }
}

/// Nothing runs any more and nothing is on its way.
pub fn at_rest(world: &mut World) {
    let Some(release) = world.history.release.clone() else { return };
    match release.closed.as_ref().map(|c| c.how) {
        Some(Closing::RolledBack | Closing::Abandoned) => all_stand(world, None, "at rest, rolled back"),
        Some(Closing::Finished | Closing::Superseded) => {
            all_stand(world, Some(Share::ALL), "at rest, finished")
        }
        None => world.violation("the release is still open at rest".into()),
    }
    let prefixes = tidegate::domain::history::History::replay(&world.journal);
    if let Err(corrupt) = prefixes {
        world.violation(format!("the journal cannot be replayed as a whole: {corrupt}"));
    }
    let opened = release.attempt.opened;
    let from_opened: Vec<Record> = world.journal.iter().filter(|r| r.seq >= opened).cloned().collect();
    match tidegate::domain::history::History::replay(&from_opened) {
        Err(corrupt) => world.violation(format!("the journal cannot be replayed from {opened}: {corrupt}")),
        Ok(short) => {
            let here = short.lease.map(|l| l.holder) == world.history.lease.clone().map(|l| l.holder);
            if !here {
                world.violation("replayed from `opened`, the lease is somebody else's".into());
            }
        }
    }
}
