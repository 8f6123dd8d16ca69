//! A YAML document as a tree that knows where every value was written.
//!
//! The tree is what sections are merged in and deserialised from, so that any refusal, however late, can name a line
//! and a column. Reading it is in `parse`, resolving a plain scalar in `scalar`, writing YAML in `render`.

use std::collections::HashMap;
use std::fmt;

mod parse;
mod render;
mod scalar;
#[cfg(test)]
mod tests;

pub use parse::parse;
pub use render::render;

/// Where something begins in the text; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub position: Position,
    pub kind: Kind,
}

/// What a node holds. Numbers keep their source text: an image tag `1.10` is not 1.1.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Null,
    Bool(bool),
    Integer {
        value: i64,
        raw: String,
    },
    /// Always finite.
    Float {
        value: f64,
        raw: String,
    },
    Text(String),
    List(Vec<Node>),
    /// In the order written; no key twice.
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    /// Of the key.
    pub position: Position,
    pub value: Node,
}

/// Why a file was refused, and where. Shown without the position, which belongs before it, after the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    pub position: Option<Position>,
    /// Such as `checks.errors.fail`; empty for the whole file and for text that is not YAML.
    pub path: String,
    pub message: String,
    pub hint: Option<String>,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Located {}

impl Node {
    /// The value under `key`; none if the key is absent or this is not a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::from(*value),
            Kind::Integer { value, .. } => Value::from(*value),
            Kind::Float { value, .. } => Value::from(*value),
            Kind::Text(text) => Value::from(text.as_str()),
            Kind::List(items) => items.iter().map(Node::to_json).collect(),
            Kind::Map(entries) => Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
            ),
        }
    }

    /// The kind in the words of a message: "must be a list, found {}".
    pub fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Integer { .. } | Kind::Float { .. } => "a number",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

/// Lays `over` on `base`: maps by key, lists and scalars replaced, `null` removes the key. The base's order is kept,
/// new keys follow. An `over` that is itself null says nothing and changes nothing.
pub fn merge(base: Node, over: Node) -> Node {
    match (base.kind, over.kind) {
        (kind, Kind::Null) => Node { position: base.position, kind },
        (Kind::Map(entries), Kind::Map(changes)) => {
            Node { position: base.position, kind: Kind::Map(merge_entries(entries, changes)) }
        }
        // As in RFC 7396, a map laid on something else is laid on an empty map: a null in it must not survive.
        (_, Kind::Map(changes)) => {
            Node { position: over.position, kind: Kind::Map(merge_entries(Vec::new(), changes)) }
        }
        (_, kind) => Node { position: over.position, kind },
    }
}

fn merge_entries(base: Vec<Entry>, changes: Vec<Entry>) -> Vec<Entry> {
    let index: HashMap<String, usize> =
        base.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at)).collect();
    let mut slots: Vec<Option<Entry>> = base.into_iter().map(Some).collect();
    for change in changes {
        match index.get(&change.key) {
            Some(&at) => slots[at] = merge_entry(slots[at].take(), change),
            None => slots.push(merge_entry(None, change)),
        }
    }
    slots.into_iter().flatten().collect()
}

fn merge_entry(base: Option<Entry>, over: Entry) -> Option<Entry> {
    if over.value.kind == Kind::Null {
        return None;
    }
    let Some(base) = base else {
        let absent = Node { position: over.value.position, kind: Kind::Null };
        return Some(Entry { value: merge(absent, over.value), ..over });
    };
    let both_maps = matches!((&base.value.kind, &over.value.kind), (Kind::Map(_), Kind::Map(_)));
    let position = if both_maps { base.position } else { over.position };
    Some(Entry { key: base.key, position, value: merge(base.value, over.value) })
}
