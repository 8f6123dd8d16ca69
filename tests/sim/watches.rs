//! One watch from its beginning to its verdict: where the traffic goes, what decides, how long it lasts.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    domain::{
        record::{Event, Series, Watched},
        sample::Sample,
        stage::Stages,
        verdict::{Judgement, Verdict},
    },
    engine::unit::{CheckEntry, Reaction, Unit},
};

use crate::{
    clock::Sim,
    runs::{RELEASE, What},
    world::{World, lock},
};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A first stage of 20 s.
fn one(unit: &mut Unit) {
    let stages = ["10% for 20s", "50% for 2s", "100% for 2s"];
    unit.stages = Stages::new(stages.iter().map(|s| s.parse().unwrap()).collect()).unwrap();
    for check in &mut unit.checks {
        check.check.needs = Some(100);
    }
}

/// A first stage of 60 s.
fn long(unit: &mut Unit) {
    one(unit);
    let stages = ["10% for 60s", "50% for 2s", "100% for 2s"];
    unit.stages = Stages::new(stages.iter().map(|s| s.parse().unwrap()).collect()).unwrap();
}

fn world(adjust: fn(&mut Unit)) -> Sim {
    let mut world = World::new(7);
    world.adjust = adjust;
    Sim::new(Arc::new(Mutex::new(world)))
}

/// Runs a rollout and, where it does not end with the release, what goes on with it.
fn run(sim: &mut Sim, what: What) -> u8 {
    sim.start(what, 0);
    sim.drive();
    let world = lock(&sim.world);
    assert_eq!(world.violations, Vec::<String>::new(), "{}", world.log.join("\n"));
    sim.endings.last().unwrap().code
}

/// The first verdict of the first stage.
fn verdict(sim: &Sim) -> (Verdict, Vec<Judgement>, Watched) {
    let world = lock(&sim.world);
    let judged = world.journal.iter().find_map(|record| match &record.event {
        Event::Judged { verdict, judgements, watched, .. } => {
            Some((*verdict, judgements.clone(), watched.clone()))
        }
        _ => None,
    });
    judged.unwrap_or_else(|| panic!("nothing was judged\n{}", world.log.join("\n")))
}

fn errors(watched: &Watched) -> &Series {
    watched.series.first_key_value().unwrap().1.first_key_value().unwrap().1
}

fn total(sample: &Sample) -> u64 {
    sample.requests().unwrap()
}

fn sentence(judgements: &[Judgement], check: &str) -> Option<String> {
    judgements.iter().find(|j| j.check.as_str() == check).map(|j| j.sentence.clone())
}

#[test]
fn a_bake_begins_when_the_traffic_has_arrived() {
    let mut sim = world(one);
    assert_eq!(run(&mut sim, What::Rollout), 0);
    let (_, _, at_once) = verdict(&sim);
    assert_eq!(at_once.counted_from_ms, 0);
    let mut sim = world(one);
    lock(&sim.world).elsewhere = vec![(seconds(0), seconds(12))];
    assert_eq!(run(&mut sim, What::Rollout), 0);
    let (passed, judgements, late) = verdict(&sim);
    assert_eq!(passed, Verdict::Pass);
    assert!((10_000..16_000).contains(&late.counted_from_ms), "{}", late.counted_from_ms);
    assert!(late.watched_ms - late.counted_from_ms >= 20_000, "{}", late.watched_ms);
    // what was seen before is another split's
    let (baseline, before) = (total(&errors(&late).baseline), total(&errors(&at_once).baseline));
    assert!(baseline < before + 300, "{baseline} {before}");
    assert_eq!(sentence(&judgements, "traffic"), None);
    assert!(lock(&sim.world).told.iter().any(|line| line.contains("the bake begins anew")));
}

#[test]
fn what_was_seen_of_a_split_stays_when_its_traffic_is_away_for_a_while() {
    let mut sim = world(long);
    lock(&sim.world).elsewhere = vec![(seconds(18), seconds(42))];
    assert_eq!(run(&mut sim, What::Rollout), 0);
    let (_, _, watched) = verdict(&sim);
    assert!(watched.counted_from_ms > 40_000, "{}", watched.counted_from_ms);
    assert_eq!(errors(&watched).begun_ms(), Some(0));
}

