//! What an answer must be: `{status: 200, /db: up, /token: present, header: {content-type: application/json}}`.

use std::{collections::BTreeMap, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::Value;

use super::Response;
use crate::{
    domain::template::{Words, fill, words_of},
    port::excerpt,
};

/// What an answer must be. Without a status, the usual one of the place where it stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expect {
    /// Any one of them.
    status: Vec<u16>,
    /// Names in lower case; `present`, the whole value, or the value without its parameters (`; charset=utf-8`).
    header: BTreeMap<String, String>,
    /// JSON pointers and the value there; `present` is any value but null.
    pointers: Vec<(String, Value)>,
}

/// The status that is expected where none is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usual {
    /// 200 alone: health probes.
    Ok,
    /// Anything from 200 to 299: smoke tests.
    Success,
}

const PRESENT: &str = "present";

impl Expect {
    /// The first expectation that is not met, in words; `None` if all are.
    pub fn unmet(&self, usual: Usual, words: &Words, response: &Response) -> Option<String> {
        self.unmet_status(usual, response.status)
            .or_else(|| {
                self.header.iter().find_map(|(name, wanted)| unmet_header(name, wanted, words, response))
            })
            .or_else(|| self.unmet_pointer(words, response))
    }

    fn unmet_status(&self, usual: Usual, status: u16) -> Option<String> {
        let (met, wanted) = match (self.status.as_slice(), usual) {
            ([], Usual::Ok) => (status == 200, "200".to_string()),
            ([], Usual::Success) => ((200..300).contains(&status), "2xx".to_string()),
            (listed, _) => {
                let wanted: Vec<_> = listed.iter().map(u16::to_string).collect();
                (listed.contains(&status), wanted.join(" or "))
            }
        };
        (!met).then(|| format!("status {status} instead of {wanted}"))
    }

    fn unmet_pointer(&self, words: &Words, response: &Response) -> Option<String> {
        if self.pointers.is_empty() {
            return None;
        }
        let json: Value = match serde_json::from_slice(&response.body) {
            Ok(json) => json,
            Err(error) => return Some(format!("the answer is not JSON: {error}")),
        };
        self.pointers.iter().find_map(|(pointer, wanted)| {
            let found = json.pointer(pointer).unwrap_or(&Value::Null);
            if found.is_null() && !wanted.is_null() {
                return Some(format!("there is nothing at {pointer}"));
            }
            let wanted = match filled(wanted, words) {
                Ok(wanted) => wanted,
                Err(why) => return Some(why),
            };
            let met = wanted == PRESENT || same(found, &wanted);
            (!met).then(|| format!("{pointer} is {} instead of {wanted}", excerpt(&found.to_string(), 80)))
        })
    }
}

fn unmet_header(name: &str, wanted: &str, words: &Words, response: &Response) -> Option<String> {
    let Some(found) = response.headers.get(name) else {
        return Some(format!("there is no header {name}"));
    };
    let found = String::from_utf8_lossy(found.as_bytes()).into_owned();
    let wanted = match fill(wanted, words, str::to_string) {
        Ok(wanted) => wanted,
        Err(why) => return Some(why),
    };
    let bare = found.split(';').next().unwrap_or_default().trim();
    let met = wanted == PRESENT || found == wanted || bare == wanted;
    (!met).then(|| format!("header {name} is {} instead of {wanted}", excerpt(&found, 80)))
}

fn filled(wanted: &Value, words: &Words) -> Result<Value, String> {
    match wanted {
        Value::String(text) => fill(text, words, str::to_string).map(Value::String),
        other => Ok(other.clone()),
    }
}

/// 1 and 1.0 are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ExpectVisitor)
    }
}

struct ExpectVisitor;

impl<'de> Visitor<'de> for ExpectVisitor {
    type Value = Expect;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map such as `{status: 200, /db: up}`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Expect, A::Error> {
        let mut expect = Expect::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "status" => {
                    expect.status = map.next_value()?;
                    if let Some(bad) = expect.status.iter().find(|s| !(100..600).contains(*s)) {
                        return Err(A::Error::custom(format!("{bad} is not an HTTP status")));
                    }
                }
                "header" => {
                    let header: BTreeMap<String, String> = map.next_value()?;
                    for value in header.values() {
                        words_of(value).map_err(A::Error::custom)?;
                    }
                    expect.header = header.into_iter().map(|(k, v)| (k.to_lowercase(), v)).collect();
                }
                pointer if pointer.starts_with('/') => {
                    let wanted: Value = map.next_value()?;
                    if let Value::String(text) = &wanted {
                        words_of(text).map_err(A::Error::custom)?;
                    }
                    expect.pointers.push((key, wanted));
                }
                other => return Err(A::Error::unknown_field(other, &["status", "header", "/pointer"])),
            }
        }
        Ok(expect)
    }
}

impl JsonSchema for Expect {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Expect".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let status = json_schema!({"type": "integer", "minimum": 100, "maximum": 599});
        json_schema!({
            "description": "What the answer must be: a status, headers, and values at JSON pointers (`present` for any).",
            "type": "object",
            "properties": {
                "status": {"anyOf": [status, {"type": "array", "items": status}]},
                "header": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "patternProperties": {"^/": {}},
            "additionalProperties": false,
        })
    }
}
