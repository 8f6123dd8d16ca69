//! The command files of GitHub's runner (`GITHUB_OUTPUT`, `GITHUB_ENV`, `GITHUB_STATE`, `GITHUB_STEP_SUMMARY`),
//! read by the runner's own rules: actions/runner, FileCommandManager.cs.

#![allow(dead_code, reason = "shared by several suites")]

/// A summary of more bytes is not shown, and the step gets an error.
pub const SUMMARY_BYTES_MAX: usize = 1024 * 1024;

/// Names and values in their order; the message is the runner's reason to fail the step.
pub fn pairs(file: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = String::from_utf8_lossy(file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file));
    let mut found = Vec::new();
    let mut rest: &str = &text;
    while let Some((line, _)) = next_line(&mut rest) {
        if line.is_empty() {
            continue;
        }
        let (equals, heredoc) = (line.find('='), line.find("<<"));
        match (equals, heredoc) {
            (Some(at), heredoc) if heredoc.is_none_or(|heredoc| at < heredoc) => {
                found.push((line[..at].to_string(), line[at + 1..].to_string()));
            }
            (_, Some(at)) => {
                let (name, delimiter) = (&line[..at], &line[at + 2..]);
                if name.is_empty() || delimiter.is_empty() {
                    return Err(format!(
                        "Invalid format '{line}'. Name must not be empty and delimiter must not be empty"
                    ));
                }
                found.push((name.to_string(), heredoc_value(&mut rest, delimiter)?));
            }
            _ => return Err(format!("Invalid format '{line}'")),
        }
    }
    Ok(found)
}

/// Everything up to a line that is the delimiter; the line end before it does not belong to the value.
fn heredoc_value(rest: &mut &str, delimiter: &str) -> Result<String, String> {
    let start = *rest;
    let mut end = 0;
    loop {
        let before = rest.len();
        let Some((line, ended)) = next_line(rest) else {
            return Err(format!("Invalid value. Matching delimiter not found '{delimiter}'"));
        };
        if line == delimiter {
            return Ok(start[..end].to_string());
        }
        if !ended {
            return Err("Invalid value. EOF marker missing new line.".into());
        }
        // Without the line end that was read just now.
        end = start.len() - before + line.len();
    }
}

/// The next line, and whether a line end follows it. Only LF ends a line.
fn next_line<'a>(rest: &mut &'a str) -> Option<(&'a str, bool)> {
    if rest.is_empty() {
        return None;
    }
    match rest.split_once('\n') {
        Some((line, after)) => {
            *rest = after;
            Some((line, true))
        }
        None => Some((std::mem::take(rest), false)),
    }
}

/// Outputs as later steps see them: of two with one name (case is ignored) the last counts.
pub fn outputs(file: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut kept: Vec<(String, String)> = Vec::new();
    for (name, value) in pairs(file)? {
        kept.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        kept.push((name, value));
    }
    Ok(kept)
}

/// Variables for later steps. One name is left out, with an error in the log that fails nothing.
pub fn variables(file: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut pairs = pairs(file)?;
    pairs.retain(|(name, _)| !name.eq_ignore_ascii_case("NODE_OPTIONS"));
    Ok(pairs)
}

/// The summary that is shown: none when nothing was written.
pub fn summary(file: &[u8]) -> Result<Option<String>, String> {
    match file.len() {
        0 => Ok(None),
        bytes if bytes > SUMMARY_BYTES_MAX => Err(format!(
            "$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of 1024k, got {}k",
            bytes / 1024
        )),
        _ => Ok(Some(String::from_utf8_lossy(file).into_owned())),
    }
}

mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        pairs(text.as_bytes()).unwrap()
    }

    fn is(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn whichever_comes_first_of_equals_and_heredoc_wins() {
        assert_eq!(read("a=b<<c\n"), [is("a", "b<<c")]);
        assert_eq!(read("a<<b=c\nx\nb=c\n"), [is("a", "x")]);
        assert_eq!(read("a=b=c"), [is("a", "b=c")]);
        assert_eq!(read("=x"), [is("", "x")], "the runner takes it");
    }

    #[test]
    fn a_heredoc_keeps_every_line_end_but_the_last() {
        assert_eq!(read("a<<E\nE\n"), [is("a", "")]);
        assert_eq!(read("a<<E\none\n\ntwo\n\nE"), [is("a", "one\n\ntwo\n")]);
        assert_eq!(read("a<<E\r\nx\r\nE\r\nb=1"), [is("a", "x\r"), is("b", "1")]);
        assert_eq!(read("a<<E\n E\nE \nE\nb=1"), [is("a", " E\nE "), is("b", "1")]);
        assert_eq!(read("\n\na<<E\nß\nE\n\n"), [is("a", "ß")]);
    }

    #[test]
    fn what_the_runner_refuses_is_refused() {
        for wrong in ["a", "a<<", "<<E\nE", "a<<E\nx\n", "a<<E\nx", "a<<E\nx E"] {
            pairs(wrong.as_bytes()).unwrap_err();
        }
        assert_eq!(variables(b"node_options=x\na=1").unwrap(), [is("a", "1")]);
    }

    #[test]
    fn of_two_outputs_with_one_name_the_last_counts() {
        assert_eq!(outputs(b"a=1\nb=2\nA=3\n").unwrap(), [is("b", "2"), is("A", "3")]);
    }

    #[test]
    fn a_summary_above_its_limit_is_dropped_as_a_whole() {
        assert_eq!(summary(b"").unwrap(), None);
        assert!(summary(&vec![b'x'; SUMMARY_BYTES_MAX]).unwrap().is_some());
        summary(&vec![b'x'; SUMMARY_BYTES_MAX + 1]).unwrap_err();
    }
}