#[test]
fn traffic_that_goes_and_does_not_come_back_never_passes() {
    for from in [0, 4] {
        let mut sim = world(one);
        lock(&sim.world).elsewhere = vec![(seconds(from), seconds(10_000))];
        assert_eq!(run(&mut sim, What::Rollout), 11);
        let (_, judgements, _) = verdict(&sim);
        let told = sentence(&judgements, "traffic").unwrap();
        assert!(told.contains("0.0 % of ") && told.contains("10 % is set"), "{told}");
    }
}

#[test]
fn traffic_that_comes_and_goes_never_passes() {
    let mut sim = world(long);
    lock(&sim.world).elsewhere = (0..200).map(|n| (seconds(48 * n), seconds(48 * n + 24))).collect();
    assert_eq!(run(&mut sim, What::Rollout), 11);
    let (_, judgements, watched) = verdict(&sim);
    let told = sentence(&judgements, "traffic").unwrap();
    assert!(told.contains("came and went") || told.contains("counted on the candidate"), "{told}");
    assert!(watched.watched_ms < 300_000, "it ends: {}", watched.watched_ms);
}

/// A release that breaks under load, and a check that sees it.
fn decided(unit: &mut Unit) {
    one(unit);
    let mut tells = unit.checks[0].check.clone();
    tells.name = "tells".parse().unwrap();
    tells.fail.clear();
    tells.warn = vec!["above 99%".parse().unwrap()];
    unit.checks.push(CheckEntry { check: tells, source: "sim".into(), service: None });
}

#[test]
fn a_check_that_is_tried_out_fails_and_decides_nothing() {
    let mut sim = world(|unit| {
        decided(unit);
        unit.checks[0].check.shadow = true;
    });
    lock(&sim.world).bad = Some(RELEASE.into());
    assert_eq!(run(&mut sim, What::Rollout), 0);
    let world = lock(&sim.world);
    let failed = world.journal.iter().any(|record| match &record.event {
        Event::Judged { verdict: Verdict::Pass, judgements, .. } => {
            judgements.iter().any(|j| j.shadow && j.verdict == Verdict::Fail)
        }
        _ => false,
    });
    assert!(failed, "{}", world.log.join("\n"));
    drop(world);
    // the same check decides as soon as it is not tried out any more
    let mut sim = self::world(decided);
    lock(&sim.world).bad = Some(RELEASE.into());
    assert_eq!(run(&mut sim, What::Rollout), 10);
}

fn extended(unit: &mut Unit) {
    one(unit);
    unit.checks[0].check.fail = vec!["worse than baseline".parse().unwrap()];
    unit.checks[0].check.needs = Some(1_000_000);
    unit.when.insufficient = Reaction::Extend("30s".parse().unwrap());
}

#[test]
fn too_little_evidence_extends_the_watch_once() {
    let mut sim = world(extended);
    assert_eq!(run(&mut sim, What::Rollout), 11);
    let (found, _, watched) = verdict(&sim);
    assert_eq!(found, Verdict::Insufficient);
    assert!((50_000..53_000).contains(&watched.watched_ms), "{}", watched.watched_ms);
    assert_eq!(errors(&watched).asked, 1, "what is asked at the end was asked once before");
    // the verdict was asked for again: for as long once more, and no more
    assert_eq!(run(&mut sim, What::Verify), 11);
    let world = lock(&sim.world);
    let judged = world.journal.iter().rev().find_map(|record| match &record.event {
        Event::Judged { watched, .. } => Some(watched.clone()),
        _ => None,
    });
    let again = judged.unwrap();
    assert!((100_000..106_000).contains(&again.watched_ms), "{}", again.watched_ms);
    assert_eq!(errors(&again).asked, 3);
}

#[test]
fn an_extension_that_the_end_of_a_job_cuts_is_not_granted_twice() {
    let mut sim = world(extended);
    lock(&sim.world).time_limit = Some(seconds(40));
    let mut codes = Vec::new();
    while codes.last() != Some(&11) {
        codes.push(run(&mut sim, What::Rollout));
        assert!(codes.len() < 10, "{codes:?}");
    }
    let (_, _, watched) = verdict(&sim);
    assert!((50_000..53_000).contains(&watched.watched_ms), "{codes:?} {}", watched.watched_ms);
    assert_eq!(errors(&watched).asked, 1);
}

