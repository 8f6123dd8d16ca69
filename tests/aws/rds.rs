//! Databases of RDS and DocumentDB: in the double, and in moto where it tells the truth. (It makes snapshots
//! at once, refuses none for the state of the database, and knows no DocumentDB.)

mod restoring;
mod trouble;

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tidegate::{
    domain::record::Artifact,
    port::{Clock, Context, Database, Found, Grade, Progress, Silent, Treat, Watching, clock::SystemClock},
    registry::DATABASES,
};

use crate::{
    double::{
        self, Double,
        rds::{Cluster, Instance, Snapshot},
    },
    moto::{self, Moto},
};

const KEY: &str = "shop-production-v1-2-3-2-ebe6f6";
const ID: &str = "shop-production-v1-2-3-2-ebe6f6-main";

/// Which database, as the file says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Instance,
    Aurora,
    Documents,
}

impl Of {
    const ALL: [Of; 3] = [Of::Instance, Of::Aurora, Of::Documents];

    fn option(self) -> (&'static str, &'static str) {
        match self {
            Of::Instance => ("rds", "instance: rastup-prod"),
            Of::Aurora => ("rds", "cluster: rastup-aurora"),
            Of::Documents => ("documentdb", "cluster: moodify-production"),
        }
    }

    fn create(self) -> &'static str {
        if self == Of::Instance { "CreateDBSnapshot" } else { "CreateDBClusterSnapshot" }
    }

    /// The snapshots of this kind in the double.
    fn kept(self, double: &Double) -> BTreeMap<String, Snapshot> {
        let state = double.state();
        match self {
            Of::Instance => state.rds.snapshots.clone(),
            _ => state.rds.cluster_snapshots.clone(),
        }
    }

    fn change(self, double: &Double, id: &str, change: impl FnOnce(&mut Snapshot)) {
        let mut state = double.state();
        let kept = match self {
            Of::Instance => &mut state.rds.snapshots,
            _ => &mut state.rds.cluster_snapshots,
        };
        change(kept.get_mut(id).unwrap());
    }
}

fn connected(kind: &str, options: &str, url: &str) -> Result<Box<dyn Database>, String> {
    let folder = tempfile::tempdir().unwrap();
    let kind = DATABASES.iter().find(|k| k.common.name == kind).unwrap();
    let comma = if options.is_empty() { "" } else { ", " };
    let options = format!("{{{options}{comma}aws: {{region: eu-west-1, endpoint: '{url}'}}}}");
    let node = tidegate::document::node::parse(&options).unwrap_or_else(|e| panic!("{}", e.message));
    let setting = double::setting(folder.path());
    (kind.connect)(&"main".parse().unwrap(), &node, "databases.main", &setting).map_err(|e| e.message)
}

fn connect(of: Of, url: &str) -> Box<dyn Database> {
    let (kind, options) = of.option();
    connected(kind, options, url).unwrap()
}

/// A double with one database of each kind.
fn double() -> Double {
    let double = Double::start();
    let mut state = double.state();
    state.rds.add(Instance::new("rastup-prod"));
    for (id, engine, classes) in [
        ("rastup-aurora", "aurora-postgresql", ["db.r6g.large", "db.r6g.xlarge"]),
        ("moodify-production", "docdb", ["db.r5.large", "db.r5.large"]),
    ] {
        let cluster = Cluster { writer: format!("{id}-b"), ..Cluster::new(id, engine) };
        for (letter, class) in ["a", "b"].into_iter().zip(classes) {
            let member = Instance::member(&format!("{id}-{letter}"), &cluster, class, letter == "b");
            state.rds.add(member);
        }
        state.rds.add_cluster(cluster);
    }
    drop(state);
    double
}

/// A clock that hurries and skips the pauses between looks.
struct Skipping {
    /// How much faster than the real one it runs.
    hurry: u32,
    real: SystemClock,
    skipped: Mutex<Duration>,
}

