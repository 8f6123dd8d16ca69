//! What a schedule may go on with, and what it leaves alone.

use crate::stage::Stage;

const CONFIG: &str = "stages: [10% for 3s, 50% for 1s, 100% for 1s]
checks: {healthy: {target: instances, fail: below 50%}}
finish: {keep_old: 0s}
";
const ON_SCHEDULE: &str = "rollout --if-waiting --output json";

#[tokio::test]
async fn a_rollout_that_waits_is_gone_on_with_as_far_as_it_was_to_go() {
    let stage = Stage::set(CONFIG).await;
    let waiting = stage.run("rollout --release v1 --to 50 --time-limit 1s --output json").await.ends(0);
    assert_eq!(waiting.json()["state"], "waiting", "{}", waiting.text());
    assert_eq!(stage.green().await, 10.0);
    let told = stage.run("status --output json").await.ends(0).json();
    assert_eq!(told["state"], "waiting", "{told}");
    assert!(told["next_at"].is_string(), "{told}");
    let onward = stage.run_as("schedule", ON_SCHEDULE).await.ends(0);
    assert_eq!(stage.green().await, 50.0, "{}", onward.text());
    let nothing = stage.run_as("schedule", ON_SCHEDULE).await.ends(0);
    let told = nothing.json();
    assert!(
        told["sentence"].as_str().unwrap().contains("is open at 50 % and no rollout of it waits"),
        "{told}"
    );
    assert_eq!((&told["changed"], stage.green().await), (&"none".into(), 50.0));
}

#[tokio::test]
async fn a_release_that_is_held_at_a_share_or_taken_back_waits_for_nobody() {
    let stage = Stage::set(&CONFIG.replace("3s", "1s")).await;
    let none = stage.run(ON_SCHEDULE).await.ends(0);
    assert!(none.out.contains("nothing waits"), "{}", none.text());
    stage.run("rollout --release v1 --to 10").await.ends(0);
    stage.run(ON_SCHEDULE).await.ends(0);
    assert_eq!(stage.green().await, 10.0);
    // One step of a person's own is no rollout either.
    stage.run("shift-traffic --to 50").await.ends(0);
    stage.run("verify-metrics --for 9s --time-limit 1s").await.ends(0);
    stage.run(ON_SCHEDULE).await.ends(0);
    assert_eq!(stage.green().await, 50.0);
    stage.run("rollback").await.ends(0);
    stage.run(ON_SCHEDULE).await.ends(0);
    assert_eq!(stage.green().await, 0.0);
}
