//! Text from outside made harmless for Markdown and HTML.

/// Text as Markdown that shows exactly itself, on one line: whatever could be markup is a character
/// reference, and what a host would turn into a mention or a link to an issue is broken up unseen.
pub fn markdown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + text.len() / 4);
    let mut before = ' ';
    for c in super::plain::plain(&text.replace(['\n', '\r'], " ")).chars() {
        match c {
            // `www.` begins a link
            '.' if before.eq_ignore_ascii_case(&'w') => safe.push_str("&#46;"),
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '.' | ',' | '-' | '/' | '%' | '(' | ')' | ';' => {
                safe.push(c)
            }
            '@' | '#' => {
                safe.push_str(&format!("&#{};\u{2060}", c as u32));
            }
            c if c.is_ascii() => safe.push_str(&format!("&#{};", c as u32)),
            c => safe.push(c),
        }
        before = c;
    }
    safe
}

/// Text inside an XML element or attribute, on one line.
pub fn xml(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in super::plain::plain(&text.replace(['\n', '\r'], " ")).chars() {
        match c {
            '<' | '>' | '&' | '"' | '\'' => safe.push_str(&format!("&#{};", c as u32)),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::markdown;

    #[test]
    fn markup_shows_itself() {
        assert_eq!(markdown("a <b>*c*</b>\n| d"), "a &#60;b&#62;&#42;c&#42;&#60;/b&#62; &#124; d");
        assert_eq!(markdown("@me #1"), "&#64;\u{2060}me &#35;\u{2060}1");
        assert!(!markdown("https://evil.example").contains("://"));
        assert_eq!(markdown("www.x 1.2.3"), "www&#46;x 1.2.3");
    }
}
