use super::*;

#[test]
fn commands_are_kept_in_lines_that_haproxy_can_read() {
    let commands = |n: usize| vec!["x".repeat(99); n];
    assert_eq!(lines(&[commands(2), commands(3)]).iter().map(Vec::len).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(lines(&[commands(250)]).iter().map(Vec::len).collect::<Vec<_>>(), [122, 122, 6]);
    assert!(lines(&[Vec::new()]).is_empty());
}
