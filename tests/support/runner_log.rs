//! Workflow commands in what a step prints, by the rules of GitHub's runner: actions/runner, ActionCommand.cs
//! and ActionCommandManager.cs. `::name key=value::data` stands at the start of a line, behind blanks at most;
//! the older `##[name key=value]data` anywhere in it. Both on standard output and on standard error.

#![allow(dead_code, reason = "shared by several suites")]

use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub name: String,
    pub properties: BTreeMap<String, String>,
    pub data: String,
}

/// The names that a runner knows; case is ignored.
const KNOWN: [&str; 15] = [
    "set-env",
    "set-output",
    "save-state",
    "add-mask",
    "add-path",
    "add-matcher",
    "remove-matcher",
    "debug",
    "warning",
    "error",
    "notice",
    "group",
    "endgroup",
    "echo",
    "stop-commands",
];

/// The lines of a stream as the runner's reader sees them: CR, LF and CR LF each end one.
pub fn lines(stream: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<String> = text.split('\n').map(str::to_string).collect();
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// All commands of one stream that the runner carries out: `stop-commands` silences those after it until
/// its token comes.
pub fn commands(stream: &[u8]) -> Vec<Command> {
    let (mut found, mut token) = (Vec::new(), None::<String>);
    for line in lines(stream) {
        let Some(command) = command(&line, token.as_deref()) else { continue };
        match &token {
            Some(token_now) if command.name.eq_ignore_ascii_case(token_now) => token = None,
            Some(_) => {}
            None => {
                if command.name.eq_ignore_ascii_case("stop-commands") {
                    token = Some(command.data.clone());
                }
                found.push(command);
            }
        }
    }
    found
}

/// The command of one line. `token` is the name that ends a silence, if there is one.
pub fn command(line: &str, token: Option<&str>) -> Option<Command> {
    colons(line, token).or_else(|| brackets(line, token))
}

fn colons(line: &str, token: Option<&str>) -> Option<Command> {
    let inner = line.trim_start().strip_prefix("::")?;
    let (info, data) = inner.split_once("::")?;
    let (name, properties) = info.split_once(' ').unwrap_or((info, ""));
    let properties = listed(
        properties.trim(),
        ',',
        &[("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")],
    );
    let data = unescaped(data, &[("%0D", "\r"), ("%0A", "\n"), ("%25", "%")]);
    known(name, token).then(|| Command { name: name.into(), properties, data })
}

fn brackets(line: &str, token: Option<&str>) -> Option<Command> {
    const ESCAPES: [(&str, &str); 5] =
        [("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%25", "%")];
    let (_, inner) = line.split_once("##[")?;
    let (info, data) = inner.split_once(']')?;
    let (name, properties) = info.split_once(' ').unwrap_or((info, ""));
    let properties = listed(properties, ';', &ESCAPES);
    known(name, token).then(|| Command { name: name.into(), properties, data: unescaped(data, &ESCAPES) })
}

fn known(name: &str, token: Option<&str>) -> bool {
    KNOWN.iter().copied().chain(token).any(|known| known.eq_ignore_ascii_case(name))
}

fn listed(text: &str, separator: char, escapes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = text.split(separator).filter_map(|pair| pair.split_once('='));
    let pairs = pairs.filter(|(name, value)| !name.is_empty() && !value.is_empty());
    pairs.map(|(name, value)| (name.to_string(), unescaped(value, escapes))).collect()
}

fn unescaped(text: &str, escapes: &[(&str, &str)]) -> String {
    escapes.iter().fold(text.to_string(), |text, (escape, plain)| text.replace(escape, plain))
}

mod tests {
    use super::*;

    fn one(line: &str) -> (String, Vec<(String, String)>, String) {
        let found = command(line, None).unwrap_or_else(|| panic!("no command in {line:?}"));
        (found.name, found.properties.into_iter().collect(), found.data)
    }

    fn is(name: &str, properties: &[(&str, &str)], data: &str) -> (String, Vec<(String, String)>, String) {
        let properties = properties.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        (name.into(), properties.collect(), data.into())
    }

    #[test]
    fn a_command_starts_its_line_behind_blanks_at_most() {
        assert_eq!(one("::error::no"), is("error", &[], "no"));
        assert_eq!(one(" \t::error::no"), is("error", &[], "no"));
        assert_eq!(one("\u{3000}::error::no"), is("error", &[], "no"));
        assert_eq!(one("::ERROR ::a::b"), is("ERROR", &[], "a::b"));
        for no in ["x ::error::no", "::error:no", ": :error::no", "::unknown::x", "\u{1b}[0m::error::x", ""] {
            assert_eq!(command(no, None), None, "{no:?}");
        }
    }

    #[test]
    fn the_older_form_stands_anywhere() {
        assert_eq!(one("metric ##[error]no"), is("error", &[], "no"));
        assert_eq!(one("##[add-mask a=1;b=x%3By]%5D"), is("add-mask", &[("a", "1"), ("b", "x;y")], "]"));
        for no in ["##[unknown]x", "## [error]x", "##[error", "##[x]##[error]y"] {
            assert_eq!(command(no, None), None, "{no:?}");
        }
        assert_eq!(one("::unknown::##[error]x"), is("error", &[], "x"), "the second form is tried as well");
    }

    #[test]
    fn properties_and_data_are_unescaped() {
        let line = "::error file=a%2Cb,line=1,title=x%3Ay,empty=,=z::100%25%0Aof it: a,b";
        let properties = [("file", "a,b"), ("line", "1"), ("title", "x:y")];
        assert_eq!(one(line), is("error", &properties, "100%\nof it: a,b"));
    }

    #[test]
    fn each_kind_of_line_end_starts_a_new_line() {
        assert_eq!(lines(b"a\rb\r\nc\n\nd"), ["a", "b", "c", "", "d"]);
        assert_eq!(commands(b"harmless\r::error::x").len(), 1);
    }

    #[test]
    fn nothing_counts_between_stop_commands_and_its_token() {
        let stream = b"::stop-commands::abc\n::error::no\n##[error]no\n::abc::\n::error::yes\n";
        let names: Vec<_> = commands(stream).into_iter().map(|c| (c.name, c.data)).collect();
        assert_eq!(names, [("stop-commands".into(), "abc".into()), ("error".into(), "yes".to_string())]);
    }
}
