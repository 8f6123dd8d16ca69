//! Text from outside made harmless for a terminal and for a CI log.

/// Replaces control characters, the escape that begins terminal sequences among them, by a visible stand-in.
pub fn plain(text: &str) -> String {
    let tame = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(tame).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_sequence_becomes_visible_text() {
        assert_eq!(plain("a\u{1b}[2Jb\rc\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
    }
}
