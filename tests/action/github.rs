//! Steps of a GitHub workflow, run as its runner runs them.

use super::{
    postgres::Server,
    production::{HANGS, Production},
    runner::{Ended, Job},
    world::{BLUE_HAS_ALL, GREEN_HAS_A_TENTH, GREEN_HAS_ALL},
};
use rustix::process::Signal;

const QUICK: &str =
    "stages: [10% for 1s, 100% for 1s]\nchecks:\n  healthy: {target: instances, fail: below 50%}\n";
const SLOW: &str =
    "stages: [10% for 1h, 100% for 1h]\nchecks:\n  healthy: {target: instances, fail: below 50%}\n";

fn cancelled_by_the_first_signal(ended: &Ended) {
    assert_eq!(ended.told, [Signal::INT], "{}", ended.said.text());
    assert_eq!(ended.code, 130, "{}", ended.said.text());
    assert!(!ended.orphaned, "the container was left behind");
}

#[test]
fn a_rollout_goes_out_in_one_step_and_leaves_nothing_of_roots() {
    let job = Job::new();
    let production = Production::start(&job.workspace(), None);
    let server = Server::start();
    server.psql("postgres", "create table orders (item text); insert into orders values ('lamp')");
    let database = "databases:\n  main: {postgres: {url: {env: DATABASE_URL}}}\n";
    job.write("tidegate.yml", &production.config_on_github(&format!("{QUICK}{database}")));
    let step = || job.step("rollout").env("DATABASE_URL", &server.url("postgres"));
    let ended = step().run().ends(0);
    assert_eq!(production.world.weights(), GREEN_HAS_ALL);
    let snapshots = job.workspace().join(".tidegate/snapshots/main");
    assert_eq!(std::fs::read_dir(&snapshots).unwrap().count(), 2, "a dump and its manifest");
    assert_eq!(job.litter(), [] as [std::path::PathBuf; 0]);
    // The release is named after the commit, the run after the workflow's.
    let first = &job.journal()[0];
    assert!(
        first.contains(
            "run 4711, job deploy by octocat, https://github.com/acme/shop/actions/runs/4711/attempts/1"
        ),
        "{first}"
    );
    assert!(ended.said.text().contains("6dcb09b"), "{}", ended.said.text());
    // Run again it has nothing to do.
    step().run().ends(0);
}

#[test]
fn inputs_reach_the_command() {
    let job = Job::new();
    let production = Production::start(&job.workspace(), None);
    job.write("deploy.yml", &production.config_on_github(QUICK));
    let step = job
        .step("rollout")
        .with("config", "deploy.yml")
        .with("release", "v2")
        .with("rollout-percentage", "10");
    step.run().ends(0);
    assert_eq!(production.world.weights(), GREEN_HAS_A_TENTH);
    let refused = job.step("rollout").with("config", "missing.yml").run();
    assert_eq!(refused.code, 2, "{}", refused.said.text());
    assert!(refused.said.text().contains("missing.yml"));
}

#[test]
fn a_cancel_in_the_middle_of_a_write_leaves_time_to_say_so_and_the_rollback_step_takes_it_back() {
    let job = Job::new();
    let production = Production::start(&job.workspace(), Some(HANGS));
    job.write("tidegate.yml", &production.config_on_github(SLOW));
    let rollout = job.step("rollout").with("release", "v2").env("TIDEGATE_CALL_SECONDS", "3600").start();
    production.hung();
    let ended = rollout.cancel();
    cancelled_by_the_first_signal(&ended);
    assert!(ended.said.text().contains("not known"), "{}", ended.said.text());
    job.step("rollback").env("TIDEGATE_CALL_SECONDS", "3").run().ends(0);
    assert_eq!(production.world.weights(), BLUE_HAS_ALL);
    assert_eq!(job.litter(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn a_cancel_in_the_middle_of_a_bake_is_over_at_once_and_the_rollback_step_takes_it_back() {
    let job = Job::new();
    let production = Production::start(&job.workspace(), None);
    job.write("tidegate.yml", &production.config_on_github(SLOW));
    let rollout = job.step("rollout").with("release", "v2").start();
    rollout.until("watched");
    assert_eq!(production.world.weights(), GREEN_HAS_A_TENTH);
    cancelled_by_the_first_signal(&rollout.cancel());
    assert_eq!(production.world.weights(), GREEN_HAS_A_TENTH);
    job.step("rollback").run().ends(0);
    assert_eq!(production.world.weights(), BLUE_HAS_ALL);
}

#[test]
fn a_cancel_in_the_middle_of_a_step_of_the_users_ends_that_too() {
    let job = Job::new();
    let production = Production::start(&job.workspace(), None);
    let deploy = "    deploy: {run: 'echo hanging; sleep 3600', limit: 2h}\n    url:";
    job.write("tidegate.yml", &production.config_on_github(SLOW).replacen("    url:", deploy, 1));
    let rollout = job.step("rollout").with("release", "v2").start();
    rollout.until("hanging");
    cancelled_by_the_first_signal(&rollout.cancel());
    job.step("rollback").run().ends(0);
    assert_eq!(production.world.weights(), BLUE_HAS_ALL);
}

#[test]
fn a_refusal_fails_the_step_and_changes_nothing() {
    let job = Job::new();
    let production = Production::start(&job.workspace(), None);
    job.write("tidegate.yml", &production.config_on_github(&QUICK.replace("below 50%", "below 5 lamps")));
    let ended = job.step("preflight").run();
    assert_eq!(ended.code, 2, "{}", ended.said.text());
    assert_eq!(production.world.weights(), BLUE_HAS_ALL);
    let [command] = &ended.commands()[..] else { panic!("{}", ended.said.text()) };
    assert_eq!((&*command.name, &*command.properties["file"]), ("error", "tidegate.yml"));
}

#[test]
fn what_a_step_writes_into_its_files_reaches_the_runner_and_the_steps_after_it() {
    let job = Job::new();
    let script = "echo split=10 >>$GITHUB_OUTPUT; printf 'text<<E\\na\\nb\\nE\\n' >>$GITHUB_OUTPUT; \
                  echo HANDED=on >>$GITHUB_ENV; echo '# Done' >>$GITHUB_STEP_SUMMARY; echo ::notice::hello; \
                  echo '  ##[warning]hm' >&2; pwd; test $HOME = /github/home; test -S /var/run/docker.sock";
    let ended = job.program("/bin/sh", &["-euc", script]).run().ends(0);
    assert_eq!(ended.output("SPLIT"), Some("10"));
    assert_eq!(ended.output("text"), Some("a\nb"));
    assert_eq!(ended.summary.as_deref(), Some("# Done\n"));
    let names: Vec<String> = ended.commands().into_iter().map(|command| command.name).collect();
    assert_eq!(names, ["notice", "warning"]);
    assert!(ended.said.text().contains("/github/workspace\n"));
    let later = job.program("/usr/bin/env", &[]).run().ends(0);
    assert!(later.said.text().contains("\nHANDED=on\n"), "{}", later.said.text());
    assert_eq!(later.outputs, [], "each step has files of its own");
}

#[test]
fn a_step_that_hears_no_signal_is_told_twice_and_then_killed() {
    let job = Job::new();
    // Process 1 without a handler: no signal reaches it.
    let deaf = job.program("/bin/sh", &["-c", "echo here; sleep 3600"]).start();
    deaf.until("here");
    let ended = deaf.cancel();
    assert_eq!(ended.told, [Signal::INT, Signal::TERM, Signal::KILL]);
    assert_eq!((ended.code, ended.orphaned), (-1, true), "only the client is killed");
}
