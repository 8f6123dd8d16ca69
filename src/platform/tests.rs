//! What every system promises.

use std::{
    fs::OpenOptions,
    io::{Read as _, Write as _},
    process::Stdio,
};
use tokio::io::AsyncReadExt as _;

use super::*;

/// What the text prints.
async fn printed(text: &str) -> String {
    let mut command = shell(text);
    let ended = command.stdin(Stdio::null()).output().await.unwrap();
    assert!(ended.status.success(), "{ended:?}");
    String::from_utf8(ended.stdout).unwrap()
}

#[tokio::test]
async fn the_shell_gets_the_text_as_it_is() {
    let hostile = r#"a\\b \ "c" \"d\" * $HOME `x` ( %PATH% ^& |"#;
    assert_eq!(printed(&format!("printf '%s' '{hostile}'")).await, hostile);
    assert_eq!(printed("# a comment\nprintf '%s' one\nprintf '%s' \"two\"").await, "onetwo");
    assert_eq!(printed("env | grep -c '^TIDEGATE_SHELL' || true").await.trim(), "0");
}

#[tokio::test]
async fn the_shell_stops_at_the_first_failure_and_at_a_variable_that_is_not_there() {
    for text in ["false; exit 0", "printf '%s' \"$NOT_THERE\"; exit 0"] {
        let status = shell(text).stdin(Stdio::null()).stderr(Stdio::null()).status().await.unwrap();
        assert!(!status.success(), "{text}");
    }
    let status = shell("exit 3").status().await.unwrap();
    assert_eq!(ending(status), "exit code 3");
}

#[tokio::test]
async fn the_end_of_a_tree_is_the_end_of_all_that_was_started() {
    let mut command = shell("(sleep 20; echo late) & echo up; wait");
    command.stdout(Stdio::piped());
    let mut tree = Tree::start(command).unwrap();
    let mut out = tree.out().unwrap();
    let mut up = [0; 2];
    out.read_exact(&mut up).await.unwrap();
    assert_eq!(&up, b"up");
    tree.kill();
    assert!(!tree.wait().await.unwrap().success());
    // The pipe ends with the last one that holds it.
    let mut rest = String::new();
    out.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest.trim(), "");
}

#[tokio::test]
async fn a_program_is_over_when_it_ends_whatever_it_left_running() {
    let mut command = shell("(sleep 20; echo late) & echo up");
    command.stdout(Stdio::piped());
    let mut tree = Tree::start(command).unwrap();
    let mut out = tree.out().unwrap();
    assert!(tree.wait().await.unwrap().success());
    drop(tree);
    let mut said = String::new();
    out.read_to_string(&mut said).await.unwrap();
    assert_eq!(said.trim(), "up");
}

#[test]
fn a_file_is_claimed_by_one_and_others_of_this_process_may_still_write_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part");
    std::fs::write(&path, "of one that was killed").unwrap();
    assert!(!claimed(&path));
    let held = claim(&path).unwrap().expect("nobody has it");
    assert_eq!(held.metadata().unwrap().len(), 0);
    assert!(claimed(&path) && claim(&path).unwrap().is_none());
    let mut other = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    other.write_all(b"new").unwrap();
    let mut text = String::new();
    (&*held).read_to_string(&mut text).unwrap();
    assert_eq!(text, "new");
    drop(other);
    // As a finished one.
    std::fs::rename(&path, folder.path().join("whole")).unwrap();
    drop(held);
    assert!(!claimed(&path));
    assert!(claim(&path).unwrap().is_some());
}

#[test]
fn folders_have_room_and_keep_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("one/two");
    create_folders(&deep, 0o700).unwrap();
    create_folders(&deep, 0o700).unwrap();
    sync_folder(&deep).unwrap();
    assert!(free_space(&deep).unwrap() > 0);
    assert!(!host().is_empty());
}
