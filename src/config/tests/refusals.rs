//! Wrong files, each with what is said of it: `snapshots/` is to be read by people.

use std::fmt::Write;

use super::*;

/// What is said of each file; `+` stands for a good beginning.
fn said(cases: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (what, text) in cases {
        let text = text.strip_prefix('+').map_or((*text).to_string(), |more| format!("{SHOP}{more}"));
        let message = refusal(read(&text));
        assert_ne!(message, "LOADS", "{what}:\n{text}");
        let _ = write!(out, "== {what}\n{message}\n\n");
    }
    out
}

fn settled(name: &str, said: String) {
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(name, said) });
}

#[test]
fn wrong_sections() {
    settled(
        "wrong_sections",
        said(&[
            ("an empty file", ""),
            ("no map", "- a\n- b\n"),
            ("neither name nor services", "stages: 100%\n"),
            ("no service", "name: shop\nservices: {}\n"),
            ("services as a list", "name: shop\nservices: [api]\n"),
            (
                "a bad name",
                "name: my shop\nservices: {api: {haproxy: {socket: s, backend: b, sides: [a, b]}}}\n",
            ),
            ("a section misspelt", "+checsk:\n  errors: {haproxy: errors, fail: above 5%}\n"),
            ("a section nobody knows", "+zebra: 1\n"),
            ("planned sections", "+windows: {zone: UTC}\nnotify: {}\n"),
            ("a section twice", "+name: again\n"),
            ("a YAML 1.1 boolean", "+stages: off\n"),
            ("an anchor", "+stages: &a 100%\n"),
            ("a billion laughs", "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
            ("bad indentation", "name: shop\n services:\n"),
            (
                "several mistakes at once",
                "nam: shop\nservices: {api: {}}\nstages: [50%, 10%]\nwhen: {fail: wait}\n",
            ),
        ]),
    );
}

#[test]
fn wrong_services() {
    let api = |more: &str| format!("name: shop\nservices:\n  api:\n{more}");
    let haproxy = "    haproxy: {socket: s, backend: b, sides: [blue, green]}\n";
    let cases = [
        ("no target", api("    url: https://a.example\n")),
        ("a target misspelt", api("    haproxi: {socket: s}\n")),
        ("an unknown target", api("    kubernetes: {namespace: default}\n")),
        ("text as a service", "name: shop\nservices:\n  api: haproxy\n".into()),
        ("options as text", api("    haproxy: /run/haproxy.sock\n")),
        ("an option misspelt", api("    haproxy: {sokcet: s, backend: b, sides: [blue, green]}\n")),
        ("an option missing", api("    haproxy: {socket: s, sides: [blue, green]}\n")),
        (
            "an option of the wrong type",
            api("    haproxy: {socket: [s], backend: b, sides: [blue, green]}\n"),
        ),
        (
            "a key inside that belongs beside",
            api("    haproxy: {socket: s, backend: b, sides: [a, b], url: u}\n"),
        ),
        ("an option beside and inside", api(&format!("{haproxy}    socket: s\n"))),
        ("a key misspelt", api(&format!("{haproxy}    test_ulr: https://a.example\n"))),
        ("a switch at no percentage", api(&format!("{haproxy}    switch_at: 100\n"))),
        ("own stages that fall", api(&format!("{haproxy}    stages: [50%, 10%, 100%]\n"))),
        ("a planned key", api(&format!("{haproxy}    after: web\n"))),
        ("an address without a scheme", api(&format!("{haproxy}    url: api.example.com\n"))),
        ("an unknown word in a template", api(&format!("{haproxy}    image: \"r/api:{{{{relase}}}}\"\n"))),
        ("a deploy step of the wrong kind", api(&format!("{haproxy}    deploy: {{http: GET /}}\n"))),
        ("a limit without a unit", api(&format!("{haproxy}    deploy: {{run: ./d.sh, limit: 5}}\n"))),
        ("a limit of nothing", api(&format!("{haproxy}    deploy: {{run: ./d.sh, limit: 0s}}\n"))),
        (
            "a bad service name",
            "name: shop\nservices:\n  a/b: {haproxy: {socket: s, backend: b, sides: [a, b]}}\n".into(),
        ),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(what, text)| (*what, text.as_str())).collect();
    settled("wrong_services", said(&cases));
}

#[test]
fn wrong_checks() {
    settled(
        "wrong_checks",
        said(&[
            ("no checks at all", "+checks: {}\n"),
            ("neither fail nor warn", "+checks:\n  healthy: {target: instances}\n"),
            (
                "worse of what has no baseline",
                "+checks:\n  alive: {http: /health, fail: worse than baseline}\n",
            ),
            (
                "points of what is no percentage",
                "+checks:\n  p95: {scrape: {url: /m, histogram: h, at: p95}, tolerate: 1pp}\n",
            ),
            ("a tolerance below the baseline", "+checks:\n  errors: {haproxy: errors, tolerate: 0.8x}\n"),
            ("a percentage that may fall by a factor", "+checks:\n  good: {haproxy: errors, worse: lower}\n"),
            (
                "a harm that is tolerated",
                "+checks:\n  errors: {haproxy: errors, tolerate: 1.5x, find: 1.2x}\n",
            ),
            ("more than all", "+checks:\n  errors: {haproxy: errors, fail: above 150%}\n"),
            ("no events needed", "+checks:\n  errors: {haproxy: errors, needs: 0}\n"),
            ("a fail taken for a pass", "+when: {fail: pass}\n"),
            ("no false alarm ever", "+checks:\n  errors: {haproxy: errors, alpha: 0%}\n"),
            ("two sources", "+checks:\n  errors: {haproxy: errors, http: /health, fail: above 5%}\n"),
            ("a source misspelt", "+checks:\n  errors: {haprxy: errors, fail: above 5%}\n"),
            ("an unknown preset", "+checks:\n  errors: {haproxy: erors, fail: above 5%}\n"),
            ("an unknown key", "+checks:\n  errors: {haproxy: errors, fial: above 5%}\n"),
            ("symbols in a bound", "+checks:\n  errors: {haproxy: errors, fail: '> 5%'}\n"),
            (
                "a bound of another unit",
                "+checks:\n  errors: {haproxy: errors, fail: [above 5%, above 5s]}\n",
            ),
            (
                "points of a time",
                "+checks:\n  p95: {scrape: {url: u, histogram: h}, fail: above baseline + 1pp}\n",
            ),
            (
                "a bare number for a time",
                "+checks:\n  p95: {scrape: {url: u, histogram: h}, fail: above 5}\n",
            ),
            (
                "events of a time",
                "+checks:\n  p95: {scrape: {url: u, histogram: h}, fail: more than 10 in 5m}\n",
            ),
            ("probes of a ratio", "+checks:\n  errors: {haproxy: errors, fail: 3 failures in a row}\n"),
            ("a hopeless level", "+checks:\n  errors: {haproxy: errors, fail: above baseline - 5%}\n"),
            ("a bound without a time", "+checks:\n  errors: {haproxy: errors, fail: above 5% for 2}\n"),
            ("an unknown service", "+checks:\n  errors: {haproxy: errors, fail: above 5%, service: apy}\n"),
            ("needs with a unit", "+checks:\n  errors: {haproxy: errors, fail: above 5%, needs: 5%}\n"),
            (
                "a wrong unit word",
                "+checks:\n  p95: {scrape: {url: u, histogram: h}, fail: above 5s, unit: msec}\n",
            ),
            ("a unit that cannot be", "+checks:\n  errors: {haproxy: errors, fail: above 5%, unit: ms}\n"),
            (
                "against something else",
                "+checks:\n  errors: {haproxy: errors, fail: above 5%, against: baseline}\n",
            ),
            ("shadow as text", "+checks:\n  errors: {haproxy: errors, fail: above 5%, shadow: \"true\"}\n"),
            (
                "options the source refuses",
                "+checks:\n  p95: {scrape: {url: u, histogram: h, at: p9}, fail: above 5s}\n",
            ),
        ]),
    );
}

#[test]
fn wrong_steps_and_settings() {
    settled(
        "wrong_steps_and_settings",
        said(&[
            ("stages that fall", "+stages: [50% for 1m, 10% for 1m, 100%]\n"),
            ("stages that do not end", "+stages: [10% for 1m, 50%]\n"),
            ("no stages", "+stages: []\n"),
            ("a stage without %", "+stages: [10 for 5m, 100%]\n"),
            ("a stage of nothing", "+stages:\n  - 0% for 5m\n  - 100%\n"),
            ("a stage with a bare time", "+stages: [10% for 15, 100%]\n"),
            ("the long form of a stage", "+stages: [{to: 25%, for: 2d}, 100%]\n"),
            ("an unknown journal", "+journal: git\n"),
            ("a journal misspelt", "+journal: {fiel: {path: p}}\n"),
            ("a journal's option misspelt", "+journal: {file: {pathh: p}}\n"),
            ("a database without a kind", "+databases: {main: {keep: 14d}}\n"),
            ("a literal secret", "+databases: {main: {postgres: {url: 'postgres://u:p@h/db'}}}\n"),
            ("a secret misspelt", "+databases: {main: {postgres: {url: {evn: DATABASE_URL}}}}\n"),
            ("keep as a number", "+databases: {main: {postgres: {url: {env: U}}, keep: 14}}\n"),
            ("a migration's planned key", "+migrations: {schema: {run: npm run migrate, in: api}}\n"),
            ("an unknown kind of migration", "+migrations: {schema: {run: npm run migrate, kind: expnd}}\n"),
            (
                "a verify that expects nonsense",
                "+migrations:\n  s: {run: m, verify: {sql: select 1, expect: nothing}}\n",
            ),
            ("a bad option beside its adapter", "+smoke: {login: {http: POST /login, jsn: {a: 1}}}\n"),
            ("a hook nobody calls", "+hooks: {before_deply: {warm: ./warm.sh}}\n"),
            ("a hook without a name", "+hooks: {before_deploy: {run: ./warm.sh}}\n"),
            ("a reaction misspelt", "+when: {insufficient: wait}\n"),
            ("a verdict misspelt", "+when: {insuficient: hold}\n"),
            ("watching on after harm", "+when: {fail: extend 15m}\n"),
            ("a re-check of no time", "+finish: {recheck: [soon]}\n"),
            ("a bare keep time", "+finish: {keep_old: 1}\n"),
        ]),
    );
}

#[test]
fn a_secret_that_is_written_out_is_refused_and_never_shown() {
    for more in [
        "databases: {main: {postgres: {url: hunter2}}}\n",
        "databases: {main: {postgres: {url: [hunter2]}}}\n",
        "databases: {main: {postgres: , url: hunter2}}\n",
        "checks: {p95: {scrape: {url: u, histogram: h, headers: {a: hunter2}}, fail: above 5s}}\n",
    ] {
        let message = refusal(read(&format!("{SHOP}{more}")));
        assert!(
            message.contains("a secret is written out here") && !message.contains("hunter2"),
            "{message}"
        );
    }
}

#[test]
fn a_dozen_mistakes_are_cut_at_ten() {
    let mut text = SHOP.to_string();
    for n in 0..12 {
        text.push_str(&format!("unknown{n}: 1\n"));
    }
    let message = refusal(read(&text));
    assert_eq!(message.lines().count(), 11, "{message}");
    assert!(message.ends_with("and 2 more"), "{message}");
}

#[test]
fn big_files_are_refused_before_they_are_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tidegate.yml");
    let production = EnvironmentName::new("production").unwrap();
    std::fs::write(&path, vec![b'#'; 3 << 20]).unwrap();
    assert!(refusal(load(&path, &production, no_env())).contains("is larger than 1048576 bytes"));
    std::fs::write(&path, vec![b'#'; 300 << 10]).unwrap();
    assert!(refusal(load(&path, &production, no_env())).contains("at most"));
    std::fs::write(&path, b"name: \xff").unwrap();
    assert!(refusal(load(&path, &production, no_env())).contains("not UTF-8 text (byte 6)"));
    assert!(refusal(load(dir.path(), &production, no_env())).contains("failed to read"));
    let absent = refusal(load(&dir.path().join("no.yml"), &production, no_env()));
    assert!(absent.contains("`tidegate init` writes one"), "{absent}");
}
