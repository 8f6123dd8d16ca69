//! SIGINT and SIGTERM at the moments at which a deployment is cancelled: out at a safe point, nothing left
//! behind, and the same command goes on.

use rustix::process::Signal;
use std::path::Path;
use tidegate::domain::{record::Event, share::Share};

use super::{
    http_server::{HttpServer, ok},
    middle::{At, Happens, Middle},
    postgres::Server,
    process::{Heard, code, gone, good, handle},
    world::{BLUE_HAS_ALL, GREEN_HAS_A_TENTH, JOURNAL, Site, World},
};

const SIGNALS: [(Signal, i32); 2] = [(Signal::INT, 130), (Signal::TERM, 143)];

/// Sends the signal and holds the process to its exit code. Nothing in these tests ends a process before the
/// watchdog but the signal: deadlines and bakes are an hour.
fn cancelled(process: Heard, signal: Signal, expected: i32) -> String {
    process.signal(signal);
    let (code, text) = process.code();
    assert_eq!(code, expected, "{text}");
    text
}

/// All calls may take an hour, so that only the signal ends them.
fn patient(site: &Site, arguments: &str) -> Heard {
    Heard::spawn(site.tidegate(arguments).env("TIDEGATE_CALL_SECONDS", "3600"))
}

fn services(world: &World, socket: &Path) -> String {
    format!("{}{JOURNAL}", world.service(socket))
}

#[test]
fn in_the_middle_of_a_bake() {
    for (signal, expected) in SIGNALS {
        let world = World::start();
        let (asked, polls) = std::sync::mpsc::channel();
        let asked = std::sync::Mutex::new(asked);
        let probe = HttpServer::start(move |_| {
            let _ = asked.lock().unwrap().send(());
            ok("")
        });
        let check =
            format!("checks:\n  alive: {{http: '{}', fail: 3 failures in a row}}\n", probe.url("/health"));
        let config =
            format!("{}stages: [10% for 1h, 100% for 1h]\n{check}", services(&world, &world.socket()));
        let site = Site::new(&config);
        good(&mut site.tidegate("shift-traffic --to 10 --release v2"));
        while polls.try_recv().is_ok() {}
        let watch = patient(&site, "verify-metrics");
        polls.recv_timeout(super::process::WATCHDOG).unwrap();
        cancelled(watch, signal, expected);
        assert_eq!(world.weights(), GREEN_HAS_A_TENTH);
        assert_eq!(site.history().lease, None);
        let last = site.records().pop().unwrap();
        let Event::Watched(first) = last.event else { panic!("where it got to is not recorded: {last:?}") };
        // Run again it goes on: what was watched before counts.
        good(&mut site.tidegate("verify-metrics --for 1s"));
        let last = site.records().pop().unwrap();
        let Event::Judged { watched, .. } = last.event else { panic!("{last:?}") };
        assert!(watched.watched_ms >= first.watched_ms);
        assert_eq!(watched.since, first.since);
    }
}

#[test]
fn in_the_middle_of_the_bake_of_a_rollout() {
    for (signal, expected) in SIGNALS {
        let world = World::start();
        let config = format!(
            "{}stages: [10% for 1h, 100% for 1h]\nchecks:\n  healthy: {{target: instances, fail: below 50%}}\n",
            services(&world, &world.socket())
        );
        let site = Site::new(&config);
        let mut rollout = patient(&site, "rollout --release v2");
        rollout.until("watched");
        cancelled(rollout, signal, expected);
        assert_eq!(world.weights(), GREEN_HAS_A_TENTH);
        assert_eq!(site.history().lease, None);
        let mut again = patient(&site, "rollout --release v2");
        again.until("watched");
        cancelled(again, signal, expected);
        assert_eq!(site.shares_intended(), [1000], "the first stage is not shifted to again");
    }
}

#[test]
fn while_a_deploy_step_hangs() {
    for (signal, expected) in SIGNALS {
        let world = World::start();
        let deploy = "    deploy: {run: 'if test -e fixed; then exit; fi; sleep 3600 & echo pids $$ $!; wait', limit: 1h}\n";
        let config = format!("{}{deploy}{JOURNAL}", world.service(&world.socket()));
        let site = Site::new(&config);
        let mut process = patient(&site, "deploy --release v2");
        let line = process.until("pids ");
        let (_, pids) = line.split_once("pids ").unwrap();
        let children: Vec<_> = pids.split(' ').map(handle).collect();
        assert_eq!(children.len(), 2);
        cancelled(process, signal, expected);
        assert!(children.iter().all(gone), "a process of the step was left behind");
        assert_eq!(world.weights(), BLUE_HAS_ALL);
        let history = site.history();
        assert_eq!(history.lease, None, "nothing is in flight: the lease is given back");
        assert!(history.release.unwrap().pending.is_some());
        site.write("fixed", "");
        good(&mut site.tidegate("deploy --release v2"));
        assert!(site.release().deployed.values().all(|side| side.as_str() == "green"));
    }
}

#[test]
fn while_a_write_to_the_runtime_api_never_answers() {
    for (signal, expected) in SIGNALS {
        let world = World::start();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("middle.sock");
        let middle = Middle::start(&world.socket(), path, At::Line("set weight"), Happens::Hangs);
        let site = Site::new(&services(&world, middle.path()));
        let process = patient(&site, "shift-traffic --to 10 --release v2");
        middle.caller(process.pid());
        middle.line();
        let text = cancelled(process, signal, expected);
        assert!(text.contains("not known"), "{text}");
        assert_eq!(world.weights(), BLUE_HAS_ALL);
        let history = site.history();
        assert!(history.lease.is_some(), "a write may still land: the lease runs out by itself");
        assert!(history.release.unwrap().pending.is_some());
        middle.pass();
        good(&mut site.tidegate("shift-traffic --to 10 --release v2"));
        assert_eq!(world.weights(), GREEN_HAS_A_TENTH);
        assert_eq!(site.shares_intended(), [1000]);
    }
}

