//! What to do about traffic, decided from the history and from what the targets show. Pure.

use std::collections::BTreeMap;

use super::{
    history::{Pending, Phase, Release},
    names::{SideName, TargetName},
    observed::{Activity, Observed},
    record::{Aim, Move, Step},
    share::{Share, Split},
    verdict::Verdict,
};

/// By target, one look at each.
pub type World = BTreeMap<TargetName, Observed>;

/// Where the traffic shall be.
#[derive(Clone, Debug)]
pub struct Goal {
    pub aim: Aim,
    /// The candidate's share per target, already rounded to what each can set.
    pub wanted: Split,
    /// Go past an unhealthy side. Only a person says so.
    pub force: bool,
    /// The unit has smoke tests that must have passed before the first traffic.
    pub smoke_first: bool,
    /// A person gave a reason to go past the gate; a `fail` stays final.
    pub hotfix: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Decision {
    /// Record this intent and apply it.
    Act(BTreeMap<TargetName, Move>),
    /// An intent is recorded and not yet true everywhere: apply what is missing of it.
    Complete {
        intent: u64,
        moves: BTreeMap<TargetName, Move>,
    },
    /// An intent is recorded and true: append `confirmed`.
    Confirm {
        intent: u64,
    },
    /// Everything is as wanted and recorded.
    Done,
    Halt(Halt),
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Halt {
    /// The live share is neither what was recorded nor what was asked.
    Drift {
        target: TargetName,
        recorded: Vec<Share>,
        found: Share,
    },
    /// All targets stand at the baseline though the journal says otherwise.
    RevertedOutside,
    /// This side would get more traffic and may not.
    Unhealthy {
        target: TargetName,
        side: SideName,
        why: String,
    },
    Busy {
        target: TargetName,
        what: String,
    },
    /// The first traffic would leave a baseline that could not take it back.
    NoWayBack {
        target: TargetName,
        side: SideName,
        why: String,
    },
    /// The gate is shut.
    Gate(Gate),
    /// A rollback began: it must be finished first.
    RollingBack,
    /// A rollback is incomplete.
    Stuck {
        why: String,
    },
    /// Another kind of step has no answer yet.
    StepOpen {
        step: Step,
    },
    /// A target of the goal was not observed or was not there when the release opened.
    UnknownTarget {
        target: TargetName,
    },
}

/// Why the share may not rise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The smoke tests have not passed against the candidate.
    Smoke,
    /// There is no verdict for the present split.
    Unverified,
    /// There is one, and it is not `pass`.
    Verdict(Verdict),
    /// A `fail` is final for the attempt.
    Failed { check: Option<String> },
}

impl Decision {
    /// Whether no write that follows will prove what was seen.
    pub fn rests_on_a_look(&self, aim: Aim) -> bool {
        match self {
            Decision::Confirm { .. } | Decision::Halt(Halt::Drift { .. } | Halt::RevertedOutside) => true,
            Decision::Act(moves) => moves.is_empty(),
            Decision::Done => aim == Aim::Undo,
            Decision::Complete { .. } | Decision::Halt(_) => false,
        }
    }
}

/// Decides one step toward `goal`.
pub fn decide(release: &Release, world: &World, goal: &Goal) -> Decision {
    if goal.aim == Aim::Forward {
        if let Some(why) = &release.stuck {
            return Decision::Halt(Halt::Stuck { why: why.clone() });
        }
        if release.undoing {
            return Decision::Halt(Halt::RollingBack);
        }
    }
    match &release.pending {
        Some(Pending { seq, step: Step::Share { aim, moves } }) if *aim == goal.aim => {
            return recover(*seq, moves, world, goal);
        }
        // A rollback takes over from a forward step wherever it stands.
        Some(Pending { step: Step::Share { .. }, .. }) => {}
        Some(Pending { step, .. }) if goal.aim == Aim::Forward => {
            return Decision::Halt(Halt::StepOpen { step: step.clone() });
        }
        _ => {}
    }
    if goal.aim == Aim::Forward
        && release.pending.is_none()
        && let Some(halt) = drift(release, world)
    {
        return Decision::Halt(halt);
    }
    let mut moves = BTreeMap::new();
    for (target, wanted) in &goal.wanted {
        let (Some(origin), Some(observed)) = (release.opened.targets.get(target), world.get(target)) else {
            return Decision::Halt(Halt::UnknownTarget { target: target.clone() });
        };
        let before = observed.share(&origin.candidate);
        if before != *wanted {
            let change =
                Move { candidate: origin.candidate.clone(), before, wanted: *wanted, between: Vec::new() };
            moves.insert(target.clone(), change);
        }
    }
    if moves.is_empty() && release.split_covers(&goal.wanted) {
        return Decision::Done;
    }
    let rises = moves.values().any(|m| m.wanted > m.before);
    if goal.aim == Aim::Forward
        && rises
        && let Err(gate) = gate(release, goal.smoke_first)
        && (!goal.hotfix || matches!(gate, Gate::Failed { .. }))
    {
        return Decision::Halt(Halt::Gate(gate));
    }
    let way_back = (goal.aim == Aim::Forward && rises && !goal.hotfix)
        .then(|| no_way_back(release, &moves, world))
        .flatten();
    match unfit(&moves, world, goal).or(way_back) {
        Some(halt) => Decision::Halt(halt),
        None => Decision::Act(moves),
    }
}

/// Before the first traffic leaves it, the baseline must be able to take it back.
fn no_way_back(release: &Release, moves: &BTreeMap<TargetName, Move>, world: &World) -> Option<Halt> {
    moves.keys().find_map(|target| {
        let origin = release.opened.targets.get(target)?;
        if release.split.get(target).is_some_and(|at| *at != origin.share) {
            return None;
        }
        let why = world.get(target)?.side(&origin.baseline)?.ready().err()?;
        Some(Halt::NoWayBack { target: target.clone(), side: origin.baseline.clone(), why })
    })
}

impl Release {
    /// Whether this is recorded as the present split, with nothing under way.
    pub fn split_covers(&self, wanted: &Split) -> bool {
        self.pending.is_none() && wanted.iter().all(|(target, share)| self.split.get(target) == Some(share))
    }
}

/// The recovery table for an intent without an answer.
fn recover(intent: u64, moves: &BTreeMap<TargetName, Move>, world: &World, goal: &Goal) -> Decision {
    let mut missing = BTreeMap::new();
    for (target, m) in moves {
        let Some(observed) = world.get(target) else {
            return Decision::Halt(Halt::UnknownTarget { target: target.clone() });
        };
        let found = observed.share(&m.candidate);
        if found == m.wanted {
            continue;
        }
        // Going back ends at the baseline from wherever the targets stand.
        if found != m.before && !m.between.contains(&found) && goal.aim == Aim::Forward {
            return Decision::Halt(Halt::Drift {
                target: target.clone(),
                recorded: vec![m.before, m.wanted],
                found,
            });
        }
        missing.insert(target.clone(), Move { before: found, ..m.clone() });
    }
    if missing.is_empty() {
        return Decision::Confirm { intent };
    }
    match unfit(&missing, world, goal) {
        Some(halt) => Decision::Halt(halt),
        None => Decision::Complete { intent, moves: missing },
    }
}

/// Whether the targets stand where the journal says.
pub fn drift(release: &Release, world: &World) -> Option<Halt> {
    let mut first = None;
    let mut at_origin = true;
    for (target, origin) in &release.opened.targets {
        let Some(observed) = world.get(target) else { continue };
        let found = observed.share(&origin.candidate);
        let recorded = release.split.get(target).copied().unwrap_or(origin.share);
        at_origin &= found == origin.share;
        if found != recorded && first.is_none() {
            first = Some(Halt::Drift { target: target.clone(), recorded: vec![recorded], found });
        }
    }
    match first {
        Some(_) if at_origin => Some(Halt::RevertedOutside),
        other => other,
    }
}

/// Capacity first, traffic second: the side that gains must be idle, healthy and scaled.
pub fn unfit(moves: &BTreeMap<TargetName, Move>, world: &World, goal: &Goal) -> Option<Halt> {
    for (target, m) in moves {
        let observed = world.get(target)?;
        if goal.aim == Aim::Forward {
            match &observed.activity {
                Activity::Idle => {}
                Activity::Busy { what } | Activity::Failed { why: what } => {
                    return Some(Halt::Busy { target: target.clone(), what: what.clone() });
                }
            }
        }
        let (gaining, share) = m.gaining(observed);
        let Some(side) = gaining else { return Some(Halt::UnknownTarget { target: target.clone() }) };
        // Only a rollback may be forced: no person's word makes a sick candidate fit for more traffic.
        let fit = match goal.aim {
            // What it lacks in number is brought up before the traffic moves.
            Aim::Forward => side.ready(),
            Aim::Undo => observed.takes_back(side, share),
        };
        if let Err(why) = fit
            && !(goal.force && goal.aim == Aim::Undo)
        {
            return Some(Halt::Unhealthy { target: target.clone(), side: side.name.clone(), why });
        }
    }
    None
}

/// Whether the share may rise.
pub fn gate(release: &Release, smoke_first: bool) -> Result<(), Gate> {
    if let Some(failure) = release.failure() {
        let check = failure.judgements.iter().find(|j| j.decides && j.verdict == Verdict::Fail);
        return Err(Gate::Failed { check: check.map(|j| j.check.to_string()) });
    }
    if release.split == release.origin_split() {
        let passed = release.smoked.get(&Phase::Candidate).copied().unwrap_or(false);
        return if smoke_first && !passed { Err(Gate::Smoke) } else { Ok(()) };
    }
    match release.verdict_here() {
        None => Err(Gate::Unverified),
        Some(judged) if judged.verdict == Verdict::Pass => Ok(()),
        Some(judged) => Err(Gate::Verdict(judged.verdict)),
    }
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
