//! `docs/permissions.md`: the least policy per subcommand, from the calls that the commands really make.
//!
//! `TIDEGATE_WRITE_DOCS=1 scripts/test permissions` writes the page anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

use crate::{production::Production, worlds};

/// A subcommand and the actions it needs.
type Needs = BTreeMap<&'static str, BTreeSet<String>>;

const PAGE: &str = "docs/permissions.md";

/// What the release of the test had no need of: for which call, what, and when.
const EXTRAS: [(&str, &str, &str); 16] = [
    (
        "ecs:UpdateService",
        "ecs:UpdateService",
        "in `rollback` too: it brings back tasks that the baseline lacks",
    ),
    (
        "ecs:DescribeServices",
        "ecs:UpdateService",
        "in `shift-traffic` and `rollback` of `ecs_rolling`: there the deployment is the shift",
    ),
    (
        "ecs:RegisterTaskDefinition",
        "iam:PassRole",
        "on the task role and the execution role of the task definition",
    ),
    (
        "ecs:UpdateService",
        "ecs:ListTasks",
        "and `ecs:DescribeTasks`: why the tasks of a failed deploy stopped",
    ),
    ("ecs:TagResource", "ecs:UntagResource", "`ecs_rolling`: at `finish`"),
    (
        "elasticloadbalancing:DescribeRules",
        "elasticloadbalancing:DescribeListeners",
        "where a listener's default action splits the traffic",
    ),
    (
        "elasticloadbalancing:ModifyRule",
        "elasticloadbalancing:ModifyListener",
        "where a listener's default action splits the traffic",
    ),
    ("lambda:UpdateFunctionCode", "s3:GetObject", "on the code, where it comes from a bucket (`s3:`)"),
    (
        "lambda:UpdateFunctionCode",
        "ecr:GetRepositoryPolicy",
        "on the image's repository, where it comes from an image (with `ecr:SetRepositoryPolicy` and `ecr:BatchGetImage` the first time)",
    ),
    (
        "rds:CreateDBSnapshot",
        "rds:AddTagsToResource",
        "always: the tags are sent with the snapshot, and with a restore",
    ),
    ("rds:CreateDBSnapshot", "rds:DescribeEvents", "why a snapshot failed; not needed otherwise"),
    (
        "rds:CreateDBSnapshot",
        "kms:DescribeKey",
        "on the key, where the storage is encrypted with one of your own",
    ),
    (
        "rds:RestoreDBInstanceFromDBSnapshot",
        "kms:CreateGrant",
        "on the key, where the snapshot is encrypted with one of your own",
    ),
    ("rds:RestoreDBInstanceFromDBSnapshot", "rds:CreateDBInstance", "clusters: their instances"),
    (
        "s3:PutObject",
        "s3:DeleteObject",
        "`s3_cloudfront`: a page that the new release lacks; the journal never deletes",
    ),
    (
        "s3:PutObject",
        "kms:GenerateDataKey",
        "on the bucket's key, where it is encrypted with one (with `kms:Decrypt` to read)",
    ),
];

/// The action that IAM asks for a call; `None` where it asks for nothing.
fn actions(service: &str, operation: &str) -> Vec<String> {
    let plain = |prefix: &str| vec![format!("{prefix}:{operation}")];
    match (service, operation) {
        ("sts", "GetCallerIdentity") => Vec::new(),
        ("s3", "HeadObject") => vec!["s3:GetObject".into()],
        ("s3", "HeadBucket" | "ListObjectsV2") => vec!["s3:ListBucket".into()],
        ("s3", "CopyObject") => vec!["s3:GetObject".into(), "s3:PutObject".into()],
        ("monitoring", _) => plain("cloudwatch"),
        (service, _) => plain(service),
    }
}

/// Runs a command on its way through a whole release and notes what it asked AWS for.
fn note(stage: &Production, needs: &mut Needs, command: &'static str, arguments: &str) {
    let before = stage.double.calls().len();
    stage.expect(0, arguments);
    let calls = stage.double.calls();
    let asked = calls[before..].iter().flat_map(|call| actions(&call.service, &call.operation));
    needs.entry(command).or_default().extend(asked);
}

