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

fn is_harmful(c: char) -> bool {
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
