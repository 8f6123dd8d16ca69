//! The examples: their files load, their workflows run step by step against the double.

use std::{collections::BTreeMap, path::Path};
use tidegate::document::node::{Kind as Is, Node, parse};

use crate::{
    double::{Double, cloudwatch::metric, rds::Instance, worlds as parts},
    production::Production,
};

/// The inputs of a dispatch.
type Inputs<'a> = BTreeMap<&'a str, &'a str>;

fn read(example: &str, name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Staging with two ECS services and a database, and the example's file before it.
fn ecs() -> Production {
    let double = Double::start();
    let (rule, ..) = parts::service_in(&double, "shop-staging", "api");
    {
        let mut state = double.state();
        state.s3.bucket("shop-releases");
        state.rds.add(Instance::new("shop-staging"));
        state.rds.looks = 1;
    }
    Production::before(double, &read("ecs", "tidegate.yml"))
        .with("ALB_RULE", rule)
        .with("REGISTRY", "registry")
}

fn lambda() -> Production {
    let double = Double::start();
    {
        let mut state = double.state();
        state.s3.bucket("shop-releases");
        for function in ["thumbs", "mail"] {
            state.lambda.function(function, "v1", "staging");
        }
    }
    let production = Production::before(double, &read("lambda", "tidegate.yml"));
    production
        .write("build.sh", "#!/bin/sh\nmkdir -p dist\necho v2 > dist/thumbs.zip\necho v2 > dist/mail.zip\n");
    let build = production.folder().join("build.sh");
    std::fs::set_permissions(build, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    production
}

fn text(node: &Node, key: &str) -> Option<String> {
    match &node.get(key)?.kind {
        Is::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// What stands for `${{ … }}` in a dispatch with these inputs.
fn filled(value: &str, inputs: &Inputs<'_>) -> String {
    let mut filled = value.to_string();
    for (name, input) in inputs {
        filled = filled.replace(&format!("${{{{ inputs.{name} }}}}"), input);
    }
    filled
}

/// Runs the `run` steps of the workflow whose conditions hold, as a runner would. Returns the exit codes.
fn dispatch(production: &Production, workflow: &str, inputs: &Inputs<'_>) -> Vec<(String, i32, String)> {
    // a key that GitHub reads as a word and YAML 1.1 as a boolean
    let tree = parse(&workflow.replace("\non:", "\n\"on\":")).unwrap();
    let mut environment = Vec::new();
    if let Some(Node { kind: Is::Map(fields), .. }) = tree.get("env") {
        for field in fields {
            let value = text(tree.get("env").unwrap(), &field.key).unwrap();
            // what the organisation says is in the world already
            if !value.contains("vars.") {
                environment.push((field.key.clone(), filled(&value, inputs)));
            }
        }
    }
    let Is::Map(jobs) = &tree.get("jobs").unwrap().kind else {
        panic!("the jobs of the workflow are no map")
    };
    let Is::List(steps) = &jobs[0].value.get("steps").unwrap().kind else {
        panic!("the steps of the workflow are no list");
    };
    let (mut ended, mut failed) = (Vec::new(), false);
    for step in steps {
        let Some(run) = text(step, "run") else { continue };
        let condition = text(step, "if").unwrap_or_default();
        let skips = inputs["skip_canary"] == "true";
        let wanted = match condition.as_str() {
            "" => !failed,
            "${{ !inputs.skip_canary }}" => !failed && !skips,
            "${{ inputs.skip_canary }}" => !failed && skips,
            "${{ always() }}" => true,
            other => panic!("the test does not know the condition {other}"),
        };
        if !wanted {
            continue;
        }
        let output =
            production.program("bash").args(["-eu", "-c", &run]).envs(environment.clone()).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let code = output.status.code().unwrap_or(-1);
        failed |= code != 0;
        ended.push((text(step, "name").unwrap_or_default(), code, said));
    }
    ended
}

fn inputs<'a>(release: &'a str, percentage: &'a str, hotfix: &'a str) -> Inputs<'a> {
    let skip = if hotfix.is_empty() { "false" } else { "true" };
    Inputs::from([
        ("environment", "staging"),
        ("release", release),
        ("rollout_percentage", percentage),
        ("skip_canary", skip),
        ("reason", hotfix),
    ])
}

fn codes(ended: &[(String, i32, String)]) -> Vec<(&str, i32)> {
    ended.iter().map(|(name, code, _)| (name.as_str(), *code)).collect()
}

fn weights(production: &Production) -> Vec<i64> {
    let state = production.double.state();
    let rule = state.elb.rules.keys().next().unwrap().clone();
    state.elb.weights(&rule).into_iter().map(|(_, weight)| weight).collect()
}

/// What CloudWatch has of the side that serves in production.
fn measured(production: &Production, numbers: &[(&str, &str, &[(&str, &str)], f64)]) {
    let mut state = production.double.state();
    for (namespace, name, dimensions, value) in numbers {
        state.cloudwatch.steady(metric(namespace, name, dimensions), *value);
    }
}

/// Plans and preflights it there; what both said.
fn looked_at(production: &Production, release: &str) -> [String; 2] {
    ["plan --offline", "preflight"].map(|command| {
        let before = production.double.calls().len();
        let ran = production.expect(0, &format!("{command} --environment production --release {release}"));
        let calls = production.double.calls().split_off(before);
        assert_eq!(calls.is_empty(), command == "plan --offline", "{calls:#?}");
        let reads = ["Describe", "List", "Get", "Head"];
        let writes = calls.iter().find(|call| !reads.iter().any(|read| call.operation.starts_with(read)));
        assert_eq!(writes, None);
        format!("{}{}", ran.out, ran.err)
    })
}

/// Everything in its file that staging takes away: checks by CloudWatch, stages of minutes, time to drain.
#[test]
fn ecs_in_production_is_planned_and_can_be_looked_at() {
    let double = Double::start();
    let (rule, blue, _) = parts::service(&double, "api");
    double.state().s3.bucket("shop-releases");
    double.state().rds.add(Instance::new("shop"));
    let production = Production::before(double, &read("ecs", "tidegate.yml"))
        .with("ALB_RULE", &*rule)
        .with("REGISTRY", "registry");
    let group = blue.rsplit(':').next().unwrap();
    let alb = [("LoadBalancer", "app/api/50dc6c495c0c9188"), ("TargetGroup", group)];
    let tasks = [("ClusterName", "shop"), ("ServiceName", "api-blue")];
    measured(
        &production,
        &[
            ("AWS/ApplicationELB", "RequestCount", &alb, 4000.0),
            ("AWS/ApplicationELB", "HTTPCode_Target_2XX_Count", &alb, 3996.0),
            ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", &alb, 4.0),
            ("AWS/ApplicationELB", "TargetResponseTime", &alb, 0.2),
            ("AWS/ECS", "CPUUtilization", &tasks, 40.0),
        ],
    );
    let [planned, found] = looked_at(&production, "v2");
    for wanted in [
        "3 stages, at least 1h of watching",
        "verify-metrics for 15m: errors, p95, healthy, cpu",
        "above 5% for 2m, or above baseline + 0.5pp; warn above baseline + 0.1pp",
        "retired 1h after the last shift",
    ] {
        assert!(planned.contains(wanted), "{wanted}: {planned}");
    }
    for wanted in [
        "ready to go\n",
        "checks.errors: now: api 0.1 %",
        "checks.p95: now: api 200 ms",
        "checks.healthy: now: api 100 %",
        "checks.cpu: now: api 40 %",
        "databases.main: rds shop, postgres 15.4, available",
    ] {
        assert!(found.contains(wanted), "{wanted}: {found}");
    }
}

#[test]
fn lambda_in_production_is_planned_and_can_be_looked_at() {
    let production = lambda();
    for function in ["thumbs", "mail"] {
        production.double.state().lambda.function(function, "v1", "production");
        let resource = format!("{function}:production");
        let version = [("FunctionName", function), ("Resource", &*resource), ("ExecutedVersion", "1")];
        measured(
            &production,
            &[("AWS/Lambda", "Invocations", &version, 1000.0), ("AWS/Lambda", "Errors", &version, 4.0)],
        );
        production.write(&format!("dist/{function}.zip"), "v2");
    }
    let [planned, found] = looked_at(&production, "v2");
    for wanted in ["2 stages, at least 20m of watching", "verify-metrics for 10m: errors", "fail above 1%"] {
        assert!(planned.contains(wanted), "{wanted}: {planned}");
    }
    for wanted in ["ready to go\n", "checks.errors: now: jobs 0.4 %", "zip: dist/mail.zip has 2 bytes"] {
        assert!(found.contains(wanted), "{wanted}: {found}");
    }
}

#[test]
fn ecs_goes_out_by_dispatches_of_10_and_100_percent() {
    let (production, workflow) = (ecs(), read("ecs", "deploy.yml"));
    let ended = dispatch(&production, &workflow, &inputs("v2", "10", ""));
    assert_eq!(codes(&ended), [("Roll out", 0), ("Back, if this run left it broken", 0)], "{ended:#?}");
    assert_eq!(weights(&production), [90, 10]);
    let ended = dispatch(&production, &workflow, &inputs("v2", "100", ""));
    assert_eq!(codes(&ended), [("Roll out", 0), ("Back, if this run left it broken", 0)], "{ended:#?}");
    assert_eq!(weights(&production), [0, 100]);
    assert_eq!(production.double.state().rds.snapshots.len(), 1);
}

/// The workflow that comes by on a schedule, in the environment of these tests.
fn come_by(production: &Production, example: &str) -> String {
    let workflow = read(example, "finish.yml");
    let here = workflow.replace("TIDEGATE_ENVIRONMENT: production", "TIDEGATE_ENVIRONMENT: staging");
    assert_ne!(here, workflow);
    let ended = dispatch(production, &here, &inputs("", "", ""));
    assert_eq!(codes(&ended), [("Finish, if it is due", 0)], "{ended:#?}");
    ended[0].2.clone()
}

/// The example's file with another keep time in staging.
fn keeping(production: &Production, example: &str, keep: &str) {
    let file = read(example, "tidegate.yml");
    let (start, staging) = file.split_once("  staging:").unwrap();
    assert!(staging.contains("keep_old: 0s"), "{staging}");
    let staging = staging.replace("keep_old: 0s", &format!("keep_old: {keep}"));
    production.write("tidegate.yml", format!("{start}  staging:{staging}"));
}

#[test]
fn the_old_side_of_ecs_is_taken_down_by_the_run_that_comes_by_after_its_keep_time() {
    let (production, workflow) = (ecs(), read("ecs", "deploy.yml"));
    let blue = || production.double.state().ecs.service("shop-staging", "api-blue").desired;
    assert!(come_by(&production, "ecs").contains("no release is open: nothing to finish"));
    keeping(&production, "ecs", "1h");
    dispatch(&production, &workflow, &inputs("v2", "10", ""));
    assert!(come_by(&production, "ecs").contains("stands at 10 %: nothing to finish yet"));
    assert_eq!(weights(&production), [90, 10]);
    let ended = dispatch(&production, &workflow, &inputs("v2", "100", ""));
    assert!(ended[0].2.contains("the old side is kept"), "{ended:#?}");
    assert!(come_by(&production, "ecs").contains("the old side is kept"));
    assert_eq!((weights(&production), blue()), (vec![0, 100], 3));
    keeping(&production, "ecs", "0s");
    assert!(come_by(&production, "ecs").contains("finished: v2 serves all traffic"));
    assert_eq!((weights(&production), blue()), (vec![0, 100], 0));
    assert!(come_by(&production, "ecs").contains("no release is open: nothing to finish"));
}

#[test]
fn the_old_version_of_lambda_leaves_the_alias_in_the_run_that_comes_by_after_its_keep_time() {
    let (production, workflow) = (lambda(), read("lambda", "deploy.yml"));
    keeping(&production, "lambda", "1h");
    dispatch(&production, &workflow, &inputs("v2", "100", ""));
    assert!(come_by(&production, "lambda").contains("the old side is kept"));
    keeping(&production, "lambda", "0s");
    assert!(come_by(&production, "lambda").contains("finished: v2 serves all traffic"));
    assert_eq!(production.double.state().lambda.alias("thumbs", "staging"), ("2".to_string(), Vec::new()));
}

#[test]
fn a_hotfix_of_ecs_skips_the_canary_and_says_why() {
    let (production, workflow) = (ecs(), read("ecs", "deploy.yml"));
    let ended = dispatch(&production, &workflow, &inputs("v2", "100", "payments are down"));
    assert_eq!(codes(&ended), [("Hotfix", 0), ("Back, if this run left it broken", 0)], "{ended:#?}");
    assert!(ended[0].2.contains("HOTFIX past the gate: payments are down"), "{}", ended[0].2);
    assert_eq!(weights(&production), [0, 100]);
}

#[test]
fn a_candidate_of_ecs_that_does_not_start_never_gets_traffic() {
    let (production, workflow) = (ecs(), read("ecs", "deploy.yml"));
    let ending = crate::double::ecs::Ending {
        stopped_reason: "Essential container in task exited".into(),
        container_reason: Some("OutOfMemoryError".into()),
        exit_code: Some(137),
    };
    production.double.state().ecs.broken.insert("registry/api:v2".into(), ending);
    production.double.state().ecs.service("shop-staging", "api-green").breaker = Some(true);
    let ended = dispatch(&production, &workflow, &inputs("v2", "100", ""));
    assert_eq!(codes(&ended), [("Roll out", 16), ("Back, if this run left it broken", 0)], "{ended:#?}");
    assert!(ended[0].2.contains("OutOfMemoryError"), "{}", ended[0].2);
    assert_eq!(weights(&production)[0], 100);
}

#[test]
fn lambda_goes_out_and_a_hotfix_after_it() {
    let (production, workflow) = (lambda(), read("lambda", "deploy.yml"));
    let ended = dispatch(&production, &workflow, &inputs("v2", "100", ""));
    assert_eq!(
        codes(&ended),
        [("Build", 0), ("Roll out", 0), ("Back, if this run left it broken", 0)],
        "{ended:#?}"
    );
    let alias = |production: &Production| production.double.state().lambda.alias("thumbs", "staging");
    assert_eq!(alias(&production), ("2".to_string(), Vec::new()));
    production.write("build.sh", "#!/bin/sh\necho v3 > dist/thumbs.zip\necho v3 > dist/mail.zip\n");
    let ended = dispatch(&production, &workflow, &inputs("v3", "100", "mails are lost"));
    assert_eq!(
        codes(&ended),
        [("Build", 0), ("Hotfix", 0), ("Back, if this run left it broken", 0)],
        "{ended:#?}"
    );
    assert_eq!(alias(&production), ("3".to_string(), Vec::new()));
}
