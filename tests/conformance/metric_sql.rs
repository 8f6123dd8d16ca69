//! The `sql` metric.

#![cfg(feature = "sqlite")]

use tidegate::{
    domain::{names::Role, sample::Sample, template::Words, value::Unit},
    port::{Ask, Metric, Reach, SqlAddress, Window},
    registry::METRICS,
};

use crate::setting::{node, setting, with_sql, within};

fn connect(checks: &[(&str, &str)], folder: &std::path::Path) -> Result<Box<dyn Metric>, String> {
    let path = folder.join("shop.sqlite");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("create table if not exists t (v text, ms real); delete from t; insert into t values ('blue', 250), ('green', 20)")
        .unwrap();
    let mut setting = with_sql(setting(folder, &[]), "main", SqlAddress::Sqlite { path });
    setting.units.insert("slow".parse().unwrap(), Unit::try_from("ms".to_string()).unwrap());
    let kind = METRICS.iter().find(|k| k.common.name == "sql").unwrap();
    let entries: Vec<_> = checks
        .iter()
        .map(|(name, options)| (name.parse().unwrap(), node(options), format!("checks.{name}")))
        .collect();
    (kind.connect)(&entries, &setting).map_err(|e| e.message)
}

fn ask(check: &str, side: &str) -> Ask {
    Ask {
        check: check.parse().unwrap(),
        target: "api".parse().unwrap(),
        role: Role::Candidate,
        side: side.parse().unwrap(),
        instances: Vec::new(),
        labels: Default::default(),
        words: Words::default().with("side", side),
        opened: None,
    }
}

#[tokio::test]
async fn each_question_gets_its_own_answer() {
    let folder = tempfile::tempdir().unwrap();
    let metric = connect(
        &[
            ("slow", "query: \"select ms from t where v = '{{side}}'\""),
            ("none", "query: select max(ms) from t where v = 'grey'"),
            ("norow", "query: select ms from t where v = 'grey'"),
            ("text", "query: select v from t"),
            ("gone", "query: select a from nowhere"),
            ("writes", "query: delete from t returning 1"),
            ("all", "{query: select count(*) from t, database: main}"),
        ],
        folder.path(),
    )
    .unwrap();
    let api = "api".parse().unwrap();
    let web = "web".parse().unwrap();
    let reach = |check: &str, target| metric.reach(&check.parse().unwrap(), target);
    assert_eq!((reach("slow", &api), reach("slow", &web)), (Reach::Sides, Reach::Sides));
    assert_eq!((reach("all", &api), reach("all", &web)), (Reach::Whole, Reach::None));

    let at = jiff::Timestamp::UNIX_EPOCH;
    let mut asks: Vec<_> = ["none", "norow", "text", "gone", "writes", "all"].map(|c| ask(c, "blue")).into();
    asks.insert(0, ask("slow", "green"));
    asks.insert(0, ask("slow", "blue"));
    asks.push(ask("slow", "gr--een"));
    let measured = metric.measure(&within(20), &asks, Window::new(at, at), None).await.unwrap();
    let samples: Vec<_> = measured.samples.into_iter().map(|s| s.ok()).collect();
    assert_eq!(
        samples,
        [
            Some(Sample::Gauge(0.25)),
            Some(Sample::Gauge(0.02)),
            Some(Sample::Empty),
            Some(Sample::Empty),
            None,
            None,
            None,
            Some(Sample::Gauge(2.0)),
            None,
        ]
    );
}

#[test]
fn an_unknown_database_is_refused_with_those_that_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let why = connect(&[("a", "{query: select 1, database: mian}")], folder.path()).err().unwrap();
    assert!(why.contains("mian") && why.contains("databases that speak SQL: main"), "{why}");
    assert!(connect(&[("a", "query: select {{sid}}")], folder.path()).is_err());
}
