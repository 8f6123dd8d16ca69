//! What a verdict rests on, judged again, and judged otherwise.

use crate::stage::Stage;

const CONFIG: &str = "stages: [50% for 2s, 100% for 1s]
checks: {errors: {haproxy: errors, needs: 20 events}}
";

async fn released() -> Stage {
    let stage = Stage::set(CONFIG).await;
    stage.under_load("rollout --release v2").await.ends(0);
    stage
}

#[tokio::test]
async fn a_verdict_is_judged_again_from_what_was_stored_and_comes_out_the_same() {
    let stage = released().await;
    let records = stage.journal();
    let again = stage.run("verify-metrics --replay v2 --output json").await.ends(0).json();
    assert_eq!(again["sentence"], "2 verdicts of v2 came out the same");
    assert_eq!(again["changed"], "none");
    let lines = again["details"].to_string();
    assert!(lines.contains("v2#2 at 50 %: pass, the same again"), "{lines}");
    assert!(lines.contains("ln E differs by 0e0"), "{lines}");
    assert_eq!(stage.journal(), records, "nothing is written");
    let unknown = stage.run("verify-metrics --replay v7").await.ends(2);
    assert!(unknown.text().contains("no verdict of a release v7"), "{}", unknown.text());
}

#[tokio::test]
async fn a_verdict_that_was_tampered_with_comes_out_differently() {
    let stage = released().await;
    let judged = stage.record("judged");
    let text = std::fs::read_to_string(&judged).unwrap();
    let tampered = text.replace("\"candidate\": 0.0", "\"candidate\": 0.5");
    assert_ne!(text, tampered);
    std::fs::write(&judged, tampered).unwrap();
    let again = stage.run("verify-metrics --replay v2").await.ends(16);
    assert!(again.text().contains("came out differently"), "{}", again.text());
    // a config that cannot be read any more is told, and is no reason not to tell the rest
    let opened = stage.record("opened");
    let text = std::fs::read_to_string(&opened).unwrap();
    let unreadable = text.replace("needs: 20 events", "neds: 20 events");
    assert_ne!(text, unreadable);
    std::fs::write(&opened, unreadable).unwrap();
    let again = stage.run("verify-metrics --replay v2").await.ends(16);
    assert!(again.text().contains("cannot read the config that was recorded with it"), "{}", again.text());
    assert!(again.text().contains("2 of 2 verdicts of v2"), "{}", again.text());
}

/// In the middle of the first verdict's watch most requests had failed.
fn tamper(stage: &Stage) {
    let judged = std::fs::read_dir(stage.path(".tidegate/journal/shop/production")).unwrap();
    let mut judged: Vec<_> = judged.map(|entry| entry.unwrap().path()).collect();
    judged.sort();
    for path in judged {
        let text = std::fs::read_to_string(&path).unwrap();
        let Ok(mut record) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
        if record["event"]["kind"] != "judged" {
            continue;
        }
        let series = &mut record["event"]["watched"]["series"]["errors"]["web"];
        let batches = &mut series["batches"];
        let to_ms: Vec<u64> = serde_json::from_value(batches["to_ms"].clone()).unwrap();
        let counts = batches["candidate"]["counts"].as_array_mut().unwrap();
        for (to_ms, counts) in to_ms.iter().zip(counts) {
            if *to_ms > 200 && *to_ms < 3700 {
                counts[0] = counts[1].clone();
            }
        }
        std::fs::write(path, record.to_string()).unwrap();
        return;
    }
}

