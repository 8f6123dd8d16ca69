//! The life of a release: opening, the gate, waiting, finishing, the next one.

use crate::stage::Stage;

const QUICK: &str = "stages: [10% for 1s, 50% for 1s, 100% for 1s]\nchecks: {errors: {haproxy: errors, fail: above 5%, needs: 10 events}}\n";

#[tokio::test]
async fn a_rollout_walks_the_stages_and_a_second_one_does_nothing() {
    let stage = Stage::set(QUICK).await;
    let ran = stage.under_load("rollout --release v2 --output json").await.ends(0);
    assert_eq!(ran.json()["state"], "finished");
    assert_eq!(stage.green().await, 100.0);
    let intents = stage.journal().iter().filter(|k| *k == "intent").count();
    assert_eq!(intents, 4, "a deploy and three shifts: {:?}", stage.journal());
    let records = stage.journal();
    let again = stage.run("rollout --release v2 --output json").await.ends(0);
    assert_eq!(again.json()["changed"], "none");
    assert_eq!(stage.journal(), records, "a run with nothing to do writes nothing");
}

#[tokio::test]
async fn the_next_release_goes_the_other_way() {
    let stage = Stage::set(QUICK).await;
    stage.under_load("rollout --release v2").await.ends(0);
    stage.under_load("rollout --release v3").await.ends(0);
    assert_eq!(stage.green().await, 0.0, "v3 is on blue again");
}

#[tokio::test]
async fn the_gate_is_shut_until_the_present_split_has_passed() {
    let stage = Stage::set(QUICK).await;
    stage.run("deploy --release v2").await.ends(0);
    stage.run("shift-traffic --to 10").await.ends(0);
    stage.run("shift-traffic --to 50").await.ends(15);
    assert_eq!(stage.green().await, 10.0);
    stage.run("verify-metrics").await.ends(11);
    stage.run("shift-traffic --to 50").await.ends(15);
    stage.under_load("verify-metrics").await.ends(0);
    stage.run("shift-traffic --to 50").await.ends(0);
    assert_eq!(stage.green().await, 50.0);
}

#[tokio::test]
async fn a_hotfix_goes_past_the_gate_and_is_recorded() {
    let stage = Stage::set(QUICK).await;
    stage.run("deploy --release v2").await.ends(0);
    stage.run("shift-traffic --to 10").await.ends(0);
    stage.run("shift-traffic --to 100 --hotfix leak").await.ends(0);
    assert_eq!(stage.green().await, 100.0);
    assert!(stage.journal().contains(&"hotfix".to_string()));
}

#[tokio::test]
async fn smoke_tests_come_before_the_first_traffic() {
    let stage = Stage::set("smoke: {front: {http: GET /health, expect: {/status: ok}}}\n").await;
    stage.run("deploy --release v2").await.ends(0);
    stage.run("shift-traffic --to 10").await.ends(15);
    stage.run("smoke-test").await.ends(0);
    stage.run("shift-traffic --to 10").await.ends(0);
}

#[tokio::test]
async fn a_failing_smoke_test_keeps_the_candidate_without_traffic() {
    let stage = Stage::set("smoke: {front: {http: GET /health, expect: {/status: gone}}}\n").await;
    let ran = stage.run("rollout --release v2").await.ends(10);
    assert!(ran.err.contains("the candidate had no traffic"), "{}", ran.err);
    assert!(ran.err.contains("why: 1 of 1 smoke tests failed"), "{}", ran.err);
    assert_eq!(stage.green().await, 0.0);
}

#[tokio::test]
async fn another_release_is_refused_while_one_is_half_way() {
    let stage = Stage::set(QUICK).await;
    stage.run("deploy --release v2").await.ends(0);
    stage.run("shift-traffic --to 10").await.ends(0);
    let refused = stage.run("deploy --release v3").await.ends(13);
    assert!(refused.err.contains("v2 is open"), "{}", refused.err);
    assert_eq!(stage.green().await, 10.0);
    stage.run("deploy --release v3 --supersede rollback").await.ends(0);
    assert_eq!(stage.green().await, 0.0);
}

