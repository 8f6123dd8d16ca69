//! `docs/permissions.md`: the least policy per subcommand, from the calls that the commands really make; and
//! every subcommand run with nothing but its policy.
//!
//! `TIDEGATE_WRITE_DOCS=1 scripts/test permissions` writes the page anew.

mod page;
mod policy;
mod units;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::{
    double::iam::{Ask, Policy},
    production::Production,
    worlds,
};
use units::{UNITS, Unit};

/// A subcommand, and what it asked IAM for.
type Needs = BTreeMap<&'static str, BTreeSet<Ask>>;

const PAGE: &str = "docs/permissions.md";

/// The adapters of the unit of the page.
const ADAPTERS: [&str; 4] = ["ecs_alb", "lambda", "rds", "s3_cloudfront"];

/// Steps that run nothing on AWS, so that their commands have something to do.
const STEPS: &str = "migrations: {schema: {run: 'true'}}\nsmoke: {front: {run: 'true'}}\n";

/// Arguments and the subcommand they are of, in the order of two releases: one that goes back, one that stays.
const TWO_RELEASES: [(&str, &str); 28] = [
    ("plan", "plan --release v2"),
    ("preflight", "preflight --release v2"),
    ("snapshot-db", "snapshot-db --release v2"),
    ("migrate", "migrate --release v2"),
    ("deploy", "deploy --release v2"),
    ("smoke-test", "smoke-test --release v2"),
    ("shift-traffic", "shift-traffic --to 10 --release v2"),
    ("verify-metrics", "verify-metrics --release v2"),
    ("shift-traffic", "shift-traffic --to 50 --release v2"),
    ("verify-metrics", "verify-metrics --release v2"),
    ("shift-traffic", "shift-traffic --to 100 --release v2"),
    ("smoke-test", "smoke-test --release v2"),
    ("rollback", "rollback --release v2"),
    ("snapshot-db", "snapshot-db --release v3"),
    ("migrate", "migrate --release v3"),
    ("deploy", "deploy --release v3"),
    ("smoke-test", "smoke-test --release v3"),
    ("shift-traffic", "shift-traffic --to 10 --release v3"),
    ("verify-metrics", "verify-metrics --release v3"),
    ("shift-traffic", "shift-traffic --to 50 --release v3"),
    ("verify-metrics", "verify-metrics --release v3"),
    ("shift-traffic", "shift-traffic --to 100 --release v3"),
    ("smoke-test", "smoke-test --release v3"),
    ("verify-metrics", "verify-metrics --release v3"),
    ("status", "status"),
    ("restore-db", "restore-db --database main --into shop-restored"),
    ("finish", "finish --release v3"),
    ("status", "status"),
];

/// What `rollout` does in one process.
const IN_A_ROLLOUT: [&str; 9] = [
    "preflight",
    "snapshot-db",
    "migrate",
    "deploy",
    "smoke-test",
    "shift-traffic",
    "verify-metrics",
    "rollback",
    "finish",
];

/// Runs a command on its way through a release and notes what it asked IAM for.
fn note(stage: &Production, needs: &mut Needs, command: &'static str, code: i32, arguments: &str) {
    let before = stage.double.calls().len();
    stage.expect(code, arguments);
    let asked = stage.double.calls().split_off(before).into_iter().flat_map(|call| call.asks);
    needs.entry(command).or_default().extend(asked);
}

fn needs() -> Needs {
    let mut needs = Needs::new();
    let stage = worlds::everything_and(STEPS);
    for (command, arguments) in TWO_RELEASES {
        note(&stage, &mut needs, command, 0, arguments);
    }
    // A bake of seconds has no whole period to ask for; what the opening asked, the watch asks too.
    let asks: Vec<Ask> = needs.values().flatten().cloned().collect();
    let metrics = asks.iter().filter(|ask| ask.action.starts_with("cloudwatch:")).cloned();
    needs.entry("verify-metrics").or_default().extend(metrics);
    let parts = IN_A_ROLLOUT.iter().flat_map(|part| needs[part].iter().cloned()).collect();
    needs.insert("rollout", parts);
    needs
}

/// What a release of another unit asked for.
fn needs_of(unit: &Unit) -> Needs {
    let mut needs = Needs::new();
    let stage = (unit.stage)();
    unit.walk(&stage, |command, code, arguments| note(&stage, &mut needs, command, code, arguments));
    needs
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)
}

/// The policy of a subcommand of the unit of the page, as the page has it.
fn written(command: &str) -> Policy {
    policy_under(&page::heading(command, None))
}

fn policy_under(heading: &str) -> Policy {
    let page = std::fs::read_to_string(path()).unwrap();
    let after = page.split_once(heading);
    let (_, block) = after.unwrap_or_else(|| panic!("{PAGE} has no policy under {heading}"));
    let json = block.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let policy: serde_json::Value = serde_json::from_str(json).unwrap();
    let texts = |value: &serde_json::Value| -> Vec<String> {
        let list = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        list.iter().map(|text| text.as_str().unwrap().to_string()).collect()
    };
    let mut granted = Vec::new();
    for statement in policy["Statement"].as_array().unwrap() {
        for action in texts(&statement["Action"]) {
            granted.extend(texts(&statement["Resource"]).into_iter().map(|on| (action.clone(), on)));
        }
    }
    Policy(granted)
}

/// Runs a command with nothing but its own policy.
fn with_its_policy(stage: &Production, command: &str, arguments: &str, code: i32) {
    let policy = match command {
        "plan" => Policy::default(),
        command => written(command),
    };
    with_policy(stage, policy, arguments, code);
}

