//! Random schedules: several faults, two or three runs at once, sides that flap, metrics that go away.
//! The same invariants, and when the faults stop the release comes to an end.
//!
//! The schedules are the same at every run, so that a change is judged by what it changed.
//! `TIDEGATE_SIM_CASES=20000` soaks with new ones; a failing schedule is kept in
//! `schedules.proptest-regressions` and tried first from then on.

use proptest::{
    prelude::*,
    test_runner::{Config, FileFailurePersistence, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::port::Treat;

use crate::{
    clock::Sim,
    faults::{Kind, LANDS, Second},
    invariants,
    runs::{Ending, RELEASE, What},
    world::{World, blue, green, lock, services},
};

const CASES: u32 = 300;
/// Restarts without any fault after which the release must be closed.
const RESTARTS_MAX: usize = 8;

#[derive(Clone, Debug)]
struct Schedule {
    seed: u64,
    bad: bool,
    tells_revision: bool,
    /// Call and fault.
    faults: Vec<(usize, Kind)>,
    /// What starts beside the first rollout, when (ms), with which clock (s).
    others: Vec<(What, u64, i64)>,
    /// Target, whether it is the baseline, from (ms), for how long (ms).
    flaps: Vec<(usize, bool, u64, u64)>,
    outages: Vec<(u64, u64)>,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        3 => Just(Kind::Refused(Treat::Temporary)),
        2 => Just(Kind::Refused(Treat::Permanent)),
        3 => Just(Kind::Lost),
        3 => Just(Kind::Stale),
        3 => (0u64..10_000).prop_map(|ms| Kind::Late(Duration::from_millis(ms))),
        1 => Just(Kind::Ignored),
        2 => Just(Kind::KillBefore),
        2 => Just(Kind::KillAfter),
        3 => (0u64..20_000).prop_map(|ms| Kind::Orphan(Duration::from_millis(ms).min(LANDS))),
        1 => Just(Kind::Second(Second::Rollout)),
        1 => Just(Kind::Second(Second::Rollback)),
    ]
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        3 => Just(What::Rollout),
        2 => Just(What::Rollback),
        1 => Just(What::Verify),
        1 => prop_oneof![Just(0u16), Just(1000)].prop_map(What::Shift),
    ]
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let clock = prop_oneof![Just(0i64), Just(600), Just(-600)];
    (
        any::<u64>(),
        any::<bool>(),
        any::<bool>(),
        prop::collection::vec((0usize..500, kind()), 0..5),
        prop::collection::vec((what(), 0u64..60_000, clock), 0..3),
        prop::collection::vec((0usize..2, any::<bool>(), 0u64..60_000, 0u64..30_000), 0..3),
        prop::collection::vec((0u64..40_000, 0u64..20_000), 0..2),
    )
        .prop_map(|(seed, bad, tells_revision, faults, others, flaps, outages)| Schedule {
            seed,
            bad,
            tells_revision,
            faults,
            others,
            flaps,
            outages,
        })
}

fn build(schedule: &Schedule) -> Sim {
    let mut world = World::new(schedule.seed);
    world.bad = schedule.bad.then(|| RELEASE.to_string());
    world.tells_revision = schedule.tells_revision;
    world.plan.extend(schedule.faults.iter().copied());
    let zero = world.now;
    let at = |ms: u64| zero + Duration::from_millis(ms);
    world.starts = schedule.others.iter().map(|(what, ms, skew)| (at(*ms), what.clone(), *skew)).collect();
    world.flaps = schedule
        .flaps
        .iter()
        .map(|(target, baseline, from, long)| {
            let side = if *baseline { blue() } else { green() };
            (services()[*target].clone(), side, at(*from), at(from + long))
        })
        .collect();
    world.outages = schedule.outages.iter().map(|(from, long)| (at(*from), at(from + long))).collect();
    Sim::new(Arc::new(Mutex::new(world)))
}

/// Whether the command that follows is a rollback: a person, or a workflow, would say so. One that could
/// not even begin leaves the way forward open.
fn needs_rollback(sim: &Sim, last: &Ending) -> bool {
    let begun = lock(&sim.world).history.open().is_some_and(|r| r.undoing);
    match last.code {
        12 | 15 => true,
        20 => begun || last.what != What::Rollback,
        _ => false,
    }
}

fn play(schedule: &Schedule) -> Result<Sim, Box<Sim>> {
    let mut sim = build(schedule);
    sim.start(What::Rollout, 0);
    sim.drive();
    {
        let mut world = lock(&sim.world);
        world.plan.clear();
        world.flaps.clear();
        world.outages.clear();
        world.note("the faults stop".into());
    }
    for _ in 0..RESTARTS_MAX {
        let over = lock(&sim.world).history.release.as_ref().is_some_and(|r| r.closed.is_some());
        if over {
            break;
        }
        let last = sim.endings.last().cloned();
        let unknown = last.as_ref().is_some_and(|e| e.sentence.contains("is not known"));
        sim.start(
            match last {
                _ if unknown => What::Assume,
                Some(ending) if needs_rollback(&sim, &ending) => What::Rollback,
                _ => What::Rollout,
            },
            0,
        );
        sim.drive();
        sim.pass(Duration::from_secs(2));
    }
    sim.settle();
    invariants::at_rest(&mut lock(&sim.world));
    if lock(&sim.world).violations.is_empty() { Ok(sim) } else { Err(Box::new(sim)) }
}

#[test]
fn any_schedule_ends_and_breaks_nothing() {
    let soak = std::env::var("TIDEGATE_SIM_CASES").ok().and_then(|v| v.parse().ok());
    let config = Config {
        cases: soak.unwrap_or(CASES),
        max_shrink_iters: 4000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/sim/schedules.proptest-regressions",
        ))),
        ..Config::default()
    };
    let mut runner = match soak {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let result = runner.run(&schedule(), |schedule| match play(&schedule) {
        Ok(_) => Ok(()),
        Err(sim) => {
            let world = lock(&sim.world);
            Err(TestCaseError::fail(format!("{:#?}\n{}", world.violations, world.log.join("\n"))))
        }
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// The schedules are not idle: faults fire, runs get killed, releases end both ways.
#[test]
fn the_schedules_cover_what_they_are_meant_to() {
    use proptest::strategy::ValueTree;
    let mut runner = TestRunner::deterministic();
    let (mut fired, mut killed, mut finished, mut back) = (0, 0, 0, 0);
    for _ in 0..60 {
        let schedule = schedule().new_tree(&mut runner).unwrap().current();
        let sim = play(&schedule).unwrap_or_else(|sim| *sim);
        let world = lock(&sim.world);
        fired += world.fired.len();
        killed += world.killed.len();
        match world.history.release.as_ref().and_then(|r| r.closed.as_ref()).map(|c| c.how) {
            Some(tidegate::domain::record::Closing::Finished) => finished += 1,
            Some(_) => back += 1,
            None => {}
        }
    }
    assert!(fired > 20 && killed > 5 && finished > 5 && back > 5, "{fired} {killed} {finished} {back}");
}
