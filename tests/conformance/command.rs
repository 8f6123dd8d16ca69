//! Commands: `run` and `sql`.

use std::{fs, path::Path};
use tidegate::{
    port::{Command, SqlAddress, Task, Treat},
    registry::COMMANDS,
};

use crate::setting::{Heard, node, setting, with_sql, within};

fn connect(kind: &str, options: &str, folder: &Path) -> Box<dyn Command> {
    let path = folder.join("shop.sqlite");
    let setting = with_sql(setting(folder, &[]), "main", SqlAddress::Sqlite { path });
    let kind = COMMANDS.iter().find(|k| k.common.name == kind).unwrap();
    (kind.connect)(&node(options), "hooks.step", &setting).map_err(|e| e.message).unwrap()
}

fn shell(text: &str, folder: &Path) -> Box<dyn Command> {
    connect("run", &format!("command: {}", serde_json::to_string(text).unwrap()), folder)
}

fn task() -> Task {
    let variables = [("TIDEGATE_RELEASE".to_string(), "v1; rm -rf /".to_string())].into();
    Task { name: "hooks.step".into(), variables, ..Task::default() }
}

fn alive(pid: &str) -> bool {
    // A killed process that nobody has waited for yet is a zombie.
    fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|s| !s.contains(") Z "))
}

/// Sees it end: SIGKILL is on its way, and the kernel delivers it without our help.
async fn dies(pid: &str) -> bool {
    let wait = within(10);
    while alive(pid) && !wait.left().is_zero() {
        tokio::task::yield_now().await;
    }
    !alive(pid)
}

#[tokio::test]
async fn a_command_runs_beside_the_file_and_its_last_line_is_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let heard = Heard::default();
    let text = "pwd; echo err >&2; printf '%s\\n\\n' \"rev $TIDEGATE_RELEASE\"";
    let output = shell(text, folder.path()).run(&within(20), &task(), &heard).await.unwrap();
    assert_eq!(output.answer.as_deref(), Some("rev v1; rm -rf /"));
    let lines = heard.lines();
    let base = folder.path().canonicalize().unwrap();
    assert!(lines.contains(&format!("hooks.step: {}", base.display())), "{lines:?}");
    assert!(lines.contains(&"hooks.step: err".to_string()), "{lines:?}");
}

#[tokio::test]
async fn a_failing_command_is_permanent_and_shows_the_end_of_its_output() {
    let folder = tempfile::tempdir().unwrap();
    for (text, wanted) in [
        ("echo first; echo the reason >&2; exit 3; echo never", "exit code 3"),
        ("echo the reason; kill -9 $$", "killed by signal 9"),
        ("echo the reason; false; echo never", "exit code 1"),
        ("echo the reason; echo $NOT_SET", "exit code 2"),
    ] {
        let fault =
            shell(text, folder.path()).run(&within(20), &task(), &Heard::default()).await.unwrap_err();
        assert_eq!(fault.treat, Treat::Permanent, "{text}");
        assert!(fault.detail.contains(wanted) && fault.detail.contains("the reason"), "{}", fault.detail);
        assert!(!fault.detail.contains("never"), "{}", fault.detail);
    }
}

#[tokio::test]
async fn at_its_limit_a_command_is_killed_with_its_children_and_its_outcome_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let text = "trap '' TERM; sleep 600 & echo $! > child; echo $$ > shell; wait; sleep 600";
    let fault = shell(text, folder.path()).run(&within(2), &task(), &Heard::default()).await.unwrap_err();
    assert_eq!(fault.treat, Treat::OutcomeUnknown);
    assert!(fault.detail.contains("limit of 2 s"), "{}", fault.detail);
    for pid in ["child", "shell"] {
        assert!(dies(&fs::read_to_string(folder.path().join(pid)).unwrap()).await, "{pid} lives on");
    }
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_killed_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let text = "sleep 600 & echo $! > left; setsid sleep 20 & echo done";
    let output = shell(text, folder.path()).run(&within(60), &task(), &Heard::default()).await.unwrap();
    assert_eq!(output.answer.as_deref(), Some("done"));
    assert!(dies(&fs::read_to_string(folder.path().join("left")).unwrap()).await);
}

#[tokio::test]
async fn a_dropped_command_is_killed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("pid");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let command = shell("sleep 600 & echo $! > pid; wait", folder.path());
    let (task, heard, cx) = (task(), Heard::default(), within(60));
    let read = tokio::fs::read_to_string(&fifo);
    let pid = tokio::select! {
        ended = command.run(&cx, &task, &heard) => panic!("{ended:?}"),
        pid = read => pid.unwrap(),
    };
    assert!(dies(&pid).await);
}

#[tokio::test]
async fn output_is_bounded_and_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let heard = Heard::default();
    let text = "head -c 10000000 /dev/zero | tr '\\0' x; printf '\\n\\033[31mred\\033[0m \\007\\377\\n'";
    let output = shell(text, folder.path()).run(&within(60), &task(), &heard).await.unwrap();
    let lines = heard.lines();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].len() < 5000);
    assert_eq!(output.answer.as_deref(), Some("red \u{fffd}\u{fffd}"));
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_script_is_kept_as_a_whole_or_not_at_all_and_a_question_must_not_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.sqlite");
    rusqlite::Connection::open(&path).unwrap().execute_batch("create table t (a int)").unwrap();
    let count = || {
        let db = rusqlite::Connection::open(&path).unwrap();
        db.query_row("select count(*) from t", [], |r| r.get::<_, i64>(0)).unwrap()
    };
    let run = async |options: &str| {
        connect("sql", options, folder.path()).run(&within(20), &task(), &Heard::default()).await
    };
    fs::write(folder.path().join("up.sql"), "insert into t values (1);\n-- ;\ninsert into t values (2);")
        .unwrap();
    run("file_or_query: up.sql").await.unwrap();
    assert_eq!(count(), 2);
    let fault = run("file_or_query: 'insert into t values (3); insert into nowhere values (1)'").await;
    let fault = fault.unwrap_err();
    assert_eq!((count(), fault.treat), (2, Treat::Permanent));
    assert!(fault.detail.contains("nothing of it was kept"), "{}", fault.detail);
    let fault = run("{file_or_query: select a from t order by a, expect: 0 rows}").await.unwrap_err();
    assert!(fault.detail.contains("2 rows:\n1\n2"), "{}", fault.detail);
    run("{file_or_query: select a from t, expect: 2 rows}").await.unwrap();
    for writes in ["delete from t returning a", "select 1; delete from t"] {
        let fault = run(&format!("{{file_or_query: '{writes}', expect: 0 rows}}")).await.unwrap_err();
        assert_eq!((count(), fault.treat), (2, Treat::Permanent), "{writes}");
    }
    assert_eq!(run("file_or_query: select max(a) from t").await.unwrap().answer.as_deref(), Some("2"));
}