#[async_trait::async_trait]
impl Clock for Skipping {
    fn now(&self) -> jiff::Timestamp {
        self.real.now()
    }
    fn elapsed(&self) -> Duration {
        self.real.elapsed() * self.hurry + *self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }
    async fn sleep(&self, duration: Duration) {
        if (Duration::from_secs(5)..=Duration::from_secs(30)).contains(&duration) {
            *self.skipped.lock().unwrap_or_else(PoisonError::into_inner) += duration;
            tokio::task::yield_now().await;
        } else {
            self.real.sleep(duration / self.hurry).await;
        }
    }
}

fn within(seconds: u64) -> Context {
    hurried(4, seconds)
}

fn hurried(hurry: u32, seconds: u64) -> Context {
    let clock = Skipping { hurry, real: SystemClock::default(), skipped: Mutex::default() };
    Context::new(Arc::new(clock), Duration::from_secs(seconds))
}

fn hours() -> Context {
    within(4 * 3600)
}

#[derive(Default)]
struct Heard {
    waited: Mutex<Vec<String>>,
    told: Mutex<Vec<String>>,
}

impl Heard {
    /// What was waited for.
    fn lines(&self) -> Vec<String> {
        self.waited.lock().unwrap().clone()
    }
}

impl Progress for Heard {
    fn line(&self, line: &str) {
        self.told.lock().unwrap().push(line.into());
    }
    fn output(&self, _: &str, _: &str) {}
    fn waiting(&self, subject: &str, text: &str) {
        self.waited.lock().unwrap().push(format!("{subject}: {text}"));
    }
    fn watching(&self, _: &Watching<'_>) {}
}

/// What is promised of every database, wherever it is. `into` is free.
async fn keeps_its_promises(of: Of, url: &str, into: &str) -> Artifact {
    let (db, cx) = (connect(of, url), hours());
    assert_eq!(db.find(&cx, KEY).await, Ok(Found::Absent));
    assert_eq!(db.list(&cx).await, Ok(vec![]));
    let first = db.snapshot(&cx, KEY, &Silent).await.unwrap();
    assert_eq!((first.id.as_str(), first.bytes, &first.checksum), (ID, None, &None));
    assert_eq!(db.snapshot(&cx, KEY, &Silent).await.as_ref(), Ok(&first));
    assert_eq!(db.find(&cx, KEY).await, Ok(Found::Ready(first.clone())));
    // a key that RDS takes in no other way
    let second = db.snapshot(&cx, "V1#1/2--", &Silent).await.unwrap();
    assert_eq!(db.list(&cx).await, Ok(vec![first.clone(), second.clone()]));
    db.verify(&cx, &first).await.unwrap();
    let strange = Artifact { id: "nobody-has-this".into(), ..first.clone() };
    assert_eq!(db.verify(&cx, &strange).await.unwrap_err().treat, Treat::Permanent);
    assert_eq!(db.delete(&cx, &strange).await, Ok(()));

    let lines = db.restore(&cx, &first, into, &Silent).await.unwrap();
    assert!(lines[0].starts_with("endpoint: ") && lines[0].contains(into), "{lines:?}");
    // again: what was begun is ours, and done
    assert_eq!(db.restore(&cx, &first, into, &Silent).await, Ok(lines));
    let refused = db.restore(&cx, &second, into, &Silent).await.unwrap_err();
    assert!(refused.treat == Treat::Permanent && refused.detail.contains("exists already"), "{refused}");

    for artifact in [&second, &second] {
        db.delete(&cx, artifact).await.unwrap();
    }
    assert_eq!(db.list(&cx).await, Ok(vec![first.clone()]));
    first
}

#[tokio::test]
async fn the_double_s_databases_keep_their_promises() {
    for of in Of::ALL {
        let double = double();
        keeps_its_promises(of, &double.url, "rastup-back").await;
        assert_eq!(of.kept(&double).len(), 1);
    }
}

/// Runs the script beside this file; what it printed.
fn boto3(url: &str, arguments: &[&str]) -> String {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aws/rds/moto_rds.py");
    let done = Command::new(moto::python().join("bin/python")).arg(program).arg(url).args(arguments).output();
    let done = done.unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{arguments:?}: {out}{err}");
    out.trim().to_string()
}

#[tokio::test]
async fn moto_s_databases_keep_their_promises_and_equal_what_boto3_makes() {
    let moto = Moto::start();
    boto3(&moto.url, &["prepare"]);
    let taken = keeps_its_promises(Of::Instance, &moto.url, "rastup-back").await;
    boto3(&moto.url, &["snapshot", &taken.id]);
    boto3(&moto.url, &["restored", "rastup-back"]);
    let taken = keeps_its_promises(Of::Aurora, &moto.url, "rastup-aurora-back").await;
    boto3(&moto.url, &["cluster_snapshot", &taken.id]);
    boto3(&moto.url, &["restored_cluster", "rastup-aurora-back"]);
    assert_eq!(boto3(&moto.url, &["count"]), "1 1");
}

#[tokio::test]
async fn a_snapshot_is_asked_for_once_and_waited_for_in_percent() {
    for of in Of::ALL {
        let double = double();
        let heard = Heard::default();
        let artifact = connect(of, &double.url).snapshot(&hours(), KEY, &heard).await.unwrap();
        assert_eq!(heard.lines(), ["snapshot main: creating, 33 %", "snapshot main: creating, 66 %"]);
        let plural = if of == Of::Instance { "DescribeDBSnapshots" } else { "DescribeDBClusterSnapshots" };
        let source = if of == Of::Instance { "DescribeDBInstances" } else { "DescribeDBClusters" };
        assert_eq!(double.operations("rds"), [plural, source, of.create(), plural, plural, plural]);
        let (engine, version) = match of {
            Of::Documents => ("docdb", "5.0.0"),
            Of::Aurora => ("aurora-postgresql", "15.4"),
            Of::Instance => ("postgres", "15.4"),
        };
        let (kind, option) = of.option();
        let id = option.split_once(": ").unwrap().1;
        assert_eq!(artifact.source, format!("{kind} {id}, {engine} {version}"));
        assert_eq!(artifact.at.to_string(), "2026-01-01T00:01:00.123Z");
        let tags = of.kept(&double)[ID].tags.clone();
        let wanted = [
            ("tidegate:database", "main"),
            ("tidegate:environment", "production"),
            ("tidegate:key", KEY),
            ("tidegate:snapshot", ID),
            ("tidegate:unit", "shop"),
        ];
        assert_eq!(tags, wanted.map(|(k, v)| (k.to_string(), v.to_string())).into());
    }
}

#[tokio::test]
async fn a_snapshot_that_suspends_io_says_so_before_it_is_asked_for() {
    let text = |which: &str| {
        format!("snapshot main: {which}: I/O is suspended for seconds to minutes during the snapshot")
    };
    for (multi_az, engine, wanted) in [
        (false, "postgres", vec![text("Single-AZ")]),
        (true, "postgres", vec![]),
        (true, "sqlserver-se", vec![text("SQL Server")]),
    ] {
        let double = double();
        let change = |change: &dyn Fn(&mut Instance)| {
            change(double.state().rds.instances.get_mut("rastup-prod").unwrap());
        };
        change(&|instance| (instance.multi_az, instance.engine) = (multi_az, engine.into()));
        let (db, heard) = (connect(Of::Instance, &double.url), Heard::default());
        db.snapshot(&hours(), KEY, &heard).await.unwrap();
        assert_eq!(*heard.told.lock().unwrap(), wanted);
        // the one that is there already suspends nothing more
        db.snapshot(&hours(), KEY, &heard).await.unwrap();
        assert_eq!(heard.told.lock().unwrap().len(), wanted.len());
        // and nothing is said where nothing is taken
        change(&|instance| instance.status = "stopped".into());
        db.snapshot(&hours(), "another", &heard).await.unwrap_err();
        assert_eq!(heard.told.lock().unwrap().len(), wanted.len());
    }
    for of in [Of::Aurora, Of::Documents] {
        let (double, heard) = (double(), Heard::default());
        connect(of, &double.url).snapshot(&hours(), KEY, &heard).await.unwrap();
        assert_eq!(*heard.told.lock().unwrap(), [""; 0], "{of:?}");
    }
}

#[tokio::test]
async fn a_run_that_was_cut_off_is_found_and_its_snapshot_waited_for() {
    for of in Of::ALL {
        let double = double();
        double.state().rds.looks = 5;
        let (db, cx) = (connect(of, &double.url), hours());
        let mut work = db.snapshot(&cx, KEY, &Silent);
        while of.kept(&double).is_empty() {
            tokio::select! { biased; _ = &mut work => panic!("done"), () = tokio::time::sleep(Duration::from_millis(1)) => {} }
        }
        drop(work);
        let found = db.find(&cx, KEY).await.unwrap();
        assert!(matches!(found, Found::Running(Some(percent)) if percent < 100), "{found:?}");
        db.snapshot(&cx, KEY, &Silent).await.unwrap();
        assert_eq!(double.operations("rds").iter().filter(|o| *o == of.create()).count(), 1);
    }
}

#[tokio::test]
async fn a_limit_that_is_too_short_says_that_aws_goes_on() {
    let double = double();
    double.state().rds.looks = 20;
    let db = connect(Of::Instance, &double.url);
    let late = db.snapshot(&within(60), KEY, &Silent).await.unwrap_err();
    assert_eq!(late.treat, Treat::Temporary);
    assert!(late.detail.contains("goes on in AWS") && late.hint.unwrap().contains("limit"));
    db.snapshot(&hours(), KEY, &Silent).await.unwrap();
    assert_eq!(double.state().rds.snapshots.len(), 1);
}

#[tokio::test]
async fn a_failed_snapshot_tells_why_and_the_next_run_takes_another() {
    for of in Of::ALL {
        let double = double();
        double.state().rds.fails = Some("Unable to use the KMS key".into());
        let (db, cx) = (connect(of, &double.url), hours());
        let fault = db.snapshot(&cx, KEY, &Silent).await.unwrap_err();
        assert!(fault.treat == Treat::Permanent && fault.detail.contains("KMS key"), "{fault}");
        assert!(matches!(db.find(&cx, KEY).await, Ok(Found::Failed(_))));
        assert_eq!(db.list(&cx).await, Ok(vec![]));
        db.snapshot(&cx, KEY, &Silent).await.unwrap();
        assert_eq!(of.kept(&double).len(), 1);
    }
}

#[tokio::test]
async fn a_snapshot_of_somebody_else_is_neither_believed_nor_listed_nor_deleted() {
    for of in Of::ALL {
        let double = double();
        let (db, cx) = (connect(of, &double.url), hours());
        let taken = db.snapshot(&cx, KEY, &Silent).await.unwrap();
        let ours = of.kept(&double)[ID].tags.clone();
        let foreign = |name: &str, value: &str| {
            let mut tags = ours.clone();
            tags.insert(name.into(), value.into());
            tags
        };
        for (tags, said) in [
            (BTreeMap::new(), "no tags of tidegate"),
            (foreign("tidegate:unit", "mood"), "unit mood"),
            (foreign("tidegate:environment", "staging"), "environment staging"),
            (foreign("tidegate:database", "other"), "database other"),
        ] {
            of.change(&double, ID, |snapshot| snapshot.tags = tags);
            for fault in [
                db.find(&cx, KEY).await.map(|_| ()).unwrap_err(),
                db.snapshot(&cx, KEY, &Silent).await.map(|_| ()).unwrap_err(),
                db.verify(&cx, &taken).await.unwrap_err(),
                db.delete(&cx, &taken).await.unwrap_err(),
                db.restore(&cx, &taken, "new", &Silent).await.map(|_| ()).unwrap_err(),
            ] {
                assert!(fault.treat == Treat::Permanent && fault.detail.contains(said), "{fault}");
            }
            assert_eq!(db.list(&cx).await, Ok(vec![]));
            assert_eq!(of.kept(&double).len(), 1);
        }
        // one of another attempt, whatever its identifier says
        of.change(&double, ID, |snapshot| snapshot.tags = foreign("tidegate:key", "another"));
        assert!(db.find(&cx, KEY).await.unwrap_err().detail.contains("key another"));
        // one of another database
        of.change(&double, ID, |snapshot| (snapshot.tags, snapshot.of) = (ours.clone(), "other".into()));
        assert!(db.find(&cx, KEY).await.is_err() && db.delete(&cx, &taken).await.is_err());
    }
}

#[tokio::test]
async fn what_is_not_available_is_not_snapshotted() {
    let double = double();
    let cx = hours();
    for status in ["stopped", "modifying", "storage-optimization", "backing-up"] {
        double.state().rds.instances.get_mut("rastup-prod").unwrap().status = status.into();
        double.state().rds.clusters.get_mut("rastup-aurora").unwrap().status = status.into();
        for of in [Of::Instance, Of::Aurora] {
            let db = connect(of, &double.url);
            let fault = db.snapshot(&cx, KEY, &Silent).await.unwrap_err();
            assert!(fault.detail.contains(status), "{fault}");
            let refused = db.preflight(&cx).await.into_iter().filter(|f| f.grade == Grade::Refuse);
            assert_eq!(refused.filter(|f| f.message.contains(status)).count(), 1);
        }
    }
    assert!(!double.operations("rds").iter().any(|operation| operation.starts_with("Create")));
    for (options, said) in [
        ("instance: rastup-nowhere", "does not exist"),
        ("cluster: rastup-nowhere", "does not exist"),
        ("instance: rastup-aurora-a", "cluster: rastup-aurora"),
    ] {
        let db = connected("rds", options, &double.url).unwrap();
        let fault = db.snapshot(&cx, KEY, &Silent).await.unwrap_err();
        let all = format!("{fault} {:?}", fault.hint);
        assert!(fault.treat == Treat::Permanent && all.contains(said), "{all}");
        let found = db.preflight(&cx).await;
        assert!(found.iter().any(|f| f.grade == Grade::Refuse && f.message.contains(said)), "{found:?}");
        assert_eq!(db.list(&cx).await, Ok(vec![]));
    }
}

#[tokio::test]
async fn a_full_quota_says_how_to_keep_fewer() {
    for of in Of::ALL {
        let double = double();
        double.state().rds.quota = 1;
        let (db, cx) = (connect(of, &double.url), hours());
        db.snapshot(&cx, KEY, &Silent).await.unwrap();
        let fault = db.snapshot(&cx, "other", &Silent).await.unwrap_err();
        assert!(fault.treat == Treat::Permanent && fault.hint.unwrap().contains("keep: 14d"));
        let found = db.preflight(&cx).await;
        assert!(
            found.iter().any(|f| f.grade == Grade::Warn && f.message.contains("1 of the 1")),
            "{found:?}"
        );
    }
}

#[tokio::test]
async fn all_pages_are_listed_and_only_our_own_oldest_first() {
    for of in Of::ALL {
        let double = double();
        let (db, cx) = (connect(of, &double.url), hours());
        let taken = db.snapshot(&cx, KEY, &Silent).await.unwrap();
        let template = of.kept(&double)[ID].clone();
        {
            let mut state = double.state();
            let rds = &mut state.rds;
            let kept = if of == Of::Instance { &mut rds.snapshots } else { &mut rds.cluster_snapshots };
            for number in 0..250 {
                let mut snapshot = template.clone();
                snapshot.id = format!("s{number:03}");
                if number % 10 == 5 {
                    // a copy that a person made keeps the tags
                    snapshot.tags.insert("tidegate:snapshot".into(), ID.into());
                } else {
                    snapshot.tags.insert("tidegate:snapshot".into(), snapshot.id.clone());
                }
                snapshot.at = format!("2026-02-01T00:{:02}:{:02}Z", 59 - number / 60, 59 - number % 60);
                match number % 5 {
                    0 => {}
                    1 => snapshot.tags.clear(),
                    2 => snapshot.of = "other".into(),
                    3 => snapshot.kind = "automated".into(),
                    _ => snapshot.status = "failed".into(),
                }
                kept.insert(snapshot.id.clone(), snapshot);
            }
        }
        let list = db.list(&cx).await.unwrap();
        assert_eq!(list.len(), 26);
        assert_eq!((&list[0], list[1].id.as_str(), list[25].id.as_str()), (&taken, "s240", "s000"));
    }
}

#[tokio::test]
async fn preflight_says_what_a_person_should_know() {
    let double = double();
    let cx = hours();
    let grades = |found: &[tidegate::port::Finding]| -> Vec<String> {
        found
            .iter()
            .map(|f| format!("{}: {}", f.grade, f.message.split([',', ';']).next().unwrap()))
            .collect()
    };
    let key = "ok: encrypted with arn:aws:kms:eu-west-1:123456789012:key/0001";
    let writes = "unknown: whether the identity has rds:CreateDBSnapshot";
    let db = connect(Of::Instance, &double.url);
    let who = format!("ok: {} in account {}", double::USER, double::ACCOUNT);
    assert_eq!(grades(&db.preflight(&cx).await), [&who, "ok: rds rastup-prod", key, writes]);
    double.state().rds.instances.get_mut("rastup-prod").unwrap().multi_az = false;
    let found = db.preflight(&cx).await;
    assert!(
        found.iter().any(|f| f.grade == Grade::Warn && f.message.starts_with("Single-AZ: I/O is suspended"))
    );
    let aurora = connect(Of::Aurora, &double.url).preflight(&cx).await;
    assert!(aurora.iter().all(|f| f.grade < Grade::Warn), "{aurora:?}");
    let wrong = connected("documentdb", "cluster: rastup-aurora", &double.url).unwrap();
    let found = wrong.preflight(&cx).await;
    assert!(found.iter().any(|f| f.grade == Grade::Refuse && f.message.contains("not DocumentDB")));

    for (operation, grade) in [
        ("DescribeDBInstances", Grade::Refuse),
        ("DescribeDBSnapshots", Grade::Refuse),
        ("DescribeAccountAttributes", Grade::Unknown),
    ] {
        double.state().denied = [format!("rds:{operation}")].into();
        let found = db.preflight(&cx).await;
        let named = format!("rds:{operation}");
        assert!(found.iter().any(|f| f.grade == grade && f.message.contains(&named)), "{found:?}");
    }
    assert!(!double.operations("rds").iter().any(|operation| !operation.starts_with("Describe")));
}

#[test]
fn options_that_cannot_be_meant_are_refused() {
    for (kind, options, said) in [
        ("rds", "instance: a, cluster: b", "one of them"),
        ("rds", "", "one of them"),
        ("rds", "instance: 'arn:aws:rds:eu-west-1:1:db:a'", "not an identifier"),
        ("documentdb", "cluster: 1a", "not an identifier"),
        ("rds", "instanec: a", "instanec"),
    ] {
        let fault = connected(kind, options, "http://localhost:1").err().unwrap();
        assert!(fault.contains(said), "{fault}");
    }
}
