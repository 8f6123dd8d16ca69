//! The recovery table, the gate and rule 1, row by row.

use super::*;
use crate::domain::{
    history::{History, Judged, Pending},
    observed::{Health, Instance, Side},
    record::{Cursors, Event, FORMAT, Holder, Opened, Origin, Record},
};

fn name<T: std::str::FromStr<Err = crate::domain::names::BadName>>(text: &str) -> T {
    text.parse().unwrap()
}

fn share(points: u16) -> Share {
    Share::from_basis_points(points).unwrap()
}

fn observed(green: u16, healthy: bool) -> Observed {
    let side = |text: &str, share: Share, up: bool| Side {
        elastic: false,
        name: name(text),
        version: None,
        share,
        labels: BTreeMap::new(),
        instances: vec![Instance {
            name: format!("{text}-1"),
            address: None,
            health: if up { Health::Up } else { Health::Down { why: "gone".into() } },
        }],
    };
    let sides = vec![side("blue", share(green).rest(), healthy), side("green", share(green), healthy)];
    Observed { sides, activity: Activity::Idle, notes: Vec::new() }
}

/// What each of two targets shows.
fn world(api: u16, web: u16) -> World {
    World::from([(name("api"), observed(api, true)), (name("web"), observed(web, true))])
}

fn sick(points: u16) -> World {
    World::from([(name("api"), observed(points, false)), (name("web"), observed(points, false))])
}

/// An attempt that opened at nothing and stands at `points` on both targets.
fn release(points: u16) -> Release {
    let targets = ["api", "web"].map(|t| {
        let origin = Origin {
            baseline: name("blue"),
            candidate: name("green"),
            share: Share::NONE,
            sides: observed(0, true).sides,
        };
        (name(t), origin)
    });
    let opened = Opened {
        unit: name("shop"),
        environment: name("production"),
        release: name("v1"),
        targets: targets.into(),
        config_digest: String::new(),
        config: String::new(),
        cursors: Cursors::new(),
        reverse_to: None,
    };
    let record = Record {
        format: FORMAT,
        seq: 1,
        opened: 1,
        at: jiff::Timestamp::UNIX_EPOCH,
        nonce: "n".into(),
        holder: Holder::default(),
        event: Event::Opened(opened),
    };
    let mut release = History::replay(&[record]).unwrap().release.unwrap();
    release.split = ["api", "web"].map(|t| (name(t), share(points))).into();
    release
}

fn pending(mut release: Release, aim: Aim, before: u16, wanted: u16) -> Release {
    let moves = ["api", "web"].map(|t| {
        let m = Move {
            candidate: name("green"),
            before: share(before),
            wanted: share(wanted),
            between: vec![share(777)],
        };
        (name(t), m)
    });
    release.pending = Some(Pending { seq: 9, step: Step::Share { aim, moves: moves.into() } });
    release.undoing = aim == Aim::Undo;
    release
}

fn judged(mut release: Release, verdict: Verdict) -> Release {
    release.verdicts.push(Judged {
        seq: 5,
        at: jiff::Timestamp::UNIX_EPOCH,
        split: release.split.clone(),
        verdict,
        judgements: Vec::new(),
        watched_ms: 0,
    });
    release
}

fn to(points: u16) -> Goal {
    Goal {
        aim: Aim::Forward,
        wanted: ["api", "web"].map(|t| (name(t), share(points))).into(),
        force: false,
        smoke_first: false,
        hotfix: false,
    }
}

fn back() -> Goal {
    Goal { aim: Aim::Undo, ..to(0) }
}