#[test]
fn a_watch_tells_at_its_beginning_what_it_can_show() {
    let mut sim = world(|unit| {
        one(unit);
        unit.checks[0].check.fail = vec!["worse than baseline".parse().unwrap()];
    });
    run(&mut sim, What::Rollout);
    let world = lock(&sim.world);
    let told: Vec<&String> = world.told.iter().filter(|line| line.contains("this stage can show")).collect();
    // of each service, at each stage
    assert_eq!(told.iter().filter(|line| line.contains("errors of api: ")).count(), 3, "{:?}", world.told);
}

#[test]
fn a_watch_tells_of_a_gauge_by_how_many_values_it_is_compared() {
    use tidegate::domain::{sample::Measure, value::Kind};
    let mut sim = world(|unit| {
        one(unit);
        let name = "load".parse().unwrap();
        let fail = vec!["worse than baseline".parse().unwrap()];
        let check = tidegate::domain::check::Check {
            fail,
            ..tidegate::domain::check::Check::new(name, Measure::Gauge, Kind::Count)
        };
        unit.checks.push(CheckEntry { check, source: "sim".into(), service: None });
    });
    run(&mut sim, What::Rollout);
    let told = lock(&sim.world).told.join("\n");
    assert!(told.contains("load of api: compared once, at the end of this stage, about 20 values"), "{told}");
}

#[test]
fn what_a_source_brings_after_an_outage_is_of_all_that_time() {
    let mut sim = world(long);
    // from the middle of the first stage, which begins some seconds after the start
    let now = lock(&sim.world).now;
    lock(&sim.world).outages = vec![(now + seconds(40), now + seconds(60))];
    assert_eq!(run(&mut sim, What::Rollout), 0);
    let (_, _, watched) = verdict(&sim);
    let series = errors(&watched);
    let longest = series.batches.iter().max_by_key(|batch| batch.to_ms - batch.from_ms).unwrap();
    assert!(longest.to_ms - longest.from_ms >= 18_000, "{longest:?}");
    // 10 requests a second on the candidate, in that time as in any other
    let rate = total(&longest.candidate) as f64 * 1000.0 / (longest.to_ms - longest.from_ms) as f64;
    assert!((8.0..12.0).contains(&rate), "{longest:?}");
}

/// How many jobs of 20 s a stage of 60 s takes with an hour between them.
fn jobs(adjust: fn(&mut Unit)) -> usize {
    let mut sim = world(adjust);
    lock(&sim.world).time_limit = Some(seconds(20));
    for job in 1..20 {
        run(&mut sim, What::Rollout);
        let judged = |world: &World| world.journal.iter().any(|r| matches!(r.event, Event::Judged { .. }));
        if judged(&lock(&sim.world)) {
            return job;
        }
        sim.pass(seconds(3600));
    }
    panic!("it does not end");
}

#[test]
fn only_counters_run_on_while_nobody_watches() {
    assert_eq!(jobs(long), 2);
    let looked_at = jobs(|unit| {
        long(unit);
        let gauge = tidegate::domain::check::Check {
            fail: vec!["above 1000000".parse().unwrap()],
            ..tidegate::domain::check::Check::new(
                "load".parse().unwrap(),
                tidegate::domain::sample::Measure::Gauge,
                tidegate::domain::value::Kind::Count,
            )
        };
        unit.checks.push(CheckEntry { check: gauge, source: "sim".into(), service: None });
    });
    assert!(looked_at > 2, "{looked_at}");
}

#[test]
fn what_is_held_against_what_was_recorded_has_what_was_before_the_release() {
    let mut sim = world(|unit| {
        one(unit);
        unit.checks[0].check.fail = vec!["worse than baseline".parse().unwrap()];
        unit.checks[0].check.against_recorded = true;
    });
    run(&mut sim, What::Rollout);
    let world = lock(&sim.world);
    let before = &world.history.release.as_ref().unwrap().before;
    let recorded = before.first_key_value().unwrap().1.first_key_value().unwrap().1.requests().unwrap();
    let told: Vec<String> = (world.journal.iter())
        .filter_map(|record| match &record.event {
            Event::Judged { judgements, .. } => sentence(judgements, "errors"),
            _ => None,
        })
        .collect();
    assert!(told.len() > 1, "{told:?}");
    for sentence in told {
        let wanted = format!(" of {recorded}) (against recorded)");
        assert!(sentence.contains(&wanted), "{wanted}: {sentence}");
    }
}
