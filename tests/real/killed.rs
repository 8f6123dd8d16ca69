//! `kill -9` before and after each journal write and each call of the runtime API of a whole rollout. Run
//! again, it goes on to the same end.

use std::{
    os::unix::process::ExitStatusExt as _,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tidegate::domain::record::{Closing, Event, Step};

use super::{
    middle::{At, Happens, Middle},
    process::{Heard, code, run, told},
    world::{BLUE_HAS_ALL, GREEN_HAS_ALL, JOURNAL, Site, TIDEGATE, World},
};

const ROLLOUT: &str = "rollout --release v2";
/// Points at which it is killed at the same time, each in a world of its own.
const AT_ONCE: usize = 4;
/// On a busy machine a call may be late, which is an end of its own.
const RUNS_MAX: usize = 4;

fn site(world: &World, socket: &Path) -> Site {
    let site = Site::new(&format!(
        "{}    deploy: {{run: 'echo \"$TIDEGATE_SIDE\" >>deploys'}}
    health: /health
databases:
  main: {{sqlite: shop.db}}
migrations:
  stock: {{run: 'echo once >>migrated', revision: {{run: 'wc -l <migrated'}}}}
stages: [10% for 1s, 100% for 1s]
checks:
  healthy: {{target: instances, fail: below 50%}}
smoke:
  front: {{http: GET /health}}
{JOURNAL}",
        world.service(socket)
    ));
    site.write("migrated", "");
    site.with_database()
}

/// Runs it again until it is done, and looks at everything it leaves.
fn converges(world: &World, site: &Site, killed: &str) {
    let (mut codes, before) = (Vec::new(), site.records().len() as u64);
    loop {
        let (code, text) = code(&mut site.tidegate(ROLLOUT));
        codes.push(code);
        if code == 0 {
            break;
        }
        assert!(
            (code == 14 || code == 16) && codes.len() < RUNS_MAX,
            "{killed}: then it ended with {codes:?}:\n{text}"
        );
    }
    assert_eq!(world.weights(), GREEN_HAS_ALL, "{killed}");
    let history = site.history();
    // Only a lease that nobody wanted any more is left to run out.
    assert!(history.lease.is_none() || history.last == before, "{killed}: {:?}", history.lease);
    let release = history.release.unwrap();
    assert_eq!(release.closed.as_ref().map(|c| c.how), Some(Closing::Finished), "{killed}");
    assert_eq!(release.snapshots.len(), 1, "{killed}");
    let (kept, rest) = site.snapshots();
    assert_eq!(kept.len(), 1, "{killed}: {kept:?}");
    assert!(!rest.iter().any(|name| name.contains(".part")), "{killed}: {rest:?}");
    assert_eq!(site.read("migrated"), "once\n", "{killed}");
    assert!(site.read("deploys").lines().all(|side| side == "green"), "{killed}");
    assert_eq!(site.shares_intended(), [1000, 10_000], "{killed}");
    for wanted in ["snapshot", "migrate", "deploy"] {
        let answered = site.records().iter().filter(|r| confirms(site, r, wanted)).count();
        assert_eq!(answered, 1, "{killed}: {wanted}");
    }
}

fn confirms(site: &Site, record: &tidegate::domain::record::Record, wanted: &str) -> bool {
    let Event::Confirmed { intent, .. } = &record.event else { return false };
    let text = site.read(&format!("journal/shop/production/{intent:06}.json"));
    let intent: tidegate::domain::record::Record = serde_json::from_str(&text).unwrap();
    matches!(
        (&intent.event, wanted),
        (Event::Intent { step: Step::Snapshot { .. } }, "snapshot")
            | (Event::Intent { step: Step::Migrate { .. } }, "migrate")
            | (Event::Intent { step: Step::Deploy { .. } }, "deploy")
    )
}

/// Tries point 1, 2, 3, … until a rollout ends by itself, several at once. Returns how many points there were.
fn every_point(attempt: impl Fn(&World, usize) -> bool + Sync) -> usize {
    let (next, points) = (AtomicUsize::new(1), Mutex::new(usize::MAX));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let world = World::start();
                loop {
                    let point = next.fetch_add(1, Ordering::Relaxed);
                    if point > *points.lock().unwrap() {
                        return;
                    }
                    world.set_weights(BLUE_HAS_ALL);
                    if !attempt(&world, point) {
                        let mut points = points.lock().unwrap();
                        *points = (*points).min(point - 1);
                    }
                }
            });
        }
    });
    points.into_inner().unwrap()
}

