//! From what a subcommand asked IAM for to a policy that somebody can attach.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use crate::double::{ACCOUNT, REGION, iam::Ask};

/// What the releases of the test had no need of and others have, or AWS asks for behind a call.
pub struct Extra {
    /// The statement's name.
    pub sid: &'static str,
    pub commands: &'static [&'static str],
    /// Of units with one of these; of all where it is empty.
    pub adapters: &'static [&'static str],
    pub actions: &'static [&'static str],
    /// Without `arn:aws:`; `*` for all.
    pub resources: &'static [&'static str],
    /// Operator, key, value.
    pub condition: Option<(&'static str, &'static str, &'static str)>,
    pub why: &'static str,
}

const WRITES: &[&str] = &[
    "deploy",
    "finish",
    "migrate",
    "rollback",
    "rollout",
    "shift-traffic",
    "smoke-test",
    "snapshot-db",
    "verify-metrics",
];
const ALL: &[&str] = &[
    "deploy",
    "finish",
    "migrate",
    "preflight",
    "restore-db",
    "rollback",
    "rollout",
    "shift-traffic",
    "smoke-test",
    "snapshot-db",
    "status",
    "verify-metrics",
];

pub const EXTRAS: [Extra; 8] = [
    Extra {
        sid: "CapacityBeforeTraffic",
        commands: &["rollback", "rollout", "shift-traffic"],
        adapters: &["ecs_alb"],
        actions: &["ecs:UpdateService"],
        resources: &["ecs:eu-west-1:123456789012:service/shop/*"],
        condition: None,
        why: "brings back tasks that a side lacks before it gets traffic",
    },
    Extra {
        sid: "WhyADeployFailed",
        commands: &["deploy", "rollout"],
        adapters: &["ecs_alb"],
        actions: &["ecs:DescribeTasks", "ecs:ListTasks"],
        resources: &["*"],
        condition: None,
        why: "why tasks stopped; without it only that is missing from the message",
    },
    Extra {
        sid: "PagesThatTheNewReleaseLacks",
        commands: &["rollback", "rollout", "shift-traffic"],
        adapters: &["s3_cloudfront"],
        actions: &["s3:DeleteObject"],
        resources: &["s3:::shop-web/*"],
        condition: None,
        why: "`s3_cloudfront`; files with a hash in their name and the journal are never deleted",
    },
    Extra {
        sid: "WhyASnapshotFailed",
        commands: &["rollout", "snapshot-db"],
        adapters: &["rds"],
        actions: &["rds:DescribeEvents"],
        resources: &["*"],
        condition: None,
        why: "without it only that is missing from the message",
    },
    Extra {
        sid: "IfYourOwnKeyEncryptsTheDatabase",
        commands: &["restore-db", "rollout", "snapshot-db"],
        adapters: &["rds"],
        actions: &["kms:CreateGrant", "kms:DescribeKey"],
        resources: &["kms:eu-west-1:123456789012:key/*"],
        condition: Some(("StringEquals", "kms:ViaService", "rds.eu-west-1.amazonaws.com")),
        why: "RDS asks the key's policy in your name",
    },
    Extra {
        sid: "IfYourOwnKeyEncryptsABucketToRead",
        commands: ALL,
        adapters: &[],
        actions: &["kms:Decrypt"],
        resources: &["kms:eu-west-1:123456789012:key/*"],
        condition: Some(("StringEquals", "kms:ViaService", "s3.eu-west-1.amazonaws.com")),
        why: "the journal's bucket, the site's, the one with Lambda packages",
    },
    Extra {
        sid: "IfYourOwnKeyEncryptsABucketToWrite",
        commands: WRITES,
        adapters: &[],
        actions: &["kms:GenerateDataKey"],
        resources: &["kms:eu-west-1:123456789012:key/*"],
        condition: Some(("StringEquals", "kms:ViaService", "s3.eu-west-1.amazonaws.com")),
        why: "the same buckets",
    },
    Extra {
        sid: "IfAnImageIsInYourRegistry",
        commands: &["deploy", "rollout"],
        adapters: &["lambda"],
        actions: &["ecr:BatchGetImage", "ecr:GetRepositoryPolicy", "ecr:SetRepositoryPolicy"],
        resources: &["ecr:eu-west-1:123456789012:repository/*"],
        condition: None,
        why: "`lambda` with an `image:`; the last one only for the first image of a function",
    },
];

