//! Words, shapes, exit codes.

use insta::assert_snapshot;

use crate::stage::Stage;

/// Takes out what differs from run to run.
fn tame(text: &str, stage: &Stage) -> String {
    let mut settled = text.replace(&stage.folder().display().to_string(), "[folder]");
    settled = settled.replace(&stage.front().to_string(), "[front]");
    let times = regex_lite::Regex::new(r"\d+(\.\d+)? (ms|s)\b").unwrap();
    let stamps = regex_lite::Regex::new(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ").unwrap();
    let settled = times.replace_all(&settled, "[time]").into_owned();
    stamps.replace_all(&settled, "[moment]").into_owned()
}

#[tokio::test]
async fn the_plan_reads_like_a_runbook() {
    let stage = Stage::set("databases: {main: {sqlite: shop.db, keep: 14d}}\nmigrations: {schema: {run: \"true\", kind: contract}}\nchecks: {errors: {haproxy: errors, fail: above 5% for 2m, warn: above 1%}}\nstages: [10% for 1m, 100% for 1m]\n").await;
    let ran = stage.run("plan").await.ends(0);
    assert_snapshot!(tame(&ran.out, &stage));
}

#[tokio::test]
async fn a_typo_is_refused_where_it_stands_with_what_was_meant() {
    let stage = Stage::set("stagse: [100%]\nchecks: {errors: {haproxy: errors, fail: above 5s}}\n").await;
    let ran = stage.run("preflight").await.ends(2);
    assert_snapshot!(tame(&ran.err, &stage));
    assert_eq!(ran.out, "");
}

/// What an adapter says of the empty text in its place would only hide it.
#[tokio::test]
async fn a_variable_that_is_not_set_is_named_where_it_stands_and_nothing_else_is_said() {
    let stage = Stage::set("").await;
    std::fs::copy("examples/ecs/tidegate.yml", stage.path("tidegate.yml")).unwrap();
    let ran = stage.run("preflight").await.ends(2);
    assert_snapshot!(tame(&ran.err, &stage));
}

#[tokio::test]
async fn the_plan_warns_of_what_is_hardly_meant() {
    let checks = "stages: [10% for 30s, 100% for 10m]\nchecks:\n  healthy: {target: instances, fail: above 50%}\n  errors: {prometheus: {url: 'http://127.0.0.1:9', value: up, lag: 2m}, unit: '%', fail: below 5%}\n";
    let stage = Stage::set(checks).await;
    for command in ["plan", "preflight"] {
        let ran = stage.run(command).await.text();
        for told in [
            "tidegate.yml:9:38: `checks.healthy.fail`: `above 50%` breaks where healthy is high, which sounds good",
            "`checks.errors.fail`: `below 5%` breaks where errors is low",
            "checks.errors: prometheus tells of an event 2 m 00 s after it: this check sees nothing in `10% for 30s`",
        ] {
            assert!(ran.contains(told), "{command}: {told}\n{ran}");
        }
        assert!(!ran.contains("`100% for 10m`"), "{ran}");
    }
}

#[tokio::test]
async fn a_token_in_the_file_is_refused_and_not_shown() {
    let token = "eyJhbGciOi1IUzI1NiJ9";
    let stage = Stage::set("").await;
    for section in [
        format!(
            "hooks: {{before_deploy: {{warm: {{run: 'curl -H \"Authorization: Bearer {token}\" x'}}}}}}\n"
        ),
        format!(
            "checks: {{e: {{scrape: {{url: u, histogram: h, headers: {{authorization: 'Bearer {token}'}}}}, fail: above 5s}}}}\n"
        ),
    ] {
        stage.config(&section);
        let ran = stage.run("plan").await.ends(2).text();
        assert!(ran.contains("written out") && !ran.contains("eyJ"), "{ran}");
    }
}

#[tokio::test]
async fn a_release_step_by_step_tells_what_it_did() {
    let stage = Stage::set("stages: [10% for 1s, 100% for 1s]\nchecks: {healthy: {target: instances, fail: below 50%}}\nsmoke: {front: {http: GET /health, expect: {/status: ok}}}\n").await;
    let mut told = String::new();
    for command in [
        "preflight",
        "deploy --release v2",
        "smoke-test",
        "shift-traffic --to 10",
        "shift-traffic --to 10",
        "status",
        "finish",
    ] {
        let ran = stage.run(command).await;
        told.push_str(&format!("$ tidegate {command}\n{}[exit {}]\n\n", ran.text(), ran.code));
    }
    assert_snapshot!(tame(&told, &stage));
}

#[tokio::test]
async fn json_is_one_object_on_standard_output_also_for_a_failure() {
    let stage = Stage::set("checks: {healthy: {target: instances, fail: below 50%}}\n").await;
    stage.run("deploy --release v2").await.ends(0);
    stage.run("shift-traffic --to 10").await.ends(0);
    let refused = stage.run("shift-traffic --to 50 --output json").await.ends(15);
    let result = refused.json();
    assert_eq!(result["exit_code"], 15);
    assert_eq!(result["changed"], "none");
    assert_eq!(result["split_percent"]["web"], 10.0);
    assert_eq!(result["timeline"][1]["split_percent"]["web"], 10.0);
    assert_eq!(result["state"], "open");
    assert_eq!(result["attempt"], "v2#2");
    assert_eq!(result["next"], "tidegate status");
    assert!(result["hint"].as_str().unwrap().contains("verify-metrics"), "{result}");
    let schema: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string("schema/result.schema.json").unwrap()).unwrap();
    let documented: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    let mut printed: Vec<&String> = result.as_object().unwrap().keys().collect();
    printed.sort();
    let mut expected = documented.clone();
    expected.sort();
    assert_eq!(printed, expected);
}

#[tokio::test]
async fn every_command_has_help_that_names_its_flags() {
    let stage = Stage::set("").await;
    let help = stage.run("--help").await.ends(0).out;
    assert_snapshot!(help);
    for command in [
        "preflight",
        "snapshot-db",
        "restore-db",
        "migrate",
        "deploy",
        "smoke-test",
        "shift-traffic",
        "verify-metrics",
        "rollback",
        "rollout",
        "finish",
        "plan",
        "status",
        "init",
        "schema",
        "demo",
        "completions",
    ] {
        assert!(help.contains(command), "{command}");
        let own = stage.run(&format!("{command} --help")).await.ends(0).out;
        assert!(own.contains("--environment"), "{command}: {own}");
    }
    assert!(stage.run("completions bash").await.ends(0).out.contains("shift-traffic"));
    stage.run("shift-trafic").await.ends(2);
    stage.run("shift-traffic --to 101").await.ends(2);
    let refused = stage.run("shift-traffic --output json").await.ends(2).json();
    assert!(refused["sentence"].as_str().unwrap().contains("--to"), "{refused}");
}

#[tokio::test]
async fn a_hostile_name_cannot_write_to_the_terminal() {
    let stage = Stage::set("").await;
    let ran = stage.run("status --release a\u{1b}[2J").await;
    assert_eq!(ran.code, 2);
    assert!(!ran.text().contains("\u{1b}[2J"), "{:?}", ran.text());
}

#[tokio::test]
async fn no_service_answers_is_14_and_says_that_nothing_changed() {
    let stage = Stage::set("").await;
    stage.config("");
    std::fs::remove_file(stage.path("haproxy.sock")).unwrap();
    let ran = stage.run("deploy --release v2").await.ends(14);
    assert!(ran.err.contains("nothing was changed"), "{}", ran.err);
}
