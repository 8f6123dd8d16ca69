use super::*;
use crate::domain::{bound::Bound, value::Kind};
use crate::engine::unit::Reaction;

/// The example of the design, with the fake histogram in the place of Prometheus.
const DESIGN: &str = r#"
name: shop
services:
  api:
    haproxy: {socket: /run/haproxy.sock, backend: api, sides: [blue, green]}
    deploy: {run: 'systemctl restart "shop@$TIDEGATE_SIDE"'}
databases:
  main: {postgres: {url: {env: DATABASE_URL}}, keep: 14d}
stages: [10% for 15m, 50% for 15m, 100% for 30m]
checks:
  errors: {haproxy: errors, fail: [above 5% for 2m, above baseline + 0.5pp]}
  p95:    {scrape: {url: "http://127.0.0.1:9100/metrics?side={{side}}", histogram: http_seconds, at: p95}, fail: above baseline + 25%}
"#;

#[test]
fn the_example_of_the_design_loads() {
    let sections = good(DESIGN).sections;
    assert_eq!(sections.name.as_str(), "shop");
    assert_eq!(sections.services.len(), 1);
    let deploy = sections.services[0].deploy.as_ref().unwrap();
    assert_eq!((deploy.command.name(), deploy.limit.get().as_secs()), ("run", 300));
    assert_eq!(sections.databases[0].keys.keep.unwrap().to_string(), "14d");
    assert_eq!(sections.databases[0].keys.limit.to_string(), "1h");
    assert_eq!(sections.stages, Stages::standard());
    let [errors, p95] = sections.checks.as_slice() else { panic!("two checks") };
    assert_eq!((errors.check.fail.len(), errors.check.kind, errors.check.needs), (2, Kind::Ratio, None));
    assert_eq!((p95.check.fail.len(), p95.check.kind), (1, Kind::Time));
    assert!(p95.check.needs_baseline());
}

/// The same file as it stands there, with the adapters there are.
#[test]
#[cfg(all(feature = "http", feature = "postgres"))]
fn the_example_of_the_design_loads_and_connects_with_the_real_adapters() {
    let health = "    health: /health\n    version: /version#/version\ndatabases:";
    let text = DESIGN.replace("databases:", health);
    let production = EnvironmentName::new("production").unwrap();
    let env = env_of(&[("DATABASE_URL", "postgres://shop@127.0.0.1/shop")]);
    let config = Config::from_text(Path::new("tidegate.yml"), text, &production, env);
    let config = config.unwrap_or_else(|e| panic!("{e}"));
    assert!(config.sections.services[0].keys.health.is_some());
    let unit = config.connect().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((unit.checks.len(), unit.sources.len(), unit.databases.len()), (2, 2, 1));
    let explained = explain(&config);
    let again = Config::from_text(Path::new("t.yml"), explained.clone(), &production, no_env());
    let again = again.unwrap_or_else(|e| panic!("{e}\n{explained}"));
    assert!(!explain(&again).contains("# default"), "{}", explain(&again));
}

#[test]
fn a_name_and_a_service_are_enough() {
    let config = shop("");
    let sections = &config.sections;
    assert_eq!(sections.journal.name(), "file");
    assert_eq!(sections.stages, Stages::standard());
    assert_eq!((sections.when, &sections.finish), (When::default(), &Finish::default()));
    let checks: Vec<&str> = sections.checks.iter().map(|c| c.check.name.as_str()).collect();
    assert_eq!(checks, ["healthy", "errors"], "the target's own defaults");
    assert!(sections.checks.iter().all(|c| c.implied && !c.check.fail.is_empty()));
    assert!(config.warnings.is_empty());
}

#[test]
fn two_services_of_one_kind_have_the_default_checks_once() {
    let config = shop("  web: {haproxy: {socket: s, backend: web, sides: [a, b]}}\n");
    assert_eq!(config.sections.services.len(), 2);
    assert_eq!(config.sections.checks.len(), 2);
}

#[test]
fn a_check_is_read_with_all_its_keys() {
    let config = shop(
        "checks:
  memory: {scrape: {url: u, histogram: h}, unit: MiB, fail: above 512MiB for 5m, warn: [above 400MiB], needs: 500 events, service: api, against: recorded, shadow: true}
  alive: {http: /health, expect: {/status: healthy}, fail: 3 failures in a row, needs: 7}
  5xx: {haproxy: 5xx, warn: more than 10 in 5m}
",
    );
    let [memory, alive, errors] = config.sections.checks.as_slice() else { panic!("three checks") };
    let check = &memory.check;
    assert_eq!(
        (check.kind, check.needs, check.against_recorded, check.shadow),
        (Kind::Bytes, Some(500), true, true)
    );
    assert_eq!((memory.unit.is_some(), memory.service.as_ref().map(|s| s.as_str())), (true, Some("api")));
    assert_eq!(alive.check.fail, [Bound::FailuresInARow(3)]);
    assert_eq!(alive.check.needs, Some(7));
    assert!(alive.source.options.get("expect").is_some(), "an option beside its adapter is an option");
    assert!(errors.check.fail.is_empty() && errors.check.warn.len() == 1);
}

