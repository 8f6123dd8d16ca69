//! Going back, also when other things are broken.

use crate::stage::Stage;

const HALF_WAY: &str = "checks: {healthy: {target: instances, fail: below 50%}}\n";

async fn half_way(extra: &str) -> Stage {
    let stage = Stage::set(&format!("{HALF_WAY}{extra}")).await;
    stage.run("deploy --release v2").await.ends(0);
    stage.run("shift-traffic --to 10").await.ends(0);
    stage
}

#[tokio::test]
async fn a_rollback_puts_back_what_was_there_and_a_second_one_does_nothing() {
    let stage = half_way("").await;
    let ran = stage.run("rollback --reason slow --output json").await.ends(0).json();
    assert_eq!(ran["state"], "rolled_back");
    assert_eq!(stage.green().await, 0.0);
    let records = stage.journal();
    stage.run("rollback").await.ends(0);
    assert_eq!(stage.journal(), records);
    stage.run("deploy --release v2").await.ends(0);
    let status = stage.run("status --output json").await.json();
    assert_ne!(status["attempt"], ran["attempt"], "the same name is a new attempt");
}

#[tokio::test]
async fn drift_is_refused_until_it_is_adopted() {
    let stage = half_way("").await;
    stage.ask("set weight web/green 128;set weight web/blue 128").await;
    let refused = stage.run("shift-traffic --to 50").await.ends(12);
    assert!(refused.err.contains("50 %") && refused.err.contains("10 %"), "{}", refused.err);
    assert_eq!(stage.green().await, 50.0, "drift is left as it is");
    stage.run("status --adopt").await.ends(0);
    stage.run("verify-metrics --for 1s").await.ends(0);
    stage.run("shift-traffic --to 100").await.ends(0);
}

#[tokio::test]
async fn a_rollback_goes_back_from_drift_too() {
    let stage = half_way("").await;
    stage.ask("set weight web/green 200").await;
    stage.run("rollback").await.ends(0);
    assert_eq!(stage.green().await, 0.0);
}

#[tokio::test]
async fn traffic_that_went_back_by_itself_is_noticed() {
    let stage = half_way("").await;
    stage.ask("set weight web/green 0;set weight web/blue 256").await;
    stage.run("shift-traffic --to 50").await.ends(12);
    assert_eq!(stage.green().await, 0.0);
    assert!(stage.journal().contains(&"reverted_outside".to_string()));
}

#[tokio::test]
async fn without_a_journal_it_goes_back_to_the_side_it_is_told() {
    let stage = half_way("").await;
    stage.run("rollback --to-baseline green").await.ends(2);
    let journal = stage.path(".tidegate/journal/shop/production");
    let kept = stage.path("kept");
    std::fs::rename(&journal, &kept).unwrap();
    std::fs::write(&journal, "not a folder").unwrap();
    stage.run("rollback").await.ends(14);
    assert_eq!(stage.green().await, 10.0);
    let ran = stage.run("rollback --to-baseline blue --output json").await.ends(0).json();
    assert_eq!(stage.green().await, 0.0);
    let detail =
        ran["details"].as_array().unwrap().iter().find_map(|d| d.as_str()?.split_once("FILE`: ")).unwrap();
    std::fs::write(stage.path("record"), detail.1).unwrap();
    std::fs::remove_file(&journal).unwrap();
    std::fs::rename(&kept, &journal).unwrap();
    stage.run("status --adopt record").await.ends(0);
    stage.run("rollback").await.ends(0);
    stage.run("rollback --to-baseline purple").await.ends(2);
}

#[tokio::test]
async fn a_gap_in_the_journal_stops_forward_commands_and_not_a_rollback() {
    let stage = half_way("").await;
    let journal = stage.path(".tidegate/journal/shop/production");
    std::fs::remove_file(journal.join("000004.json")).unwrap();
    let refused = stage.run("shift-traffic --to 0").await;
    assert!([14, 15].contains(&refused.code), "{refused:?}");
    assert!(refused.err.contains("record 4 is missing"), "{}", refused.err);
    stage.run("rollback --to-baseline blue").await.ends(0);
    assert_eq!(stage.green().await, 0.0);
}

