//! What a script of SQL statements asks for: where statements end, and whether one transaction can hold
//! them all.

use std::ops::Range;

/// A script, looked through.
#[derive(Clone, Debug)]
pub struct Script {
    text: String,
    /// The statements' places in the text.
    statements: Vec<Range<usize>>,
    single: Option<&'static str>,
}

impl Script {
    /// Refuses a script that begins a transaction and does not end it.
    pub fn new(text: impl Into<String>) -> Result<Script, String> {
        let text = text.into();
        let found = split(&text);
        if found.is_empty() {
            return Err("there is no statement in it".into());
        }
        let mut single = None;
        let mut open = false;
        for statement in &found {
            match statement.control() {
                Some(begins) => {
                    open = begins;
                    single = single.or(Some("it has BEGIN and COMMIT of its own"));
                }
                None if statement.refuses_transactions() => {
                    single = Some("a statement in it cannot run inside a transaction");
                }
                None => {}
            }
        }
        if open {
            return Err("it begins a transaction and never commits it, so all of it would be lost".into());
        }
        let statements = found.into_iter().map(|s| s.place).collect();
        Ok(Script { text, statements, single })
    }

    /// Whether a statement begins with a command that only psql knows.
    pub fn psql(&self) -> bool {
        self.text.lines().any(|line| line.starts_with('\\'))
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Each statement, with the number of the line it begins in.
    pub fn statements(&self) -> impl Iterator<Item = (&str, usize)> {
        self.statements.iter().filter_map(|place| {
            let line = 1 + self.text.get(..place.start)?.matches('\n').count();
            Some((self.text.get(place.clone())?, line))
        })
    }

    /// Whether all of it runs in one transaction of ours.
    pub fn transactional(&self) -> bool {
        self.single.is_none()
    }

    /// `in one transaction`, or why not.
    pub fn manner(&self) -> String {
        match self.single {
            None => "in one transaction".into(),
            Some(why) => format!("statement by statement, because {why}"),
        }
    }
}

struct Statement {
    place: Range<usize>,
    /// Bare words, upper case, as far as they matter.
    words: Vec<String>,
}

const WORDS_MAX: usize = 12;

impl Statement {
    fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    /// `Some(true)`: begins a transaction; `Some(false)`: ends one.
    fn control(&self) -> Option<bool> {
        match (self.word(0), self.word(1)) {
            ("BEGIN", _) | ("START", "TRANSACTION") => Some(true),
            ("ROLLBACK" | "ABORT", _) if self.words.iter().any(|w| w == "TO") => None,
            ("COMMIT" | "END" | "ROLLBACK" | "ABORT", _) => Some(self.words.iter().any(|w| w == "CHAIN")),
            _ => None,
        }
    }

    fn refuses_transactions(&self) -> bool {
        match (self.word(0), self.word(1)) {
            ("VACUUM", _) | ("ALTER", "SYSTEM") | ("PRAGMA", _) => true,
            ("CREATE" | "DROP", "DATABASE" | "TABLESPACE" | "SUBSCRIPTION") => true,
            ("CREATE" | "DROP" | "ALTER" | "REINDEX", _) => self.words.iter().any(|w| w == "CONCURRENTLY"),
            _ => false,
        }
    }

    /// Bodies with semicolons of their own: SQLite's triggers, PostgreSQL's `BEGIN ATOMIC`.
    fn has_body(&self) -> bool {
        self.word(0) == "CREATE"
            && self.words.iter().any(|w| matches!(w.as_str(), "TRIGGER" | "FUNCTION" | "PROCEDURE"))
    }
}

fn split(text: &str) -> Vec<Statement> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    let mut start = None;
    let mut words: Vec<String> = Vec::new();
    let mut depth = 0usize;
    while let Some(&byte) = bytes.get(at) {
        let end = match byte {
            b'-' if text[at..].starts_with("--") => text[at..].find('\n').map_or(text.len(), |n| at + n),
            b'/' if text[at..].starts_with("/*") => comment_end(bytes, at),
            b if b.is_ascii_whitespace() => at + 1,
            b';' if depth == 0 => {
                if let Some(start) = start.take() {
                    found.push(Statement { place: start..at + 1, words: std::mem::take(&mut words) });
                }
                at + 1
            }
            _ => {
                start.get_or_insert(at);
                let end = token_end(text, at);
                if byte.is_ascii_alphabetic() {
                    let word = text[at..end].to_ascii_uppercase();
                    let body = Statement { place: 0..0, words: std::mem::take(&mut words) };
                    match word.as_str() {
                        "BEGIN" if body.has_body() => depth += 1,
                        "CASE" if depth > 0 => depth += 1,
                        "END" if depth > 0 => depth -= 1,
                        _ => {}
                    }
                    words = body.words;
                    if words.len() < WORDS_MAX {
                        words.push(word);
                    }
                }
                end
            }
        };
        at = end.max(at + 1);
    }
    if let Some(start) = start {
        found.push(Statement { place: start..text.len(), words });
    }
    found
}