fn needs() -> Needs {
    let mut needs = Needs::new();
    let stage = worlds::everything();
    for (command, arguments) in worlds::WHOLE_RELEASE {
        note(&stage, &mut needs, command, arguments);
    }
    // A bake of seconds has no whole period to ask for; what the opening asked, the watch asks too.
    let metrics: Vec<String> =
        needs.values().flatten().filter(|action| action.starts_with("cloudwatch:")).cloned().collect();
    needs.entry("verify-metrics").or_default().extend(metrics);
    needs
}

fn page(needs: &Needs) -> String {
    let mut text = String::from(
        "# Permissions on AWS\n\n\
         What each subcommand asks AWS for, for a unit with `ecs_alb`, `lambda`, `s3_cloudfront`, an `rds` \
         instance, `cloudwatch` and the `s3` journal. A unit needs the rows of the services it names. \
         The table is written by a test from the calls it saw.\n\n",
    );
    let commands: Vec<&str> = needs.keys().copied().collect();
    let all: BTreeSet<&String> = needs.values().flatten().collect();
    let _ = writeln!(
        text,
        "| action | {} |",
        commands.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(" | ")
    );
    let _ = writeln!(text, "|---|{}", "---|".repeat(commands.len()));
    for action in &all {
        let marks: Vec<&str> =
            commands.iter().map(|command| if needs[command].contains(*action) { "x" } else { "" }).collect();
        let _ = writeln!(text, "| `{action}` | {} |", marks.join(" | "));
    }
    text.push_str(
        "\n`rollout` needs all of it but for `restore-db`. Looking up who calls (`sts:GetCallerIdentity`) needs no \
         permission. Clusters and DocumentDB have the same actions with `DBCluster` in their names.\n\n\
         ## Besides\n\nWhat the release behind this table had no need of, or AWS asks for with a call.\n\n\
         | with | it takes | when |\n|---|---|---|\n",
    );
    for (call, extra, why) in
        EXTRAS.iter().filter(|(call, ..)| all.iter().any(|action| action.as_str() == *call))
    {
        let _ = writeln!(text, "| `{call}` | `{extra}` | {why} |");
    }
    text.push_str(
        "\n## A policy for a whole rollout\n\nPut your own ARNs in the place of `*` where the action knows resources. \
         Add what you need of the table above.\n\n```json\n",
    );
    let rollout: BTreeSet<&String> = needs
        .iter()
        .filter(|(command, _)| **command != "restore-db")
        .flat_map(|(_, actions)| actions)
        .collect();
    let always = ["iam:PassRole", "rds:AddTagsToResource", "s3:DeleteObject"].map(String::from);
    let rollout: BTreeSet<&String> = rollout.into_iter().chain(&always).collect();
    let rollout: Vec<String> = rollout.iter().map(|action| format!("        \"{action}\"")).collect();
    let _ = write!(
        text,
        "{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {{\n      \"Effect\": \"Allow\",\n      \"Action\": [\n{}\n      ],\n      \"Resource\": \"*\"\n    }}\n  ]\n}}\n```\n",
        rollout.join(",\n")
    );
    text
}

#[test]
fn the_page_says_what_the_commands_really_ask_for() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = page(&needs());
    if std::env::var_os("TIDEGATE_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "{PAGE} is out of date: `TIDEGATE_WRITE_DOCS=1 scripts/test permissions` writes it\n{page}"
    );
}

/// A permission that is not on the page is missed, and the command says which.
#[test]
fn a_command_that_lacks_a_permission_names_it() {
    let stage = worlds::everything();
    stage.double.state().denied.insert("elasticloadbalancing:DescribeRules".into());
    let ran = stage.run("preflight --release v2");
    assert_eq!(ran.code, 15, "{}{}", ran.out, ran.err);
    assert!(
        format!("{}{}", ran.out, ran.err).contains("elasticloadbalancing:DescribeRules"),
        "{}{}",
        ran.out,
        ran.err
    );
}
