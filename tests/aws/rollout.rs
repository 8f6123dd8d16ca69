//! Whole releases by the real binary: to the end, cut off at every call, denied in the middle.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    double::{ecs::Ending, elb::forward},
    production::Production,
    proxy::{Trouble, When},
    worlds,
};

/// More than a release takes.
const CALLS_MAX: usize = 2000;
/// Every twenty-fifth call is tried, before its effect and after. `TIDEGATE_KILL_EVERY=1` tries each: on two cores
/// with nothing else to do, some twenty minutes for either.
const EVERY: usize = 25;
/// Processes at a time: they mostly wait for the lease of the one that was killed.
const AT_ONCE: usize = 6;
const RESTARTS_MAX: usize = 8;

/// What the double holds of a release, apart from when it came to it.
#[derive(Debug, PartialEq)]
struct Standing {
    weights: Vec<i64>,
    aliases: Vec<(String, Vec<(String, f64)>)>,
    index: String,
    snapshots: usize,
}

fn standing(stage: &Production) -> Standing {
    let state = stage.double.state();
    let rule = state.elb.rules.keys().next().unwrap().clone();
    let index = state.s3.object("shop-web", "index.html").unwrap();
    Standing {
        weights: state.elb.weights(&rule).into_iter().map(|(_, weight)| weight).collect(),
        aliases: ["thumbs", "mail"].map(|f| state.lambda.alias(f, "production")).into(),
        index: String::from_utf8(index.body.clone()).unwrap(),
        snapshots: state.rds.snapshots.len(),
    }
}

fn released() -> Standing {
    Standing {
        weights: vec![0, 100],
        aliases: vec![("2".into(), Vec::new()), ("2".into(), Vec::new())],
        index: "<script src=app.0002.js></script>".into(),
        snapshots: 1,
    }
}

fn untouched(snapshots: usize) -> Standing {
    Standing {
        weights: vec![100, 0],
        aliases: vec![("1".into(), vec![("2".into(), 0.0)]), ("1".into(), vec![("2".into(), 0.0)])],
        index: "<script src=app.0001.js></script>".into(),
        snapshots,
    }
}

#[test]
fn a_release_goes_out_to_all_of_them_and_is_finished() {
    let stage = worlds::everything();
    let ran = stage.expect(0, "rollout --release v2");
    assert_eq!(standing(&stage), released(), "{}{}", ran.out, ran.err);
    let again = stage.expect(0, "rollout --release v2");
    assert!(again.out.contains("nothing to do"), "{}", again.out);
    assert_eq!(standing(&stage), released());
}

#[test]
fn an_alarm_that_begins_to_ring_takes_all_of_them_back() {
    let stage = worlds::everything();
    stage.expect(0, "rollout --release v2 --to 50");
    stage.double.state().cloudwatch.alarm("shop-errors", "ALARM", i64::MAX);
    let ran = stage.run("rollout --release v2");
    assert_eq!(ran.code, 10, "{}{}", ran.out, ran.err);
    assert_eq!(standing(&stage), untouched(1), "{}{}", ran.out, ran.err);
}

/// Kills a rollout at its `n`th call and runs it again until it is over. `false`: it makes fewer calls.
fn cut_off(n: usize, after: bool) -> Result<bool, String> {
    let stage = worlds::brisk();
    if !stage.killed_at(n, after, "rollout --release v2") {
        return Ok(false);
    }
    let mut story = String::new();
    for _ in 0..RESTARTS_MAX {
        let ran = stage.run("rollout --release v2");
        story.push_str(&format!("-- {}\n{}{}", ran.code, ran.out, ran.err));
        if ran.code == 0 {
            return match standing(&stage) {
                standing if standing == released() => Ok(true),
                standing => Err(format!("{standing:#?}\n{story}")),
            };
        }
    }
    Err(story)
}

fn cut_off_everywhere(after: bool) {
    let every =
        std::env::var("TIDEGATE_KILL_EVERY").ok().and_then(|every| every.parse().ok()).unwrap_or(EVERY);
    let next = AtomicUsize::new(1 + usize::from(after) * every / 2);
    let (failures, tried) = (Mutex::new(Vec::new()), Mutex::new(BTreeSet::new()));
    std::thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                loop {
                    let n = next.fetch_add(every, Ordering::Relaxed);
                    if n > CALLS_MAX {
                        return;
                    }
                    match cut_off(n, after) {
                        Ok(true) => drop(tried.lock().unwrap().insert(n)),
                        Ok(false) => next.store(CALLS_MAX + 1, Ordering::Relaxed),
                        Err(story) => failures.lock().unwrap().push((n, story)),
                    }
                }
            });
        }
    });
    let (failures, tried) = (failures.into_inner().unwrap(), tried.into_inner().unwrap());
    println!("killed at {} calls", tried.len() + failures.len());
    if let Some((n, story)) = failures.first() {
        let all: Vec<usize> = failures.iter().map(|(n, _)| *n).collect();
        panic!(
            "{} of {} went wrong ({all:?}); at call {n}:\n{story}",
            failures.len(),
            tried.len() + failures.len()
        );
    }
    assert!(tried.len() >= 3, "only {} calls", tried.len());
}