/// Actions on resources, perhaps under a condition.
struct Statement {
    sid: Option<&'static str>,
    actions: BTreeSet<String>,
    resources: BTreeSet<String>,
    condition: Option<(&'static str, &'static str, &'static str)>,
}

/// What a release was seen to touch stands for what the next one will: its records, revisions, snapshots.
fn patterns(resource: &str) -> Vec<String> {
    let starts = [
        "arn:aws:s3:::shop-releases/".to_string(),
        "arn:aws:s3:::shop-web/".to_string(),
        format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service/shop/"),
        format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/api:"),
        format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/jobs:"),
        format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:listener-rule/app/api/"),
        format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:listener/app/api/"),
        format!("arn:aws:rds:{REGION}:{ACCOUNT}:snapshot:shop-production-"),
        format!("arn:aws:rds:{REGION}:{ACCOUNT}:db:shop-restored"),
        format!("arn:aws:rds:{REGION}:{ACCOUNT}:cluster-snapshot:shop-production-"),
        format!("arn:aws:rds:{REGION}:{ACCOUNT}:cluster:shop-restored"),
    ];
    if resource.starts_with("arn:aws:lambda:") {
        // with and without a version or an alias after the name
        let function = resource.splitn(8, ':').take(7).collect::<Vec<_>>().join(":");
        return vec![format!("{function}:*"), function];
    }
    match starts.iter().find(|start| resource.starts_with(start.as_str())) {
        Some(start) => vec![format!("{start}*")],
        None => vec![resource.to_string()],
    }
}

/// Seen actions, those with the same resources together; then the extras of this command.
fn statements(adapters: &[&str], command: &str, asks: &BTreeSet<Ask>) -> Vec<Statement> {
    let mut of_action: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for ask in asks {
        of_action.entry(&ask.action).or_default().extend(patterns(&ask.resource));
    }
    let mut of_resources: BTreeMap<BTreeSet<String>, BTreeSet<String>> = BTreeMap::new();
    for (action, resources) in of_action {
        of_resources.entry(resources).or_default().insert(action.to_string());
    }
    let mut statements: Vec<Statement> = of_resources
        .into_iter()
        .map(|(resources, actions)| {
            let passes = actions.contains("iam:PassRole");
            let condition =
                passes.then_some(("StringEquals", "iam:PassedToService", "ecs-tasks.amazonaws.com"));
            Statement { sid: None, actions, resources, condition }
        })
        .collect();
    let here = |extra: &&Extra| {
        let of_all = extra.adapters.is_empty();
        extra.commands.contains(&command)
            && (of_all || extra.adapters.iter().any(|adapter| adapters.contains(adapter)))
    };
    for extra in EXTRAS.iter().filter(here) {
        let resource = |text: &&str| if *text == "*" { "*".into() } else { format!("arn:aws:{text}") };
        let resources: BTreeSet<String> = extra.resources.iter().map(resource).collect();
        let known = |action: &String| {
            statements.iter().any(|s| s.actions.contains(action) && s.resources.is_superset(&resources))
        };
        let actions: BTreeSet<String> =
            extra.actions.iter().map(ToString::to_string).filter(|action| !known(action)).collect();
        if !actions.is_empty() {
            statements.push(Statement {
                sid: Some(extra.sid),
                actions,
                resources,
                condition: extra.condition,
            });
        }
    }
    statements
}

/// The policy of a command in a unit with these adapters as JSON, its keys in the order in which people read
/// them.
pub fn policy(adapters: &[&str], command: &str, asks: &BTreeSet<Ask>) -> String {
    let statements: Vec<String> = statements(adapters, command, asks).iter().map(shown).collect();
    format!("{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n{}\n  ]\n}}\n", statements.join(",\n"))
}

fn shown(statement: &Statement) -> String {
    let mut text = String::from("    {\n");
    if let Some(sid) = statement.sid {
        let _ = writeln!(text, "      \"Sid\": \"{sid}\",");
    }
    let _ = writeln!(text, "      \"Effect\": \"Allow\",");
    let _ = writeln!(text, "      \"Action\": {},", list(&statement.actions));
    let _ = write!(text, "      \"Resource\": {}", list(&statement.resources));
    if let Some((operator, key, value)) = statement.condition {
        let _ = write!(text, ",\n      \"Condition\": {{\"{operator}\": {{\"{key}\": \"{value}\"}}}}");
    }
    text.push_str("\n    }");
    text
}

fn list(texts: &BTreeSet<String>) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
    match quoted.as_slice() {
        [one] => one.clone(),
        many => format!("[\n        {}\n      ]", many.join(",\n        ")),
    }
}
