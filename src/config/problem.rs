//! What is wrong with a file: collected, so that one run names more than one mistake.

use crate::document::nearest::suggestion;
use crate::document::node::{Located, Node, Position};
use crate::port::excerpt;

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Located>);

impl Problems {
    pub(crate) fn add(&mut self, located: Located) {
        let known = |l: &Located| l.position == located.position && l.message == located.message;
        if !self.0.iter().any(known) {
            self.0.push(located);
        }
    }

    /// The value, or its refusal noted.
    pub(crate) fn take<T>(&mut self, result: Result<T, Located>) -> Option<T> {
        result.map_err(|located| self.add(located)).ok()
    }

    /// The same, for a refusal that does not know its place.
    pub(crate) fn take_at<T, E: ToString>(
        &mut self,
        result: Result<T, E>,
        position: Position,
        path: &str,
    ) -> Option<T> {
        self.take(result.map_err(|e| refused(position, path, e.to_string())))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of the file.
    pub(crate) fn into_sorted(mut self) -> Vec<Located> {
        self.0.sort_by_key(|l| l.position.map(|p| (p.line, p.column)));
        self.0
    }
}

/// A refusal of what stands at `path`; the message begins with it.
pub(crate) fn refused(position: Position, path: &str, message: impl AsRef<str>) -> Located {
    let message = match path {
        "" => message.as_ref().to_string(),
        path => format!("`{path}`: {}", message.as_ref()),
    };
    Located { position: Some(position), path: path.to_string(), message, hint: None }
}

pub(crate) fn with_hint(located: Located, hint: impl Into<String>) -> Located {
    Located { hint: Some(hint.into()), ..located }
}

/// A key that nothing knows, with the known one it resembles.
pub(crate) fn unknown_key(key: &str, position: Position, inside: &str, known: &[&str]) -> Located {
    let (of, path) = match inside {
        "" => (String::new(), key.to_string()),
        inside => (format!(" in `{inside}`"), format!("{inside}.{key}")),
    };
    let short = excerpt(key, 60);
    let message = format!("unknown key `{short}`{of}");
    Located { position: Some(position), path, message, hint: suggestion(key, known) }
}

/// Something that is planned and not built.
pub(crate) fn not_yet(key: &str, position: Position, inside: &str) -> Located {
    let path = join(inside, key);
    let message = format!("`{path}` is not supported yet");
    Located { position: Some(position), path, message, hint: None }
}

pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
}

/// What must be a map and is something else.
pub(crate) fn not_a_map(node: &Node, path: &str, what: &str) -> Located {
    let message = format!("`{path}` must be {what}, found {}", node.describe());
    Located { position: Some(node.position), path: path.to_string(), message, hint: None }
}
