//! `docs/permissions.md` as text.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    Needs,
    policy::{EXTRAS, policy},
};

/// What other units need instead of, or beside, what the unit of the page needs.
const ELSEWHERE: [(&str, &str, &str); 6] = [
    (
        "a listener's default action splits the traffic",
        "`elasticloadbalancing:DescribeListeners` and `elasticloadbalancing:ModifyListener`, on `listener/app/NAME/*`",
        "`DescribeRules` and `ModifyRule`",
    ),
    (
        "`ecs_rolling`",
        "`ecs:UpdateService` in `shift-traffic` and `rollback`, where the deployment is the shift; `ecs:UntagResource` in `finish`",
        "all of `elasticloadbalancing`",
    ),
    (
        "a cluster, or `documentdb`",
        "the same actions with `DBCluster` in their names, on `cluster:NAME` and `cluster-snapshot:*`; `rds:CreateDBInstance` in `restore-db`, for its instances",
        "those with `DBInstance`, `DBSnapshot`",
    ),
    ("Lambda code in a bucket (`s3:`)", "`s3:GetObject` on the package in `deploy`", ""),
    (
        "tasks with more than one role",
        "`iam:PassRole` on every task role and execution role, with the same condition",
        "",
    ),
    ("a role to take on (`aws: {role: …}`)", "`sts:AssumeRole` on it; the policy belongs to that role", ""),
];

pub fn page(needs: &Needs) -> String {
    let mut text = String::from(
        "# Permissions on AWS\n\n\
         What each subcommand asks AWS for, for a unit with `ecs_alb`, `lambda`, `s3_cloudfront`, an `rds` \
         instance, `cloudwatch` and the `s3` journal. A unit needs the rows of the services it names. \
         The page is written by a test from the calls it saw; another test runs every subcommand with nothing \
         but its policy.\n\n",
    );
    table(&mut text, needs);
    text.push_str(
        "\n`rollout` needs what its parts need. `plan` asks AWS for nothing, and looking up who calls \
         (`sts:GetCallerIdentity`) needs no permission.\n\n\
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
        let _ = write!(
            text,
            "<details><summary><code>{command}</code></summary>\n\n```json\n{}```\n\n</details>\n\n",
            policy(command, asks)
        );
    }
    text.push_str("## Other units\n\n| with | it takes | in the place of |\n|---|---|---|\n");
    for (what, takes, instead) in ELSEWHERE {
        let _ = writeln!(text, "| {what} | {takes} | {instead} |");
    }
    text
}

fn table(text: &mut String, needs: &Needs) {
    let shown: Vec<_> =
        needs.iter().filter(|(command, asks)| **command != "rollout" && !asks.is_empty()).collect();
    let heads: Vec<String> = shown.iter().map(|(command, _)| format!("`{command}`")).collect();
    let _ = writeln!(text, "| action | {} |", heads.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(shown.len()));
    let all: BTreeSet<&String> =
        shown.iter().flat_map(|(_, asks)| asks.iter()).map(|ask| &ask.action).collect();
    for action in all {
        let mark =
            |asks: &BTreeSet<_>| match asks.iter().any(|ask: &crate::double::iam::Ask| ask.action == *action)
            {
                true => "x",
                false => "",
            };
        let marks: Vec<&str> = shown.iter().map(|(_, asks)| mark(asks)).collect();
        let _ = writeln!(text, "| `{action}` | {} |", marks.join(" | "));
    }
}
