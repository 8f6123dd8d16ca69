//! `docs/permissions.md` as text.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    ADAPTERS, Needs,
    policy::{EXTRAS, policy},
    units::UNITS,
};
use crate::double::iam::Ask;

/// What some units need beside what is seen here.
const BESIDE: [(&str, &str); 3] = [
    ("Lambda code in a bucket (`s3:`)", "`s3:GetObject` on the package in `deploy`"),
    (
        "tasks with more than one role",
        "`iam:PassRole` on every task role and execution role, with the same condition",
    ),
    ("a role to take on (`aws: {role: …}`)", "`sts:AssumeRole` on it; the policy belongs to that role"),
];

/// `others`: the needs of the other units, in their order.
pub fn page(needs: &Needs, others: &[Needs]) -> String {
    let mut text = String::from(
        "# Permissions on AWS\n\n\
         What each subcommand asks AWS for, for a unit with `ecs_alb`, `lambda`, `s3_cloudfront`, an `rds` \
         instance, `cloudwatch` and the `s3` journal. A unit needs the rows of the services it names. \
         The page is written by a test from the calls it saw; another test runs every subcommand with nothing \
         but its policy. [Other units](#other-units) come after it.\n\n",
    );
    table(&mut text, needs, &[""]);
    text.push_str(
        "\n`rollout` needs what its parts need. `plan` asks where the traffic is and what the checks \
         show, and goes on without an answer; with `--offline` it asks for nothing. Looking up who calls \
         (`sts:GetCallerIdentity`) needs no permission. `rollback --to VERSION` is a release of its own: beside \
         what `rollback` needs it needs what `deploy` and `shift-traffic` need.\n\n\
         ## A policy for each subcommand\n\n\
         Of the unit `shop` in account 123456789012: put your own names in the place of its names. `*` alone \
         stands where the action knows no resources. Statements with a name were not needed by the releases \
         that the test saw:\n\n| statement | what for |\n|---|---|\n",
    );
    for extra in &EXTRAS {
        let _ = writeln!(text, "| `{}` | {} |", extra.sid, extra.why);
    }
    text.push('\n');
    for (command, asks) in needs.iter().filter(|(_, asks)| !asks.is_empty()) {
        details(&mut text, &heading(command, None), &policy(&ADAPTERS, command, asks));
    }
    text.push_str(
        "## Other units\n\nWhat other parts ask for in the place of those above, from the calls of their own \
         releases, forward and back, and policies that these were run with.\n\n",
    );
    for (unit, needs) in UNITS.iter().zip(others) {
        let _ = writeln!(text, "### {}\n", unit.with);
        table(&mut text, needs, unit.own);
        text.push('\n');
        for command in unit.policies {
            let policy = policy(unit.adapters, command, &needs[command]);
            details(&mut text, &heading(command, Some(unit.with)), &policy);
        }
    }
    text.push_str("### Beside these\n\n| with | it takes |\n|---|---|\n");
    for (what, takes) in BESIDE {
        let _ = writeln!(text, "| {what} | {takes} |");
    }
    text
}

/// What stands over the policy of a command.
pub fn heading(command: &str, unit: Option<&str>) -> String {
    let with = unit.map(|unit| format!(" of {}", unit.replace('`', ""))).unwrap_or_default();
    format!("<summary><code>{command}</code>{with}</summary>")
}

fn details(text: &mut String, heading: &str, policy: &str) {
    let _ = write!(text, "<details>{heading}\n\n```json\n{policy}```\n\n</details>\n\n");
}

/// Which commands ask for which of the actions that begin like one of these.
fn table(text: &mut String, needs: &Needs, own: &[&str]) {
    let is_own = |ask: &&Ask| own.iter().any(|start| ask.action.starts_with(start));
    let shown: Vec<_> = needs
        .iter()
        .filter(|(command, asks)| **command != "rollout" && asks.iter().any(|ask| is_own(&ask)))
        .collect();
    let heads: Vec<String> = shown.iter().map(|(command, _)| format!("`{command}`")).collect();
    let _ = writeln!(text, "| action | {} |", heads.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(shown.len()));
    let all: BTreeSet<&String> =
        shown.iter().flat_map(|(_, asks)| asks.iter()).filter(is_own).map(|ask| &ask.action).collect();
    for action in all {
        let mark = |asks: &BTreeSet<Ask>| match asks.iter().any(|ask| ask.action == *action) {
            true => "x",
            false => "",
        };
        let marks: Vec<&str> = shown.iter().map(|(_, asks)| mark(asks)).collect();
        let _ = writeln!(text, "| `{action}` | {} |", marks.join(" | "));
    }
}