#[tokio::test]
async fn if_needed_acts_only_for_its_own_failed_run() {
    let stage = half_way("").await;
    stage.run_as("41.1", "rollback --if-needed").await.ends(0);
    assert_eq!(stage.green().await, 10.0, "another run's release");
    stage.run("rollback --if-needed").await.ends(0);
    assert_eq!(stage.green().await, 10.0, "nothing failed");
    stage.config("checks: {missing: {http: /nowhere, fail: 1 failure in a row}}\n");
    stage.run("verify-metrics --for 1s").await.ends(10);
    stage.run_as("41.1", "rollback --if-needed").await.ends(0);
    assert_eq!(stage.green().await, 10.0);
    stage.run("rollback --if-needed").await.ends(0);
    assert_eq!(stage.green().await, 0.0);
}

#[tokio::test]
async fn a_fail_is_final_for_the_attempt() {
    let stage = half_way("").await;
    stage.config("checks: {missing: {http: /nowhere, fail: 1 failure in a row}}\n");
    stage.run("verify-metrics --for 1s").await.ends(10);
    stage.config(HALF_WAY);
    stage.run("verify-metrics --for 1s").await.ends(0);
    stage.run("shift-traffic --to 50").await.ends(15);
    stage.run("shift-traffic --to 50 --hotfix now").await.ends(15);
}

#[tokio::test]
async fn a_contracting_migration_freezes_the_way_back() {
    let stage =
        Stage::set(&format!("{HALF_WAY}migrations: {{drop: {{run: \"true\", kind: contract}}}}\n")).await;
    stage.run("migrate --release v2").await.ends(0);
    stage.run("deploy --release v2").await.ends(0);
    stage.run("shift-traffic --to 10").await.ends(0);
    let frozen = stage.run("rollback").await.ends(20);
    assert!(frozen.err.contains("point of no return"), "{}", frozen.err);
    assert_eq!(stage.green().await, 10.0);
    stage.run("rollback --force").await.ends(0);
    assert_eq!(stage.green().await, 0.0);
}

#[tokio::test]
async fn migrations_go_back_last_first_when_asked() {
    let migrations = "migrations:\n  one: {run: echo one >> up, undo: echo one >> back}\n  two: {run: echo two >> up, undo: 'echo \"two $TIDEGATE_REVISION_BEFORE\" >> back', revision: 'wc -l < up 2>/dev/null || echo 0'}\n";
    let stage = Stage::set(&format!("{HALF_WAY}{migrations}")).await;
    stage.run("migrate --release v2").await.ends(0);
    stage.run("deploy --release v2").await.ends(0);
    stage.run("shift-traffic --to 10").await.ends(0);
    stage.run("rollback --migrations").await.ends(0);
    assert_eq!(std::fs::read_to_string(stage.path("back")).unwrap(), "two 1\none\n");
}

#[tokio::test]
async fn a_rollback_runs_under_the_config_of_its_release() {
    let stage = half_way("").await;
    // The new file speaks of another backend; the release was opened with `web`.
    let text = std::fs::read_to_string(stage.path("tidegate.yml")).unwrap();
    std::fs::write(stage.path("tidegate.yml"), text.replace("backend: web", "backend: other")).unwrap();
    stage.run("rollback").await.ends(0);
    assert_eq!(stage.green().await, 0.0);
}