#[tokio::test]
async fn other_checks_tell_which_releases_would_have_gone_back() {
    let stage = Stage::with_errors(
        &CONFIG.replace("needs", "fail: above 90%, needs").replace("2s", "4s"),
        [0.0, 0.2],
    )
    .await;
    stage.under_load("rollout --release v2").await.ends(0);
    let config = std::fs::read_to_string(stage.path("tidegate.yml")).unwrap();
    let other = |name: &str, checks: &str| {
        let (head, _) = config.split_once("checks:").unwrap();
        std::fs::write(stage.path(name), format!("{head}checks: {checks}\n")).unwrap();
    };
    other("strict.yml", "{errors: {haproxy: errors, fail: above 1%}}");
    let strict = stage.run("verify-metrics --with strict.yml --output json").await.ends(0).json();
    let sentence = strict["sentence"].as_str().unwrap();
    assert!(
        sentence.contains("2 verdicts judged under the other checks: 2 would have gone back"),
        "{sentence}"
    );
    assert!(strict["details"].to_string().contains("WOULD HAVE GONE BACK"));
    other(
        "new.yml",
        "{errors: {haproxy: errors, fail: above 90%, needs: 20 events}, p95: {scrape: {url: /metrics, histogram: h, at: p95}}}",
    );
    let new = stage.run("verify-metrics --with new.yml --output json").await.ends(0).json();
    assert!(new["sentence"].as_str().unwrap().contains(": 0 would have gone back"), "{new}");
    assert!(new["details"].to_string().contains("nothing is stored of p95"), "{new}");
    // a level that was broken in the middle of the watch, and not at its end, would have ended it there
    tamper(&stage);
    other("held.yml", "{errors: {haproxy: errors, fail: above 50% for 1500ms}}");
    let held = stage.run("verify-metrics --with held.yml --output json").await.ends(0).json();
    assert!(held["sentence"].as_str().unwrap().contains(": 1 would have gone back"), "{held}");
    // the same names with other questions, and other names, are asked of nothing
    for (name, checks) in [
        ("kind.yml", "{errors: {scrape: {url: /metrics, histogram: h, at: p95}}}"),
        ("names.yml", "{failures: {haproxy: errors, needs: 20 events}}"),
    ] {
        other(name, checks);
        let none = stage.run(&format!("verify-metrics --with {name} --output json")).await.ends(0).json();
        let sentence = none["sentence"].as_str().unwrap();
        assert!(
            sentence.starts_with("0 verdicts judged") && sentence.contains("of 2 nothing is stored"),
            "{none}"
        );
    }
    let missing = stage.run("verify-metrics --with nowhere.yml").await.ends(2);
    assert!(missing.text().contains("failed to read nowhere.yml"), "{}", missing.text());
}

