//! Bytes of a program's output to lines that are safe to show.

use crate::port::{excerpt, veil};

const LINE_BYTES_MAX: usize = 4 * 1024;

/// One line of output.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// As it was printed, for whoever reads an answer in it; as it is shown where it is too long for one.
    pub said: String,
    /// Without secrets, and cut.
    pub shown: String,
}

/// Cuts a stream into lines and holds no more than one of them.
#[derive(Default)]
pub struct Lines {
    held: Vec<u8>,
    /// The line has been passed on already; what is left of it is thrown away.
    cut: bool,
}

impl Lines {
    /// The lines that `bytes` completes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        // a secret that begins in what is shown is held as a whole: only so it is found
        let beyond = veil::longest();
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            if !self.cut {
                let room = (LINE_BYTES_MAX + beyond).saturating_sub(self.held.len());
                self.held.extend_from_slice(&text[..text.len().min(room)]);
                if text.len() > room {
                    let text = plain(&self.held);
                    let shown = excerpt::piece(&text, LINE_BYTES_MAX, Some(beyond));
                    lines.push(Line { said: shown.clone(), shown });
                    self.held.clear();
                    self.cut = true;
                }
            }
            if ended {
                if !self.cut {
                    lines.push(whole(&self.held));
                }
                self.held.clear();
                self.cut = false;
            }
        }
        lines
    }

    /// The last line, where it has no end.
    pub fn rest(&mut self) -> Option<Line> {
        self.cut = false;
        if self.held.is_empty() { None } else { Some(whole(&std::mem::take(&mut self.held))) }
    }
}

fn whole(bytes: &[u8]) -> Line {
    let said = plain(bytes);
    let shown = excerpt::piece(&said, LINE_BYTES_MAX, None);
    Line { said: if said.len() > LINE_BYTES_MAX { shown.clone() } else { said }, shown }
}

/// Text without anything that steers a terminal: colours and titles are left out, other control
/// characters and those that turn the direction of writing are shown as `\u{fffd}`.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut safe = String::with_capacity(text.len());
    let mut chars = text.trim_end_matches('\r').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                // CSI: up to the first byte in @ to ~ after the bracket.
                chars.next();
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            '\u{1b}' if chars.peek() == Some(&']') => {
                // OSC: up to BEL or ESC \.
                while let Some(c) = chars.next() {
                    if c == '\u{7}' || c == '\u{1b}' && chars.next_if_eq(&'\\').is_some() {
                        break;
                    }
                }
            }
            '\t' => safe.push('\t'),
            c if c.is_control() || turns(c) => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found: Vec<_> = pieces.iter().flat_map(|p| lines.push(p)).collect();
        found.extend(lines.rest());
        found.into_iter().map(|line| line.shown).collect()
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        assert_eq!(all(&[b"one\ntw", b"o\r\n\nthree"]), ["one", "two", "", "three"]);
    }

    #[test]
    fn a_long_line_is_cut_and_its_rest_thrown_away() {
        let long = vec![b'x'; LINE_BYTES_MAX + veil::longest() + 1];
        let found = all(&[&long, &long, b"\nnext\n"]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].len(), LINE_BYTES_MAX + '…'.len_utf8());
        assert_eq!(found[1], "next");
        assert_eq!(all(&[&long[..LINE_BYTES_MAX], b"\n"])[0].len(), LINE_BYTES_MAX);
    }

    #[test]
    fn no_half_of_a_secret_is_left_at_the_end_of_a_long_line() {
        veil::remember("Vb3-in-a-long-line-Yt8");
        for before in LINE_BYTES_MAX - 30..LINE_BYTES_MAX + 5 {
            for after in [0, 1, 3000] {
                for steering in ["", "\x1b[0m", "\x1b[31;1;4m\x1b[0m\x1b[0m"] {
                    let text = format!(
                        "{}{steering}Vb3-in-a-{steering}long-line-Yt8{}",
                        "x".repeat(before),
                        "y".repeat(after)
                    );
                    let found = all(&[text.as_bytes(), b"\n"]);
                    assert!(
                        !found[0].contains("Vb") && !found[0].contains("-Yt8"),
                        "{before} {after} {steering:?}"
                    );
                    assert!(found[0].len() <= LINE_BYTES_MAX + '…'.len_utf8());
                }
            }
        }
        let mut lines = Lines::default();
        let line = &lines.push(b"Vb3-in-a-long-line-Yt8 is my answer\n")[0];
        assert_eq!(
            (line.said.as_str(), line.shown.as_str()),
            ("Vb3-in-a-long-line-Yt8 is my answer", "*** is my answer")
        );
    }

    #[test]
    fn nothing_that_steers_a_terminal_comes_through() {
        let found = all(&[b"\x1b[31mred\x1b[0m \x1b]0;title\x07t \x1bc\x08 \xff\xc2\x9b \xe2\x80\xae<\n"]);
        assert_eq!(found, ["red t \u{fffd}c\u{fffd} \u{fffd}\u{fffd} \u{fffd}<"]);
    }
}
