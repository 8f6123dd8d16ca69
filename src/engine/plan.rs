//! `plan`: what `rollout` would do, and how long evidence takes at today's rates. Changes nothing.

use super::{Engine, evidence::Rates, outcome::Done};
use crate::{
    domain::{
        check::Check,
        duration::{Span, spoken},
        names::TargetName,
    },
    error::Failure,
};
use std::time::Duration;

impl Engine<'_> {
    /// Fills the report's lines with the steps in their order.
    /// `offline`: asks nobody, and tells nothing of the time that evidence takes.
    pub async fn plan(&self, offline: bool) -> Result<Done, Failure> {
        let tests = self
            .unit
            .checks
            .iter()
            .map(|entry| entry.check.deciding_tests(false) * self.targets_of(entry))
            .sum();
        let rates = match tests {
            _ if offline => Ok(Rates::new()),
            0 => Ok(Rates::new()),
            _ => self.rates_soon().await,
        };
        let mut lines =
            vec!["preflight      services, databases, journal: refuses before anything changes".to_string()];
        for database in &self.unit.databases {
            let keep = database.keep.map_or(String::new(), |k| format!(", kept {k}"));
            lines.push(format!("snapshot-db    {}{keep}", database.name));
        }
        for migration in &self.unit.migrations {
            let contract =
                if migration.contract { "   POINT OF NO RETURN: no automatic way back after it" } else { "" };
            let undo = if migration.undo.is_some() { "can be taken back" } else { "has no `undo`" };
            lines.push(format!("migrate        {} ({undo}){contract}", migration.up.name));
        }
        for service in &self.unit.services {
            let sides = service.target.caps().sides;
            let how = if service.deploy.is_some() || service.target.caps().deploys {
                "the idle side is brought up"
            } else {
                "another tool brings the idle side up"
            };
            lines
                .push(format!("deploy         {}: {how}; sides {} and {}", service.name, sides[0], sides[1]));
        }
        for step in &self.unit.smoke {
            lines.push(format!("smoke-test     {}", step.name));
        }
        let mut total = Duration::ZERO;
        let ramps = self.unit.ramps();
        let steps =
            ramps.iter().flat_map(|ramp| ramp.stages.as_slice().iter().map(move |stage| (ramp, stage)));
        for (ramp, stage) in steps {
            total += stage.bake.get();
            let set: Vec<String> = self
                .unit
                .services
                .iter()
                .filter(|s| ramp.has(s) && s.share_at(stage.to) != stage.to)
                .map(|s| format!("{} really {}", s.name, s.share_at(stage.to)))
                .collect();
            let set = if set.is_empty() { String::new() } else { format!("   ({})", set.join(", ")) };
            let only = ramp.own.map_or(String::new(), |own| format!("{} ", own.name));
            lines.push(format!("shift-traffic  {only}to {}{set}", stage.to));
            let said = stage.bake.get();
            let bake = match self.bake_or_least(said) {
                least if least != said => format!("{} (what the slowest source needs)", spoken(least)),
                _ => stage.bake.to_string(),
            };
            lines.push(format!("verify-metrics for {}: {}", bake, self.check_names()));
            if let Ok(rates) = &rates {
                let share = |target: &TargetName| {
                    let service = self.unit.services.iter().find(|s| &s.name == target);
                    service.map_or(stage.to, |s| s.share_at(stage.to))
                };
                let outlooks = self.outlooks(rates, &share, self.bake_or_least(said), tests);
                lines.extend(outlooks.into_iter().map(|line| format!("  {line}")));
            }
        }
        for entry in &self.unit.checks {
            lines.push(format!("  {}", check_line(&entry.check)));
        }
        match &rates {
            Err(why) => lines.push(format!("note           how long evidence takes is not known: {why}")),
            Ok(rates) if rates.is_empty() && tests > 0 && !offline => {
                lines.push(
                    "note           how long evidence takes is not known: the checks count nothing now"
                        .into(),
                );
            }
            Ok(_) => {}
        }
        let keep = self.unit.finish.keep_old;
        let retires = self.unit.services.iter().any(|s| s.retire.is_some() || s.target.caps().retires);
        lines.push(if retires {
            format!("finish         the old side is retired {keep} after the last shift")
        } else {
            "finish         the old side stays up: nothing here retires it".into()
        });
        for service in self.unit.services.iter().filter(|s| !s.target.caps().precondition) {
            lines.push(format!("note           {}: the provider cannot refuse a late write; a rollback watches for one after it", service.name));
        }
        for finding in self.window_findings() {
            lines.push(format!("warning        {}: {}", finding.about, finding.message));
        }
        self.facts().details = lines;
        Ok(Done::new(format!(
            "{}, at least {} of watching",
            match ramps.iter().map(|ramp| ramp.stages.as_slice().len()).sum::<usize>() {
                1 => "1 stage".to_string(),
                n => format!("{n} stages"),
            },
            Span::new(total)
        ))
        .next("tidegate rollout --release NAME"))
    }

    fn check_names(&self) -> String {
        let names: Vec<&str> = self.unit.checks.iter().map(|c| c.check.name.as_str()).collect();
        if names.is_empty() { "no checks".into() } else { names.join(", ") }
    }
}

fn check_line(check: &Check) -> String {
    let join = |bounds: &[crate::domain::bound::Bound]| {
        bounds.iter().map(|b| b.to_string()).collect::<Vec<_>>().join(", or ")
    };
    let mut parts = Vec::new();
    if !check.fail.is_empty() {
        parts.push(format!("fail {}", join(&check.fail)));
    }
    if !check.warn.is_empty() {
        parts.push(format!("warn {}", join(&check.warn)));
    }
    let proof = check.needs.is_none() && check.fail.contains(&crate::domain::bound::Bound::Worse);
    let needs = if proof {
        " (passes by proof)".to_string()
    } else if check.counts() {
        format!(" (passes from {} events)", check.least_events())
    } else {
        String::new()
    };
    let shadow = if check.shadow { " (shadow: decides nothing)" } else { "" };
    format!("{}: {}{needs}{shadow}", check.name, parts.join("; "))
}
