//! A text that was refused, as the refusal repeats it.

/// The text, or how long it is: a part of it may be a part of a secret, which nobody would know any more.
pub(super) fn quoted(text: &str, chars_max: usize) -> String {
    match text.chars().count() {
        count if count > chars_max => format!("… ({count} characters)"),
        _ => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_long_text_is_not_repeated_in_part() {
        assert_eq!(quoted("abc", 3), "abc");
        assert_eq!(quoted("äbcd", 3), "… (4 characters)");
    }
}
