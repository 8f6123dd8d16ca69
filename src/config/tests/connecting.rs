use super::*;

const SECRETS: &str = "\
databases: {main: {postgres: {url: {env: DATABASE_URL}}}, other: {postgres: {url: {env: OTHER_URL}}}}
checks:
  p95: {scrape: {url: u, histogram: h, headers: {authorization: {env: TOKEN}}}, fail: above 5s}
smoke:
  login: {http: POST /login, json: {user: {password: {env: SMOKE_PW}}}}
";

fn connected(more: &str, env: Environment) -> Result<crate::engine::unit::Unit, Failure> {
    read_in("production", &format!("{SHOP}{more}"), env).unwrap_or_else(|e| panic!("{e}")).connect()
}

#[test]
fn a_unit_is_connected_with_all_its_parts() {
    let env = env_of(&[("DATABASE_URL", "a"), ("OTHER_URL", "b"), ("TOKEN", "c"), ("SMOKE_PW", "d")]);
    let more = format!("{SECRETS}migrations: {{s: {{sql: up.sql, database: main, kind: contract}}}}\n");
    let unit = connected(&more, env).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((unit.name.as_str(), unit.environment.as_str()), ("shop", "production"));
    assert_eq!((unit.services.len(), unit.databases.len(), unit.smoke.len()), (1, 2, 1));
    assert!(unit.migrations[0].contract);
    assert_eq!(unit.checks[0].source, "scrape");
    assert!(unit.sources.contains_key("scrape"));
    assert_eq!(unit.digest.len(), 64);
    assert_eq!(unit.text, format!("{SHOP}{more}"));
}

#[test]
fn missing_secrets_are_refused_where_they_stand() {
    let env = env_of(&[("DATABASE_URL", "a"), ("TOKEN", ""), ("OTHER_URI", "b")]);
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!(refusal(connected(SECRETS, env)))
    });
}

#[test]
fn only_variables_that_the_file_names_are_suggested() {
    let env = env_of(&[("DATABASE_URI", "a"), ("DATABASE_URLS", "b")]);
    let more = "databases: {main: {postgres: {url: {env: DATABASE_URL}}}, b: {postgres: {url: {env: DATABASE_URI}}}}\n";
    let message = refusal(connected(more, env));
    assert!(message.contains("did you mean `DATABASE_URI`"), "{message}");
    assert!(!message.contains("DATABASE_URLS"), "{message}");
}

#[test]
fn a_variable_that_is_not_set_either_is_no_suggestion() {
    let message = refusal(connected(SECRETS, no_env()));
    assert!(!message.contains("did you mean"), "{message}");
    let more =
        "databases: {a: {postgres: {url: {env: DATABASE_URL}}}, b: {postgres: {url: {env: DATABASE_URI}}}}\n";
    assert!(!refusal(connected(more, no_env())).contains("did you mean"));
}

#[test]
fn files_of_secrets_are_looked_for_beside_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tidegate.yml");
    let text = format!("{SHOP}databases: {{main: {{postgres: {{url: {{file: secrets/url}}}}}}}}\n");
    let production = EnvironmentName::new("production").unwrap();
    let config = Config::read(&path, text, &production, no_env(), &fake::REGISTRY).unwrap();
    let message = refusal(config.connect());
    assert!(message.contains("secrets/url") && message.contains("yml:4:36: "), "{message}");
    std::fs::create_dir(dir.path().join("secrets")).unwrap();
    std::fs::write(dir.path().join("secrets/url"), "postgres://h/db\n").unwrap();
    assert_eq!(refusal(config.connect()), "LOADS");
}

#[test]
fn the_journal_connects_without_any_secret() {
    let config = shop(SECRETS);
    assert!(config.connect_journal().is_ok());
}

#[test]
fn a_stage_that_no_weight_can_set_is_refused() {
    let said = |stages: &str| refusal(connected(&format!("stages: {stages}\n"), no_env()));
    assert_eq!(said("[1% for 5m, 100%]"), "LOADS");
    let tiny = said("[0.01% for 5m, 100%]");
    assert!(
        tiny.starts_with("tidegate.yml:4:10: `stages[0]`: `0.01% for 5m` cannot be set on service `api`"),
        "{tiny}"
    );
    assert!(tiny.contains("its smallest step is"), "{tiny}");
}
