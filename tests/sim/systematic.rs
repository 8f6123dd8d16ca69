//! Every fault at every call of a clean rollout and of one that has to go back.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::port::Treat;

use crate::{
    clock::Sim,
    faults::{Kind, LANDS, Nature, Second},
    invariants,
    runs::{RELEASE, What},
    world::{Web, World, lock},
};

/// Restarts after which a command must have ended for good.
const RESTARTS_MAX: usize = 5;
const SEED: u64 = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Candidate {
    Good,
    /// Breaks at 50 %.
    Bad,
    /// Good; the second service goes over at once, in the last stage.
    Whole,
    /// Good; the second service has stages of its own.
    Own,
}

/// What is done after the run with the fault: which command, and how wrong the next machine's clock is.
#[derive(Clone, Copy, Debug)]
struct Then {
    back: bool,
    skew: i64,
}

const AGAIN: Then = Then { back: false, skew: 0 };

fn sim(candidate: Candidate) -> Sim {
    let mut world = World::new(SEED);
    world.bad = (candidate == Candidate::Bad).then(|| RELEASE.to_string());
    world.web = match candidate {
        Candidate::Good | Candidate::Bad => Web::Split,
        Candidate::Whole => Web::Whole,
        Candidate::Own => Web::Own,
    };
    Sim::new(Arc::new(Mutex::new(world)))
}

fn calls(candidate: Candidate) -> Vec<(String, Nature)> {
    let mut sim = sim(candidate);
    sim.start(What::Rollout, 0);
    sim.drive();
    let code = sim.endings.last().map(|e| e.code);
    assert_eq!(code, Some(if candidate == Candidate::Bad { 10 } else { 0 }), "{}", log(&sim));
    let calls = lock(&sim.world).calls.clone();
    finish(&mut sim);
    assert!(lock(&sim.world).violations.is_empty(), "{}", log(&sim));
    calls
}

/// Settles, and proves that one more run of a finished release writes nothing.
fn finish(sim: &mut Sim) {
    sim.settle();
    invariants::at_rest(&mut lock(&sim.world));
    let closed = lock(&sim.world).history.release.as_ref().and_then(|r| r.closed.clone());
    if closed.is_some_and(|c| c.how == tidegate::domain::record::Closing::Finished) {
        lock(&sim.world).plan.clear();
        let run = sim.start(What::Rollout, 0);
        sim.drive();
        let mut world = lock(&sim.world);
        let state = world.runs[&run].clone();
        if state.writes + state.appends > 0 {
            world.violation(format!("a run with nothing to do wrote {} times", state.writes + state.appends));
        }
    }
}

fn log(sim: &Sim) -> String {
    let world = lock(&sim.world);
    format!("violations: {:#?}\n{}", world.violations, world.log.join("\n"))
}

/// One fault at one call, then restarts until it is over. `Err` tells the story.
fn one(candidate: Candidate, kind: Kind, then: Then, index: usize) -> Result<(), String> {
    let mut sim = sim(candidate);
    lock(&sim.world).plan.insert(index, kind);
    sim.start(What::Rollout, 0);
    sim.drive();
    if !lock(&sim.world).fired.iter().any(|(at, _)| *at == index) {
        return Err(format!("the fault did not fire\n{}", log(&sim)));
    }
    let mut back = then.back && lock(&sim.world).history.release.is_some();
    for _ in 0..RESTARTS_MAX {
        let over = lock(&sim.world).history.release.as_ref().is_some_and(|r| r.closed.is_some());
        let done = sim.endings.last().is_some_and(|e| matches!(e.code, 0 | 10) && !e.waiting);
        if over && (done || back) {
            break;
        }
        if sim.endings.last().is_some_and(|e| e.code == 11) {
            // Evidence comes with time, not with restarts.
            sim.pass(Duration::from_secs(2));
        }
        sim.start(if back { What::Rollback } else { What::Rollout }, then.skew);
        back = false;
        sim.drive();
        let rolled = sim.endings.last().is_some_and(|e| e.what == What::Rollback && e.code == 0);
        if rolled {
            break;
        }
    }
    finish(&mut sim);
    if lock(&sim.world).violations.is_empty() { Ok(()) } else { Err(log(&sim)) }
}