#[tokio::test]
async fn after_a_finish_it_goes_back_as_a_release_of_its_own() {
    let stage = Stage::set("").await;
    stage.config(&format!("{HALF_WAY}stages: [100% for 1s]\n"));
    stage.run("rollout --release v2").await.ends(0);
    let unknown = stage.run("rollback --to v1").await.ends(15);
    assert!(unknown.err.contains("does not say what it runs"), "{}", unknown.err);
    stage.config(&format!("    deploy: {{run: \"true\"}}\n{HALF_WAY}stages: [100% for 1s]\n"));
    assert_eq!(stage.green().await, 100.0);
    let refused = stage.run("rollback").await.ends(15);
    assert!(refused.err.contains("--to"), "{}", refused.err);
    stage.run("rollback --to v1 --reason smells").await.ends(0);
    let told = stage.run("status").await.ends(0).text();
    assert!(told.contains("smells"), "{told}");
    assert_eq!(stage.green().await, 0.0);
    // asked for again, it does not deploy again and go to the other side
    let again = stage.run("rollback --to v1 --output json").await.ends(0).json();
    assert_eq!((&again["changed"], stage.green().await), (&"none".into(), 0.0), "{again}");
    assert!(again["sentence"].as_str().unwrap().contains("nothing to do"), "{again}");
}

#[tokio::test]
async fn it_goes_back_to_no_version_that_was_never_here() {
    let stage = Stage::set("").await;
    // the sides say what they run: `blue` and `green`
    let deployed = "    deploy: {run: \"true\"}\n    version: /version#/version\n";
    stage.config(&format!("{deployed}stages: [100% for 1s]\n{HALF_WAY}"));
    for release in ["green", "v3"] {
        stage.run(&format!("deploy --release {release}")).await.ends(0);
        stage.run("rollback").await.ends(0);
    }
    let opened = || stage.journal().iter().filter(|kind| *kind == "opened").count();
    let refused = stage.run("rollback --to v4").await.ends(15);
    let told = "v4 was never here; nothing was changed. Known, newest first: v3, green, blue";
    assert!(refused.err.contains(told) && refused.err.contains("--force"), "{}", refused.err);
    assert_eq!((opened(), stage.green().await), (2, 0.0));
    // one that was opened here, one that a side says, and one that somebody insists on
    for (arguments, green) in [("v3", 100.0), ("blue", 0.0), ("v4 --force", 100.0), ("v4", 100.0)] {
        stage.run(&format!("rollback --to {arguments}")).await.ends(0);
        assert_eq!(stage.green().await, green, "{arguments}");
    }
}

#[tokio::test]
async fn a_broken_file_does_not_keep_a_release_from_going_back() {
    let stage = half_way("").await;
    let text = std::fs::read_to_string(stage.path("tidegate.yml")).unwrap();
    std::fs::write(stage.path("tidegate.yml"), format!("{text}stagse: [100%]\n")).unwrap();
    stage.run("shift-traffic --to 50").await.ends(2);
    stage.run("rollback").await.ends(0);
    assert_eq!(stage.green().await, 0.0);
}

#[tokio::test]
async fn a_journal_that_vanished_is_not_taken_for_an_empty_one() {
    let stage = half_way("").await;
    std::fs::remove_dir_all(stage.path(".tidegate")).unwrap();
    let stuck = stage.run("rollback").await.ends(20);
    assert!(stuck.err.contains("--to-baseline"), "{}", stuck.err);
    assert_eq!(stage.green().await, 10.0);
    stage.run("rollback --to-baseline blue").await.ends(0);
    assert_eq!(stage.green().await, 0.0);
}

#[tokio::test]
async fn a_contracting_migration_that_failed_freezes_the_way_back_too() {
    let migrations = "migrations: {drop: {run: echo dropped, verify: {run: exit 1}, kind: contract}}\n";
    let stage = Stage::set(&format!("{HALF_WAY}{migrations}")).await;
    stage.run("migrate --release v2").await.ends(16);
    stage.run("rollback").await.ends(20);
    let forced = stage.run("rollback --force").await.ends(0);
    assert!(forced.out.contains("whether it ended is not known"), "{}", forced.out);
}