#[test]
fn while_a_look_at_the_runtime_api_never_answers() {
    for (signal, expected) in SIGNALS {
        let world = World::start();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("middle.sock");
        let middle = Middle::start(&world.socket(), path, At::Number(1), Happens::Hangs);
        let site = Site::new(&services(&world, middle.path()));
        let process = patient(&site, "shift-traffic --to 10 --release v2");
        middle.caller(process.pid());
        middle.line();
        cancelled(process, signal, expected);
        assert_eq!(site.history().lease, None, "nothing is in flight: the lease is given back");
        middle.pass();
        good(&mut site.tidegate("shift-traffic --to 10 --release v2"));
        assert_eq!(world.weights(), GREEN_HAS_A_TENTH);
    }
}

#[test]
fn in_the_middle_of_a_pg_dump() {
    let server = Server::start();
    server.psql("postgres", "create table orders (item text); insert into orders values ('lamp')");
    for (signal, expected) in SIGNALS {
        let world = World::start();
        let database = "databases:\n  main: {postgres: {url: {env: DATABASE_URL}}}\n";
        let site = Site::new(&format!("{}{database}", services(&world, &world.socket())));
        let url = server.url("postgres");
        let command = |arguments: &str| {
            let mut command = site.tidegate(arguments);
            command.env("DATABASE_URL", &url).env("TIDEGATE_CALL_SECONDS", "3600");
            command
        };
        // pg_dump waits for this lock.
        let mut locked = psql_that_waits(&site, &url);
        locked.until("locked");
        let process = Heard::spawn(&mut command("snapshot-db --release v2"));
        let dump = loop {
            let waiting = "select l.pid from pg_locks l join pg_stat_activity a using (pid) \
                           where not l.granted";
            // The question itself takes its time: nothing else is waited for here.
            if !server.psql("postgres", waiting).is_empty() {
                break dump_of(process.pid().as_raw_nonzero().get());
            }
        };
        cancelled(process, signal, expected);
        assert!(gone(&dump), "pg_dump was left behind");
        assert_eq!(site.history().lease, None);
        assert_eq!(site.snapshots().0, [] as [String; 0]);
        // The server does not notice by itself that the one who sleeps is gone.
        let sleeper = "select pg_terminate_backend(pid) from pg_stat_activity \
                       where query like '%pg_sleep%' and pid <> pg_backend_pid()";
        server.psql("postgres", sleeper);
        drop(locked);
        let (code, text) = code(&mut command("snapshot-db --release v2"));
        assert_eq!(code, 0, "{text}");
        assert_eq!(site.snapshots().0.len(), 1);
    }
}

fn psql_that_waits(site: &Site, url: &str) -> Heard {
    let mut psql = site.program("psql");
    let lock = "begin; lock table orders in access exclusive mode; select 'locked'; select pg_sleep(3600)";
    psql.args(["-XAtq"]);
    for statement in lock.split("; ") {
        psql.args(["-c", statement]);
    }
    Heard::spawn(psql.arg(url))
}

fn dump_of(parent: i32) -> std::os::fd::OwnedFd {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let dump = children.split_whitespace().find(|child| {
        std::fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.contains("pg_dump"))
    });
    handle(dump.unwrap_or_else(|| panic!("no pg_dump among {children:?}")))
}

#[test]
fn in_the_middle_of_an_sqlite_snapshot() {
    for (signal, expected) in SIGNALS {
        let world = World::start();
        let config =
            format!("{}databases:\n  main: {{sqlite: shop.db}}\n", services(&world, &world.socket()));
        let site = Site::new(&config).with_database();
        let writer = rusqlite::Connection::open(site.file("shop.db")).unwrap();
        writer.execute_batch("begin exclusive").unwrap();
        let mut process = patient(&site, "snapshot-db --release v2");
        process.until("copied");
        cancelled(process, signal, expected);
        assert_eq!(site.history().lease, None);
        let (kept, _) = site.snapshots();
        assert_eq!(kept, [] as [String; 0]);
        writer.execute_batch("commit").unwrap();
        good(&mut site.tidegate("snapshot-db --release v2"));
        let (kept, rest) = site.snapshots();
        assert_eq!(kept.len(), 1);
        assert!(!rest.iter().any(|name| name.contains(".part")), "{rest:?}");
    }
}

#[test]
fn while_waiting_for_another_runs_lease() {
    for (signal, expected) in SIGNALS {
        let world = World::start();
        let deploy =
            "    deploy: {run: 'if test -e fixed; then exit; fi; echo hanging; sleep 3600', limit: 1h}\n";
        let config = format!(
            "{}{deploy}journal: {{file: {{path: journal, lease: 1h}}}}\n",
            world.service(&world.socket())
        );
        let site = Site::new(&config);
        let mut holder = patient(&site, "deploy --release v2");
        holder.until("hanging");
        let before = site.records().len();
        let mut waiting = patient(&site, "deploy --release v2");
        waiting.until("is at work; this run waits");
        cancelled(waiting, signal, expected);
        assert_eq!(site.records().len(), before, "the one that waited wrote nothing");
        cancelled(holder, signal, expected);
        assert_eq!(site.history().lease, None);
        site.write("fixed", "");
        good(&mut site.tidegate("deploy --release v2"));
        assert_eq!(site.release().reached(), Share::NONE);
    }
}