/// Kills at the entry of the `point`th of these system calls, which is then not carried out.
fn killed_at_call(world: &World, point: usize, system_call: &str, hit: impl Fn(&[&str]) -> bool) -> bool {
    let site = site(world, &world.socket());
    let trace = site.file("trace");
    let mut command = site.program("strace");
    command.arg("-o").arg(&trace).args(["-s", "300", "-e", "trace=linkat,unlink", "-e", "signal=none"]);
    command.arg("-e").arg(format!("inject={system_call}:signal=SIGKILL:when={point}"));
    let output = run(command.arg(TIDEGATE).args(ROLLOUT.split(' ')));
    if output.status.success() {
        return false;
    }
    assert_eq!(output.status.signal(), Some(9), "{}", told(&output));
    let trace = site.read("trace");
    let lines: Vec<&str> = trace.lines().filter(|line| !line.starts_with("+++")).collect();
    let last = lines.last().unwrap();
    assert!(last.starts_with(system_call) && last.ends_with("= ?"), "{trace}");
    assert_eq!(lines.iter().filter(|line| line.starts_with(system_call)).count(), point);
    if hit(&lines) {
        converges(world, &site, &format!("killed at {system_call} number {point}: {last}"));
    }
    true
}

#[test]
fn killed_before_each_journal_write() {
    let points = every_point(|world, point| {
        killed_at_call(world, point, "linkat", |lines| {
            assert!(lines.last().unwrap().contains("/journal/shop/production/"), "{lines:?}");
            true
        })
    });
    assert!(points >= 25, "only {points} journal writes");
    println!("killed before each of {points} journal writes");
}

#[test]
fn killed_after_each_journal_write() {
    // The name that the record was written under goes right after the link.
    let writes = AtomicUsize::new(0);
    every_point(|world, point| {
        killed_at_call(world, point, "unlink", |lines| {
            let [.., link, last] = lines else { return false };
            let written = last.contains("/journal/shop/production/.");
            if written {
                assert!(link.starts_with("linkat") && link.ends_with("= 0"), "{lines:?}");
                writes.fetch_add(1, Ordering::Relaxed);
            }
            written
        })
    });
    let writes = writes.into_inner();
    assert!(writes >= 25, "only {writes} journal writes");
    println!("killed after each of {writes} journal writes");
}

fn killed_at_runtime_call(world: &World, point: usize, happens: Happens) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let middle =
        Middle::start(&world.socket(), folder.path().join("middle.sock"), At::Number(point), happens);
    let site = site(world, middle.path());
    let process = Heard::spawn(&mut site.tidegate(ROLLOUT));
    middle.caller(process.pid());
    let (status, text) = process.ended();
    if status.success() {
        return false;
    }
    assert_eq!(status.signal(), Some(9), "{text}");
    let line = middle.line();
    middle.pass();
    converges(world, &site, &format!("{happens:?} number {point}: {line}"));
    true
}

#[test]
fn killed_before_each_runtime_call() {
    let points = every_point(|world, point| killed_at_runtime_call(world, point, Happens::KilledBefore));
    assert!(points >= 25, "only {points} calls");
    println!("killed before each of {points} calls of the runtime API");
}

#[test]
fn killed_after_each_runtime_call() {
    let points = every_point(|world, point| killed_at_runtime_call(world, point, Happens::KilledAfter));
    assert!(points >= 25, "only {points} calls");
    println!("killed after each of {points} calls of the runtime API");
}