/// Comments nest in PostgreSQL. In SQLite they do not, and nobody writes one that shows the difference.
fn comment_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The end of the word, quoted text or single character at `at`; always at a character's border.
fn token_end(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let quoted = |skip: usize, quote: char, escapes: bool| {
        let mut chars = rest[skip..].char_indices();
        while let Some((i, c)) = chars.next() {
            if escapes && c == '\\' {
                chars.next();
            } else if c == quote {
                return at + skip + i + 1;
            }
        }
        text.len()
    };
    let word = |c: char| !(c.is_alphanumeric() || c == '_' || c == '$');
    let mut chars = rest.chars();
    match (chars.next(), chars.next()) {
        // A doubled quote ends one text and begins the next, which comes to the same.
        (Some('E' | 'e'), Some('\'')) => quoted(2, '\'', true),
        (Some(quote @ ('\'' | '"' | '`')), _) => quoted(1, quote, false),
        (Some('$'), _) => {
            let tag = rest[1..].find(|c: char| !(c.is_alphanumeric() || c == '_')).map(|n| &rest[..n + 2]);
            match tag {
                Some(tag) if tag.ends_with('$') && !tag[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                    let body = at + tag.len();
                    text[body..].find(tag).map_or(text.len(), |n| body + n + tag.len())
                }
                _ => at + 1,
            }
        }
        (Some(c), _) if c.is_alphanumeric() || c == '_' => at + rest.find(word).unwrap_or(rest.len()),
        (Some(c), _) => at + c.len_utf8(),
        (None, _) => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<String> {
        let script = Script::new(text).unwrap();
        script.statements().map(|(text, line)| format!("{line}:{text}")).collect()
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_comments_and_bodies() {
        let text =
            "-- one; two\nselect ';', \";\", E'\\';' /* ; /* ; */ ; */;\n;\nselect $a$;$$;$a$;select 'ü''; '";
        assert_eq!(
            pieces(text),
            ["2:select ';', \";\", E'\\';' /* ; /* ; */ ; */;", "4:select $a$;$$;$a$;", "4:select 'ü''; '"]
        );
        let trigger =
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT CASE WHEN 1 THEN 2 END; DELETE FROM b; END;";
        assert_eq!(pieces(&format!("{trigger} select 1")).len(), 2);
        assert!(Script::new(trigger).unwrap().transactional());
        let atomic = "create function f() returns int begin atomic select 1; select 2; end; select f();";
        assert_eq!(pieces(atomic).len(), 2);
    }

    #[test]
    fn one_transaction_holds_a_script_unless_it_says_otherwise() {
        for text in
            ["create table a (begin_at int)", "do $$ begin commit; end $$; select 1", "select 'COMMIT'"]
        {
            assert!(Script::new(text).unwrap().transactional(), "{text}");
        }
        for text in [
            "create unique index concurrently i on a (b)",
            "select 1; vacuum a;",
            "begin; delete from a; commit",
            "START TRANSACTION; select 1; END;",
        ] {
            assert!(!Script::new(text).unwrap().transactional(), "{text}");
        }
        for text in ["", " -- nothing\n;", "begin; delete from a;", "begin; select 1; commit and chain;"] {
            assert!(Script::new(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_looked_through(text in "[a-zA-Z'\"$;/*ü\\\\ \n-]{0,60}") {
            let _ = Script::new(text);
        }
    }
}