const VARIABLES: &str = "    image: '{{env.REGISTRY}}/web:{{release}}'
databases: {main: {postgres: {url: {env: DATABASE_URL}}}}
migrations: {schema: {sql: up.sql, database: main}}
hooks: {after_rollback: {tell: {sql: 'insert into notes values (1)', database: main}}}
smoke: {front: {http: GET /health, headers: {authorization: {env: SMOKE_TOKEN}}, expect: {/status: ok}}}
checks:
  healthy: {target: instances, fail: below 50%}
  slow: {scrape: {url: 'http://{{env.METRICS}}/?side={{side}}', value: up}, warn: above 5}
";

fn set(names: &[&str]) -> Vec<(String, String)> {
    names.iter().map(|name| (name.to_string(), "127.0.0.1:1".to_string())).collect()
}

#[tokio::test]
async fn a_variable_of_another_part_stops_what_goes_forward_and_neither_a_rollback_nor_a_status() {
    let stage = Stage::set(VARIABLES).await;
    let all = set(&["REGISTRY", "DATABASE_URL", "SMOKE_TOKEN", "METRICS"]);
    stage.run_with("run-1", "deploy --release v2", &all).await.ends(0);
    stage.run_with("run-1", "smoke-test", &all).await.ends(0);
    stage.run_with("run-1", "shift-traffic --to 10", &all).await.ends(0);
    let refused = stage.run("shift-traffic --to 50").await.ends(2).err;
    for place in [
        "tidegate.yml:7:12: `services.web.image`: environment variable REGISTRY is not set, which `{{env.REGISTRY}}`",
        "tidegate.yml:8:36: `databases.main.postgres.url`: environment variable DATABASE_URL",
        "SMOKE_TOKEN",
        "{{env.METRICS}}",
    ] {
        assert!(refused.contains(place), "{place}: {refused}");
    }
    assert_eq!(
        refused.matches("is not set").count(),
        refused.lines().count(),
        "nothing else is said: {refused}"
    );
    let status = stage.run("status").await.ends(0).text();
    assert!(status.contains("10 %") && !status.contains("DATABASE_URL"), "{status}");
    let ran = stage.run("rollback").await.ends(0).text();
    assert_eq!(stage.green().await, 0.0);
    for name in ["REGISTRY", "DATABASE_URL", "SMOKE_TOKEN", "METRICS"] {
        let told =
            ran.lines().any(|line| line.contains("going on without: tidegate.yml:") && line.contains(name));
        assert!(told, "{name}: {ran}");
    }
    assert!(ran.contains("going on all the same: "), "the hook says why it did not run: {ran}");
    let smoke = ran.split("but 1 of 1 smoke tests failed").nth(1).unwrap_or_else(|| panic!("{ran}"));
    assert!(smoke.contains("SMOKE_TOKEN"), "{ran}");
}

#[tokio::test]
async fn a_rollback_to_a_version_deploys_and_needs_all_of_it() {
    let stage = Stage::set("    image: '{{env.REGISTRY}}/web:{{release}}'\n").await;
    let refused = stage.run("rollback --to v1").await.ends(2);
    assert!(refused.err.contains("{{env.REGISTRY}}"), "{}", refused.err);
}

#[tokio::test]
async fn a_journal_that_lacks_its_variable_is_missed_only_where_nobody_says_where_to_go_back_to() {
    let extra = format!("journal: {{file: {{path: '{{{{env.JOURNAL}}}}'}}}}\n{HALF_WAY}");
    let stage = Stage::set(&extra).await;
    let journal = [("JOURNAL".to_string(), "kept".to_string())];
    stage.run_with("run-1", "deploy --release v2", &journal).await.ends(0);
    stage.run_with("run-1", "shift-traffic --to 10", &journal).await.ends(0);
    let refused = stage.run("rollback").await.ends(2);
    assert!(refused.err.contains("{{env.JOURNAL}}"), "{}", refused.err);
    let ran = stage.run("rollback --to-baseline blue").await.ends(0);
    assert!(ran.text().contains("without a journal"), "{}", ran.text());
    assert_eq!(stage.green().await, 0.0);
}