#[test]
fn migrations_smoke_and_hooks_are_read() {
    let config = shop(
        "migrations:
  schema: {run: npm run up, undo: npm run down, revision: {run: npm run status, limit: 10s}, limit: 20m,
           verify: {sql: select 1, database: main, expect: 0 rows}, kind: contract}
  sync: {sql: migrations/99.sql, database: main}
smoke:
  suite: {run: npm test, limit: 90s}
  login: {http: POST /login, json: {email: a@example.com}, expect: {status: 200}}
hooks:
  before_deploy: {warm: {run: ./warm.sh}}
  after_finish: {tell: {run: ./tell.sh}, clean: {run: ./clean.sh, limit: 1h}}
when: {insufficient: extend 15m, cancelled: rollback}
finish: {keep_old: 30m}
stages: 100% for 5m
journal: {file: /var/lib/tidegate}
",
    );
    let sections = &config.sections;
    let schema = &sections.migrations[0];
    assert_eq!(schema.keys.kind, MigrationKind::Contract);
    let limit = |step: &Option<Step>| step.as_ref().map(|s| s.limit.to_string()).unwrap_or_default();
    assert_eq!((limit(&schema.undo), limit(&schema.revision)), ("20m".into(), "10s".into()));
    assert_eq!(schema.verify.as_ref().map(|s| s.command.name()), Some("sql"));
    assert_eq!(sections.migrations[1].up.limit.to_string(), "5m");
    assert!(sections.smoke[1].command.options.get("json").is_some());
    let hooks: Vec<String> = sections.hooks.iter().map(|h| format!("{} {}", h.moment, h.step.name)).collect();
    assert_eq!(hooks, ["before_deploy warm", "after_finish tell", "after_finish clean"]);
    assert!(matches!(sections.when.insufficient, Reaction::Extend(span) if span.to_string() == "15m"));
    assert_eq!(sections.when.cancelled, Reaction::Rollback);
    assert_eq!(sections.finish.keep_old.to_string(), "30m");
    assert_eq!(sections.stages.as_slice().len(), 1, "one may be written without brackets");
    assert!(sections.journal.options.get("path").is_some());
}

#[test]
fn empty_sections_are_absent_ones() {
    let config = shop("databases:\nchecks:\nstages:\nsmoke: {}\nwhen:\nfinish:\nhooks:\nmigrations:\n");
    assert_eq!(config.sections.checks.len(), 2);
    assert_eq!(config.sections.stages, Stages::standard());
}

#[test]
fn an_empty_key_beside_an_adapter_is_an_absent_one() {
    let config = shop("  web: {haproxy: {socket: s, backend: w, sides: [a, b]}, deploy: }\n");
    assert!(config.sections.services[1].deploy.is_none());
}

#[test]
fn what_is_legal_and_useless_is_warned_of_where_it_stands() {
    let config = shop(
        "stages: [10% for 5m, 100% for 5m]
checks:
  errors: {haproxy: errors, warn: [above 1%, above 2% for 10m]}
  many: {haproxy: 5xx, warn: more than 10 in 1h}
",
    );
    let said: Vec<String> = config
        .warnings
        .iter()
        .map(|w| format!("{} {w}", w.position.map(|p| p.to_string()).unwrap_or_default()))
        .collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said[0].starts_with("6:46 ") && said[0].contains("no stage is watched for longer than 5m"),
        "{said:?}"
    );
    assert!(said[1].starts_with("7:30 "), "{said:?}");
    assert!(said[2].contains("no check can fail a release"), "{said:?}");
}

#[test]
fn no_adapter_is_called_like_a_key_beside_it() {
    fn clashes<K: Kind>(spec: &entry::Spec<K>) -> Vec<String> {
        let own = |name: &&'static str| spec.keys.iter().any(|k| k == name);
        spec.names().iter().filter(|n| own(n)).map(|n| format!("{n} of {}", spec.noun)).collect()
    }
    use crate::registry::{ALL, Kind};
    let all = [
        clashes(&services::spec(&ALL)),
        clashes(&databases::database_spec(&ALL)),
        clashes(&databases::migration_spec(&ALL)),
        clashes(&checks::spec(&ALL)),
        clashes(&steps::smoke_spec(&ALL)),
        clashes(&steps::hook_spec(&ALL)),
    ];
    assert_eq!(all.concat(), Vec::<String>::new());
}

#[test]
fn every_targets_default_checks_load() {
    for target in crate::registry::ALL.targets {
        for (name, snippet) in target.default_checks {
            let text = format!("{SHOP}checks: {{{name}: {snippet}}}\n");
            let environment = EnvironmentName::new("production").unwrap();
            let read = Config::read(Path::new("t.yml"), text, &environment, no_env(), &crate::registry::ALL);
            assert_eq!(refusal(read), "LOADS", "{} {name}", target.common.name);
        }
    }
}

#[test]
fn the_files_of_the_documentation_load() {
    for document in ["docs/config.md", "README.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
        let text = std::fs::read_to_string(path).unwrap();
        let files = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let mut seen = 0;
        for file in files {
            seen += 1;
            let production = EnvironmentName::new("production").unwrap();
            let loaded =
                Config::from_text(Path::new("tidegate.yml"), file.to_string(), &production, no_env());
            if let Err(failure) = loaded {
                panic!("{document}: {failure}");
            }
        }
        assert!(seen > 0, "{document} shows no file");
    }
}

#[test]
fn a_service_may_have_stages_of_its_own_and_a_stage_to_switch_at() {
    let text = "name: shop\nservices:\n  api:\n    haproxy: {socket: s, backend: api, sides: [a, b]}\n    switch_at: 50%\n    drain: 30s\n  web:\n    haproxy: {socket: s, backend: web, sides: [a, b]}\n    stages: 100% for 5m\n";
    let config = good(text);
    let [api, web] = config.sections.services.as_slice() else { panic!("two services") };
    assert_eq!(api.keys.switch_at.map(|at| at.0.basis_points()), Some(5000));
    assert_eq!(web.keys.stages.as_ref().map(|own| own.0.as_slice().len()), Some(1));
}
