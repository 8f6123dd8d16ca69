//! Text from outside made harmless for a terminal and for a CI log.

use crate::port::veil::veiled;

/// Text on one line that does nothing: control characters, the escape that begins terminal sequences among
/// them, and characters that turn the direction of text become a visible stand-in; what a CI system would
/// take for a command of its own (`::error` at the beginning of a line, `##[error]` anywhere) is broken up
/// by a character that is not seen. No secret that was read is in it.
pub fn plain(text: &str) -> String {
    let tame = |c: char| if is_harmful(c) { '\u{fffd}' } else { c };
    let mut text: String = veiled(text).chars().map(tame).collect();
    let begin = text.len() - text.trim_start().len();
    if text[begin..].starts_with("::") {
        text.insert(begin + 1, '\u{2060}');
    }
    if text.contains("##[") { text.replace("##[", "#\u{2060}#[") } else { text }
}

/// The same for a text of several lines, each of them ended.
pub fn plain_lines(text: &str) -> String {
    text.lines().map(|line| plain(line) + "\n").collect()
}

/// Passes on what a program's own log says, line by line and made harmless.
pub struct Harmless<W>(pub W);

impl<W: std::io::Write> std::io::Write for Harmless<W> {
    /// One event is written at once.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(plain_lines(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

pub(super) fn is_harmful(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_sequence_becomes_visible_text() {
        assert_eq!(plain("a\u{1b}[2Jb\rc\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
    }

    #[test]
    fn a_command_of_the_ci_system_is_only_text() {
        assert_eq!(plain("  ::error::no"), "  :\u{2060}:error::no");
        assert_eq!(plain("no ##[error]no"), "no #\u{2060}#[error]no");
        assert_eq!(plain("a::b"), "a::b");
    }
}
