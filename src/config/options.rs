//! What the schema of an adapter's options tells: their names, their defaults, and where secrets are.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;

use super::{entry::options_schema, problem::join};
use crate::{
    document::node::{Kind as Is, Node, Position},
    registry::Common,
};

/// Makes schemas without references, so that one can be walked beside its options.
pub(crate) fn generator() -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    settings.into_generator()
}

/// Names and schemas of a struct's fields, in their order.
pub(crate) fn properties(schema: &Value) -> Vec<(String, &Value)> {
    let fields = schema.get("properties").and_then(Value::as_object);
    fields.into_iter().flatten().map(|(name, schema)| (name.clone(), schema)).collect()
}

/// An adapter's options.
pub(crate) struct Options(Value);

/// A reference to a secret, as the file wrote it.
pub(crate) struct Reference<'a> {
    pub secret: Wanted<'a>,
    pub position: Position,
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted<'a> {
    Env(&'a str),
    File(&'a str),
}

impl Options {
    pub(crate) fn of(common: &Common) -> Self {
        Options(options_schema(common))
    }

    /// The names of the options; `None` where they are not those of one struct.
    pub(crate) fn names(&self) -> Option<Vec<String>> {
        let names: Vec<String> = properties(&self.0).into_iter().map(|p| p.0).collect();
        let closed = self.0.get("additionalProperties") == Some(&Value::Bool(false));
        (closed || !names.is_empty()).then_some(names)
    }

    /// Options that have a default that can be written down.
    pub(crate) fn defaults(&self) -> Vec<(String, Value)> {
        defaults(&self.0)
    }

    /// The first secret in `node` that is written out.
    pub(crate) fn literal(&self, node: &Node, path: &str) -> Option<(Position, String)> {
        literals(&self.0, node, path)
    }

    /// Every reference to a secret in `node`: where the options ask for one, and `{env: NAME}` where they
    /// take anything.
    pub(crate) fn secrets<'a>(&self, node: &'a Node, path: &str) -> Vec<Reference<'a>> {
        let mut found = Vec::new();
        walk(&self.0, node, path, &mut found);
        found.sort_by_key(|r| (r.position.line, r.position.column));
        found.dedup_by_key(|r| r.position);
        found
    }
}

/// Fields of a struct's schema with a default worth showing: an empty list says nothing.
pub(crate) fn defaults(schema: &Value) -> Vec<(String, Value)> {
    let default = |schema: &Value| schema.get("default").cloned();
    let shown = |v: &Value| match v {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(_) => false,
        _ => true,
    };
    properties(schema)
        .into_iter()
        .filter_map(|(name, schema)| default(schema).filter(&shown).map(|v| (name, v)))
        .collect()
}

/// Where text stands that must be a reference: it is refused here, before its value can be shown.
fn literals(schema: &Value, node: &Node, path: &str) -> Option<(Position, String)> {
    let is_literal = !matches!(node.kind, Is::Map(_) | Is::Null);
    if (is_secret(schema) || is_optional_secret(schema)) && is_literal {
        return Some((node.position, path.to_string()));
    }
    match &node.kind {
        Is::Map(fields) => fields.iter().find_map(|field| {
            let own = schema.get("properties").and_then(|p| p.get(&field.key));
            let of_field = own.or(schema.get("additionalProperties"))?;
            literals(of_field, &field.value, &join(path, &field.key))
        }),
        Is::List(items) => {
            let of_item = schema.get("items")?;
            items.iter().enumerate().find_map(|(i, item)| literals(of_item, item, &format!("{path}[{i}]")))
        }
        _ => None,
    }
    .or_else(|| {
        let branches = schema.get("anyOf").and_then(Value::as_array)?;
        let branches: Vec<&Value> =
            branches.iter().filter(|b| b.get("type") != Some(&"null".into())).collect();
        // of several forms one may take text
        if let [only] = branches.as_slice() { literals(only, node, path) } else { None }
    })
}

fn is_optional_secret(schema: &Value) -> bool {
    let branches = schema.get("anyOf").and_then(Value::as_array);
    branches.is_some_and(|b| b.iter().all(|b| is_secret(b) || b.get("type") == Some(&"null".into())))
}

fn walk<'a>(schema: &Value, node: &'a Node, path: &str, found: &mut Vec<Reference<'a>>) {
    let takes_anything = schema.as_bool() == Some(true)
        || schema.as_object().is_some_and(|s| {
            !["type", "properties", "items", "anyOf", "oneOf", "allOf", "enum", "const"]
                .iter()
                .any(|k| s.contains_key(*k))
        });
    if is_secret(schema) || takes_anything {
        if let Some((key, value)) = reference(node) {
            let secret = if key == "env" { Wanted::Env(value) } else { Wanted::File(value) };
            if is_secret(schema) || key == "env" {
                found.push(Reference { secret, position: node.position, path: path.to_string() });
            }
            return;
        }
        if !takes_anything {
            return;
        }
    }
    for word in ["anyOf", "oneOf", "allOf"] {
        for branch in schema.get(word).and_then(Value::as_array).into_iter().flatten() {
            walk(branch, node, path, found);
        }
    }
    let anything = Value::Bool(true);
    match &node.kind {
        Is::Map(fields) => {
            let rest = schema.get("additionalProperties").or(takes_anything.then_some(&anything));
            for field in fields {
                let own = schema.get("properties").and_then(|p| p.get(&field.key));
                if let Some(schema) = own.or(rest) {
                    walk(schema, &field.value, &join(path, &field.key), found);
                }
            }
        }
        Is::List(items) => {
            if let Some(schema) = schema.get("items").or(takes_anything.then_some(&anything)) {
                for (index, item) in items.iter().enumerate() {
                    walk(schema, item, &format!("{path}[{index}]"), found);
                }
            }
        }
        _ => {}
    }
}

/// `{env: NAME}` or `{file: PATH}`, and nothing else.
fn reference(node: &Node) -> Option<(&str, &str)> {
    let Is::Map(fields) = &node.kind else {
        return None;
    };
    match fields.as_slice() {
        [field] if matches!(field.key.as_str(), "env" | "file") => match &field.value.kind {
            Is::Text(text) => Some((field.key.as_str(), text)),
            _ => None,
        },
        _ => None,
    }
}

/// The schema of [`crate::port::Secret`]: a choice between exactly `env` and `file`.
fn is_secret(schema: &Value) -> bool {
    let Some(choices) = schema.get("oneOf").and_then(Value::as_array) else {
        return false;
    };
    let asks = |choice: &Value, key: &str| choice.get("required") == Some(&serde_json::json!([key]));
    matches!(choices.as_slice(), [a, b] if asks(a, "env") && asks(b, "file"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Secret;

    #[test]
    fn the_schema_of_a_secret_is_recognised() {
        let plain = generator().into_root_schema_for::<Secret>();
        assert!(is_secret(plain.as_value()), "{plain:?}");
        let optional = generator().into_root_schema_for::<Option<Secret>>();
        let branches = optional.get("anyOf").and_then(Value::as_array).unwrap();
        assert!(branches.iter().any(is_secret), "{optional:?}");
    }
}
