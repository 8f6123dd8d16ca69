//! Databases: every adapter keeps the same promises.

use std::fs;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use std::os::unix::fs::FileExt;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use std::path::Path;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use tidegate::{
    domain::record::Artifact,
    port::{Context, Found, Grade, Treat},
};
use tidegate::{
    port::{Database, Silent, adapter::Setting},
    registry::DATABASES,
};

use crate::setting::{node, setting, within};

fn connect(kind: &str, options: &str, setting: &Setting) -> Box<dyn Database> {
    let kind = DATABASES.iter().find(|k| k.common.name == kind).unwrap();
    let name = "main".parse().unwrap();
    (kind.connect)(&name, &node(options), "databases.main", setting).map_err(|e| e.message).unwrap()
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, |f| f.count())
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
/// What every adapter with files of its own promises. `read` tells the data of a restored database.
async fn keeps_its_promises(
    db: &dyn Database,
    cx: &Context,
    kept: &Path,
    into: &str,
    read: &dyn Fn(&str) -> String,
    data: &str,
) {
    assert_eq!(db.find(cx, "v1#1").await, Ok(Found::Absent));
    assert!(db.preflight(cx).await.iter().all(|f| f.grade < Grade::Refuse), "{:?}", db.preflight(cx).await);

    // Dropped at its first wait and at later ones: never ready, and nothing stays behind.
    for polls in 1..6 {
        let mut work = db.snapshot(cx, "dropped", &Silent);
        let mut ready = false;
        for _ in 0..polls {
            ready = tokio::select! { biased; _ = &mut work => true, () = tokio::task::yield_now() => false };
            if ready {
                break;
            }
        }
        drop(work);
        assert!(ready || !matches!(db.find(cx, "dropped").await, Ok(Found::Ready(_))), "{polls}");
    }

    // Dropped while its file is being written.
    let part = || {
        let names = fs::read_dir(kept).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.into_iter().any(|name| name.to_string_lossy().ends_with(".part"))
    };
    let mut work = db.snapshot(cx, "halfway", &Silent);
    let written = async {
        while !part() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! { biased; _ = &mut work => panic!("it was done before it began"), () = written => {} }
    drop(work);
    assert!(!part(), "half a snapshot was left");
    assert!(!matches!(db.find(cx, "halfway").await, Ok(Found::Ready(_))));

    let first = db.snapshot(cx, "v1#1", &Silent).await.unwrap();
    let again = db.snapshot(cx, "v1#1", &Silent).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(db.find(cx, "v1#1").await, Ok(Found::Ready(first.clone())));
    assert_eq!(files(kept), 2, "the file and its manifest, and nothing half done");
    assert_eq!(fs::metadata(&first.id).unwrap().len(), first.bytes.unwrap());
    let second = db.snapshot(cx, "v1/1", &Silent).await.unwrap();
    assert_eq!(db.list(cx).await, Ok(vec![first.clone(), second.clone()]));
    db.verify(cx, &first).await.unwrap();

    db.restore(cx, &first, into, &Silent).await.unwrap();
    assert_eq!(read(into), data);
    let refused = db.restore(cx, &first, into, &Silent).await.unwrap_err();
    assert_eq!(refused.treat, Treat::Permanent);
    assert!(refused.detail.contains("exists already"), "{refused}");

    // Damage is found, and never restored.
    let file = fs::OpenOptions::new().read(true).write(true).open(&second.id).unwrap();
    let (middle, mut byte) = (second.bytes.unwrap() / 2, [0]);
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 1], middle).unwrap();
    let damaged = db.verify(cx, &second).await.unwrap_err();
    assert_eq!(damaged.treat, Treat::Permanent);
    assert!(damaged.detail.contains("damaged"), "{damaged}");
    assert!(db.restore(cx, &second, &format!("{into}2"), &Silent).await.is_err());
    file.set_len(middle).unwrap();
    assert!(db.verify(cx, &second).await.unwrap_err().detail.contains("bytes instead of"));
    // Without a checksum to compare with, the content itself still tells.
    let bare = Artifact { bytes: None, checksum: None, ..second.clone() };
    assert_eq!(db.verify(cx, &bare).await.unwrap_err().treat, Treat::Permanent);
    assert!(matches!(db.find(cx, "v1/1").await, Ok(Found::Failed(_))));

    // Only our own.
    let strange = kept.join("strange.dump");
    fs::write(&strange, "x").unwrap();
    let stranger = Artifact { id: strange.display().to_string(), ..first.clone() };
    assert_eq!(db.delete(cx, &stranger).await.unwrap_err().treat, Treat::Permanent);
    for artifact in [&second, &first, &first] {
        db.delete(cx, artifact).await.unwrap();
    }
    assert_eq!(db.list(cx).await, Ok(vec![]));
    assert_eq!(files(kept), 1);
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_keeps_its_promises() {
    for mode in ["wal", "delete"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.sqlite");
        let live = rusqlite::Connection::open(&path).unwrap();
        live.pragma_update(None, "journal_mode", mode).unwrap();
        live.execute_batch(
            "create table t (a int, b text); with recursive n(i) as (select 1 union all select i + 1 from n \
             where i < 20000) insert into t select i, hex(randomblob(40)) from n",
        )
        .unwrap();
        let sum = "select sum(a) || '/' || count(*) from t";
        let data: String = live.query_row(sum, [], |r| r.get(0)).unwrap();
        let db = connect("sqlite", "{path: shop.sqlite, to: kept}", &setting(folder.path(), &[]));
        let read = |into: &str| {
            let db = rusqlite::Connection::open(folder.path().join(into)).unwrap();
            db.query_row(sum, [], |r| r.get(0)).unwrap()
        };
        keeps_its_promises(&*db, &within(60), &folder.path().join("kept"), "new.sqlite", &read, &data).await;
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let setting = setting(folder.path(), &[]);
    let missing = connect("sqlite", "path: missing.sqlite", &setting);
    assert_eq!(missing.snapshot(&within(20), "k", &Silent).await.unwrap_err().treat, Treat::Permanent);
    fs::write(folder.path().join("text"), "this is not a database, however long it may be").unwrap();
    let text = connect("sqlite", "path: text", &setting);
    let fault = text.snapshot(&within(20), "k", &Silent).await.unwrap_err();
    assert!(fault.detail.contains("not a database"), "{fault}");
    let db = connect("sqlite", "{path: text, to: text/below}", &setting);
    assert_eq!(db.snapshot(&within(20), "k", &Silent).await.unwrap_err().treat, Treat::Permanent);
}

#[tokio::test]
async fn commands_take_a_snapshot_once() {
    let folder = tempfile::tempdir().unwrap();
    let options = r#"
command: echo x >> runs; echo "snap of $TIDEGATE_SNAPSHOT_KEY"
restore: echo "$TIDEGATE_SNAPSHOT into $TIDEGATE_INTO" > restored
delete: echo "$TIDEGATE_SNAPSHOT" > deleted"#;
    let (db, cx) = (connect("run", options, &setting(folder.path(), &[])), within(30));
    let artifact = db.snapshot(&cx, "v1#1", &Silent).await.unwrap();
    assert_eq!(artifact.id, "snap of v1#1");
    assert_eq!(db.snapshot(&cx, "v1#1", &Silent).await, Ok(artifact.clone()));
    let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(text("runs"), "x\n");
    db.restore(&cx, &artifact, "other", &Silent).await.unwrap();
    assert_eq!(text("restored"), "snap of v1#1 into other\n");
    db.delete(&cx, &artifact).await.unwrap();
    assert_eq!((text("deleted").as_str(), db.list(&cx).await), ("snap of v1#1\n", Ok(vec![])));
    let silent = connect("run", "command: 'true'", &setting(folder.path(), &[]));
    assert!(silent.snapshot(&cx, "k", &Silent).await.unwrap_err().detail.contains("no id"));
    let found = connect("run", "{command: 'false', find: echo there}", &setting(folder.path(), &[]));
    assert_eq!(found.snapshot(&cx, "k", &Silent).await.unwrap().id, "there");
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::*;
    use crate::{
        postgres::Server,
        setting::{Heard, with_sql},
    };
    use tidegate::{
        port::{Secret, SqlAddress, Task},
        registry::COMMANDS,
    };

    fn over(url: &str, folder: &Path) -> Box<dyn Database> {
        let setting = setting(folder, &[("URL", url), ("PATH", "/usr/bin")]);
        connect("postgres", "{url: {env: URL}, to: kept, full_read: true}", &setting)
    }

    #[tokio::test]
    async fn postgres_keeps_its_promises() {
        let server = Server::start();
        server.psql("postgres", "create database \"sh op\"");
        server.psql(
            "sh op",
            "create table t as select i, md5(i::text) m from generate_series(1, 30000) i; \
             create schema other; create table other.parts (i int) partition by range (i); \
             create table other.part partition of other.parts default; create view v as select 1",
        );
        let sum = "select sum(i) || '/' || count(distinct m) from t";
        let data = server.psql("sh op", sum);
        let folder = tempfile::tempdir().unwrap();
        let db = over(&server.url("sh%20op"), folder.path());
        let read = |into: &str| server.psql(&into.replace(' ', "%20"), sum);
        let into = "new 'db'";
        keeps_its_promises(&*db, &within(120), &folder.path().join("kept"), into, &read, &data).await;
        let left =
            server.psql("postgres", "select count(*) from pg_database where datname like '%unfinished'");
        assert_eq!(left, "0");
    }

    #[tokio::test]
    async fn postgres_says_what_is_wrong_and_never_the_password() {
        let server = Server::start();
        let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let good = server.url("postgres");
        let at = |port: u16| good.replace(&server.port().to_string(), &port.to_string());
        let folder = tempfile::tempdir().unwrap();
        for (url, treat, wanted) in [
            (good.replace("s3cr3t", "wr0ng"), Treat::Permanent, "28P01"),
            (server.url("nowhere"), Treat::Permanent, "3D000"),
            (at(closed), Treat::Temporary, "refused"),
            (at(hung.local_addr().unwrap().port()), Treat::Temporary, "no answer within"),
            (format!("{good}?sslmode=require"), Treat::Permanent, "TLS"),
            ("postgres://u:s3cr3t-pw@:x/y".to_string(), Treat::Permanent, "port"),
        ] {
            let db = over(&url, folder.path());
            let fault = db.snapshot(&within(3), "k", &Silent).await.unwrap_err();
            let all = format!("{fault:?}");
            assert_eq!(fault.treat, treat, "{all}");
            assert!(all.contains(wanted) && !all.contains("-pw"), "{all}");
            assert!(db.preflight(&within(3)).await.iter().any(|f| f.grade != Grade::Ok), "{wanted}");
        }
        fs::write(folder.path().join("file"), "").unwrap();
        let setting = setting(folder.path(), &[("URL", &good)]);
        let db = connect("postgres", "{url: {env: URL}, to: file/below}", &setting);
        let fault = db.snapshot(&within(20), "k", &Silent).await.unwrap_err();
        assert!(fault.treat == Treat::Permanent && fault.detail.contains("directory"), "{fault}");

        server.psql("postgres", "create role poor login password 'x'; create table hidden (a int)");
        let poor = good.replace("postgres:s3cr3t-pw", "poor:x");
        let db = over(&poor, folder.path());
        let fault = db.snapshot(&within(20), "k", &Silent).await.unwrap_err();
        assert!(fault.detail.contains("permission denied"), "{fault}");
        assert!(db.preflight(&within(20)).await.iter().any(|f| f.message.contains("hidden")));
        assert_eq!(db.find(&within(20), "k").await, Ok(Found::Absent));
    }

    #[tokio::test]
    async fn scripts_and_questions_on_postgres() {
        let server = Server::start();
        let folder = tempfile::tempdir().unwrap();
        let setting = setting(folder.path(), &[("URL", &server.url("postgres"))]);
        let setting = with_sql(setting, "main", SqlAddress::Postgres { url: Secret::Env("URL".into()) });
        let kind = COMMANDS.iter().find(|k| k.common.name == "sql").unwrap();
        let task = Task { name: "migrations.up".into(), ..Task::default() };
        let heard = Heard::default();
        let run = async |text: &str, expect: &str, seconds: u64| {
            let options = format!("{{file_or_query: {}{expect}}}", serde_json::to_string(text).unwrap());
            let command = (kind.connect)(&node(&options), "migrations.up", &setting)
                .unwrap_or_else(|e| panic!("{}", e.message));
            command.run(&within(seconds), &task, &heard).await
        };
        run("create table t (a numeric unique deferrable initially deferred);\ninsert into t values (1.5), (2);", "", 20)
            .await
            .unwrap();
        let count = || server.psql("postgres", "select count(*) from t");
        let fault =
            run("insert into t values (3);\ninsert into nowhere values (1)", "", 20).await.unwrap_err();
        assert!(
            fault.detail.contains("line 2") && fault.detail.contains("nothing of it was kept"),
            "{fault}"
        );
        // Refused only at COMMIT.
        let fault = run("insert into t values (3), (3)", "", 20).await.unwrap_err();
        assert_eq!((fault.treat, count().as_str()), (Treat::Permanent, "2"), "{fault}");
        // Not done in time: stopped in the server too, and nothing kept.
        let fault = run("insert into t values (3); select pg_sleep(600)", "", 2).await.unwrap_err();
        assert_eq!((fault.treat, count().as_str()), (Treat::Temporary, "2"), "{fault}");

        run("create index concurrently i on t (a); insert into t values (7)", "", 20).await.unwrap();
        assert!(heard.lines().iter().any(|l| l.contains("statement by statement")), "{:?}", heard.lines());
        run("begin; delete from t where a = 7; commit;", "", 20).await.unwrap();
        assert_eq!(count(), "2");
        let answer = run("select max(a) from t", "", 20).await.unwrap().answer;
        assert_eq!(answer.as_deref(), Some("2"));

        run("select a from t", ", expect: 2 rows", 20).await.unwrap();
        let fault = run("select a, null from t order by a", ", expect: 0 rows", 20).await.unwrap_err();
        assert!(fault.detail.contains("2 rows:\n1.5 | NULL\n2 | NULL"), "{fault}");
        let fault = run("select generate_series(1, 20000)", ", expect: 0 rows", 20).await.unwrap_err();
        assert!(fault.detail.contains("more than 10000 rows"), "{fault}");
        for writes in ["delete from t", "delete from t returning a", "select 1; commit; delete from t"] {
            let fault = run(writes, ", expect: 0 rows", 20).await.unwrap_err();
            assert_eq!((fault.treat, count().as_str()), (Treat::Permanent, "2"), "{writes}");
        }
    }
}
