//! JSON as block-style YAML, for `plan --explain`: what is written here reads back as the same value.

use std::fmt::Write;

use serde_json::Value;

use super::Kind;
use super::scalar;

/// Writes `value` as a document that [`super::parse`] reads back, within that function's limits. Text is quoted only
/// where it would otherwise be read as something else, by us or by a reader of YAML 1.1.
pub fn render(value: &Value) -> String {
    let mut out = String::new();
    match is_block(value) {
        true => write_block(&mut out, value, 0),
        false => out.push_str(&inline(value)),
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Whether the value takes lines of its own.
fn is_block(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
        _ => false,
    }
}

/// Writes the lines of a list or a map; the first goes where `out` stands, which is at column `indent` already.
fn write_block(out: &mut String, value: &Value, indent: usize) {
    let mut separator = String::new();
    let mut start_line = |out: &mut String| {
        out.push_str(&separator);
        separator = " ".repeat(indent);
    };
    match value {
        Value::Array(items) => {
            for item in items {
                start_line(out);
                out.push_str("- ");
                write_item(out, item, indent + 2);
            }
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                start_line(out);
                out.push_str(&key_text(key));
                out.push(':');
                write_under_key(out, value, indent + 2);
            }
        }
        _ => {}
    }
}

fn write_item(out: &mut String, item: &Value, indent: usize) {
    match is_block(item) {
        true => write_block(out, item, indent),
        false => write_scalar_line(out, item, indent),
    }
}

fn write_under_key(out: &mut String, value: &Value, indent: usize) {
    if is_block(value) {
        out.push('\n');
        out.push_str(&" ".repeat(indent));
        write_block(out, value, indent);
    } else {
        out.push(' ');
        write_scalar_line(out, value, indent);
    }
}

fn write_scalar_line(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(text) if reads_as_literal(text) => write_literal(out, text, indent),
        _ => {
            out.push_str(&inline(value));
            out.push('\n');
        }
    }
}

/// Scripts stay readable as `|` blocks; text whose blanks a block could lose is quoted instead.
fn reads_as_literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.starts_with([' ', '\n'])
        && !body.ends_with('\n')
        && body.split('\n').all(|line| !line.ends_with(' ') && line.chars().all(|c| !needs_escape(c)))
}

fn write_literal(out: &mut String, text: &str, indent: usize) {
    let (header, body) = match text.strip_suffix('\n') {
        Some(body) => ("|", body),
        None => ("|-", text),
    };
    out.push_str(header);
    out.push('\n');
    for line in body.split('\n') {
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(line);
        out.push('\n');
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) if reads_as_plain_text(text) => text.clone(),
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// A key is text whatever it looks like, so a number such as `404` stays bare.
fn key_text(key: &str) -> String {
    let number = matches!(scalar::resolve(key), Ok(Kind::Integer { .. }));
    match reads_as_plain_text(key) || number && is_plain_shape(key) {
        true => key.to_owned(),
        false => quoted(key),
    }
}

fn reads_as_plain_text(text: &str) -> bool {
    is_plain_shape(text) && !is_number_in_yaml_1_1(text) && matches!(scalar::resolve(text), Ok(Kind::Text(_)))
}

/// Narrower than YAML allows: no indicator in front, nothing inside that could end the scalar.
fn is_plain_shape(text: &str) -> bool {
    text.starts_with(|c: char| {
        c.is_alphanumeric() || matches!(c, '/' | '_' | '$') || c == '.' && text.starts_with("./")
    }) && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && !text.chars().any(needs_escape)
}

/// Binary, sexagesimal and underscored numbers, and dates.
fn is_number_in_yaml_1_1(text: &str) -> bool {
    let numeric = |c: char| c.is_ascii_digit() || "_:.-+ eEtTZ".contains(c);
    text.starts_with("0b")
        || text.starts_with("0x")
        || text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(numeric)
}

fn needs_escape(c: char) -> bool {
    let noncharacter = u32::from(c) & 0xfffe == 0xfffe;
    c.is_control() || noncharacter || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if needs_escape(c) => {
                // writing to a `String` cannot fail
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
