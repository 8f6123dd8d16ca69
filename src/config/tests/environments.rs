use super::*;

const STAGING: &str = "\
checks: {errors: {haproxy: errors, fail: above 5%, warn: above 1%}}
environments:
  staging:
    services: {api: {haproxy: {socket: /run/staging.sock}}}
    stages: 100% for 5m
    checks: {errors: {warn: null}}
  quiet: null
";

#[test]
fn an_environment_is_laid_over_the_file() {
    let config = read_in("staging", &format!("{SHOP}{STAGING}"), no_env()).unwrap_or_else(|e| panic!("{e}"));
    let api = &config.sections.services[0];
    let socket = api.target.options.get("socket").map(|n| n.kind.clone());
    assert_eq!(socket, Some(Is::Text("/run/staging.sock".into())));
    assert!(api.target.options.get("backend").is_some(), "what is not named stays");
    assert_eq!(config.sections.stages.as_slice().len(), 1);
    assert!(config.sections.checks[0].check.warn.is_empty(), "null removes");
    assert_eq!(config.sections.checks[0].check.fail.len(), 1);
}

#[test]
fn the_file_itself_is_production() {
    let config = shop(STAGING);
    assert_eq!(config.sections.stages.as_slice().len(), 3);
    assert_eq!(config.sections.checks[0].check.warn.len(), 1);
    assert_eq!(config.digest.len(), 64);
    let quiet = read_in("quiet", &format!("{SHOP}{STAGING}"), no_env()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(quiet.sections.stages, config.sections.stages);
    assert_eq!(quiet.digest, config.digest, "the digest is of the text, not of the merge");
}

#[test]
fn wrong_environments() {
    let said =
        |environment: &str, more: &str| refusal(read_in(environment, &format!("{SHOP}{more}"), no_env()));
    let mut all = String::new();
    for (what, environment, more) in [
        ("one that is not listed", "stagng", STAGING),
        ("none listed at all", "staging", ""),
        ("production listed", "production", "environments: {production: {stages: 100%}}\n"),
        ("another one is wrong", "production", "environments: {staging: {stages: [50%, 10%]}}\n"),
        ("an unknown section", "production", "environments: {staging: {stage: 100%}}\n"),
        ("another name", "staging", "environments: {staging: {name: other}}\n"),
        ("a text", "production", "environments: {staging: shop}\n"),
        ("a list", "production", "environments: [staging]\n"),
        ("the last service removed", "production", "environments: {staging: {services: {api: null}}}\n"),
        (
            "a second kind laid over the first",
            "staging",
            "migrations: {s: {run: up}}\nenvironments: {staging: {migrations: {s: {sql: up.sql}}}}\n",
        ),
    ] {
        all.push_str(&format!("== {what}\n{}\n\n", said(environment, more)));
    }
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(all) });
}

#[test]
fn a_kind_is_exchanged_by_removing_the_other() {
    let text = format!(
        "{SHOP}migrations: {{s: {{run: up}}}}\nenvironments: {{staging: {{migrations: {{s: {{run: null, sql: up.sql}}}}}}}}\n"
    );
    let config = read_in("staging", &text, no_env()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(config.sections.migrations[0].up.command.name(), "sql");
}
