//! Two processes at the same instant on the same journal.

use std::{
    fs::File,
    io::pipe,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};
use tidegate::domain::record::{Aim, Closing, Event, Step};

use super::{
    process::{Heard, good},
    world::{BLUE_HAS_ALL, GREEN_HAS_A_TENTH, GREEN_HAS_ALL, Site, TIDEGATE, World},
};

/// Pairs on the same journal; the records of a journal add up.
const ROUNDS: usize = 20;
const PAIRS_OF_SHIFTS: usize = 200;
const AT_ONCE: usize = 2;

fn site(world: &World) -> Site {
    let config = "stages: [10% for 1s, 100% for 1s]
checks:
  healthy: {target: instances, fail: below 50%}
journal: {file: {path: journal, lease: 3s}}
";
    Site::new(&format!("{}{config}", world.service(&world.socket())))
}

/// Starts both behind a gate and opens it; their exit codes and what they said.
fn at_the_same_instant(site: &Site, commands: [&str; 2]) -> [(i32, String); 2] {
    let (gate, opener) = pipe().unwrap();
    let started = commands.map(|arguments| {
        let mut command: Command = site.program("sh");
        // The shell becomes tidegate when the gate's other end is closed.
        command.args(["-c", "echo ready; read -r _; exec \"$0\" \"$@\"", TIDEGATE]);
        command.args(arguments.split(' '));
        command.stdin(File::from(std::os::fd::OwnedFd::from(gate.try_clone().unwrap())));
        let mut process = Heard::spawn(&mut command);
        process.until("ready");
        process
    });
    drop(gate);
    drop(opener);
    started.map(Heard::code)
}

#[test]
fn two_shifts() {
    let (rounds, both_did) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let world = World::start();
                while rounds.fetch_add(ROUNDS, Ordering::Relaxed) < PAIRS_OF_SHIFTS {
                    world.set_weights(BLUE_HAS_ALL);
                    let refused = shifts_on_one_journal(&world);
                    both_did.fetch_add(refused, Ordering::Relaxed);
                }
            });
        }
    });
    println!("of {PAIRS_OF_SHIFTS} losers {} found nothing left to do", both_did.into_inner());
}

/// Up and down in turn. Returns how many losers ended with 0.
fn shifts_on_one_journal(world: &World) -> usize {
    let site = site(world);
    let mut nothing_to_do = 0;
    for round in 0..ROUNDS {
        let (to, weights) = if round % 2 == 0 { (10, GREEN_HAS_A_TENTH) } else { (0, BLUE_HAS_ALL) };
        let command = format!("shift-traffic --to {to} --release v2");
        let ends = at_the_same_instant(&site, [&command, &command]);
        let performed = ends.iter().filter(|(_, text)| text.contains("traffic moved to")).count();
        assert_eq!(performed, 1, "{ends:?}");
        for (code, text) in &ends {
            let nothing = *code == 0 && text.contains("nothing to do");
            nothing_to_do += usize::from(nothing);
            assert!(*code == 13 || nothing || (*code == 0 && text.contains("traffic moved to")), "{ends:?}");
        }
        assert_eq!(site.shares_intended().len(), round + 1, "one intent each time");
        assert_eq!(world.weights(), weights);
        let history = site.history();
        assert_eq!(history.lease, None);
        assert_eq!(history.release.unwrap().pending.map(|p| p.seq), None);
    }
    nothing_to_do
}

#[test]
fn two_rollouts() {
    let world = World::start();
    for _ in 0..5 {
        world.set_weights(BLUE_HAS_ALL);
        let site = site(&world);
        let ends = at_the_same_instant(&site, ["rollout --release v2"; 2]);
        // Either may be told that the other holds the lease, at any of its commands; nothing is done twice.
        assert!(ends.iter().all(|(code, _)| [0, 13].contains(code)), "{ends:?}");
        if ends.iter().all(|(code, _)| *code == 13) {
            good(&mut site.tidegate("rollout --release v2"));
        }
        assert_eq!(site.shares_intended(), [1000, 10_000]);
        assert_eq!(world.weights(), GREEN_HAS_ALL);
        let opened = site.records().iter().filter(|r| matches!(r.event, Event::Opened(_))).count();
        assert_eq!(opened, 1);
        assert_eq!(site.release().closed.map(|c| c.how), Some(Closing::Finished));
        assert_eq!(site.history().lease, None);
    }
}

#[test]
fn a_shift_and_a_rollback() {
    let world = World::start();
    for _ in 0..20 {
        world.set_weights(BLUE_HAS_ALL);
        let site = site(&world);
        good(&mut site.tidegate("shift-traffic --to 10 --release v2"));
        let ends = at_the_same_instant(&site, ["shift-traffic --to 100 --hotfix race", "rollback"]);
        let [(shift, _), (rollback, _)] = &ends;
        assert_eq!(*rollback, 0, "{ends:?}");
        assert!([0, 2, 13, 15].contains(shift), "{ends:?}");
        assert_eq!(world.weights(), BLUE_HAS_ALL, "{ends:?}");
        let release = site.release();
        assert_eq!(release.closed.map(|c| c.how), Some(Closing::RolledBack), "{ends:?}");
        let undone = site.records().iter().filter(|r| undoes(&r.event)).count();
        assert!(undone >= 1);
    }
}

fn undoes(event: &Event) -> bool {
    matches!(event, Event::Intent { step: Step::Share { aim: Aim::Undo, .. } })
}
