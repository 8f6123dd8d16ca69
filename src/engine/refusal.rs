//! Why nothing was done, in words: what stands in the way, what was left as it was, what to do.

use std::collections::BTreeSet;

use crate::{
    domain::{
        decision::{Gate, Halt},
        record::Step,
        verdict::Verdict,
    },
    error::{Failure, Told},
};

/// A refusal in words.
pub(crate) fn explain(halt: &Halt) -> Failure {
    match halt {
        Halt::Drift { target, recorded, found } => {
            let recorded: BTreeSet<String> = recorded.iter().map(|s| s.to_string()).collect();
            let recorded: Vec<String> = recorded.into_iter().collect();
            Failure::Drift(Told::new(
                format!(
                    "{target} stands at {found}, and the journal says {}; traffic was left as it is",
                    recorded.join(" or ")
                ),
                "`tidegate status --adopt` accepts what is there; `tidegate rollback` goes back to the baseline",
            ))
        }
        Halt::RevertedOutside => Failure::Drift(Told::new(
            "all traffic is back at the baseline though no rollback of ours did it; this is recorded now, and nothing was changed",
            "find out who did it; then run the same command again to go on from there, or `tidegate rollback` to close the release",
        )),
        Halt::Unhealthy { target, side, why } => Failure::Refused(Told::new(
            format!("{target}: no traffic goes to {side}: {why}; traffic is unchanged"),
            format!("bring {side} up, then run the same command again"),
        )),
        Halt::NoWayBack { target, side, why } => Failure::Refused(Told::new(
            format!(
                "{target}: the way back is not open: the baseline {side} could not take its traffic back: {why}; traffic is unchanged"
            ),
            format!("bring {side} up, then run the same command again; or `--hotfix \"reason\"`"),
        )),
        Halt::Busy { target, what } => Failure::Refused(Told::new(
            format!("{target} is not idle: {what}; traffic is unchanged"),
            "wait for it, then run the same command again",
        )),
        Halt::Gate(Gate::Smoke) => Failure::Refused(Told::new(
            "the gate is shut: the smoke tests have not passed against this candidate; traffic is unchanged",
            "run `tidegate smoke-test`; or `--hotfix \"reason\"`",
        )),
        Halt::Gate(Gate::Unverified) => Failure::Refused(Told::new(
            "the gate is shut: the present split has no verdict yet; traffic is unchanged",
            "run `tidegate verify-metrics`; or `--hotfix \"reason\"`",
        )),
        Halt::Gate(Gate::Verdict(verdict)) => Failure::Refused(Told::new(
            format!(
                "the gate is shut: the verdict for the present split is `{verdict}`; traffic is unchanged"
            ),
            match verdict {
                Verdict::Fail => "run `tidegate rollback`",
                _ => "run `tidegate verify-metrics` again, or `tidegate rollback`; or `--hotfix \"reason\"`",
            },
        )),
        Halt::Gate(Gate::Failed { check }) => Failure::Refused(Told::new(
            format!(
                "the gate is shut: this attempt failed{}, and that is final; traffic is unchanged",
                check.as_ref().map_or(String::new(), |c| format!(" its check `{c}`"))
            ),
            "run `tidegate rollback`; the same release may then be tried again as a new attempt",
        )),
        Halt::RollingBack => Failure::Refused(Told::new(
            "a rollback of this release has begun; nothing goes forward any more",
            "run `tidegate rollback` to finish it",
        )),
        Halt::Stuck { why } => Failure::Stuck(Told::new(
            format!("a rollback of this release is incomplete: {why}"),
            "run `tidegate rollback` again; with `--force` it goes past an unhealthy baseline",
        )),
        Halt::StepOpen { step } => Failure::Step(Told::new(
            format!(
                "the step `{}` was begun and its end is not recorded; nothing was changed",
                step_name(step)
            ),
            format!(
                "run `tidegate {}` again: it finds out and goes on; or `tidegate rollback`",
                step_name(step)
            ),
        )),
        Halt::UnknownTarget { target } => Failure::Refused(Told::new(
            format!("the service {target} was not there when this release opened; nothing was changed"),
            "finish or roll back this release before the config gains services",
        )),
    }
}

/// The command that does a step.
pub(crate) fn step_name(step: &Step) -> &'static str {
    match step {
        Step::Snapshot { .. } => "snapshot-db",
        Step::Migrate { .. } => "migrate",
        Step::Deploy { .. } => "deploy",
        Step::Share { .. } => "shift-traffic",
        Step::Retire { .. } => "finish",
        Step::Hook { moment, .. } if moment.contains("rollback") => "rollback",
        Step::Hook { .. } => "rollout",
    }
}