/// The decision in one word, for tables.
fn word(decision: &Decision) -> String {
    match decision {
        Decision::Act(moves) => format!("act {}", moves.len()),
        Decision::Complete { moves, .. } => format!("complete {}", moves.len()),
        Decision::Confirm { intent } => format!("confirm {intent}"),
        Decision::Done => "done".into(),
        Decision::Halt(halt) => match halt {
            Halt::Drift { .. } => "drift",
            Halt::RevertedOutside => "reverted",
            Halt::Unhealthy { .. } => "unhealthy",
            Halt::NoWayBack { .. } => "no way back",
            Halt::Busy { .. } => "busy",
            Halt::Gate(Gate::Smoke) => "gate: smoke",
            Halt::Gate(Gate::Unverified) => "gate: unverified",
            Halt::Gate(Gate::Verdict(_)) => "gate: verdict",
            Halt::Gate(Gate::Failed { .. }) => "gate: failed",
            Halt::RollingBack => "rolling back",
            Halt::Stuck { .. } => "stuck",
            Halt::StepOpen { .. } => "step open",
            Halt::UnknownTarget { .. } => "unknown target",
        }
        .into(),
    }
}

#[test]
fn an_open_intent_is_confirmed_completed_or_called_drift() {
    let open = || pending(release(1000), Aim::Forward, 1000, 5000);
    for (live, expected) in [
        (world(5000, 5000), "confirm 9"),
        (world(1000, 1000), "complete 2"),
        (world(1000, 5000), "complete 1"),
        (world(777, 5000), "complete 1"),
        (world(2000, 5000), "drift"),
        (world(5000, 0), "drift"),
        (sick(1000), "unhealthy"),
    ] {
        assert_eq!(word(&decide(&open(), &live, &to(5000))), expected, "{live:?}");
    }
}

#[test]
fn an_open_undo_ends_at_the_baseline_from_anywhere() {
    let open = || pending(release(1000), Aim::Undo, 1000, 0);
    for (live, expected) in
        [(world(0, 0), "confirm 9"), (world(1000, 0), "complete 1"), (world(4321, 10_000), "complete 2")]
    {
        assert_eq!(word(&decide(&open(), &live, &back())), expected);
    }
}

#[test]
fn what_is_confirmed_and_wanted_is_done_and_what_differs_is_not_touched() {
    let passed = || judged(release(1000), Verdict::Pass);
    for (live, wanted, expected) in [
        (world(1000, 1000), 1000, "done"),
        (world(1000, 1000), 5000, "act 2"),
        (world(0, 0), 5000, "reverted"),
        (world(0, 1000), 5000, "drift"),
        (world(3000, 1000), 1000, "drift"),
    ] {
        assert_eq!(word(&decide(&passed(), &live, &to(wanted))), expected);
    }
}

#[test]
fn a_rollback_takes_over_from_any_open_step() {
    let shifting = pending(release(1000), Aim::Forward, 1000, 5000);
    assert_eq!(word(&decide(&shifting, &world(5000, 1000), &back())), "act 2");
    let mut deploying = release(0);
    deploying.pending = Some(Pending { seq: 3, step: Step::Deploy { sides: BTreeMap::new() } });
    assert_eq!(word(&decide(&deploying, &world(0, 0), &back())), "act 0");
    assert_eq!(word(&decide(&deploying, &world(0, 0), &to(1000))), "step open");
}

#[test]
fn after_a_rollback_began_nothing_goes_forward() {
    let mut undoing = release(1000);
    undoing.undoing = true;
    assert_eq!(word(&decide(&undoing, &world(1000, 1000), &to(5000))), "rolling back");
    undoing.stuck = Some("no".into());
    assert_eq!(word(&decide(&undoing, &world(1000, 1000), &to(5000))), "stuck");
    assert_eq!(word(&decide(&undoing, &world(1000, 1000), &back())), "act 2");
}

#[test]
fn the_gate_opens_only_on_a_pass_for_the_present_split() {
    let rise = |release: &Release| word(&decide(release, &world(1000, 1000), &to(5000)));
    assert_eq!(rise(&release(1000)), "gate: unverified");
    assert_eq!(rise(&judged(release(1000), Verdict::Insufficient)), "gate: verdict");
    assert_eq!(rise(&judged(release(1000), Verdict::Error)), "gate: verdict");
    assert_eq!(rise(&judged(release(1000), Verdict::Pass)), "act 2");
    assert_eq!(rise(&judged(judged(release(1000), Verdict::Fail), Verdict::Pass)), "gate: failed");
    let mut older = judged(release(1000), Verdict::Pass);
    older.split_since = 7;
    assert_eq!(rise(&older), "gate: unverified");
    let mut elsewhere = judged(release(2000), Verdict::Pass);
    elsewhere.split = release(1000).split;
    assert_eq!(rise(&elsewhere), "gate: unverified");
}