#[test]
fn killed_before_the_effect_of_any_call_it_goes_on_and_ends_right() {
    cut_off_everywhere(false);
}

#[test]
fn killed_after_the_effect_of_any_call_it_goes_on_and_ends_right() {
    cut_off_everywhere(true);
}

/// What a shift asks of the rule, and in all, without what the journal costs.
#[test]
fn a_shift_takes_three_calls_to_the_rule_and_six_in_all() {
    // both sides are known from here on: before that, one call more looks up what the old one runs
    let stage = worlds::balanced();
    stage.expect(0, "rollout --release v2");
    stage.expect(0, "rollout --release v3 --to 10");
    let before = stage.double.calls().len();
    stage.expect(0, "shift-traffic --to 50 --release v3");
    let calls = stage.double.calls();
    let calls: Vec<String> = calls[before..]
        .iter()
        .filter(|call| call.service != "s3")
        .map(|call| format!("{}:{}", call.service, call.operation))
        .collect();
    let rule = calls.iter().filter(|call| call.contains("Rule")).count();
    assert!(rule <= 3 && calls.len() <= 6, "{calls:#?}");
}

#[test]
fn ten_services_are_rolled_back_with_batched_reads() {
    let stage = worlds::ten();
    stage.expect(0, "rollout --release v2 --to 10");
    let before = stage.double.calls().len();
    stage.expect(0, "rollback --release v2");
    let calls = stage.double.calls();
    let count = |operation: &str| calls[before..].iter().filter(|call| call.operation == operation).count();
    assert_eq!(count("ModifyRule"), 10);
    // looks: before, for the decision, the second one that must agree; and the read backs of the ten
    assert!(count("DescribeRules") <= 10, "{} looks at the rules", count("DescribeRules"));
    assert!(count("DescribeServices") <= 12, "{} looks at the services", count("DescribeServices"));
    let listed = calls[before..]
        .iter()
        .filter(|call| call.operation.starts_with("List") && call.service != "s3")
        .count();
    assert_eq!(listed, 0);
}

/// No write is answered before all ten are there.
#[test]
fn ten_services_are_rolled_back_at_the_same_time() {
    let stage = worlds::ten();
    stage.expect(0, "rollout --release v2 --to 10");
    stage.proxy.forget();
    stage.proxy.together(When::all("elasticloadbalancing", "ModifyRule"), 10);
    stage.expect(0, "rollback --release v2");
    assert_eq!(stage.proxy.count("elasticloadbalancing", "ModifyRule"), 10);
    let health = stage.proxy.count("elasticloadbalancing", "DescribeTargetHealth");
    // of one group each, as AWS has no batch of them: the looks named above, at twenty groups
    assert!(health <= 80, "{health} looks at the health of groups");
}

#[test]
fn credentials_that_expire_in_the_middle_are_taken_anew() {
    let stage = worlds::everything();
    stage.proxy.plan(When::nth("*", "*", 40), Trouble::Expired);
    stage.expect(0, "rollout --release v2");
    assert_eq!(stage.proxy.troubles(), [Trouble::Expired]);
    assert_eq!(standing(&stage), released());
}

/// Whatever a `finish` that was cut off left: nobody says that the traffic is back while some of it is not.
#[test]
fn a_rollback_after_half_a_finish_says_which_function_has_no_way_back() {
    let stage = worlds::everything();
    for command in ["snapshot-db --release v2", "deploy", "shift-traffic --to 10", "verify-metrics"] {
        stage.expect(0, command);
    }
    for command in ["shift-traffic --to 100 --hotfix test", "verify-metrics"] {
        stage.expect(0, command);
    }
    // the first of the two aliases is written, the second is not
    stage.proxy.plan(When::nth("lambda", "UpdateAlias", 2), Trouble::Internal);
    let cut = stage.run("finish");
    assert_ne!(cut.code, 0, "{}{}", cut.out, cut.err);
    stage.proxy.calm();
    let before = standing(&stage).aliases;
    let back = stage.run("rollback");
    assert_eq!(back.code, 20, "{}{}", back.out, back.err);
    assert!(!back.out.contains("all traffic is at the baseline"), "{}", back.out);
    assert!(back.err.contains("thumbs") || back.err.contains("mail"), "{}", back.err);
    assert_eq!(standing(&stage).aliases, before, "both functions stay where they were");
}

