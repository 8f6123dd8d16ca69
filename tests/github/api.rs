//! Requests and answers of the double.

use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::wire::Message;

/// Undoes percent-encoding.
pub fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = std::str::from_utf8(&hex).unwrap();
                bytes.push(u8::from_str_radix(hex, 16).unwrap());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// What stands behind the question mark.
pub fn query(target: &str) -> BTreeMap<String, String> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_string(), decoded(value))).collect()
}

pub fn answer(status: u16, body: &Value) -> Message {
    Message {
        first: ["HTTP/1.1".into(), status.to_string(), String::new()],
        headers: vec![("content-type".into(), "application/json; charset=utf-8".into())],
        body: body.to_string().into_bytes(),
    }
}

/// As GitHub words a refusal.
pub fn refusal(status: u16, message: &str) -> Message {
    let about = "https://docs.github.com/rest/git/refs";
    answer(status, &json!({"message": message, "documentation_url": about, "status": status.to_string()}))
}

impl Message {
    pub fn with(mut self, name: &str, value: impl ToString) -> Message {
        self.headers.push((name.into(), value.to_string()));
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}