#[test]
fn from_nothing_up_the_gate_asks_for_smoke_tests_where_there_are_any() {
    let goal = Goal { smoke_first: true, ..to(1000) };
    let mut fresh = release(0);
    assert_eq!(word(&decide(&fresh, &world(0, 0), &goal)), "gate: smoke");
    fresh.smoked.insert(Phase::Candidate, false);
    assert_eq!(word(&decide(&fresh, &world(0, 0), &goal)), "gate: smoke");
    fresh.smoked.insert(Phase::Candidate, true);
    assert_eq!(word(&decide(&fresh, &world(0, 0), &goal)), "act 2");
}

#[test]
fn a_hotfix_goes_past_the_gate_but_not_past_a_fail_or_health() {
    let goal = Goal { hotfix: true, ..to(5000) };
    assert_eq!(word(&decide(&release(1000), &world(1000, 1000), &goal)), "act 2");
    let failed = judged(release(1000), Verdict::Fail);
    assert_eq!(word(&decide(&failed, &world(1000, 1000), &goal)), "gate: failed");
    assert_eq!(word(&decide(&release(1000), &sick(1000), &goal)), "unhealthy");
}

#[test]
fn going_down_needs_no_verdict_but_a_healthy_baseline() {
    assert_eq!(word(&decide(&release(5000), &world(5000, 5000), &to(1000))), "act 2");
    assert_eq!(word(&decide(&release(5000), &sick(5000), &to(1000))), "unhealthy");
}

#[test]
fn only_a_rollback_is_forced_past_a_sick_side() {
    let forced = |goal: Goal| Goal { force: true, ..goal };
    assert_eq!(word(&decide(&release(5000), &sick(5000), &back())), "unhealthy");
    assert_eq!(word(&decide(&release(5000), &sick(5000), &forced(back()))), "act 2");
    assert_eq!(word(&decide(&release(0), &sick(0), &forced(to(1000)))), "unhealthy");
}

#[test]
fn a_target_that_is_busy_or_unknown_is_left_alone() {
    let mut busy = world(0, 0);
    busy.get_mut(&name::<TargetName>("api")).unwrap().activity = Activity::Busy { what: "x".into() };
    assert_eq!(word(&decide(&release(0), &busy, &to(1000))), "busy");
    let mut half = world(0, 0);
    half.remove(&name::<TargetName>("web"));
    assert_eq!(word(&decide(&release(0), &half, &to(1000))), "unknown target");
}

#[test]
fn what_no_write_proves_rests_on_a_look() {
    let open = pending(release(1000), Aim::Forward, 1000, 5000);
    for (live, rests) in [(world(5000, 5000), true), (world(1000, 1000), false), (world(2000, 0), true)] {
        assert_eq!(decide(&open, &live, &to(5000)).rests_on_a_look(Aim::Forward), rests);
    }
    assert!(Decision::Done.rests_on_a_look(Aim::Undo) && !Decision::Done.rests_on_a_look(Aim::Forward));
}

#[test]
fn the_first_traffic_needs_a_baseline_that_could_take_it_back() {
    let mut world = world(0, 0);
    for observed in world.values_mut() {
        let blue = observed.sides.iter_mut().find(|s| s.name.as_str() == "blue").unwrap();
        blue.instances[0].health = Health::Down { why: "timeout".into() };
    }
    assert_eq!(word(&decide(&release(0), &world, &to(1000))), "no way back");
    assert_eq!(word(&decide(&release(0), &world, &Goal { hotfix: true, ..to(1000) })), "act 2");
}