#[tokio::test]
async fn a_release_without_traffic_is_abandoned_for_the_next() {
    let stage = Stage::set(QUICK).await;
    stage.run("deploy --release v2").await.ends(0);
    stage.run("deploy --release v3").await.ends(0);
    let status = stage.run("status --output json").await.ends(0);
    assert_eq!(status.json()["release"], "v3");
}

#[tokio::test]
async fn a_bake_longer_than_the_job_waits_and_goes_on_later() {
    let stage = Stage::set(
        "stages: [10% for 1h, 100% for 1s]\nchecks: {healthy: {target: instances, fail: below 50%}}\n",
    )
    .await;
    let waiting = stage.run("rollout --release v2 --time-limit 2s --output json").await.ends(0).json();
    assert_eq!(waiting["state"], "waiting");
    assert!(waiting["next_at"].is_string(), "{waiting}");
    assert_eq!(stage.green().await, 10.0);
    let again = stage.run("rollout --release v2 --time-limit 1s --output json").await.ends(0).json();
    assert_eq!(again["state"], "waiting");
    assert_eq!(stage.green().await, 10.0);
}

#[tokio::test]
async fn a_rollout_to_a_part_stays_open_and_a_higher_one_goes_on() {
    let stage = Stage::set(QUICK).await;
    let first = stage.under_load("rollout --release v2 --to 10 --output json").await.ends(0).json();
    assert_eq!(first["state"], "open");
    assert_eq!(stage.green().await, 10.0);
    stage.under_load("rollout --release v2 --to 100").await.ends(0);
    assert_eq!(stage.green().await, 100.0);
}

#[tokio::test]
async fn the_old_side_is_retired_after_its_keep_time() {
    let stage = Stage::set(QUICK).await;
    let with = |keep: &str| {
        format!(
            "    retire: {{run: 'echo \"$TIDEGATE_SIDE\" > retired'}}\n{QUICK}finish: {{keep_old: {keep}}}\n"
        )
    };
    stage.config(&with("1h"));
    let waiting = stage.under_load("rollout --release v2 --output json").await.ends(0).json();
    assert_eq!(waiting["state"], "waiting", "{waiting}");
    assert!(!stage.path("retired").exists());
    stage.run("finish --now").await.ends(0);
    assert_eq!(std::fs::read_to_string(stage.path("retired")).unwrap().trim(), "blue");
}

#[tokio::test]
async fn a_dry_run_plays_it_all_and_writes_nothing() {
    let stage = Stage::set(&format!(
        "databases: {{main: {{sqlite: shop.db}}}}\nmigrations: {{m: {{run: touch migrated}}}}\n{QUICK}"
    ))
    .await;
    stage.with_database("shop.db");
    let before: Vec<_> = std::fs::read_dir(stage.folder()).unwrap().map(|e| e.unwrap().file_name()).collect();
    let ran = stage.run("rollout --release v2 --dry-run").await.ends(0);
    for would in ["would snapshot main", "would run migrations.m", "would set web"] {
        assert!(ran.out.contains(would), "{would}: {}", ran.out);
    }
    let json = stage.run("rollout --release v2 --dry-run --output json").await.ends(0).json();
    assert_eq!(
        (&json["dry_run"], &json["changed"], &json["verdict"]),
        (&true.into(), &"none".into(), &serde_json::Value::Null)
    );
    let after: Vec<_> = std::fs::read_dir(stage.folder()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(before, after);
    assert_eq!(stage.green().await, 0.0);
}

#[tokio::test]
async fn hooks_run_once_in_a_release() {
    let stage = Stage::set("hooks: {before_deploy: {warm: {run: echo warm >> hooks}}}\n").await;
    stage.run("deploy --release v2").await.ends(0);
    stage.run("deploy --release v2").await.ends(0);
    assert_eq!(std::fs::read_to_string(stage.path("hooks")).unwrap(), "warm\n");
}

#[tokio::test]
async fn migrations_and_snapshots_happen_once_in_an_attempt() {
    let stage =
        Stage::set("databases: {main: {sqlite: shop.db}}\nmigrations: {m: {run: echo up >> ran}}\n").await;
    stage.with_database("shop.db");
    for _ in 0..2 {
        stage.run("snapshot-db --release v2").await.ends(0);
        stage.run("migrate --release v2").await.ends(0);
    }
    assert_eq!(std::fs::read_to_string(stage.path("ran")).unwrap(), "up\n");
    let snapshots = std::fs::read_dir(stage.path(".tidegate/snapshots/main")).unwrap();
    let taken =
        snapshots.filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|x| x == "sqlite")).count();
    assert_eq!(taken, 1);
}

