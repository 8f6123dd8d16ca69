//! Text from outside, shortened. The only place that cuts what others wrote.
//!
//! A secret that is cut in the middle is not found any more, and its first half stands there for everybody:
//! so whatever is cut has its secrets taken out first. `tests/architecture.rs` finds who cuts by hand.

use super::veil::veiled;

/// The beginning of what somebody else wrote: on one line, harmless to a terminal, without secrets, and only
/// then cut at so many characters.
pub fn excerpt(text: &str, chars_max: usize) -> String {
    let harmless = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    cut(&veiled(text.trim()).chars().map(harmless).collect::<String>(), chars_max)
}

/// The beginning of a text that may have several lines, without secrets.
pub fn beginning(text: &str, chars_max: usize) -> String {
    cut(&veiled(text), chars_max)
}

/// The end of a text that may have several lines, without secrets.
pub fn end(text: &str, chars_max: usize) -> String {
    let text = veiled(text);
    let skip = text.chars().count().saturating_sub(chars_max);
    match text.char_indices().nth(skip) {
        Some((at, _)) if skip > 0 => format!("…{}", text.get(at..).unwrap_or_default()),
        _ => text.into_owned(),
    }
}

/// The beginning of one line, without secrets, at most so many bytes of it. Where the rest of the line was
/// not read, `torn` bytes at its end may be the first part of a secret.
pub fn piece(text: &str, bytes_max: usize, torn: Option<usize>) -> String {
    let text = veiled(text);
    let kept = text.len().saturating_sub(torn.unwrap_or(0)).min(bytes_max);
    let kept = (0..=kept).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    match text.get(..kept) {
        Some(begin) if torn.is_some() || kept < text.len() => format!("{begin}…"),
        _ => text.into_owned(),
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::veil::remember;

    #[test]
    fn what_is_shown_of_a_text_does_nothing_and_is_short() {
        assert_eq!(excerpt(" a\nb\u{1b}[31m\u{202e}c ", 100), "a b\u{fffd}[31m\u{fffd}c");
        assert_eq!(excerpt("abc", 3), "abc");
        assert_eq!(excerpt("äbcd", 3), "äbc…");
        assert_eq!((beginning("a\nbc", 3), end("äb\nc", 2)), ("a\nb…".into(), "…\nc".into()));
    }

    #[test]
    fn no_half_of_a_secret_is_left_wherever_the_cut_falls() {
        remember("Kq7-excerpted-Zx9");
        let text = "say Kq7-excerpted-Zx9 twice";
        for most in 0..text.len() {
            for shown in [excerpt(text, most), beginning(text, most), end(text, most)] {
                assert!(!shown.contains("Kq7") && !shown.contains("Zx9"), "{most}: {shown}");
                assert!(!shown.contains("excerpt"), "{most}: {shown}");
            }
        }
    }
}