/// The fault at every call it fits.
fn every(candidate: Candidate, kind: Kind, then: Then) {
    let only: Option<usize> = std::env::var("TIDEGATE_SIM_CALL").ok().and_then(|v| v.parse().ok());
    let calls = calls(candidate);
    let mut failures = Vec::new();
    let mut tried = 0;
    for (index, (name, nature)) in calls.iter().enumerate() {
        if !kind.fits(*nature) || only.is_some_and(|only| only != index) {
            continue;
        }
        tried += 1;
        if let Err(story) = one(candidate, kind, then, index) {
            failures.push((index, name.clone(), story));
        }
    }
    println!("{candidate:?} {kind:?} {then:?}: {tried} of {} calls", calls.len());
    assert!(tried > 0 || only.is_some(), "this fault fits no call");
    if let Some((index, name, story)) = failures.first() {
        let all: Vec<String> = failures
            .iter()
            .map(|(i, n, s)| {
                format!("#{i} {n}: {}", s.lines().find(|l| l.contains("VIOLATION")).unwrap_or("?"))
            })
            .collect();
        panic!(
            "{} of {tried} calls: \n{}\n\n{candidate:?}, {kind:?} at call {index} ({name}), {then:?}, seed {SEED}; \
             replay with TIDEGATE_SIM_CALL={index}\n{story}",
            failures.len(),
            all.join("\n")
        );
    }
}

macro_rules! systematic {
    ($($name:ident: $kind:expr, $then:expr;)*) => {
        mod good {
            use super::*;
            $(#[test] fn $name() { every(Candidate::Good, $kind, $then); })*
        }
        mod bad {
            use super::*;
            $(#[test] fn $name() { every(Candidate::Bad, $kind, $then); })*
        }
    };
}

systematic! {
    refused_for_now: Kind::Refused(Treat::Temporary), AGAIN;
    refused_for_good: Kind::Refused(Treat::Permanent), AGAIN;
    the_answer_is_lost: Kind::Lost, AGAIN;
    an_older_truth_is_seen: Kind::Stale, AGAIN;
    accepted_and_nothing_comes_of_it: Kind::Ignored, AGAIN;
    late_by_a_second: Kind::Late(Duration::from_secs(1)), AGAIN;
    late_by_a_whole_call: Kind::Late(Duration::from_secs(9)), AGAIN;
    killed_before_the_effect: Kind::KillBefore, AGAIN;
    killed_after_the_effect: Kind::KillAfter, AGAIN;
    killed_and_rolled_back: Kind::KillAfter, Then { back: true, skew: 0 };
    killed_and_the_write_lands_after_the_restart: Kind::Orphan(LANDS - Duration::from_secs(1)), AGAIN;
    killed_and_the_write_lands_in_the_rollback: Kind::Orphan(LANDS - Duration::from_secs(1)), Then { back: true, skew: 0 };
    killed_and_the_write_lands_soon: Kind::Orphan(Duration::from_millis(700)), Then { back: true, skew: 0 };
    restarted_with_a_clock_that_is_fast: Kind::KillAfter, Then { back: false, skew: 600 };
    restarted_with_a_clock_that_is_slow: Kind::KillBefore, Then { back: false, skew: -600 };
    a_second_rollout: Kind::Second(Second::Rollout), AGAIN;
    a_rollback_comes: Kind::Second(Second::Rollback), Then { back: true, skew: 0 };
}

/// The faults that end a run, where not all services move together.
macro_rules! shaped {
    ($($module:ident: $candidate:expr;)*) => {$(
        mod $module {
            use super::*;

            #[test]
            fn the_answer_is_lost() {
                every($candidate, Kind::Lost, AGAIN);
            }

            #[test]
            fn killed_before_the_effect() {
                every($candidate, Kind::KillBefore, AGAIN);
            }

            #[test]
            fn killed_after_the_effect() {
                every($candidate, Kind::KillAfter, AGAIN);
            }

            #[test]
            fn killed_and_rolled_back() {
                every($candidate, Kind::KillAfter, Then { back: true, skew: 0 });
            }
        }
    )*};
}

shaped! {
    one_goes_over_at_once: Candidate::Whole;
    one_has_stages_of_its_own: Candidate::Own;
}

fn shares_seen(candidate: Candidate) -> Vec<String> {
    let mut sim = sim(candidate);
    sim.start(What::Rollout, 0);
    sim.drive();
    let world = lock(&sim.world);
    let set = |line: &&String| line.contains("is set to");
    world.log.iter().filter(set).filter_map(|line| Some(line.trim().split_once(' ')?.1.to_string())).collect()
}

#[test]
fn a_service_that_cannot_be_split_goes_over_in_its_stage() {
    let green = |target: &str, share: &str| format!("{target}: green is set to {share}");
    let expected = [green("api", "10 %"), green("api", "50 %"), green("api", "100 %"), green("web", "100 %")];
    let mut seen = shares_seen(Candidate::Whole);
    seen[2..].sort();
    assert_eq!(seen, expected);
}

#[test]
fn a_service_with_stages_of_its_own_goes_after_those_before_it() {
    let green = |target: &str, share: &str| format!("{target}: green is set to {share}");
    let api = ["10 %", "50 %", "100 %"].map(|share| green("api", share));
    let web = ["20 %", "100 %"].map(|share| green("web", share));
    assert_eq!(shares_seen(Candidate::Own), [&api[..], &web[..]].concat());
}
