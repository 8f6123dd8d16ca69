//! A release in front of a real Prometheus that scrapes the services' counters and histograms.

use crate::{prometheus::Prometheus, stage::Stage};

/// Requests answered, and how long it took, of the side that serves in a role.
fn config(prometheus: &Prometheus, stages: &str, needs: &str) -> String {
    let url = &prometheus.url;
    format!(
        r#"stages: [{stages}]
checks:
  errors:
    prometheus: {{url: '{url}', bad: 'http_requests_total{{side="{{{{side}}}}",code=~"5.."}}', total: 'http_requests_total{{side="{{{{side}}}}"}}', lag: 2s}}
    {needs}
  p95:
    prometheus: {{url: '{url}', histogram: 'http_request_duration_seconds_bucket{{side="{{{{side}}}}"}}', at: p95, lag: 2s}}
    fail: above 500ms
"#
    )
}

#[tokio::test]
async fn twice_the_errors_at_10_percent_are_caught_before_the_bake_ends() {
    let stage = Stage::with_errors("", [0.08, 0.16]).await;
    let prometheus = Prometheus::start_for(&stage.services).await;
    // both sides' counters are known
    prometheus.wait_for("count(http_requests_total)", "4").await;
    stage.config(&config(&prometheus, "10% for 90s, 100% for 10s", ""));
    let ran = stage.under_load("rollout --release v2 --output json").await.ends(10).json();
    let sentence = ran["sentence"].as_str().unwrap();
    assert!(
        sentence.contains("rolled back") && sentence.contains("worse than baseline (1.2x tolerated)"),
        "{ran}"
    );
    assert_eq!(stage.green().await, 0.0);
    let report = stage.run("report --verdict --output json").await.ends(0).json();
    let shown = &report["evidence"][0];
    assert_eq!(shown["judgement"]["verdict"], "fail");
    let (at, watched) = (&shown["judgement"]["tested"]["at_ms"], &shown["watched_ms"]);
    assert!(at.as_u64().unwrap() < 90_000 && watched.as_u64().unwrap() < 90_000, "{at} {watched}");
    // and it can be judged again from what was stored
    stage.run("verify-metrics --replay v2").await.ends(0);
}

#[tokio::test]
async fn a_healthy_release_goes_out() {
    let stage = Stage::with_errors("", [0.05, 0.05]).await;
    let prometheus = Prometheus::start_for(&stage.services).await;
    // both sides' counters are known
    prometheus.wait_for("count(http_requests_total)", "4").await;
    stage.config(&config(&prometheus, "50% for 10s, 100% for 10s", "needs: 100 events"));
    let ran = stage.under_load("rollout --release v2 --output json").await.ends(0).json();
    assert_eq!(ran["state"], "finished", "{ran}");
    assert_eq!(stage.green().await, 100.0);
}
