//! Why a value did not fit its type: serde's complaint first, our words once the place is known.

use crate::document::nearest::suggestion;
use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

use crate::document::node::{Located, Position};

/// A complaint that has found its place, or one on its way to it.
#[derive(Debug)]
pub(super) enum Error {
    Bare(Problem),
    Located(Box<Located>),
}

#[derive(Debug)]
pub(super) enum Problem {
    Custom(String),
    UnknownKey { key: String, known: &'static [&'static str] },
    UnknownWord { word: String, known: &'static [&'static str] },
    Missing(&'static str),
    Twice(&'static str),
    Mismatch { expected: String, found: String },
}

impl Error {
    pub(super) fn mismatch(expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::Bare(Problem::Mismatch { expected: expected.into(), found: found.into() })
    }

    /// A variant written as a word is not a key of anything.
    pub(super) fn word_of_key(self) -> Error {
        match self {
            Error::Bare(Problem::UnknownKey { key: word, known }) => {
                Error::Bare(Problem::UnknownWord { word, known })
            }
            other => other,
        }
    }

    /// Gives the error its place unless it has one: the innermost is the one to look at.
    pub(super) fn at(self, position: Position, path: &str) -> Error {
        Error::Located(Box::new(self.locate(position, path)))
    }

    pub(super) fn locate(self, position: Position, path: &str) -> Located {
        match self {
            Error::Located(located) => *located,
            Error::Bare(problem) => problem.locate(position, path),
        }
    }
}

impl Problem {
    fn locate(self, position: Position, path: &str) -> Located {
        Located {
            position: Some(position),
            path: self.path(path),
            message: self.message(path),
            hint: self.hint(),
        }
    }

    fn path(&self, path: &str) -> String {
        match self {
            Problem::UnknownKey { key, .. } => join(path, key),
            _ => path.to_owned(),
        }
    }

    fn message(&self, path: &str) -> String {
        let subject = if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") };
        let inside = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
        match self {
            Problem::Custom(message) if path.is_empty() => message.clone(),
            Problem::Custom(message) => format!("{subject}: {message}"),
            Problem::UnknownKey { key, .. } => format!("unknown key `{}`{inside}", shortened(key)),
            Problem::UnknownWord { word, .. } => {
                format!("{subject} cannot be `{}`", shortened(word))
            }
            Problem::Missing(key) => format!("`{key}` is missing{inside}"),
            Problem::Twice(key) => format!("`{key}` is given twice{inside}, under two names"),
            Problem::Mismatch { expected, found } => {
                format!("{subject} must be {expected}, found {found}")
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Problem::UnknownKey { key: word, known } | Problem::UnknownWord { word, known } => {
                suggestion(word, known)
            }
            Problem::Mismatch { expected, found }
                if expected == "text" && matches!(found.as_str(), "true" | "false") =>
            {
                Some("quote it if it is text".to_owned())
            }
            _ => None,
        }
    }
}

pub(super) fn listed(words: &[&str]) -> String {
    words.join(", ")
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Bare(problem) => f.write_str(&problem.message("")),
            Error::Located(located) => located.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Error {
        Error::Bare(Problem::Custom(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Error {
        Error::mismatch(expectation(expected), finding(found))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Error {
        Error::mismatch(expectation(expected), finding(found))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Error {
        Error::mismatch(expectation(expected), format!("a list of {length}"))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Error {
        Error::Bare(Problem::UnknownKey { key: key.to_owned(), known })
    }

    fn unknown_variant(key: &str, known: &'static [&'static str]) -> Error {
        Error::unknown_field(key, known)
    }

    fn missing_field(key: &'static str) -> Error {
        Error::Bare(Problem::Missing(key))
    }

    fn duplicate_field(key: &'static str) -> Error {
        Error::Bare(Problem::Twice(key))
    }
}

/// serde's names of types in the words of the file.
fn expectation(expected: &dyn Expected) -> String {
    let expected = expected.to_string();
    if let Some(length) = tuple_length(&expected) {
        return format!("a list of {length}");
    }
    match expected.as_str() {
        "a string" | "a borrowed string" => "text",
        "a character" => "one character",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "unit" => "left empty",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "u128" | "usize" => "a whole number, not negative",
        "i8" => "a whole number from -128 to 127",
        "i16" => "a whole number from -32768 to 32767",
        "i32" => "a whole number from -2147483648 to 2147483647",
        "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        name if name.starts_with("struct ") => "a map",
        other => other,
    }
    .to_owned()
}

/// From "a tuple of size 2" and "tuple struct Pair with 2 elements".
fn tuple_length(expected: &str) -> Option<&str> {
    match expected.strip_prefix("a tuple of size ") {
        Some(length) => Some(length),
        None => expected.strip_prefix("tuple ")?.strip_suffix(" elements")?.rsplit(' ').next(),
    }
}

fn finding(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => value.to_string(),
        Unexpected::Str(text) => format!("text \"{}\"", shortened(text)),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

/// A script of a hundred lines in the wrong place should not fill the screen. It is cut between words: half of
/// a secret would not be found any more and taken out.
fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let line = text.lines().next().unwrap_or_default();
    let mut short = String::new();
    for word in line.split_inclusive(char::is_whitespace) {
        if short.chars().count() + word.trim_end().chars().count() > CHARS_MAX {
            break;
        }
        short.push_str(word);
    }
    if short.len() < text.trim_end().len() {
        short.push('…');
    }
    short
}