fn with_policy(stage: &Production, policy: Policy, arguments: &str, code: i32) {
    stage.double.state().allowed = Some(policy);
    let before = stage.double.calls().len();
    let ran = stage.run(arguments);
    let calls = stage.double.calls().split_off(before);
    let denied: Vec<_> = calls.iter().filter(|call| call.status == 403).collect();
    assert!(denied.is_empty(), "tidegate {arguments}: {denied:#?}");
    assert_eq!(ran.code, code, "tidegate {arguments}\n{}{}", ran.out, ran.err);
}

#[test]
fn the_page_says_what_the_commands_really_ask_for() {
    let others: Vec<Needs> = UNITS.iter().map(needs_of).collect();
    let page = page::page(&needs(), &others);
    if std::env::var_os("TIDEGATE_WRITE_DOCS").is_some() {
        std::fs::write(path(), &page).unwrap();
    }
    let written = std::fs::read_to_string(path()).unwrap_or_default();
    assert!(
        written == page,
        "{PAGE} is out of date: `TIDEGATE_WRITE_DOCS=1 scripts/test permissions` writes it\n{page}"
    );
}

#[test]
fn every_subcommand_works_with_exactly_its_policy() {
    let stage = worlds::everything_and(STEPS);
    for (command, arguments) in TWO_RELEASES {
        with_its_policy(&stage, command, arguments, 0);
    }
}

/// Those that only look have what they like here; the rest is on the page.
#[test]
fn the_subcommands_of_other_units_work_with_exactly_their_policies() {
    for unit in UNITS {
        let stage = (unit.stage)();
        unit.walk(&stage, |command, code, arguments| {
            if unit.policies.contains(&command) {
                let policy = policy_under(&page::heading(command, Some(unit.with)));
                with_policy(&stage, policy, arguments, code);
            } else {
                stage.double.state().allowed = None;
                stage.expect(code, arguments);
            }
        });
    }
}

#[test]
fn a_rollout_works_with_exactly_its_policy_forward_and_back() {
    let stage = worlds::everything_and(STEPS);
    with_its_policy(&stage, "rollout", "rollout --release v2", 0);
    let stage = worlds::everything_and(STEPS);
    with_its_policy(&stage, "rollout", "rollout --release v2 --to 50", 0);
    stage.double.state().cloudwatch.alarm("shop-errors", "ALARM", i64::MAX);
    with_its_policy(&stage, "rollout", "rollout --release v2", 10);
}

/// It is a release of its own, and needs what one needs to move.
#[test]
fn a_rollback_to_a_version_works_with_the_policies_that_the_page_names_for_it() {
    let stage = worlds::balanced();
    for release in ["v2", "v3"] {
        stage.expect(0, &format!("rollout --release {release}"));
    }
    let parts = ["deploy", "shift-traffic", "rollback"];
    let page = std::fs::read_to_string(path()).unwrap();
    let named = parts.map(|part| format!("`{part}`"));
    let sentence = page.lines().find(|line| line.contains("`rollback --to VERSION`")).unwrap();
    assert!(named.iter().all(|part| sentence.contains(part)), "{sentence}");
    let policy = Policy(parts.iter().flat_map(|part| written(part).0).collect());
    with_policy(&stage, policy, "rollback --to v2", 0);
}

/// A read that the policy of another command has and this one's lacks is missed.
#[test]
fn a_command_does_not_work_with_the_policy_of_another() {
    let stage = worlds::everything();
    stage.double.state().allowed = Some(written("status"));
    let ran = stage.run("preflight --release v2");
    assert_eq!(ran.code, 15, "{}{}", ran.out, ran.err);
    assert!(format!("{}{}", ran.out, ran.err).contains("elasticloadbalancing:DescribeTargetGroups"));
}

/// The identity, every read that is not allowed, and every write as something that only a write can tell.
#[test]
fn a_preflight_names_who_calls_what_is_denied_and_what_is_not_known() {
    let needs = needs();
    let told = |policy: Option<Policy>| {
        let stage = worlds::everything_and(STEPS);
        stage.double.state().allowed = policy;
        let ran = stage.run("preflight --release v2");
        (ran.code, format!("{}{}", ran.out, ran.err))
    };
    let (code, text) = told(None);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(crate::double::USER), "{text}");
    let unknown: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with("unknown")).collect();
    for ask in needs["rollout"]
        .difference(&needs["preflight"])
        .filter(|ask| !needs["preflight"].iter().any(|read| read.action == ask.action))
    {
        let name = ask.action.split(':').nth(1).unwrap();
        assert!(unknown.iter().any(|line| line.contains(name)), "{}: {unknown:#?}", ask.action);
    }
    let reads: BTreeSet<&String> = needs["preflight"].iter().map(|ask| &ask.action).collect();
    for denied in reads {
        let mut policy = written("preflight");
        policy.0.retain(|(action, _)| action != denied);
        let (code, text) = told(Some(policy));
        assert!([0, 14, 15].contains(&code), "{denied}: {code} {text}");
        assert!(text.contains(denied.as_str()), "{denied}: {text}");
    }
}

/// IAM refuses a managed policy that is longer, blanks not counted.
#[test]
fn a_policy_is_not_longer_than_iam_takes() {
    const MOST: usize = 6144;
    let page = std::fs::read_to_string(path()).unwrap();
    let blocks: Vec<&str> =
        page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() > UNITS.len());
    for block in blocks {
        let length = block.chars().filter(|c| !c.is_whitespace()).count();
        assert!(length <= MOST, "{length}: {block}");
    }
}

/// A permission that is not there is missed, and the command says which.
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
