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
}

#[tokio::test]
async fn other_checks_tell_which_releases_would_have_gone_back() {
    let stage = released().await;
    let config = std::fs::read_to_string(stage.path("tidegate.yml")).unwrap();
    let other = |name: &str, checks: &str| {
        let (head, _) = config.split_once("checks:").unwrap();
        std::fs::write(stage.path(name), format!("{head}checks: {checks}\n")).unwrap();
    };
    other("strict.yml", "{errors: {haproxy: errors, fail: above baseline - 20pp}}");
    let strict = stage.run("verify-metrics --with strict.yml --output json").await.ends(0).json();
    let sentence = strict["sentence"].as_str().unwrap();
    assert!(
        sentence.contains("2 verdicts judged under the other checks: 2 would have gone back"),
        "{sentence}"
    );
    assert!(strict["details"].to_string().contains("WOULD HAVE GONE BACK"));
    other(
        "new.yml",
        "{errors: {haproxy: errors, needs: 20 events}, p95: {scrape: {url: /metrics, histogram: h, at: p95}}}",
    );
    let new = stage.run("verify-metrics --with new.yml --output json").await.ends(0).json();
    assert!(new["sentence"].as_str().unwrap().contains(": 0 would have gone back"), "{new}");
    assert!(new["details"].to_string().contains("nothing is stored of p95"), "{new}");
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
    let stage = Stage::set(thin).await;
    let ran = stage.under_load("rollout --release v2").await.ends(11);
    assert!(ran.text().contains("of 1000000 needed"), "{}", ran.text());
}

#[tokio::test]
async fn a_plan_tells_how_long_evidence_takes_at_the_present_rate() {
    let stage = Stage::set("stages: [10% for 1h, 100% for 1s]\nchecks: {errors: {haproxy: errors}}\n").await;
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
