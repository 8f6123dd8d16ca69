//! What may be written in a request: JSON with secrets in it, a body, a header's value.

use std::{fmt, path::PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

use crate::{
    domain::template::{Words, fill, words_of},
    port::Secret,
};

/// JSON as written: `{env: NAME}` and `{file: PATH}` are secrets wherever they stand.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Json(Value);

impl Json {
    /// Refuses unknown words.
    pub fn check(&self) -> Result<(), String> {
        walk(&self.0, &mut |text| words_of(text).map(|_| text.to_string()), &mut |_| Ok(String::new()))
            .map(|_| ())
    }

    /// With words and secrets in their places.
    pub fn filled(
        &self,
        words: &Words,
        resolve: &mut dyn FnMut(&Secret) -> Result<String, String>,
    ) -> Result<Value, String> {
        walk(&self.0, &mut |text| fill(text, words, str::to_string), resolve)
    }
}

/// The same tree with every text and every secret replaced. Depth is bounded by the file's own reader.
fn walk(
    value: &Value,
    text_of: &mut dyn FnMut(&str) -> Result<String, String>,
    resolve: &mut dyn FnMut(&Secret) -> Result<String, String>,
) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(text_of(text)?),
        Value::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| walk(item, text_of, resolve)).collect();
            Value::Array(items?)
        }
        Value::Object(entries) => {
            let mut single = entries.iter().filter(|_| entries.len() == 1);
            match single.next() {
                Some((key, Value::String(name))) if key == "env" => {
                    Value::String(resolve(&Secret::Env(name.clone()))?)
                }
                Some((key, Value::String(path))) if key == "file" => {
                    Value::String(resolve(&Secret::File(path.into()))?)
                }
                _ => {
                    let mut filled = serde_json::Map::new();
                    for (key, value) in entries {
                        filled.insert(key.clone(), walk(value, text_of, resolve)?);
                    }
                    Value::Object(filled)
                }
            }
        }
        other => other.clone(),
    })
}

impl JsonSchema for Json {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "JsonBody".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"description": "Any value. `{env: NAME}` and `{file: PATH}` in it are secrets."})
    }
}

/// A text, or `{file: PATH}`.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Text(String),
    File(PathBuf),
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or `{file: PATH}`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Body, E> {
        Ok(Body::Text(text.to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Body, A::Error> {
        match Secret::deserialize(MapAccessDeserializer::new(map))? {
            Secret::File(path) => Ok(Body::File(path)),
            Secret::Env(_) => Err(A::Error::custom("a body is a text or `{file: PATH}`")),
        }
    }
}

impl JsonSchema for Body {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RequestBody".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "string"},
            {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"], "additionalProperties": false},
        ]})
    }
}

/// A text, or a reference to a secret.
#[derive(Clone, Debug)]
pub(super) enum TextOrSecret {
    Text(String),
    Secret(Secret),
}

impl<'de> Deserialize<'de> for TextOrSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrSecretVisitor)
    }
}

struct TextOrSecretVisitor;

impl<'de> Visitor<'de> for TextOrSecretVisitor {
    type Value = TextOrSecret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, `{env: NAME}` or `{file: PATH}`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TextOrSecret, E> {
        Ok(TextOrSecret::Text(text.to_string()))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<TextOrSecret, E> {
        Ok(TextOrSecret::Text(number.to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TextOrSecret, A::Error> {
        Secret::deserialize(MapAccessDeserializer::new(map)).map(TextOrSecret::Secret)
    }
}

impl JsonSchema for TextOrSecret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TextOrSecret".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let secret = generator.subschema_for::<Secret>();
        json_schema!({"anyOf": [{"type": "string"}, secret]})
    }
}