#[tokio::test]
async fn the_evidence_is_shown_as_text_json_and_a_picture() {
    let stage = Stage::set(CONFIG).await;
    let none = stage.run("report").await.ends(0);
    assert!(none.text().contains("no release was ever judged here"), "{}", none.text());
    stage.under_load("rollout --release v2").await.ends(0);
    let short = stage.run("report").await.ends(0);
    assert!(
        short.out.contains("v2#2 at 50 %: pass") && !short.out.contains("candidate 0 %"),
        "{}",
        short.out
    );
    let full = stage.run("report --verdict").await.ends(0);
    assert!(
        full.out.contains("candidate 0 % (0 of ") && full.out.contains("baseline 0 % (0 of "),
        "{}",
        full.out
    );
    let json = stage.run("report --verdict --output json").await.ends(0).json();
    let shown = &json["evidence"][0];
    assert_eq!((&shown["of"], &shown["judgement"]["check"]), (&"v2#2 at 50 %".into(), &"errors".into()));
    assert!(shown["series"]["batches"]["to_ms"].as_array().unwrap().len() > 1, "{shown}");
    stage.run("report --verdict --svg verdict.svg").await.ends(0);
    let svg = std::fs::read_to_string(stage.path("verdict.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("errors of web: pass"), "{svg}");
}

#[tokio::test]
async fn too_little_evidence_is_a_pass_only_where_the_file_says_so() {
    let thin = "checks: {errors: {haproxy: errors, needs: 1000000 events}}\nstages: [100% for 1s]\n";
    let stage = Stage::set(&format!("{thin}when: {{insufficient: pass}}\n")).await;
    let ran = stage.under_load("rollout --release v2").await.ends(0);
    assert!(ran.text().contains("insufficient evidence is taken for a pass"), "{}", ran.text());
    let again = stage.run("verify-metrics --with tidegate.yml --output json").await.ends(0).json();
    assert!(again["details"].to_string().contains("taken for a pass by the file, as it was"), "{again}");
    stage.run("verify-metrics --replay v2").await.ends(0);
    let stage = Stage::set(thin).await;
    let ran = stage.under_load("rollout --release v2").await.ends(11);
    assert!(ran.text().contains("of 1000000 needed"), "{}", ran.text());
}

#[tokio::test]
async fn a_plan_tells_how_long_evidence_takes_at_the_present_rate() {
    let config = "stages: [10% for 1h, 100% for 1s]\nchecks: {errors: {haproxy: errors}}\n";
    let healthy = Stage::set(config).await.under_load("plan").await.ends(0);
    assert!(healthy.out.contains("cannot be told before some are bad"), "{}", healthy.text());
    let stage = Stage::with_errors(config, [0.05, 0.05]).await;
    let plan = stage.under_load("plan").await.ends(0);
    let told = "errors of web: ";
    assert!(plan.out.contains(told) && plan.out.contains("this stage can show"), "{}", plan.text());
    assert!(
        plan.out.contains("2x takes about") && plan.out.contains("to rule out 1.2x takes about"),
        "{}",
        plan.text()
    );
    let offline = stage.run("plan --offline").await.ends(0);
    assert!(!offline.out.contains(told) && !offline.out.contains("is not known"), "{}", offline.text());
}

#[tokio::test]
async fn a_watch_that_the_end_of_a_job_cuts_goes_on_with_its_evidence() {
    let stage = Stage::set(
        "stages: [50% for 5s, 100% for 1s]\nchecks: {errors: {haproxy: errors, needs: 20 events}}\n",
    )
    .await;
    stage.run("deploy --release v2").await.ends(0);
    stage.run("shift-traffic --to 50").await.ends(0);
    let first = stage.under_load("verify-metrics --time-limit 2s --output json").await.ends(0).json();
    assert_eq!(first["state"], "waiting");
    let cut = std::fs::read_to_string(stage.record("watched")).unwrap();
    let cut: serde_json::Value = serde_json::from_str(&cut).unwrap();
    let of = |record: &serde_json::Value| {
        let event = &record["event"];
        let watched = if event["kind"] == "judged" { &event["watched"] } else { event };
        watched["series"]["errors"]["web"].clone()
    };
    let seen = of(&cut)["candidate"]["counts"]["total"].as_u64().unwrap_or_else(|| panic!("{cut}"));
    assert!(seen > 100 && of(&cut)["evidence"].to_string().contains("purses"), "{cut}");
    stage.under_load("verify-metrics").await.ends(0);
    let judged = std::fs::read_to_string(stage.record("judged")).unwrap();
    let judged: serde_json::Value = serde_json::from_str(&judged).unwrap();
    let batches =
        |record: &serde_json::Value| of(record)["batches"]["candidate"]["counts"].as_array().unwrap().clone();
    let (before, after) = (batches(&cut), batches(&judged));
    assert!(after.len() > before.len() && after.starts_with(&before), "{before:?} {after:?}");
    // the evidence of both jobs is that of one
    stage.run("verify-metrics --replay v2").await.ends(0);
}

#[tokio::test]
async fn traffic_that_goes_elsewhere_than_it_was_sent_never_passes() {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };
    // requests counted on green between two looks; on blue it is what is left of a thousand
    let green = Arc::new(AtomicU64::new(500));
    let (now, sums) = (green.clone(), std::sync::Mutex::new((0u64, 0u64)));
    let server = crate::http_server::HttpServer::start(move |asked| {
        let mut sums = sums.lock().unwrap();
        let on_green = now.load(Ordering::SeqCst);
        let all = match asked.line.contains("side=green") {
            true => {
                sums.0 += on_green;
                sums.0
            }
            false => {
                sums.1 += 1000 - on_green;
                sums.1
            }
        };
        crate::http_server::ok(format!("all {all}\nfailed 0\n"))
    });
    let stage = Stage::set("").await;
    stage.config(&format!(
        "stages: [10% for 3s, 100% for 1s]\nchecks: {{errors: {{scrape: {{url: '{}', bad: failed, total: all}}, needs: 100 events}}}}\n",
        server.url("/metrics?side={{side}}")
    ));
    stage.run("deploy --release v2").await.ends(0);
    stage.run("shift-traffic --to 10").await.ends(0);
    let ran = stage.run("verify-metrics").await.ends(11);
    assert!(
        ran.text().contains("requests were counted on the candidate, and 10 % is set: sticky"),
        "{}",
        ran.text()
    );
    stage.run("shift-traffic --to 100").await.ends(15);
    let config = std::fs::read_to_string(stage.path("tidegate.yml")).unwrap();
    std::fs::write(stage.path("told.yml"), format!("{config}when: {{elsewhere: pass}}\n")).unwrap();
    let ran = stage.run("verify-metrics --config told.yml").await.ends(0);
    assert!(ran.text().contains("10 % is set: sticky"), "{}", ran.text());
    green.store(100, Ordering::SeqCst);
    stage.run("rollback").await.ends(0);
    stage.run("deploy --release v3").await.ends(0);
    stage.run("shift-traffic --to 10").await.ends(0);
    let ran = stage.run("verify-metrics").await.ends(0);
    assert!(!ran.text().contains("sticky"), "{}", ran.text());
}