#[tokio::test]
async fn a_snapshot_is_restored_beside_the_database_and_never_over_one() {
    let stage = Stage::set("databases: {main: {sqlite: shop.db}}\n").await;
    stage.with_database("shop.db");
    stage.run("snapshot-db --release v2").await.ends(0);
    rusqlite::Connection::open(stage.path("shop.db")).unwrap().execute_batch("delete from orders").unwrap();
    stage.run("restore-db --database main --into restored.db").await.ends(0);
    let restored = rusqlite::Connection::open(stage.path("restored.db")).unwrap();
    let orders: i64 = restored.query_row("select count(*) from orders", [], |r| r.get(0)).unwrap();
    assert_eq!(orders, 1);
    stage.run("restore-db --database main --into restored.db").await.ends(16);
    stage.run("restore-db --database mian --into x.db").await.ends(2);
}

#[tokio::test]
async fn no_stage_is_skipped_without_a_reason() {
    let stage = Stage::set(QUICK).await;
    stage.run("deploy --release v2").await.ends(0);
    let refused = stage.run("shift-traffic --to 100").await.ends(15);
    assert!(refused.err.contains("would skip the stage at 10 %"), "{}", refused.err);
    assert_eq!(stage.green().await, 0.0);
    stage.run("shift-traffic --to 100 --hotfix leak").await.ends(0);
}

#[tokio::test]
async fn a_candidate_that_dies_never_passes() {
    let stage = Stage::set(
        "stages: [100% for 8s]\nchecks: {errors: {haproxy: errors, fail: above 99%, needs: 1 events}}\n",
    )
    .await;
    stage.run("deploy --release v2").await.ends(0);
    stage.run("shift-traffic --to 100").await.ends(0);
    stage.ask("set server web/green addr 127.0.0.1 port 1").await;
    let ran = stage.run("verify-metrics").await.ends(10);
    assert!(ran.err.contains("health: green has 0 of 1 healthy"), "{}", ran.err);
}

#[tokio::test]
async fn a_word_of_the_environment_is_filled_in_or_refused() {
    let extra = "checks: {m: {scrape: {url: \"http://{{env.NOBODY_SET_THIS}}/metrics\", value: up}, fail: above 5}}\n";
    let stage = Stage::set(extra).await;
    let refused = stage.run("preflight").await.ends(2);
    assert!(refused.err.contains("NOBODY_SET_THIS"), "{}", refused.err);
}

#[tokio::test]
async fn a_check_that_cannot_be_read_refuses_before_anything_changes_unless_it_only_warns() {
    let unread = |bound: &str| {
        format!(
            "checks: {{slow: {{scrape: {{url: \"http://127.0.0.1:1/metrics?side={{{{side}}}}\", value: up}}, {bound}}}, healthy: {{target: instances, fail: below 50%}}}}\n"
        )
    };
    let stage = Stage::set(&unread("fail: above 5")).await;
    let refused = stage.run("preflight").await.ends(15);
    assert!(refused.text().contains("REFUSE  checks.slow: cannot be read: "), "{}", refused.text());
    let stage = Stage::set(&unread("warn: above 5")).await;
    let told = stage.run("preflight").await.ends(0).text();
    assert!(told.contains("warn    checks.slow: cannot be read: "), "{told}");
}
