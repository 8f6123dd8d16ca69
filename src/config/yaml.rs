//! A tree back to YAML, in its own order and with its numbers as they were written.

use serde_json::{Value, json};

use crate::document::node::{Entry as Field, Kind as Is, Node, Position, render};

/// The lines of `key: value`.
pub(super) fn field(key: &str, node: &Node) -> Vec<String> {
    match &node.kind {
        Is::Text(text) => render(&json!({ key: text })).lines().map(str::to_string).collect(),
        _ if is_block(node) => {
            let inner = block(node).into_iter().map(|line| indented("  ", &line));
            std::iter::once(format!("{}:", self::key(key))).chain(inner).collect()
        }
        _ => vec![format!("{}: {}", self::key(key), inline(node))],
    }
}

pub(super) fn key(key: &str) -> String {
    let line = render(&json!({ key: null }));
    line.trim_end().strip_suffix(": null").unwrap_or(key).to_string()
}

fn is_block(node: &Node) -> bool {
    match &node.kind {
        Is::List(items) => !items.is_empty(),
        Is::Map(fields) => !fields.is_empty(),
        _ => false,
    }
}

fn block(node: &Node) -> Vec<String> {
    match &node.kind {
        Is::Map(fields) => fields.iter().flat_map(|f| field(&f.key, &f.value)).collect(),
        Is::List(items) => items.iter().flat_map(item).collect(),
        _ => vec![inline(node)],
    }
}

fn item(node: &Node) -> Vec<String> {
    let lines = if is_block(node) { block(node) } else { vec![inline(node)] };
    let dashed = |(index, line): (usize, String)| match index {
        0 => format!("- {line}"),
        _ => indented("  ", &line),
    };
    lines.into_iter().enumerate().map(dashed).collect()
}

fn indented(by: &str, line: &str) -> String {
    if line.is_empty() { String::new() } else { format!("{by}{line}") }
}

fn inline(node: &Node) -> String {
    match &node.kind {
        Is::Null => "null".into(),
        Is::Bool(value) => value.to_string(),
        Is::Integer { raw, .. } | Is::Float { raw, .. } => raw.clone(),
        Is::Text(text) => inline_text(text),
        Is::List(_) => "[]".into(),
        Is::Map(_) => "{}".into(),
    }
}

pub(super) fn inline_text(text: &str) -> String {
    render(&json!(text)).trim_end().to_string()
}

pub(super) fn from_json(value: &Value) -> Node {
    let kind = match value {
        Value::Null => Is::Null,
        Value::Bool(value) => Is::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => Is::Integer { value, raw: number.to_string() },
            None => Is::Float { value: number.as_f64().unwrap_or_default(), raw: number.to_string() },
        },
        Value::String(text) => Is::Text(text.clone()),
        Value::Array(items) => Is::List(items.iter().map(from_json).collect()),
        Value::Object(fields) => Is::Map(
            fields
                .iter()
                .map(|(k, v)| Field { key: k.clone(), position: START, value: from_json(v) })
                .collect(),
        ),
    };
    Node { position: START, kind }
}

const START: Position = Position { line: 1, column: 1 };
