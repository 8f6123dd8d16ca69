//! One process: a unit over the world, an engine, a command.

use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tidegate::{
    domain::{check::Check, duration::Span, record::Holder, sample::Measure, stage::Stages, value::Kind},
    engine::{
        Engine, Options, Timing,
        migrate::Assume,
        rollback::Rollback,
        stop::Stop,
        unit::{CheckEntry, DatabaseEntry, Finish, Hook, Migration, Service, Step, Unit, When},
    },
    error::Failure,
    port::{Progress, Watching},
};

use crate::{
    clock::SimClock,
    faults::CALL,
    ports::{Does, Door, SimCommand, SimDatabase, SimJournal, SimMetric, SimTarget},
    world::{Shared, Web, lock, services},
};

/// What a process was started for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Rollout,
    Rollback,
    /// One command of its own, as a workflow of single steps would run it.
    Shift(u16),
    Verify,
    /// A rollout by a person who looked into the database: the migration ran.
    Assume,
}

/// How it ended.
#[derive(Clone, Debug)]
pub struct Ending {
    pub run: usize,
    pub what: What,
    pub code: u8,
    pub sentence: String,
    pub waiting: bool,
}

pub const RELEASE: &str = "v1.2.3";

pub fn stages() -> Stages {
    read(&["10% for 2s", "50% for 2s", "100% for 2s"])
}

/// The second service's own, where it has some.
pub fn own_stages() -> Stages {
    read(&["20% for 2s", "100% for 2s"])
}

fn read(stages: &[&str]) -> Stages {
    Stages::new(stages.iter().map(|s| s.parse().unwrap()).collect()).unwrap()
}

fn unit(door: &Door) -> Unit {
    let step = |name: &str, does: Does, seconds: u64| Step {
        name: name.parse().unwrap(),
        command: Box::new(SimCommand { door: door.clone(), does }),
        limit: Duration::from_secs(seconds),
    };
    let [api, web] = services();
    let shape = lock(&door.world).web;
    let service = |name: &tidegate::domain::names::TargetName, deploys: bool| Service {
        name: name.clone(),
        target: Box::new(SimTarget {
            door: door.clone(),
            name: name.clone(),
            deploys,
            splits: *name == api || shape != Web::Whole,
        }),
        deploy: (!deploys).then(|| step("deploy", Does::DeployGreen, 20)),
        retire: None,
        artifact: Some("{{release}}".into()),
        stages: (*name == web && shape == Web::Own).then(own_stages),
        switch_at: tidegate::domain::share::Share::ALL,
        drain: std::time::Duration::ZERO,
        url: None,
        test_url: None,
    };
    let hook = |moment: &str| Hook { moment: moment.into(), step: step("tell", Does::Nothing, 20) };
    let tells = lock(&door.world).tells_revision;
    let source: Box<dyn tidegate::port::Metric> = Box::new(SimMetric { door: door.clone() });
    let mut unit = Unit {
        name: "shop".parse().unwrap(),
        environment: "production".parse().unwrap(),
        services: vec![service(&api, true), service(&web, false)],
        databases: vec![DatabaseEntry {
            name: "main".parse().unwrap(),
            database: Box::new(SimDatabase { door: door.clone(), name: "main".into() }),
            keep: Some(Span::from_secs(3600)),
            limit: Duration::from_secs(60),
        }],
        migrations: vec![Migration {
            up: step("schema", Does::Migrate, 20),
            undo: None,
            revision: tells.then(|| step("revision", Does::Revision, 20)),
            verify: None,
            contract: false,
        }],
        stages: stages(),
        checks: vec![CheckEntry {
            check: Check {
                fail: vec!["above 5%".parse().unwrap()],
                needs: Some(5),
                ..Check::new("errors".parse().unwrap(), Measure::Ratio, Kind::Ratio)
            },
            source: "sim".into(),
            service: None,
        }],
        sources: BTreeMap::from([("sim".to_string(), source)]),
        smoke: vec![step("health", Does::Nothing, 20)],
        hooks: vec![hook("before_shift_traffic"), hook("before_rollback")],
        when: When::default(),
        finish: Finish { keep_old: Span::default(), recheck: Vec::new() },
        journal: Box::new(SimJournal { door: door.clone() }),
        text: String::new(),
        digest: String::new(),
        doubts: Vec::new(),
    };
    (lock(&door.world).adjust)(&mut unit);
    unit
}

/// What a run prints, kept.
struct Told(Shared);

impl Progress for Told {
    fn line(&self, line: &str) {
        lock(&self.0).told.push(line.to_string());
    }

    fn output(&self, _: &str, _: &str) {}

    fn waiting(&self, _: &str, _: &str) {}

    fn watching(&self, _: &Watching<'_>) {}
}

/// The whole life of one process.
pub async fn process(world: Shared, run: usize, what: What, skew: i64) -> Ending {
    let unit = unit(&Door { world: world.clone(), run });
    let process = lock(&world).runs[&run].process.clone();
    let holder = Holder { run: format!("job-{run}"), process, ..Holder::default() };
    let options = Options {
        release: Some(RELEASE.parse().unwrap()),
        time_limit: lock(&world).time_limit,
        ..Options::default()
    };
    let timing = Timing { call: CALL, healthy: Duration::from_secs(60), ..Timing::default() };
    let clock = Arc::new(SimClock::new(world.clone(), skew));
    let progress = Told(world.clone());
    let engine = Engine::new(&unit, clock, holder, &progress, Stop::never(), options, timing);
    let result = match &what {
        What::Rollout => engine.rollout(None, false, None).await,
        What::Assume => {
            let ran = lock(&world).migration_ran();
            engine.rollout(None, false, Some(if ran { Assume::Done } else { Assume::NotRun })).await
        }
        What::Rollback => engine.rollback(&Rollback::default()).await,
        What::Shift(to) => engine.shift_traffic((*to).try_into().unwrap()).await,
        What::Verify => engine.verify_metrics(None).await,
    };
    let (code, sentence, waiting) = match &result {
        Ok(done) => (0, done.sentence.clone(), done.waiting),
        Err(failure) => (Failure::exit_code(failure), failure.to_string(), false),
    };
    Ending { run, what, code, sentence, waiting }
}
