use super::*;

/// What explaining adds to a line.
fn unmarked(text: &str) -> String {
    text.lines().map(|l| format!("{}\n", l.strip_suffix("  # default").unwrap_or(l))).collect()
}

const FULL: &str = r#"
databases: {main: {postgres: {url: {env: DATABASE_URL}}, keep: 14d}}
migrations:
  schema: {run: "npm run up", undo: "./down.sh --to=\"$TIDEGATE_REVISION_BEFORE\"", limit: 20m, kind: contract}
  script:
    run: |
      set -x
      echo "a: b"

      echo done
    verify: {sql: "select * from v", database: main, expect: 0 rows}
stages: [10% for 5m, 100%]
checks:
  5xx: {haproxy: 5xx, fail: more than 10 in 5m, needs: 7}
  p95: {scrape: {url: "http://h/?side={{side}}", histogram: h}, fail: [above 5s, above baseline + 25%], warn: above 2s}
smoke:
  login: {http: POST /login, json: {b: 1.10, a: [1, {x: null, z: "1.10"}], e: [], m: {}}, expect: {status: 200}}
hooks: {before_deploy: {z: {run: ./z.sh}, a: {run: ./a.sh, limit: 10s}}}
when: {insufficient: extend 15m}
environments:
  staging: {stages: 100% for 5m, checks: {p95: null}}
"#;

#[test]
fn a_short_file_is_explained_with_its_defaults() {
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(explain(&shop(""))) });
}

#[test]
fn a_long_file_is_explained_in_its_order() {
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(explain(&shop(FULL))) });
}

#[test]
fn what_is_explained_loads_and_explains_itself() {
    for (environment, text) in [
        ("production", SHOP.to_string()),
        ("production", format!("{SHOP}{FULL}")),
        ("staging", format!("{SHOP}{FULL}")),
    ] {
        let config = read_in(environment, &text, no_env()).unwrap_or_else(|e| panic!("{e}"));
        let once = explain(&config);
        let again = read_in(environment, &once, no_env()).unwrap_or_else(|e| panic!("{e}\n{once}"));
        assert_eq!(unmarked(&explain(&again)), unmarked(&once));
        assert!(!explain(&again).contains("# default"), "{}", explain(&again));
        let same = |a: &Config, b: &Config| {
            let checks = |c: &Config| c.sections.checks.iter().map(|l| l.check.clone()).collect::<Vec<_>>();
            assert_eq!(checks(a), checks(b));
            assert_eq!(a.sections.stages, b.sections.stages);
            assert_eq!((a.sections.when, &a.sections.finish), (b.sections.when, &b.sections.finish));
            let limits = |c: &Config| {
                c.sections
                    .migrations
                    .iter()
                    .map(|m| (m.keys, m.undo.as_ref().map(|s| s.limit)))
                    .collect::<Vec<_>>()
            };
            assert_eq!(limits(a), limits(b));
        };
        same(&config, &again);
    }
}

#[test]
fn every_legal_file_of_these_stages_explains_to_itself() {
    use proptest::prelude::*;
    let stages = prop::collection::btree_set(1u16..10_000, 0..6).prop_map(|points| {
        let all = points.into_iter().chain([10_000]);
        let stages: Vec<String> = all
            .map(|p| {
                format!(
                    "{}% for {}m",
                    crate::domain::share::Share::from_basis_points(p).unwrap().typed(),
                    p % 90
                )
            })
            .collect();
        format!("stages: [{}]\n", stages.join(", "))
    });
    proptest!(|(stages in stages, needs in 0u64..1_000_000, command in "[ -~]{1,40}")| {
        let command = serde_json::Value::from(format!("x{command}"));
        let more = format!("{stages}checks: {{errors: {{haproxy: errors, fail: above 5%, needs: {needs}}}}}\nsmoke: {{s: {{run: {command}}}}}\n");
        let config = shop(&more);
        let once = explain(&config);
        let again = good(&once);
        prop_assert_eq!(&again.sections.stages, &config.sections.stages);
        prop_assert_eq!(again.sections.checks[0].check.clone(), config.sections.checks[0].check.clone());
        prop_assert_eq!(unmarked(&explain(&again)), unmarked(&once));
    });
}