#[test]
fn a_denied_write_leaves_the_traffic_where_it_was_and_names_the_permission() {
    let stage = worlds::everything();
    stage.expect(0, "snapshot-db --release v2");
    stage.expect(0, "deploy --release v2");
    stage.double.state().denied.insert("elasticloadbalancing:ModifyRule".into());
    let ran = stage.run("shift-traffic --to 10 --release v2");
    assert_eq!(ran.code, 16, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("elasticloadbalancing:ModifyRule"), "{}{}", ran.out, ran.err);
    assert_eq!(standing(&stage), untouched(1));
}

/// A deployment that fails is the shift itself of such a service: what it failed at must not be in the way
/// of going back.
#[test]
fn a_rolling_deployment_that_fails_is_taken_back_by_the_shift_or_by_a_rollback() {
    for breaker in [true, false] {
        let stage = worlds::rolling();
        let ending = Ending { stopped_reason: "CannotPullContainerError".into(), ..Ending::default() };
        stage.double.state().ecs.broken.insert("shop/jobs:v2".into(), ending);
        stage.double.state().ecs.service("shop", "jobs").breaker = Some(breaker);
        let ran = stage.run("rollout --release v2");
        assert_eq!(ran.code, 16, "{}{}", ran.out, ran.err);
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains("CannotPullContainerError"), "{said}");
        let back = stage.expect(0, "rollback --release v2");
        assert_eq!(stage.double.state().ecs.image("shop", "jobs"), "shop/jobs:v1", "{said}{}", back.out);
        let status = stage.expect(0, "status");
        assert!(status.out.contains("rolled back"), "{}", status.out);
    }
}

#[test]
fn a_side_that_an_autoscaler_made_smaller_gets_its_tasks_back_before_its_traffic() {
    let stage = worlds::balanced();
    stage.expect(0, "deploy --release v2");
    stage.expect(0, "shift-traffic --to 10");
    stage.expect(0, "verify-metrics");
    let shrink = |name: &str| stage.double.state().ecs.service("shop", name).desired = 1;
    let desired = |name: &str| stage.double.state().ecs.service("shop", name).desired;
    // One task of three is enough for a tenth, and for a third.
    shrink("api-green");
    stage.expect(0, "status");
    assert_eq!(desired("api-green"), 1);
    stage.expect(0, "shift-traffic --to 50");
    assert_eq!(desired("api-green"), 3);
    stage.expect(0, "verify-metrics");
    stage.expect(0, "shift-traffic --to 100");
    shrink("api-blue");
    stage.expect(0, "status");
    let back = stage.expect(0, "rollback");
    assert_eq!(desired("api-blue"), 3, "{}{}", back.out, back.err);
    let state = stage.double.state();
    let rule = state.elb.rules.keys().next().unwrap().clone();
    assert_eq!(state.elb.weights(&rule).into_iter().map(|(_, weight)| weight).collect::<Vec<_>>(), [100, 0]);
}

#[test]
fn a_rollback_that_could_not_be_done_is_still_wanted() {
    let stage = worlds::balanced();
    stage.expect(0, "deploy --release v2");
    stage.expect(0, "shift-traffic --to 10");
    stage.proxy.plan(When::all("elasticloadbalancing", "*"), Trouble::Expired);
    stage.expect(20, "rollback");
    stage.proxy.calm();
    let told = stage.expect(0, "status");
    assert!(told.out.contains("a rollback was asked for"), "{}", told.out);
    let back = stage.expect(0, "rollback --if-needed");
    assert!(back.out.contains("all traffic is at the baseline"), "{}", back.out);
    // Somebody moves traffic by hand after that.
    let rule = stage.double.state().elb.rules.keys().next().unwrap().clone();
    {
        let mut state = stage.double.state();
        let groups: Vec<String> = state.elb.weights(&rule).into_iter().map(|(group, _)| group).collect();
        let mixed = forward(&[(&groups[0], 70), (&groups[1], 30)]);
        state.elb.rules.get_mut(&rule).unwrap().actions = vec![mixed];
    }
    let told = stage.expect(12, "rollback");
    assert!(told.err.contains("api-green of api has 30 % of the traffic"), "{}", told.err);
    stage.expect(0, "rollback --to-baseline api-blue");
    let state = stage.double.state();
    assert_eq!(state.elb.weights(&rule).into_iter().map(|(_, weight)| weight).collect::<Vec<_>>(), [100, 0]);
}
