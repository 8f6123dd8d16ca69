//! A release that was finished is looked at again.

use crate::stage::Stage;

const CONFIG: &str = "databases: {main: {sqlite: shop.db}}
stages: [100% for 1s]
checks:
  healthy: {target: instances, fail: below 50%}
  lost: {sql: \"select count(*) from orders where item = 'lost'\", database: main, warn: above 0}
finish: {keep_old: 0s, recheck: [0s, 1h]}
";
const RECHECK: &str = "verify-metrics --recheck --for 1s";

/// Has the release been finished so many seconds before it was.
fn finished_earlier(stage: &Stage, seconds: i64) {
    for entry in std::fs::read_dir(stage.path(".tidegate/journal/shop/production")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let Ok(mut record) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
        if record["event"]["kind"] == "closed" {
            let at: jiff::Timestamp = record["at"].as_str().unwrap().parse().unwrap();
            record["at"] = (at - jiff::SignedDuration::from_secs(seconds)).to_string().into();
            std::fs::write(path, record.to_string()).unwrap();
        }
    }
}

async fn finished() -> Stage {
    let stage = Stage::set(CONFIG).await;
    stage.with_database("shop.db");
    stage.run("rollout --release v1").await.ends(0);
    stage
}

#[tokio::test]
async fn it_is_due_at_its_time_and_once() {
    let stage = Stage::set(CONFIG).await;
    stage.with_database("shop.db");
    let none = stage.run(RECHECK).await.ends(0);
    assert!(none.out.contains("nothing to re-check"), "{}", none.text());
    stage.run("rollout --release v1").await.ends(0);
    let first = stage.run(RECHECK).await.ends(0);
    assert!(first.out.contains("still good"), "{}", first.text());
    let second = stage.run(&format!("{RECHECK} --output json")).await.ends(0);
    let (told, due) = (second.json()["sentence"].to_string(), second.json()["next_at"].to_string());
    assert!(told.contains("the next re-check of v1#") && told.contains("is due in 59 m"), "{told}");
    assert!(due.starts_with("\"20"), "{due}");
    // The next release opens as if nothing had been.
    stage.run("rollout --release v2").await.ends(0);
}

#[tokio::test]
async fn what_would_only_be_told_counts_and_the_way_back_is_named() {
    let stage = finished().await;
    let connection = rusqlite::Connection::open(stage.path("shop.db")).unwrap();
    connection.execute("insert into orders values ('lost')", []).unwrap();
    let found = stage.run(&format!("{RECHECK} --output json")).await.ends(10);
    let told = found.json();
    assert_eq!(
        (&told["state"], &told["verdict"], &told["changed"]),
        (&"finished".into(), &"fail".into(), &"none".into())
    );
    assert!(told["sentence"].as_str().unwrap().contains("after its finish: fail: web: lost"), "{told}");
    assert!(told["hint"].as_str().unwrap().contains("the release is finished"), "{told}");
    assert_eq!(stage.green().await, 100.0);
}

#[tokio::test]
async fn a_release_that_was_rolled_back_or_another_one_is_not_rechecked() {
    let stage = finished().await;
    let other = stage.run(&format!("{RECHECK} --release v0")).await.ends(0);
    assert!(other.out.contains("nothing to re-check"), "{}", other.text());
    stage.run("deploy --release v2").await.ends(0);
    stage.run("rollback").await.ends(0);
    let back = stage.run(RECHECK).await.ends(0);
    assert!(back.out.contains("nothing to re-check"), "{}", back.text());
}

#[tokio::test]
async fn a_dry_run_looks_and_records_nothing() {
    let stage = finished().await;
    stage.run(&format!("{RECHECK} --dry-run")).await.ends(0);
    let real = stage.run(RECHECK).await.ends(0);
    assert!(real.out.contains("still good"), "{}", real.text());
}

#[tokio::test]
async fn one_that_comes_to_no_verdict_is_asked_again_and_in_the_end_told_as_not_judged() {
    let stage = finished().await;
    let unseen = CONFIG.replace(
        "lost: {sql",
        "traffic: {haproxy: errors, fail: above 5%, needs: 1000000 events}\n  lost: {sql",
    );
    stage.config(&unseen.replace("[0s, 1h]", "[0s]"));
    for _ in 0..2 {
        let undecided = stage.run(&format!("{RECHECK} --output json")).await.ends(0).json();
        let told = undecided["sentence"].to_string();
        assert!(told.contains("is not judged yet (insufficient: ") && told.contains("29 m"), "{told}");
        assert_eq!(undecided["verdict"], "insufficient");
        assert!(!stage.journal().contains(&"rechecked".to_string()));
    }
    finished_earlier(&stage, 31 * 60);
    let ended = stage.run(RECHECK).await.ends(11);
    assert!(ended.err.contains("after its finish: not judged, insufficient: "), "{}", ended.err);
    assert!(ended.err.contains("it was the last re-check"), "{}", ended.err);
    let none = stage.run(RECHECK).await.ends(0);
    assert!(none.out.contains("has no re-check left"), "{}", none.text());
}

#[tokio::test]
async fn all_that_may_raise_a_false_alarm_later_shares_what_is_accepted() {
    let stage = finished().await;
    let counted = "errors: {haproxy: errors, fail: above 95%, warn: above 90%, needs: 1}\n  lost: {sql";
    stage.config(&CONFIG.replace("lost: {sql", counted));
    stage.under_load(RECHECK).await.ends(0);
    let record = std::fs::read_to_string(stage.record("rechecked")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let judged = record["event"]["judgements"].as_array().unwrap();
    let errors = judged.iter().find(|j| j["check"] == "errors").unwrap();
    // two bounds, two re-checks
    assert_eq!(errors["tested"]["tests"], 4, "{errors}");
}
