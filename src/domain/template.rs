//! `{{release}}`, `{{side}}` and their like in adapter options.

use std::collections::{BTreeMap, BTreeSet};

/// What may stand between the braces, besides `env.NAME` and `label.NAME` (what the target calls the side in
/// other systems).
pub const KNOWN: [&str; 6] = ["release", "version", "environment", "service", "side", "role"];

/// What each word stands for in one situation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(BTreeMap<String, String>);

impl Words {
    #[must_use]
    pub fn with(mut self, word: &str, value: impl Into<String>) -> Self {
        self.0.insert(word.to_string(), value.into());
        self
    }

    pub fn get(&self, word: &str) -> Option<&str> {
        self.0.get(word).map(String::as_str)
    }
}

/// The words a text asks for; unknown ones and unclosed braces are refused.
pub fn words_of(text: &str) -> Result<BTreeSet<String>, String> {
    let mut words = BTreeSet::new();
    for piece in pieces(text)? {
        if let Piece::Word(word) = piece {
            words.insert(word.to_string());
        }
    }
    Ok(words)
}

/// Fills a text in. Each value passes through `escape`, which knows where the text goes (a URL, a query).
pub fn fill(text: &str, words: &Words, escape: impl Fn(&str) -> String) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    for piece in pieces(text)? {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Word(word) => match words.get(word) {
                Some(value) => filled.push_str(&escape(value)),
                None => return Err(format!("{{{{{word}}}}} stands for nothing here")),
            },
        }
    }
    Ok(filled)
}

enum Piece<'a> {
    Text(&'a str),
    Word(&'a str),
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let after = &rest[start + 2..];
        let end = after.find("}}").ok_or_else(|| format!("`{{{{` without `}}}}` in `{text}`"))?;
        let word = after[..end].trim();
        if !KNOWN.contains(&word) && !word.starts_with("env.") && !word.starts_with("label.") {
            let known = KNOWN.join(", ");
            return Err(format!("{{{{{word}}}}} is not known; known: {known}, label.NAME, env.NAME"));
        }
        found.push(Piece::Text(&rest[..start]));
        found.push(Piece::Word(word));
        rest = &after[end + 2..];
    }
    found.push(Piece::Text(rest));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_filled_in_and_escaped() {
        let words = Words::default().with("side", "blue").with("release", "a b");
        let filled = fill("/m?side={{side}}&r={{ release }}", &words, |v| v.replace(' ', "%20"));
        assert_eq!(filled.as_deref(), Ok("/m?side=blue&r=a%20b"));
    }

    #[test]
    fn unknown_words_and_open_braces_are_refused() {
        assert!(words_of("{{sid}}").unwrap_err().contains("known: release"));
        assert!(words_of("a {{side").is_err());
        assert!(fill("{{version}}", &Words::default(), str::to_string).is_err());
    }
}
